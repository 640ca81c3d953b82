"""A whole sweep: cells, results, and the folder with table and figure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedcc.federation.protected_unit import protected_unit
from fedcc.federation.settings import simulation_settings
from fedcc.frontier import figure, table
from fedcc.frontier.cells import Cell, cells_of, data_fingerprint
from fedcc.frontier.settings import FrontierSettings, frontier_settings, run_values, split_overrides
from fedcc.frontier.sweep import Failure, Finished, SweepProgress, run_cells
from fedcc.frontier.table import Point, points_of
from fedcc.training.checkpoints import write_json, write_whole


@dataclass(frozen=True)
class Frontier:
    """What a sweep left behind."""

    folder: Path
    points: list[Point]
    text: str  # the table
    failures: tuple[Failure, ...]

    @property
    def exit_code(self) -> int:
        """Exit code of the command: that of the first cell that failed, or 0."""
        return next((failure.exit_code for failure in self.failures), 0)


@dataclass(frozen=True)
class Sweep:
    """A sweep that is checked and can start."""

    settings: FrontierSettings
    cells: list[Cell]
    about: dict[str, Any]
    folder: Path


def plan_sweep(
    overrides: Sequence[str], *, out: Path | None = None, config_dir: Path | None = None
) -> Sweep:
    """Check the settings of every cell and name their folders; nothing is computed or written.

    Args:
        overrides: `epsilon=`, `seeds=`, `sites=`, `curves=` and keys of `fedcc simulate`.
        out: folder of the sweep; `None` for `frontiers/TASK-DATA`.
        config_dir: a folder of the user's own options.

    Raises:
        FedccError: names the key, or the file and row.
    """
    own, rest = split_overrides(overrides)
    settings = frontier_settings(own)
    values = {sites: run_values([*rest, f"sites={sites}"], config_dir) for sites in settings.sites}
    few = values[min(settings.sites)]
    cells = cells_of(settings, values, data_fingerprint({**few, "seed": 1}))
    for cell in cells:
        simulation_settings(cell.values)  # a typo ends the sweep before it begins
    run = simulation_settings(cells[0].values)
    about = {
        "command": " ".join(["fedcc frontier", *map(_without_place, overrides)]),
        "task": run.task.name,
        "data": run.data.name,
        "metric": "accuracy" if run.task.name == "intent" else "auc",
        "unit": protected_unit(run.privacy, run.data).name,
        "delta": run.privacy.delta,
        "seeds": settings.seeds,
        "confidence": settings.confidence,
        "textbook": asdict(settings.textbook),
    }
    folder = out if out is not None else Path("frontiers") / f"{run.task.name}-{run.data.name}"
    return Sweep(settings, cells, about, folder)


def _without_place(override: str) -> str:
    """Return an override as it is shown: where data lies on a disk is nobody's business."""
    return "data.path=DATA" if override.startswith("data.path=") else override


def run_sweep(sweep: Sweep, progress: SweepProgress) -> Frontier:
    """Compute what is left of a sweep and write table and figure.

    Raises:
        FedccError: if nothing could be computed at all, or it was interrupted.
    """
    finished = run_cells(
        sweep.cells, sweep.folder / "cells", workers=sweep.settings.workers, progress=progress
    )
    points = points_of(sweep.cells, finished.results, sweep.settings)
    about = {**sweep.about, **_observed(finished)}
    text = table.as_text(points, about)
    _write(sweep.folder, points, about, text)
    return Frontier(sweep.folder, points, text, finished.failures)


def _observed(finished: Finished) -> dict[str, Any]:
    found = {word for result in finished.results.values() for word in result.get("unsafe", [])}
    failures = [f"{failure.cell.words}: {failure.text}" for failure in finished.failures]
    return {"unsafe": sorted(found - {"privacy_none"}), "failures": failures}


def _write(folder: Path, points: list[Point], about: Mapping[str, Any], text: str) -> None:
    write_whole(folder / "frontier.txt", text.encode())
    write_whole(folder / "frontier.csv", table.as_csv(points).encode())
    write_json(folder / "frontier.json", table.as_json(points, about))
    drawing = figure.frontier_svg(
        points,
        data=about["data"],
        metric=about["metric"],
        unit=about["unit"],
        unsafe=about["unsafe"],
    )
    write_whole(folder / "frontier.svg", drawing.encode())


def read_points(folder: Path) -> list[dict[str, Any]]:
    """Return the points of a finished sweep as `frontier.json` holds them."""
    return list(json.loads((folder / "frontier.json").read_text())["points"])
