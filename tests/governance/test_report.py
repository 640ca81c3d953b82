"""The report: made from the run's own files, self-contained, and honest about what is missing."""

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from typing import Any

import pytest
from conftest import WITH_REPORT, read_lines

from fedcc.federation.simulation import RunResult
from fedcc.governance.report import NOT_COVERED, factor_in_words, wire_table

Run = Callable[..., RunResult]


@pytest.fixture
def run_calls(run_calls: Run) -> Run:
    """Write the report, which other tests leave out."""

    def run(*overrides: str, **options: Any) -> RunResult:
        return run_calls(*overrides, WITH_REPORT, **options)

    return run


@pytest.fixture
def result(run_calls: Run) -> RunResult:
    return run_calls("rounds=2")


def test_the_report_loads_nothing_from_anywhere(result: RunResult) -> None:
    page = (result.run_dir / "report.html").read_text()

    # Namespace names inside SVG look like addresses but are never fetched.
    loaded = re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?(?!#)([^"\')\s>]+)', page)
    assert [address for address in loaded if not address.startswith("#")] == []
    assert "<script" not in page


def test_the_numbers_of_the_report_are_those_of_the_summary(result: RunResult) -> None:
    page = (result.run_dir / "report.html").read_text()
    privacy, utility = result.summary["privacy"], result.summary["utility"]

    for value in (
        privacy["epsilon"],
        privacy["epsilon_outsider"],
        privacy["epsilon_if_all_others_collude"],
        utility["federated"],
    ):
        assert f"{value:.4g}" in page


def test_the_report_names_what_is_not_covered(result: RunResult) -> None:
    page = (result.run_dir / "report.html").read_text()

    assert len(NOT_COVERED) >= 5
    assert all(text in page for text in NOT_COVERED)


def test_figures_are_well_formed_and_cover_every_round(result: RunResult) -> None:
    names = {"convergence", "epsilon", "bytes", "aggregator_view"}

    assert {p.stem for p in (result.run_dir / "figures").iterdir()} == names
    for name in names:
        ElementTree.parse(result.run_dir / "figures" / f"{name}.svg")


def test_the_wire_table_adds_up_to_the_wire_log(result: RunResult) -> None:
    lines = read_lines(result.run_dir / "wire.jsonl")

    table = wire_table(result.run_dir / "wire.jsonl")

    assert sum(size for *_, size in table) == sum(line["bytes"] for line in lines)
    assert sum(count for _, _, count, _ in table) == len(lines)


def figure_of(result: RunResult) -> str:
    return (result.run_dir / "figures" / "epsilon.svg").read_text()


def test_the_burn_down_names_unit_target_and_all_three_observers(result: RunResult) -> None:
    figure, privacy = figure_of(result), result.summary["privacy"]

    for text in (
        f"Epsilon spent per {privacy['unit']} at one site (delta 1e-05)",
        "target 1, for 4 attempts",  # 2 rounds and the 2 reserved retries
        "reserved retries",
        f"the claim: {privacy['epsilon']:.3g}",
        f"an outsider with the model: {privacy['epsilon_outsider']:.3g}",
        f"everyone else colludes: {privacy['epsilon_if_all_others_collude']:.3g}",
    ):
        assert text in figure
    assert "void" not in figure


def test_the_burn_down_marks_what_was_void_and_charged(run_calls: Run) -> None:
    lossy = ("sites=4", "privacy.min_sites=4", "federation.drop=[{site: 2, round: 2, attempts: 1}]")

    assert "void, charged all the same" in figure_of(run_calls(*lossy))


def test_without_noise_there_is_no_curve_and_no_explanation_of_numbers(run_calls: Run) -> None:
    run = run_calls("privacy=none")

    assert "no noise: no guarantee" in figure_of(run)
    assert "What epsilon means here" not in (run.run_dir / "report.html").read_text()


def test_the_report_says_in_words_what_the_unit_and_the_numbers_mean(
    result: RunResult, run_calls: Run
) -> None:
    page = (result.run_dir / "report.html").read_text()
    exposed = run_calls("crypto=none", folder="exposed").run_dir / "report.html"

    factor = math.exp(result.summary["privacy"]["epsilon"])
    for text in ("What epsilon means here", "customer at one site", f"{factor:.2f} times"):
        assert text in page
    assert "single updates are exposed" not in page
    assert "single updates are exposed" in exposed.read_text()


def test_a_large_epsilon_is_not_printed_as_a_precise_factor() -> None:
    assert [factor_in_words(e) for e in (math.log(2), 3.0, 8.0, None)] == [
        "2.00",
        "20",
        "more than 1,000",
        "more than 1,000",
    ]
