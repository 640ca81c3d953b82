"""The picture of an attack: claimed against empirical epsilon, and what else was found.

It stands on a white card with dark ink, so it reads the same on light and dark pages.
"""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from fedcc.governance.figures import ACCENT, INK, MUTED, SECOND, WARN, _canvas, _plain, _svg

OBSERVERS = {
    "outsider": "outsider\nwith the model",
    "claim": "the claim\n(coalition up to f)",
    "everyone_else": "everyone else\ncolludes",
}
_LEGEND: dict[str, Any] = dict(fontsize=7.5, frameon=False, loc="upper left", ncol=3)
BEYOND = 1.5  # how far the axis goes past the largest claim


def attack_figure(report: Mapping[str, Any]) -> str:
    """Draw `attack.json`.

    Args:
        report: as `fedcc attack` writes it; parts that were left out are `None`.
    """
    figure, axes = _canvas("Claimed against empirical epsilon", report["unsafe"], left=0.2)
    canaries = report["canaries"]
    if canaries is None:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no canaries", transform=axes.transAxes, ha="center", color=MUTED)
    else:
        _epsilons(axes, canaries)
    if report["membership"] is not None or report["inversion"] is not None:
        _shares_below(figure, axes, report)
    return _svg(figure)


def _epsilons(axes: Any, canaries: Mapping[str, Any]) -> None:
    """Draw a row for each observer: the claim as a bar's end, what was found as marks."""
    rows = [(OBSERVERS[name], found) for name, found in canaries["observers"].items()]
    claims = [found["claimed"] for _, found in rows if found["claimed"] is not None]
    limit = BEYOND * max(claims, default=10.0)
    for place, (_, found) in enumerate(rows):
        first = place == 0
        claimed = found["claimed"]
        if claimed is not None:
            axes.barh(place, claimed, height=0.56, color="#dbeaf2", zorder=1)
            text = "claimed" if first else None
            axes.plot([claimed] * 2, [place - 0.28, place + 0.28], color=INK, lw=2, label=text)
        channel = found["channel"]
        colour = WARN if found["refuted"] else ACCENT
        lower, middle = (_held(channel[key], limit) for key in ("epsilon_lower", "epsilon"))
        axes.plot([lower, middle], [place - 0.08] * 2, color=colour, lw=2.5, zorder=3)
        text = "Gaussian channel: estimate and lower bound" if first else None
        axes.plot(middle, place - 0.08, "o", color=colour, ms=6, label=text, zorder=4)
        axes.plot(lower, place - 0.08, "|", color=colour, ms=11, mew=2.5, zorder=4)
        text = "one run: lower bound, nothing assumed" if first else None
        bound = _held(found["one_run"]["epsilon_lower"], limit)
        axes.plot(bound, place + 0.16, ">", color=SECOND, ms=6, label=text, zorder=4)
        if middle >= limit:
            axes.annotate("beyond", (limit, place - 0.08), xytext=(-4, 7), fontsize=7.5, ha="right",
                          textcoords="offset points", color=colour)  # fmt: skip
    axes.set_yticks(range(len(rows)), [label for label, _ in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, limit * 1.02)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color="#e4e7eb", linewidth=0.8)
    level, delta = canaries["level"], canaries["delta"]
    axes.set_xlabel(
        f"epsilon at delta {delta:g}; {canaries['canaries']:,} canaries, bounds at {level:.0%}",
        fontsize=9,
    )
    axes.legend(**_LEGEND, bbox_to_anchor=(-0.24, -0.19), columnspacing=1.2, handletextpad=0.5)


def _held(value: float | None, limit: float) -> float:
    return limit if value is None or not math.isfinite(value) else min(value, limit)


def _shares_below(figure: Figure, axes: Any, report: Mapping[str, Any]) -> None:
    """Draw what membership inference and inversion find, with this run and without protection."""
    figure.set_size_inches(7.2, 5.6)
    figure.subplots_adjust(left=0.2, right=0.97, top=0.94, bottom=0.1)
    grid = figure.add_gridspec(2, 1, height_ratios=(1.25, 1), hspace=0.75)
    axes.set_subplotspec(grid[0])
    lower = figure.add_subplot(grid[1])
    _plain(lower)
    lower.set_title("What the same attacks find", loc="left", fontsize=10.5, color=INK)
    bars = _bars(report)
    for place, (_, protected, bare, blind) in enumerate(bars):
        first = place == 0
        for offset, value, colour, label in (
            (-0.19, protected, ACCENT, "this run"),
            (0.19, bare, MUTED, "without protection"),
        ):
            if value is None:
                continue
            lower.barh(place + offset, value, height=0.34, color=colour,
                       label=label if first else None)  # fmt: skip
            lower.annotate(f"{value:.3f}", (value, place + offset), xytext=(4, 0), va="center",
                           textcoords="offset points", fontsize=8, color=INK)  # fmt: skip
        text = "blind guessing" if first else None
        lower.plot([blind] * 2, [place - 0.4, place + 0.4], color=WARN, ls=":", lw=1.6, label=text)
    lower.set_yticks(range(len(bars)), [label for label, *_ in bars])
    lower.invert_yaxis()
    lower.set_xlim(0, 1.12)
    lower.grid(axis="y", visible=False)
    lower.legend(**_LEGEND, bbox_to_anchor=(-0.24, -0.12))


def _bars(report: Mapping[str, Any]) -> list[tuple[str, float | None, float, float]]:
    """Return (label, with this run, without protection, blind) of what was attacked."""
    bars: list[tuple[str, float | None, float, float]] = []
    membership, inversion = report["membership"], report["inversion"]
    if membership is not None:
        private, bare = membership["private"], membership["without_privacy"]
        own = None if private is None else private["auc"]
        bars.append(("membership:\nAUC", own, bare["auc"], 0.5))
        last = bare["at"][-1]
        own = None if private is None else private["at"][-1]["found"]["share"]
        label = f"membership: TPR\nat {last['wanted']:.0%} FPR"
        bars.append((label, own, last["found"]["share"], last["wanted"]))
    if inversion is not None:
        shares = (inversion["seen_share"], inversion["plain_share"], inversion["blind_share"])
        bars.append(("inversion:\nsentences named", *shares))
    return bars
