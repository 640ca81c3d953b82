"""Pairwise masks that cancel in the sum, and self masks that open only after agreement.

Masks are uniform mod t, or another modulus of a slot. A pair's key comes from X25519 and
HKDF-SHA256, with the session hash as salt and run, round, attempt and cohort in the info, so no pad
is ever used twice. The self mask of a site comes from a fresh seed that the site commits to when it
uploads and opens only after every survivor signed the same transcript; without that seed an upload
stays closed to everybody.

With many sites each one masks with its neighbours on a ring alone. Such a ring with k neighbours a
site stays connected when fewer than k sites are taken out, so up to k - 1 colluding sites still
open nothing but the sum over all others.

Sources: Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine Learning",
2017; Bell et al., "Secure Single-Server Aggregation with (Poly)Logarithmic Overhead", 2020 (masks
along a graph); Harary, "The Maximum Connectivity of a Graph", 1962 (the ring); RFC 5869 (HKDF);
RFC 7748 (X25519); NIST SP 800-38A (AES-CTR).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from fedcc.crypto.parameters import PLAIN_MODULUS
from fedcc.errors import ProtocolError

SEED_BYTES = 32


@dataclass(frozen=True)
class MaskEntry:
    """The one-time place of a mask: its parts enter every key derivation.

    Raises:
        ProtocolError: if the cohort names a site twice; its masks would not cancel, or be none.
    """

    run: str
    round_number: int
    attempt: int
    cohort: tuple[str, ...]
    session: bytes  # hash of roster and plan, the salt of every mask key
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
        return json.dumps(["fedcc", kind, "v2", self._digest, *names]).encode()

    @cached_property
    def _digest(self) -> str:
        """SHA-256 of all parts as JSON, which keeps them apart."""
        session = (self.session.hex(), self.neighbours)
        place = (self.run, self.round_number, self.attempt, self.cohort, *session)
        return hashlib.sha256(json.dumps(place).encode()).hexdigest()


def expand(key: bytes, size: int, *, modulus: int = PLAIN_MODULUS) -> NDArray[np.uint64]:
    """Return integers uniform in [0, modulus) from AES-256-CTR, by rejection; no modulo bias.

    Args:
        key: 32 bytes, used for this call alone.
        size: how many.
        modulus: at most 2^62.

    Raises:
        ValueError: if the key has another length.
    """
    if len(key) != 32:
        raise ValueError("a key must have 32 bytes")
    stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    parts: list[NDArray[np.uint64]] = []
    have = 0
    while have < size:
        raw = stream.update(bytes(8 * (size - have + 8)))
        words = np.frombuffer(raw, dtype="<u8") & np.uint64((1 << (modulus - 1).bit_length()) - 1)
        kept = words[words < np.uint64(modulus)]
        parts.append(kept)
        have += kept.size
    return np.concatenate(parts)[:size] if parts else np.zeros(0, dtype=np.uint64)


def _derive(secret: bytes, entry: MaskEntry, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=entry.session, info=info).derive(secret)


def add_mod(
    left: NDArray[np.uint64], right: NDArray[np.uint64], *, modulus: int = PLAIN_MODULUS
) -> NDArray[np.uint64]:
    """Return the sum of values in [0, modulus), reduced."""
    total = left + right
    # A total below the modulus wraps to a huge number, so the minimum is the remainder.
    reduced: NDArray[np.uint64] = np.minimum(total, total - np.uint64(modulus))
    return reduced


def subtract_mod(
    left: NDArray[np.uint64], right: NDArray[np.uint64], *, modulus: int = PLAIN_MODULUS
) -> NDArray[np.uint64]:
    """Return the difference of values in [0, modulus), reduced."""
    return add_mod(left, np.uint64(modulus) - right, modulus=modulus)


def pairwise_mask(
    site: str,
    shared_secrets: Mapping[str, bytes],
    entry: MaskEntry,
    size: int,
    *,
    modulus: int = PLAIN_MODULUS,
) -> NDArray[np.uint64]:
    """Return the sum of a site's signed pairwise masks; over the cohort these add to 0.

    Args:
        site: whose mask.
        shared_secrets: X25519 secret with each peer of the site.
        entry: round, attempt and cohort.
        size: number of slots.
        modulus: of a slot.

    Raises:
        ValueError: if the site is not of the cohort, or a peer's secret is missing.
    """
    total = np.zeros(size, dtype=np.uint64)  # holds 2^18 values of 46 bits without overflow
    for peer in entry.peers(site):
        if peer not in shared_secrets:
            raise ValueError(f"no shared secret with {peer}")
        first, second = sorted((site, peer))
        key = _derive(shared_secrets[peer], entry, entry.info("pair", first, second))
        stream = expand(key, size, modulus=modulus)
        total += stream if site == first else np.uint64(modulus) - stream
    return total % np.uint64(modulus)


def self_mask(
    seed: bytes, site: str, entry: MaskEntry, size: int, *, modulus: int = PLAIN_MODULUS
) -> NDArray[np.uint64]:
    """Return the self mask of one site for one entry."""
    return expand(_derive(seed, entry, entry.info("self", site)), size, modulus=modulus)


def seed_commitment(seed: bytes, site: str, entry: MaskEntry) -> bytes:
    """Return the hash by which a site commits to its self-mask seed."""
    return hashlib.sha256(entry.info("commit", site) + seed).digest()


def remove_self_masks(
    slots: NDArray[np.uint64],
    seeds: Mapping[str, bytes],
    entry: MaskEntry,
    *,
    modulus: int = PLAIN_MODULUS,
) -> NDArray[np.uint64]:
    """Return the decrypted sum without the survivors' self masks."""
    total = np.zeros(slots.size, dtype=np.uint64)  # as above: no overflow below 2^18 sites
    for site in entry.cohort:
        total += self_mask(seeds[site], site, entry, slots.size, modulus=modulus)
    return subtract_mod(slots, total % np.uint64(modulus), modulus=modulus)


def commitments_match(
    seeds: Mapping[str, bytes], commitments: Mapping[str, bytes], entry: MaskEntry
) -> bool:
    """Tell whether every survivor's seed is the one that it committed to."""
    return all(
        site in seeds and seed_commitment(seeds[site], site, entry) == commitments.get(site)
        for site in entry.cohort
    )


def transcript_hash(
    entry: MaskEntry, chunk_hashes: Sequence[bytes], commitments: Mapping[str, bytes]
) -> bytes:
    """Return the hash that survivors co-sign before anything is decrypted.

    It covers the entry, the SHA-256 of each chunk of the aggregate and the seed commitments; never
    a decoded value, which would be an oracle.
    """
    hashes = [chunk_hash.hex() for chunk_hash in chunk_hashes]
    committed = [commitments[site].hex() for site in entry.cohort]
    return hashlib.sha256(entry.info("transcript", *hashes, *committed)).digest()


def hash_chunks(chunks: Iterable[bytes]) -> list[bytes]:
    """Return the SHA-256 of each chunk."""
    return [hashlib.sha256(chunk).digest() for chunk in chunks]


def digest_chunks(chunks: Iterable[bytes]) -> bytes:
    """Return the SHA-256 over the hashes of byte chunks."""
    return hashlib.sha256(b"".join(hash_chunks(chunks))).digest()
