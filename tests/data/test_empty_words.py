"""`source.empty` names the words that count as an empty cell, in every format."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedcc.data.connectors import read_columns
from fedcc.data.gates import GateCounts, Table
from fedcc.data.raw_table import LIST_SEPARATOR, RawTable
from fedcc.data.spec import DataSpec

HEADER = "customer,tenure,plan,churn\n"
TENURE = {"role": "feature", "kind": "number", "bounds": [0, 72], "missing": 9}

Read = Callable[..., RawTable]


@pytest.mark.parametrize(
    ("words", "cells"),
    [
        ([], ["NA", "-999", "na", "5"]),
        (["NA"], ["", "-999", "na", "5"]),
        (["NA", "na", -999], ["", "", "", "5"]),
        ([-999.0], ["NA", "", "na", "5"]),
    ],
)
def test_declared_words_are_empty_cells_and_no_others(
    read: Read, words: list[Any], cells: list[str]
) -> None:
    rows = "".join(f"c,{cell},basic,No\n" for cell in (" NA ", "-999", "na", "5"))

    assert read(HEADER + rows, source={"empty": words}).columns["tenure"] == cells


def test_an_empty_word_takes_the_default_of_the_column(
    load: Callable[..., tuple[Table, GateCounts]],
) -> None:
    columns = {"tenure": TENURE}

    table, _ = load(f"{HEADER}c,N/A,basic,No\n", source={"empty": ["N/A"]}, columns=columns)

    assert table.numbers["tenure"].tolist() == [9.0]


def test_empty_words_leave_the_lists_of_json(read: Read) -> None:
    row = {"customer": "NA", "tenure": 5, "plan": "basic", "churn": ["No", "NA", "Yes"]}

    raw = read(json.dumps(row), source={"kind": "jsonl", "empty": ["NA"]})

    assert raw.columns["customer"] == [""]
    assert raw.columns["churn"] == [f"No{LIST_SEPARATOR}Yes"]


def test_a_file_to_score_is_read_with_the_same_empty_words(
    tmp_path: Path, make_spec: Callable[..., DataSpec]
) -> None:
    path = tmp_path / "score.csv"
    path.write_text("tenure\nNA\n7\n")
    source = make_spec(source={"empty": ["NA"]}).source

    assert read_columns(path, source, ["tenure"]).columns == {"tenure": ["", "7"]}
