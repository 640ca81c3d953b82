"""One encoding per content, keys under which only their owner signs, and fingerprints."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from fedcc.crypto.statements import (
    MAX_FILE_BYTES,
    Fields,
    canonical,
    check_fingerprint,
    check_name,
    fingerprint,
    kind_of,
    parse,
    read_public,
    signed_bytes,
    when,
)
from fedcc.errors import ConfigError, EnvelopeError, ProtocolError, RecordError

KEY = bytes(range(32))
KEYS = frozenset({"value"})
GOOD = canonical({"kind": "note", "version": 1, "value": 3})


def field(value: object) -> Fields:
    return Fields({"value": value}, KEYS, "note.json")


# The file


def test_a_statement_comes_back_from_its_file() -> None:
    assert parse(GOOD, "note", KEYS, "note.json")["value"] == 3


OTHER_FORMS = {
    "a blank more": GOOD.replace(b": 3", b":  3"),
    "a line end less": GOOD[:-1],
    "a float": GOOD.replace(b"3", b"3.0e0"),
    "another order": b'{\n  "version": 1,\n  "kind": "note",\n  "value": 3\n}\n',
    "a repeated key": GOOD.replace(b'"value": 3', b'"value": 4,\n  "value": 3'),
    "an escape": GOOD.replace(b"note", b"\\u006eote"),
    "a mark in front": b"\xef\xbb\xbf" + GOOD,
}


@pytest.mark.parametrize("content", OTHER_FORMS.values(), ids=OTHER_FORMS)
def test_a_file_in_another_form_is_refused(content: bytes) -> None:
    # Two readers that take one file in two ways would see two statements under one signature.
    with pytest.raises((EnvelopeError, RecordError)):
        parse(content, "note", KEYS, "note.json")


NOT_A_STATEMENT = [b"", b"\xff", b"[]", b"3", b"{}", b"[" * 100_000, b'{"kind": "other"}']


@pytest.mark.parametrize("content", NOT_A_STATEMENT, ids=range(len(NOT_A_STATEMENT)))
def test_what_is_no_statement_is_named_by_its_file(content: bytes) -> None:
    with pytest.raises(RecordError, match=r"^note\.json is not a note file"):
        parse(content, "note", KEYS, "note.json")


@pytest.mark.parametrize("version", [0, 2, True, 1.0, "1", None])
def test_a_version_that_is_not_known_is_refused(version: object) -> None:
    content = canonical({"kind": "note", "version": version, "value": 3})

    with pytest.raises(RecordError, match="version"):
        parse(content, "note", KEYS, "note.json")


@pytest.mark.parametrize("values", [{}, {"value": 3, "sécret": 4}])
def test_a_missing_or_unknown_key_is_refused_and_not_quoted(values: dict[str, Any]) -> None:
    content = canonical({"kind": "note", "version": 1, **values})

    with pytest.raises(EnvelopeError) as refusal:
        parse(content, "note", KEYS, "note.json")

    assert "cret" not in str(refusal.value)


@given(
    first=st.dictionaries(st.text(), st.integers()),
    second=st.dictionaries(st.text(), st.integers()),
)
def test_two_statements_never_share_their_signed_bytes(
    first: dict[str, int], second: dict[str, int]
) -> None:
    same = signed_bytes("a", first) == signed_bytes("a", second)

    assert same == (first == second)
    assert signed_bytes("a", first) != signed_bytes("b", first)


def test_a_public_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "note.json").write_bytes(GOOD)

    assert read_public(tmp_path / "note.json") == GOOD
    assert kind_of(tmp_path / "note.json") == "note"


UNREADABLE: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),  # would otherwise be waited for
    "endless": lambda path: path.write_bytes(bytes(MAX_FILE_BYTES + 1)),
}


@pytest.mark.parametrize("make", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_as_a_file_is_refused(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "note.json")

    with pytest.raises(RecordError, match="note.json"):
        read_public(tmp_path / "note.json")


# Its fields


BAD_FIELDS: list[tuple[str, tuple[Any, ...], list[object]]] = [
    ("name", (), ["", "Lisbon", "a b", "-a", "a" * 64, "a/b", "..", "é", 3, None, ["a"]]),
    ("binary", (2,), ["", "00", "0000 ", "AB00", "zz00", "000000", 3, None]),
    ("count", (1,), [0, -1, 1.0, True, "1", None, 2**53]),
    ("time", (), ["2026-11-22", "2026-11-22T11:30:00", "2026-1-2T11:30:00Z", "now", 3, None]),
    ("one_of", (("a", "b"),), ["c", "", 3, None, ["a"]]),
    ("objects", (), ["[]", {}, None]),
]


@pytest.mark.parametrize(
    ("read", "arguments", "value"),
    [(read, arguments, value) for read, arguments, values in BAD_FIELDS for value in values],
)
def test_a_field_of_the_wrong_kind_is_named_and_not_quoted(
    read: str, arguments: tuple[Any, ...], value: object
) -> None:
    with pytest.raises(EnvelopeError, match=r"^note\.json, value: not "):
        getattr(field(value), read)("value", *arguments)


@pytest.mark.parametrize("values", [None, [], "text", {}, {"value": 1, "more": 2}])
def test_what_is_not_an_object_with_the_named_keys_is_refused(values: object) -> None:
    with pytest.raises(EnvelopeError, match=r"^note\.json"):
        Fields(values, KEYS, "note.json")


def test_a_time_is_written_in_utc_whatever_zone_it_was_told_in() -> None:
    lisbon = datetime(2026, 7, 1, 12, 30, tzinfo=timezone(timedelta(hours=1)))

    assert when(lisbon) == "2026-07-01T11:30:00Z" == field(when(lisbon)).time("value")


def test_a_name_that_a_user_cannot_give_is_refused_with_its_option() -> None:
    assert check_name("lisbon-2", "--site") == "lisbon-2"
    with pytest.raises(ConfigError, match="--site"):
        check_name("../lisbon", "--site")


# Public keys under which anybody can sign. The group of Ed25519 is computed here from RFC 8032,
# section 5.1, and shares nothing with the table in fedcc.

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    (x1, y1), (x2, y2) = a, b
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P
    return x, y


def points_at(y: int) -> list[tuple[int, int]]:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    if root * root % P != square:
        root = root * pow(2, (P - 1) // 4, P) % P
    return [] if root * root % P != square else [(root, y), (-root % P, y)]


def multiple(scalar: int, point: tuple[int, int]) -> tuple[int, int]:
    result = (0, 1)
    for bit in bin(scalar)[2:]:
        result = add(result, result)
        result = add(result, point) if bit == "1" else result
    return result


def small_order_encodings() -> set[bytes]:
    """Every encoding, reduced or not, of the eight points whose order divides 8."""
    order = 2**252 + 27742317777372353535851937790883648493
    torsion: set[tuple[int, int]] = set()
    y = 2
    while len(torsion) < 8:  # order x point is a point of small order; some point yields order 8
        for point in points_at(y):
            base = multiple(order, point)
            torsion |= {multiple(k, base) for k in range(8)}
        y += 1
    return {
        (number | sign << 255).to_bytes(32, "little")
        for _, y in torsion
        for number in (y, y + P)
        if number < 2**255
        for sign in (0, 1)
    }


def test_exactly_the_keys_of_small_order_are_refused() -> None:
    found = small_order_encodings()

    assert len(found) == 14
    for key in found:
        with pytest.raises(EnvelopeError, match="Ed25519"):
            field(key.hex()).identity("value")
    assert field(KEY.hex()).identity("value") == KEY


def test_under_a_key_of_small_order_anybody_can_sign() -> None:
    # The reason: R = B, S = 1 holds for every message under the neutral element.
    neutral = (1).to_bytes(32, "little")
    base = (4 * pow(5, -1, P) % P).to_bytes(32, "little")

    for message in (b"one", b"another"):
        Ed25519PublicKey.from_public_bytes(neutral).verify(base + neutral, message)


# Fingerprints


def test_a_fingerprint_is_160_bits_of_a_hash_in_groups_that_can_be_read_aloud() -> None:
    # Second source, coreutils: the bytes `fedcc/fingerprint/v1` and 0 to 31 through sha256sum, the
    # first 40 digits through `tr a-f A-F | basenc --base16 -d | base32`.
    assert fingerprint(KEY) == "EOFO-W5DP-K7KA-AYHD-6JJD-LD2N-FRVU-VKFE"


@pytest.mark.parametrize("change", [str.lower, lambda t: t.replace("-", ""), lambda t: f" {t}\n"])
def test_a_fingerprint_is_known_however_it_is_typed(change: Callable[[str], str]) -> None:
    check_fingerprint(change(fingerprint(KEY)), KEY, "lisbon")


def test_the_fingerprint_of_another_key_is_refused() -> None:
    with pytest.raises(ProtocolError, match="not that of lisbon"):
        check_fingerprint(fingerprint(bytes(32)), KEY, "lisbon")


@pytest.mark.parametrize("length", [0, 4, 31, 33])
def test_a_part_of_a_fingerprint_is_never_enough(length: int) -> None:
    text = (fingerprint(KEY).replace("-", "") + "A")[:length]

    with pytest.raises(ConfigError, match="8 groups"):
        check_fingerprint(text, KEY, "lisbon")


def test_every_letter_of_a_fingerprint_counts() -> None:
    text = fingerprint(KEY)
    for place, letter in enumerate(text):
        if letter != "-":
            wrong = text[:place] + ("A" if letter != "A" else "B") + text[place + 1 :]
            with pytest.raises(ProtocolError):
                check_fingerprint(wrong, KEY, "lisbon")


def test_canonical_files_are_ascii_and_end_with_a_line() -> None:
    content = canonical({"b": "é", "a": [1]})

    assert content.isascii() and content.endswith(b"}\n")
    assert list(json.loads(content)) == ["a", "b"]


def test_a_time_without_a_zone_is_taken_for_utc() -> None:
    assert when(datetime(2026, 1, 2)) == when(datetime(2026, 1, 2, tzinfo=UTC))
