"""Pairwise masks that cancel in the sum, and self masks that open only after agreement.

Masks are uniform mod t. A pair's key comes from the X25519 keys of one one-time entry and
HKDF-SHA256, with the hash of the epoch as salt and run, round, attempt, entry and cohort in the
info, so no pad is ever used twice. The self mask of a site comes from a seed that the site
committed to before, and that opens only after a survivor set and the aggregate were co-signed;
without that seed an upload stays closed to everybody. When a site drops out, its mask key of this
one entry is recovered and the masks that it shares with survivors are taken off the sum; its self
mask stays closed.

With many sites each one masks with its neighbours on a ring alone. Such a ring with k neighbours a
site stays connected when fewer than k sites are taken out, so up to k - 1 dropped or colluding
sites still open nothing but the sum over all others.

Sources: Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine Learning",
2017; Bell et al., "Secure Single-Server Aggregation with (Poly)Logarithmic Overhead", 2020 (masks
along a graph); Harary, "The Maximum Connectivity of a Graph", 1962 (the ring); RFC 5869 (HKDF);
RFC 7748 (X25519); NIST SP 800-38A (AES-CTR).
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from fedcc.crypto.parameters import PLAIN_MODULUS
from fedcc.errors import ProtocolError
from fedcc.rng import ByteSource

SEED_BYTES = 32
Slots = NDArray[np.uint64]


@dataclass(frozen=True)
class MaskEntry:
    """The one-time place of a mask: its parts enter every key derivation.

    Raises:
        ProtocolError: if the cohort names a site twice; its masks would not cancel, or be none.
    """

    run: str
    number: int  # of the entry, one for each attempt of a run
    round_number: int
    attempt: int
    cohort: tuple[str, ...]
    session: bytes  # hash of roster, plan and epoch, the salt of every mask key
    neighbours: int  # sites that each site masks with: an even number, or 0 for all others

    def __post_init__(self) -> None:
        """Check the cohort."""
        if len(set(self.cohort)) != len(self.cohort):
            raise ProtocolError("the cohort names a site twice")
        if self.neighbours < 0 or self.neighbours % 2:
            raise ProtocolError("neighbours must be an even number, or 0 for all")

    def peers(self, site: str) -> tuple[str, ...]:
        """Return the sites that `site` masks with, each of which masks with it too.

        Raises:
            ValueError: if the site is not of the cohort.
        """
        if site not in self.cohort:
            raise ValueError(f"{site} is not of the cohort")
        size, half = len(self.cohort), self.neighbours // 2
        if not half or self.neighbours >= size - 1:
            return tuple(name for name in self.cohort if name != site)
        place = self.cohort.index(site)
        steps = [step for step in range(-half, half + 1) if step]
        return tuple(self.cohort[(place + step) % size] for step in steps)

    def info(self, kind: str, *names: str) -> bytes:
        """Return the HKDF info of one key of this entry; no two entries share one."""
        return json.dumps(["fedcc", kind, "v3", self._digest, *names]).encode()

    @cached_property
    def _digest(self) -> str:
        """SHA-256 of all parts as JSON, which keeps them apart."""
        session = (self.session.hex(), self.neighbours)
        place = (self.run, self.number, self.round_number, self.attempt, self.cohort, *session)
        return hashlib.sha256(json.dumps(place).encode()).hexdigest()


def key_stream(key: bytes) -> ByteSource:
    """Return the bytes of AES-256-CTR under a key of 32 bytes that is used for this alone.

    Raises:
        ValueError: if the key has another length.
    """
    if len(key) != 32:
        raise ValueError("a key must have 32 bytes")
    stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    return lambda size: stream.update(bytes(size))


def expand(key: bytes, size: int, *, modulus: int = PLAIN_MODULUS) -> Slots:
    """Return `size` integers uniform in [0, modulus), by rejection; no modulo bias.

    Args:
        key: 32 bytes, used for this call alone.
        size: how many.
        modulus: at most 2^63.

    Raises:
        ValueError: if the key has another length.
    """
    stream, bits = key_stream(key), (modulus - 1).bit_length()
    parts: list[Slots] = []
    have = 0
    while have < size:
        raw = stream(8 * (size - have + 8))
        words = np.frombuffer(raw, dtype="<u8") & np.uint64((1 << bits) - 1)
        # A modulus just below a power of two rejects next to nothing.
        kept = words if words.max() < modulus else words[words < np.uint64(modulus)]
        parts.append(kept)
        have += kept.size
    if len(parts) == 1:
        return parts[0][:size]
    return np.concatenate(parts)[:size] if parts else np.zeros(0, dtype=np.uint64)


def derive(secret: bytes, session: bytes, info: bytes) -> bytes:
    """Return 32 bytes by HKDF-SHA256."""
    return HKDF(algorithm=SHA256(), length=32, salt=session, info=info).derive(secret)


def add_mod(left: Slots, right: Slots, *, modulus: int = PLAIN_MODULUS) -> Slots:
    """Return the sum mod `modulus` of values in [0, modulus)."""
    return _reduce(left + right, modulus)


def subtract_mod(left: Slots, right: Slots, *, modulus: int = PLAIN_MODULUS) -> Slots:
    """Return the difference mod `modulus` of values in [0, modulus)."""
    total = np.uint64(modulus) - right
    total += left
    return _reduce(total, modulus)


def _reduce(total: Slots, modulus: int) -> Slots:
    """Reduce values in [0, 2 modulus) in place."""
    # A total below the modulus wraps around to a huge number, so the minimum is the remainder.
    np.minimum(total, total - np.uint64(modulus), out=total)
    return total


def _pair_stream(
    site: str, peer: str, secret: bytes, entry: MaskEntry, size: int, modulus: int
) -> Slots:
    """Return what `site` adds for one peer, so that both add 0 together."""
    first, second = sorted((site, peer))
    key = derive(secret, entry.session, entry.info("pair", first, second))
    stream = expand(key, size, modulus=modulus)
    return stream if site == first else np.uint64(modulus) - stream


def pairwise_mask(
    site: str,
    shared_secrets: Mapping[str, bytes],
    entry: MaskEntry,
    size: int,
    *,
    modulus: int = PLAIN_MODULUS,
) -> Slots:
    """Return the sum of a site's signed pairwise masks; over the cohort these add to 0.

    Args:
        site: whose mask.
        shared_secrets: X25519 secret with each peer of the site.
        entry: round, attempt and cohort.
        size: number of slots.
        modulus: of the slots.

    Raises:
        ValueError: if the site is not of the cohort, or a peer's secret is missing.
    """
    total = np.zeros(size, dtype=np.uint64)  # holds 2^18 values of 46 bits without overflow
    for peer in entry.peers(site):
        if peer not in shared_secrets:
            raise ValueError(f"no shared secret with {peer}")
        total += _pair_stream(site, peer, shared_secrets[peer], entry, size, modulus)
    return total % np.uint64(modulus)


def self_mask(
    seed: bytes, site: str, entry: MaskEntry, size: int, *, modulus: int = PLAIN_MODULUS
) -> Slots:
    """Return the self mask of one site for one entry."""
    return expand(derive(seed, entry.session, entry.info("self", site)), size, modulus=modulus)


def masks_of_survivors(
    entry: MaskEntry,
    seeds: Mapping[str, bytes],
    pair_secrets: Mapping[tuple[str, str], bytes],
    size: int,
    *,
    modulus: int = PLAIN_MODULUS,
) -> Slots:
    """Return the masks that the sum over the survivors still carries.

    Args:
        entry: round, attempt and cohort.
        seeds: self-mask seed of each survivor; its keys are the survivors.
        pair_secrets: X25519 secret of each pair of a dropped site and a survivor that masked with
            each other, as (dropped, survivor).
        size: number of slots.
        modulus: of the slots.

    Raises:
        ProtocolError: if a survivor is not of the cohort.
        ValueError: if the secret of a pair is missing.
    """
    _check_survivors(entry, seeds)
    total = np.zeros(size, dtype=np.uint64)  # as above: no overflow below 2^18 masks
    for site, seed in seeds.items():
        total += self_mask(seed, site, entry, size, modulus=modulus)
    for dropped, survivor in dropped_pairs(entry, seeds):
        if (dropped, survivor) not in pair_secrets:
            raise ValueError(f"no recovered secret of {dropped} and {survivor}")
        secret = pair_secrets[dropped, survivor]
        total += _pair_stream(survivor, dropped, secret, entry, size, modulus)
    return total % np.uint64(modulus)


def _check_survivors(entry: MaskEntry, survivors: Collection[str]) -> None:
    if not set(survivors) <= set(entry.cohort):
        raise ProtocolError("a survivor is not of the cohort")


def dropped_pairs(entry: MaskEntry, survivors: Collection[str]) -> list[tuple[str, str]]:
    """Return the pairs (dropped site, survivor) of a cohort that masked with each other."""
    return [
        (dropped, peer)
        for dropped in entry.cohort
        if dropped not in survivors
        for peer in entry.peers(dropped)
        if peer in survivors
    ]


def transcript_hash(
    entry: MaskEntry,
    chunk_hashes: Sequence[bytes],
    uploads: Mapping[str, bytes],
    commitments: Mapping[str, bytes],
) -> bytes:
    """Return the hash that survivors co-sign before anything is decrypted.

    It covers the entry, the SHA-256 of each chunk of the aggregate, the survivors with the SHA-256
    of each one's signed header (which holds the hash of its ciphertexts), and the commitments to
    their self-mask seeds; never a decoded value, which would be an oracle.

    Args:
        entry: round, attempt and cohort.
        chunk_hashes: of the aggregate.
        uploads: hash of the header of each survivor; its keys are the survivors.
        commitments: to the self-mask seed of each survivor.

    Raises:
        ProtocolError: if a survivor is not of the cohort, or its commitment is missing.
    """
    _check_survivors(entry, uploads)
    if not set(uploads) <= set(commitments):
        raise ProtocolError("a survivor lacks its commitment")
    hashes = [chunk_hash.hex() for chunk_hash in chunk_hashes]
    survivors = [
        (site, uploads[site].hex(), commitments[site].hex())
        for site in entry.cohort
        if site in uploads
    ]
    content = json.dumps([hashes, survivors])
    return hashlib.sha256(entry.info("transcript", content)).digest()


def hash_chunks(chunks: Iterable[bytes]) -> list[bytes]:
    """Return the SHA-256 of each chunk."""
    return [hashlib.sha256(chunk).digest() for chunk in chunks]


def digest_chunks(chunks: Iterable[bytes]) -> bytes:
    """Return the SHA-256 over the hashes of byte chunks."""
    return hashlib.sha256(b"".join(hash_chunks(chunks))).digest()
