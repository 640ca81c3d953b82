"""Sites of very different size: what the model, the budget and the wire make of it.

    python simulations/unequal_sizes.py [--sites 13]

The generated world has thirteen centres, the largest many times the smallest (synthetic: generated,
no real person; 31 intents, character n-grams as features, epsilon 1, encryption on). The same rows
are then dealt to as many equal sites. The table holds test accuracies and, over all sites, rows,
the epsilon in the site's own ledger, and the bytes of one site's uploads. Every site adds the same
share of noise and spends the same epsilon, and no upload tells a small site from a large one; how
long a site takes to answer still might. The names of all fields on the wire follow.
"""

from collections.abc import Sequence
from pathlib import Path

from _tables import (
    ACCENT,
    SECOND,
    UTILITIES,
    FinishedRun,
    Table,
    command_of,
    finish,
    frame,
    mean_utilities,
    save,
    scenario_parser,
)
from matplotlib.ticker import MaxNLocator

NAME = "unequal_sizes"
PARTITIONS = {"natural": "by centre", "iid": "equal"}


def uploaded(run: FinishedRun) -> dict[str, int]:
    """Return the bytes of all updates that each site sent."""
    totals = dict.fromkeys(run.spent, 0)
    for line in run.wire:
        if line["field"].startswith("upload.update."):
            totals[line["site"]] += line["bytes"]
    return totals


def span(values: Sequence[float]) -> str:
    """Return the smallest and the largest value, or the one that all are."""
    ends = [f"{end:,}" if isinstance(end, int) else f"{end:.6f}" for end in sorted(set(values))]
    return ends[0] if len(ends) == 1 else f"{ends[0]} to {ends[-1]}"


def wire_notes(run: FinishedRun) -> list[str]:
    """Return a line for every field on the wire with the bytes of one value."""
    fields: dict[tuple[str, str], list[int]] = {}
    for line in run.wire:
        name = line["field"].rstrip("0123456789").rstrip(".")  # chunks of one value are numbered
        fields.setdefault((name, line["kind"]), []).append(line["bytes"])
    notes = [
        "Everything that the sites sent in the run by centre, bytes of one value or chunk:",
        "",
    ]
    notes += [f"    {field} ({kind}): {span(sizes)}" for (field, kind), sizes in fields.items()]
    notes += ["", "Adverts and headers differ by the digits of site, round and attempt alone."]
    return [*notes, "Synthetic rows: accuracy says nothing about real callers."]


def draw(run: FinishedRun, path: Path) -> None:
    """Draw rows, epsilon and bytes of every site of the natural run."""
    figure, panels = frame("rows at the site", "", 3)
    panels[1].set_title("epsilon in its ledger", loc="left", fontsize=10)
    panels[2].set_title("kB that it uploaded", loc="left", fontsize=10)
    sizes = run.summary["data"]["rows_per_site"]
    spent, sent = list(run.spent.values()), [total / 1e3 for total in uploaded(run).values()]
    for axes, values, colour in zip(
        panels, (sizes, spent, sent), (SECOND, ACCENT, ACCENT), strict=True
    ):
        axes.bar(range(1, len(values) + 1), values, color=colour)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("site (synthetic centres)")
    save(figure, path)


def main() -> None:
    """Parse, measure, print and write."""
    parser = scenario_parser(__doc__)
    parser.add_argument("--sites", type=int, default=13)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    columns = ["sites", *(label for label, _ in UTILITIES.values())]
    columns += ["rows of a site", "epsilon of a site", "bytes that a site uploads"]
    table = Table(command_of(NAME, args), columns)
    runs: dict[str, FinishedRun] = {}
    fixed = ["task=intent", "data=generated", "encoder=hashing", "baselines=true"]
    fixed += ["privacy.unit=record"]
    for partition, name in PARTITIONS.items():
        chosen = [f"data.partition={partition}", f"sites={args.sites}", f"seed={args.seed}"]
        run = runs[partition] = finish([*fixed, *chosen, *args.overrides])
        found = mean_utilities([run])
        rows = run.summary["data"]["rows_per_site"]
        spans = (span(rows), span(list(run.spent.values())), span(list(uploaded(run).values())))
        table.add(f"{args.sites} {name}", *(found[key] for key in UTILITIES), *spans)
    table.write(args.out / f"{NAME}.txt", wire_notes(runs["natural"]))
    draw(runs["natural"], args.out / f"{NAME}.svg")


if __name__ == "__main__":
    main()
