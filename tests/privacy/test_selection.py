"""The cost of keeping the best of several trainings, against dp-accounting and closed forms."""

import math

import dp_accounting
import numpy as np
import pytest
from dp_accounting import dp_event
from dp_accounting.rdp import RdpAccountant
from scipy.stats import norm

from fedcc.privacy import selection
from fedcc.privacy.accounting import epsilon_of_mu, mu_of_epsilon

DELTA = 1e-5
LAWS = {"poisson": math.inf, "geometric": 1.0, "logarithmic": 0.0}


def by_dp_accounting(mu: float, mean: float, shape: float) -> float:
    """The same by Google's library, on the same orders."""
    accountant = RdpAccountant(list(selection.ORDERS))
    trial = dp_accounting.GaussianDpEvent(1 / mu)
    accountant.compose(dp_event.RepeatAndSelectDpEvent(trial, mean, shape))
    return float(accountant.get_epsilon(DELTA))


@pytest.mark.parametrize("law", ["geometric", "logarithmic"])
@pytest.mark.parametrize("epsilon", [0.5, 1.0, 8.0])
@pytest.mark.parametrize("mean", [1.0, 5.0, 100.0])
def test_the_cost_of_a_random_number_of_trials_is_that_of_dp_accounting(
    law: selection.RandomLaw, epsilon: float, mean: float
) -> None:
    mu = mu_of_epsilon(epsilon, DELTA)

    cost = selection.selection_epsilon(mu, delta=DELTA, mean=mean, law=law)

    assert cost == pytest.approx(by_dp_accounting(mu, mean, LAWS[law]), rel=1e-6)


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 8.0])
@pytest.mark.parametrize("mean", [1.0, 20.0])
def test_the_poisson_law_costs_at_most_what_dp_accounting_says(epsilon: float, mean: float) -> None:
    mu = mu_of_epsilon(epsilon, DELTA)

    cost = selection.selection_epsilon(mu, delta=DELTA, mean=mean, law="poisson")

    # It bounds delta of a trial by its Renyi divergences, we have it exactly.
    assert epsilon < cost <= by_dp_accounting(mu, mean, math.inf) * (1 + 1e-9)


@pytest.mark.parametrize("order", [4.0, 10.0, 30.0])
def test_the_poisson_law_is_theorem_6_with_delta_integrated_numerically(order: float) -> None:
    mu, mean = mu_of_epsilon(1.0, DELTA), 20.0
    small = math.log1p(1 / (order - 1))
    points = np.linspace(-12, 12, 400_001)
    with_row, without = norm.pdf(points, loc=mu), norm.pdf(points)
    hockey_stick = np.trapezoid(np.maximum(0, with_row - math.exp(small) * without), points)
    by_hand = order * mu**2 / 2 + mean * hockey_stick + math.log(mean) / (order - 1)
    converted = by_hand + math.log1p(-1 / order) - math.log(DELTA * order) / (order - 1)

    kept, selection.ORDERS = selection.ORDERS, np.array([order])
    try:
        cost = selection.selection_epsilon(mu, delta=DELTA, mean=mean, law="poisson")
    finally:
        selection.ORDERS = kept

    assert cost == pytest.approx(converted, rel=1e-6)


def test_a_geometric_number_costs_the_corollary_of_the_paper() -> None:
    # Papernot and Steinke, Theorem 2 with eta = 1 and equal orders: the sum is at most
    # eps + 2 (1 - 1/a) eps + 2 log(m) / a + log(m) / (a - 1), for any order a.
    mu, mean = mu_of_epsilon(1.0, DELTA), 10.0
    orders = np.linspace(2, 200, 2000)
    curve = orders * mu**2 / 2
    bound = curve * (1 + 2 * (1 - 1 / orders)) + math.log(mean) * (2 / orders + 1 / (orders - 1))
    by_hand = float(np.min(bound + math.log(1 / DELTA) / (orders - 1)))

    cost = selection.selection_epsilon(mu, delta=DELTA, mean=mean, law="geometric")

    assert epsilon_of_mu(mu, DELTA) < cost <= by_hand


@pytest.mark.parametrize("law", list(LAWS))
def test_selection_is_never_free_and_cheaper_than_showing_all_trials(
    law: selection.RandomLaw,
) -> None:
    mu = mu_of_epsilon(1.0, DELTA)

    cost = selection.selection_epsilon(mu, delta=DELTA, mean=50, law=law)

    assert 1.0 < cost < selection.repeated_epsilon(mu, 50, delta=DELTA)


def test_trials_that_are_all_seen_cost_their_exact_composition() -> None:
    # Four Gaussian mechanisms of mu are one of 2 mu (Dong, Roth, Su 2019, Corollary 3.3).
    mu = mu_of_epsilon(1.0, DELTA)

    assert selection.repeated_epsilon(mu, 4, delta=DELTA) == epsilon_of_mu(2 * mu, DELTA)


@pytest.mark.parametrize("law", list(LAWS))
def test_the_number_of_trials_has_the_mean_that_is_accounted(law: selection.RandomLaw) -> None:
    rng = np.random.default_rng(5)

    drawn = [selection.draw_trials(8.0, law, rng) for _ in range(20_000)]

    # Five standard errors; the logarithmic law has the largest variance.
    assert abs(np.mean(drawn) - 8) < 5 * np.std(drawn) / math.sqrt(len(drawn))
    assert (min(drawn) == 0) == (law == "poisson")


@pytest.mark.parametrize("wrong", [{"mu": 0.0}, {"mean": 0.5}, {"delta": 1.0}])
def test_arguments_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    right = {"mu": 0.3, "delta": DELTA, "mean": 2.0}

    with pytest.raises(ValueError, match="need mu > 0"):
        selection.selection_epsilon(**{**right, **wrong}, law="poisson")
