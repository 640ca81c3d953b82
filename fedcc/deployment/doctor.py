"""`fedcc doctor`: what keeps a site or an aggregator from running, before it runs."""

import errno
import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from fedcc import config
from fedcc.crypto.consortium import read_roster
from fedcc.crypto.key_file import KeyFile, read_key
from fedcc.crypto.private_files import read_private
from fedcc.crypto.statements import read_public
from fedcc.deployment.aggregator_file import AggregatorHome
from fedcc.deployment.bundles import read_bundle
from fedcc.deployment.certificates import check_authority, check_server, is_key_of
from fedcc.deployment.checks import (
    DoctorSettings,
    Step,
    disk,
    encryption,
    entropy,
    guarded,
    lasting,
    private,
    readable,
    versions,
)
from fedcc.deployment.node_keys import NodeKey
from fedcc.deployment.node_list import admitted_nodes
from fedcc.deployment.own_data import own_data
from fedcc.deployment.probe import Answer, probe
from fedcc.deployment.proxy_access import proxy_of
from fedcc.deployment.site_file import SiteHome
from fedcc.deployment.site_setup import NEXT
from fedcc.errors import ConfigError, EnvelopeError, ProtocolError, TooFewSites
from fedcc.privacy.ledger import read_ledger
from fedcc.privacy.policy import load_policy

Clock = Callable[[], datetime]


def doctor_settings() -> DoctorSettings:
    """Return when checks fail, from `configs/doctor.yaml`."""
    path = config.config_root() / "doctor.yaml"
    return config.build(DoctorSettings, config.read_yaml(path), str(path))


def site_steps(home: SiteHome, settings: DoctorSettings, clock: Clock) -> list[Step]:
    """Return the checks of a site; what needs the decisions on plans is added by the caller."""
    keys = [home.node_key, home.identity]
    for named in (home.values.keys.unlock, home.values.network.proxy_credentials):
        if named is not None:
            keys.append(home.at(named))
    return [
        ("versions", versions),
        ("key permissions", lambda: private(keys)),
        ("settings", lambda: guarded([home.file, home.policy, home.roster, home.ca])),
        ("identity", lambda: _identity(home)),
        ("roster", lambda: _site_roster(home)),
        ("authority", lambda: _authority(home.ca, settings, clock)),
        ("policy", lambda: _policy(home)),
        ("data", lambda: _data(home)),
        ("ledger", lambda: _ledger(home)),
        ("disk", lambda: disk(home.state, settings)),
        ("entropy", entropy),
        ("encryption", encryption),
        ("reachability", lambda: _reach(home, settings)),
        ("clock", lambda: _clock(home, settings, clock)),
    ]


def _identity(home: SiteHome) -> str:
    locked, unlock = read_key(home.identity), home.values.keys.unlock
    node = NodeKey.parse(read_private(home.node_key), str(home.node_key))
    if (locked.role, locked.name) != ("site", home.values.site):
        raise ProtocolError(f"{home.identity} is the key of {locked.role} {locked.name}.")
    kind, waits = node.public.split()[0], ""
    if (home.file.parent / NEXT).exists():
        waits = "; the keys of a rotation wait for their bundle"
    if unlock is None:
        return f"{home.identity.name} and {kind}; a passphrase is typed at start{waits}"
    locked.unlock(KeyFile(read_private(home.at(unlock))))
    return f"{home.identity.name} opens with {unlock}; node key {kind}{waits}"


def _site_roster(home: SiteHome) -> str:
    roster = read_roster(home.roster, home.values.aggregator.admin_fingerprint)
    if roster.identities().get(home.values.site) != read_key(home.identity).public:
        raise ProtocolError(
            f"{home.roster} does not hold this site with its present key. Ask the admin whether "
            "the site was revoked, or install the bundle that answers the last request."
        )
    return f"{roster.consortium}, serial {roster.serial}, {len(roster.sites)} sites"


def _authority(ca: Path, settings: DoctorSettings, clock: Clock) -> str:
    found = check_authority(read_public(ca), str(ca), clock())
    remedy = "Ask the admin for the next authority."
    return lasting(found.not_valid_after_utc, ca.name, settings, clock(), remedy)


def _policy(home: SiteHome) -> str:
    policy = load_policy(home.policy)
    strangers = sorted(set(home.values.tasks) - set(policy.purposes))
    if strangers:
        raise ConfigError(
            f"{home.file}, tasks: {strangers[0]} is no purpose of {home.policy}. Change one of "
            "them."
        )
    return f"{len(policy.caps)} caps, purposes {', '.join(policy.purposes)}"


def _data(home: SiteHome) -> str:
    if not home.values.data:
        raise ConfigError(f"{home.file}, data: names no data set, so no plan can be admitted.")
    own_data(home.values, home.file.parent)
    for one in home.values.data:
        if one.path is not None:
            readable(home.at(one.path), f"{home.file}, data {one.name}")
    return ", ".join(one.name for one in home.values.data)


