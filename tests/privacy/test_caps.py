"""Caps by purpose, window and observer, across runs, and with a clock that lies."""

import math
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from privacy.ledgers import DELTA, EVENT, NOW, cap, charge, on_day, opened

from fedcc.errors import BudgetExceeded
from fedcc.privacy.accounting import PrivacyEvent, epsilon, epsilon_of_mu
from fedcc.privacy.caps import CapUse, epsilon_of, lifetime_cap, room
from fedcc.privacy.ledger_lines import TimedCharge


def of(count: int) -> float:
    """Closed form: n equal full-batch Gaussian steps are one of mu sqrt(n)."""
    return epsilon_of_mu(math.sqrt(count * 0.4**2 / (19 * 4.7)), DELTA)


def alone(count: int) -> float:
    return epsilon_of_mu(math.sqrt(count * 0.4**2 / 4.7), DELTA)


def test_a_cap_admits_exactly_what_it_says(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "a.jsonl", cap(of(3)))
    for number in (1, 2, 3):
        ledger.reserve(charge(number), now=NOW)

    with pytest.raises(BudgetExceeded, match=r"epsilon .* is spent \(all purposes, lifetime\)"):
        ledger.reserve(charge(4), now=NOW)

    assert len(ledger.events) == 3


def test_a_cap_on_all_others_colluding_stops_where_the_claim_would_go_on(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "a.jsonl", cap(of(10), alone=alone(2)))
    ledger.reserve(charge(1), now=NOW)
    ledger.reserve(charge(2), now=NOW)

    with pytest.raises(BudgetExceeded, match="epsilon_if_all_others_collude"):
        ledger.reserve(charge(3), now=NOW)


def test_the_caps_of_two_purposes_are_separate_and_the_common_one_counts_both(
    tmp_path: Path,
) -> None:
    caps = cap(of(2), purpose="churn"), cap(of(2), purpose="intent"), cap(of(3))
    ledger = opened(tmp_path / "a.jsonl", *caps)
    ledger.reserve(charge(1), now=NOW)
    ledger.reserve(charge(2), now=NOW)

    with pytest.raises(BudgetExceeded, match=r"\(churn, lifetime\)"):
        ledger.reserve(charge(3), now=NOW)
    ledger.reserve(charge(1, run="s", purpose="intent"), now=NOW)
    with pytest.raises(BudgetExceeded, match=r"\(all purposes, lifetime\)"):
        ledger.reserve(charge(2, run="s", purpose="intent"), now=NOW)


def test_a_run_is_refused_whole_before_its_first_step(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "a.jsonl", cap(of(5), days=30))

    ledger.check(EVENT, 5, purpose="churn", now=NOW)
    with pytest.raises(BudgetExceeded, match="6 more step"):
        ledger.check(EVENT, 6, purpose="churn", now=NOW)


def test_runs_with_different_noise_compose(tmp_path: Path) -> None:
    other = replace(EVENT, own_variance=9.4)
    ledger = opened(tmp_path / "a.jsonl")
    ledger.reserve(charge(1), now=NOW)
    ledger.reserve(replace(charge(1, run="s"), event=other), now=NOW)

    # Closed form: mu^2 = D^2 / (19 v) + D^2 / (19 * 2 v).
    mu = math.sqrt(0.4**2 / (19 * 4.7) * 1.5)
    assert ledger.epsilon() == pytest.approx(epsilon_of_mu(mu, DELTA), abs=1e-9)
    assert ledger.epsilon() == pytest.approx(epsilon([EVENT, other], delta=DELTA), abs=1e-9)


# Windows.


def test_a_window_frees_what_is_older_and_the_lifetime_cap_does_not(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "a.jsonl", cap(of(1), days=30), cap(of(2)))
    ledger.reserve(charge(1), now=on_day(0))
    with pytest.raises(BudgetExceeded, match="any 30 days"):
        ledger.reserve(charge(2), now=on_day(30))
    ledger.reserve(charge(2), now=on_day(30.001))

    with pytest.raises(BudgetExceeded, match="lifetime"):
        ledger.reserve(charge(3), now=on_day(90))


