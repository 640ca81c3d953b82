"""Intent accuracy on real texts by epsilon, sites and partition, encrypted, mean over seeds.

    python simulations/intent_table.py --root DATA [--sets banking77] [--sites 5,10,20]
    python simulations/intent_table.py --root DATA --sets clinc150 --sites 10

DATA holds the folders `banking77` and `clinc150` with the files of their publishers. Every row is
one `fedcc simulate task=intent` per seed with its defaults (MiniLM, records, delta 1e-5, f = 1,
masked BFV); a seed moves partition and noise, the test split is the publisher's. Vectors are
cached, so only the first run encodes. Epsilon `none` is the same recipe without noise, first seed.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fedcc

RESULTS = Path(__file__).parent / "results"
COLOURS = {"1": "#b42318", "4": "#8a5a00", "8": "#0b6e99", "none": "#1f2933"}


def accuracy(root: Path, name: str, overrides: list[str]) -> float:
    """Run one federation and return its test accuracy."""
    with tempfile.TemporaryDirectory() as folder:
        fixed = ["task=intent", f"data={name}", f"data.path={root / name}"]
        result = fedcc.simulate([*fixed, *overrides, f"run.dir={folder}/run"])
        if result.error is not None:
            raise result.error
        return float(result.summary["utility"]["federated"])


def row(root: Path, name: str, sites: int, partition: str, epsilon: str, seeds: list[int]) -> str:
    """Measure one row of the table."""
    privacy = "privacy=none" if epsilon == "none" else f"privacy.epsilon={epsilon}"
    found = [
        accuracy(
            root,
            name,
            [f"sites={sites}", f"data.partition={partition}", privacy, f"seed={seed}"],
        )
        for seed in (seeds[:1] if epsilon == "none" else seeds)
    ]
    cells = [name, sites, partition, epsilon, f"{100 * np.mean(found):.2f}"]
    cells += [f"{100 * np.min(found):.2f}", f"{100 * np.max(found):.2f}"]
    return "| " + " | ".join(map(str, cells)) + " |"


def draw(lines: list[str], path: Path) -> None:
    """Draw mean accuracy by set, sites and partition, a colour per epsilon."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    places = list(dict.fromkeys((r[0], r[1], r[2]) for r in rows))
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for epsilon, colour in COLOURS.items():
        points = [(places.index((r[0], r[1], r[2])), float(r[4])) for r in rows if r[3] == epsilon]
        if points:
            label = "no privacy" if epsilon == "none" else f"epsilon {epsilon}"
            axes.plot(*zip(*points, strict=True), "o", color=colour, label=label, markersize=5)
    ticks = [f"{name}\n{sites} sites\n{partition}" for name, sites, partition in places]
    axes.set_xticks(range(len(places)), ticks, fontsize=8)
    axes.set_ylabel("test accuracy, %")
    axes.set_title("Intents: mean over seeds", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e4e7eb")
    axes.legend(fontsize=8, frameon=False, ncols=4, loc="lower left")
    axes.set_ylim(bottom=axes.get_ylim()[0] - 2)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Parse, measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--sets", default="banking77")
    parser.add_argument("--sites", default="5,10,20")
    parser.add_argument("--epsilons", default="1,4,8,none")
    parser.add_argument("--partitions", default="iid,dirichlet")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    seeds = [int(seed) for seed in args.seeds.split(",")]
    chosen = f"--sets {args.sets} --sites {args.sites} --epsilons {args.epsilons}"
    chosen += f" --partitions {args.partitions}"
    print(f"$ python simulations/intent_table.py --root DATA {chosen} --seeds {args.seeds}\n")
    head = [
        "| data | sites | partition | epsilon | mean % | lowest % | highest % |",
        "|" + "---|" * 7,
    ]
    print("\n".join(head), flush=True)
    started, lines = time.monotonic(), []
    for name in args.sets.split(","):
        for partition in args.partitions.split(","):
            for sites in map(int, args.sites.split(",")):
                for epsilon in args.epsilons.split(","):
                    lines.append(row(args.root, name, sites, partition, epsilon, seeds))
                    print(lines[-1], flush=True)
    load = os.getloadavg()[0]
    closing = f"{time.monotonic() - started:.0f} s in all, load average {load:.1f} at the end"
    print(f"\n{closing}")
    args.out.mkdir(parents=True, exist_ok=True)
    command = f"$ python simulations/intent_table.py --root DATA {chosen} --seeds {args.seeds}"
    text = "\n".join([command, "", *head, *lines, "", closing])
    name = f"intents_{args.sets.replace(',', '_')}"
    (args.out / f"{name}.txt").write_text(text + "\n")
    draw(lines, args.out / f"{name}.svg")


if __name__ == "__main__":
    main()
