"""An aggregator's folder: made once, then changed by admitting and revoking sites.

The roster decides; node list, node keys and bundles follow from it. Each change writes the roster
first, so a crash in between leaves files that no longer agree, which every reader notices, and the
same command once more mends it. The admin's key and the authority's are needed for these changes
only: a running aggregator needs neither.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedcc import config
from fedcc.crypto.consortium import Roster, read_roster, sign
from fedcc.crypto.identity_files import create_identity, free_place
from fedcc.crypto.key_file import Identity, Unlocker
from fedcc.crypto.private_files import create_new, read_private
from fedcc.crypto.roster_changes import add, apply_hand_over, create, revoke
from fedcc.crypto.statements import check_name, fingerprint, read_public
from fedcc.deployment.aggregator_file import NAME, AggregatorHome
from fedcc.deployment.bundles import bundle_file
from fedcc.deployment.certificates import Authority, general_name
from fedcc.deployment.files import remove_file, replace_file
from fedcc.deployment.node_list import known_nodes, write_nodes
from fedcc.deployment.reference_yaml import Value, fill
from fedcc.deployment.requests import SiteRequest
from fedcc.errors import ConfigError, ProtocolError


@dataclass(frozen=True, kw_only=True)
class NewAggregator:
    """What the operator says of a new aggregator."""

    consortium: str
    admin: str
    names: tuple[str, ...]  # of the server; the first is what sites dial
    port: int | None  # None: that of the reference YAML


def init_aggregator(
    folder: Path, wanted: NewAggregator, unlocker: Unlocker, now: datetime
) -> AggregatorHome:
    """Make a new aggregator's folder: admin, authority, server certificate, roster, settings.

    Raises:
        ConfigError: if a name cannot be used, a file exists or cannot be written.
    """
    check_name(wanted.consortium, "--consortium")
    for name in wanted.names:
        general_name(name)
    if (folder / NAME).exists():
        raise ConfigError(f"{folder / NAME} exists; an aggregator is made once.")
    place = free_place(folder / "admin", "admin", wanted.admin)
    admin = create_identity(place, unlocker, now)
    text = (config.config_root() / "aggregator" / "_reference.yaml").read_text()
    values: dict[str, Value] = {
        "consortium": wanted.consortium,
        "public.host": wanted.names[0],
        "tls.names": list(wanted.names),
        "admin.key": str(place.key.relative_to(folder)),
        "admin.fingerprint": fingerprint(admin.public),
    }
    if wanted.port is not None:
        values |= {"listen.port": wanted.port, "public.port": wanted.port}
    create_new(folder / NAME, fill(text, values).encode(), mode=0o644)
    home = AggregatorHome.open(folder)
    authority = Authority.create(wanted.consortium, home.values.tls.ca_days, now)
    create_new(home.ca, authority.pem, mode=0o644)
    create_new(home.ca_key, authority.locked_key(admin), mode=0o600)
    _write_certificate(home, authority, now)
    roster = create(admin, wanted.consortium, now)
    create_new(home.roster, sign(roster, admin), mode=0o644)
    publish(home, roster, {}, admin, now)
    return home


def _write_certificate(home: AggregatorHome, authority: Authority, now: datetime) -> None:
    tls = home.values.tls
    certificate, key = authority.issue(tls.names, tls.certificate_days, now)
    replace_file(home.server_key, key, mode=0o600)
    replace_file(home.certificate, certificate)


def renew_certificate(home: AggregatorHome, admin: Identity, now: datetime) -> None:
    """Put a new server certificate, for the names of the YAML, in place of the old.

    Sites notice nothing: the authority that they trust stays. A crash in between leaves a key
    without its certificate, which the server refuses and the same command mends.

    Raises:
        RecordError, EnvelopeError, ProtocolError: if the authority cannot be opened.
        ConfigError: if a name cannot be used, or the authority ends too soon.
    """
    _write_certificate(home, open_authority(home, admin), now)


def open_authority(home: AggregatorHome, admin: Identity) -> Authority:
    """Open the consortium's authority; see `Authority.open`."""
    return Authority.open(read_public(home.ca), read_private(home.ca_key), admin)


