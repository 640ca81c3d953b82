"""The signed roster of a consortium: which sites belong to it, under which keys, of whom.

The admin signs it; every site checks it against the admin's fingerprint, agreed on over the phone.
Serials only rise: a site that holds a roster takes no older one, no second one of the same serial,
and none that forgets a revocation. That a newer one was kept from a site cannot show here; its date
of issue can. A roster is public. The admin holds no key of a site and can read nothing, but may let
in anybody. How a roster changes is in `roster_changes`.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fedcc.crypto.key_file import Identity
from fedcc.crypto.statements import (
    VERSION,
    Fields,
    canonical,
    check_fingerprint,
    read_of_any_admin,
    read_public,
    signed_bytes,
)
from fedcc.errors import ConfigError, EnvelopeError, ProtocolError

KIND = "roster"
NO_PREVIOUS = bytes(32)
_SIGNED = frozenset("consortium admin serial issued_at previous sites revoked".split())
_SITE_KEYS = frozenset("site organisation identity added_at".split())
_REVOKED_KEYS = frozenset("site identity revoked_at".split())


@dataclass(frozen=True)
class RosterSite:
    """A site that takes part."""

    site: str
    organisation: str
    identity: bytes
    added_at: str


@dataclass(frozen=True)
class RevokedKey:
    """An identity that never takes part again."""

    site: str
    identity: bytes
    revoked_at: str


@dataclass(frozen=True, kw_only=True)
class Roster:
    """The sites of a consortium at one time; sorted, so that one set of sites is one file."""

    consortium: str
    admin: bytes  # Ed25519 public key of who signs
    serial: int  # from 1, one more with every change
    issued_at: str
    previous: bytes  # SHA-256 of the file before this one
    sites: tuple[RosterSite, ...]
    revoked: tuple[RevokedKey, ...]

    @property
    def body(self) -> dict[str, object]:
        """What is signed, as plain values."""
        return {
            "consortium": self.consortium,
            "admin": self.admin.hex(),
            "serial": self.serial,
            "issued_at": self.issued_at,
            "previous": self.previous.hex(),
            "sites": [
                {
                    "site": one.site,
                    "organisation": one.organisation,
                    "identity": one.identity.hex(),
                    "added_at": one.added_at,
                }
                for one in self.sites
            ],
            "revoked": [
                {"site": one.site, "identity": one.identity.hex(), "revoked_at": one.revoked_at}
                for one in self.revoked
            ],
        }

    @property
    def sha256(self) -> bytes:
        """Hash of what is signed; the next roster names it."""
        return hashlib.sha256(signed_bytes(KIND, self.body)).digest()

    def organisations(self) -> dict[str, str]:
        """Return the organisation of each site, as `federation.organisations` wants it."""
        return {one.site: one.organisation for one in self.sites}

    def identities(self) -> dict[str, bytes]:
        """Return the identity key of each site."""
        return {one.site: one.identity for one in self.sites}


def sign(roster: Roster, admin: Identity) -> bytes:
    """Return the content of a roster's file.

    Raises:
        ProtocolError: if this is not the key that the roster names as the admin's.
    """
    if only_admin(admin).public != roster.admin:
        raise ProtocolError("the key is not that of this roster's admin.")
    signature = admin.sign(KIND, roster.body).hex()
    return canonical({**roster.body, "kind": KIND, "version": VERSION, "signature": signature})


def only_admin(identity: Identity) -> Identity:
    """Return the key of an admin.

    Raises:
        ConfigError: if it is that of a site.
    """
    if identity.role != "admin":
        raise ConfigError(
            f"the key of {identity.name} is that of a site. A roster is signed by an admin's: "
            "fedcc keys create --admin NAME."
        )
    return identity


def read_roster(path: Path, admin_fingerprint: str) -> Roster:
    """Read a roster and check that the trusted admin signed it.

    Raises:
        RecordError: if it cannot be read or is no roster.
        EnvelopeError: if it was altered, contradicts itself, or its signature is wrong.
        ProtocolError: if another admin signed it.
        ConfigError: if the fingerprint is none.
    """
    return trusted_roster(read_public(path), str(path), admin_fingerprint)


def trusted_roster(content: bytes, source: str, admin_fingerprint: str) -> Roster:
    """Check the content of a roster's file; see `read_roster`."""
    roster = roster_of_anybody(content, source)
    check_fingerprint(admin_fingerprint, roster.admin, f"the admin who signed {source}")
    return roster


