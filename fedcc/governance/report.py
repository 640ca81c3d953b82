"""`report.html`: one self-contained page made from the run's own files, readable offline."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fedcc.governance import figures
from fedcc.governance.unit_words import not_covered_words, unit_words

TEMPLATE = "report.html.j2"
NOT_COVERED = (
    "purpose and retention per row, opt-out during a run, rights of access and erasure",
    "names, street addresses and spoken numbers in free text are not redacted",
    "fairness and explanations of single decisions",
    "how long a site takes to answer, which shows about how many rows it has",
    "recovering a round from its uploads when a site drops out: the attempt is void and charged",
    "poisoned updates and denial of service by a site; sites that add no noise, beyond the "
    "tolerated collusion",
)


def wire_table(path: Path) -> list[tuple[str, str, int, int]]:
    """Return (field, kind, count, bytes) of everything that reached the aggregator."""
    totals: dict[tuple[str, str], list[int]] = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            entry = json.loads(line)
            name = ".".join(part for part in entry["field"].split(".") if not part.isdigit())
            total = totals.setdefault((name, entry["kind"]), [0, 0])
            total[0] += 1
            total[1] += entry["bytes"]
    return [(name, kind, count, size) for (name, kind), (count, size) in totals.items()]


def factor_in_words(epsilon: float | None) -> str:
    """Return e^epsilon in words that do not pretend to precision."""
    if epsilon is None or epsilon > math.log(1000):
        return "more than 1,000"
    factor = math.exp(epsilon)
    return f"{factor:.2f}" if factor < 10 else f"{factor:.0f}"


def write_report(
    folder: Path,
    summary: Mapping[str, Any],
    metrics: Sequence[Mapping[str, Any]],
    warnings: Sequence[str],
    target: figures.Target,
) -> None:
    """Write `figures/*.svg` and `report.html` from summary, metrics and wire log.

    Args:
        folder: of the run.
        summary: the content of `summary.json`.
        metrics: the lines of `metrics.jsonl`.
        warnings: what the reader must be told about the plan.
        target: what the noise was calibrated to.

    Raises:
        OSError: if they cannot be written.
    """
    wire = wire_table(folder / "wire.jsonl")
    pictures = {
        "convergence": figures.convergence(summary, metrics),
        "epsilon": figures.epsilon_burn_down(summary, metrics, target),
        "bytes": figures.bytes_per_round(summary, metrics),
        "aggregator_view": figures.aggregator_view(summary, wire),
    }
    (folder / "figures").mkdir(exist_ok=True)
    for name, svg in pictures.items():
        (folder / "figures" / f"{name}.svg").write_text(svg, encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(TEMPLATE).render(
        s=summary,
        unit=unit_words(summary["privacy"]),
        wire=wire,
        pictures=pictures,
        not_covered=(*NOT_COVERED, not_covered_words(summary["privacy"])),
        warnings=warnings,
        factor=factor_in_words(summary["privacy"]["epsilon"]),
    )
    partial = folder / ".report.html.partial"
    partial.write_text(page, encoding="utf-8")
    partial.replace(folder / "report.html")
