"""The noised bit about held-out rows costs what it says, and says what it costs."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from fedcc.privacy.accounting import epsilon
from fedcc.privacy.release_test import passes, release_event
from fedcc.rng import byte_source


def event(minimum: float = 0.8, rows: int = 5, sites: int = 1, cost: float = 0.5):  # type: ignore[no-untyped-def]
    return release_event(
        minimum=minimum,
        epsilon=cost,
        delta=1e-5,
        rows_per_unit=rows,
        sites_per_unit=sites,
        unit="customer",
    )


@pytest.mark.parametrize("cost", [0.05, 0.5, 1.0])
def test_the_ledger_is_charged_the_epsilon_that_was_asked_for(cost: float) -> None:
    charged = event(cost=cost)

    assert epsilon([charged], delta=1e-5) == pytest.approx(cost, rel=1e-6)
    assert epsilon([charged], delta=1e-5, observer="everyone_else") == pytest.approx(cost, rel=1e-6)


@pytest.mark.parametrize(("minimum", "moved"), [(0.8, 0.8), (0.3, 0.7), (0.5, 0.5)])
def test_no_customer_moves_the_statistic_by_more_than_the_sensitivity(
    minimum: float, moved: float
) -> None:
    # By hand: rows of one customer, all right or all wrong, added to any others.
    rows = 5
    by_hand = max(abs(hits - minimum * rows) for hits in range(rows + 1))

    assert event(minimum).sensitivity == pytest.approx(by_hand)
    assert by_hand == pytest.approx(rows * moved)


def test_a_customer_whom_two_sites_know_is_protected_against_both_answers() -> None:
    both = [event(sites=2)] * 2
    one_site = 0.8 * 5
    mu = math.sqrt(2) * one_site / math.sqrt(event(sites=2).own_variance)

    # Two answers, each with one site's sensitivity, compose to what one event is charged.
    assert mu == pytest.approx(event(sites=2).sensitivity / math.sqrt(both[0].own_variance))


def test_the_answer_is_that_of_a_gaussian_around_the_true_margin() -> None:
    charged, hits, rows, minimum = event(), 430, 500, 0.8  # 30 hits above
    draws = [
        passes(hits, rows, minimum, charged, byte_source(1, "release", number))
        for number in range(4000)
    ]

    # Second source: scipy's normal distribution; the bound is five standard errors.
    chance = norm.cdf(30 / math.sqrt(charged.own_variance))
    assert 0.6 < chance < 0.99
    assert np.mean(draws) == pytest.approx(chance, abs=5 * math.sqrt(chance * (1 - chance) / 4000))


def test_without_rows_the_answer_is_a_fair_coin() -> None:
    draws = [passes(0, 0, 0.8, event(), byte_source(2, "release", n)) for n in range(4000)]

    assert np.mean(draws) == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(4000))
