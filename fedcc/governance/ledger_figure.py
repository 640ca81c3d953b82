"""The burn-down of ledgers as SVG: epsilon spent after each charged attempt, against the caps.

One ledger, or several that tell the same story, is drawn for the three observers; ledgers that
differ are drawn by site, the claim alone.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.ticker import MaxNLocator

from fedcc.governance.figures import ACCENT, INK, MUTED, SECOND, WARN, _canvas, _svg

Curve = Sequence[float]
_OBSERVERS = (
    ("epsilon_if_all_others_collude", WARN, "-.", "everyone else colludes"),
    ("epsilon", ACCENT, "-", "the claim"),
    ("epsilon_outsider", MUTED, "--", "outsider with the model"),
)
_SITE_STYLES = [(colour, line) for line in ("-", "--", ":") for colour in (ACCENT, SECOND, INK)]


def ledger_burn_down(
    curves: Mapping[str, Mapping[str, Curve]],
    caps: Sequence[tuple[str, float]],
    *,
    unit: str,
    delta: float,
) -> str:
    """Draw what ledgers have spent.

    Args:
        curves: by site, then by observer's key: epsilon after each attempt, `inf` without noise.
        caps: lifetime caps on the claim, as (label, epsilon).
        unit: in words, for the title.
        delta: of every epsilon.
    """
    figure, axes = _canvas(f"Epsilon spent per {unit} at a site (delta {delta:g})", [])
    figure.subplots_adjust(right=0.62)  # the legend stands beside the curves, never on them
    lines = _lines(curves)
    for points, colour, dashes, label in lines:
        _draw(axes, points, colour, dashes, label)
    for label, limit in caps:
        axes.axhline(
            limit, color=INK, linewidth=1.2, label=f"cap on the claim: {limit:g}\n({label})"
        )
    if any(math.isinf(value) for points, *_ in lines for value in points):
        axes.text(0.05, 0.9, "a run without noise: no guarantee", transform=axes.transAxes)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("charged attempt, over all runs", fontsize=9)
    axes.set_ylabel("epsilon", fontsize=9)
    alike = len({tuple(by_observer["epsilon"]) for by_observer in curves.values()}) == 1
    axes.legend(
        title=_together(list(curves)) if alike else "the claim, by site",
        fontsize=8,
        title_fontsize=8.5,
        alignment="left",
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
    )
    return _svg(figure)


def _lines(curves: Mapping[str, Mapping[str, Curve]]) -> list[tuple[Curve, str, str, str]]:
    """Return what to draw: (points, colour, dashes, label)."""
    groups: dict[tuple[float, ...], list[str]] = {}
    for site, by_observer in curves.items():
        groups.setdefault(tuple(by_observer["epsilon"]), []).append(site)
    if len(groups) > 1:
        return [
            (points, *_SITE_STYLES[index % len(_SITE_STYLES)], _together(names))
            for index, (points, names) in enumerate(groups.items())
        ]
    [sites] = groups.values()
    return [
        (curves[sites[0]][key], colour, dashes, label) for key, colour, dashes, label in _OBSERVERS
    ]


def _draw(axes: Any, points: Curve, colour: str, dashes: str, label: str) -> None:
    """Draw one rising curve that begins at nothing spent, and mark its end."""
    finite = [0.0, *(value for value in points if math.isfinite(value))]
    text = f"{label}:\n{points[-1]:.3g} spent" if points else f"{label}:\nnothing spent"
    places = range(len(finite))
    axes.plot(places, finite, color=colour, linewidth=2, linestyle=dashes, label=text)
    axes.plot(places[-1], finite[-1], color=colour, marker="o", markersize=4)


def _together(sites: Sequence[str]) -> str:
    return sites[0] if len(sites) == 1 else f"{sites[0]} and {len(sites) - 1} more alike"
