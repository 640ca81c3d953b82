"""Sources of random bytes: the operating system's, or a seeded stream for reproducible simulations.

All randomness of fedcc is drawn from a `ByteSource` that is handed in. No global generator is read
or written. The seeded stream fixes a simulation to the bit; it is never used for keys or masks.
"""

import hashlib
import math
import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

ByteSource = Callable[[int], bytes]
"""Returns that many random bytes."""

_UNIFORM_BITS = 52  # k + 1/2 is exact in float64 for every k below 2^52, so 1 never occurs


def _derived_key(seed: int, path: tuple[str | int, ...]) -> int:
    """Return a 128-bit key for one named stream of a seed."""
    text = "/".join(str(part) for part in (seed, *path))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


def byte_source(seed: int | None, *path: str | int) -> ByteSource:
    """Return the source for one purpose: the operating system's, or a seeded stream.

    Args:
        seed: `None` for the operating system's generator; a number for a stream that depends on
            `seed` and `path` alone.
        path: names the purpose, for instance `("noise", "site-1", 3)`. Equal paths give equal
            streams, so a path must hold everything that makes two draws different.
    """
    if seed is None:
        return os.urandom
    return np.random.Generator(np.random.Philox(key=_derived_key(seed, path))).bytes


def generator(seed: int | None, *path: str | int) -> np.random.Generator:
    """Return a numpy generator for shuffles and splits (never for privacy noise)."""
    if seed is None:
        return np.random.default_rng(int.from_bytes(os.urandom(16), "big"))
    return np.random.Generator(np.random.Philox(key=_derived_key(seed, path)))


def bernoulli(size: int, chance: float, source: ByteSource) -> NDArray[np.bool_]:
    """Return independent draws that are true with a chance of at most `chance`, shape `(size,)`.

    The chance is `chance` rounded down to a multiple of 2^-52, so a draw is never likelier than an
    account that is told `chance` believes.

    Raises:
        ValueError: if `chance` is not inside [0, 1].
    """
    if not 0 <= chance <= 1:
        raise ValueError(f"chance must be inside [0, 1], got {chance}")
    words = np.frombuffer(source(8 * size), dtype="<u8") >> np.uint64(64 - _UNIFORM_BITS)
    drawn: NDArray[np.bool_] = words < np.uint64(math.floor(chance * 2.0**_UNIFORM_BITS))
    return drawn


def uniform(size: int, source: ByteSource) -> NDArray[np.float64]:
    """Return `size` float64 values strictly inside (0, 1), 52 random bits each, shape `(size,)`.

    The values are (k + 1/2) / 2^52 for a uniform integer k, so 0 and 1 never occur.
    """
    words = np.frombuffer(source(8 * size), dtype="<u8") >> np.uint64(64 - _UNIFORM_BITS)
    values: NDArray[np.float64] = words.astype(np.float64)
    values += 0.5
    values *= 2.0**-_UNIFORM_BITS
    return values
