"""What the admin hands back to a site: whom to dial, whom to trust, who takes part.

A bundle holds nothing secret. It is signed by the admin, whose fingerprint the site's operator has
heard over the phone: a bundle never vouches for itself.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedcc.crypto.consortium import Roster, trusted_roster
from fedcc.crypto.key_file import Identity
from fedcc.crypto.statements import (
    VERSION,
    canonical,
    read_of_admin,
    read_public,
    when,
)
from fedcc.deployment.certificates import check_authority, general_name
from fedcc.deployment.node_keys import parse_public
from fedcc.errors import ConfigError, EnvelopeError

KIND = "site-bundle"
_SIGNED = frozenset("consortium admin site identity node host port ca roster issued_at".split())


@dataclass(frozen=True, kw_only=True)
class SiteBundle:
    """A bundle whose signature and parts were found right."""

    site: str
    admin: bytes
    identity: bytes
    node: str
    host: str
    port: int
    ca: bytes
    roster: Roster
    roster_file: bytes
    issued_at: str


def bundle_file(
    roster: Roster,
    roster_file: bytes,
    admin: Identity,
    *,
    site: str,
    node: str,
    host: str,
    port: int,
    ca: bytes,
    now: datetime,
) -> bytes:
    """Return the content of one site's bundle."""
    body: dict[str, object] = {
        "consortium": roster.consortium,
        "admin": admin.public.hex(),
        "site": site,
        "identity": roster.identities()[site].hex(),
        "node": node,
        "host": host,
        "port": port,
        "ca": ca.decode("ascii"),
        "roster": roster_file.decode("ascii"),
        "issued_at": when(now),
    }
    signature = admin.sign(KIND, body).hex()
    return canonical({**body, "kind": KIND, "version": VERSION, "signature": signature})


def read_bundle(path: Path, admin_fingerprint: str, now: datetime) -> SiteBundle:
    """Read a bundle and check everything that can be checked without the site's own files.

    Raises:
        RecordError: if it cannot be read or is no bundle.
        EnvelopeError: if it was altered or contradicts itself, or its authority is not valid.
        ProtocolError: if another admin signed it.
        ConfigError: if the fingerprint is none.
    """
    source = str(path)
    values, fields, admin = read_of_admin(
        read_public(path), KIND, _SIGNED, source, admin_fingerprint=admin_fingerprint
    )
    ca, roster_file = (_text(values[key], f"{source}, {key}") for key in ("ca", "roster"))
    check_authority(ca, f"{source}, ca", now)
    roster = trusted_roster(roster_file, f"{source}, roster", admin_fingerprint)
    bundle = SiteBundle(
        site=fields.name("site"),
        admin=admin,
        identity=fields.identity("identity"),
        node=str(values["node"]),
        host=_host(values["host"], source),
        port=fields.count("port", 1),
        ca=ca,
        roster=roster,
        roster_file=roster_file,
        issued_at=fields.time("issued_at"),
    )
    parse_public(values["node"], f"{source}, node")
    agrees = roster.identities().get(bundle.site) == bundle.identity
    if not agrees or roster.consortium != fields.name("consortium") or bundle.port > 65535:
        raise EnvelopeError(f"{source} contradicts the roster that it holds.")
    return bundle


def _text(value: object, where: str) -> bytes:
    if not isinstance(value, str) or not value.isascii():
        raise EnvelopeError(f"{where}: not a text.")
    return value.encode("ascii")


def _host(value: object, source: str) -> str:
    try:
        general_name(str(value))
    except ConfigError:
        raise EnvelopeError(f"{source}, host: not the name of a server.") from None
    return str(value)
