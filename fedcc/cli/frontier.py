"""`fedcc frontier`: what privacy costs, beside baselines, on the user's own data."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from fedcc.frontier.bench import Sweep
    from fedcc.frontier.cells import Cell
    from fedcc.frontier.sweep import SweepStep

EXAMPLES = """\
examples:
  fedcc frontier                                       churn, 5 budgets, 3 seeds, 10 sites
  fedcc frontier task=intent data=banking77 data.path=FOLDER epsilon=0.5,1,2,4,8 seeds=3 \\
      sites=5,10,20
  fedcc frontier epsilon=1,4 seeds=5 curves=federation,central_dp,local_noise
  fedcc frontier --out mine --config-dir mine data=calls training=full_batch model=hinge
  fedcc frontier workers=1                             this process alone; default: one a core
  fedcc frontier --plan epsilon=1 seeds=2              list the cells and which are finished
  fedcc frontier --tune 'training.learning_rate=log(5,100)' epsilon=1 tune.trials=12
  fedcc frontier --tune training.momentum=0.5,0.9 --tune 'training.max_grad_norm=log(0.1,1)' \\
      epsilon=1 tune.law=poisson

keys (defaults in configs/frontier.yaml): epsilon=… seeds=N sites=… workers=N confidence=0.95
  curves=federation,central_dp,local_noise,textbook,site_alone,no_privacy
  textbook.batches textbook.rounds textbook.max_grad_norm textbook.learning_rates
  tune.trials tune.law=none|poisson|geometric|logarithmic tune.sampler=random|tpe tune.held_out
Every other key goes to each run (`fedcc simulate --help` lists them).

The folder (--out, default frontiers/TASK-DATA) gets frontier.txt, .csv, .json and .svg, and cells/
with a folder for each point, keyed by its settings, its data and the version. A sweep that was
stopped goes on with the same command and repeats no finished cell; a wider one uses what is there.
Sweeping or tuning on private data spends budget for every run: use public or synthetic data, or
count it. Points share one simulator; nothing here is a release.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "frontier",
        help="draw utility against epsilon beside baselines, resumable and in parallel",
        description="Run a grid of federations and baselines over budgets, seeds and sites; write "
        "a table and a figure with confidence bands.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings, see below")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the sweep")
    parser.add_argument("--config-dir", type=Path, metavar="DIR", help="your own options")
    parser.add_argument("--plan", action="store_true", help="list the cells and stop")
    parser.add_argument("--json", action="store_true", help="print frontier.json, not the table")
    parser.add_argument(
        "--tune", action="append", metavar="KEY=SPACE", help="search settings instead, see below"
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.set_defaults(run_command=run_frontier)


def run_frontier(args: argparse.Namespace) -> int:
    """Run a sweep or a search; the exit code is that of the first cell that failed."""
    from fedcc.frontier.bench import plan_sweep, run_sweep

    sweep = plan_sweep(args.overrides, out=args.out, config_dir=args.config_dir)
    if args.tune:
        return _tune(args, sweep)
    if args.plan:
        return _print_cells(sweep.cells, sweep.folder / "cells")
    found = run_sweep(sweep, Lines(quiet=args.json).show)
    if args.json:
        print((found.folder / "frontier.json").read_text())
    else:
        print(found.text)
        print(f"folder {found.folder}: frontier.svg, .txt, .csv, .json")
    for text in dict.fromkeys(failure.text for failure in found.failures):
        cells = [one.cell.words for one in found.failures if one.text == text]
        print(f"fedcc: {len(cells)} cell(s), first {cells[0]}: {text}", file=sys.stderr)
    return found.exit_code


def _tune(args: argparse.Namespace, sweep: "Sweep") -> int:
    from fedcc.frontier import tuning

    print(tuning.WARNING, file=sys.stderr)
    show = Lines(quiet=args.json).show
    found = tuning.search(
        sweep, args.overrides, args.tune, config_dir=args.config_dir, progress=show
    )
    if args.json:
        print((sweep.folder / "tune.json").read_text())
        return 0
    for trial in sorted(found.trials, key=lambda trial: trial.value):
        print(f"{trial.value:.4f}  {' '.join(trial.overrides)}")
    for text in found.failures:
        print(f"no result: {text}")
    best = "none: no trial was drawn" if found.best is None else " ".join(found.best.overrides)
    print(f"best {best}")
    print(f"scored on {found.scored_on} ({found.metric}, simulator)")
    print(f"one trial costs epsilon {found.epsilon_of_one:g}; on private rows this search costs")
    print(f"epsilon {found.epsilon_of_search:.3f}: {found.how}.")
    return 0


def _print_cells(cells: "Sequence[Cell]", folder: Path) -> int:
    from fedcc.frontier.compute import read_result

    finished = [read_result(cell, folder) is not None for cell in cells]
    for cell, there in zip(cells, finished, strict=True):
        print(f"{'finished' if there else 'to do':9} {cell.words}")
    print(f"{sum(finished)} of {len(cells)} cells are finished")
    return 0


class Lines:
    """Tells each finished cell on stderr, with the time left."""

    def __init__(self, *, quiet: bool) -> None:
        """Write to stderr, so that stdout holds results only."""
        self._console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)

    def show(self, step: "SweepStep") -> None:
        """Show one step."""
        if step.cell is None:
            kept = f", {step.reused} of them finished before" if step.reused else ""
            self._console.print(f"{step.total} cells{kept}")
            return
        left = f", about {time_words(step.seconds_left)} left" if step.seconds_left else ""
        state = "FAILED" if step.failure is not None else "done"
        self._console.print(
            f"[{step.done}/{step.total}{left}] {state}: {step.cell.words}", markup=False
        )


def time_words(seconds: float) -> str:
    """Return a length of time for people."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
