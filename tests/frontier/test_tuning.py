"""Searches: their spaces, their trials and their price."""

from pathlib import Path
from typing import Any

import pytest

from fedcc.errors import ConfigError
from fedcc.frontier import bench, tuning
from fedcc.frontier.settings import TuneSettings
from fedcc.frontier.sweep import SweepStep
from fedcc.privacy.accounting import epsilon_of_mu, mu_of_epsilon

SPACE = "training.learning_rate=log(5,200)"


def silent(step: SweepStep) -> None:
    return None


@pytest.fixture
def optuna() -> None:
    pytest.importorskip("optuna", reason="the extra tune is not installed")


def found(calls: Path, out: Path, *overrides: str, spaces: tuple[str, ...] = (SPACE,)) -> Any:
    words = ["data=calls", "rounds=2", "epsilon=4", "sites=3", "seeds=1", "workers=1", *overrides]
    planned = bench.plan_sweep(words, out=out, config_dir=calls)
    return tuning.search(planned, words, spaces, config_dir=calls, progress=silent)


def test_a_search_keeps_its_trials_and_repeats_none(
    calls: Path, tmp_path: Path, optuna: None
) -> None:
    first = found(calls, tmp_path, "tune.trials=2")
    made = {p: p.stat().st_mtime_ns for p in tmp_path.glob("cells/*/result.json")}
    again = found(calls, tmp_path, "tune.trials=2")

    assert again.trials == first.trials and len(made) == len(first.trials) == 2
    assert made == {path: path.stat().st_mtime_ns for path in made}
    assert first.best.value == max(trial.value for trial in first.trials)
    assert "the test rows" in first.scored_on  # calls has no test file of its own


def test_a_fixed_number_of_trials_costs_all_of_them(
    calls: Path, tmp_path: Path, optuna: None
) -> None:
    search = found(calls, tmp_path, "tune.trials=2")

    # Two Gaussian mechanisms of mu are one of sqrt(2) mu (Dong, Roth, Su 2019).
    composed = epsilon_of_mu(2**0.5 * mu_of_epsilon(4.0, 1e-5), 1e-5)
    assert search.epsilon_of_search == pytest.approx(composed)


def test_a_random_number_of_trials_costs_less_than_as_many_that_are_shown() -> None:
    terms: dict[str, Any] = {"trials": 30, "sampler": "random", "seed": 1, "held_out": 0.2}

    costs = {
        law: tuning.search_cost(TuneSettings(law=law, **terms), 1.0, 1e-5)[0]  # type: ignore[arg-type]
        for law in ("none", "poisson", "geometric", "logarithmic")
    }

    assert 1.0 < costs["logarithmic"] < costs["geometric"] < costs["none"]
    assert 1.0 < costs["poisson"] < costs["none"]


@pytest.mark.parametrize(
    "space",
    ["training.momentum", "seed=1,2", "epsilon=1,2", "a=log(0,1)", "a=log(2,1)", "a=range(x,1)"],
)
def test_a_space_that_means_nothing_is_named(space: str, optuna: None) -> None:
    with pytest.raises(ConfigError, match="--tune"):
        tuning.parse_spaces([space])


def test_a_search_looks_at_one_place(calls: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one epsilon"):
        found(calls, tmp_path, "sites=3,5")


@pytest.mark.parametrize("law", ["none", "poisson"])
def test_only_full_batches_have_a_price(calls: Path, tmp_path: Path, law: str) -> None:
    sampled = (f"tune.law={law}", "privacy.noise=local", "privacy.sample_rate=0.5")

    with pytest.raises(ConfigError, match="full batches"):
        found(calls, tmp_path, *sampled)
