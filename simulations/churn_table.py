"""Churn accuracy on real telco data: federation against central, local-noise, site-alone training.

    python simulations/churn_table.py [--splits 5] [--sites 5,10,20] [--partitions natural,iid]

Runs `fedcc simulate baselines=true` with its defaults (epsilon 1, encryption on) for every number
of sites, partition and test split, prints a table of mean AUC over the splits and writes it with a
figure. The last column is the largest difference, over all runs of the row, between the federation
and central DP training with the very same noise.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fedcc

RESULTS = Path(__file__).parent / "results"
COLUMNS = {
    "federated": "federation",
    "central_dp": "central DP",
    "local_noise": "local noise",
    "site_alone_mean": "site alone",
    "central_no_privacy": "no privacy",
}


def measure(sites: int, partition: str, splits: int, more: list[str]) -> dict[str, list[float]]:
    """Return every utility of one row, a value per split."""
    found: dict[str, list[float]] = {}
    for split in range(splits):
        with tempfile.TemporaryDirectory() as folder:
            overrides = [
                f"sites={sites}",
                f"data.partition={partition}",
                f"data.split_seed={split}",
                "baselines=true",
                f"run.dir={folder}/run",
                *more,
            ]
            result = fedcc.simulate(overrides)
        if result.error is not None:
            raise result.error
        for name, value in result.summary["utility"].items():
            if isinstance(value, float):
                found.setdefault(name, []).append(value)
    return found


def row_text(sites: int, partition: str, found: dict[str, list[float]]) -> str:
    """Return one line of the table."""
    means = [f"{np.mean(found[name]):.4f}" for name in COLUMNS]
    gap = np.abs(np.subtract(found["federated"], found["central_dp_same_noise"])).max()
    return f"| {sites} | {partition} | " + " | ".join(means) + f" | {gap:.5f} |"


def draw(table: Path, path: Path) -> None:
    """Draw the table's means by number of sites and partition, side by side."""
    lines = [line for line in table.read_text().splitlines() if line.startswith("| ")][1:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    axes = figure.subplots()
    colours = ["#0b6e99", "#1f2933", "#8a5a00", "#b42318", "#7b8794"]
    for index, (label, colour) in enumerate(zip(COLUMNS.values(), colours, strict=True)):
        means = [float(row[2 + index]) for row in rows]
        places = np.arange(len(rows)) + (index - 2) * 0.13
        axes.plot(places, means, "o", color=colour, label=label, markersize=5)
    axes.set_xticks(range(len(rows)), [f"{row[0]}\n{row[1]}" for row in rows], fontsize=8)
    axes.set_ylabel("test AUC")
    axes.set_title("Churn: mean over splits, by sites and partition", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylim(bottom=axes.get_ylim()[0] - 0.04)  # room for the legend
    axes.grid(axis="y", color="#e4e7eb")
    axes.legend(fontsize=8, frameon=False, ncols=5, loc="lower left")
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Parse, measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--sites", default="5,10,20")
    parser.add_argument("--partitions", default="natural,iid,dirichlet")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("overrides", nargs="*", help="further settings of fedcc simulate")
    args = parser.parse_args()
    command = f"python simulations/churn_table.py --splits {args.splits} --sites {args.sites}"
    lines = [
        f"$ {command} --partitions {args.partitions} {' '.join(args.overrides)}".rstrip(),
        "",
        f"| sites | partition | {' | '.join(COLUMNS.values())} | max gap to same noise |",
        "|" + "---|" * (len(COLUMNS) + 3),
    ]
    print("\n".join(lines[2:]), flush=True)
    for sites in map(int, args.sites.split(",")):
        for partition in args.partitions.split(","):
            found = measure(sites, partition, args.splits, args.overrides)
            lines.append(row_text(sites, partition, found))
            print(lines[-1], flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "churn_table.txt").write_text("\n".join(lines) + "\n")
    draw(args.out / "churn_table.txt", args.out / "churn_table.svg")


if __name__ == "__main__":
    main()
