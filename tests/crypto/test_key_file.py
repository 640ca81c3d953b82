"""Private keys at rest: known files open for ever; altered, hostile or foreign ones never do."""

import json
import os
import resource
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from vectors import record_key_files as recorded

from fedcc.crypto.key_file import (
    Identity,
    KeyFile,
    Passphrase,
    lock,
    parse_key,
    read_key,
    write_key,
)
from fedcc.crypto.keys import verify_signature
from fedcc.crypto.statements import canonical, signed_bytes
from fedcc.errors import ConfigError, EnvelopeError, FedccError, RecordError

VECTORS = Path(__file__).parents[1] / "vectors"
NOW = datetime(2026, 11, 22, 11, 30, tzinfo=UTC)
SECRET = KeyFile(recorded.KEY_FILE)
UNLOCKERS = {"passphrase": Passphrase(recorded.PASSPHRASE), "key": SECRET}


def vector(name: str) -> bytes:
    return (VECTORS / f"key_file_{name}.json").read_bytes()


@pytest.fixture
def values() -> dict[str, Any]:
    """A known file as values, to be altered."""
    return dict(json.loads(vector("key")))


# Known answers


@pytest.mark.parametrize("name", UNLOCKERS)
def test_a_known_file_opens_for_ever(name: str) -> None:
    identity = parse_key(vector(name), "lisbon.key.json").unlock(UNLOCKERS[name])

    # RFC 8032, section 7.1, test 1: the key, and its signature of nothing.
    assert (identity.role, identity.name) == ("site", "lisbon")
    assert identity.private.hex() == recorded.PRIVATE
    assert identity.public.hex() == recorded.PUBLIC


@pytest.mark.parametrize("name", UNLOCKERS)
def test_the_known_files_are_what_other_libraries_make(name: str) -> None:
    assert vector(name) == recorded.content(recorded.LOCKS[name])


@pytest.mark.parametrize("name", UNLOCKERS)
def test_fedcc_locks_a_key_to_the_byte_as_other_libraries_do(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = {32: recorded.SALT, 12: recorded.NONCE}
    monkeypatch.setattr(os, "urandom", fixed.__getitem__)
    identity = Identity("site", "lisbon", "2026-11-22T11:30:00Z", bytes.fromhex(recorded.PRIVATE))

    assert lock(identity, UNLOCKERS[name]) == vector(name)


def test_a_passphrase_is_the_same_however_its_letters_are_composed() -> None:
    typed = unicodedata.normalize("NFD", recorded.PASSPHRASE)

    assert typed != recorded.PASSPHRASE
    parse_key(vector("passphrase"), "lisbon.key.json").unlock(Passphrase(typed))


# Round trip


def test_a_new_key_comes_back_from_its_file_and_signs(tmp_path: Path) -> None:
    identity = Identity.create("site", "lisbon", NOW)
    write_key(tmp_path / "new" / "lisbon.key.json", identity, SECRET)

    locked = read_key(tmp_path / "new" / "lisbon.key.json")
    opened = locked.unlock(SECRET)

    assert (locked.name, locked.role, locked.public) == ("lisbon", "site", identity.public)
    body: dict[str, object] = {"a": 1}
    verify_signature(identity.public, opened.sign("note", body), signed_bytes("note", body))
    assert (tmp_path / "new" / "lisbon.key.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_a_signature_says_nothing_as_another_kind_of_statement() -> None:
    identity = Identity.create("site", "lisbon", NOW)

    with pytest.raises(EnvelopeError):
        verify_signature(identity.public, identity.sign("card", {}), signed_bytes("roster", {}))


def test_two_files_of_one_key_share_neither_salt_nor_nonce_nor_ciphertext() -> None:
    identity = Identity.create("site", "lisbon", NOW)

    first, second = (json.loads(lock(identity, SECRET)) for _ in range(2))

    assert first["lock"]["salt"] != second["lock"]["salt"]
    assert first["nonce"] != second["nonce"] and first["sealed"] != second["sealed"]


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "lisbon.key.json"
    write_key(path, Identity.create("site", "lisbon", NOW), SECRET)
    before = path.read_bytes()

    with pytest.raises(ConfigError, match="exists"):
        write_key(path, Identity.create("site", "lisbon", NOW), SECRET)

    assert path.read_bytes() == before


def test_nothing_that_is_printed_holds_a_secret() -> None:
    identity = Identity.create("site", "lisbon", NOW)
    shown = [repr(identity), repr(SECRET), repr(Passphrase("a secret passphrase"))]
    shown.append(repr(parse_key(lock(identity, SECRET), "lisbon.key.json")))

    for text in shown:
        assert identity.private.hex() not in text and repr(identity.private) not in text
        assert repr(recorded.KEY_FILE) not in text and "secret" not in text
        assert "sealed" not in text


# What must not open


def test_no_byte_of_a_key_file_can_change() -> None:
    content = vector("key")
    for place in range(len(content)):
        for bit in (0x01, 0x20, 0x80):  # 0x20 turns a into A
            altered = bytearray(content)
            altered[place] ^= bit
            with pytest.raises(FedccError) as refusal:
                parse_key(bytes(altered), "lisbon.key.json").unlock(SECRET)
            assert str(refusal.value).startswith("lisbon.key.json")
            assert recorded.PRIVATE not in str(refusal.value)
            assert refusal.value.exit_code in (3, 6)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "porto"),
        ("role", "admin"),
        ("created_at", "2026-11-22T11:30:01Z"),
        ("identity", "11" * 32),
        ("nonce", "00" * 12),
        ("sealed", "00" * 48),
        ("lock", {"by": "key_file", "kdf": "hkdf-sha256", "salt": "00" * 32}),
    ],
)
def test_what_can_be_read_in_a_key_file_is_bound_to_the_key(
    values: dict[str, Any], key: str, value: object
) -> None:
    # The twin of the file above: every altered file is a well-formed one.
    values[key] = value

    with pytest.raises(EnvelopeError, match="does not open"):
        parse_key(canonical(values), "lisbon.key.json").unlock(SECRET)


