"""The dithered sum against the accounted Gaussian: hockey-stick and Renyi divergences by numbers.

An independent computation: floor(s(G + N) + theta) = k has probability Phi(k + 1) - Phi(k) under
the shifted normal, the sum over honest sites is a convolution, the aggregate over dithers is a
quadrature in the dithers. What is to hold is the theorem of the design: with a fresh uniform dither
for each site and coordinate, no divergence between neighbours exceeds that of the Gaussian of the
same variance and the unrounded shift. The dithers are averaged *outside* the divergence, as if the
adversary knew them; joint convexity makes that the larger reading.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import chi2

from fedcc.privacy.accounting import gaussian_delta
from fedcc.privacy.noise_shares import LEAST_SHARE_SD, dithered_round, gaussian_share
from fedcc.rng import byte_source

Pmf = NDArray[np.float64]
NODES = 24  # of the periodic quadrature in one dither: exact to rounding for smooth integrands
HONEST = [1, 2, 5, 8]
TAUS = [0.5, 1.0, 3.0, 8.0]  # standard deviation of one share, in grid steps
SHIFTS = [0.01, 0.4, 1.0, 2.5]  # of the sum, in grid steps
ORDERS = [2, 8, 32]


def summed_pmf(shift: float, tau: float, thetas: Sequence[float]) -> Pmf:
    """Pmf of sum_i floor(x_i + N_i + theta_i) on a fixed lattice; the first x is the shift."""
    reach = int(14 * tau) + 4
    edges = np.arange(-reach, reach + 2, dtype=float)
    total = np.ones(1)
    for index, theta in enumerate(thetas):
        mean = theta + (shift if index == 0 else 0.0)
        upper, lower = (edges[1:] - mean) / tau, (edges[:-1] - mean) / tau
        # Phi(b) - Phi(a) on the side where it does not cancel.
        part = np.where(lower > 0, ndtr(-lower) - ndtr(-upper), ndtr(upper) - ndtr(lower))
        total = np.convolve(total, part)
    return total


def sums_of_dithers(honest: int) -> list[tuple[float, ...]]:
    """Dithers of all sites; only the shifted site's and the others' joint choice matter."""
    nodes = [(k + 0.5) / NODES for k in range(NODES)]
    if honest == 1:
        return [(a,) for a in nodes]
    rest = np.random.default_rng(honest).random((2, honest - 2))
    return [(a, b, *more) for a in nodes[::3] for b in nodes[::3] for more in rest]


def hockey_stick(eps: float) -> Callable[[Pmf, Pmf], float]:
    return lambda p, q: float(np.maximum(p - math.exp(eps) * q, 0).sum())


def renyi_moment(order: int) -> Callable[[Pmf, Pmf], float]:
    """E_q[(p / q)^order]; its logarithm over (order - 1) is the Renyi divergence."""

    def moment(p: Pmf, q: Pmf) -> float:
        seen = (p > 1e-290) & (q > 1e-290)  # what is left out weighs less than 1e-200
        logs = order * np.log(p[seen]) - (order - 1) * np.log(q[seen])
        return float(np.exp(logs).sum())

    return moment


Pairs = list[tuple[Pmf, Pmf]]


def neighbours(shift: float, tau: float, dithers: Sequence[Sequence[float]]) -> Pairs:
    """The sum with and without the shift, for each choice of dithers."""
    return [(summed_pmf(shift, tau, thetas), summed_pmf(0.0, tau, thetas)) for thetas in dithers]


def averaged(measure: Callable[[Pmf, Pmf], float], pairs: Pairs) -> float:
    """The larger of the two directions, averaged over dithers."""
    return float(np.max(np.mean([(measure(p, q), measure(q, p)) for p, q in pairs], axis=0)))


CASES = list(itertools.product(HONEST, TAUS, SHIFTS))


def exceeds(honest: int, tau: float, shift: float, dithers: Sequence[Sequence[float]]) -> list[str]:
    """Name every divergence of one case that is above the accounted Gaussian's."""
    mu, found = shift / (tau * math.sqrt(honest)), []
    pairs = neighbours(shift, tau, dithers)
    for eps in (0.0, 0.3, 1.0):
        accounted, measured = gaussian_delta(mu, eps), averaged(hockey_stick(eps), pairs)
        if measured > accounted * (1 + 1e-9) + 1e-13:  # rounding of float64 sums
            found.append(f"delta({eps}): {measured:.6g} > {accounted:.6g}")
    for order in ORDERS:
        exponent = order * (order - 1) * mu**2 / 2
        if exponent > 60:
            continue  # delta is 1 there for every epsilon in use
        accounted, measured = math.exp(exponent), averaged(renyi_moment(order), pairs)
        if measured > accounted * (1 + 1e-9) + 1e-11:
            found.append(f"moment {order}: {measured:.9g} > {accounted:.9g}")
    return found


