"""What a site hands to the consortium's admin: its card, and a hand-over to a new identity.

A card shows a public key and is signed with it, so nobody enters a key that is not his own. A
hand-over is signed with both keys: the old one says who follows, the new one that it agrees. It is
worth as much as the old key: one that was stolen has to be revoked, and a new card checked over the
phone. Both are public and are carried by people or mail, not by the protocol.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedcc.crypto.key_file import Identity, Role
from fedcc.crypto.keys import verify_signature
from fedcc.crypto.statements import (
    VERSION,
    Fields,
    canonical,
    parse,
    read_public,
    signed_bytes,
    when,
)
from fedcc.errors import EnvelopeError

_CARD_KEYS = frozenset("role name identity created_at signature".split())
_HAND_OVER_KEYS = frozenset("name old new made_at signature_old signature_new".split())


@dataclass(frozen=True)
class Card:
    """The public key that a site or an admin goes by."""

    role: Role
    name: str
    identity: bytes  # Ed25519 public key, 32 bytes
    created_at: str


@dataclass(frozen=True)
class HandOver:
    """A site's statement that a new identity takes the place of its old one."""

    name: str
    old: bytes
    new: bytes
    made_at: str


def card_file(identity: Identity) -> bytes:
    """Return the content of an identity's card."""
    body: dict[str, object] = {
        "role": identity.role,
        "name": identity.name,
        "identity": identity.public.hex(),
        "created_at": identity.created_at,
    }
    signature = identity.sign("card", body).hex()
    return canonical({**body, "kind": "card", "version": VERSION, "signature": signature})


def read_card(path: Path) -> Card:
    """Read a card; that it belongs to whom it names is told by its fingerprint alone.

    Raises:
        RecordError: if it cannot be read or is no card.
        EnvelopeError: if it was altered, or is not signed with the key that it shows.
    """
    source = str(path)
    values = parse(read_public(path), "card", _CARD_KEYS, source)
    fields = Fields(values, frozenset(values), source)
    role = fields.one_of("role", ("site", "admin"))
    body = {key: values[key] for key in _CARD_KEYS - {"signature"}}
    identity, signature = fields.identity("identity"), fields.binary("signature", 64)
    _verify(identity, signature, signed_bytes("card", body), source)
    return Card(
        "site" if role == "site" else "admin",
        fields.name("name"),
        identity,
        fields.time("created_at"),
    )


def hand_over_file(old: Identity, new: Identity, now: datetime) -> bytes:
    """Return the content of a hand-over from a site's old identity to its new one."""
    body: dict[str, object] = {
        "name": old.name,
        "old": old.public.hex(),
        "new": new.public.hex(),
        "made_at": when(now),
    }
    signatures = {
        "signature_old": old.sign("hand-over", body).hex(),
        "signature_new": new.sign("hand-over-taken", body).hex(),
    }
    return canonical({**body, **signatures, "kind": "hand-over", "version": VERSION})


def read_hand_over(path: Path) -> HandOver:
    """Read a hand-over and check both signatures.

    Raises:
        RecordError: if it cannot be read or is no hand-over.
        EnvelopeError: if it was altered, or one of the two keys did not sign it.
    """
    return parse_hand_over(read_public(path), str(path))


def parse_hand_over(content: bytes, source: str) -> HandOver:
    """Check the content of a hand-over's file; see `read_hand_over`."""
    values = parse(content, "hand-over", _HAND_OVER_KEYS, source)
    fields = Fields(values, frozenset(values), source)
    body = {key: values[key] for key in ("name", "old", "new", "made_at")}
    old, new = fields.identity("old"), fields.identity("new")
    if old == new:
        raise EnvelopeError(f"{source}: the new identity is the old one.")
    for key, kind, identity in (
        ("signature_old", "hand-over", old),
        ("signature_new", "hand-over-taken", new),
    ):
        _verify(identity, fields.binary(key, 64), signed_bytes(kind, body), source)
    return HandOver(fields.name("name"), old, new, fields.time("made_at"))


def _verify(identity: bytes, signature: bytes, message: bytes, source: str) -> None:
    try:
        verify_signature(identity, signature, message)
    except EnvelopeError:
        raise EnvelopeError(f"{source}: a signature does not match its key.") from None
