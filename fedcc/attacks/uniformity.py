"""Whether bytes or numbers look like noise: necessary for a good cipher, never sufficient."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

BINS = 256


def byte_entropy(content: bytes) -> float:
    """Return the entropy of the bytes' empirical distribution in bits, at most 8.

    n uniform bytes give about 8 - 255 / (2 n ln 2), not 8.

    Raises:
        ValueError: if there are no bytes.

    Source: Miller, "Note on the Bias of Information Estimates", 1955 (the bias).
    """
    if not content:
        raise ValueError("there are no bytes")
    counts = np.bincount(np.frombuffer(content, dtype=np.uint8), minlength=256)
    shares = counts[counts > 0] / len(content)
    return float(-np.sum(shares * np.log2(shares)))


def uniformity_p_value(values: NDArray[np.uint64], bound: int) -> float:
    """Return the chance that uniform integers of [0, bound) fill 256 equal bins less evenly.

    Args:
        values: shape `(n,)`, n at least 5 per bin for the chi-square approximation.
        bound: exclusive, at least 256 and below 2^56.

    Raises:
        ValueError: if there are too few values, one lies outside, or `bound` does.

    Source: Pearson's chi-square test with 255 degrees of freedom.
    """
    if not BINS <= bound < 2**56:
        raise ValueError(f"bound must be in {BINS}..2^56, got {bound}")
    if values.size < 5 * BINS:
        raise ValueError(f"at least {5 * BINS} values are needed, got {values.size}")
    if int(values.max()) >= bound:
        raise ValueError("a value is not below the bound")
    counts = np.bincount((values * np.uint64(BINS) // np.uint64(bound)).astype(int), minlength=BINS)
    expected = values.size / BINS
    return float(chi2.sf(np.sum((counts - expected) ** 2) / expected, BINS - 1))
