"""Computing one cell: a federated run in a folder of its own, or a baseline on the same rows.

A cell is computed in a folder that no other process knows and takes its name when it is finished.
So an unfinished cell is begun anew, and a worker that outlives its killed sweep disturbs no later
one; a seeded cell gives the same number however often a sweep was stopped.
"""

import contextlib
import dataclasses
import errno
import json
import shutil
import tempfile
import time
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from fedcc.errors import ConfigError, RecordError
from fedcc.federation import planning, simulation
from fedcc.federation.comparison import Comparison
from fedcc.federation.protected_unit import protected_unit
from fedcc.federation.settings import Baseline, SimulationSettings, simulation_settings
from fedcc.federation.simulated_data import SimulatedData, load_data
from fedcc.frontier.cells import Cell
from fedcc.models.heads import build_module
from fedcc.models.shapes import HeadShape, initial_parameters
from fedcc.privacy.accounting import epsilon
from fedcc.rng import byte_source
from fedcc.training.checkpoints import write_json
from fedcc.training.evaluate import logits
from fedcc.training.textbook import textbook_epsilon, textbook_noise, train_textbook

RESULT = "result.json"
UNFINISHED = ".unfinished-"
BASELINES: dict[str, Baseline] = {
    "central_dp": "central_dp",
    "local_noise": "local_noise",
    "site_alone": "site_alone_mean",
    "no_privacy": "central_no_privacy",
}

Result = dict[str, Any]


