"""Shared fixtures: a small generated churn set, described by a YAML, and ways to run it."""

import csv
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedcc
from fedcc import config
from fedcc.federation import simulation
from fedcc.federation.settings import simulation_settings
from fedcc.federation.simulation import RunResult

CANARY = "ZQXJ7431CANARY"  # stands in every row's free text; must reach nobody

CALLS_YAML = """
name: calls
source: {kind: csv, path: PATH}
public_rows: 440
test: {kind: hash, fraction: 0.25}
consent: {basis: public_dataset, source: generated for tests}
sites: {columns: [region]}
columns:
  customer: {role: customer}
  note: {role: text}
  region: {role: [feature, site], kind: category, values: [north, south, west]}
  months: {role: feature, kind: number, bounds: [0, 60]}
  calls: {role: feature, kind: number, bounds: [0, 20], missing: 0}
  churn: {role: label, values: {"stays": 0, "leaves": 1}}
"""


def write_calls(folder: Path, rows: int = 600) -> Path:
    """Write a churn set in which few months and many calls mean leaving; return the CSV."""
    rng = np.random.default_rng(7)
    path = folder / "calls.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["customer", "note", "region", "months", "calls", "churn", "ignored"])
        for row in range(rows):
            months, calls = int(rng.integers(0, 61)), int(rng.integers(0, 21))
            leaves = rng.random() < 1 / (1 + np.exp(0.12 * months - 0.3 * calls))
            region = ["north", "south", "west"][int(rng.choice(3, p=[0.5, 0.3, 0.2]))]
            note = f"{CANARY} call me at +49 30 1234567"
            label = "leaves" if leaves else "stays"
            writer.writerow([f"c{row}", note, region, months, calls, label, CANARY])
    return path


@pytest.fixture(scope="session")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `--config-dir` whose `data/calls.yaml` describes the generated set."""
    folder = tmp_path_factory.mktemp("mine")
    path = write_calls(folder)
    (folder / "data").mkdir()
    (folder / "data" / "calls.yaml").write_text(CALLS_YAML.replace("PATH", str(path)))
    return folder


SMALL = ("data=calls", "sites=3", "rounds=3")
WITHOUT_REPORT = ("run.report=false",)  # figures cost more than the rest of a small run
WITH_REPORT = "run.report=true"


@pytest.fixture
def run_calls(calls: Path, tmp_path: Path) -> Callable[..., RunResult]:
    """Run a small simulation on the generated set; keyword arguments go to the simulator."""

    def run(*overrides: str, folder: str = "run", **options: Any) -> RunResult:
        # The folder is set afterwards: what differs in nothing else is composed once.
        values = config.compose("simulate", [*SMALL, *WITHOUT_REPORT, *overrides], calls)
        values["run"]["dir"] = str(tmp_path / folder)
        return simulation.simulate(simulation_settings(values), values, **options)

    return run


@pytest.fixture
def resume_run() -> Callable[[Path], RunResult]:
    """Continue an interrupted run."""

    def run(path: Path) -> RunResult:
        return fedcc.simulate(resume=path)

    return run


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a JSON-lines file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def all_bytes_under(folder: Path, skip: Sequence[str] = ()) -> bytes:
    """Return the content of every file below a folder, except the named sub-folders."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    kept = [p for p in files if p.relative_to(folder).parts[0] not in skip]
    return b"\n".join(p.read_bytes() for p in kept)


def processes_in(folder: Path) -> list[int]:
    """Return the other processes that work in a folder; children keep it whatever they rename."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            here = Path(os.readlink(entry / "cwd"))
        except OSError:  # ended, or another user's
            continue
        if here == folder and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found
