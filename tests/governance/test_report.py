"""The report: made from the run's own files, self-contained, and honest about what is missing."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import pytest
from conftest import read_lines

from fedcc.federation.simulation import RunResult
from fedcc.governance.report import NOT_COVERED, wire_table

Run = Callable[..., RunResult]


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
