"""A long-lived private key at rest: the identity of a site, or of the consortium's admin.

The file is encrypted with AES-256-GCM under a key that comes from a passphrase (scrypt) or from 32
random bytes in a second file (`--key-file`, HKDF-SHA256); what is readable in it is authenticated.
Whoever has the file but not the passphrase learns the name, the public key and nothing else. The
cost of scrypt is bounded on reading from both sides: a hostile file can neither eat memory nor have
a passphrase tried cheaply. Keys cannot be wiped from the memory of a Python process; whoever reads
that has the key.
"""

import json
import os
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from fedcc.crypto.private_files import create_new, read_private
from fedcc.crypto.statements import (
    VERSION,
    Fields,
    canonical,
    check_name,
    fingerprint,
    parse,
    signed_bytes,
    when,
)
from fedcc.errors import ConfigError, EnvelopeError

Role = Literal["site", "admin"]

KIND = "key"
MIN_PASSPHRASE = 12  # characters
KEY_FILE_BYTES = 32
# OWASP's password storage cheat sheet: scrypt with N = 2^17, r = 8, p = 1 takes 128 MiB.
LOG2_N, BLOCK_SIZE, PARALLELISM = 17, 8, 1
LEAST_LOG2_N, MOST_LOG2_N = 15, 19  # 32 MiB to 512 MiB; wider is read as hostile
_LABEL = b"fedcc/key-file/v1"
_KEYS = frozenset("role name identity created_at lock nonce sealed".split())
_LOCKS = {
    "passphrase": frozenset("by kdf log2_n r p salt".split()),
    "key_file": frozenset("by kdf salt".split()),
}


@dataclass(frozen=True)
class Passphrase:
    """What a person types; equal in every way of composing its letters."""

    text: str = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse what can be guessed in no time.

        Raises:
            ConfigError: if it is too short, or longer than anybody types.
        """
        if not MIN_PASSPHRASE <= len(self.text) <= 1024 or not self.text.strip():
            raise ConfigError(
                f"a passphrase has at least {MIN_PASSPHRASE} characters; five or more random words "
                "are easy to type and hard to guess."
            )

    def derive(self, lock: dict[str, Any]) -> bytes:
        """Return the 32 bytes that lock the file."""
        kdf = Scrypt(
            bytes.fromhex(lock["salt"]), 32, n=1 << lock["log2_n"], r=lock["r"], p=lock["p"]
        )
        try:
            return kdf.derive(
                unicodedata.normalize("NFC", self.text).encode("utf-8", "surrogatepass")
            )
        except MemoryError:
            mebibytes = lock["r"] << (lock["log2_n"] - 13)  # 128 N r bytes
            raise ConfigError(f"scrypt needs {mebibytes} MiB of memory; free some.") from None

    def fresh_lock(self) -> dict[str, Any]:
        """Return the public part of a new lock."""
        return {
            "by": "passphrase",
            "kdf": "scrypt",
            "log2_n": LOG2_N,
            "r": BLOCK_SIZE,
            "p": PARALLELISM,
            "salt": os.urandom(32).hex(),
        }


@dataclass(frozen=True)
class KeyFile:
    """32 random bytes, for machines that start without a person."""

    content: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse what is not 32 random bytes.

        Raises:
            ConfigError: if so.
        """
        # 32 random bytes have fewer than 16 different values with a probability below 1e-13.
        if len(self.content) != KEY_FILE_BYTES or len(set(self.content)) < 16:
            raise ConfigError(
                f"a key file holds {KEY_FILE_BYTES} random bytes. Make one with\n"
                "  (umask 077; head -c 32 /dev/urandom > FILE)"
            )

    def derive(self, lock: dict[str, Any]) -> bytes:
        """Return the 32 bytes that lock the file."""
        salt = bytes.fromhex(lock["salt"])
        return HKDF(algorithm=SHA256(), length=32, salt=salt, info=_LABEL).derive(self.content)

    def fresh_lock(self) -> dict[str, Any]:
        """Return the public part of a new lock."""
        return {"by": "key_file", "kdf": "hkdf-sha256", "salt": os.urandom(32).hex()}


Unlocker = Passphrase | KeyFile


class Identity:
    """A private Ed25519 key with the name and role that it is for."""

    def __init__(self, role: Role, name: str, created_at: str, private: bytes) -> None:
        """Take a key of 32 bytes; `Identity.create` makes one."""
        self.role, self.name, self.created_at = role, name, created_at
        self._raw = private
        self._key = Ed25519PrivateKey.from_private_bytes(private)
        self.public = self._key.public_key().public_bytes_raw()

    @classmethod
    def create(cls, role: Role, name: str, now: datetime) -> "Identity":
        """Return a fresh key from the operating system's generator."""
        return cls(role, check_name(name, "name"), when(now), os.urandom(32))

    @property
    def private(self) -> bytes:
        """The key itself, for what signs with it in a run."""
        return self._raw

    def sign(self, kind: str, body: dict[str, object]) -> bytes:
        """Sign a statement of one kind; 64 bytes."""
        return self._key.sign(signed_bytes(kind, body))

    def __repr__(self) -> str:
        """Show the public parts."""
        return f"Identity({self.role} {self.name}, {fingerprint(self.public)})"


