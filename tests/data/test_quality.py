"""Warnings count what would hurt training or flatter its test, and show no cell."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from fedcc.data.gates import admit
from fedcc.data.partition import split_test_rows
from fedcc.data.quality import data_warnings
from fedcc.data.raw_table import RawTable
from fedcc.data.spec import DataSpec

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CANARY = "ZZCANARYZZ"
NAMES = ("customer", "tenure", "plan", "churn", "part")
BY_COLUMN = {"kind": "column", "fraction": None, "column": "part", "value": "test"}
BY_FILE = {"kind": "file", "fraction": None, "path": "test.csv"}

Row = tuple[str, str, str, str, str]
Warn = Callable[..., list[str]]


@pytest.fixture
def warn(make_spec: Callable[..., DataSpec]) -> Warn:
    """Pass rows through gates and split and return the warnings; none of them shows a cell."""

    def run(rows: list[Row], n_train_rows: int | None = None, **changes: Any) -> list[str]:
        columns = {"part": {"role": "split"}} | changes.pop("columns", {})
        spec = make_spec(**{"test": BY_COLUMN, **changes}, columns=columns)
        cells = dict(zip(NAMES, map(list, zip(*rows, strict=True)), strict=True))
        raw = RawTable("calls.csv", cells, n_train_rows=n_train_rows)
        table, gates = admit(raw, spec, now=NOW)
        train_rows, test_rows = split_test_rows(table, spec, 0)
        found = data_warnings(spec, table, gates, train_rows, test_rows)
        assert CANARY not in " ".join(found)
        return found

    return run


def rows_of(count: int, part: str, customer: str = CANARY + "{part}{i}") -> list[Row]:
    return [
        (customer.format(part=part, i=i), str(i % 73), "gold", ("No", "Yes")[i % 2], part)
        for i in range(count)
    ]


CLEAN = rows_of(100, "train") + rows_of(20, "test")


def test_a_sound_data_set_is_not_warned_of(warn: Warn) -> None:
    assert warn(CLEAN) == []
    assert warn(CLEAN, n_train_rows=100, test=BY_FILE) == []


@pytest.mark.parametrize("test", [BY_COLUMN, BY_FILE], ids=["column", "file"])
def test_customers_on_both_sides_of_a_declared_split_are_counted(warn: Warn, test: Any) -> None:
    rows = [*CLEAN, (CANARY + "train3", "70", "basic", "No", "test")]
    rows += [(CANARY + "train4", "70", "basic", "No", "test")]

    found = warn(rows, n_train_rows=100, test=test)

    assert len(found) == 1
    assert found[0].startswith("2 customers have both training and test rows")


def test_rows_without_a_customer_id_are_no_customer_on_both_sides(warn: Warn) -> None:
    rows = [*CLEAN, ("", "1", "gold", "No", "train"), ("", "2", "gold", "No", "test")]

    assert not any("both training and test" in text for text in warn(rows))


def test_test_rows_that_repeat_a_training_row_are_counted(warn: Warn) -> None:
    twin = (*CLEAN[5][:4], "test")

    found = warn([*CLEAN, twin, twin], n_train_rows=100, test=BY_FILE)

    assert any(text.startswith("2 test rows agree with a training row") for text in found)


def test_one_profile_of_two_customers_is_no_repeated_row(warn: Warn) -> None:
    # CLEAN holds the profiles of its test rows in training, too, under other customers.
    profiles = [row[1:4] for row in CLEAN]
    assert len(set(profiles)) < len(profiles)

    assert not any("agree with a training row" in text for text in warn(CLEAN))
    assert any("20 test rows agree" in t for t in warn(CLEAN, columns={"customer": None}))


def test_classes_with_few_training_rows_are_named(warn: Warn) -> None:
    label = {"role": "label", "values": ["No", "Yes", "roam", "port", "never"]}
    rows = CLEAN + [(f"r{i}", "1", "gold", "roam", "train") for i in range(4)]
    rows += [(f"p{i}", "1", "gold", "port", "train") for i in range(5)]

    found = warn(rows, columns={"churn": label})

    assert any(t.startswith("1 class has fewer than 5 training rows: roam.") for t in found)
    assert any("no training row has the label never" in text for text in found)


@pytest.mark.parametrize(("count", "warns"), [(2, False), (3, True)])
@pytest.mark.parametrize(
    ("cell", "fragment"),
    [(CANARY, "cells hold no number"), ("99", "values lie outside the declared domain")],
)
def test_a_column_of_which_more_than_two_percent_is_no_value_is_named(
    warn: Warn, count: int, warns: bool, cell: str, fragment: str
) -> None:
    tenure = {"role": "feature", "kind": "number", "bounds": [0, 72], "missing": 0}
    rows = [(row[0], cell, *row[2:]) if i < count else row for i, row in enumerate(CLEAN)]

    found = warn(rows, columns={"tenure": tenure}, out_of_bounds="clamp")

    # 2 percent of 120 cells are 2.4.
    assert any(f"column tenure: {count} of 120 {fragment}" in text for text in found) is warns


def test_unreadable_numbers_that_drop_their_row_are_warned_of(warn: Warn) -> None:
    rows = [*CLEAN, *((f"u{i}", CANARY, "gold", "No", "train") for i in range(5))]

    found = warn(rows, out_of_bounds="clamp")

    assert any("column tenure: 5 of 125 cells hold no number" in text for text in found)
