"""How many parameters share a slot: chosen by the plan, never by what data look like."""

import numpy as np
import pytest

from fedcc import config
from fedcc.data.tabular_features import TabularEncoding
from fedcc.errors import ConfigError
from fedcc.federation.planning import make_plan
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.settings import simulation_settings

RECIPE = TabularEncoding(tuple((f"number-{i}", 0.0, 1.0) for i in range(4)), (), 0)


def plan_of(*overrides: str) -> RunPlan:
    settings = simulation_settings(config.compose("simulate", ["sites=3", *overrides]))
    return make_plan(settings, RECIPE, 1, run="run-1", public_seed=1)


def total_bound(plan: RunPlan) -> float:
    """The rule of S1, written a second time: 3 boxes and the noise at the quantile of 1e-12."""
    # Normal quantile of 1e-12 / (2 x coordinates) by bisection on the complementary error function.
    from math import erfc, sqrt

    chance, low, high = 1e-12 / (plan.n_parameters * plan.max_attempts), 0.0, 20.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if erfc(middle / sqrt(2)) > chance else (low, middle)
    noise = low * sqrt(len(plan.sites) * plan.own_variance)
    return (len(plan.sites) * plan.box + noise) * plan.steps_per_unit + len(plan.sites)


SMALL = ("data.public_rows=1500",)  # few enough for 15 bits with the noise of epsilon 1
LARGE = ("data.public_rows=20000",)


@pytest.mark.parametrize("crypto", ["bfv", "ckks_packed"])
def test_three_lanes_are_chosen_where_they_hold_a_site_that_owns_every_row(crypto: str) -> None:
    rows = SMALL if crypto == "bfv" else ("data.public_rows=500",)

    plan = plan_of(f"crypto={crypto}", *rows)

    assert plan.lanes == 3
    assert plan.box == float(rows[0].split("=")[1]) * plan.max_grad_norm


def test_two_lanes_are_chosen_where_three_would_clamp() -> None:
    plan = plan_of(*LARGE)

    assert plan.lanes == 2
    assert plan.box == 20000 * plan.max_grad_norm  # nothing is clamped in two


def test_three_lanes_can_be_asked_for_where_they_clamp() -> None:
    plan = plan_of("crypto.lanes=3", *LARGE)

    assert plan.lanes == 3
    assert plan.box < 20000 * plan.max_grad_norm


@pytest.mark.parametrize("rows", [SMALL, LARGE])
@pytest.mark.parametrize("lanes", ["null", "2", "3"])
def test_no_total_of_the_run_passes_the_edge_of_its_lane(rows: tuple[str], lanes: str) -> None:
    plan = plan_of(f"crypto.lanes={lanes}", *rows)

    assert total_bound(plan) <= {2: 1 << 22, 3: 1 << 14}[plan.lanes]


def test_without_noise_two_lanes_keep_the_finer_grid() -> None:
    assert plan_of("privacy=none", *SMALL).lanes == 2


@pytest.mark.parametrize("rows", [SMALL, LARGE])
@pytest.mark.parametrize("crypto", ["ckks", "none"])
def test_what_carries_a_sum_does_not_move_its_grid(crypto: str, rows: tuple[str]) -> None:
    assert plan_of(f"crypto={crypto}", *rows).grid == plan_of(*rows).grid


@pytest.mark.parametrize("overrides", [("crypto.grid_steps=512",), ("crypto.grid_steps=2048",)])
def test_lanes_that_cannot_hold_the_noise_are_refused_with_the_remedy(
    overrides: tuple[str],
) -> None:
    with pytest.raises(ConfigError, match=r"lanes cannot hold the noise.*crypto.lanes=2"):
        plan_of("crypto.lanes=3", *overrides, *LARGE)


def test_the_choice_falls_back_to_two_lanes_where_three_are_refused() -> None:
    assert plan_of("crypto.grid_steps=2048", *SMALL).lanes == 2


@pytest.mark.parametrize(("overrides", "seeded"), [((), True), (("crypto.unseeded=true",), False)])
def test_the_plan_says_whether_uploads_are_seeded(overrides: tuple[str], seeded: bool) -> None:
    plan = plan_of(*overrides)

    assert plan.seeded is seeded
    assert np.isfinite(plan.box)


def test_a_plan_of_unseeded_uploads_has_another_hash_so_it_needs_its_own_approval() -> None:
    assert plan_of().sha256 != plan_of("crypto.unseeded=true").sha256