@dataclass(frozen=True)
class LockedIdentity:
    """A key file as anybody may read it."""

    source: str
    role: Role
    name: str
    created_at: str
    public: bytes  # not proven until the file is unlocked
    locked_by: Literal["passphrase", "key_file"]
    values: dict[str, Any] = field(repr=False)

    def unlock(self, unlocker: Unlocker) -> Identity:
        """Decrypt the private key.

        Raises:
            ConfigError: if a passphrase is given where a key file is needed, or the other way.
            EnvelopeError: if it does not open; nothing says why.
        """
        given = "passphrase" if isinstance(unlocker, Passphrase) else "key_file"
        if given != self.locked_by:
            remedy = {
                "passphrase": "a passphrase: type it, or name --passphrase-file",
                "key_file": "a key file: name --key-file",
            }[self.locked_by]
            raise ConfigError(f"{self.source} is locked by {remedy}.")
        values = self.values
        try:
            private = AESGCM(unlocker.derive(values["lock"])).decrypt(
                bytes.fromhex(values["nonce"]), bytes.fromhex(values["sealed"]), _header(values)
            )
            identity = Identity(self.role, self.name, self.created_at, private)
        except (InvalidTag, ValueError):
            identity = None
        if identity is None or identity.public != self.public:
            raise EnvelopeError(
                f"{self.source} does not open: the {given.replace('_', ' ')} is not the one it was "
                "locked with, or the file was altered."
            )
        return identity


def _header(values: dict[str, Any]) -> bytes:
    """Return what is authenticated beside the key: everything that can be read."""
    readable = {key: value for key, value in values.items() if key != "sealed"}
    return json.dumps([_LABEL.decode(), readable], sort_keys=True).encode()


def lock(identity: Identity, unlocker: Unlocker) -> bytes:
    """Return the content of a key file."""
    values: dict[str, Any] = {
        "kind": KIND,
        "version": VERSION,
        "role": identity.role,
        "name": identity.name,
        "identity": identity.public.hex(),
        "created_at": identity.created_at,
        "lock": unlocker.fresh_lock(),
        # The salt is fresh, so the key encrypts once and any nonce would do.
        "nonce": os.urandom(12).hex(),
    }
    cipher = AESGCM(unlocker.derive(values["lock"]))
    values["sealed"] = cipher.encrypt(
        bytes.fromhex(values["nonce"]), identity.private, _header(values)
    ).hex()
    return canonical(values)


def write_key(path: Path, identity: Identity, unlocker: Unlocker) -> None:
    """Write a new key file, mode 0600; what is there already is never overwritten.

    Raises:
        ConfigError: if the file exists or cannot be written.
    """
    create_new(path, lock(identity, unlocker), mode=0o600)


def read_key(path: Path) -> LockedIdentity:
    """Read the public parts of a key file.

    Raises:
        RecordError: if it cannot be read, or is no key file of a known version.
        ProtocolError: if others may read or replace it.
        EnvelopeError: if it was altered in a way that shows without unlocking it.
    """
    return parse_key(read_private(path), str(path))


def parse_key(content: bytes, source: str) -> LockedIdentity:
    """Check the readable parts of a key file's content; see `read_key`."""
    values = parse(content, KIND, _KEYS, source)
    fields = Fields(values, frozenset(values), source)
    role = fields.one_of("role", get_args(Role))
    fields.binary("nonce", 12)
    fields.binary("sealed", 32 + 16)
    locked_by = _check_lock(values["lock"], f"{source}, lock")
    return LockedIdentity(
        source=source,
        role="site" if role == "site" else "admin",
        name=fields.name("name"),
        created_at=fields.time("created_at"),
        public=fields.identity("identity"),
        locked_by=locked_by,
        values=values,
    )


def _check_lock(values: object, source: str) -> Literal["passphrase", "key_file"]:
    """Check a lock before any work is done for it, and return what opens it."""
    by = values.get("by") if isinstance(values, dict) else None
    if by not in ("passphrase", "key_file"):
        raise EnvelopeError(f"{source}: not by a passphrase or a key_file.")
    fields = Fields(values, _LOCKS[by], source)
    fields.binary("salt", 32)
    if by == "key_file":
        fields.one_of("kdf", ("hkdf-sha256",))
        return "key_file"
    fields.one_of("kdf", ("scrypt",))
    cost = tuple(fields.count(key, 1) for key in ("log2_n", "r", "p"))
    if not LEAST_LOG2_N <= cost[0] <= MOST_LOG2_N or cost[1:] != (BLOCK_SIZE, PARALLELISM):
        raise EnvelopeError(
            f"{source}: a cost of scrypt that fedcc never writes; log2_n is {LEAST_LOG2_N} to "
            f"{MOST_LOG2_N}, r {BLOCK_SIZE} and p {PARALLELISM}."
        )
    return "passphrase"
