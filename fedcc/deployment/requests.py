"""What a site hands to the admin: its identity and its node key, each proven by a signature.

Both keys sign the whole request, so the fingerprint of the identity, read over the phone, stands
for the node key as well. A request after a rotation holds the old identity's hand-over to the new
one; it needs no phone call, for it is worth as much as the old key. A request is public.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedcc.crypto.cards import Card, HandOver, parse_hand_over
from fedcc.crypto.key_file import Identity
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
from fedcc.deployment.node_keys import NodeKey, verify_node
from fedcc.errors import EnvelopeError
from fedcc.version import __version__

KIND = "site-request"
NODE_KIND = "site-request-node"
_SIGNED = frozenset("site identity node hand_over fedcc made_at".split())
_KEYS = _SIGNED | {"signature", "signature_node"}


@dataclass(frozen=True, kw_only=True)
class SiteRequest:
    """A request whose signatures were found right."""

    site: str
    identity: bytes
    node: str
    hand_over: HandOver | None
    fedcc: str  # version that wrote it
    made_at: str

    @property
    def card(self) -> Card:
        """The identity, as the roster takes it in."""
        return Card("site", self.site, self.identity, self.made_at)


def request_file(
    identity: Identity, node: NodeKey, now: datetime, hand_over: bytes | None = None
) -> bytes:
    """Return the content of a request's file.

    Args:
        identity: of the site; after a rotation the new one.
        node: its node key.
        now: when.
        hand_over: content of the hand-over's file, after a rotation.
    """
    body: dict[str, object] = {
        "site": identity.name,
        "identity": identity.public.hex(),
        "node": node.public,
        "hand_over": None if hand_over is None else json.loads(hand_over),
        "fedcc": __version__,
        "made_at": when(now),
    }
    signatures = {
        "signature": identity.sign(KIND, body).hex(),
        "signature_node": node.sign(signed_bytes(NODE_KIND, body)).hex(),
    }
    return canonical({**body, **signatures, "kind": KIND, "version": VERSION})


def read_request(path: Path) -> SiteRequest:
    """Read a request; that it is from the site it names is told by the fingerprint alone.

    Raises:
        RecordError: if it cannot be read or is no request.
        EnvelopeError: if it was altered, or one of its keys did not sign it.
    """
    source = str(path)
    values = parse(read_public(path), KIND, _KEYS, source)
    fields = Fields(values, _KEYS | {"kind", "version"}, source)
    body = {key: values[key] for key in _SIGNED}
    identity, node = fields.identity("identity"), values["node"]
    try:
        verify_signature(identity, fields.binary("signature", 64), signed_bytes(KIND, body))
    except EnvelopeError:
        raise EnvelopeError(f"{source} is not signed with the identity that it shows.") from None
    proof = _der(values["signature_node"], source)
    verify_node(node, proof, signed_bytes(NODE_KIND, body), f"{source}, node")
    request = SiteRequest(
        site=fields.name("site"),
        identity=identity,
        node=node,
        hand_over=_hand_over(values["hand_over"], source),
        fedcc=_version(values["fedcc"], source),
        made_at=fields.time("made_at"),
    )
    follows = request.hand_over
    if follows is not None and (follows.name, follows.new) != (request.site, identity):
        raise EnvelopeError(f"{source}, hand_over: it is not to the identity that asks.")
    return request


def _der(value: object, source: str) -> bytes:
    try:
        if isinstance(value, str) and len(value) <= 256:
            return bytes.fromhex(value)
    except ValueError:
        pass
    raise EnvelopeError(f"{source}, signature_node: not a signature in hexadecimal.")


def _hand_over(value: object, source: str) -> HandOver | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise EnvelopeError(f"{source}, hand_over: neither null nor a hand-over.")
    return parse_hand_over(canonical(value), f"{source}, hand_over")


def _version(value: object, source: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 32 or not value.isprintable():
        raise EnvelopeError(f"{source}, fedcc: not a version.")
    return value
