"""A site's keys, the roster of public keys, and sealing bytes to one site.

Each site has an Ed25519 identity (agreed out of band) and, per run, two X25519 pairs: one for the
sealed channel, one for masks. They are separate so that nothing that ever opens a mask can open the
channel. Advertised keys are signed by the identity; a roster is trusted only if every identity is
the agreed one.
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
    """What a site shows of its keys; everything is public."""

    site: str
    identity: bytes  # Ed25519 public key, 32 bytes
    channel: bytes  # X25519 public key, 32 bytes
    mask: bytes  # X25519 public key, 32 bytes
    signature: bytes  # by the identity, over run, site and both keys

    def signed_bytes(self, run: str) -> bytes:
        """Return what the signature covers."""
        keys = (self.identity.hex(), self.channel.hex(), self.mask.hex())
        return json.dumps(["fedcc/advert/v1", run, self.site, *keys]).encode()


class SiteKeys:
    """The private keys of one site."""

    def __init__(self, identity: bytes, channel: bytes, mask: bytes) -> None:
        """Load three private keys of 32 bytes each."""
        self._raw = (identity, channel, mask)
        self._identity = Ed25519PrivateKey.from_private_bytes(identity)
        self._channel = X25519PrivateKey.from_private_bytes(channel)
        self._mask = X25519PrivateKey.from_private_bytes(mask)

    @classmethod
    def create(cls) -> "SiteKeys":
        """Return fresh keys from the operating system's generator."""
        return cls(os.urandom(32), os.urandom(32), os.urandom(32))

    def to_json(self) -> bytes:
        """Return the private keys for the site's own secrets file."""
        names = ("identity", "channel", "mask")
        pairs = zip(names, (raw.hex() for raw in self._raw), strict=True)
        return json.dumps(dict(pairs)).encode()

    @classmethod
    def from_json(cls, content: bytes, source: str) -> "SiteKeys":
        """Read a secrets file.

        Raises:
            RecordError: names the file and nothing of its content.
        """
        try:
            values = json.loads(content)
            return cls(*(bytes.fromhex(values[n]) for n in ("identity", "channel", "mask")))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise RecordError(f"{source} does not hold the keys of a site.") from None

    @property
    def identity(self) -> bytes:
        """Public identity key."""
        return self._identity.public_key().public_bytes_raw()

    def advert(self, site: str, run: str) -> Advert:
        """Return the signed public keys."""
        channel = self._channel_public
        mask = self._mask.public_key().public_bytes_raw()
        unsigned = Advert(site, self.identity, channel, mask, b"")
        return Advert(site, self.identity, channel, mask, self.sign(unsigned.signed_bytes(run)))

    def sign(self, message: bytes) -> bytes:
        """Sign with the identity key; 64 bytes."""
        return self._identity.sign(message)

    def mask_secret(self, peer: Advert) -> bytes:
        """Return the X25519 secret of the mask keys with a peer.

        Raises:
            EnvelopeError: if the peer's key cannot be used.
        """
        return _exchange(self._mask, peer.mask)

    def seal(self, peer: Advert, content: bytes, label: str) -> bytes:
        """Encrypt bytes to one site; `label` is bound in and must be equal when opening.

        Raises:
            EnvelopeError: if the peer's key cannot be used.
        """
        key = self._channel_key(peer, self._channel_public, peer.channel, label)
        nonce = os.urandom(12)
        return nonce + AESGCM(key).encrypt(nonce, content, label.encode())

    def open(self, peer: Advert, sealed: bytes, label: str) -> bytes:
        """Decrypt bytes that `peer` sealed to this site.

        Raises:
            EnvelopeError: whatever is wrong, the message is the same.
        """
        try:
            key = self._channel_key(peer, peer.channel, self._channel_public, label)
            return AESGCM(key).decrypt(sealed[:12], sealed[12:], label.encode())
        except (InvalidTag, ValueError, EnvelopeError):
            raise EnvelopeError("a sealed message does not open") from None

    @property
    def _channel_public(self) -> bytes:
        return self._channel.public_key().public_bytes_raw()

    def _channel_key(self, peer: Advert, sender: bytes, receiver: bytes, label: str) -> bytes:
        secret = _exchange(self._channel, peer.channel)
        # Sender and receiver are bound in: a message does not open at the site that sealed it.
        info = json.dumps(["fedcc/channel/v1", sender.hex(), receiver.hex(), label]).encode()
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
