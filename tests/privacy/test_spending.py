"""The stop rule of a lifetime: exact for full batches, Renyi divergences of one order otherwise."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedcc.errors import BudgetExceeded
from fedcc.privacy.accounting import PrivacyEvent, epsilon, mu_of_epsilon
from fedcc.privacy.caps import lifetime_cap
from fedcc.privacy.ledger import Charge, Ledger
from fedcc.privacy.renyi import ORDERS, filter_order, renyi_epsilon
from fedcc.privacy.spending import Spent

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
FULL = PrivacyEvent(
    mechanism="gaussian_alone",
    sensitivity=0.4,
    grid=1.0,
    own_variance=(12 * 0.4) ** 2,
    min_sites=5,
    noise_sites=5,
    tolerated_collusion=1,
    sample_rate=1.0,
    unit="record",
)
SAMPLED = replace(
    FULL, mechanism="sampled_gaussian_alone", own_variance=(1.5 * 0.4) ** 2, sample_rate=0.125
)


def charge(event: PrivacyEvent, round_number: int) -> Charge:
    return Charge(
        event=event,
        run="r",
        round_number=round_number,
        attempt=1,
        purpose="churn",
        planned_sites=5,
        session="00",
    )


def spent(*events: PrivacyEvent, budget: float | None = 8.0) -> Spent:
    return Spent.of(events, max_epsilon=budget, delta=1e-5, observer="claim")


def test_full_batches_alone_may_spend_the_budget_exactly() -> None:
    steps = 50
    event = replace(FULL, own_variance=steps * (0.4 / mu_of_epsilon(2.0, 1e-5)) ** 2)

    whole = spent(*[event] * steps, budget=2.0)

    assert whole.within_budget
    assert whole.epsilon == pytest.approx(2.0, abs=1e-9)
    assert not whole.plus(event).within_budget


def test_a_sampled_step_puts_the_whole_history_under_renyi() -> None:
    history = spent(*[FULL] * 40, *[SAMPLED] * 80)

    order = filter_order(8.0, 1e-5)
    steps = {(12.0, 1.0): 40, (1.5, 0.125): 80}
    assert history.epsilon == pytest.approx(renyi_epsilon(steps, delta=1e-5, orders=[order]))
    assert history.within_budget


def test_the_stop_rule_never_reports_less_than_the_best_order_or_the_exact_value() -> None:
    mixed = [FULL] * 40 + [SAMPLED] * 80

    assert spent(*mixed).epsilon >= epsilon(mixed, delta=1e-5) - 1e-12
    assert spent(*mixed, budget=None).epsilon == pytest.approx(epsilon(mixed, delta=1e-5))
    assert spent(*mixed).epsilon > spent(*[FULL] * 40).epsilon


def test_the_order_is_fixed_by_the_budget_and_not_by_what_was_spent() -> None:
    # The twin: with the best order in hindsight three more steps would fit. No filter may do so.
    budget, history = 8.0, spent()
    while history.plus(SAMPLED).within_budget:
        history = history.plus(SAMPLED)
    steps = history.counts[SAMPLED]

    hindsight = renyi_epsilon({(1.5, 0.125): steps + 3}, delta=1e-5, orders=ORDERS)

    assert hindsight <= budget
    assert history.epsilon <= budget < history.plus(SAMPLED).epsilon


def test_adding_events_leaves_the_old_account_as_it_was() -> None:
    before = spent(FULL)

    before.plus(SAMPLED, 5)

    assert before == spent(FULL)


def test_a_step_without_noise_fits_no_budget() -> None:
    bare = replace(FULL, mechanism="none", own_variance=0.0)

    assert not spent(bare, budget=100.0).within_budget
    assert not spent(bare, SAMPLED, budget=100.0).within_budget


def test_a_ledger_refuses_the_sampled_round_that_would_pass_its_budget(tmp_path: Path) -> None:
    budget = spent(FULL, SAMPLED, SAMPLED, budget=2.5).epsilon
    assert budget < 2.5
    path = tmp_path / "a.jsonl"
    ledger = Ledger.open(path, caps=[lifetime_cap(2.5)], delta=1e-5, now=NOW)
    for number, event in enumerate([FULL, SAMPLED, SAMPLED], start=1):
        ledger.reserve(charge(event, number), now=NOW)
    ledger.close()
    ledger = Ledger.open(path, caps=[lifetime_cap(2.5)], delta=1e-5, now=NOW)
    assert ledger.epsilon() <= budget  # by the best order, where the stop rule has one for life

    number = 4
    with pytest.raises(BudgetExceeded, match="epsilon"):
        while True:
            ledger.reserve(charge(SAMPLED, number), now=NOW)
            number += 1

    assert len(ledger.events) == number - 1 < 60
    assert ledger.epsilon() <= 2.5