def roster_of_anybody(content: bytes, source: str) -> Roster:
    """Read a roster to show it: whoever it names as its admin signed it, and that may be anybody.

    Raises:
        RecordError, EnvelopeError: see `read_roster`.
    """
    _, fields, admin = read_of_any_admin(content, KIND, _SIGNED, source)
    roster = Roster(
        consortium=fields.name("consortium"),
        admin=admin,
        serial=fields.count("serial", 1),
        issued_at=fields.time("issued_at"),
        previous=fields.binary("previous", 32),
        sites=tuple(_site(one, source) for one in fields.objects("sites")),
        revoked=tuple(_revoked(one, source) for one in fields.objects("revoked")),
    )
    check_consistent(roster, source)
    return roster


def _site(values: object, source: str) -> RosterSite:
    fields = Fields(values, _SITE_KEYS, f"{source}, sites")
    return RosterSite(
        fields.name("site"),
        fields.name("organisation"),
        fields.identity("identity"),
        fields.time("added_at"),
    )


def _revoked(values: object, source: str) -> RevokedKey:
    fields = Fields(values, _REVOKED_KEYS, f"{source}, revoked")
    return RevokedKey(fields.name("site"), fields.identity("identity"), fields.time("revoked_at"))


def check_consistent(roster: Roster, source: str) -> None:
    """Refuse what no roster may hold, whoever signed it.

    Raises:
        EnvelopeError: says what.
    """
    names = [one.site for one in roster.sites]
    gone = [one.identity for one in roster.revoked]
    keys = [one.identity for one in roster.sites] + [roster.admin]
    if len(set(names)) != len(names):
        raise EnvelopeError(f"{source} names a site twice.")
    if len(set(keys)) != len(keys) or len(set(gone)) != len(gone):
        raise EnvelopeError(f"{source} holds one identity twice.")
    if set(keys) & set(gone):
        raise EnvelopeError(f"{source} lets a revoked identity take part. Make a new key.")
    if names != sorted(names) or gone != sorted(gone):
        raise EnvelopeError(f"{source} is not sorted.")
    if (roster.serial == 1) != (roster.previous == NO_PREVIOUS):
        raise EnvelopeError(f"{source} is not the first of its consortium, and names none before.")


def check_follows(new: Roster, held: Roster, source: str) -> None:
    """Check that a site which holds one roster may go on with another.

    Raises:
        ProtocolError: if it is of another consortium or admin, older, a second one of its serial,
            does not follow on the one that is held, or forgets a revocation.
    """
    if (new.consortium, new.admin) != (held.consortium, held.admin):
        raise ProtocolError(f"{source} is the roster of another consortium or admin.")
    if new.serial < held.serial:
        raise ProtocolError(
            f"{source} is an old roster: it has serial {new.serial}, and {held.serial} is held."
        )
    if new.serial == held.serial and new.sha256 != held.sha256:
        raise ProtocolError(
            f"{source} is a second roster of serial {new.serial}. The admin, or a thief, "
            "shows different sites different rosters: stop, and talk to the others."
        )
    if new.serial == held.serial + 1 and new.previous != held.sha256:
        raise ProtocolError(f"{source} does not follow on the roster that is held.")
    if not {one.identity for one in held.revoked} <= {one.identity for one in new.revoked}:
        raise ProtocolError(f"{source} forgets a revocation.")
