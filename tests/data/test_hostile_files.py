"""Files made to exhaust, confuse or mislead: read right or refused fast, never quoted."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedcc.data.gates import GateCounts, Table
from fedcc.data.raw_table import RawTable
from fedcc.data.spec import DataSpec

CANARY = "ZZCANARYZZ"
HEADER = "customer,tenure,plan,churn\n"
ROW = f"{CANARY},5,basic,No\n"

Make = Callable[..., DataSpec]
Read = Callable[..., RawTable]
Load = Callable[..., tuple[Table, GateCounts]]
Message = Callable[..., str]


@pytest.mark.parametrize(
    ("content", "source", "fragment"),
    [
        (f"{HEADER}{CANARY * 5_000_000},5,basic,No\n", {}, "row 1: not valid CSV (a cell is long"),
        (f'{HEADER}"{CANARY * 5_000_000}', {}, "row 1: not valid CSV (a cell is long"),
        (
            json.dumps({"customer": CANARY * 5_000_000, "tenure": 5, "plan": "", "churn": ""}),
            {"kind": "jsonl"},
            "row 1, column customer: the cell is longer",
        ),
        (f"[{'[' * 1_000_000}", {"kind": "json"}, "nested too deeply"),
    ],
    ids=["50 MB cell", "50 MB cell in a quote", "50 MB string", "a million brackets"],
)
def test_a_file_of_one_endless_cell_is_refused_within_seconds(
    read: Read, message_of: Message, content: str, source: dict[str, Any], fragment: str
) -> None:
    started = time.monotonic()

    message = message_of(lambda: read(content, source=source))

    assert fragment in message
    assert time.monotonic() - started < 20  # about 1 s; the bound only rules out a stall


def test_a_hundred_thousand_columns_are_read(read: Read) -> None:
    more = ",".join(f"x{i}" for i in range(100_000))

    raw = read(f"{more},{HEADER}{',' * 100_000}c1,5,basic,No\n")

    assert [cells[0] for cells in raw.columns.values()] == ["c1", "5", "basic", "No"]


def test_a_missing_column_among_a_hundred_thousand_is_told_within_seconds(
    read: Read, message_of: Message
) -> None:
    more = ",".join(f"customer{i}" for i in range(100_000))
    started = time.monotonic()

    message = message_of(lambda: read(f"{more}\n{',' * 99_999}\n"))

    assert "missing columns customer, tenure, plan, churn" in message
    assert time.monotonic() - started < 20


def test_a_hundred_thousand_repeated_rows_share_their_strings(read: Read) -> None:
    raw = read(HEADER + "c1,5,basic,No\nc2,5,gold,No\n" * 50_000)

    assert {len(set(map(id, cells))) for cells in raw.columns.values()} == {1, 2}


FORMULAS = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1+1", "=HYPERLINK(0)"]


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_spreadsheet_formula_in_a_text_stays_text(load: Load, formula: str) -> None:
    columns = {"note": {"role": "text"}}

    table, _ = load(f'note,{HEADER}"{formula}",c1,5,basic,No\n', columns=columns)

    assert table.texts["note"] == [formula.strip()]


LOOKALIKES = ["no", "NO", "N\u200bo", "\ufeffNo", "Ｎｏ", "N\u00ado"]


@pytest.mark.parametrize("cell", LOOKALIKES)
def test_a_label_that_differs_in_form_alone_is_refused_and_the_declared_one_named(
    load: Load, message_of: Message, cell: str
) -> None:
    message = message_of(lambda: load(f"{HEADER}{CANARY},5,basic,{cell}\n"))

    assert "row 1, column churn: the label is not one of No, Yes." in message
    assert "It differs from the declared 'No' only by upper or lower case" in message
    assert f"'{cell}'" not in message


@pytest.mark.parametrize("cell", [CANARY, "", "Nо"])  # the last о is Cyrillic: another letter
def test_a_label_that_is_another_one_is_not_taken_for_a_declared_one(
    load: Load, message_of: Message, cell: str
) -> None:
    message = message_of(lambda: load(f"{HEADER}{CANARY},5,basic,{cell}\n"))

    assert "differs from the declared" not in message


def test_a_category_that_differs_in_form_alone_names_the_declared_one(
    load: Load, message_of: Message
) -> None:
    message = message_of(lambda: load(f"{HEADER}{CANARY},5,GOLD,No\n"))

    assert "column plan" in message and "differs from the declared 'gold'" in message


@pytest.mark.parametrize(("declared", "cell"), [("Zoé", "Zoe\u0301"), ("Zoe\u0301", "Zoé")])
def test_two_unicode_forms_of_one_text_are_equal(load: Load, declared: str, cell: str) -> None:
    churn = {"churn": {"role": "label", "values": {declared: 0, "Yes": 1}}}

    table, _ = load(f"{HEADER}c1,5,basic,{cell}\n", columns=churn)

    assert table.categories["churn"].tolist() == [0]


@pytest.mark.parametrize("encoding", ["utf-7", "unicode_escape", "raw_unicode_escape"])
def test_half_a_surrogate_pair_is_refused_in_csv_too(
    read: Read, message_of: Message, encoding: str
) -> None:
    half = {"utf-7": "+2AA-"}.get(encoding, r"\ud800")
    content = f"{HEADER}{CANARY}{half},5,basic,No\n"

    message = message_of(lambda: read(content, source={"encoding": encoding}))

    assert "calls.csv" in message


MEMORY = """
import resource, sys
from pathlib import Path
sys.path[:0] = {paths!r}
from fedcc.data.csv_source import read_csv
from fedcc.data.source_spec import SourceSpec
source = SourceSpec(kind="csv", path=None, file=None, encoding="utf-8", delimiter=",",
                    package=None, item=None)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
table = read_csv(Path({path!r}), source, ["a", "b", "c"])
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(table.n_rows, after - before)
"""


def test_300_000_rows_of_three_columns_stay_below_30_megabytes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "long.csv"
    path.write_text("a,b,c\n" + "".join(f"{i % 9},{i % 70},yes\n" for i in range(1_000)) * 300)

    code = MEMORY.format(path=str(path), paths=sys.path)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    rows, kilobytes = map(int, done.stdout.split())
    assert rows == 300_000
    # Three lists of 8 bytes a cell are 7 MB, and lists grow by an eighth ahead of need.
    assert kilobytes * 1024 < 30e6  # ru_maxrss is in kilobytes on Linux


def test_a_cell_of_the_label_column_that_looks_like_a_path_is_a_cell(
    load: Load, message_of: Message
) -> None:
    message = message_of(lambda: load(f"{HEADER}{CANARY},5,basic,/etc/passwd\n"))

    assert "the label is not one of" in message and "passwd" not in message
