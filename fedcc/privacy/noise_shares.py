"""From a noiseless gradient sum to the integers that a site adds to the federation's sum.

The order carries the proof: clamp the *noiseless* sum to a public box (1-Lipschitz, so the
sensitivity stays), add the Gaussian share in float64, then round with a dither. Nothing saturates
after the noise. Given the dither, the rounded sum is dominated by the Gaussian of the unrounded
sensitivity, so the accounted Gaussian is the noise that is summed.

This also holds once a part E of the noise is opened and subtracted (`excess_noise`). Given E, a
site uploads floor(s (G + N) + s E + theta), N being the noise that is kept: the same lattice at a
known shift. With theta' = frac(s E + theta) it equals floor(s (G + N) + theta') plus a whole number
that depends on s E and theta' alone, and theta' is uniform too, whatever E is. So the average over
dithers of any divergence is the one without E: that of the kept Gaussian dominates, provided that
N itself, not N + E, spans enough grid steps.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from fedcc.errors import ConfigError
from fedcc.rng import ByteSource, uniform

FINEST_STEPS = 2048  # grid steps per max_grad_norm; finer buys nothing
LEAST_SHARE_SD = 8.0  # grid steps; the dither argument needs 3, a margin costs nothing
OVERFLOW_PROBABILITY = 1e-12  # that any coordinate of any round leaves its lane


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The public grid of a run."""

    steps_per_unit: float  # grid steps per gradient unit
    box: float  # bound on each coordinate of a site's noiseless sum, gradient units


def gaussian_share(size: int, variance: float, source: ByteSource) -> NDArray[np.float64]:
    """Return independent Gaussian noise, shape `(size,)`, float64, by inversion.

    Args:
        size: number of coordinates.
        variance: of each coordinate; 0 gives zeros and draws nothing.
        source: random bytes; the operating system's in production.

    Raises:
        ValueError: if the variance is negative or not finite.
    """
    if not 0 <= variance < math.inf:
        raise ValueError(f"variance must be finite and >= 0, got {variance}")
    if variance == 0:
        return np.zeros(size)
    share = uniform(size, source)
    ndtri(share, out=share)
    share *= math.sqrt(variance)
    return share


def clamp_to_box(gradient_sum: NDArray[np.float64], box: float) -> NDArray[np.float64]:
    """Clamp each coordinate of the noiseless sum to [-box, box] (a new array).

    Raises:
        ValueError: if the box is not positive or the sum is not finite.
    """
    if not box > 0:
        raise ValueError(f"box must be > 0, got {box}")
    if not np.isfinite(gradient_sum).all():
        raise ValueError("the gradient sum holds NaN or infinity")
    return np.clip(gradient_sum, -box, box)


def dithered_round(
    values: NDArray[np.float64], steps_per_unit: float, source: ByteSource
) -> NDArray[np.int64]:
    """Return floor(s x + theta) with theta uniform in (0, 1), fresh per coordinate; unbiased.

    Source: subtractive-free dithering, Schuchman, "Dither Signals and Their Effect on Quantization
    Noise", 1964; for the privacy argument see the module's first paragraph.
    """
    moved = uniform(values.size, source)
    moved += values * steps_per_unit
    return np.floor(moved, out=moved).astype(np.int64)


def overflow_z(coordinates: int) -> float:
    """Return the normal quantile that none of so many draws exceeds, but with that probability."""
    return -float(ndtri(OVERFLOW_PROBABILITY / (2 * coordinates)))


def grid_fits(
    grid: Grid,
    *,
    capacity: int,
    n_sites: int,
    own_variance: float,
    kept_variance: float,
    coordinates: int,
) -> bool:
    """Tell whether no sum of a run leaves its lane and what is kept spans enough grid steps."""
    noise = overflow_z(coordinates) * math.sqrt(n_sites * own_variance)
    total = (n_sites * grid.box + noise) * grid.steps_per_unit + n_sites
    spans = own_variance == 0 or math.sqrt(kept_variance) * grid.steps_per_unit >= LEAST_SHARE_SD
    return grid.box > 0 and spans and total <= (capacity - 1) * (1 + 1e-12)


def choose_grid(
    *,
    capacity: int,
    n_sites: int,
    own_variance: float,
    kept_variance: float,
    max_grad_norm: float,
    public_rows: int,
    coordinates: int,
    grid_steps: int | None,
) -> Grid:
    """Choose the finest grid on which no sum of the whole run overflows its lane.

    The finest power of two (at most 2048 steps per `max_grad_norm`) is taken for which the box
    holds even a site that owns all public rows. If no grid does, the coarsest one is
    taken on which a share (what is never opened of it) still spans `LEAST_SHARE_SD` steps, and
    larger sums are clamped before the noise.

    Args:
        capacity: largest magnitude of a lane, 2^(width - 1).
        n_sites: planned sites K.
        own_variance: of one share, all of which is summed, gradient units squared.
        kept_variance: of its part that is never opened, which the dither argument rests on.
        max_grad_norm: C.
        public_rows: the public normaliser N_plan.
        coordinates: parameters times attempts of the run.
        grid_steps: steps per C, or `None` to choose.

    Raises:
        ConfigError: if the lane cannot hold the noise, or the grid is too coarse for it.
    """
    noise = overflow_z(coordinates) * math.sqrt(n_sites * own_variance)

    largest = public_rows * max_grad_norm

    def at(steps: float) -> Grid:
        per_unit = steps / max_grad_norm
        room = (capacity - 1 - n_sites) / per_unit - noise
        # A larger box would hold no more than the noiseless sum of a site that owns every row.
        return Grid(steps_per_unit=per_unit, box=min(room / n_sites, largest))

    if grid_steps is not None:
        grid = at(grid_steps)
    else:
        least = LEAST_SHARE_SD * max_grad_norm / math.sqrt(kept_variance) if own_variance else 16.0
        steps = float(FINEST_STEPS)
        while at(steps).box < largest and steps / 2 >= least:
            steps /= 2
        grid = at(steps)
    if not grid.box > 0:
        raise ConfigError(
            "crypto: the lanes cannot hold the noise of this plan. Use crypto.lanes=2, a smaller "
            "crypto.grid_steps, a larger privacy.epsilon or fewer rounds."
        )
    if own_variance and math.sqrt(kept_variance) * grid.steps_per_unit < LEAST_SHARE_SD:
        remedy = "Use a larger crypto.grid_steps, or null."
        if grid_steps is None:
            remedy = "The noise is too small for the lanes: use a smaller privacy.epsilon."
        raise ConfigError(
            f"crypto.grid_steps: a noise share must span at least {LEAST_SHARE_SD:g} grid steps, "
            f"here it spans {math.sqrt(kept_variance) * grid.steps_per_unit:.2g}. {remedy}"
        )
    return grid