def read_result(cell: Cell, cells: Path) -> Result | None:
    """Return the result of a finished cell, or `None` if it is not finished.

    Raises:
        RecordError: if the file belongs to another cell or is damaged.
        ConfigError: if it claims more than the budget of the cell.
    """
    path = cells / cell.name / RESULT
    if not path.exists():
        return None
    try:
        result = dict(json.loads(path.read_text()))
        sound = result["key"] == cell.key and 0 <= float(result["value"]) <= 1
    except (OSError, ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise RecordError(f"{path} is damaged or of another cell. Remove its folder.")
    _check_claim(result, cell)
    return result


def compute_cell(cell: Cell, cells: Path) -> Result:
    """Compute a cell and write its result.

    Raises:
        FedccError: if it cannot be run, or its run ended early.
    """
    folder = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=cells))
    try:
        started, worked = time.monotonic(), time.process_time()
        found = _computed(cell, folder)
        result = {
            "key": cell.key,
            "curve": cell.curve,
            "target_epsilon": cell.epsilon,
            "sites": cell.sites,
            "seed": cell.seed,
            **found,
            "seconds": time.monotonic() - started,
            "processor_seconds": time.process_time() - worked,
        }
        _check_claim(result, cell)
        write_json(folder / RESULT, result)
        # Renaming fails where another process was first: then its result, the same, stands.
        with contextlib.suppress(FileExistsError):
            _take_name(folder, cells / cell.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _computed(cell: Cell, folder: Path) -> Result:
    if cell.curve == "federation":
        return _federation(cell, folder)
    return _textbook(cell) if cell.curve == "textbook" else _baseline(cell)


def _take_name(folder: Path, name: Path) -> None:
    """Rename a finished cell.

    Raises:
        FileExistsError: if there is a cell of this name.
    """
    try:
        folder.rename(name)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise FileExistsError(error.errno, error.strerror) from None
        raise


def clear_unfinished(cells: Path) -> None:
    """Remove what killed processes left of cells; only for who holds the folder's lock."""
    for folder in cells.glob(f"{UNFINISHED}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _check_claim(result: Result, cell: Cell) -> None:
    """Refuse a point that would stand at a budget which it does not keep.

    Raises:
        ConfigError: names what was claimed.
    """
    claimed = result["epsilon"]
    if cell.epsilon is not None and not (claimed is not None and claimed <= cell.epsilon):
        raise ConfigError(
            f"{cell.words}: the run claims epsilon {claimed}, above its budget, so it has no place "
            "in the figure. With crypto=none or ckks single updates are open: use crypto=bfv, or "
            "privacy.noise=local."
        )


def _federation(cell: Cell, folder: Path) -> Result:
    """Run the federation, encrypted if the settings say so, and read its summary."""
    values = {**cell.values, "run": {"dir": str(folder / "run"), "report": False}}
    run = simulation.simulate(simulation_settings(values), cell.values)
    if run.error is not None:
        raise run.error
    privacy, utility = run.summary["privacy"], run.summary["utility"]
    return {
        "metric": utility["metric"],
        "value": utility["federated"],
        "epsilon": privacy["epsilon"],
        "epsilon_if_all_others_collude": privacy["epsilon_if_all_others_collude"],
        "scheme": run.summary["crypto"]["scheme"],
        "unsafe": run.summary["unsafe"],
    }


def _baseline(cell: Cell) -> Result:
    """Train a baseline on the rows of the run; its noise is calibrated to the same target."""
    settings, data = _rows_of(cell)
    wanted = BASELINES[cell.curve]
    plan = planning.make_plan(
        settings,
        data.recipe,
        data.task.n_outputs(settings.data),
        run="frontier",
        public_seed=cell.seed,
    )
    asked = dataclasses.replace(settings, baselines=(wanted,))
    compared = Comparison(plan, asked, data.task, data.recipe, data.sites, data.test)
    value = compared.all(None)[wanted]
    # All of them carry the noise of the plan's claim, one way or another.
    claimed = None
    if cell.epsilon is not None:
        claimed = epsilon([plan.event] * plan.rounds, delta=plan.delta)
    return {"metric": data.task.metric, "value": _known(value, cell), "epsilon": claimed}


def _textbook(cell: Cell) -> Result:
    """Train with Opacus at each site and FedAvg, once for each learning rate."""
    settings, data = _rows_of(cell)
    terms, target = cell.textbook, settings.privacy.epsilon
    if terms is None or target is None:
        raise ValueError("the textbook baseline needs its settings and a budget")
    if min(map(len, data.sites)) < terms.batches:
        raise RecordError(
            f"textbook: a site has fewer rows than textbook.batches={terms.batches}. Lower it, "
            "raise data.min_rows, or leave the curve out."
        )
    if protected_unit(settings.privacy, settings.data).max_sites > 1:
        raise ConfigError(
            "textbook: Opacus knows nothing of customers at several sites. Use "
            "privacy.max_sites_per_customer=1, or leave the curve out of curves=[…]."
        )
    shape = HeadShape(
        n_features=data.recipe.n_features,
        hidden=settings.model.hidden,
        n_outputs=data.task.n_outputs(settings.data),
        embedding=settings.model.name == "text",
    )
    delta, rounds, batches = settings.privacy.delta, terms.rounds, terms.batches
    noise = textbook_noise(target, delta, batches=batches, rounds=rounds)
    by_rate = {}
    for rate in terms.learning_rates:
        parameters = train_textbook(
            data.sites,
            shape,
            initial=initial_parameters(shape, cell.seed),
            noise_multiplier=noise,
            max_grad_norm=terms.max_grad_norm,
            learning_rate=rate,
            batches=batches,
            rounds=rounds,
            source=byte_source(cell.seed, "textbook", repr(rate)),
        )
        scores = logits(build_module(shape), parameters, data.test.features)
        by_rate[repr(rate)] = _known(data.task.utility(scores, data.test.labels), cell)
    return {
        "metric": data.task.metric,
        "value": max(by_rate.values()),
        "by_learning_rate": by_rate,
        "epsilon": textbook_epsilon(noise, delta, batches=batches, rounds=rounds),
        "noise_multiplier": noise,
    }


def _known(value: float | None, cell: Cell) -> float:
    if value is None:
        raise RecordError(f"{cell.words}: the test rows hold one class alone, so there is no score")
    return float(value)


def _rows_of(cell: Cell) -> tuple[SimulationSettings, SimulatedData]:
    """Return the settings and the rows of a cell; a worker keeps those that it met last."""
    shared = cell.values
    if cell.epsilon is not None:  # a budget decides no row, so cells of all budgets share theirs
        shared = {**shared, "privacy": {**shared["privacy"], "epsilon": 1.0}}
    return simulation_settings(cell.values), _rows(json.dumps(shared, sort_keys=True))


@lru_cache(maxsize=2)
def _rows(config: str) -> SimulatedData:
    values = json.loads(config)
    seed = int(values["seed"])
    return load_data(simulation_settings(values), seed, seed, datetime.now(UTC))
