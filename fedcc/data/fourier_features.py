"""Random Fourier features of profile columns: interactions that a linear head can use.

Each feature is the cosine of a random combination of a few columns. Which columns, their weights
and the shift come from a seed in the public settings, none of them from data, so every site has the
same features and nothing is spent on choosing them. A row's vector has L2 norm at most 1 by
construction: each of the n cosines is divided by the square root of n.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from fedcc.rng import byte_source, uniform


@dataclass(frozen=True, kw_only=True)
class FourierShape:
    """The public shape of the features; values come from `configs/model/fourier.yaml`."""

    features: int  # number of cosines
    columns: int  # that each of them looks at, or all where there are fewer
    scale: float  # of the random weights: larger tells nearer rows apart
    share: float  # of a row's squared norm that the cosines may take; the rest is for plain columns
    seed: int  # public

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.features < 1 or self.columns < 1:
            raise ValueError("fourier: features and columns must be at least 1")
        if not 0 < self.scale < np.inf:
            raise ValueError(f"fourier: scale must be > 0 and finite, got {self.scale}")
        if not 0 < self.share < 1:
            raise ValueError(f"fourier: share must be inside (0, 1), got {self.share}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"fourier: seed must be a whole number from 0 on, got {self.seed}")


def fourier_weights(
    widths: tuple[int, ...], shape: FourierShape
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the public weights, shape `(sum(widths), features)`, and shifts, `(features,)`.

    Args:
        widths: coordinates of each column: 1 for a number, one per label for a category.
        shape: of the features.

    The columns of a feature are drawn without replacement, weights are Gaussian with standard
    deviation `shape.scale`, shifts uniform over a period.
    """
    n, columns = shape.features, len(widths)
    order = uniform(n * columns, byte_source(shape.seed, "fourier", "columns"))
    places = np.argsort(np.argsort(order.reshape(columns, n), axis=0, kind="stable"), axis=0)
    chosen = np.repeat(places < shape.columns, widths, axis=0)
    drawn = uniform(sum(widths) * n, byte_source(shape.seed, "fourier", "weights"))
    weights = shape.scale * ndtri(drawn).reshape(-1, n) * chosen
    shifts = 2 * np.pi * uniform(n, byte_source(shape.seed, "fourier", "shifts"))
    return weights, shifts


def fourier_features(
    columns: NDArray[np.float64], widths: tuple[int, ...], shape: FourierShape
) -> NDArray[np.float64]:
    """Return the cosines of each row, shape `(n_rows, features)`, L2 norm at most 1.

    Args:
        columns: numbers scaled to [-1, 1] and one-hot categories, shape `(n_rows, sum(widths))`.
        widths: coordinates of each column.
        shape: of the features.

    Raises:
        ValueError: if the widths do not add up to the coordinates.

    Source: Rahimi and Recht, "Random Features for Large-Scale Kernel Machines", 2007, algorithm 1:
    products of two rows' features tend to a Gaussian kernel, exp(-(scale^2) |x - y|^2 / 2) if every
    feature looks at all columns, times one half.
    """
    if columns.shape[1] != sum(widths):
        raise ValueError(f"widths add up to {sum(widths)}, rows have {columns.shape[1]}")
    weights, shifts = fourier_weights(widths, shape)
    cosines = np.cos(columns @ weights + shifts)
    return np.asarray(cosines / np.sqrt(shape.features))
