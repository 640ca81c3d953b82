"""Signed integers in lanes of a slot; the sum of packed slots is the packed sum.

A slot is the signed number sum_j q_j 2^(width j), reduced mod the scheme's modulus and nothing
else; nothing saturates. Decoding is signed, lane by lane, so it is exact whenever the magnitude of
every *total* stays below 2^(width - 1).
"""

import numpy as np
from numpy.typing import NDArray

from fedcc.crypto.parameters import MODULI, Scheme, lane_bits

_SAFE_SHIFT = 16  # a modulus has at most 46 bits, so a value shifted by this stays inside int64
_SAFE_BITS = 61  # of a lane's term, so that up to three add inside int64


def slot_count(n_values: int, lanes: int) -> int:
    """Return how many slots `n_values` numbers take."""
    return -(-n_values // lanes)


def pack(values: NDArray[np.int64], lanes: int, scheme: Scheme = "bfv") -> NDArray[np.uint64]:
    """Return packed slots in [0, modulus), shape `(ceil(n / lanes),)`.

    Args:
        values: signed integers, shape `(n,)`.
        lanes: 2 or 3 to a slot.
        scheme: a masked one; it fixes the modulus and the width of a lane.

    Nothing fails or saturates, however large a value is: a failure would tell about it.
    """
    modulus, width = MODULI[scheme], lane_bits(scheme, lanes)
    padded = np.concatenate([values, np.zeros(-values.size % lanes, dtype=np.int64)])
    parts = [padded[lane::lanes] for lane in range(lanes)]
    largest = max(-int(values.min()), int(values.max())) if values.size else 0
    if largest < 1 << (_SAFE_BITS - width * (lanes - 1)):  # all but always; the slots are the same
        shifted = [part << (width * lane) for lane, part in enumerate(parts)]
    else:
        shifted = [_shift_mod(part, width * lane, modulus) for lane, part in enumerate(parts)]
    slots: NDArray[np.uint64] = np.mod(sum(shifted), modulus).astype(np.uint64)
    return slots


def _shift_mod(part: NDArray[np.int64], bits: int, modulus: int) -> NDArray[np.int64]:
    """Return `part * 2^bits` mod `modulus` without leaving int64."""
    part = np.mod(part, modulus)
    while bits:
        step = min(bits, _SAFE_SHIFT)
        part = np.mod(part << step, modulus)
        bits -= step
    return part


def unpack(
    slots: NDArray[np.uint64], n_values: int, lanes: int, scheme: Scheme = "bfv"
) -> NDArray[np.int64]:
    """Return the signed integers of packed slots, shape `(n_values,)`.

    Args:
        slots: values in [0, modulus), for instance a decrypted and unmasked sum.
        n_values: how many numbers were packed.
        lanes: as in `pack`.
        scheme: as in `pack`.
    """
    modulus, width = MODULI[scheme], lane_bits(scheme, lanes)
    rest = slots.astype(np.int64)
    rest[rest > modulus // 2] -= modulus
    half = 1 << (width - 1)
    values = np.empty((slots.size, lanes), dtype=np.int64)
    for lane in range(lanes):
        low = ((rest + half) & ((1 << width) - 1)) - half
        values[:, lane] = low
        rest -= low
        rest >>= width
    return values.reshape(-1)[:n_values]
