"""Shared noise under encryption beside central DP, and what tolerated collusion costs.

    python simulations/shared_noise_table.py --root DATA [--epsilons 1] [--sites 5,10,20]

DATA holds the folder `banking77` with its publisher's files. Each row is a mean over seeds of
`fedcc simulate task=intent` at record level. *Same noise* is central training with the very noise
that the sum of the federation carried; *same variance* draws noise of the same variance anew;
*central DP* has the noise of a trusted curator, so its distance is the price of f: the noise of f
colluding sites protects nobody from them, and m sites add m / (m - f) of the central variance. A
collusion of 30 % is f = 0.3 K, rounded. Vectors are cached, so only the first run encodes.
"""

import argparse
from pathlib import Path

import numpy as np
from _tables import (
    ACCENT,
    INK,
    SECOND,
    FinishedRun,
    Table,
    command_of,
    finish,
    frame,
    legend_below,
    save,
    scenario_parser,
)

NAME = "shared_noise_table"
WANTED = "baselines=[central_dp,central_dp_same_noise,central_dp_same_variance]"


def runs(
    args: argparse.Namespace, sites: int, partition: str, f: int, epsilon: str
) -> list[FinishedRun]:
    """Run one row of the table, once a seed."""
    fixed = ["task=intent", "data=banking77", f"data.path={args.root / 'banking77'}", WANTED]
    fixed += [f"sites={sites}", f"data.partition={partition}", "privacy.unit=record"]
    fixed += [f"privacy.tolerated_collusion={f}", f"privacy.epsilon={epsilon}"]
    seeds = range(1, args.seeds + 1)
    return [finish([*fixed, f"seed={seed}", *args.overrides]) for seed in seeds]


def column(found: list[FinishedRun], name: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Return one utility of several runs, in per cent."""
    return np.array([100 * run.summary["utility"][name] for run in found])


def draw(rows: list[tuple[str, float, float, float]], path: Path) -> None:
    """Draw federation, same variance and central DP, a place per row of the table."""
    figure, [axes] = frame("", "test accuracy, %", 1)
    places = range(len(rows))
    looks = [("federation", ACCENT, "o"), ("same variance", INK, "s"), ("central DP", SECOND, "x")]
    for index, (label, colour, mark) in enumerate(looks, start=1):
        axes.plot(places, [row[index] for row in rows], mark, color=colour, label=label)
    axes.set_xticks(list(places), [row[0] for row in rows], fontsize=7)
    legend_below(figure, axes)
    save(figure, path)


def main() -> None:
    """Parse, measure, print and write."""
    parser = scenario_parser(__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--epsilons", default="1")
    parser.add_argument("--sites", default="5,10,20")
    parser.add_argument("--partitions", default="iid,dirichlet")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    columns = ["epsilon", "sites", "partition", "f", "federation", "largest gap to same noise"]
    columns += ["same variance", "central DP", "price of f"]
    table = Table(command_of(NAME, args), columns)
    drawn = []
    for epsilon in args.epsilons.split(","):
        for sites in map(int, args.sites.split(",")):
            for f in sorted({1, max(1, round(0.3 * sites))}):
                for partition in args.partitions.split(","):
                    found = runs(args, sites, partition, f, epsilon)
                    federated = column(found, "federated")
                    gap = np.abs(federated - column(found, "central_dp_same_noise")).max()
                    means = [
                        float(column(found, name).mean())
                        for name in ("federated", "central_dp_same_variance", "central_dp")
                    ]
                    cells = [f"{means[0]:.2f}", f"{gap:.2f}", f"{means[1]:.2f}", f"{means[2]:.2f}"]
                    table.add(epsilon, sites, partition, f, *cells, f"{means[2] - means[0]:.2f}")
                    drawn.append((f"eps {epsilon}\n{sites} sites\n{partition}\nf={f}", *means))
    table.write(args.out / f"{NAME}.txt", [f"Test accuracy in per cent, {args.seeds} seeds."])
    draw(drawn, args.out / f"{NAME}.svg")


if __name__ == "__main__":
    main()
