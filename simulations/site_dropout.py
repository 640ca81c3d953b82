"""A site drops out: what it costs, with and without room for it in the plan.

    python simulations/site_dropout.py [--sites 5] [--site 2] [--round 5]

Five runs of `fedcc simulate` with its defaults (churn on IBM's telco sample, epsilon 1, encrypted).
With `privacy.min_sites` at all sites a plan waits for all: one that misses a round voids the
attempt, nothing is opened, and the attempt stays charged. The noise is calibrated for two such
retries; no further attempt begins before the site is back, and the run can be resumed then. With
the default, floor(2n/3) + 1, the others recover what is missing and the round closes from the same
uploads: with the lost site's part in the sum if it vanished after its upload, without it otherwise.
The room for that costs no accuracy when all answer: the noise that nobody needs is opened and taken
off the sum.
"""

from pathlib import Path

from _tables import (
    ACCENT,
    INK,
    MUTED,
    SECOND,
    WARN,
    FinishedRun,
    Table,
    command_of,
    finish,
    frame,
    save,
    scenario_parser,
)
from matplotlib.ticker import MaxNLocator

NAME = "site_dropout"
COLOURS = (MUTED, WARN, SECOND, INK, ACCENT)


def scenarios(sites: int, site: int, round_number: int) -> dict[str, list[str]]:
    """Return name and settings of every scenario."""
    away = f"federation.drop=[{{site: {site}, round: {round_number}}}]"
    after = f"federation.drop=[{{site: {site}, round: {round_number}, step: sign}}]"
    wait = f"privacy.min_sites={sites}"
    return {
        "all answer, all needed": [wait],
        "misses the round, all needed": [wait, away],
        "all answer": [],
        "misses the round": [away],
        "vanishes after its upload": [after],
    }


def cells(run: FinishedRun) -> list[object]:
    """Return what the table says about one run."""
    privacy, summary = run.summary["privacy"], run.summary
    void = sum(not line["closed"] for line in run.metrics)
    return [
        privacy["min_sites"],
        summary["outcome"],
        summary["rounds"],
        privacy["steps"],
        void,
        privacy["epsilon"],
        privacy["epsilon_outsider"],
        privacy["epsilon_if_all_others_collude"],
        summary["utility"]["federated"] if summary["outcome"] == "completed" else None,
    ]


def draw(runs: dict[str, FinishedRun], path: Path) -> None:
    """Draw test AUC by charged attempt, and what every run spent in the end."""
    figure, (score, spent) = frame("Telco churn: test AUC", "", 2)
    for (name, run), colour in zip(runs.items(), COLOURS, strict=True):
        points = [(n, row["auc"]) for n, row in enumerate(run.metrics, 1) if row["auc"] is not None]
        line = "--" if name.startswith("all answer") else "-"
        score.plot(*zip(*points, strict=True), line, color=colour, label=name)
        spent.barh(name, run.summary["privacy"]["epsilon"], color=colour)
        void = sum(not row["closed"] for row in run.metrics)
        text = f" {run.summary['outcome'].replace('_', ' ')}, {void} void"
        spent.annotate(text, (run.summary["privacy"]["epsilon"], name), fontsize=8, va="center")
    score.set_xlabel("charged attempt")
    score.xaxis.set_major_locator(MaxNLocator(integer=True))
    spent.set_title("epsilon spent, the claim", loc="left", fontsize=10)
    spent.grid(axis="y", visible=False)
    spent.set_xlim(right=spent.get_xlim()[1] * 1.6)  # room for the words
    spent.invert_yaxis()
    save(figure, path)


def main() -> None:
    """Parse, measure, print and write."""
    parser = scenario_parser(__doc__)
    parser.add_argument("--sites", type=int, default=5)
    parser.add_argument("--site", type=int, default=2)
    parser.add_argument("--round", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    columns = [f"site {args.site} in round {args.round}", "min_sites", "outcome", "rounds"]
    columns += ["attempts charged", "void", "epsilon", "outsider", "all others collude", "AUC"]
    table = Table(command_of(NAME, args), columns)
    runs: dict[str, FinishedRun] = {}
    for name, chosen in scenarios(args.sites, args.site, args.round).items():
        fixed = [f"sites={args.sites}", f"seed={args.seed}", *chosen]
        runs[name] = finish([*fixed, *args.overrides], may_end_early=True)
        table.add(name, *cells(runs[name]))
    table.write(args.out / f"{NAME}.txt")
    draw(runs, args.out / f"{NAME}.svg")


if __name__ == "__main__":
    main()
