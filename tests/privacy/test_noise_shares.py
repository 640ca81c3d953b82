"""Noise shares, dither and grid: what is summed is dominated by the Gaussian that is accounted."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, norm

from fedcc.errors import ConfigError
from fedcc.privacy.accounting import gaussian_delta
from fedcc.privacy.noise_shares import (
    LEAST_SHARE_SD,
    Grid,
    choose_grid,
    clamp_to_box,
    dithered_round,
    gaussian_share,
    grid_fits,
)
from fedcc.rng import byte_source


def test_a_share_is_gaussian_with_the_asked_variance() -> None:
    share = gaussian_share(100_000, 9.0, byte_source(3, "n"))

    assert kstest(share / 3.0, norm.cdf).pvalue > 1e-4
    assert share.std() == pytest.approx(3.0, rel=0.02)  # 5 standard errors are 1.1 %


def test_shares_of_k_sites_add_up_to_the_sum_of_their_variances() -> None:
    total = sum(gaussian_share(50_000, 2.0, byte_source(3, "n", k)) for k in range(5))

    assert float(np.var(total)) == pytest.approx(10.0, rel=0.04)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.floats(0.1, 1e5))
def test_clamping_is_one_lipschitz_in_every_coordinate(values: list[float], box: float) -> None:
    left = np.array(values)
    right = left[::-1].copy()

    change = np.abs(clamp_to_box(left, box) - clamp_to_box(right, box))

    assert (change <= np.abs(left - right) + 1e-9).all()
    assert np.abs(clamp_to_box(left, box)).max() <= box


def test_a_sum_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        clamp_to_box(np.array([1.0, np.nan]), 1.0)


def test_dithered_rounding_is_unbiased_and_moves_by_less_than_one_step() -> None:
    values = np.full(200_000, 0.3)

    rounded = dithered_round(values, 2.0, byte_source(1, "d"))

    assert set(np.unique(rounded)) == {0, 1}
    # floor(0.6 + theta) has mean 0.6; 5 standard errors of 200,000 draws are 0.0055.
    assert rounded.mean() == pytest.approx(0.6, abs=0.0055)


def summed_pmf(shift: float, tau: float, honest: int, thetas: np.ndarray) -> np.ndarray:
    """Return the pmf of sum_i floor(x_i + N_i + theta_i) for given dithers, on a fixed range.

    An independent computation: floor(x + N + theta) = k has probability Phi(k + 1) - Phi(k) of the
    shifted normal; the sum over sites is the convolution.
    """
    reach = int(12 * tau) + 2
    edges = np.arange(-reach, reach + 2, dtype=float)
    total = np.ones(1)
    for index in range(honest):
        mean = thetas[index] + (shift if index == 0 else 0.0)
        total = np.convolve(total, np.diff(norm.cdf(edges, loc=mean, scale=tau)))
    return total


def hockey_stick(eps: float, shift: float, tau: float, honest: int) -> float:
    """Return the divergence between shifted and unshifted sums, averaged over known dithers.

    Averaging over dithers that an adversary may know is the pessimistic reading of the proof.
    """
    others = np.random.default_rng(0).random((41, honest - 1))
    first = (np.arange(41) + 0.5) / 41
    thetas = np.column_stack([first, others])
    return float(np.mean([divergence(eps, shift, tau, theta) for theta in thetas]))


def divergence(eps: float, shift: float, tau: float, thetas: np.ndarray) -> float:
    """Return the larger of the two hockey-stick divergences for one choice of dithers."""
    with_one = summed_pmf(shift, tau, len(thetas), thetas)
    without = summed_pmf(0.0, tau, len(thetas), thetas)
    pairs = ((with_one, without), (without, with_one))
    return max(float(np.maximum(p - math.exp(eps) * q, 0).sum()) for p, q in pairs)


@pytest.mark.parametrize("honest", [2, 4])
@pytest.mark.parametrize(("tau", "shift"), [(3.0, 1.0), (3.0, 0.37), (8.0, 2.5), (8.0, 0.01)])
@pytest.mark.parametrize("eps", [0.0, 0.3, 1.0])
def test_the_dithered_sum_is_never_worse_than_the_accounted_gaussian(
    honest: int, tau: float, shift: float, eps: float
) -> None:
    accounted = gaussian_delta(shift / (tau * math.sqrt(honest)), eps)

    measured = hockey_stick(eps, shift, tau, honest)

    assert measured <= accounted * (1 + 1e-3) + 1e-12


def test_a_coarse_grid_without_dither_fails_the_same_comparison() -> None:
    # Share sd of 0.3 steps and no dither: rounding amplifies a difference at a step's edge.
    tau, honest, shift, eps = 0.3, 2, 0.25, 1.0
    accounted = gaussian_delta(shift / (tau * math.sqrt(honest)), eps)

    edges = [np.array([edge, 0.0]) for edge in np.linspace(0, 1, 21)]
    measured = max(divergence(eps, shift, tau, thetas) for thetas in edges)

    assert measured > accounted * 1.5
    assert hockey_stick(eps, shift, tau, honest) <= accounted


def grid(**changes: object) -> Grid:
    values: dict[str, object] = {
        "capacity": 1 << 22,
        "n_sites": 5,
        "own_variance": 19.4,
        "kept_variance": 19.4,
        "max_grad_norm": 0.3,
        "public_rows": 5250,
        "coordinates": 47 * 62,
        "grid_steps": None,
    }
    return choose_grid(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("sites", [3, 5, 20, 128])
def test_the_lane_holds_every_box_and_the_noise_of_the_whole_run(sites: int) -> None:
    chosen = choose_grid(
        capacity=1 << 22,
        n_sites=sites,
        own_variance=19.4,
        kept_variance=19.4,
        max_grad_norm=0.3,
        public_rows=5250,
        coordinates=47 * 62,
        grid_steps=None,
    )

    # Overflow below 1e-12 by the normal tail and a union bound over coordinates.
    room = (1 << 22) / chosen.steps_per_unit - sites * chosen.box - sites / chosen.steps_per_unit
    tail = 2 * norm.sf(room / math.sqrt(sites * 19.4)) * 47 * 62
    assert tail <= 1.01e-12
    assert chosen.box == 5250 * 0.3  # a site that owns every public row is not clamped
    assert math.sqrt(19.4) * chosen.steps_per_unit >= 8


def test_more_rows_than_any_grid_holds_are_clamped_and_not_overflowed() -> None:
    chosen = choose_grid(
        capacity=1 << 14,
        n_sites=5,
        own_variance=19.4,
        kept_variance=19.4,
        max_grad_norm=0.3,
        public_rows=10_000_000,
        coordinates=1000,
        grid_steps=None,
    )

    assert 0 < chosen.box < 10_000_000 * 0.3
    assert math.sqrt(19.4) * chosen.steps_per_unit >= 8


def test_what_is_never_opened_of_a_share_spans_enough_grid_steps_by_itself() -> None:
    # 10 million rows: the coarsest grid is wanted. The whole share would admit a coarser one.
    coarse = {"capacity": 1 << 14, "public_rows": 10_000_000, "coordinates": 1000}
    whole, part = grid(**coarse), grid(**coarse, kept_variance=19.4 / 5)

    assert part.steps_per_unit == 2 * whole.steps_per_unit
    assert math.sqrt(19.4 / 5) * part.steps_per_unit >= LEAST_SHARE_SD
    assert math.sqrt(19.4 / 5) * whole.steps_per_unit < LEAST_SHARE_SD
    fits = {"capacity": 1 << 14, "n_sites": 5, "own_variance": 19.4, "coordinates": 1000}
    assert grid_fits(part, kept_variance=19.4 / 5, **fits)
    assert grid_fits(whole, kept_variance=19.4, **fits)
    assert not grid_fits(whole, kept_variance=19.4 / 5, **fits)


def test_a_grid_too_coarse_for_what_is_never_opened_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="grid_steps: a noise share must span at least 8"):
        grid(grid_steps=1, kept_variance=19.4 / 5)

    assert grid(grid_steps=1).box > 0  # the twin: all of it suffices


def test_a_grid_that_cannot_hold_the_noise_is_refused() -> None:
    with pytest.raises(ConfigError, match="lanes"):
        grid(capacity=1 << 14, grid_steps=2048)
