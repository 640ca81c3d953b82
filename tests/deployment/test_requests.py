"""A request is worth something only with both signatures over the whole of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deployment.installation import NOW, UNLOCKER

from fedcc.crypto.cards import hand_over_file
from fedcc.crypto.key_file import Identity
from fedcc.crypto.statements import canonical, signed_bytes
from fedcc.deployment.node_keys import NodeKey
from fedcc.deployment.requests import KIND, read_request, request_file
from fedcc.deployment.site_setup import init_site
from fedcc.errors import EnvelopeError, RecordError


def identity(name: str = "lisbon") -> Identity:
    return Identity.create("site", name, NOW)


def read(folder: Path, content: bytes) -> Any:
    path = folder / "a.request.json"
    path.write_bytes(content)
    return read_request(path)


def test_a_request_says_what_the_site_made(tmp_path: Path) -> None:
    made = init_site(tmp_path / "lisbon", "lisbon", UNLOCKER, NOW)

    request = read_request(made.request)

    assert (request.site, request.identity) == ("lisbon", made.identity.public)
    assert (request.node, request.hand_over) == (made.node.public, None)


def other_node(values: dict[str, Any]) -> None:
    values["node"] = NodeKey.create().public


def other_name(values: dict[str, Any]) -> None:
    values["site"] = "porto"


def other_identity(values: dict[str, Any]) -> None:
    values["identity"] = identity().public.hex()


def no_node_proof(values: dict[str, Any]) -> None:
    values["signature_node"] = ""


def later(values: dict[str, Any]) -> None:
    values["made_at"] = "2027-01-01T00:00:00Z"


@pytest.mark.parametrize("change", [other_node, other_name, other_identity, no_node_proof, later])
def test_an_altered_request_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    values = json.loads(request_file(identity(), NodeKey.create(), NOW))
    change(values)

    with pytest.raises(EnvelopeError):
        read(tmp_path, canonical(values))


def test_somebody_elses_node_key_cannot_be_claimed(tmp_path: Path) -> None:
    """The identity signs for a node key that it does not have."""
    own, victim = identity(), NodeKey.create()
    values = json.loads(request_file(own, NodeKey.create(), NOW))
    values["node"] = victim.public
    body = {k: v for k, v in values.items() if not k.startswith("sig") and k not in _FRAME}
    values["signature"] = own.sign(KIND, body).hex()

    with pytest.raises(EnvelopeError, match="its owner did not sign"):
        read(tmp_path, canonical(values))


_FRAME = ("kind", "version")


def test_a_hand_over_to_another_identity_is_refused(tmp_path: Path) -> None:
    old, new, thief = identity(), identity(), identity()
    fair = request_file(new, NodeKey.create(), NOW, hand_over_file(old, new, NOW))
    stolen = request_file(thief, NodeKey.create(), NOW, hand_over_file(old, new, NOW))

    assert read(tmp_path, fair).hand_over.old == old.public
    with pytest.raises(EnvelopeError, match="not to the identity that asks"):
        read(tmp_path, stolen)


def test_a_signature_of_another_kind_of_statement_is_none(tmp_path: Path) -> None:
    own, node = identity(), NodeKey.create()
    values = json.loads(request_file(own, node, NOW))
    body = {k: v for k, v in values.items() if not k.startswith("sig") and k not in _FRAME}
    values["signature"] = own.sign("card", body).hex()
    values["signature_node"] = node.sign(signed_bytes("site-request-node", body)).hex()

    with pytest.raises(EnvelopeError, match="not signed with the identity"):
        read(tmp_path, canonical(values))


def test_a_file_of_another_kind_is_no_request(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="not a site-request"):
        read(tmp_path, b"{}")
