"""Label skew: how uneven may sites' labels be before the model suffers?

    python simulations/label_skew.py [--sets wa_churn,generated] [--partitions 0.05,0.3,1,iid]

A number deals each label's rows by shares drawn from a Dirichlet distribution with that alpha: at
0.05 most rows of a label lie at one or two sites; `iid` deals rows at random. Every run is one
`fedcc simulate baselines=true` with its defaults (epsilon 1, encryption on). The noised full-batch
sum over all sites is the same sum however rows are dealt, so skew leaves the federation alone; a
site that trains alone sees its own labels only.

`wa_churn` is IBM's telco sample (churn, test AUC). `generated` is synthetic (31 intents, test
accuracy, character n-grams as features): its level says nothing about real callers.
"""

from pathlib import Path

import numpy as np
from _tables import (
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

NAME = "label_skew"
SETS = {
    "wa_churn": ("churn", "telco churn, AUC"),
    "generated": ("intent", "synthetic intents, accuracy"),
}


def overrides_of(name: str, partition: str) -> list[str]:
    """Return the settings of one row of the table."""
    task = [f"task={SETS[name][0]}", f"data={name}", "encoder=hashing", "baselines=true"]
    task += ["privacy.unit=record"]
    if partition == "iid":
        return [*task, "data.partition=iid"]
    return [*task, "data.partition=dirichlet", f"data.alpha={partition}"]


def gap_to_same_noise(found: list[FinishedRun]) -> float:
    """Return the largest difference to central training with the very same noise."""
    utilities = [run.summary["utility"] for run in found]
    gaps = [abs(values["federated"] - values["central_dp_same_noise"]) for values in utilities]
    return float(np.max(gaps))


def draw(rows: dict[tuple[str, str], dict[str, float]], path: Path) -> None:
    """Draw every utility by skew, a panel per data set."""
    names = list(dict.fromkeys(name for name, _ in rows))
    figure, panels = frame("", "mean over seeds", len(names))
    for axes, name in zip(panels, names, strict=True):
        ticks = [partition for other, partition in rows if other == name]
        for key, (label, colour) in UTILITIES.items():
            values = [rows[name, tick][key] for tick in ticks]
            line = "--" if key == "central_no_privacy" else "-"
            axes.plot(values, line, marker="o", color=colour, label=label, markersize=4)
        axes.set_xticks(range(len(ticks)), ticks)
        axes.set_xlabel("Dirichlet alpha (smaller is more skewed)")
        axes.set_title(SETS[name][1], loc="left", fontsize=10)
    legend_below(figure, panels[0])
    save(figure, path)


def main() -> None:
    """Parse, measure, print and write."""
    parser = scenario_parser(__doc__)
    parser.add_argument("--sets", default="wa_churn,generated")
    parser.add_argument("--sites", type=int, default=10)
    parser.add_argument("--partitions", default="0.05,0.3,1,iid")
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    labels = [label for label, _ in UTILITIES.values()]
    columns = ["data", "alpha", *labels, "max gap to same noise", "smallest and largest site"]
    table = Table(command_of(NAME, args), columns)
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for name in args.sets.split(","):
        for partition in args.partitions.split(","):
            fixed = [*overrides_of(name, partition), f"sites={args.sites}"]
            found = [finish([*fixed, f"seed={s + 1}", *args.overrides]) for s in range(args.seeds)]
            sizes = sum((run.summary["data"]["rows_per_site"] for run in found), [])
            rows[name, partition] = mean_utilities(found)
            values = [rows[name, partition][key] for key in UTILITIES]
            gap = f"{gap_to_same_noise(found):.5f}"
            table.add(name, partition, *values, gap, f"{min(sizes)} to {max(sizes)}")
    notes = ["generated is synthetic: no real person; its accuracy says nothing about callers."]
    table.write(args.out / f"{NAME}.txt", notes if "generated" in args.sets else [])
    draw(rows, args.out / f"{NAME}.svg")


if __name__ == "__main__":
    main()
