"""Shamir's secret sharing, byte by byte over GF(2^8).

A secret of any length is split into up to 255 shares of the same length; any `threshold` of them
give it back, and fewer say nothing about it at all. The field is that of AES (x^8 + x^4 + x^3 + x +
1), so products can be held against FIPS 197. Tables are indexed by secret bytes: not hardened
against somebody who watches the caches of the site's own processor.

Source: Shamir, "How to Share a Secret", 1979; FIPS 197 section 4.2 (the field).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedcc.rng import ByteSource

MAX_SHARES = 255  # non-zero points of the field
_REDUCTION = 0x11B
Bytes = NDArray[np.uint8]


def _products() -> Bytes:
    """Return the multiplication table of the field, shape (256, 256)."""
    left = np.arange(256, dtype=np.uint16)
    table = np.zeros((256, 256), dtype=np.uint16)
    for bit in range(8):
        factor = np.where(left >> bit & 1, 0xFFFF, 0).astype(np.uint16)
        power = np.arange(256, dtype=np.uint16) << bit
        for high in range(15, 7, -1):
            power ^= np.where(power >> high & 1, _REDUCTION << (high - 8), 0).astype(np.uint16)
        table ^= factor[:, None] & power[None, :]
    return table.astype(np.uint8)


_PRODUCT = _products()
_INVERSE = np.argmax(_PRODUCT == 1, axis=1).astype(np.uint8)  # of 0 it is 0, which is never used


def multiply(left: int, right: int) -> int:
    """Return the product of two field elements."""
    return int(_PRODUCT[left, right])


def split(secret: bytes, *, threshold: int, n_shares: int, source: ByteSource) -> list[bytes]:
    """Return the shares at the points 1 to `n_shares`, each as long as the secret.

    Args:
        secret: any bytes.
        threshold: how many shares give it back.
        n_shares: how many there are.
        source: random bytes; the operating system's.

    Raises:
        ValueError: unless 1 <= threshold <= n_shares <= 255.
    """
    if not 1 <= threshold <= n_shares <= MAX_SHARES:
        raise ValueError(f"cannot share {n_shares} ways with threshold {threshold}")
    size = len(secret)
    drawn = np.frombuffer(source((threshold - 1) * size), np.uint8).reshape(threshold - 1, size)
    constant = np.frombuffer(secret, np.uint8)
    shares = []
    for point in range(1, n_shares + 1):
        times_point = _PRODUCT[point]
        value = np.zeros(size, dtype=np.uint8)
        for coefficient in drawn:  # Horner's rule, highest power first
            value = times_point[value ^ coefficient]
        shares.append((value ^ constant).tobytes())
    return shares


def combine(shares: Mapping[int, bytes], *, threshold: int) -> bytes:
    """Return the secret from shares by their points; a wrong share gives a wrong secret.

    Whoever combines must hold the result against a commitment.

    Raises:
        ValueError: for fewer than `threshold` shares, a point outside 1 to 255, or shares of
            unequal length.
    """
    points = sorted(shares)[:threshold]
    if len(points) < threshold or not 1 <= points[0] <= points[-1] <= MAX_SHARES:
        raise ValueError("too few shares, or a point that no share has")
    if len({len(shares[point]) for point in points}) != 1:
        raise ValueError("shares of one secret have one length")
    total = np.zeros(len(shares[points[0]]), dtype=np.uint8)
    for point in points:
        weight = 1
        for other in points:
            if other != point:  # Lagrange's polynomial at 0; minus is plus in this field
                quotient = multiply(other, int(_INVERSE[other ^ point]))
                weight = multiply(weight, quotient)
        total ^= _PRODUCT[weight][np.frombuffer(shares[point], np.uint8)]
    return total.tobytes()
