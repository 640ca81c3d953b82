"""Signed integers in lanes of a BFV slot; the sum of packed slots is the packed sum.

A slot is the signed number sum_j q_j 2^(width j), reduced mod t and nothing else; nothing
saturates. Decoding is signed, lane by lane, so it is exact whenever the magnitude of every *total*
stays below 2^(width - 1).
"""

import numpy as np
from numpy.typing import NDArray

from fedcc.crypto.parameters import LANE_BITS, PLAIN_MODULUS

_SAFE_SHIFT = 16  # t has 46 bits, so a reduced value shifted by this stays inside int64


def slot_count(n_values: int, lanes: int) -> int:
    """Return how many slots `n_values` numbers take."""
    return -(-n_values // lanes)


def pack(values: NDArray[np.int64], lanes: int) -> NDArray[np.uint64]:
    """Return packed slots in [0, t), shape `(ceil(n / lanes),)`.

    Args:
        values: signed integers, shape `(n,)`.
        lanes: 2 (of 23 bits) or 3 (of 15 bits).

    Nothing fails or saturates, however large a value is: a failure would tell about it.
    """
    padded = np.concatenate([values, np.zeros(-values.size % lanes, dtype=np.int64)])
    slots = np.zeros(padded.size // lanes, dtype=np.int64)
    for lane in range(lanes):
        part = np.mod(padded[lane::lanes], PLAIN_MODULUS)
        left = LANE_BITS[lanes] * lane
        while left:
            step = min(left, _SAFE_SHIFT)
            part = np.mod(part << step, PLAIN_MODULUS)
            left -= step
        slots = np.mod(slots + part, PLAIN_MODULUS)
    return slots.astype(np.uint64)


def unpack(slots: NDArray[np.uint64], n_values: int, lanes: int) -> NDArray[np.int64]:
    """Return the signed integers of packed slots, shape `(n_values,)`.

    Args:
        slots: values in [0, t), for instance a decrypted and unmasked sum.
        n_values: how many numbers were packed.
        lanes: as in `pack`.
    """
    width = LANE_BITS[lanes]
    rest = slots.astype(np.int64)
    rest = np.where(rest > PLAIN_MODULUS // 2, rest - PLAIN_MODULUS, rest)
    half = 1 << (width - 1)
    parts = []
    for _ in range(lanes):
        low = ((rest + half) & ((1 << width) - 1)) - half
        parts.append(low)
        rest = (rest - low) >> width
    return np.stack(parts, axis=1).reshape(-1)[:n_values]