def _ledger(home: SiteHome) -> str:
    if not home.ledger.exists() and not home.ledger.with_suffix(".head").exists():
        return "no charge yet"
    return f"{len(read_ledger(home.ledger).charges)} charges, chain and head agree"


def _connect(home: SiteHome, settings: DoctorSettings) -> Answer:
    dialled = home.values.aggregator
    return probe(
        dialled.host,
        dialled.port,
        home.ca,
        proxy=proxy_of(home),
        timeout=settings.timeout_seconds,
    )


def _reach(home: SiteHome, settings: DoctorSettings) -> str:
    dialled, answer = home.values.aggregator, _connect(home, settings)
    by = home.values.network.proxy or "directly"
    return f"{dialled.host}:{dialled.port} {by}, {answer.protocol}, until {answer.valid_until:%F}"


def _clock(home: SiteHome, settings: DoctorSettings, clock: Clock) -> str:
    date = _connect(home, settings).date
    if date is None:
        raise TooFewSites("the aggregator does not tell its time, so this clock is not checked.")
    skew = abs((clock() - date).total_seconds())
    if skew > settings.clock_skew_seconds:
        raise ConfigError(
            f"this clock and the aggregator's are {skew:.0f} s apart; at most "
            f"{settings.clock_skew_seconds:g} are admitted. Let both follow a time server (NTP)."
        )
    return f"within {settings.clock_skew_seconds:g} s of the aggregator's"


def aggregator_steps(home: AggregatorHome, settings: DoctorSettings, clock: Clock) -> list[Step]:
    """Return the checks of an aggregator; keys of the admin are checked where they lie here."""
    keys = [home.server_key]
    keys += [path for path in (home.admin_key, home.ca_key) if path.exists()]
    return [
        ("versions", versions),
        ("key permissions", lambda: private(keys)),
        ("settings", lambda: guarded([home.file, home.roster, home.node_list, home.ca])),
        ("roster", lambda: _hub_roster(home)),
        ("nodes", lambda: f"{len(admitted_nodes(home))} nodes, list and folder agree"),
        ("bundles", lambda: _bundles(home, clock)),
        ("authority", lambda: _authority(home.ca, settings, clock)),
        ("certificate", lambda: _certificate(home, settings, clock)),
        ("disk", lambda: disk(home.state, settings)),
        ("entropy", entropy),
        ("encryption", encryption),
        ("reachability", lambda: _listens(home, settings)),
    ]


def _listens(home: AggregatorHome, settings: DoctorSettings) -> str:
    """Try the address; where somebody listens already, connect as a site would."""
    listen, public = home.values.listen, home.values.public
    place = f"{listen.host}:{listen.port}"
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    try:
        socket.create_server((listen.host, listen.port), family=family).close()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise ConfigError(
                f"{home.file}, listen: {place}: {error.strerror}. Name an address of this machine "
                "and a port that the service's user may open."
            ) from None
    else:
        return f"{place} is free; nothing listens there now"
    answer = probe(public.host, public.port, home.ca, proxy=None, timeout=settings.timeout_seconds)
    return f"{public.host}:{public.port} answers from here, {answer.protocol}"


def _hub_roster(home: AggregatorHome) -> str:
    roster = read_roster(home.roster, home.values.admin.fingerprint)
    if roster.consortium != home.values.consortium:
        raise ProtocolError(f"{home.roster} is that of another consortium.")
    few = "" if len(roster.sites) >= 3 else " (a run needs 3)"
    return f"{roster.consortium}, serial {roster.serial}, {len(roster.sites)} sites{few}"


def _bundles(home: AggregatorHome, clock: Clock) -> str:
    mark = home.values.admin.fingerprint
    roster = read_roster(home.roster, mark)
    for site in roster.identities():
        path = home.bundles / f"{site}.bundle.json"
        bundle, public = read_bundle(path, mark, clock()), home.values.public
        told = (bundle.host, bundle.port, bundle.ca, bundle.roster.sha256)
        if told != (public.host, public.port, read_public(home.ca), roster.sha256):
            raise ProtocolError(f"{path} is behind. Admit any site's request again to renew all.")
    return f"{len(roster.sites)} bundles are those of the roster"


def _certificate(home: AggregatorHome, settings: DoctorSettings, clock: Clock) -> str:
    ca, server = read_public(home.ca), read_public(home.certificate)
    ends = [
        check_server(ca, server, name, str(home.certificate), clock())
        for name in home.values.tls.names
    ]
    if not is_key_of(read_private(home.server_key), server, str(home.server_key)):
        raise EnvelopeError(
            f"{home.server_key} is not the key of the certificate: fedcc aggregator renew."
        )
    remedy = "Run fedcc aggregator renew."
    names = ", ".join(home.values.tls.names)
    return lasting(min(ends), f"the certificate for {names}", settings, clock(), remedy)
