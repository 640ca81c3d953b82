"""Whatever a file holds, reading it ends with a refusal that names the file, and not otherwise."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcc.crypto.cards import Card, card_file, hand_over_file, read_card, read_hand_over
from fedcc.crypto.consortium import read_roster, sign
from fedcc.crypto.key_file import Identity, KeyFile, lock, read_key
from fedcc.crypto.roster_changes import add, create, revoke
from fedcc.crypto.statements import canonical, fingerprint
from fedcc.errors import FedccError

NOW = datetime(2026, 11, 22, tzinfo=UTC)
ADMIN = Identity.create("admin", "telco", NOW)
OLD, NEW = (Identity.create("site", "lisbon", NOW) for _ in range(2))
SECRET = KeyFile(bytes(range(32)))
TRUSTED = fingerprint(ADMIN.public)


def roster() -> bytes:
    present = create(ADMIN, "telco-group", NOW)
    for name, key in (("lisbon", OLD), ("porto", NEW)):
        card = Card("site", name, key.public, "2026-11-22T00:00:00Z")
        present = add(present, card, "north", fingerprint(key.public), NOW)
    return sign(revoke(present, "porto", NOW), ADMIN)


FILES: dict[str, tuple[bytes, Callable[[Path], object]]] = {
    "key": (lock(OLD, SECRET), lambda path: read_key(path).unlock(SECRET)),
    "card": (card_file(OLD), read_card),
    "hand-over": (hand_over_file(OLD, NEW, NOW), read_hand_over),
    "roster": (roster(), lambda path: read_roster(path, TRUSTED)),
}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def places(values: Any) -> list[tuple[Any, Any]]:
    """Every (container, key or index) inside some JSON."""
    pairs = values.items() if isinstance(values, dict) else enumerate(values)
    found = []
    for key, inner in pairs:
        found.append((values, key))
        found += places(inner) if isinstance(inner, dict | list) else []
    return found


def read(path: Path, content: bytes, reader: Callable[[Path], object]) -> None:
    """Read some content; anything but an accepted file or a refusal is an error here."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content)
    try:
        reader(path)
    except FedccError as refusal:
        assert str(path) in str(refusal)
        assert refusal.exit_code in (3, 6)
    else:
        raise AssertionError("an altered file was accepted")


@pytest.mark.parametrize("kind", FILES)
def test_the_files_themselves_are_accepted(tmp_path: Path, kind: str) -> None:
    content, reader = FILES[kind]
    with pytest.raises(AssertionError, match="was accepted"):
        read(tmp_path / "file.json", content, reader)


@pytest.mark.parametrize("kind", FILES)
@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_well_formed_file_with_one_value_replaced_is_refused(
    tmp_path: Path, kind: str, data: st.DataObject
) -> None:
    content, reader = FILES[kind]
    values = json.loads(content)
    container, key = data.draw(st.sampled_from(places(values)))
    container[key] = data.draw(anything.filter(lambda new: new != container[key]))

    read(tmp_path / "file.json", canonical(values), reader)


@pytest.mark.parametrize("kind", FILES)
@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_with_a_piece_cut_out_or_put_in_is_refused(
    tmp_path: Path, kind: str, data: st.DataObject
) -> None:
    content, reader = FILES[kind]
    start, stop = sorted(data.draw(st.integers(0, len(content))) for _ in range(2))
    altered = content[:start] + data.draw(st.binary(max_size=20)) + content[stop:]

    if altered != content:
        read(tmp_path / "file.json", altered, reader)


@pytest.mark.parametrize("depth", [10, 100, 300, 500, 900, 2_000, 20_000])
@pytest.mark.parametrize("kind", FILES)
def test_a_file_nested_to_any_depth_is_refused(tmp_path: Path, kind: str, depth: int) -> None:
    content, reader = FILES[kind]
    values = json.loads(content)
    values["identity" if kind in ("key", "card") else "new" if kind == "hand-over" else "sites"] = 7
    nested = canonical(values).replace(b": 7", b": " + b"[" * depth + b"]" * depth)

    read(tmp_path / "file.json", nested, reader)
