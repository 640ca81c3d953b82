"""Entropy and chi-square against scipy's own test and against values that are not uniform."""

import numpy as np
import pytest
from scipy.stats import chisquare

from fedcc.attacks.uniformity import byte_entropy, uniformity_p_value

BOUND = 70_368_743_669_761  # t of BFV: not a power of two


def uniform(size: int) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
    return np.random.default_rng(5).integers(0, BOUND, size, dtype=np.uint64)


def test_the_p_value_is_the_one_of_scipy() -> None:
    values = uniform(10_000)
    counts, _ = np.histogram(values.astype(float) / BOUND, bins=256, range=(0, 1))

    assert uniformity_p_value(values, BOUND) == pytest.approx(chisquare(counts).pvalue, rel=1e-6)


def test_uniform_values_pass_and_small_ones_do_not() -> None:
    assert uniformity_p_value(uniform(10_000), BOUND) > 1e-6
    assert uniformity_p_value(uniform(10_000) % np.uint64(BOUND // 2), BOUND) < 1e-12


def test_entropy_is_eight_bits_for_every_byte_once_and_zero_for_one_byte() -> None:
    assert byte_entropy(bytes(range(256))) == pytest.approx(8.0)
    assert byte_entropy(b"aaaa") == 0.0


@pytest.mark.parametrize(
    "values, bound",
    [(uniform(1279), BOUND), (uniform(2000), 2**56), (uniform(2000), 255), (uniform(2000), 256)],
)
def test_values_that_the_test_is_not_made_for_are_refused(
    values: "np.ndarray[tuple[int], np.dtype[np.uint64]]", bound: int
) -> None:
    with pytest.raises(ValueError):
        uniformity_p_value(values, bound)


def test_no_bytes_have_no_entropy() -> None:
    with pytest.raises(ValueError, match="no bytes"):
        byte_entropy(b"")