@pytest.mark.parametrize(("honest", "tau", "shift"), CASES)
def test_no_divergence_of_the_dithered_sum_is_above_the_accounted_gaussian(
    honest: int, tau: float, shift: float
) -> None:
    assert not exceeds(honest, tau, shift, sums_of_dithers(honest))


def test_without_a_dither_a_coarse_grid_fails_the_same_test() -> None:
    # The twin: the neighbours lie on the two sides of a rounding edge.
    undithered = [(0.95, 0.5)]

    assert exceeds(2, 0.5, 0.1, undithered)
    assert not exceeds(2, 0.5, 0.1, sums_of_dithers(2))


def test_a_fixed_dither_that_is_not_averaged_fails_the_same_test() -> None:
    worst = [thetas for thetas in sums_of_dithers(2) if exceeds(2, 0.5, 0.4, [thetas])]

    assert worst
    assert len(worst) < len(sums_of_dithers(2))


@pytest.mark.parametrize("honest", HONEST)
@pytest.mark.parametrize("coordinates", [1, 4, 100, 10_000])
def test_a_shift_spread_over_many_coordinates_costs_no_more_than_in_one(
    honest: int, coordinates: int
) -> None:
    # Renyi divergences of independent coordinates add up; the L2 norm of the shift is fixed.
    tau, norm = 3.0, 2.0
    pairs = neighbours(norm / math.sqrt(coordinates), tau, sums_of_dithers(honest))

    for order in ORDERS:
        moment = averaged(renyi_moment(order), pairs)
        spread = coordinates * math.log(moment) / (order - 1)
        accounted = order * (norm / tau) ** 2 / honest / 2
        # Rounding of the moments near 1 is multiplied by the number of coordinates.
        assert spread <= accounted * (1 + 1e-6) + coordinates * 1e-12


def test_the_grids_that_fedcc_chooses_lie_far_inside_what_was_checked() -> None:
    assert min(TAUS) < 3.0 < LEAST_SHARE_SD
    # What the lattice adds at most, by Poisson summation: exp(-2 pi^2 tau^2 (h - 1) / h).
    assert math.exp(-((math.pi * LEAST_SHARE_SD) ** 2)) < 1e-200


@pytest.mark.parametrize(("honest", "tau"), [(1, 0.7), (2, 0.7), (5, 3.0)])
def test_the_functions_that_run_draw_from_the_distribution_that_was_checked(
    honest: int, tau: float
) -> None:
    """Chi-square of `dithered_round` after `gaussian_share`, summed over sites, seed fixed."""
    draws, steps, shift = 200_000, 4.0, 0.37
    total = np.zeros(draws, dtype=np.int64)
    for site in range(honest):
        noise = gaussian_share(draws, (tau / steps) ** 2, byte_source(11, "noise", site))
        value = shift / steps if site == 0 else 0.0
        total += dithered_round(value + noise, steps, byte_source(11, "dither", site))

    nodes = [(k + 0.5) / NODES for k in range(NODES)]
    one = np.mean([summed_pmf(0.0, tau, (theta,)) for theta in nodes], axis=0)
    expected = np.mean([summed_pmf(shift, tau, (theta,)) for theta in nodes], axis=0)
    for _ in range(honest - 1):
        expected = np.convolve(expected, one)
    middle = honest * (int(14 * tau) + 4)
    counts = np.bincount(total + middle, minlength=expected.size)
    assert counts.size == expected.size
    common = expected * draws >= 10
    observed = np.append(counts[common], counts[~common].sum())
    wanted = np.append(expected[common], expected[~common].sum()) * draws
    statistic = float(((observed - wanted) ** 2 / np.maximum(wanted, 1e-9)).sum())
    assert statistic < chi2.ppf(1 - 1e-4, common.sum())
    # The twin: without the dither the same comparison fails.
    bare = np.floor(steps * (shift / steps + noise)).astype(np.int64)
    if honest == 1:
        undithered = np.bincount(bare + middle, minlength=expected.size)[common]
        assert ((undithered - wanted[:-1]) ** 2 / wanted[:-1]).sum() > statistic * 10


