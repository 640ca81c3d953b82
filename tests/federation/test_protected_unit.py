"""The protected unit from settings to plan, rows and reports; and what breaks it is refused."""

import csv
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CALLS_YAML, CANARY, all_bytes_under, write_calls

from fedcc import config
from fedcc.data.tabular_features import TabularEncoding
from fedcc.errors import ConfigError, PolicyViolation, RecordError
from fedcc.federation import simulation
from fedcc.federation.comparison import pooled
from fedcc.federation.local_training import private_sum
from fedcc.federation.planning import full_cost, make_plan
from fedcc.federation.planning import warnings as plan_warnings
from fedcc.federation.protected_unit import protected_unit
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.settings import SimulationSettings, simulation_settings
from fedcc.federation.simulated_data import SimulatedData, load_data
from fedcc.federation.simulation import RunResult
from fedcc.privacy.accounting import epsilon_of_mu, mu_of_epsilon
from fedcc.tasks.task import Examples
from fedcc.training.dp_sgd import NORM_SLACK

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
Run = Callable[..., RunResult]
Settings = Callable[..., SimulationSettings]


@pytest.fixture
def repeated(tmp_path: Path) -> Path:
    """A config folder whose customers have up to twelve rows, in one region or in several."""
    source = write_calls(tmp_path)
    with source.open(newline="") as file:
        rows = list(csv.DictReader(file))
    home = {}
    for number, row in enumerate(rows):
        row["customer"] = f"{CANARY}{number % 150 if number < 450 else number % 12}"
        row["roamed"] = row["region"]
        row["region"] = home.setdefault(row["customer"], row["region"])
    with source.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    text = CALLS_YAML.replace("PATH", str(source))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "calls.yaml").write_text(text)
    text = text.replace("columns: [region]", "columns: [roamed]")
    text = text.replace("columns:\n  customer", "columns:\n  roamed: {role: site}\n  customer")
    (tmp_path / "data" / "roaming.yaml").write_text(text)
    no_ids = text.replace("  customer: {role: customer}\n", "").replace("[roamed]", "[region]")
    (tmp_path / "data" / "nameless.yaml").write_text(no_ids)
    return tmp_path


@pytest.fixture
def settings_of(repeated: Path) -> Settings:
    """Compose settings of a run on the repeated customers."""

    def compose(*overrides: str) -> SimulationSettings:
        given = ["data=calls", "sites=3", "rounds=3", *overrides]
        return simulation_settings(config.compose("simulate", given, repeated))

    return compose


def load(settings: SimulationSettings, seed: int = 2) -> SimulatedData:
    return load_data(settings, partition_seed=1, interactions_seed=seed, now=NOW)


def plan_of(settings: SimulationSettings) -> RunPlan:
    recipe = TabularEncoding.from_spec(settings.data, 0)
    return make_plan(settings, recipe, 1, run="run", public_seed=1)


# Which unit.


def test_the_unit_is_the_customer_where_the_data_names_customers(settings_of: Settings) -> None:
    assert plan_of(settings_of()).unit == "customer"
    assert plan_of(settings_of("data=nameless")).unit == "record"
    assert plan_of(settings_of("privacy.unit=record")).unit == "record"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=nameless", "privacy.unit=customer"], "no column with role: customer"),
        (["data=nameless", "privacy.max_sites_per_customer=2"], "a record is at one site"),
        (["privacy.unit=record", "privacy.max_sites_per_customer=2"], "a record is at one site"),
    ],
)
def test_a_unit_that_the_data_cannot_serve_is_refused(
    settings_of: Settings, overrides: list[str], message: str
) -> None:
    settings = settings_of(*overrides)

    with pytest.raises(ConfigError, match=message):
        protected_unit(settings.privacy, settings.data)


@pytest.mark.parametrize(
    "override",
    [
        "privacy.max_interactions=0",
        "privacy.max_interactions=257",
        "privacy.max_sites_per_customer=0",
        "data.public_customers=0",
        "data.public_customers=441",
    ],
)
def test_limits_outside_their_range_are_refused(settings_of: Settings, override: str) -> None:
    with pytest.raises(ConfigError, match=override.partition("=")[0].partition(".")[2]):
        settings_of(override)


