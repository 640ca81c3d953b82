"""The figures of a run as SVG: convergence, epsilon, bytes, and what the aggregator saw.

They are drawn from the run's own files. A run that switched a protection off carries that word on
every figure.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from fedcc.governance.unit_words import unit_words

INK, MUTED, ACCENT, WARN, SECOND = "#1f2933", "#7b8794", "#0b6e99", "#b42318", "#8a5a00"
SIZE = (6.4, 3.6)

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Target:
    """What the noise of a run was calibrated to."""

    epsilon: float | None  # of the claim; None without noise
    rounds: int
    attempts: int  # rounds and reserved retries


def _canvas(title: str, unsafe: Sequence[str], left: float = 0.11) -> tuple[Figure, Any]:
    figure = Figure(figsize=SIZE)
    figure.subplots_adjust(left=left, right=0.97, bottom=0.14, top=0.91)
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=10.5, color=INK)
    _plain(axes)
    if unsafe:
        text = "UNSAFE: " + ", ".join(unsafe)
        figure.text(
            0.5,
            0.5,
            text,
            color=WARN,
            alpha=0.35,
            fontsize=15,
            rotation=20,
            ha="center",
            va="center",
        )
    return figure, axes


def _plain(axes: Any) -> None:
    """Give a panel the look of all figures."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8.5, colors=INK)
    axes.grid(axis="y", color="#e4e7eb", linewidth=0.8)
    axes.set_axisbelow(True)


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "fedcc"})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def convergence(summary: Mapping[str, Any], metrics: Rows) -> str:
    """Draw the simulator's metric by round, with baselines as lines where they were computed."""
    utility = summary["utility"]
    name = utility["metric"]
    figure, axes = _canvas(f"Test {name.upper()} by round (simulator)", summary["unsafe"])
    closed = [row for row in metrics if row["closed"] and row[name] is not None]
    rounds = [row["round"] for row in closed]
    axes.plot(rounds, [row[name] for row in closed], color=ACCENT, linewidth=2, label="federation")
    styles = {
        "central_no_privacy": (MUTED, "-", "central, no privacy"),
        "central_dp": (INK, "--", "central DP"),
        "local_noise": (SECOND, "-.", "local noise"),
        "site_alone_mean": (WARN, ":", "site alone, mean"),
    }
    for key, (colour, line, label) in styles.items():
        if utility[key] is not None:
            axes.axhline(utility[key], color=colour, linestyle=line, linewidth=1.2, label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("round", fontsize=9)
    axes.set_ylabel(name.upper(), fontsize=9)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    return _svg(figure)


def epsilon_burn_down(summary: Mapping[str, Any], metrics: Rows, target: Target) -> str:
    """Draw epsilon spent after each attempt against the target.

    The claim and the outsider share the upper panel with the target; everyone else colluding is on
    a scale of its own below, since it may be many times larger. A void attempt is charged like any
    other and marked.
    """
    privacy = summary["privacy"]
    title = f"Epsilon spent per {unit_words(privacy)} (delta {privacy['delta']:g})"
    if privacy["epsilon"] is None:
        figure, axes = _canvas(title, summary["unsafe"])
        axes.text(0.5, 0.5, "no noise: no guarantee", transform=axes.transAxes, ha="center")
        return _svg(figure)
    figure, (upper, lower) = _stacked(title, summary["unsafe"])
    attempts = range(len(metrics) + 1)
    curves = (
        (upper, "epsilon", ACCENT, "-", "the claim"),
        (upper, "epsilon_outsider", MUTED, "--", "an outsider with the model"),
        (lower, "epsilon_if_all_others_collude", WARN, "-.", "everyone else colludes"),
    )
    for axes, key, colour, line, label in curves:
        values = [0.0, *(row[key] for row in metrics)]
        text = f"{label}: {privacy[key]:.3g}"
        axes.plot(attempts, values, color=colour, linewidth=2, linestyle=line, label=text)
    _mark_void(upper, metrics)
    if target.epsilon is not None:
        text = f"target {target.epsilon:g}, for {target.attempts} attempts"
        upper.axhline(target.epsilon, color=INK, linewidth=1.2, linestyle=(0, (1, 1)), label=text)
    for axes in (upper, lower):
        if target.attempts > target.rounds:
            shown = "reserved retries" if axes is upper else None
            axes.axvspan(target.rounds, target.attempts, color="#e4e7eb", alpha=0.7, label=shown)
        axes.set_ylim(bottom=0, top=axes.get_ylim()[1] * 1.02)
        axes.set_xlim(0, max(target.attempts, len(metrics)))
        axes.set_ylabel("epsilon", fontsize=9)
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.03))
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    lower.set_xlabel("attempt", fontsize=9)
    return _svg(figure)


def _stacked(title: str, unsafe: Sequence[str]) -> tuple[Figure, tuple[Any, Any]]:
    """Return a tall and a low panel over one axis of attempts, with room for words beside them."""
    figure, axes = _canvas(title, unsafe)
    axes.remove()
    figure.subplots_adjust(left=0.1, right=0.63, hspace=0.14)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for panel in (upper, lower):
        _plain(panel)
    figure.suptitle(title, x=0.1, y=0.975, ha="left", fontsize=10.5, color=INK)
    return figure, (upper, lower)


def _mark_void(axes: Any, metrics: Rows) -> None:
    """Mark the attempts that released nothing and were charged all the same."""
    void = [(n, row["epsilon"]) for n, row in enumerate(metrics, start=1) if not row["closed"]]
    if void:
        axes.plot(
            *zip(*void, strict=True),
            "x",
            color=WARN,
            markersize=6,
            label="void, charged all the same",
        )


def bytes_per_round(summary: Mapping[str, Any], metrics: Rows) -> str:
    """Draw the bytes of all sites together, up and down, by attempt."""
    figure, axes = _canvas("Bytes of all sites, by attempt", summary["unsafe"])
    attempts = list(range(1, len(metrics) + 1))
    axes.plot(
        attempts, [row["bytes_up"] / 1e3 for row in metrics], color=ACCENT, linewidth=2, label="up"
    )
    axes.plot(
        attempts,
        [row["bytes_down"] / 1e3 for row in metrics],
        color=SECOND,
        linewidth=2,
        linestyle="--",
        label="down",
    )
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("attempt", fontsize=9)
    axes.set_ylabel("kB", fontsize=9)
    axes.legend(fontsize=8, frameon=False)
    return _svg(figure)


def aggregator_view(summary: Mapping[str, Any], wire: Sequence[tuple[str, str, int, int]]) -> str:
    """Draw the bytes that reached the aggregator; `wire` holds (field, kind, count, bytes)."""
    figure, axes = _canvas("What reached the aggregator", summary["unsafe"], left=0.25)
    colours = {"ciphertext": ACCENT, "public": MUTED, "plaintext": WARN, "metric": SECOND}
    rows = list(reversed(wire))
    axes.barh(
        [field for field, *_ in rows],
        [size for *_, size in rows],
        color=[colours[kind] for _, kind, *_ in rows],
    )
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("bytes over the whole run (logarithmic)", fontsize=9)
    axes.grid(axis="y", visible=False)
    for position, (_, kind, count, size) in enumerate(rows):
        axes.annotate(
            f"{count} x {kind}",
            (size, position),
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=7.5,
            va="center",
            color=INK,
        )
    axes.set_xlim(right=10 ** (math.ceil(math.log10(max(size for *_, size in rows))) + 1.2))
    return _svg(figure)
