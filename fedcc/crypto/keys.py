"""A site's identity, the roster of public keys, and keys that live for an epoch.

Each site has an Ed25519 identity, agreed out of band. For every epoch it makes X25519 keys: one for
the sealed channel, which nothing ever opens, and one per one-time entry for masks, which may be
recovered. They are separate so that nothing that ever opens a mask can open the channel. A roster
is trusted only if every identity is the agreed one.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedcc.errors import EnvelopeError, ProtocolError, RecordError


@dataclass(frozen=True)
class Advert:
    """What a site shows of itself when it joins a run; everything is public."""

    site: str
    identity: bytes  # Ed25519 public key, 32 bytes
    signature: bytes  # by the identity, over run, site and identity

    def signed_bytes(self, run: str) -> bytes:
        """Return what the signature covers."""
        return json.dumps(["fedcc/advert/v2", run, self.site, self.identity.hex()]).encode()


class SiteKeys:
    """The long-lived private key of one site: its identity."""

    def __init__(self, identity: bytes) -> None:
        """Load a private key of 32 bytes."""
        self._raw = identity
        self._identity = Ed25519PrivateKey.from_private_bytes(identity)

    @classmethod
    def create(cls) -> "SiteKeys":
        """Return a fresh key from the operating system's generator."""
        return cls(os.urandom(32))

    def to_json(self) -> bytes:
        """Return the private key for the site's own secrets file."""
        return json.dumps({"identity": self._raw.hex()}).encode()

    @classmethod
    def from_json(cls, content: bytes, source: str) -> "SiteKeys":
        """Read a secrets file.

        Raises:
            RecordError: names the file and nothing of its content.
        """
        try:
            return cls(bytes.fromhex(json.loads(content)["identity"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise RecordError(f"{source} does not hold the keys of a site.") from None

    @property
    def identity(self) -> bytes:
        """Public identity key."""
        return self._identity.public_key().public_bytes_raw()

    def advert(self, site: str, run: str) -> Advert:
        """Return the signed public key."""
        unsigned = Advert(site, self.identity, b"")
        return Advert(site, self.identity, self.sign(unsigned.signed_bytes(run)))

    def sign(self, message: bytes) -> bytes:
        """Sign with the identity key; 64 bytes."""
        return self._identity.sign(message)


class MaskKey:
    """The X25519 key of one entry; `secret_with` gives what two sites derive a pad from."""

    def __init__(self, raw: bytes) -> None:
        """Load a private key of 32 bytes.

        Raises:
            EnvelopeError: for another length.
        """
        try:
            self._private = X25519PrivateKey.from_private_bytes(raw)
        except ValueError:
            raise EnvelopeError("a private key cannot be used") from None

    @property
    def public(self) -> bytes:
        """Public key, 32 bytes."""
        return self._private.public_key().public_bytes_raw()

    def secret_with(self, public: bytes) -> bytes:
        """Return the X25519 secret with a public key.

        Raises:
            EnvelopeError: if that key cannot be used.
        """
        return _exchange(self._private, public)


class ChannelKey:
    """The X25519 key by which a site seals bytes to another and opens what was sealed to it."""

    def __init__(self, raw: bytes) -> None:
        """Load a private key of 32 bytes."""
        self._private = X25519PrivateKey.from_private_bytes(raw)
        self.public = self._private.public_key().public_bytes_raw()

    @classmethod
    def create(cls) -> "ChannelKey":
        """Return a fresh key from the operating system's generator."""
        return cls(os.urandom(32))

    def seal(self, receiver: bytes, content: bytes, label: str) -> bytes:
        """Encrypt bytes to one channel key; `label` is bound in and must be equal when opening.

        Raises:
            EnvelopeError: if the receiver's key cannot be used.
        """
        nonce = os.urandom(12)
        key = self._key(receiver, self.public, receiver, label)
        return nonce + AESGCM(key).encrypt(nonce, content, label.encode())

    def open(self, sender: bytes, sealed: bytes, label: str) -> bytes:
        """Decrypt bytes that the owner of another channel key sealed to this one.

        Raises:
            EnvelopeError: whatever is wrong, the message is the same.
        """
        try:
            key = self._key(sender, sender, self.public, label)
            return AESGCM(key).decrypt(sealed[:12], sealed[12:], label.encode())
        except (InvalidTag, ValueError, EnvelopeError):
            raise EnvelopeError("a sealed message does not open") from None

    def _key(self, peer: bytes, sender: bytes, receiver: bytes, label: str) -> bytes:
        secret = _exchange(self._private, peer)
        # Sender and receiver are bound in: a message does not open at the site that sealed it.
        info = json.dumps(["fedcc/channel/v2", sender.hex(), receiver.hex(), label]).encode()
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)


def _exchange(private: X25519PrivateKey, public: bytes) -> bytes:
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:  # a wrong length, or a point of low order
        raise EnvelopeError("a public key cannot be used") from None


def verify_signature(identity: bytes, signature: bytes, message: bytes) -> None:
    """Check an Ed25519 signature (RFC 8032).

    What was found right is remembered for a while, so the sites of one process, which all check the
    same signatures, pay once; what was found wrong is checked again.

    Raises:
        EnvelopeError: if it does not match.
    """
    try:
        _verify(bytes(identity), bytes(signature), bytes(message))
    except (InvalidSignature, ValueError):
        raise EnvelopeError("a signature does not match") from None


@lru_cache(maxsize=2048)  # messages are hashes and headers, well below a kilobyte
def _verify(identity: bytes, signature: bytes, message: bytes) -> None:
    Ed25519PublicKey.from_public_bytes(identity).verify(signature, message)


def verify_roster(roster: Sequence[Advert], trusted: Mapping[str, bytes], run: str) -> None:
    """Check a roster against the identities agreed out of band.

    Raises:
        ProtocolError: for a repeated site or identity.
        EnvelopeError: for an unknown site, or if an identity or a signature does not match.
    """
    names = [advert.site for advert in roster]
    if len(set(names)) != len(names):
        raise ProtocolError("the roster names a site twice")
    if len({advert.identity for advert in roster}) != len(names):
        raise ProtocolError("two sites of the roster share one identity")
    for advert in roster:
        if trusted.get(advert.site) != advert.identity:
            raise EnvelopeError("the roster holds an identity that was not agreed on")
        verify_signature(advert.identity, advert.signature, advert.signed_bytes(run))


def roster_hash(roster: Sequence[Advert], run: str) -> bytes:
    """Return the hash of all public keys in the order of the roster."""
    digest = hashlib.sha256(json.dumps(["fedcc/roster/v1", run]).encode())
    for advert in roster:
        digest.update(hashlib.sha256(advert.signed_bytes(run) + advert.signature).digest())
    return digest.digest()