@pytest.mark.parametrize("reopen", [False, True])
def test_a_clock_set_back_frees_nothing(tmp_path: Path, reopen: bool) -> None:
    path, window = tmp_path / "a.jsonl", cap(of(2), days=30)
    ledger = opened(path, window)
    ledger.reserve(charge(1), now=on_day(100))
    ledger.reserve(charge(2), now=on_day(40))  # written on a clock set back by 60 days
    if reopen:
        ledger.close()
        ledger = opened(path, window)

    # By the raw times both would be out of the window on day 131; by the latest clock ever seen
    # both were charged on day 100, so both still count on day 120.
    for day in (0, 71, 120, 130):
        with pytest.raises(BudgetExceeded):
            ledger.reserve(charge(3), now=on_day(day))
    ledger.reserve(charge(3), now=on_day(131))


def test_by_raw_times_the_same_ledger_would_admit_one_more(tmp_path: Path) -> None:
    # The twin: a window over the clock's own words forgets the charge written while it was wrong.
    use = CapUse(cap(of(2), days=30), DELTA)
    for number, day in ((2, 40), (1, 100)):
        use.add(TimedCharge(charge(number), on_day(day)))
    use.forget_before(on_day(120))

    assert use.refusal(EVENT, 1) is None


@settings(max_examples=60, deadline=None)
@given(
    days=st.lists(st.floats(-50, 50), min_size=1, max_size=25),
    length=st.floats(0.5, 20),
    limit=st.integers(1, 4),
)
def test_no_window_of_real_time_ever_holds_more_than_its_cap(
    days: list[float], length: float, limit: int
) -> None:
    # A second source: brute force over all windows of the times as the rule defines them.
    use, admitted, latest = CapUse(cap(of(limit), days=length), DELTA), [], NOW
    for day in days:
        latest = max(latest, on_day(day))
        use.forget_before(latest)
        if use.refusal(EVENT, 1) is None:
            use.add(TimedCharge(charge(1), latest))
            admitted.append(latest)

    window = timedelta(days=length)
    for end in admitted:
        assert sum(end - window <= time <= end for time in admitted) <= limit


def test_a_time_without_a_zone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="time zone"):
        opened(tmp_path / "a.jsonl").reserve(charge(1), now=NOW.replace(tzinfo=None))


# Numbers.


def test_many_equal_events_cost_what_dp_accounting_says() -> None:
    # Source: Google's dp-accounting, privacy-loss distributions, pessimistic by discretisation.
    from dp_accounting import GaussianDpEvent, SelfComposedDpEvent
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant()
    accountant.compose(SelfComposedDpEvent(GaussianDpEvent(math.sqrt(19 * 4.7) / 0.4), 40))

    ours = epsilon_of(Counter({EVENT: 40}), "claim", DELTA)

    assert ours <= accountant.get_epsilon(DELTA) <= ours * 1.01


def test_what_fits_into_a_cap_fits_exactly() -> None:
    left = room(of(3), of(5), DELTA)

    assert left == pytest.approx(of(2), rel=1e-6)
    assert room(of(5), of(5), DELTA) == 0.0
    assert room(math.inf, 8.0, DELTA) == 0.0


def test_a_step_without_noise_is_refused_by_every_cap() -> None:
    bare = PrivacyEvent(**{**EVENT.as_dict(), "mechanism": "none", "own_variance": 0.0})  # type: ignore[arg-type]

    assert CapUse(lifetime_cap(1e6), DELTA).refusal(bare, 1) is not None


@pytest.mark.parametrize(
    "values",
    [{"epsilon": 0.0}, {"epsilon": -1.0}, {"epsilon": math.nan}, {"alone": math.inf}, {}]
    + [{"epsilon": 1.0, "days": days} for days in (0.0, -1.0, math.nan, math.inf)],
)
def test_a_cap_that_caps_nothing_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        cap(**values)
