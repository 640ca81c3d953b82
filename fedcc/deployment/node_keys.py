"""The key by which Flower's SuperLink knows a site's node: ECDSA on P-384, in OpenSSH's formats.

It authenticates a connection and nothing else: whoever has it can join as that node, be refused by
every other site and deny service. What a site says is signed with its identity. The private key is
kept in the clear (mode 0600), as `flower-supernode` reads it.
"""

import base64
import hashlib

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)

from fedcc.errors import EnvelopeError, RecordError


class NodeKey:
    """A private node key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        """Take a key; `create` and `parse` make one."""
        self._key = key
        self.public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()

    @classmethod
    def create(cls) -> "NodeKey":
        """Return a fresh key from the operating system's generator."""
        return cls(ec.generate_private_key(ec.SECP384R1()))

    @classmethod
    def parse(cls, content: bytes, source: str) -> "NodeKey":
        """Read a private key in OpenSSH's format.

        Raises:
            RecordError: if it is none on P-384.
        """
        try:
            key = load_ssh_private_key(content, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp384r1":
            raise RecordError(f"{source} is no open ECDSA key on P-384 in OpenSSH's format.")
        return cls(key)

    @property
    def private_file(self) -> bytes:
        """Content of the private file."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())

    def sign(self, message: bytes) -> bytes:
        """Sign: ECDSA with SHA-384, in DER."""
        return self._key.sign(message, ec.ECDSA(SHA384()))


def parse_public(text: object, source: str) -> ec.EllipticCurvePublicKey:
    """Read a public key: the type and the key of OpenSSH's line, without options or comment.

    Raises:
        EnvelopeError: if it is none on P-384, or spelled in another way.
    """
    key = None
    try:
        if isinstance(text, str):
            key = load_ssh_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        pass
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp384r1":
        raise EnvelopeError(f"{source} is no public ECDSA key on P-384 in OpenSSH's format.")
    if key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() != text:
        raise EnvelopeError(f"{source} is not in its one form: no comment, no blank more.")
    return key


def verify_node(public: str, signature: bytes, message: bytes, source: str) -> None:
    """Check that the owner of a node key signed a message.

    Raises:
        EnvelopeError: if not.
    """
    try:
        parse_public(public, source).verify(signature, message, ec.ECDSA(SHA384()))
    except InvalidSignature:
        raise EnvelopeError(f"{source} is not proven: its owner did not sign this.") from None


def node_fingerprint(public: str) -> str:
    """Return the fingerprint that `ssh-keygen -l` prints."""
    digest = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