# Parts of the noise that are opened: the upload is floor(s (G + N) + s E + theta), E is known.
OPENED = [0.37, 1.61]  # s E of the first site, in grid steps; that of the others differs


def moved(dithers: Sequence[Sequence[float]], opened: float) -> list[list[float]]:
    """Dithers with each site's opened part added: the place of its lattice, known to everybody."""
    return [[theta + opened * (1 + site) for site, theta in enumerate(one)] for one in dithers]


@pytest.mark.parametrize("opened", OPENED)
@pytest.mark.parametrize(("honest", "tau", "shift"), [c for c in CASES if c[0] <= 2])
def test_an_opened_part_of_the_noise_leaves_every_divergence_below_the_kept_gaussian_s(
    honest: int, tau: float, shift: float, opened: float
) -> None:
    # tau is the standard deviation of what is kept; the opened part protects nothing.
    assert not exceeds(honest, tau, shift, moved(sums_of_dithers(honest), opened))


@pytest.mark.parametrize("opened", OPENED)
def test_an_opened_part_is_a_shift_of_the_dither_that_the_average_does_not_see(
    opened: float,
) -> None:
    tau, shift, dithers = 0.5, 0.4, sums_of_dithers(1)

    # A moment is smooth in the dither, so the quadrature is exact to rounding wherever it begins.
    closed = averaged(renyi_moment(8), neighbours(shift, tau, dithers))
    known = averaged(renyi_moment(8), neighbours(shift, tau, moved(dithers, opened)))

    assert known == pytest.approx(closed, rel=1e-9)
    alone = [averaged(renyi_moment(8), neighbours(shift, tau, [one])) for one in dithers]
    assert max(alone) - min(alone) > 1e-6 * closed  # the twin: one dither by itself is seen


def test_a_coarse_grid_without_dither_fails_once_a_part_is_opened() -> None:
    # The twin: where the opened part puts the lattice is what the rounding then gives away.
    opened = (0.95, 0.5)  # of two sites, in grid steps; their neighbours lie at a rounding edge

    assert exceeds(2, 0.5, 0.1, [opened])
    dithered = [[t + e for t, e in zip(one, opened, strict=True)] for one in sums_of_dithers(2)]
    assert not exceeds(2, 0.5, 0.1, dithered)


def test_the_accounted_gaussian_of_all_noise_is_exceeded_once_a_part_is_opened() -> None:
    # The twin of the claim: kept variance 3^2, and as much again that was opened.
    tau, shift = 3.0, 1.0
    pairs = neighbours(shift, tau, moved(sums_of_dithers(1), 0.37))

    assert averaged(hockey_stick(0.3), pairs) > gaussian_delta(shift / (tau * math.sqrt(2)), 0.3)


@pytest.mark.parametrize("opened", OPENED)
def test_the_functions_that_run_draw_from_the_shifted_lattice_that_was_checked(
    opened: float,
) -> None:
    """Chi-square of `dithered_round` after kept noise and an opened part, seed fixed."""
    draws, steps, shift, tau = 200_000, 4.0, 0.37, 0.7
    kept = gaussian_share(draws, (tau / steps) ** 2, byte_source(12, "noise"))
    values = (shift + opened) / steps + kept

    rounded = dithered_round(values, steps, byte_source(12, "dither"))

    nodes = [(k + 0.5) / NODES + opened for k in range(NODES)]
    expected = np.mean([summed_pmf(shift, tau, (theta,)) for theta in nodes], axis=0)
    middle = int(14 * tau) + 4
    counts = np.bincount(rounded + middle, minlength=expected.size)
    common = expected * draws >= 10
    observed = np.append(counts[common], counts[~common].sum())
    wanted = np.append(expected[common], expected[~common].sum()) * draws
    statistic = float(((observed - wanted) ** 2 / np.maximum(wanted, 1e-9)).sum())
    assert statistic < chi2.ppf(1 - 1e-4, common.sum())
    # The twin: the same draws do not fit the lattice of another opened part.
    other = np.roll(expected, 1)[common] * draws
    assert ((counts[common] - other) ** 2 / np.maximum(other, 1e-9)).sum() > statistic * 10
