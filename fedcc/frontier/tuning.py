"""Searching settings of the federation, with what the search itself costs in privacy.

Trials are cells of a sweep, so a search that was stopped goes on without repeating one. They are
scored on a part of the training file where the test rows are a file of their own; elsewhere on the
test rows, and then the result says that those rows chose it. Optuna proposes the settings.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcc.errors import ConfigError
from fedcc.federation.settings import simulation_settings
from fedcc.frontier.bench import Sweep
from fedcc.frontier.cells import Cell, cell_values, data_fingerprint, make_cell
from fedcc.frontier.settings import (
    OWN_KEYS,
    SET_BY_SWEEP,
    TuneSettings,
    run_values,
    split_overrides,
)
from fedcc.frontier.sweep import SweepProgress, run_cells
from fedcc.privacy.accounting import mu_of_epsilon
from fedcc.privacy.selection import (
    draw_trials,
    repeated_epsilon,
    selection_epsilon,
)
from fedcc.rng import generator
from fedcc.training.checkpoints import write_json

_NUMBERS = re.compile(r"(log|range)\(([^,]+),([^,]+)\)")
WARNING = (
    "warning: every trial trains on the rows; on private rows a search costs budget for all of "
    "them, whichever is kept"
)


@dataclass(frozen=True)
class Trial:
    """One setting that was tried."""

    overrides: tuple[str, ...]
    value: float


@dataclass(frozen=True)
class Search:
    """What a search found and what it would cost on private rows."""

    trials: list[Trial]
    metric: str
    epsilon_of_one: float
    epsilon_of_search: float
    how: str  # which reading of the cost this is
    scored_on: str
    failures: tuple[str, ...]

    @property
    def best(self) -> Trial | None:
        """The trial with the highest value, or `None` if there is none."""
        return max(self.trials, key=lambda trial: trial.value, default=None)


def parse_spaces(texts: Sequence[str]) -> dict[str, Any]:
    """Return Optuna's distribution of each `KEY=log(a,b)`, `KEY=range(a,b)` or `KEY=a,b,c`.

    Raises:
        ConfigError: names the space and how it is written, or the extra that is missing.
    """
    distributions = _optuna().distributions
    spaces: dict[str, Any] = {}
    for text in texts:
        key, _, value = text.partition("=")
        numbers = _NUMBERS.fullmatch(value.replace(" ", ""))
        taken = (*SET_BY_SWEEP, *OWN_KEYS, *spaces)
        if key in taken or not key or not value:
            raise ConfigError(
                f"--tune {text}: name each key once, and none that a sweep sets itself. Spaces are "
                "KEY=log(low,high), KEY=range(low,high) or KEY=a,b,c."
            )
        if numbers is None:
            spaces[key] = distributions.CategoricalDistribution(tuple(value.split(",")))
            continue
        try:
            low, high = float(numbers[2]), float(numbers[3])
            spaces[key] = distributions.FloatDistribution(low, high, log=numbers[1] == "log")
        except ValueError:
            raise ConfigError(
                f"--tune {text}: needs two numbers, low < high, and low > 0 with log."
            ) from None
    return spaces


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise ConfigError(
            "--tune needs Optuna. Install the extra: pip install 'fedcc[tune]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def search_cost(tune: TuneSettings, epsilon: float, delta: float) -> tuple[float, str]:
    """Return epsilon of a search in which every trial keeps the budget, and how it was counted.

    Args:
        tune: number of trials and its law.
        epsilon: of one trial.
        delta: of one trial and of the whole.
    """
    mu = mu_of_epsilon(epsilon, delta)
    if tune.law == "none":
        how = f"{tune.trials} trials, all of them charged, exact Gaussian composition"
        return repeated_epsilon(mu, tune.trials, delta=delta), how
    how = (
        f"a {tune.law} number of independent trials, {tune.trials} on the mean, the best alone is "
        "released; Papernot and Steinke 2022. The rows that score trials must be public"
    )
    return selection_epsilon(mu, delta=delta, mean=tune.trials, law=tune.law), how


def search(
    sweep: Sweep,
    overrides: Sequence[str],
    spaces: Sequence[str],
    *,
    config_dir: Path | None,
    progress: SweepProgress,
) -> Search:
    """Try settings of the federation and return all trials.

    Args:
        sweep: of the same overrides: one budget, one number of sites, seed 1.
        overrides: as of the sweep.
        spaces: see `parse_spaces`.
        config_dir: a folder of the user's own options.
        progress: called for each cell.

    Raises:
        FedccError: names the key; also whatever a sweep raises.
    """
    settings, tune = sweep.settings, sweep.settings.tune
    if len(settings.epsilon) != 1 or len(settings.sites) != 1:
        raise ConfigError("--tune looks at one place: give one epsilon and one number of sites.")
    [budget], [sites] = settings.epsilon, settings.sites
    run = simulation_settings(sweep.cells[0].values)
    if run.privacy.rate < 1:
        raise ConfigError(
            "the price of a search is known for full batches alone: use privacy.sample_rate=null."
        )
    rest = [*split_overrides(overrides)[1], f"sites={sites}"]
    held_out = run.data.test.kind == "file"
    if held_out:
        rest += [f"data.test={{kind:hash,fraction:{tune.held_out},path:null}}"]
    rows = data_fingerprint({**run_values(rest, config_dir), "seed": 1})

    def cell_of(chosen: Mapping[str, Any]) -> tuple[Cell, tuple[str, ...]]:
        words = tuple(f"{key}={value}" for key, value in chosen.items())
        values = run_values([*rest, *words], config_dir)
        values = cell_values(values, "federation", budget, tune.seed)
        simulation_settings(values)
        return make_cell("federation", budget, sites, tune.seed, values, None, rows), words

    trials, failures = _run_trials(sweep, parse_spaces(spaces), cell_of, progress)
    cost, how = search_cost(tune, budget, run.privacy.delta)
    found = Search(
        trials=trials,
        metric=str(sweep.about["metric"]),
        epsilon_of_one=budget,
        epsilon_of_search=cost,
        how=how,
        scored_on=f"{tune.held_out:g} of the training file, held out"
        if held_out
        else "the test rows: report the best setting on other rows",
        failures=failures,
    )
    write_json(sweep.folder / "tune.json", _record(found))
    return found


def _run_trials(
    sweep: Sweep,
    spaces: Mapping[str, Any],
    cell_of: Callable[[Mapping[str, Any]], tuple[Cell, tuple[str, ...]]],
    progress: SweepProgress,
) -> tuple[list[Trial], tuple[str, ...]]:
    """Ask Optuna for settings, run them and tell it the values."""
    tune, library = sweep.settings.tune, _optuna()
    count = tune.trials
    if tune.law != "none":
        rng = generator(tune.seed, "number of trials")
        count = draw_trials(tune.trials, tune.law, rng)
    samplers = library.samplers
    sampler = samplers.RandomSampler if tune.sampler == "random" else samplers.TPESampler
    study = library.create_study(direction="maximize", sampler=sampler(seed=tune.seed))
    # A random search is asked for everything at once; one that learns, for a trial at a time.
    width = count if tune.sampler == "random" else 1
    trials, failures = list[Trial](), list[str]()
    while len(trials) + len(failures) < count:
        asked = [study.ask(dict(spaces)) for _ in range(min(width, count))]
        made = [cell_of(one.params) for one in asked]
        cells = list({cell.key: cell for cell, _ in made}.values())
        found = run_cells(
            cells, sweep.folder / "cells", workers=sweep.settings.workers, progress=progress
        )
        reasons = {failure.cell.key: failure.text for failure in found.failures}
        for one, (cell, words) in zip(asked, made, strict=True):
            if cell.key in reasons:
                failures.append(f"{' '.join(words)}: {reasons[cell.key]}")
                study.tell(one, state=library.trial.TrialState.FAIL)
            else:
                value = float(found.results[cell.key]["value"])
                trials.append(Trial(words, value))
                study.tell(one, value)
    return trials, tuple(failures)


def _record(found: Search) -> dict[str, Any]:
    best = found.best
    return {
        "metric": found.metric,
        "best": None if best is None else {"overrides": best.overrides, "value": best.value},
        "trials": [{"overrides": t.overrides, "value": t.value} for t in found.trials],
        "failures": found.failures,
        "epsilon_of_one_trial": found.epsilon_of_one,
        "epsilon_of_search": found.epsilon_of_search,
        "how": found.how,
        "scored_on": found.scored_on,
    }
