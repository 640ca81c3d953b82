"""Intents where every site is a domain of its own: six trades, or a bank and hotels.

    python simulations/domains_as_sites.py --root DATA [--sets multidogo,nlupp] [--seeds 1,3]

DATA holds the folders `multidogo` and `nlupp` with the files of their publishers (see
configs/data/multidogo.yaml and nlupp.yaml). Each domain of MultiDoGO is a site (airline, fast food,
finance, insurance, media, software); NLU++ has two, so the larger is halved: encryption needs three
sites. Epsilon is per record. Every site is tested on the rows of all domains, also one that trained
alone. The second column of accuracies deals the same rows at random instead. Sentence vectors come
from MiniLM and are cached; the first run on MultiDoGO encodes for several minutes. Values are means
over the number of seeds that --seeds names for each set; a seed moves noise and random dealing, the
test rows are the publishers'.
"""

import argparse
import sys
from pathlib import Path

from _tables import (
    ACCENT,
    UTILITIES,
    FinishedRun,
    Table,
    command_of,
    finish,
    frame,
    legend_below,
    mean_utilities,
    save,
    scenario_parser,
)

NAME = "domains_as_sites"
SITES = {"multidogo": 6, "nlupp": 3}
SHOWN = ("federated", "central_dp", "site_alone_mean", "central_no_privacy")


def folder_of(root: Path, name: str) -> Path:
    """Return the folder of a data set, or end with the remedy."""
    if not (root / name).is_dir():
        sys.exit(
            f"{root / name} is no folder. Download the files that configs/data/{name}.yaml names, "
            f"put them there, or leave the set out with --sets."
        )
    return root / name


def runs(
    args: argparse.Namespace, name: str, seeds: int, epsilon: str, partition: str
) -> list[FinishedRun]:
    """Run one cell of the table, once a seed; baselines only beside sites that are domains."""
    fixed = [
        "task=intent",
        "privacy.unit=record",
        f"data={name}",
        f"data.path={folder_of(args.root, name)}",
        f"sites={SITES[name]}",
        f"privacy.epsilon={epsilon}",
        f"data.partition={partition}",
        f"baselines={'true' if partition == 'natural' else 'false'}",
    ]
    return [finish([*fixed, f"seed={seed}", *args.overrides]) for seed in range(1, seeds + 1)]


def draw(rows: dict[tuple[str, str], dict[str, float]], path: Path) -> None:
    """Draw accuracy by epsilon, a panel per data set."""
    names = list(dict.fromkeys(name for name, _ in rows))
    figure, panels = frame("", "test accuracy, all domains", len(names))
    for axes, name in zip(panels, names, strict=True):
        epsilons = [epsilon for other, epsilon in rows if other == name]
        for key in SHOWN:
            label, colour = UTILITIES[key]
            style = {"central_no_privacy": "--", "central_dp": ":s"}.get(key, "-o")
            values = [rows[name, epsilon][key] for epsilon in epsilons]
            axes.plot(epsilons, values, style, color=colour, label=label, markersize=4)
        random = [rows[name, epsilon]["random"] for epsilon in epsilons]
        axes.plot(epsilons, random, "x", color=ACCENT, label="federation, random sites")
        axes.set_title(f"{name}: {SITES[name]} sites by domain", loc="left", fontsize=10)
        axes.set_xlabel("epsilon")
        axes.set_ylim(0, 1)
    legend_below(figure, panels[0])
    save(figure, path)


def main() -> None:
    """Parse, measure, print and write."""
    parser = scenario_parser(__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--sets", default="multidogo,nlupp")
    parser.add_argument("--epsilons", default="1,4,8")
    parser.add_argument(
        "--seeds", default="1,3", help="how many for each set; small sets need more"
    )
    args = parser.parse_args()
    names, counts = args.sets.split(","), [int(count) for count in args.seeds.split(",")]
    if len(names) != len(counts):
        parser.error(f"--seeds needs one number for each of --sets, that is {len(names)}")
    for name in names:
        folder_of(args.root, name)
    columns = ["data", "sites", "seeds", "epsilon", "federation, a site a domain"]
    columns += ["federation, random sites", "central DP", "site alone", "central, no privacy"]
    table = Table(command_of(NAME, args), columns)
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for name, count in zip(names, counts, strict=True):
        for epsilon in args.epsilons.split(","):
            found = mean_utilities(runs(args, name, count, epsilon, "natural"))
            dealt = runs(args, name, count, epsilon, "iid")
            found["random"] = mean_utilities(dealt)["federated"]
            rows[name, epsilon] = found
            order = ("federated", "random", *SHOWN[1:])
            table.add(name, SITES[name], count, epsilon, *(found[key] for key in order))
    table.write(
        args.out / f"{NAME}.txt",
        ["Test accuracy over the rows of all domains; a site alone has seen its own domain only."],
    )
    draw(rows, args.out / f"{NAME}.svg")


if __name__ == "__main__":
    main()
