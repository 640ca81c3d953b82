"""The signed header of an upload: who sends what, for which round, under which key.

Everything is checked against what the receiver expects before native code sees a byte of payload:
size, schema, signature, then every field. Any failure is one error that says no more than that.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from fedcc.crypto.keys import SiteKeys, verify_signature
from fedcc.crypto.masks import digest_chunks
from fedcc.crypto.parameters import PROFILE
from fedcc.errors import EnvelopeError

VERSION = 2
MAX_HEADER_BYTES = 65_536


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header of one upload; all of it is public."""

    version: int
    profile: str
    run: str
    round_number: int
    attempt: int
    entry: int  # number of the one-time entry
    site: str
    cohort_hash: str
    session: str
    key_id: str
    n_parameters: int
    lengths: list[int]  # bytes of each chunk
    payload_sha256: str
    seed_commitment: str
    rounds_applied: int

    def to_bytes(self) -> bytes:
        """Return the canonical JSON that is signed and sent."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()

    def has_exact_types(self) -> bool:
        """Tell whether each value is of its own type; `true` and 1.0 equal 1 and are not 1."""
        plain = {f.name: f.type for f in fields(self) if f.name != "lengths"}
        return (
            all(type(getattr(self, name)) is kind for name, kind in plain.items())
            and type(self.lengths) is list
            and all(type(length) is int for length in self.lengths)
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> "Header":
        """Parse a header strictly.

        Raises:
            EnvelopeError: for anything but the canonical form.
        """
        refused = EnvelopeError("an envelope was refused")
        if len(content) > MAX_HEADER_BYTES:
            raise refused
        try:
            values = json.loads(content)
            header = cls(**values)
            sound = header.to_bytes() == content and header.has_exact_types()
        except (ValueError, TypeError, RecursionError):
            raise refused from None
        if not sound:
            raise refused
        return header


@dataclass(frozen=True)
class Envelope:
    """An upload on its way: header, signature over the header, payload chunks."""

    header: bytes
    signature: bytes
    chunks: list[bytes]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the receiver of an upload expects of its header."""

    run: str
    round_number: int
    attempt: int
    entry: int  # number of the one-time entry
    site: str
    cohort_hash: str
    session: str
    key_id: str
    n_parameters: int
    n_chunks: int
    chunk_bytes: tuple[int, int]  # least and largest length of a chunk


def seal_upload(
    keys: SiteKeys,
    expected: Expected,
    chunks: Sequence[bytes],
    *,
    seed_commitment: bytes,
    rounds_applied: int,
) -> Envelope:
    """Return the signed envelope of an upload."""
    header = Header(
        version=VERSION,
        profile=PROFILE,
        run=expected.run,
        round_number=expected.round_number,
        attempt=expected.attempt,
        entry=expected.entry,
        site=expected.site,
        cohort_hash=expected.cohort_hash,
        session=expected.session,
        key_id=expected.key_id,
        n_parameters=expected.n_parameters,
        lengths=[len(chunk) for chunk in chunks],
        payload_sha256=digest_chunks(chunks).hex(),
        seed_commitment=seed_commitment.hex(),
        rounds_applied=rounds_applied,
    ).to_bytes()
    return Envelope(header, keys.sign(b"fedcc/upload/v1|" + header), list(chunks))


def open_upload(envelope: Envelope, identity: bytes, expected: Expected) -> Header:
    """Check an envelope completely; nothing of the payload is parsed.

    Raises:
        EnvelopeError: whatever is wrong, the message is the same.
    """
    refused = EnvelopeError("an envelope was refused")
    header = Header.from_bytes(envelope.header)
    try:
        verify_signature(identity, envelope.signature, b"fedcc/upload/v1|" + envelope.header)
    except EnvelopeError:
        raise refused from None
    low, high = expected.chunk_bytes
    sound = (
        header.version == VERSION
        and header.profile == PROFILE
        and header.run == expected.run
        and header.round_number == expected.round_number
        and header.attempt == expected.attempt
        and header.entry == expected.entry
        and header.site == expected.site
        and header.cohort_hash == expected.cohort_hash
        and header.session == expected.session
        and header.key_id == expected.key_id
        and header.n_parameters == expected.n_parameters
        and header.lengths == [len(chunk) for chunk in envelope.chunks]
        and len(envelope.chunks) == expected.n_chunks
        and all(low <= len(chunk) <= high for chunk in envelope.chunks)
        and header.payload_sha256 == digest_chunks(envelope.chunks).hex()
        and 0 <= header.rounds_applied < header.round_number
        and _is_sha256(header.seed_commitment)
    )
    if not sound:
        raise refused
    return header


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")
