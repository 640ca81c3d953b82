"""Signed statements and their files: one encoding for each content, and nothing unsigned in it.

A statement is a small JSON object. Its file is canonical: what does not come back byte for byte
when it is parsed and written again is refused, so repeated keys, other spellings of a number and
blanks have no room. What is signed is bound to the kind of the statement; a signature under one
kind says nothing under another. Files of statements are public.
"""

import base64
import hashlib
import json
import os
import re
import stat
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedcc.crypto.keys import verify_signature
from fedcc.errors import ConfigError, EnvelopeError, ProtocolError, RecordError

VERSION = 1
MAX_FILE_BYTES = 1 << 20
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_HEX = re.compile(r"(?:[0-9a-f]{2})*")
_TIME = "%Y-%m-%dT%H:%M:%SZ"
# Encodings of the points of Ed25519 whose order divides 8, without the sign bit; the last two are
# not reduced mod p. Under such an identity anybody can sign (tests play it).
_SMALL_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)


def canonical(values: Mapping[str, object]) -> bytes:
    """Return the one encoding of a statement's file."""
    return json.dumps(values, sort_keys=True, indent=2).encode() + b"\n"


def signed_bytes(kind: str, body: Mapping[str, object]) -> bytes:
    """Return what a signature over a statement of this kind covers."""
    return json.dumps([f"fedcc/{kind}/v{VERSION}", body], sort_keys=True).encode()


def parse(raw: bytes, kind: str, keys: frozenset[str], source: str) -> dict[str, Any]:
    """Read the canonical file of a statement.

    Args:
        raw: content of the file.
        kind: which statement is wanted.
        keys: the keys besides `kind` and `version`; no other is allowed and none may be missing.
        source: name of the file for errors, which never quote its content.

    Raises:
        RecordError: if it is no such file, or one of a version that is not known here.
        EnvelopeError: if it is such a file in another than its canonical form.
    """
    try:
        values = json.loads(raw)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or values.get("kind") != kind:
        raise RecordError(f"{source} is not a {kind} file of fedcc.")
    if type(values.get("version")) is not int or values["version"] != VERSION:
        raise RecordError(
            f"{source}: a {kind} file of a version that this fedcc does not know; it reads "
            f"version {VERSION}. Install the fedcc that wrote it."
        )
    _check_keys(values, keys | {"kind", "version"}, source)
    if not _is_canonical(values, raw):
        raise EnvelopeError(f"{source} was altered: it is not in the form that fedcc writes.")
    return values


def _is_canonical(values: Mapping[str, object], raw: bytes) -> bool:
    try:
        return canonical(values) == raw
    except RecursionError:  # nested deeper than anything that fedcc writes
        return False


def kind_of(path: Path) -> str | None:
    """Return what kind of file it says it is, or `None`; nothing else of it is checked.

    Raises:
        RecordError: if it cannot be read.
    """
    try:
        values = json.loads(read_public(path))
    except (ValueError, RecursionError):
        return None
    kind = values.get("kind") if isinstance(values, dict) else None
    return kind if isinstance(kind, str) else None


def _check_keys(values: Mapping[str, object], keys: frozenset[str], source: str) -> None:
    missing, unknown = keys - values.keys(), values.keys() - keys
    if missing or unknown:
        found = f"lacks {sorted(missing)}" if missing else f"holds {len(unknown)} unknown keys"
        raise EnvelopeError(f"{source} {found}; its keys are {sorted(keys)}.")


class Fields:
    """The fields of one object of a statement, each read once with its type."""

    def __init__(self, values: object, keys: frozenset[str], source: str) -> None:
        """Check that `values` is an object with exactly these keys.

        Raises:
            EnvelopeError: if it is not.
        """
        self._source = source
        if not isinstance(values, dict):
            raise EnvelopeError(f"{source} is not an object with keys {sorted(keys)}.")
        _check_keys(values, keys, source)
        self._values: dict[str, object] = values

    def name(self, key: str) -> str:
        """Return the name of a site or organisation."""
        value = self._values[key]
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise self._wrong(key, "1 to 63 lower-case letters, digits and dashes")
        return value

    def one_of(self, key: str, admitted: Collection[str]) -> str:
        """Return one of a few words."""
        value = self._values[key]
        if not isinstance(value, str) or value not in admitted:
            raise self._wrong(key, " or ".join(admitted))
        return value

    def binary(self, key: str, length: int) -> bytes:
        """Return bytes written in lower-case hexadecimal."""
        value = self._values[key]
        if not isinstance(value, str) or not _HEX.fullmatch(value) or len(value) != 2 * length:
            raise self._wrong(key, f"{2 * length} lower-case hexadecimal digits")
        return bytes.fromhex(value)

    def identity(self, key: str) -> bytes:
        """Return an Ed25519 public key under which only its owner can sign."""
        value = self.binary(key, 32)
        if value[:31] + bytes([value[31] & 0x7F]) in _SMALL_ORDER:
            raise self._wrong(key, "a public key that Ed25519 makes")
        return value

    def time(self, key: str) -> str:
        """Return a time in UTC, as it is written."""
        value = self._values[key]
        try:
            if isinstance(value, str) and when(datetime.strptime(value, _TIME)) == value:
                return value
        except ValueError:
            pass
        raise self._wrong(key, "a time such as 2026-11-22T11:30:00Z")

    def count(self, key: str, least: int) -> int:
        """Return a whole number of at least `least`."""
        value = self._values[key]
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**53:
            raise self._wrong(key, f"a whole number from {least} on")
        return value

    def objects(self, key: str) -> list[object]:
        """Return a list."""
        value = self._values[key]
        if not isinstance(value, list):
            raise self._wrong(key, "a list")
        return value

    def _wrong(self, key: str, admitted: str) -> EnvelopeError:
        return EnvelopeError(f"{self._source}, {key}: not {admitted}.")


