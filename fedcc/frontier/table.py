"""The table of a sweep: means over seeds with Student's t intervals, as text, CSV and JSON."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy.stats import t

from fedcc.frontier.cells import Cell
from fedcc.frontier.compute import Result
from fedcc.frontier.settings import Curve, FrontierSettings

NAMES: dict[Curve, str] = {
    "federation": "fedcc, encrypted",
    "central_dp": "central DP",
    "local_noise": "local noise",
    "textbook": "textbook",
    "site_alone": "site alone",
    "no_privacy": "no privacy",
}
AGAINST: dict[Curve, str] = {
    "federation": "the aggregator with up to f colluding sites; other sites add their noise",
    "central_dp": "whoever sees the model; a trusted curator reads all rows",
    "local_noise": "everybody, from each site's own noise; same recipe as the federation",
    "textbook": "everybody, from each site's own noise; Opacus at each site and FedAvg",
    "site_alone": "everybody; each site trains by itself, mean over sites",
    "no_privacy": "nobody; all rows in one place",
}


@dataclass(frozen=True, kw_only=True)
class Point:
    """One place of a curve; utilities are fractions."""

    curve: Curve
    sites: int | None  # None: the curve knows no sites
    epsilon: float | None  # the budget; None: without privacy
    claimed_epsilon: float | None  # the largest that its cells spent
    mean: float
    low: float | None  # of the interval; None with one seed
    high: float | None
    values: tuple[float, ...]  # by seed, from 1
    learning_rate: float | None  # of the textbook: the best on the test rows


def interval(values: Sequence[float], confidence: float) -> tuple[float, float] | None:
    """Return Student's t interval of the mean of normal values; `None` for a single one."""
    n = len(values)
    if n < 2:
        return None
    mean = sum(values) / n
    variance = sum((value - mean) ** 2 for value in values) / (n - 1)
    half = float(t.ppf((1 + confidence) / 2, n - 1)) * math.sqrt(variance / n)
    return mean - half, mean + half


def points_of(
    cells: Sequence[Cell], results: Mapping[str, Result], settings: FrontierSettings
) -> list[Point]:
    """Return a point for each place that has the results of all its seeds."""
    places: dict[tuple[Curve, int | None, float | None], list[Cell]] = {}
    for cell in cells:
        sites = None if cell.curve in ("central_dp", "no_privacy") else cell.sites
        places.setdefault((cell.curve, sites, cell.epsilon), []).append(cell)
    points = []
    for (curve, sites, epsilon), found in places.items():
        kept = [results[cell.key] for cell in sorted(found, key=_seed) if cell.key in results]
        if len(kept) == len(found):
            values, rate = _values(kept)
            low, high = interval(values, settings.confidence) or (None, None)
            points.append(
                Point(
                    curve=curve,
                    sites=sites,
                    epsilon=epsilon,
                    claimed_epsilon=None if epsilon is None else max(r["epsilon"] for r in kept),
                    mean=sum(values) / len(values),
                    low=low,
                    high=high,
                    values=tuple(values),
                    learning_rate=rate,
                )
            )
    order = list(NAMES)
    return sorted(points, key=lambda p: (order.index(p.curve), p.sites or 0, p.epsilon or math.inf))


def _seed(cell: Cell) -> int:
    return cell.seed


def _values(results: Sequence[Result]) -> tuple[list[float], float | None]:
    """Return the value of each seed; of several learning rates those of the best mean."""
    if "by_learning_rate" not in results[0]:
        return [float(result["value"]) for result in results], None
    tables = [result["by_learning_rate"] for result in results]
    best = max(tables[0], key=lambda rate: sum(float(table[rate]) for table in tables))
    return [float(table[best]) for table in tables], float(best)


def as_csv(points: Sequence[Point]) -> str:
    """Return a line per place and seed."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["curve", "epsilon", "claimed_epsilon", "sites", "seed", "value"])
    for point in points:
        for seed, value in enumerate(point.values, start=1):
            row = [point.curve, point.epsilon, point.claimed_epsilon, point.sites]
            writer.writerow([*row, seed, value])
    return buffer.getvalue()


def as_json(points: Sequence[Point], about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole table with what it is about, for machines."""
    return {
        **about,
        "adversary": {point.curve: AGAINST[point.curve] for point in points},
        "points": [asdict(point) for point in points],
    }


def as_text(points: Sequence[Point], about: Mapping[str, Any]) -> str:
    """Return the table in Markdown: a line per curve and number of sites, a column per budget."""
    budgets = sorted({point.epsilon for point in points if point.epsilon is not None})
    head = ["curve", "sites", *(f"epsilon {budget:g}" for budget in budgets)]
    lines = [f"$ {about['command']}", "", _row(head), "|" + "---|" * len(head)]
    by_line: dict[tuple[Curve, int | None], dict[float | None, Point]] = {}
    for point in points:
        by_line.setdefault((point.curve, point.sites), {})[point.epsilon] = point
    percent = about["metric"] == "accuracy"
    for (curve, sites), found in by_line.items():
        cells = [_cell(found.get(None, found.get(budget)), percent) for budget in budgets]
        cells = cells or [_cell(found.get(None), percent)]
        lines.append(_row([NAMES[curve], "any" if sites is None else str(sites), *cells]))
    return "\n".join([*lines, "", *_notes(points, about)]) + "\n"


def _cell(point: Point | None, percent: bool) -> str:
    if point is None:
        return "-"
    scale, digits = (100, 2) if percent else (1, 4)
    text = f"{scale * point.mean:.{digits}f}"
    if point.low is None or point.high is None:
        return text
    return f"{text} ± {scale * (point.high - point.low) / 2:.{digits}f}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _notes(points: Sequence[Point], about: Mapping[str, Any]) -> list[str]:
    metric = "Accuracy in per cent" if about["metric"] == "accuracy" else "AUC"
    notes = [
        f"{metric} on the test rows of '{about['data']}', mean over {about['seeds']} seed(s)"
        + (
            f", ± half of a {100 * about['confidence']:g} % Student t interval of that mean."
            if about["seeds"] > 1
            else "; one seed has no interval."
        ),
        "A seed moves partition and noise; the test rows are the same. Test metrics are the "
        "simulator's, outside the protocol; seeded noise is for experiments alone.",
        f"epsilon per {about['unit']}, delta {about['delta']:g}. The same epsilon holds against:",
    ]
    notes += [f"  {NAMES[c]}: {AGAINST[c]}" for c in dict.fromkeys(p.curve for p in points)]
    rates = {p.learning_rate for p in points if p.learning_rate is not None}
    if rates:
        tried = ", ".join(f"{rate:g}" for rate in about["textbook"]["learning_rates"])
        notes.append(
            f"The textbook's step size is the best of {tried} on the test rows at each place, in "
            f"its favour (chosen: {', '.join(f'{rate:g}' for rate in sorted(rates))})."
        )
        if about["unit"] == "customer":
            notes.append("There each customer keeps one row, since Opacus protects single rows.")
    if about["unsafe"]:
        notes.append(f"UNSAFE: {', '.join(about['unsafe'])}.")
    return notes + [f"No result: {text}" for text in about["failures"]]
