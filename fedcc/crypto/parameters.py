"""The fixed parameters of the profile `fedcc-he-1` and of the textbook baseline.

128-bit security by the tables of homomorphicencryption.org, which SEAL enforces: N = 4096 admits at
most 109 bits of modulus. One data prime is enough, since the aggregator only adds.

Three schemes share one shape. `bfv` adds integers mod t exactly. `ckks_packed` adds the same masked
integers as CKKS numbers, two to a complex slot, which are rounded after decryption: exact as well,
since the noise of 128 sites is 35 standard deviations below a half. It needs the masks: unmasked
equal slots all fall on one coefficient, which wraps. `ckks` is the textbook baseline: floats of
limited precision, no masks.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

PROFILE = "fedcc-he-1"
SECURITY_BITS = 128
MIN_ENCRYPTED_SITES = 3  # with two, each site reads the other's update off the sum

Scheme = Literal["bfv", "ckks_packed", "ckks", "none"]
Lanes = Literal[2, 3]
ENCRYPTED: tuple[Scheme, ...] = ("bfv", "ckks_packed", "ckks")
MASKED: tuple[Scheme, ...] = ("bfv", "ckks_packed")  # exact sums of integers mod the ring

POLY_DEGREE = 4096
PLAIN_MODULUS = 70_368_743_669_761  # t: 46-bit prime, PlainModulus.Batching(4096, 46)
PACKED_MODULUS = 1 << 42  # M: what complex slots at `SCALES` hold of 128 sites' sum
MODULI: dict[Scheme, int] = {"bfv": PLAIN_MODULUS, "ckks_packed": PACKED_MODULUS}

# The data prime and the key-switching prime: CoeffModulus.Create(4096, [60, 49]) and ([54, 55]).
PRIMES: dict[Scheme, tuple[int, int]] = {
    "bfv": (1_152_921_504_606_830_593, 562_949_953_216_513),
    "ckks_packed": (1_152_921_504_606_830_593, 562_949_953_216_513),
    "ckks": (18_014_398_509_309_953, 36_028_797_018_652_673),
}
SCALES: dict[Scheme, float] = {"ckks": 2.0**40, "ckks_packed": 2.0**17}
A_SEED_BYTES = 64  # the seed from which SEAL draws the second polynomial of a fresh ciphertext
MAX_EPOCH_ROUNDS = 50  # bounds what one epoch's dealing costs, and what one theft of it opens
_LANE_BITS: dict[int, dict[int, int]] = {46: {2: 23, 3: 15}, 42: {2: 21, 3: 14}}


@dataclass(frozen=True, kw_only=True)
class CryptoSettings:
    """Which encryption; values come from `configs/crypto/*.yaml`."""

    scheme: Scheme
    lanes: Lanes | None  # parameters a slot; None for three wherever nothing is lost by it
    unseeded: bool  # send both polynomials of a fresh ciphertext: twice the bytes
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
        return self.scheme in MASKED


def lane_bits(scheme: Scheme, lanes: int) -> int:
    """Return the width of one lane; sums without lanes are held to the widths of BFV.

    Raises:
        KeyError: if `lanes` is neither 2 nor 3.
    """
    return _LANE_BITS[42 if scheme == "ckks_packed" else 46][lanes]


def lane_capacity(scheme: Scheme, lanes: int) -> int:
    """Return the bound of a lane: a total is exact while its magnitude stays below it."""
    return 1 << (lane_bits(scheme, lanes) - 1)


def slots_per_chunk(scheme: Scheme) -> int:
    """Return how many values one ciphertext holds."""
    return POLY_DEGREE // 2 if scheme == "ckks" else POLY_DEGREE


def word_bytes(scheme: Scheme) -> int:
    """Return how many bytes one coefficient takes on its way."""
    return -(-PRIMES[scheme][0].bit_length() // 8)


def ciphertext_bytes(scheme: Scheme, *, aggregate: bool, seeded: bool = True) -> tuple[int, int]:
    """Return the least and largest length of one ciphertext; both are the same.

    Of a seeded upload half travels as a seed: the polynomial `a` of the pair is drawn from it.
    """
    polynomial = POLY_DEGREE * word_bytes(scheme)
    compressed = scheme in MASKED and seeded and not aggregate
    size = polynomial + A_SEED_BYTES if compressed else 2 * polynomial
    return size, size


def parameter_line(scheme: Scheme) -> bytes:
    """Return all parameters of a scheme as one line of text, at most 100 bytes.

    It is compared, never parsed: each party builds its context from the constants of this module.
    """
    data, special = PRIMES[scheme]
    holds = f"t={PLAIN_MODULUS}" if scheme == "bfv" else f"s={SCALES[scheme]:.0f}"
    return f"{PROFILE} {scheme} N={POLY_DEGREE} q={data},{special} {holds}".encode()


def parameter_fingerprint(scheme: Scheme) -> str:
    """Return the SHA-256 of the parameters, which every upload names; `none` without encryption."""
    return "none" if scheme == "none" else hashlib.sha256(parameter_line(scheme)).hexdigest()