def when(now: datetime) -> str:
    """Return a time as statements hold it; one without a zone is taken for UTC."""
    zoned = now if now.tzinfo is not None else now.replace(tzinfo=UTC)
    return zoned.astimezone(UTC).strftime(_TIME)


def check_name(name: str, option: str) -> str:
    """Return a name that a user gave for a site, an organisation or a consortium.

    Raises:
        ConfigError: if statements cannot hold it.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{option}: a name has 1 to 63 lower-case letters, digits and dashes, and does not "
            "begin with a dash."
        )
    return name


def fingerprint(identity: bytes) -> str:
    """Return the short form of a public key that people read to each other.

    Eight groups of four of the letters A to Z and digits 2 to 7 (RFC 4648, base32): 160 bits of
    SHA-256, which is what nobody can find a second key for.
    """
    digest = hashlib.sha256(b"fedcc/fingerprint/v1" + identity).digest()
    text = base64.b32encode(digest[:20]).decode()
    return "-".join(text[start : start + 4] for start in range(0, 32, 4))


def check_fingerprint(given: str, identity: bytes, whose: str) -> None:
    """Compare a fingerprint that was read over the phone; case, blanks and dashes do not matter.

    Raises:
        ConfigError: if it is no fingerprint at all.
        ProtocolError: if it is that of another key.
    """
    letters = re.sub(r"[\s-]", "", given).upper()
    if not re.fullmatch("[A-Z2-7]{32}", letters):
        raise ConfigError(
            "a fingerprint has 8 groups of 4 letters and digits, all of them: "
            "`fedcc keys fingerprint` prints it."
        )
    if letters != fingerprint(identity).replace("-", ""):
        raise ProtocolError(
            f"the fingerprint is not that of {whose}. Ask its owner again over a channel that you "
            "trust, and take nothing over until both are equal."
        )


def read_public(path: Path) -> bytes:
    """Return the bytes of a public file.

    Raises:
        RecordError: if it cannot be read, is no file or is far too long.
    """
    try:
        with open(path, "rb", opener=_open_no_wait) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise RecordError(f"{path} is not a file.")
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}.") from None
    if len(content) > MAX_FILE_BYTES:
        raise RecordError(f"{path} is longer than any file of fedcc's keys.")
    return content


def _open_no_wait(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe would keep its reader waiting


def read_of_admin(
    raw: bytes, kind: str, signed: frozenset[str], source: str, *, admin_fingerprint: str
) -> tuple[dict[str, Any], Fields, bytes]:
    """Read a statement that the trusted admin signed.

    Args:
        raw: content of the file.
        kind: which statement is wanted.
        signed: the keys that the signature covers, `admin` among them.
        source: name of the file for errors, which never quote its content.
        admin_fingerprint: of the trusted admin.

    Returns:
        See `read_of_any_admin`.

    Raises:
        RecordError, EnvelopeError: see `read_of_any_admin`.
        ProtocolError: if another admin signed it.
        ConfigError: if the fingerprint is none.
    """
    values, fields, admin = read_of_any_admin(raw, kind, signed, source)
    check_fingerprint(admin_fingerprint, admin, f"the admin who signed {source}")
    return values, fields, admin


def read_of_any_admin(
    raw: bytes, kind: str, signed: frozenset[str], source: str
) -> tuple[dict[str, Any], Fields, bytes]:
    """Read a statement that is signed by whoever it names as its admin; that may be anybody.

    Args:
        raw: see `read_of_admin`, as all others.

    Returns:
        Its values, the same as fields, and the admin's identity key.

    Raises:
        RecordError: if it is no such statement.
        EnvelopeError: if it was altered or is unsigned.
    """
    keys = signed | {"signature"}
    values = parse(raw, kind, keys, source)
    fields = Fields(values, keys | {"kind", "version"}, source)
    admin = fields.identity("admin")
    body = {key: values[key] for key in signed}
    try:
        verify_signature(admin, fields.binary("signature", 64), signed_bytes(kind, body))
    except EnvelopeError:
        raise EnvelopeError(f"{source} is not signed by the admin that it names.") from None
    return values, fields, admin
