"""What the scenario scripts share: a finished run, a table that grows, the frame of a figure.

A run lives in a temporary folder and is gone after it was read. Tables print each row as soon as it
is known and are written below the command that made them.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import fedcc
from fedcc.privacy.accounting import epsilon
from fedcc.privacy.ledger import read_ledger

RESULTS = Path(__file__).parent / "results"
INK, MUTED, ACCENT, WARN, SECOND = "#1f2933", "#7b8794", "#0b6e99", "#b42318", "#8a5a00"
UTILITIES = {
    "federated": ("federation", ACCENT),
    "central_dp": ("central DP", INK),
    "local_noise": ("local noise", SECOND),
    "site_alone_mean": ("site alone", WARN),
    "central_no_privacy": ("no privacy", MUTED),
}
"""Keys of a summary's `utility` to their name in a table and their colour in a figure."""


@dataclass(frozen=True)
class FinishedRun:
    """What a run wrote, read back."""

    summary: dict[str, Any]
    metrics: list[dict[str, Any]]  # a line per attempt
    wire: list[dict[str, Any]]  # a line per value that reached the aggregator
    spent: dict[str, float]  # epsilon in each site's own ledger, by site


def finish(
    overrides: Sequence[str], *, may_end_early: bool = False, config_dir: Path | None = None
) -> FinishedRun:
    """Run one federation and return what it wrote.

    Args:
        overrides: as of `fedcc simulate`.
        may_end_early: whether an early end is a result, too.
        config_dir: a folder with a data YAML of the script's own.

    Raises:
        FedccError: for settings or data that cannot be run, or, unless admitted, an early end.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = fedcc.simulate(
            [*overrides, f"run.dir={folder}/run", "run.report=false"], config_dir=config_dir
        )
        if result.error is not None and not may_end_early:
            raise result.error
        return FinishedRun(
            result.summary,
            _lines(result.run_dir / "metrics.jsonl"),
            _lines(result.run_dir / "wire.jsonl"),
            _spent(result.run_dir / "ledger", result.summary["privacy"]["delta"]),
        )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _spent(folder: Path, delta: float) -> dict[str, float]:
    """Return what each ledger of a run holds, sites in the order of their numbers."""
    found: dict[str, float] = {}
    for path in sorted(folder.glob("*.jsonl"), key=lambda path: int(path.stem.split("-")[1])):
        events = [one.charge.event for one in read_ledger(path).charges]
        found[path.stem] = epsilon(events, delta=delta)
    return found


def mean_utilities(runs: Sequence[FinishedRun]) -> dict[str, float]:
    """Return the mean over several runs of every utility that all of them have."""
    tables: list[Mapping[str, Any]] = [run.summary["utility"] for run in runs]
    known = [key for key in UTILITIES if all(table[key] is not None for table in tables)]
    return {key: float(np.mean([table[key] for table in tables])) for key in known}


def scenario_parser(doc: str) -> argparse.ArgumentParser:
    """Return a parser with what every scenario takes; the docstring is its help."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of table and figure")
    parser.add_argument("overrides", nargs="*", help="further settings of fedcc simulate")
    return parser


def command_of(name: str, args: argparse.Namespace) -> str:
    """Return the command with every choice spelt out; a folder of data is written as DATA."""
    chosen = {key: value for key, value in vars(args).items() if key not in ("out", "overrides")}
    words = [f"--{key} {'DATA' if key == 'root' else value}" for key, value in chosen.items()]
    return " ".join([f"$ python simulations/{name}.py", *words, *args.overrides])


class Table:
    """A table in Markdown."""

    def __init__(self, command: str, columns: Sequence[str]) -> None:
        """Print the head."""
        self._lines = [command, "", _row(columns), "|" + "---|" * len(columns)]
        print("\n".join(self._lines[2:]), flush=True)

    def add(self, *cells: object) -> None:
        """Print one row; a float gets three digits, `None` a dash."""
        self._lines.append(_row([_text(cell) for cell in cells]))
        print(self._lines[-1], flush=True)

    def write(self, path: Path, notes: Sequence[str] = ()) -> None:
        """Print the notes and write everything."""
        closing = ["", *notes] if notes else []
        print("\n".join(closing))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([*self._lines, *closing]) + "\n")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _text(cell: object) -> str:
    if cell is None:
        return "-"
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)


def frame(title: str, ylabel: str, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure with its axes side by side; the title stands over the first."""
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    rows = figure.subplots(1, panels, squeeze=False)
    for axes in rows[0]:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.grid(axis="y", color="#e4e7eb")
        axes.set_axisbelow(True)
    rows[0][0].set_ylabel(ylabel)
    rows[0][0].set_title(title, loc="left", fontsize=10)
    return figure, list(rows[0])


def legend_below(figure: Figure, axes: Axes) -> None:
    """Name the lines of one panel under the whole figure, where no line can run."""
    handles, labels = axes.get_legend_handles_labels()
    place = "outside lower center"
    figure.legend(handles, labels, fontsize=8, frameon=False, ncols=len(labels), loc=place)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as SVG without the time of day in it."""
    figure.savefig(path, metadata={"Date": None})
