"""The consortium's own certificate authority and the server's certificate.

One authority signs one kind of certificate: that of the aggregator's server, for several DNS names
and IP addresses. Sites trust this authority and no other; they authenticate themselves with node
keys, not with certificates. The authority's key is at rest only under a key derived from the
admin's identity, so it opens exactly when that does. Names and times are checked by the verifier
of `cryptography`, which follows the profile of the public web.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from fedcc.crypto.key_file import Identity
from fedcc.errors import ConfigError, EnvelopeError, RecordError

BACKDATED = timedelta(hours=1)  # so that a site whose clock is a little slow accepts it at once
_LABEL = b"fedcc/ca-key/v1"
_DNS = re.compile(r"(?=.{1,253}$)(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")
Key = ec.EllipticCurvePrivateKey


def general_name(name: str) -> x509.DNSName | x509.IPAddress:
    """Return a name of a server as certificates hold it.

    Raises:
        ConfigError: if it is neither a DNS name without wildcard nor an IP address.
    """
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    if not _DNS.fullmatch(name) or name.rpartition(".")[2].isdigit():
        raise ConfigError(
            f"'{name[:80]}' is no name for a server: give a DNS name in lower case without "
            "wildcard (in its xn-- form), or an IP address; no port, no https://."
        )
    return x509.DNSName(name)


@dataclass(frozen=True)
class Authority:
    """The authority with its private key."""

    certificate: x509.Certificate
    key: Key

    @classmethod
    def create(cls, consortium: str, days: int, now: datetime) -> "Authority":
        """Return a fresh authority that can sign servers and nothing below."""
        key = ec.generate_private_key(ec.SECP384R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"fedcc {consortium}"[:64])])
        key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = _valid(name, name, key, days, now)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
        builder = builder.add_extension(key_id, critical=False)
        return cls(builder.sign(key, SHA256()), key)

    @classmethod
    def open(cls, certificate: bytes, key: bytes, admin: Identity) -> "Authority":
        """Open the authority's key with the admin's.

        Raises:
            RecordError: if a file is no certificate or key.
            EnvelopeError: if the key does not open, or is another authority's.
        """
        found = parse_certificate(certificate, "the authority's certificate")
        try:
            opened = load_pem_private_key(key, _password(admin))
        except (ValueError, TypeError):
            raise EnvelopeError(
                "the authority's key does not open: it is not this admin's, or it was altered."
            ) from None
        if not isinstance(opened, Key) or opened.public_key() != found.public_key():
            raise EnvelopeError("the authority's key is not that of its certificate.")
        return cls(found, opened)

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    def locked_key(self, admin: Identity) -> bytes:
        """Return the private key, encrypted under a key derived from the admin's."""
        lock = BestAvailableEncryption(_password(admin))
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)

    def issue(self, names: Sequence[str], days: int, now: datetime) -> tuple[bytes, bytes]:
        """Return a server's new certificate and its key, both PEM.

        Raises:
            ConfigError: if a name cannot be used, or the authority ends before the certificate.
        """
        general = [general_name(name) for name in names]
        if now + timedelta(days=days) > self.certificate.not_valid_after_utc:
            end = self.certificate.not_valid_after_utc.date()
            raise ConfigError(f"the authority ends on {end}: use fewer tls.certificate_days.")
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        signer = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        builder = _valid(subject, self.certificate.subject, key, days, now)
        for extension, critical in (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(signs_certificates=False), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.SubjectAlternativeName(general), False),
            (own, False),
            (
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signer.value),
                False,
            ),
        ):
            builder = builder.add_extension(extension, critical=critical)
        certificate = builder.sign(self.key, SHA256()).public_bytes(Encoding.PEM)
        plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return certificate, plain


def _valid(
    subject: x509.Name, issuer: x509.Name, key: Key, days: int, now: datetime
) -> x509.CertificateBuilder:
    begin = now.astimezone(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - BACKDATED)
        .not_valid_after(begin + timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _password(admin: Identity) -> bytes:
    """Return what the authority's key is locked with: 32 derived bytes, in hexadecimal."""
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_LABEL).derive(admin.private)
    return derived.hex().encode()


def parse_certificate(pem: bytes, source: str) -> x509.Certificate:
    """Read the one certificate of a PEM file.

    Raises:
        RecordError: if it does not hold exactly one.
    """
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError:
        found = []
    if len(found) != 1:
        raise RecordError(f"{source} does not hold one certificate in PEM.")
    return found[0]


def check_authority(pem: bytes, source: str, now: datetime) -> x509.Certificate:
    """Return an authority's certificate, once it is known to be one and valid.

    Raises:
        RecordError: if it is no certificate.
        EnvelopeError: if it is none of an authority, or not valid now.
    """
    found = parse_certificate(pem, source)
    try:
        constraints = found.extensions.get_extension_for_class(x509.BasicConstraints).value
        is_authority = constraints.ca
    except x509.ExtensionNotFound:
        is_authority = False
    if not is_authority:
        raise EnvelopeError(f"{source} is no certificate of an authority.")
    if not found.not_valid_before_utc <= now <= found.not_valid_after_utc:
        raise EnvelopeError(
            f"{source} is valid from {found.not_valid_before_utc:%F} to "
            f"{found.not_valid_after_utc:%F} only. Check this machine's clock."
        )
    return found


def check_server(ca: bytes, certificate: bytes, name: str, source: str, now: datetime) -> datetime:
    """Check a server's certificate for a name, as a site does that connects; return its end.

    Raises:
        RecordError: if a file is no certificate.
        EnvelopeError: if it is not signed by the authority, not for that name or not valid now.
        ConfigError: if the name is none.
    """
    trusted = check_authority(ca, "the authority's certificate", now)
    found = parse_certificate(certificate, source)
    verifier = (
        PolicyBuilder().store(Store([trusted])).time(now).build_server_verifier(general_name(name))
    )
    try:
        verifier.verify(found, [])
    except VerificationError as error:
        raise EnvelopeError(
            f"{source}: not accepted for {name} ({' '.join(str(error).split())[:120]})."
        ) from None
    return found.not_valid_after_utc


def is_key_of(key: bytes, certificate: bytes, source: str) -> bool:
    """Tell whether a private key in PEM belongs to a certificate.

    Raises:
        RecordError: if a file is no key or certificate.
    """
    try:
        opened = load_pem_private_key(key, None)
    except (ValueError, TypeError):
        raise RecordError(f"{source} is no open private key in PEM.") from None
    parts = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    wanted = parse_certificate(certificate, "the server's certificate").public_key()
    return opened.public_key().public_bytes(*parts) == wanted.public_bytes(*parts)