# What epsilon it costs.


@pytest.mark.parametrize("sites", [1, 2, 3])
def test_the_target_holds_for_a_customer_at_as_many_sites_as_the_plan_says(
    settings_of: Settings, sites: int
) -> None:
    plan = plan_of(settings_of(f"privacy.max_sites_per_customer={sites}"))

    # The sum over sites moves by k (C / k) = C, which is what the noise is calibrated for.
    assert sites * plan.site_clip == pytest.approx(plan.max_grad_norm)
    assert plan.event.sensitivity == plan.max_grad_norm * NORM_SLACK
    assert full_cost(plan) == pytest.approx(1.0, rel=1e-6)
    # Closed form: a k-th of the sensitivity is a k-th of mu.
    alone = plan.event_at_one_site.mu_squared("claim") * plan.max_attempts
    expected = epsilon_of_mu(mu_of_epsilon(1.0, 1e-5) / sites, 1e-5)
    assert epsilon_of_mu(alone**0.5, 1e-5) == pytest.approx(expected, rel=1e-6)


def test_a_customer_at_two_sites_would_cost_more_than_a_plan_for_one_says(
    settings_of: Settings,
) -> None:
    # The twin: twice the mu; reference value 2.15 for a claim of 1 at two sites.
    plan = plan_of(settings_of())
    mu = (plan.event.mu_squared("claim") * plan.max_attempts) ** 0.5

    assert epsilon_of_mu(2 * mu, 1e-5) == pytest.approx(2.15, abs=0.01)


def test_the_sum_over_sites_moves_by_at_most_the_bound_for_a_customer_at_two_of_them(
    settings_of: Settings,
) -> None:
    plan = plan_of(settings_of("privacy.max_sites_per_customer=2"))
    rng = np.random.default_rng(0)
    moved = np.zeros(plan.n_parameters)
    for _ in range(2):
        features = np.repeat(rng.normal(size=(1, plan.n_features)), 4, axis=0).astype(np.float32)
        part = Examples(features, np.ones(4, dtype=np.int64), np.zeros(4, dtype=np.int64))
        moved += private_sum(plan, part).sum_at(np.zeros(plan.n_parameters))

    assert np.linalg.norm(moved) <= plan.sensitivity


def test_public_customers_bound_delta_and_the_normaliser(settings_of: Settings) -> None:
    declared = settings_of("data.public_customers=40", "privacy.delta=0.003")

    assert plan_of(declared).normaliser == 40 * 5
    assert plan_of(settings_of()).normaliser == 440
    assert any("10 public_customers" in text for text in plan_warnings(declared, 0))
    with pytest.raises(ConfigError, match="public_rows"):
        plan_warnings(settings_of("privacy.delta=0.003"), 0)


# Which rows train.


def test_a_site_keeps_at_most_m_rows_of_a_customer_and_says_how_many_it_left_out(
    settings_of: Settings,
) -> None:
    data = load(settings_of("privacy.max_interactions=2"))

    for site in data.sites:
        assert np.unique(np.asarray(site.customers), return_counts=True)[1].max() == 2
    assert any("beyond the first 2 of their customer" in text for text in data.warnings)


def test_the_same_rows_are_kept_when_a_run_is_taken_up_again(settings_of: Settings) -> None:
    settings = settings_of("privacy.max_interactions=2")

    first, again, other = load(settings), load(settings), load(settings, seed=3)

    for left, right in zip(first.sites, again.sites, strict=True):
        np.testing.assert_array_equal(left.features, right.features)
    assert any(
        not np.array_equal(left.features, right.features)
        for left, right in zip(first.sites, other.sites, strict=True)
    )


