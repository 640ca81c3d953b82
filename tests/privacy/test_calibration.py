"""From target to noise: the plan costs what was asked, for every mode and collusion."""

import math

import pytest

from fedcc.errors import ConfigError
from fedcc.privacy.accounting import PrivacyEvent, cross_check_epsilon, epsilon
from fedcc.privacy.calibration import NoisePlan, PrivacySettings, calibrate, check_delta, tolerated
from fedcc.privacy.spending import Spent


def settings(**changes: object) -> PrivacySettings:
    values: dict[str, object] = {
        "epsilon": 1.0,
        "delta": 1e-5,
        "noise": "shared",
        "unit": "record",
        "max_interactions": 5,
        "max_sites_per_customer": 1,
        "tolerated_collusion": 1,
        "min_sites": None,
        "excess_components": 3,
        "reserved_retries": 2,
        "sample_rate": None,
    }
    return PrivacySettings(**{**values, **changes})  # type: ignore[arg-type]


def plan_event(eps: float, *, noise: str, sites: int, collusion: int, masked: bool) -> PrivacyEvent:
    plan = calibrate(
        settings(epsilon=eps, noise=noise),
        steps=62,
        sensitivity=0.3,
        n_sites=sites,
        levels=(0,),
        collusion=collusion,
        masked=masked,
    )
    return PrivacyEvent(
        mechanism=plan.mechanism,
        sensitivity=0.3,
        grid=1.0,
        own_variance=plan.own_variance,
        min_sites=sites,
        noise_sites=sites,
        tolerated_collusion=collusion,
        sample_rate=1.0,
        unit="record",
    )


@pytest.mark.parametrize("eps", [0.5, 1.0, 8.0])
@pytest.mark.parametrize(("sites", "collusion"), [(3, 1), (5, 1), (20, 6)])
def test_all_planned_and_reserved_attempts_cost_the_target_and_not_more(
    eps: float, sites: int, collusion: int
) -> None:
    event = plan_event(eps, noise="shared", sites=sites, collusion=collusion, masked=True)

    spent = epsilon([event] * 62, delta=1e-5)

    assert spent <= eps
    assert spent == pytest.approx(eps, abs=1e-6)


def test_local_noise_costs_the_target_without_any_other_site() -> None:
    event = plan_event(1.0, noise="local", sites=5, collusion=1, masked=True)

    assert event.variance_against("everyone_else") == event.variance_against("claim")
    assert epsilon([event] * 62, delta=1e-5) == pytest.approx(1.0, abs=1e-6)


def test_shared_noise_without_masks_is_charged_as_what_the_aggregator_sees() -> None:
    masked = plan_event(1.0, noise="shared", sites=5, collusion=1, masked=True)
    exposed = plan_event(1.0, noise="shared", sites=5, collusion=1, masked=False)

    assert exposed.own_variance == masked.own_variance
    # One share of four: mu doubles.
    ratio = exposed.mu_squared("claim") / masked.mu_squared("claim")
    assert ratio == pytest.approx(4.0)


def test_the_effective_epsilon_is_that_of_all_shares_together() -> None:
    plan = calibrate(
        settings(), steps=62, sensitivity=0.3, n_sites=5, levels=(0,), collusion=1, masked=True
    )

    assert plan.effective_epsilon < 1.0
    assert plan.own_variance == pytest.approx((plan.noise_multiplier * 0.3) ** 2 / 4)


@pytest.mark.parametrize("collusion", [1, 6])
def test_room_for_dropouts_changes_nothing_of_the_sum_when_no_site_drops(collusion: int) -> None:
    def noise(levels: tuple[int, ...]) -> NoisePlan:
        return calibrate(
            settings(),
            steps=62,
            sensitivity=0.3,
            n_sites=20,
            levels=levels,
            collusion=collusion,
            masked=True,
        )

    everybody, room = noise((0,)), noise((0, 1, 2, 6))

    # F3: v = sigma^2 C^2 / (n_min - f) is added, sigma^2 C^2 / (n - f) stays when nobody drops.
    total = (room.noise_multiplier * 0.3) ** 2
    assert room.own_variance == pytest.approx(total / (14 - collusion), rel=1e-12)
    assert room.kept_variance == everybody.kept_variance == everybody.own_variance
    assert room.effective_epsilon == everybody.effective_epsilon  # decides the step size
    # The twin: without parts all of it stays, and the sum is noisier.
    stiff = noise((6,))
    assert stiff.kept_variance == stiff.own_variance == pytest.approx(room.own_variance)
    assert stiff.effective_epsilon < room.effective_epsilon * 0.9


