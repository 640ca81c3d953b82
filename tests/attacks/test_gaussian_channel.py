"""The shift between canaries in and out: scipy's noncentral t, Google's accountant, coverage."""

import math

import numpy as np
import pytest
from dp_accounting import GaussianDpEvent
from dp_accounting.pld import PLDAccountant
from scipy.optimize import brentq
from scipy.stats import binom, nct

from fedcc.attacks.gaussian_channel import (
    ChannelEstimate,
    estimate,
    expected_lower,
    quantile,
    standard_error,
)

DELTA, LEVEL = 1e-5, 0.05


def channel(mu: float, count: int, seed: int) -> ChannelEstimate:
    rng = np.random.default_rng(seed)
    present = rng.random(count) < 0.5
    scores = 7.0 * (rng.standard_normal(count) + mu * present) - 3.0  # any scale, any offset
    return estimate(scores, present, delta=DELTA, level=LEVEL, independent=count)


@pytest.mark.parametrize("mu", [0.27, 0.94, 1.69])
def test_the_estimate_is_the_epsilon_that_google_s_accountant_gives_the_channel(mu: float) -> None:
    found = channel(mu, 200_000, seed=1)

    accountant = PLDAccountant()
    accountant.compose(GaussianDpEvent(1 / mu))
    # 200,000 scores give the shift to 0.005, which is 1.7 % of the smallest.
    assert found.epsilon == pytest.approx(accountant.get_epsilon(DELTA), rel=0.06)
    assert found.epsilon_lower < found.epsilon


@pytest.mark.parametrize("mu", [0.0, 0.27, 1.69])
def test_the_lower_bound_is_the_one_of_the_noncentral_t(mu: float) -> None:
    found = channel(mu, 400, seed=2)

    scale = math.sqrt(found.n_in * found.n_out / 400)
    exact = brentq(lambda m: nct.sf(found.mu * scale, 398, m * scale) - LEVEL, -5, 5)
    assert found.mu_lower == pytest.approx(exact, abs=0.005)


@pytest.mark.parametrize("mu", [0.27, 1.69])
def test_the_bound_exceeds_the_truth_as_often_as_its_level_says(mu: float) -> None:
    above = sum(channel(mu, 500, seed).mu_lower > mu for seed in range(1000))

    # The middle 99.9 % of a binomial with 1,000 tries of 5 %.
    assert binom.ppf(0.0005, 1000, LEVEL) <= above <= binom.ppf(0.9995, 1000, LEVEL)


def test_canaries_without_effect_give_no_epsilon() -> None:
    assert channel(0.0, 4000, seed=3).epsilon_lower == 0.0


def test_separation_without_noise_is_infinite() -> None:
    present = np.array([True, True, False, False])

    found = estimate(present * 1.0, present, delta=DELTA, level=LEVEL, independent=4)

    assert found.epsilon == found.epsilon_lower == math.inf


def test_correlated_scores_widen_the_bound_and_never_tighten_it() -> None:
    free = standard_error(1.7, n_in=100, n_out=100, independent=200)
    tied = standard_error(1.7, n_in=100, n_out=100, independent=50)

    assert tied > free


def test_what_a_true_claim_gives_is_below_the_claim_and_near_it_with_many_canaries() -> None:
    # mu 0.26802 is epsilon 1 at delta 1e-5 by the analytic Gaussian mechanism (Balle, Wang 2018).
    few, many = (
        expected_lower(0.26802, count, delta=DELTA, level=LEVEL, independent=count)
        for count in (1000, 20_000)
    )

    assert few < 0.65 < 0.88 < many < 1.0


@pytest.mark.parametrize("present", [[True] * 5, [True] + [False] * 4])
def test_too_few_canaries_are_refused(present: list[bool]) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        estimate(np.arange(5.0), np.array(present), delta=DELTA, level=LEVEL, independent=5)


def test_a_level_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="level"):
        quantile(0.5)
