"""Accounting against closed forms, numerical integration and dp-accounting."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf
from scipy.integrate import quad
from scipy.stats import norm

from fedcc.privacy.accounting import (
    PrivacyEvent,
    composed_mu,
    cross_check_epsilon,
    epsilon,
    epsilon_of_mu,
    gaussian_delta,
    mu_of_epsilon,
    three_epsilons,
)


def event(**changes: object) -> PrivacyEvent:
    values: dict[str, object] = {
        "mechanism": "gaussian_share",
        "sensitivity": 0.4,
        "grid": 5120.0,
        "own_variance": 4.7,
        "min_sites": 20,
        "noise_sites": 20,
        "tolerated_collusion": 1,
        "sample_rate": 1.0,
        "unit": "record",
    }
    return PrivacyEvent(**{**values, **changes})  # type: ignore[arg-type]


# The hockey-stick divergence of N(mu, 1) from N(0, 1), integrated numerically.
@pytest.mark.parametrize("mu", [0.05, 0.27, 1.0, 3.0])
@pytest.mark.parametrize("eps", [0.0, 0.5, 2.0])
def test_gaussian_delta_is_the_hockey_stick_divergence(mu: float, eps: float) -> None:
    expected, _ = quad(
        lambda x: max(norm.pdf(x, mu) - math.exp(eps) * norm.pdf(x), 0.0), -12, 15, limit=500
    )

    assert gaussian_delta(mu, eps) == pytest.approx(expected, abs=1e-8)


# 40 full-batch steps with these multipliers cost exactly 1, 4 and 8 at delta 1e-5: analytic
# Gaussian mechanism (Balle and Wang 2018), solved with scipy's own brentq and norm.
@pytest.mark.parametrize(("sigma", "expected"), [(23.595, 1.0), (6.838, 4.0), (3.796, 8.0)])
def test_forty_full_batch_steps_cost_what_the_analytic_mechanism_says(
    sigma: float, expected: float
) -> None:
    assert epsilon_of_mu(math.sqrt(40) / sigma, 1e-5) == pytest.approx(expected, rel=2e-4)


@given(eps=st.floats(0.01, 40), exponent=st.floats(2, 9))
def test_mu_and_epsilon_are_inverse_to_each_other(eps: float, exponent: float) -> None:
    delta = 10.0**-exponent

    assert epsilon_of_mu(mu_of_epsilon(eps, delta), delta) == pytest.approx(eps, abs=1e-6)


@given(st.lists(st.floats(0.001, 2), min_size=1, max_size=20))
def test_composition_adds_mu_squared(variances: list[float]) -> None:
    events = [event(own_variance=v) for v in variances]

    total = composed_mu(events, "claim")

    assert total**2 == pytest.approx(sum(0.16 / (19 * v) for v in variances), rel=1e-12)


# privacy-loss distributions by dp-accounting, an independent implementation.
@pytest.mark.parametrize("steps", [1, 40, 102])
def test_the_claim_agrees_with_privacy_loss_distributions(steps: int) -> None:
    events = [event()] * steps

    ours, theirs = epsilon(events, delta=1e-5), cross_check_epsilon(events, delta=1e-5)

    assert theirs == pytest.approx(ours, rel=1e-2)
    assert ours <= theirs + 1e-9 if theirs is not None else False


def test_the_three_observers_see_the_noise_that_they_cannot_subtract() -> None:
    three = three_epsilons([event()] * 40, delta=1e-5)

    # n_min shares for an outsider, n_min - f for the claim, one share if all others collude.
    for value, shares in ((three.outsider, 20), (three.claim, 19), (three.everyone_else, 1)):
        mu = math.sqrt(40 * 0.16 / (shares * 4.7))
        assert value == pytest.approx(epsilon_of_mu(mu, 1e-5))
    assert three.outsider < three.claim < three.everyone_else


def test_noise_that_may_be_opened_counts_at_no_site_and_what_stays_at_every_planned_one() -> None:
    # 20 planned sites, 14 may survive: n_0 has T / 19; all together, with the excess, T / 13.
    total, parts = 100.0, event(own_variance=100.0 / 19, min_sites=14, noise_sites=20)

    assert parts.variance_against("claim") == pytest.approx(total)
    assert parts.variance_against("outsider") == pytest.approx(total * 20 / 19)
    assert parts.variance_against("everyone_else") == pytest.approx(total / 19)
    # The twin: to count the excess at every site would claim variance that survivors open.
    opened = replace(parts, own_variance=total / 13)
    assert opened.variance_against("claim") == pytest.approx(total * 19 / 13)
    assert epsilon([opened] * 40, delta=1e-5) < epsilon([parts] * 40, delta=1e-5) * 0.85


def test_noise_that_must_stand_alone_claims_its_own_share_only() -> None:
    alone = event(mechanism="gaussian_alone")

    assert alone.variance_against("claim") == 4.7
    assert event().variance_against("claim") == pytest.approx(19 * 4.7)


def test_without_noise_epsilon_is_infinite() -> None:
    none = event(mechanism="none", own_variance=0.0)

    assert epsilon([none], delta=1e-5) == math.inf
    assert cross_check_epsilon([none], delta=1e-5) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"sample_rate": 0.5},
        {"sample_rate": 0.5, "mechanism": "gaussian_alone"},
        {"sample_rate": 0.5, "mechanism": "none"},
        {"sample_rate": 1.0, "mechanism": "sampled_gaussian_alone"},
        {"sample_rate": 0.0, "mechanism": "sampled_gaussian_alone"},
        {"tolerated_collusion": 0},
        {"min_sites": 1},
        {"noise_sites": 19},
        {"sensitivity": 0.0},
        {"own_variance": -1.0},
        {"mechanism": "laplace"},
    ],
)
def test_an_event_outside_this_accounting_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        event(**changes)


@pytest.mark.parametrize(("eps", "delta"), [(0, 1e-5), (-1, 1e-5), (1, 0), (1, 1)])
def test_impossible_targets_are_refused(eps: float, delta: float) -> None:
    with pytest.raises(ValueError):
        mu_of_epsilon(eps, delta)


def test_more_noise_never_costs_more() -> None:
    spent = [epsilon([event(own_variance=v)] * 10, delta=1e-5) for v in np.geomspace(0.01, 100, 20)]

    assert spent == sorted(spent, reverse=True)


def test_an_event_survives_its_ledger_line() -> None:
    assert PrivacyEvent.from_dict(event().as_dict()) == event()


def test_a_sampled_step_has_no_mu_on_any_path() -> None:
    # "gdp" with sampling understates: 3.56 instead of 4.03 for q = .125, sigma 1.5, 80 steps.
    sampled = event(mechanism="sampled_gaussian_alone", sample_rate=0.125)

    for observer in ("outsider", "claim", "everyone_else"):
        with pytest.raises(ValueError, match="no mu"):
            sampled.mu_squared(observer)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="no mu"):
            composed_mu([event(), sampled], observer)  # type: ignore[arg-type]


def test_one_sampled_step_moves_a_whole_history_to_renyi_and_never_below_the_exact_value() -> None:
    full = [event(mechanism="gaussian_alone")] * 30
    sampled = event(mechanism="sampled_gaussian_alone", sample_rate=0.01)

    exact, mixed = epsilon(full, delta=1e-5), epsilon([*full, sampled], delta=1e-5)

    assert mixed > exact
    # By hand: the plain Renyi bound of 30 Gaussian steps, dp-accounting's conversion.
    mu2 = 30 * 0.16 / 4.7
    by_hand = min(
        a * mu2 / 2 + math.log1p(-1 / a) - math.log(1e-5 * a) / (a - 1) for a in range(2, 64)
    )
    assert mixed == pytest.approx(by_hand, rel=1e-3)


# The same equation solved with 50 digits by mpmath's own erfc and bisection.
@pytest.mark.parametrize("mu", [0.05, 0.2681, 1.0, 2.5, 6.0])
@pytest.mark.parametrize("delta", [1e-3, 1e-5, 1e-9])
def test_full_batch_epsilon_is_exact_to_six_digits(mu: float, delta: float) -> None:
    mp.dps = 50
    wanted, m = mpf(delta), mpf(mu)

    def excess(eps: mpf) -> mpf:
        return mp.ncdf(-eps / m + m / 2) - mp.exp(eps) * mp.ncdf(-eps / m - m / 2) - wanted

    if excess(mpf(0)) <= 0:
        assert epsilon_of_mu(mu, delta) == 0.0
        return
    low, high = mpf(0), mpf(200)
    for _ in range(120):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    assert epsilon_of_mu(mu, delta) == pytest.approx(float(low), rel=1e-6)