@pytest.mark.parametrize("collusion", [2, 3])
def test_a_plan_that_leaves_fewer_than_two_honest_sites_under_masks_is_refused(
    collusion: int,
) -> None:
    with pytest.raises(ConfigError, match="min_sites"):
        calibrate(
            settings(),
            steps=10,
            sensitivity=1,
            n_sites=3,
            levels=(0,),
            collusion=collusion,
            masked=True,
        )


@pytest.mark.parametrize(
    ("organisations", "expected"),
    [
        ({}, 1),
        ({"a": "north", "b": "north"}, 2),
        ({"a": "x", "b": "x", "c": "x", "d": "x"}, 1),  # one operator: trusted with every sum
    ],
)
def test_the_largest_organisation_counts_as_colluding(
    organisations: dict[str, str], expected: int
) -> None:
    assert tolerated(settings(), organisations, ["a", "b", "c", "d"]) == expected


def test_delta_must_be_below_one_over_the_public_rows_and_warns_near_it() -> None:
    with pytest.raises(ConfigError, match="delta"):
        check_delta(1e-3, 1000, "public_rows")

    assert "above" in str(check_delta(2e-4, 1000, "public_rows"))
    assert check_delta(1e-5, 5000, "public_rows") is None


def sampled_plan(eps: float, rate: float, **changes: object) -> PrivacyEvent:
    wish = settings(epsilon=eps, noise="local", sample_rate=rate, **changes)
    plan = calibrate(
        wish, steps=62, sensitivity=0.3, n_sites=5, levels=(0,), collusion=1, masked=True
    )
    return PrivacyEvent(
        mechanism=plan.mechanism,
        sensitivity=0.3,
        grid=1.0,
        own_variance=plan.own_variance,
        min_sites=5,
        noise_sites=5,
        tolerated_collusion=1,
        sample_rate=rate,
        unit="record",
    )


@pytest.mark.parametrize("eps", [0.5, 1.0, 8.0])
@pytest.mark.parametrize("rate", [0.02, 0.2, 0.7])
def test_sampled_steps_fill_the_ledger_s_budget_to_the_last_attempt(
    eps: float, rate: float
) -> None:
    event = sampled_plan(eps, rate)

    spent = Spent.of([event] * 62, max_epsilon=eps, delta=1e-5, observer="claim")

    assert spent.within_budget
    assert spent.epsilon == pytest.approx(eps, rel=1e-6)
    assert not spent.plus(event).within_budget
    # dp-accounting's privacy-loss distributions: never more than what was asked for.
    checked = cross_check_epsilon([event] * 62, delta=1e-5)
    assert checked is not None and checked <= eps


def test_a_rate_of_one_is_the_full_batch_to_the_bit() -> None:
    assert sampled_plan(1.0, 1.0) == plan_event(
        1.0, noise="local", sites=5, collusion=1, masked=True
    )


@pytest.mark.parametrize("noise", ["shared", "none"])
def test_sampling_is_refused_where_its_accounting_is_not_proved(noise: str) -> None:
    with pytest.raises(ValueError, match="needs noise=local"):
        settings(sample_rate=0.1, noise=noise, epsilon=None if noise == "none" else 1.0)


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.1, math.nan])
def test_a_rate_that_is_no_chance_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="sample_rate"):
        settings(sample_rate=rate, noise="local")


@pytest.mark.parametrize(
    "changes",
    [
        {"epsilon": 0.0},
        {"epsilon": -1.0},
        {"epsilon": math.inf},
        {"epsilon": None},
        {"noise": "none"},
        {"delta": 0.0},
        {"tolerated_collusion": 0},
        {"reserved_retries": -1},
        {"excess_components": -1},
    ],
)
def test_a_wish_that_means_nothing_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        settings(**changes)
