"""Random cosines have norm at most 1, come from public numbers alone, and tend to a kernel."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcc.data.fourier_features import FourierShape, fourier_features, fourier_weights

SHAPE = FourierShape(features=64, columns=2, scale=1.0, share=0.7, seed=1)


@given(
    values=st.lists(st.floats(-1, 1), min_size=3, max_size=3),
    scale=st.floats(1e-3, 1e3),
    columns=st.integers(1, 5),
)
@settings(deadline=None, max_examples=60)
def test_no_row_of_cosines_is_longer_than_one(
    values: list[float], scale: float, columns: int
) -> None:
    shape = dataclasses.replace(SHAPE, scale=scale, columns=columns)

    cosines = fourier_features(np.array([values]), (1, 2), shape)

    assert np.linalg.norm(cosines) <= 1 + 1e-12


def test_products_of_rows_tend_to_half_the_gaussian_kernel() -> None:
    # Rahimi and Recht 2007: the mean of 2 cos cos is exp(-scale^2 |x - y|^2 / 2).
    shape = dataclasses.replace(SHAPE, features=200_000, columns=3)
    rows = np.array([[0.1, -0.9, 0.4], [0.7, 0.2, -0.3]])

    cosines = fourier_features(rows, (1, 1, 1), shape)

    kernel = math.exp(-float(np.square(rows[0] - rows[1]).sum()) / 2)
    # Each product of two cosines lies in [-1, 1]: six standard errors are 6 / sqrt(200,000).
    assert 2 * cosines[0] @ cosines[1] == pytest.approx(kernel, abs=2 * 6 / math.sqrt(200_000))


def test_each_cosine_looks_at_as_many_columns_as_it_is_told_to() -> None:
    weights, shifts = fourier_weights((1, 3, 1, 2), SHAPE)

    touched = [np.any(part != 0, axis=0) for part in np.split(weights, [1, 4, 5])]
    np.testing.assert_array_equal(np.sum(touched, axis=0), np.full(SHAPE.features, 2))
    assert shifts.shape == (SHAPE.features,)


def test_fewer_columns_than_asked_for_are_all_looked_at() -> None:
    weights, _ = fourier_weights((1, 1), dataclasses.replace(SHAPE, columns=8))

    assert np.all(weights != 0)


def test_the_weights_depend_on_the_public_seed_and_on_nothing_else() -> None:
    first, again = (fourier_weights((1, 2), SHAPE) for _ in range(2))
    other, _ = fourier_weights((1, 2), dataclasses.replace(SHAPE, seed=2))

    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other)


def test_a_linear_score_on_cosines_learns_what_no_additive_score_can() -> None:
    rng = np.random.default_rng(1)
    rows = rng.uniform(-1, 1, (2000, 2))
    target = np.sign(rows[:, 0] * rows[:, 1])  # exclusive or: no main effect at all

    def share_right(features: np.ndarray) -> float:
        seen, width = features[:1000], features.shape[1]
        weights = np.linalg.solve(seen.T @ seen + 1e-3 * np.eye(width), seen.T @ target[:1000])
        return float((np.sign(features[1000:] @ weights) == target[1000:]).mean())

    # A line is right in at most three of the four quadrants (Minsky and Papert, 1969).
    assert share_right(fourier_features(rows, (1, 1), SHAPE)) > 0.9
    assert share_right(np.hstack([rows, np.ones((2000, 1))])) < 0.75


def test_widths_that_do_not_fit_the_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="widths add up to 3"):
        fourier_features(np.zeros((2, 4)), (1, 2), SHAPE)


@pytest.mark.parametrize(
    ("key", "value"),
    [("features", 0), ("columns", 0), ("scale", 0.0), ("share", 1.0), ("share", 0.0), ("seed", -1)],
)
def test_a_shape_out_of_range_is_refused_by_name(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=key):
        dataclasses.replace(SHAPE, **{key: value})
