"""Write `key_file_*.json` without fedcc: hashlib's scrypt, hmac's HKDF, pycryptodome's AES-GCM.

The files must open for ever. They are written once and never again; this shows how.
"""

import hashlib
import hmac
import json
import sys
from pathlib import Path
from typing import Any

from Crypto.Cipher import AES

PASSPHRASE = "cão correto cavalo bateria"  # a letter that can be composed in two ways
KEY_FILE = bytes(range(100, 132))
SALT = bytes(range(32))
NONCE = bytes(range(32, 44))
# RFC 8032, section 7.1, test 1.
PRIVATE = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
LOCKS: dict[str, dict[str, Any]] = {
    "passphrase": {"by": "passphrase", "kdf": "scrypt", "log2_n": 17, "r": 8, "p": 1},
    "key": {"by": "key_file", "kdf": "hkdf-sha256"},
}


def hkdf(secret: bytes, salt: bytes, label: bytes) -> bytes:
    """RFC 5869 with SHA-256, one block."""
    extracted = hmac.digest(salt, secret, "sha256")
    return hmac.digest(extracted, label + b"\x01", "sha256")


def key_of(lock: dict[str, Any]) -> bytes:
    if lock["by"] == "key_file":
        return hkdf(KEY_FILE, SALT, b"fedcc/key-file/v1")
    secret = PASSPHRASE.encode()
    return hashlib.scrypt(
        secret, salt=SALT, n=2 ** lock["log2_n"], r=8, p=1, dklen=32, maxmem=2**28
    )


def content(lock: dict[str, Any]) -> bytes:
    values = {
        "created_at": "2026-11-22T11:30:00Z",
        "identity": PUBLIC,
        "kind": "key",
        "lock": {**lock, "salt": SALT.hex()},
        "name": "lisbon",
        "nonce": NONCE.hex(),
        "role": "site",
        "version": 1,
    }
    cipher = AES.new(key_of(lock), AES.MODE_GCM, nonce=NONCE)
    cipher.update(json.dumps(["fedcc/key-file/v1", values], sort_keys=True).encode())
    sealed = b"".join(cipher.encrypt_and_digest(bytes.fromhex(PRIVATE)))
    text = json.dumps({**values, "sealed": sealed.hex()}, sort_keys=True, indent=2)
    return text.encode() + b"\n"


if __name__ == "__main__":
    for name, lock in LOCKS.items():
        (Path(sys.argv[1]) / f"key_file_{name}.json").write_bytes(content(lock))
