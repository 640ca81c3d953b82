"""The fixed parameters of the profile `fedcc-he-1` and of the textbook baseline.

128-bit security by the tables of homomorphicencryption.org, which SEAL enforces: N = 4096 admits at
most 109 bits of modulus. One data prime is enough, since the aggregator only adds.
"""

from dataclasses import dataclass
from typing import Literal

PROFILE = "fedcc-he-1"
SECURITY_BITS = 128
MIN_ENCRYPTED_SITES = 3  # with two, each site reads the other's update off the sum

Scheme = Literal["bfv", "ckks", "none"]

POLY_DEGREE = 4096
PLAIN_MODULUS = 70_368_743_669_761  # t: 46-bit prime, PlainModulus.Batching(4096, 46)
BFV_CHAIN = (60, 49)  # bits of the data prime and of the key-switching prime
CKKS_CHAIN = (54, 55)
CKKS_SCALE = 2.0**40
A_SEED_BYTES = 64  # the seed from which SEAL draws the second polynomial of a fresh ciphertext
MAX_EPOCH_ROUNDS = 50  # bounds what one epoch's dealing costs, and what one theft of it opens
LANE_BITS = {2: 23, 3: 15}  # lanes per slot -> bits per lane


@dataclass(frozen=True, kw_only=True)
class CryptoSettings:
    """Which encryption; values come from `configs/crypto/*.yaml`."""

    scheme: Scheme
    lanes: Literal[2, 3]
    grid_steps: int | None
    neighbours: int | None  # sites that each site masks with; None for all others
    rotate_every: int  # rounds of an epoch, after which keys are dealt afresh

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.grid_steps is not None and self.grid_steps < 1:
            raise ValueError("grid_steps must be at least 1, or null to choose")
        if self.neighbours is not None and (self.neighbours < 2 or self.neighbours % 2):
            raise ValueError("neighbours must be an even number from 2 on, or null for all sites")
        if not 1 <= self.rotate_every <= MAX_EPOCH_ROUNDS:
            raise ValueError(
                f"rotate_every must be 1 to {MAX_EPOCH_ROUNDS} rounds, got {self.rotate_every}"
            )

    @property
    def masked(self) -> bool:
        """Whether single updates stay closed even to the aggregator with a key holder."""
        return self.scheme == "bfv"

    @property
    def capacity(self) -> int:
        """Bound of a lane: a total is exact while its magnitude stays below it."""
        return 1 << (LANE_BITS[self.lanes] - 1)


def slots_per_chunk(scheme: Scheme) -> int:
    """Return how many values one ciphertext holds."""
    return POLY_DEGREE if scheme == "bfv" else POLY_DEGREE // 2


def word_bytes(scheme: Scheme) -> int:
    """Return how many bytes one coefficient takes on its way."""
    bits = BFV_CHAIN[0] if scheme == "bfv" else CKKS_CHAIN[0]
    return -(-bits // 8)


def ciphertext_bytes(scheme: Scheme, *, aggregate: bool) -> tuple[int, int]:
    """Return the least and largest length of one ciphertext; both are the same.

    Of a BFV upload half travels as a seed: the polynomial `a` of the pair is drawn from it.
    """
    polynomial = POLY_DEGREE * word_bytes(scheme)
    seeded = scheme == "bfv" and not aggregate
    size = polynomial + A_SEED_BYTES if seeded else 2 * polynomial
    return size, size
