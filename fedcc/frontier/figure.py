"""The figure of a sweep as one SVG that reads on light and on dark pages.

Colours stand in the picture as light ones; a style sheet inside the file swaps them where the
reader's page is dark. Programs that know no such rule, a paper's among them, show the light ones.
"""

import io
from collections.abc import Sequence

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from fedcc.frontier.settings import Curve
from fedcc.frontier.table import NAMES, Point

PAPER, INK, GRID = "#ffffff", "#1f2933", "#e4e7eb"
LOOKS: dict[Curve, tuple[str, str, str]] = {
    "federation": ("#0b6e99", "o", "-"),
    "central_dp": ("#3d4852", "s", "--"),
    "local_noise": ("#8a5a00", "^", "-"),
    "textbook": ("#b42318", "D", "-"),
    "site_alone": ("#7a3e9d", "v", ":"),
    "no_privacy": ("#7b8794", "", "-."),
}
"""Colour, mark and line of each curve; no two share a mark, so the figure needs no colour."""
DARK = {
    PAPER: "#0f1419",
    INK: "#e6e9ee",
    GRID: "#2c333c",
    "#0b6e99": "#4cc2f1",
    "#3d4852": "#c3ccd6",
    "#8a5a00": "#e0a84a",
    "#b42318": "#ff8577",
    "#7a3e9d": "#cf9bf0",
    "#7b8794": "#9aa5b1",
}
BAND = 0.18  # opacity


def frontier_svg(
    points: Sequence[Point], *, data: str, metric: str, unit: str, unsafe: Sequence[str]
) -> str:
    """Draw utility against epsilon, a panel for each number of sites, bands where there are any.

    Args:
        points: of the table.
        data: name of the data set.
        metric: name of the utility; accuracy is shown in per cent.
        unit: what epsilon protects.
        unsafe: protections that the runs switched off; written across the figure.
    """
    places: list[int | None] = list(sorted({p.sites for p in points if p.sites is not None}))
    places = places or [None]
    figure = Figure(figsize=(3.1 + 2.9 * len(places), 4.1), layout="constrained", facecolor=PAPER)
    panels = figure.subplots(1, len(places), squeeze=False, sharey=True)[0]
    budgets = sorted({point.epsilon for point in points if point.epsilon is not None})
    scale = 100.0 if metric == "accuracy" else 1.0
    for axes, sites in zip(panels, places, strict=True):
        _dress(axes, budgets)
        axes.set_xlabel(f"epsilon per {unit}", fontsize=9, color=INK)
        for curve in LOOKS:
            shown = [p for p in points if p.curve == curve and p.sites in (sites, None)]
            _draw(axes, curve, shown, scale, budgets)
        if sites is not None:
            axes.set_title(f"{sites} sites", loc="left", fontsize=10, color=INK)
    named = "test accuracy, %" if metric == "accuracy" else f"test {metric.upper()}"
    panels[0].set_ylabel(f"{named} ({data})", fontsize=9, color=INK)
    handles, labels = panels[0].get_legend_handles_labels()
    place, columns = "outside lower center", 6 if len(places) > 1 else 3
    figure.legend(
        handles, labels, loc=place, ncols=columns, frameon=False, fontsize=8.5, labelcolor=INK
    )
    if unsafe:
        text = "UNSAFE: " + ", ".join(unsafe)
        figure.text(0.5, 0.55, text, color="#b42318", fontsize=15, rotation=15, ha="center")
    return _themed(figure)


def _dress(axes: Axes, budgets: Sequence[float]) -> None:
    axes.set_facecolor(PAPER)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(labelsize=8.5, colors=INK, labelcolor=INK)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    if budgets:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(list(budgets)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([f"{budget:g}" for budget in budgets])
        axes.set_xlim(budgets[0] / 1.15, budgets[-1] * 1.15)


def _draw(
    axes: Axes, curve: Curve, points: Sequence[Point], scale: float, budgets: Sequence[float]
) -> None:
    """Draw one curve; one without a budget runs across the panel."""
    if not points:
        return
    colour, mark, line = LOOKS[curve]
    if points[0].epsilon is None:
        ends = [budgets[0] / 1.15, budgets[-1] * 1.15] if budgets else [0.0, 1.0]
        points = [points[0], points[0]]
    else:
        ends = [float(point.epsilon or 0) for point in points]
    means = [scale * point.mean for point in points]
    axes.plot(
        ends,
        means,
        color=colour,
        marker=mark,
        linestyle=line,
        markersize=4.5,
        linewidth=2.2 if curve == "federation" else 1.6,
        zorder=3 if curve == "federation" else 2,
        label=NAMES[curve],
    )
    if all(point.low is not None and point.high is not None for point in points):
        low = [scale * float(point.low or 0) for point in points]
        high = [scale * float(point.high or 0) for point in points]
        axes.fill_between(ends, low, high, color=colour, alpha=BAND, linewidth=0)


def _themed(figure: Figure) -> str:
    """Return the SVG with a style sheet that swaps the colours on dark pages."""
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": "fedcc"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "fedcc"})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    rules = "".join(
        f'[style*="{part}: {light}"]{{{part}:{dark} !important}}'
        for light, dark in DARK.items()
        for part in ("fill", "stroke")
    )
    sheet = f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>"
    start = text.index(">") + 1
    return f"{text[:start]}\n {sheet}{text[start:]}"