def test_a_wrong_passphrase_and_an_altered_file_are_told_in_the_same_words() -> None:
    locked = parse_key(vector("passphrase"), "lisbon.key.json")
    altered = {**json.loads(vector("passphrase")), "sealed": "00" * 48}

    with pytest.raises(EnvelopeError) as wrong:
        locked.unlock(Passphrase("another passphrase"))
    with pytest.raises(EnvelopeError) as tampered:
        parse_key(canonical(altered), "lisbon.key.json").unlock(UNLOCKERS["passphrase"])

    assert str(wrong.value) == str(tampered.value)
    assert "another" not in str(wrong.value) and wrong.value.__cause__ is None


def test_another_key_file_does_not_open_it() -> None:
    with pytest.raises(EnvelopeError, match="the key file is not the one"):
        parse_key(vector("key"), "lisbon.key.json").unlock(KeyFile(bytes(range(32))))


@pytest.mark.parametrize(("name", "other"), [("passphrase", "key"), ("key", "passphrase")])
def test_the_wrong_way_of_unlocking_names_the_right_option(name: str, other: str) -> None:
    with pytest.raises(ConfigError, match="--passphrase-file" if name == "passphrase" else "--key"):
        parse_key(vector(name), "lisbon.key.json").unlock(UNLOCKERS[other])


# Hostile files


@pytest.mark.parametrize(
    "change",
    [
        {"log2_n": 40},  # a terabyte and more
        {"log2_n": 20},
        {"log2_n": 14},  # cheap to try passphrases on
        {"log2_n": 1},
        {"log2_n": 0},
        {"log2_n": -1},
        {"log2_n": 17.0},
        {"log2_n": True},
        {"log2_n": "17"},
        {"r": 1 << 30},
        {"r": 1},
        {"p": 1 << 20},
        {"p": 0},
        {"kdf": "argon2id"},
        {"kdf": "hkdf-sha256"},
        {"by": "nothing"},
        {"by": ["passphrase"]},
        {"salt": ""},
        {"salt": "00"},
        {"more": 1},
    ],
)
def test_a_hostile_lock_is_refused_before_any_work_is_done_for_it(change: dict[str, Any]) -> None:
    values = json.loads(vector("passphrase"))
    values["lock"].update(change)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(EnvelopeError, match=r"lisbon\.key\.json, lock"):
        parse_key(canonical(values), "lisbon.key.json")

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10  # KiB


@pytest.mark.parametrize("missing", sorted(json.loads(vector("key")).keys() - {"kind", "version"}))
def test_a_file_that_lacks_a_key_is_refused(values: dict[str, Any], missing: str) -> None:
    del values[missing]

    with pytest.raises(EnvelopeError, match=f"lacks .*{missing}"):
        parse_key(canonical(values), "lisbon.key.json")


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b"[" * 50_000])
def test_what_is_no_key_file_is_named(content: bytes) -> None:
    with pytest.raises(RecordError, match=r"^lisbon\.key\.json is not a key file"):
        parse_key(content, "lisbon.key.json")


# What locks


@pytest.mark.parametrize("text", ["", "short", "eleven char", " " * 20, "x" * 1025])
def test_a_passphrase_that_is_short_empty_or_endless_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="at least 12") as refusal:
        Passphrase(text)

    assert not text.strip() or text not in str(refusal.value)


BAD_KEY_FILES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "short": lambda: bytes(range(31)),
    "long": lambda: bytes(range(33)),
    "not random": lambda: bytes(32),
    "a word": lambda: b"password" * 4,
}


@pytest.mark.parametrize("make", BAD_KEY_FILES.values(), ids=BAD_KEY_FILES)
def test_a_key_file_that_is_not_32_random_bytes_is_refused(make: Callable[[], bytes]) -> None:
    with pytest.raises(ConfigError, match="32 random bytes"):
        KeyFile(make())


def test_too_little_memory_is_said_and_nothing_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoMemory:
        def __init__(self, *arguments: object, **named: object) -> None:
            pass

        def derive(self, secret: bytes) -> bytes:
            raise MemoryError

    monkeypatch.setattr("fedcc.crypto.key_file.Scrypt", NoMemory)

    with pytest.raises(ConfigError, match="128 MiB"):  # 128 N r bytes, RFC 7914, section 2
        parse_key(vector("passphrase"), "lisbon.key.json").unlock(UNLOCKERS["passphrase"])
