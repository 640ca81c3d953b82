"""Survivors and collusion: the thresholds of the threat model, and what a plan makes of them."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from fedcc import config
from fedcc.crypto.thresholds import threshold, tolerated_collusion_bound
from fedcc.data.tabular_features import TabularEncoding
from fedcc.errors import ConfigError
from fedcc.federation.planning import make_plan
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.settings import simulation_settings
from fedcc.federation.survivors import (
    default_min_sites,
    mask_neighbours,
)
from fedcc.privacy.accounting import three_epsilons

Planned = Callable[..., RunPlan]
RECIPE = TabularEncoding(tuple((f"number-{i}", 0.0, 1.0) for i in range(4)), (), 0)


@pytest.fixture
def planned(calls: Path) -> Planned:
    def plan(*overrides: str) -> RunPlan:
        values = config.compose("simulate", ["data=calls", "rounds=3", *overrides], calls)
        return make_plan(simulation_settings(values), RECIPE, 1, run="run", public_seed=1)

    return plan


# The table of the threat model (privacy_proofs S4), derived there by hand.
@pytest.mark.parametrize(
    ("n", "t", "c"),
    [
        (3, 3, 1),
        (4, 3, 1),
        (5, 4, 2),
        (6, 5, 3),
        (7, 5, 2),
        (10, 7, 3),
        (20, 14, 7),
        (30, 21, 11),
        (100, 67, 33),
        (128, 86, 43),
    ],
)
def test_thresholds_are_those_of_the_threat_model(n: int, t: int, c: int) -> None:
    assert threshold(n, 1) == t
    assert tolerated_collusion_bound(n, t) == c


def test_with_every_site_needed_all_but_two_may_collude() -> None:
    for n in range(3, 129):
        assert threshold(n, n) == n
        assert tolerated_collusion_bound(n, n) == n - 2


def test_more_colluding_sites_than_the_bound_can_have_two_survivor_sets_signed_or_stand_alone() -> (
    None
):
    # By counting: c sites sign both sets; the n - c honest ones sign one set each.
    for n in range(3, 60):
        for t in range(2 * n // 3 + 1, n + 1):

            def breaks(c: int, n: int = n, t: int = t) -> bool:
                two_sets = 2 * max(t - c, 0) <= n - c
                return two_sets or t - c < 2

            safe = [c for c in range(n) if not breaks(c)]
            assert max(safe, default=-1) == tolerated_collusion_bound(n, t)


def test_the_default_is_the_least_number_of_survivors_that_admits_the_collusion() -> None:
    for n in range(3, 129):
        for f in range(1, n - 1):
            least = default_min_sites(n, f)
            admitted = [
                m
                for m in range(max(3, 2 * n // 3 + 1), n + 1)
                if m - f >= 2 and f <= tolerated_collusion_bound(n, threshold(n, m))
            ]
            assert least == min(admitted)


def test_thirty_percent_of_collusion_is_admitted_by_default_at_every_size() -> None:
    for n in range(3, 129):
        f = max(1, math.floor(0.3 * n))
        assert f <= tolerated_collusion_bound(n, threshold(n, default_min_sites(n, f)))


@pytest.mark.parametrize(
    ("overrides", "min_sites", "recovers"),
    [
        (("sites=3",), 3, True),
        (("sites=5",), 4, True),
        (("sites=20",), 14, True),
        (("sites=20", "privacy.tolerated_collusion=10"), 16, True),
        (("sites=20", "privacy.min_sites=20"), 20, True),
        (("sites=20", "privacy.noise=local"), 14, True),
        (("sites=20", "crypto.neighbours=8"), 14, True),
        (("sites=20", "crypto.neighbours=6"), 20, True),  # may lose none: too few neighbours
        (("sites=20", "crypto=none"), 20, False),
        (("sites=20", "crypto=ckks"), 20, False),
        (("sites=128", "privacy=explore"), 86, True),
        (("sites=129", "privacy=explore"), 129, False),
    ],
)
def test_sites_may_drop_out_by_default_where_masks_survive_it(
    planned: Planned,
    overrides: tuple[str, ...],
    min_sites: int,
    recovers: bool,
) -> None:
    plan = planned(*overrides)

    assert (plan.min_sites, plan.recovers) == (min_sites, recovers)


def test_a_plan_for_dropouts_promises_and_steps_as_one_for_all_sites(planned: Planned) -> None:
    room, everybody = planned("sites=20"), planned("sites=20", "privacy.min_sites=20")

    assert (room.noise_levels, everybody.noise_levels) == ((0, 1, 2, 6), (0,))
    assert room.own_variance == pytest.approx(everybody.own_variance * 19 / 13, rel=1e-12)
    assert room.noise_components.kept(0) == pytest.approx(everybody.own_variance, rel=1e-12)
    assert (room.learning_rate, room.prior_scale) == (
        everybody.learning_rate,
        everybody.prior_scale,
    )
    one, other = (three_epsilons([p.event] * 5, delta=p.delta) for p in (room, everybody))
    for name in ("outsider", "claim", "everyone_else"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9)


def test_no_number_of_survivors_costs_more_than_what_ledgers_charge(planned: Planned) -> None:
    for overrides in (
        ("sites=20", "privacy.tolerated_collusion=6"),
        ("sites=20", "privacy.excess_components=null"),
        ("sites=20", "privacy.excess_components=0"),
        ("sites=20", "privacy.noise=local"),
    ):
        plan = planned(*overrides)
        charged = three_epsilons([plan.event] * 5, delta=plan.delta)
        for survivors in range(plan.min_sites, 21):
            cost = three_epsilons([plan.event_with(survivors)] * 5, delta=plan.delta)
            for name in ("outsider", "claim", "everyone_else"):
                assert getattr(cost, name) <= getattr(charged, name) * (1 + 1e-9)
        with pytest.raises(ValueError, match="dropped"):
            plan.event_with(plan.min_sites - 1)


@pytest.mark.parametrize(
    ("overrides", "levels"),
    [
        (("privacy.noise=local",), (6,)),
        (("privacy=none",), (6,)),
        (("crypto=none", "privacy.min_sites=14"), (6,)),
        (("privacy.excess_components=0",), (6,)),
        (("privacy.excess_components=1",), (0, 6)),
        (("privacy.excess_components=null",), (0, 1, 2, 3, 4, 5, 6)),
    ],
)
def test_noise_is_in_parts_only_where_parts_can_be_opened(
    planned: Planned,
    overrides: tuple[str, ...],
    levels: tuple[int, ...],
) -> None:
    plan = planned("sites=20", *overrides)

    assert plan.noise_levels == levels
    assert plan.noise_components.total == pytest.approx(plan.own_variance, rel=1e-14)
    if len(levels) == 1:
        assert plan.noise_components.kept(0) == plan.own_variance
        assert plan.event.noise_sites == 14


def test_a_plan_survives_the_wire_with_its_parts(planned: Planned) -> None:
    plan = planned("sites=20")

    assert RunPlan.from_json(plan.to_json()) == plan


def test_the_sum_s_bound_counts_the_noise_that_is_opened_later(planned: Planned) -> None:
    plan = planned("sites=20")
    bare = dataclasses.replace(plan, own_variance=plan.noise_components.kept(0))

    assert plan.sum_bound > bare.sum_bound


@pytest.mark.parametrize("noise", ["shared", "local"])
def test_more_collusion_than_signatures_withstand_is_refused_with_a_remedy_that_helps(
    planned: Planned,
    noise: str,
) -> None:
    wanted = ("sites=20", "privacy.tolerated_collusion=8", f"privacy.noise={noise}")

    with pytest.raises(ConfigError, match="tolerated_collusion .8.*at most 7.*min_sites to 15"):
        planned(*wanted, "privacy.min_sites=14")
    assert planned(*wanted, "privacy.min_sites=15").min_sites == 15


def test_the_largest_organisation_counts_against_the_bound(planned: Planned) -> None:
    north = ", ".join(f"site-{number}: north" for number in range(1, 9))

    with pytest.raises(ConfigError, match="tolerated_collusion .8"):
        planned("sites=20", "privacy.min_sites=14", f"federation.organisations={{{north}}}")


def test_collusion_that_no_number_of_survivors_withstands_asks_for_more_sites(
    planned: Planned,
) -> None:
    with pytest.raises(ConfigError, match="at most 1 with 3 sites.*Raise sites"):
        planned("sites=3", "privacy.tolerated_collusion=2")


def test_neighbours_must_outnumber_colluding_and_lost_sites_together() -> None:
    assert mask_neighbours(8, n_sites=20, collusion=1, lost=6) == 8
    assert mask_neighbours(None, n_sites=20, collusion=1, lost=6) == 0
    assert mask_neighbours(19, n_sites=20, collusion=18, lost=6) == 0

    with pytest.raises(ConfigError, match="crypto.neighbours .6. must exceed"):
        mask_neighbours(6, n_sites=20, collusion=1, lost=6)
