"""Shared noise beside textbook federated DP, the same recipe with local noise, and Flower's own DP.

    python -m venv flower && flower/bin/pip install 'flwr==1.41.0' numpy
    python simulations/peers_table.py --root DATA --peer-python flower/bin/python

DATA holds the folder `banking77` with its publisher's files. All rows of the table share splits,
encoder, epsilon and delta; a seed moves partition and noise. Who stands behind the same epsilon
differs, and so does what it protects: the columns say so. fedcc and *local noise* use the recipe of
`fedcc simulate task=intent` as it comes. The baselines are lightly tuned, in their favour: each
shows the best mean over the settings that were tried, on the test rows. *Textbook* is Opacus at
each site and FedAvg (raw vectors, model from zero, 10 local epochs of 8 Poisson batches; step sizes
2, 8, 30). Flower's wrapper for central DP gets the least noise that exact composition allows over
1 or 10 rounds; `LocalDpMod` gets one round, since it composes nothing; both with clipping norms
0.5, 2, 8 and step sizes 2, 8, 30, sites of equal weight. Both protect a whole site, so that at 20
sites nothing can be learnt at such an epsilon; for records Flower points to Opacus, which is the
textbook row. Its FedAvg without privacy shows that the harness itself learns.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from _tables import (
    ACCENT,
    INK,
    MUTED,
    SECOND,
    WARN,
    Table,
    command_of,
    frame,
    save,
    scenario_parser,
)

from fedcc import config
from fedcc.federation.settings import simulation_settings
from fedcc.federation.simulated_data import load_data
from fedcc.frontier.bench import plan_sweep, run_sweep
from fedcc.frontier.settings import split_overrides
from fedcc.frontier.sweep import SweepStep
from fedcc.frontier.table import Point
from fedcc.privacy.accounting import mu_of_epsilon

NAME = "peers_table"
HERE = Path(__file__).parent
CURVES = ("federation", "local_noise", "textbook")
MODES = {"central": (1, 10), "local": (1,), "none": (10,)}  # rounds
CLIPS = {"central": (0.5, 2.0, 8.0), "local": (0.5, 2.0, 8.0), "none": (8.0,)}
PEERS = {
    "central": ("Flower, central DP wrapper", "site", "nobody but the server, which is trusted"),
    "local": ("Flower, LocalDpMod", "site, one round", "everybody"),
    "none": ("Flower, FedAvg without privacy", "nothing", "nobody"),
}
OURS = {
    "federation": ("fedcc, shared noise", "record", "aggregator and f = 1 site"),
    "local_noise": ("same recipe, local noise", "record", "everybody"),
    "textbook": ("textbook: Opacus + FedAvg", "record", "everybody"),
}
COLOURS = (ACCENT, SECOND, WARN, INK, INK, MUTED)


def settings_of_peer() -> list[dict[str, Any]]:
    """Return what is tried with Flower."""
    return [
        {"mode": mode, "rounds": rounds, "clipping_norm": clip, "learning_rate": rate}
        for mode, lengths in MODES.items()
        for rounds in lengths
        for clip in CLIPS[mode]
        for rate in (2.0, 8.0, 30.0)
    ]


def dealt_rows(overrides: Sequence[str], seed: int, path: Path) -> None:
    """Write the rows as a run with this seed deals them, with raw vectors."""
    places = [text for text in overrides if text.startswith("sites=")]
    rest = [*split_overrides(overrides)[1], *places]  # the sweep's own keys mean nothing here
    values = config.compose("simulate", [*rest, f"seed={seed}", "encoder.centre=none"])
    data = load_data(simulation_settings(values), seed, seed, datetime.now(UTC))
    owners = [np.full(len(site), number) for number, site in enumerate(data.sites)]
    np.savez(
        path,
        features=np.concatenate([site.features for site in data.sites]),
        labels=np.concatenate([site.labels for site in data.sites]),
        site=np.concatenate(owners),
        test_features=data.test.features,
        test_labels=data.test.labels,
    )


def peer_accuracies(
    args: argparse.Namespace, overrides: Sequence[str], seed: int
) -> list[dict[str, Any]]:
    """Run Flower's own DP in its own environment, every setting once."""
    mu = mu_of_epsilon(args.epsilon, args.delta)
    with tempfile.TemporaryDirectory() as folder:
        dealt_rows(overrides, seed, Path(folder) / "rows.npz")
        job = {
            "data": f"{folder}/rows.npz",
            "sites": args.sites,
            "seed": seed,
            "epsilon": args.epsilon,
            "delta": args.delta,
            # T Gaussian releases of multiplier z are mu = sqrt(T) / z together.
            "noise_multiplier": {str(n): n**0.5 / mu for n in (1, 10)},
            "settings": settings_of_peer(),
        }
        (Path(folder) / "job.json").write_text(json.dumps(job))
        command = [args.peer_python, "-W", "ignore", str(HERE / "_flower_peer.py")]
        done = subprocess.run([*command, f"{folder}/job.json"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"_flower_peer.py failed:\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def best_setting(runs: Sequence[list[dict[str, Any]]], mode: str) -> tuple[str, list[float]]:
    """Return the setting with the best mean over seeds, in words, and its values by seed."""
    places = [i for i, setting in enumerate(runs[0]) if setting["mode"] == mode]
    found = {i: [100 * run[i]["accuracy"] for run in runs] for i in places}
    best = max(found, key=lambda i: float(np.mean(found[i])))
    chosen = runs[0][best]
    words = f"{chosen['rounds']} round(s), "
    words += "" if mode == "none" else f"clip {chosen['clipping_norm']:g}, "
    return words + f"step {chosen['learning_rate']:g}", found[best]


def our_points(args: argparse.Namespace, overrides: Sequence[str]) -> dict[str, Point]:
    """Run fedcc and the two baselines that it has, as `fedcc frontier` does."""
    rest = [text for text in overrides if not text.startswith("sites=")]
    wanted = [f"epsilon={args.epsilon}", f"sites={args.sites}", f"seeds={args.seeds}"]
    sweep = plan_sweep([*wanted, f"curves={','.join(CURVES)}", *rest], out=args.cells)
    found = run_sweep(sweep, _tell)
    if found.failures:
        sys.exit(found.failures[0].text)
    return {point.curve: point for point in found.points}


def _tell(step: SweepStep) -> None:
    if step.cell is not None:
        print(f"[{step.done}/{step.total}] {step.cell.words}", file=sys.stderr, flush=True)


def draw(rows: Sequence[tuple[str, list[float]]], path: Path) -> None:
    """Draw a bar for each row, with its seeds as points."""
    figure, [axes] = frame("Same splits, same epsilon and delta", "", 1)
    for place, (_, values) in enumerate(rows):
        axes.barh(place, float(np.mean(values)), color=COLOURS[place], height=0.6)
        axes.plot(values, [place] * len(values), "|", color="white", markersize=9)
        axes.text(float(np.mean(values)) + 1, place, f"{np.mean(values):.1f}", va="center")
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=8)
    axes.set_xlabel("test accuracy, %", fontsize=9)
    axes.set_xlim(0, 100)
    axes.invert_yaxis()
    save(figure, path)


def main() -> None:
    """Parse, measure, print and write."""
    parser = scenario_parser(__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--cells", type=Path, default=None, help="folder that keeps finished cells")
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--delta", type=float, default=1e-5)
    parser.add_argument("--sites", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    overrides = ["task=intent", "data=banking77", f"data.path={args.root / 'banking77'}"]
    overrides += ["privacy.unit=record", f"privacy.delta={args.delta}", f"sites={args.sites}"]
    overrides += args.overrides
    shown = argparse.Namespace(**{k: v for k, v in vars(args).items() if k != "cells"})
    shown.peer_python = "PYTHON"
    command = command_of(NAME, shown).replace("--peer_python", "--peer-python")
    table = Table(
        command, ["way", "protects", "against", "setting", "accuracy %", "lowest to highest"]
    )
    drawn = []
    with tempfile.TemporaryDirectory() as folder:
        args.cells = args.cells or Path(folder)
        points = our_points(args, overrides)
    for curve, words in OURS.items():
        rate = points[curve].learning_rate
        setting = "as it comes" if rate is None else f"step {rate:g}"
        drawn.append((words[0], [100 * value for value in points[curve].values]))
        add(table, (*words, setting), drawn[-1][1])
    runs = [peer_accuracies(args, overrides, seed) for seed in range(1, args.seeds + 1)]
    for mode, words in PEERS.items():
        setting, values = best_setting(runs, mode)
        drawn.append((words[0], values))
        add(table, (*words, setting), values)
    note = f"epsilon {args.epsilon:g}, delta {args.delta:g}, {args.sites} sites, {args.seeds} "
    table.write(
        args.out / f"{NAME}.txt",
        [note + "seeds. What protects a site protects its records, too; it asks for far more."],
    )
    draw(drawn, args.out / f"{NAME}.svg")


def add(table: Table, words: Sequence[str], values: Sequence[float]) -> None:
    """Add one row."""
    spread = f"{min(values):.2f} to {max(values):.2f}"
    table.add(*words, f"{np.mean(values):.2f}", spread)


if __name__ == "__main__":
    main()
