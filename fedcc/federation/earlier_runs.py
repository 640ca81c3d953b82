"""What runs of the very same plan reached earlier: test metric and seconds, read off run folders.

A run counts if it completed all planned rounds and its plan agrees in every number but the run's
name and the seed of the starting point. Anything less (another model, budget, data hash, number of
sites) says nothing certain about this plan and is left out. Nothing is interpolated.
"""

import dataclasses
import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcc.errors import ConfigError
from fedcc.federation.run_plan import RunPlan


@dataclass(frozen=True)
class EarlierRuns:
    """The completed runs of one plan below a folder."""

    folder: Path
    runs: tuple[Path, ...]
    values: tuple[float, ...]  # the simulator's test metric of each
    seconds_per_round: tuple[float, ...]  # of those that ran on the same engine
    others: int  # completed runs of other plans
    unreadable: int  # folders whose plan this version cannot read

    @property
    def mean(self) -> float | None:
        """Mean of the metric, or `None` without a run."""
        return statistics.fmean(self.values) if self.values else None


def find_earlier_runs(folder: Path, plan: RunPlan, engine: str) -> EarlierRuns:
    """Look for runs of a plan below a folder; one that is not there holds none.

    Args:
        folder: is searched with all its sub-folders.
        plan: what the runs must have had.
        engine: of which seconds are wanted.
    """
    wanted = _comparable(plan)
    runs, values, seconds = [], [], []
    others = unreadable = 0
    for path, summary in _summaries(folder):
        try:
            earlier = RunPlan.from_json((path / "plan.json").read_text())
            value = summary["utility"]["federated"]
            complete = summary["outcome"] == "completed" and summary["rounds"] == earlier.rounds
            if not complete or value is None:
                continue
            if _comparable(earlier) != wanted:
                others += 1
                continue
            if summary["engine"] == engine:
                seconds.append(float(summary["timing"]["seconds_per_round"]))
            runs.append(path)
            values.append(float(value))
        except (OSError, ValueError, TypeError, KeyError, ConfigError):
            unreadable += 1
    return EarlierRuns(folder, tuple(runs), tuple(values), tuple(seconds), others, unreadable)


def _comparable(plan: RunPlan) -> RunPlan:
    return dataclasses.replace(plan, run="", public_seed=0)


def _summaries(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield every run folder with a readable summary, in a fixed order."""
    for path in sorted(folder.rglob("summary.json")) if folder.is_dir() else []:
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(summary, dict):
            yield path.parent, summary
