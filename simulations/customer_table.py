"""What protecting a whole customer costs against protecting a row, on the same data and noise rule.

    python simulations/customer_table.py --root DATA [--sets banking77,generated,multidogo]

DATA holds the folders `banking77` and `multidogo` with the files of their publishers. BANKING77
names no customers, so its training rows are dealt to customers of five at random, by seed. Rows of
the table: `record`; `customer`, where all rows of one are a single clipped contribution; and, on
customers of five, `record, mu / 5`: what the record level must ask for to cover five rows, since a
group of five has five times the mu. Otherwise these are runs of `fedcc simulate task=intent` with
its defaults; sites are formed at random, and a customer's rows are at one site. MultiDoGO's
customers are its conversations. A seed moves customers, sites and noise.
"""

import argparse
import csv
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml
from _tables import (
    ACCENT,
    INK,
    WARN,
    Table,
    command_of,
    finish,
    frame,
    legend_below,
    save,
    scenario_parser,
)

from fedcc.config import config_root
from fedcc.privacy.accounting import epsilon_of_mu, mu_of_epsilon

NAME = "customer_table"
GROUP = 5
NAIVE = f"record, mu / {GROUP}"
COLOURS = {"record": INK, "customer": ACCENT, NAIVE: WARN}
DELTA = 1e-5


def write_grouped(source: Path, folder: Path, seed: int) -> Path:
    """Write BANKING77 with a customer column and its data YAML; return the config folder."""
    (folder / "data").mkdir(parents=True)
    spec = yaml.safe_load((config_root() / "data" / "banking77.yaml").read_text())
    with (source / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    spec["name"] = "banking77_customers"
    spec["public_customers"] = len(rows) // GROUP
    spec["columns"] = {"customer": {"role": "customer"}, **spec["columns"]}
    (folder / "data" / "banking77_customers.yaml").write_text(yaml.safe_dump(spec))
    places = list(range(len(rows)))
    random.Random(seed).shuffle(places)
    customers = {row: f"c{place // GROUP}" for place, row in enumerate(places)}
    with (source / "test.csv").open(encoding="utf-8", newline="") as file:
        test = list(csv.DictReader(file))
    parts = {
        "train.csv": [(customers[place], row) for place, row in enumerate(rows)],
        "test.csv": [(f"t{place}", row) for place, row in enumerate(test)],
    }
    for name, content in parts.items():
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["customer", "text", "category"])
            writer.writerows([customer, row["text"], row["category"]] for customer, row in content)
    return folder


def units(name: str, epsilon: float) -> Iterator[tuple[str, list[str]]]:
    """Yield each protected unit of a data set and the settings that ask for it."""
    yield "record", ["privacy.unit=record", f"privacy.epsilon={epsilon}"]
    yield "customer", ["privacy.unit=customer", f"privacy.epsilon={epsilon}"]
    if name == "banking77":
        part = epsilon_of_mu(mu_of_epsilon(epsilon, DELTA) / GROUP, DELTA)
        yield NAIVE, ["privacy.unit=record", f"privacy.epsilon={part}"]


def accuracies(args: argparse.Namespace, name: str, chosen: list[str], seeds: int) -> list[float]:
    """Return the test accuracy of one run per seed."""
    found = []
    for seed in range(1, seeds + 1):
        fixed = ["task=intent", f"sites={args.sites}", "data.partition=iid", f"seed={seed}"]
        with tempfile.TemporaryDirectory() as folder:
            config_dir = None
            if name == "banking77":
                config_dir = write_grouped(args.root / name, Path(folder) / "data", seed)
                fixed += ["data=banking77_customers", f"data.path={config_dir}"]
            else:
                place = [] if name == "generated" else [f"data.path={args.root / name}"]
                fixed += [f"data={name}", *place]
            run = finish([*fixed, *chosen, *args.overrides], config_dir=config_dir)
        found.append(100 * float(run.summary["utility"]["federated"]))
    return found


def draw(found: dict[tuple[str, str], dict[float, float]], path: Path) -> None:
    """Draw accuracy by epsilon, a panel per data set and a line per unit."""
    sets = list(dict.fromkeys(name for name, _ in found))
    figure, panels = frame("Protected unit", "test accuracy, %", panels=len(sets))
    for axes, name in zip(panels, sets, strict=True):
        for (owner, unit), values in found.items():
            if owner == name:
                axes.plot(*zip(*values.items(), strict=True), "o-", color=COLOURS[unit], label=unit)
        axes.set_xlabel(f"{name}: epsilon", fontsize=9)
    legend_below(figure, panels[0])
    save(figure, path)


def main() -> None:
    """Parse, measure, print and write."""
    parser = scenario_parser(__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--sets", default="banking77,generated,multidogo")
    parser.add_argument("--sites", type=int, default=10)
    parser.add_argument("--epsilons", default="1,4,8")
    parser.add_argument("--seeds", default="3,3,1", help="how many, for each set")
    args = parser.parse_args()
    columns = ("data", "protected unit", "epsilon", "mean %", "lowest %", "highest %")
    table = Table(command_of(NAME, args), columns)
    found: dict[tuple[str, str], dict[float, float]] = {}
    for name, seeds in zip(args.sets.split(","), map(int, args.seeds.split(",")), strict=True):
        for epsilon in map(float, args.epsilons.split(",")):
            for unit, chosen in units(name, epsilon):
                values = accuracies(args, name, chosen, seeds)
                found.setdefault((name, unit), {})[epsilon] = float(np.mean(values))
                cells = [f"{value:.2f}" for value in (np.mean(values), min(values), max(values))]
                table.add(name, unit, f"{epsilon:g}", *cells)
    args.out.mkdir(parents=True, exist_ok=True)
    draw(found, args.out / f"{NAME}.svg")
    notes = [
        "Epsilon is per unit at one site, delta 1e-5, f = 1. Sets and seeds: "
        f"{args.sets}: {args.seeds}. The generated texts say nothing about real callers."
    ]
    table.write(args.out / f"{NAME}.txt", notes)


if __name__ == "__main__":
    main()