def test_a_customer_at_more_sites_than_the_plan_protects_is_refused(
    settings_of: Settings,
) -> None:
    with pytest.raises(RecordError, match=r"up to 3: epsilon would not hold") as caught:
        load(settings_of("data=roaming"))

    assert CANARY not in str(caught.value)
    assert load(settings_of("data=roaming", "privacy.max_sites_per_customer=3")).sites
    assert load(settings_of("data=roaming", "data.partition=iid")).sites
    assert load(settings_of("data=roaming", "privacy.unit=record")).sites


def test_rows_that_hold_more_of_a_customer_than_the_plan_or_name_none_are_refused(
    settings_of: Settings,
) -> None:
    plan = plan_of(settings_of("privacy.max_interactions=2"))
    features, labels = np.zeros((3, plan.n_features), dtype=np.float32), np.zeros(3, dtype=np.int64)

    with pytest.raises(PolicyViolation, match="max_interactions"):
        private_sum(plan, Examples(features, labels, np.zeros(3, dtype=np.int64)))
    with pytest.raises(PolicyViolation, match="name no customers"):
        private_sum(plan, Examples(features, labels))


def test_class_sums_of_a_plan_are_clipped_by_customer(settings_of: Settings) -> None:
    plan = replace(plan_of(settings_of()), step="class_means", n_outputs=2, max_grad_norm=1.0)
    rows = Examples(np.eye(1, 4, dtype=np.float32).repeat(5, axis=0), np.zeros(5, dtype=np.int64))

    by_customer = private_sum(plan, replace(rows, customers=np.zeros(5, dtype=np.int64)))
    by_record = private_sum(replace(plan, unit="record"), rows)

    assert np.linalg.norm(by_customer.sum_at(np.zeros(8))) == pytest.approx(1.0)
    assert np.linalg.norm(by_record.sum_at(np.zeros(8))) == pytest.approx(5.0)


def test_a_pool_keeps_customers_of_different_sites_apart() -> None:
    one = Examples(
        np.zeros((3, 2), dtype=np.float32), np.zeros(3, dtype=np.int64), np.array([0, 1, 1])
    )

    assert np.asarray(pooled([one, one]).customers).tolist() == [0, 1, 1, 2, 3, 3]


# Whole runs.


def test_customers_of_one_row_train_the_model_of_records(run_calls: Run) -> None:
    # Every customer of the shared fixture has one row. With m = 1 the same code runs; with m = 5
    # Opacus sees examples of shape (1, d) in float64, and the grid takes the float rounding away.
    records = run_calls("seed=1", "privacy.unit=record", folder="records").run_dir
    single = run_calls("seed=1", "privacy.max_interactions=1", folder="single").run_dir
    usual = run_calls("seed=1", folder="usual").run_dir

    model = (records / "model.safetensors").read_bytes()
    assert (single / "model.safetensors").read_bytes() == model
    assert (usual / "model.safetensors").read_bytes() == model


@pytest.fixture
def run_repeated(repeated: Path) -> Run:
    """Run on the repeated customers."""

    def run(*overrides: str, **options: Any) -> RunResult:
        given = ["data=calls", "sites=3", "rounds=2", f"run.dir={repeated / 'run'}", *overrides]
        values = config.compose("simulate", given, repeated)
        return simulation.simulate(simulation_settings(values), values, **options)

    return run


def test_a_run_says_its_unit_and_both_epsilons_and_holds_no_customer(run_repeated: Run) -> None:
    result = run_repeated("privacy.max_sites_per_customer=2", "baselines=true", "seed=1")

    privacy = result.summary["privacy"]
    assert (privacy["unit"], privacy["max_interactions"]) == ("customer", 5)
    assert privacy["epsilon_at_one_site"] < privacy["epsilon"] <= 1.0
    report = (result.run_dir / "report.html").read_text()
    assert "Per customer at up to 2 sites, of whom a site keeps at most 5 interactions" in report
    utility = result.summary["utility"]
    assert utility["federated"] == pytest.approx(utility["central_dp_same_noise"], abs=1e-3)
    assert CANARY.encode() not in all_bytes_under(result.run_dir)


def test_a_hidden_layer_trains_on_customers(run_repeated: Run) -> None:
    assert run_repeated("model=mlp", "seed=1").summary["outcome"] == "completed"