def publish(
    home: AggregatorHome, roster: Roster, nodes: Mapping[str, str], admin: Identity, now: datetime
) -> None:
    """Write node list, node keys and every site's bundle for a roster that is on disk.

    Raises:
        ProtocolError: see `write_nodes`.
        ConfigError: if a file cannot be written.
    """
    kept = write_nodes(home, roster, nodes, admin, now)
    roster_file, ca = read_public(home.roster), read_public(home.ca)
    for path in home.bundles.glob("*"):
        if path.name.partition(".")[0] not in kept:
            remove_file(path)
    for site, node in kept.items():
        content = bundle_file(
            roster,
            roster_file,
            admin,
            site=site,
            node=node,
            host=home.values.public.host,
            port=home.values.public.port,
            ca=ca,
            now=now,
        )
        replace_file(home.bundles / f"{site}.bundle.json", content)


def admit(
    home: AggregatorHome,
    admin: Identity,
    request: SiteRequest,
    *,
    organisation: str | None,
    read_aloud: str | None,
    now: datetime,
) -> Roster:
    """Take a site in, or its new keys after a rotation; return the new roster.

    A request whose identity is in the roster already changes the node key at most, and makes all
    files anew: the request is signed with that identity.

    Args:
        home: the aggregator's folder.
        admin: who signs.
        request: of the site.
        organisation: that runs the site, by the admin's own knowledge; for new sites alone.
        read_aloud: the fingerprint that the site's operator read over the phone; for new sites.
        now: when.

    Raises:
        ConfigError: if organisation or fingerprint is missing, cannot be used or contradicts the
            roster.
        ProtocolError: if the request is not the site's own, or its key may not take part.
        EnvelopeError: if one of its keys is in use at another site.
    """
    roster = read_roster(home.roster, fingerprint(admin.public))
    known = roster.organisations().get(request.site)
    if known is not None and organisation not in (None, known):
        raise ConfigError(
            f"{request.site} belongs to {known} in the roster, and a signed roster does not change "
            "that. Leave --organisation out, or revoke the site and admit a new one."
        )
    if roster.identities().get(request.site) != request.identity:
        roster = _with_request(roster, request, organisation, read_aloud, now)
    nodes = {**known_nodes(home), request.site: request.node}
    shared = [site for site, node in nodes.items() if node == request.node]
    if shared != [request.site]:
        raise ProtocolError("another site has this node key. Each site makes its own.")
    replace_file(home.roster, sign(roster, admin))
    publish(home, roster, nodes, admin, now)
    return roster


def _with_request(
    roster: Roster,
    request: SiteRequest,
    organisation: str | None,
    read_aloud: str | None,
    now: datetime,
) -> Roster:
    if request.hand_over is not None:
        return apply_hand_over(roster, request.hand_over, now)
    if organisation is None or read_aloud is None:
        raise ConfigError(
            f"nothing was admitted. Call the operator of {request.site}, have the fingerprint read "
            "to you, compare it, and repeat the command with --fingerprint TEXT as it was read and "
            "--organisation NAME, who runs the site."
        )
    return add(roster, request.card, organisation, read_aloud, now)


def revoke_site(home: AggregatorHome, admin: Identity, site: str, now: datetime) -> Roster:
    """Take a site out for good; return the new roster.

    Raises:
        ConfigError: if there is no such site.
    """
    roster = read_roster(home.roster, fingerprint(admin.public))
    nodes = known_nodes(home)
    # After a crash the roster may be without the site while its other files are still there.
    if site in roster.identities() or site not in nodes:
        roster = revoke(roster, site, now)
        replace_file(home.roster, sign(roster, admin))
    publish(home, roster, nodes, admin, now)
    return roster


def fingerprints(roster: Roster) -> Sequence[tuple[str, str]]:
    """Return the fingerprint of each site's identity."""
    return [(one.site, fingerprint(one.identity)) for one in roster.sites]
