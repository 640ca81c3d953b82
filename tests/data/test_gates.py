"""Cells become numbers and codes of declared domains; everything else is refused or counted."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedcc.data.connectors import read_table
from fedcc.data.gates import GateCounts, Table, admit
from fedcc.data.pii import NOT_COVERED
from fedcc.data.spec import DataSpec

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CANARY = "ZZCANARYZZ"
HEADER = "customer,tenure,plan,churn\n"
FIRST = "c1,5,basic,No\n"

Make = Callable[..., DataSpec]
Load = Callable[..., tuple[Table, GateCounts]]
Message = Callable[..., str]


def test_cells_become_numbers_codes_and_text(load: Load) -> None:
    table, counts = load(HEADER + FIRST + "c2,7.5,gold,Yes\n")

    assert table.numbers["tenure"].tolist() == [5.0, 7.5]
    assert table.categories["plan"].tolist() == [0, 1]
    assert table.categories["churn"].tolist() == [0, 1]
    assert table.texts == {"customer": ["c1", "c2"]}
    assert table.row.tolist() == [1, 2]
    assert counts.as_dict() == {
        "rows_read": 2,
        "not_kept": 0,
        "refused": {},
        "clamped": 0,
        "clamped_by_column": {},
        "unreadable": {},
        "first_label_taken": 0,
        "redacted": {},
        "not_redacted": list(NOT_COVERED),
        "rows_admitted": 2,
        "out_of_scope": 0,
    }


TENURE = {"role": "feature", "kind": "number", "bounds": [0, 72]}
PLAN = {"role": "feature", "kind": "category", "values": ["basic", "gold"]}


@pytest.mark.parametrize(
    ("cell", "number"),
    [("0", 0.0), ("72", 72.0), ("7.25", 7.25), ("1e1", 10.0), ("+3", 3.0), ("-0.0", 0.0)],
)
def test_a_number_within_its_bounds_is_read(load: Load, cell: str, number: float) -> None:
    table, _ = load(f"{HEADER}c1,{cell},basic,No\n")

    assert table.numbers["tenure"].tolist() == [number]


@pytest.mark.parametrize(
    "cell",
    ["-1", "72.0001", "nan", "NaN", "inf", "-inf", "infinity", "1e400", "1_0", "5 €", '"1,5"']
    + ["0x10", "five", CANARY],
)
def test_a_number_outside_its_domain_ends_the_run_with_its_place_and_domain(
    load: Load, message_of: Message, tmp_path: Path, cell: str
) -> None:
    content = f"{HEADER}{FIRST}{CANARY},{cell},basic,No\n"

    message = message_of(lambda: load(content))

    assert message.startswith(f"{tmp_path}/calls.csv, row 2, column tenure: the value is not")
    assert "a number in [0, 72]" in message and "out_of_bounds" in message


def test_a_decimal_comma_is_answered_with_the_way_numbers_are_written(
    load: Load, message_of: Message
) -> None:
    message = message_of(lambda: load(f'{HEADER}{CANARY},"1,5",basic,No\n'))

    assert "written like -1234.5" in message


@pytest.mark.parametrize("cell", ["silver", "Gold", "gold.0", "0", CANARY])
def test_an_undeclared_category_ends_the_run_with_the_declared_ones(
    load: Load, message_of: Message, cell: str
) -> None:
    message = message_of(lambda: load(f"{HEADER}{FIRST}{CANARY},5,{cell},No\n"))

    assert "row 2, column plan: the value is not one of basic, gold." in message


@pytest.mark.parametrize("cell", ["no", "YES", "Maybe", "0", CANARY])
def test_an_undeclared_label_ends_the_run_and_case_counts(
    load: Load, message_of: Message, cell: str
) -> None:
    message = message_of(lambda: load(f"{HEADER}{FIRST}{CANARY},5,gold,{cell}\n"))

    assert "row 2, column churn: the label is not one of No, Yes." in message


def test_a_long_list_of_categories_is_cut_in_the_message(load: Load, message_of: Message) -> None:
    plan = {**PLAN, "values": [f"v{i}" for i in range(40)]}

    message = message_of(lambda: load(HEADER + FIRST, columns={"plan": plan}))

    assert "v11, …" in message and "v12" not in message


@pytest.mark.parametrize("values", [[0, 1], ["0", "1"], [0.0, 1.0], {0: 0, 1: 1}, {"0": 0, "1": 1}])
def test_whole_numbers_as_categories_match_with_and_without_a_decimal_zero(
    load: Load, values: Any
) -> None:
    plan = {"role": "feature", "kind": "category", "values": values}

    table, _ = load(f"{HEADER}c1,5,1,No\nc2,5,1.0,No\nc3,5,0,No\n", columns={"plan": plan})

    assert table.categories["plan"].tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("column", "row", "place"),
    [
        (
            "tenure",
            ",basic,No",
            "the value is missing. Mend the row, declare columns.tenure.missing",
        ),
        ("plan", "5, ,No", "the value is missing. Mend the row, declare columns.plan.missing"),
        ("churn", "5,gold,", "the label is missing. Mend the row, or set out_of_bounds: drop."),
    ],
)
def test_a_missing_value_without_a_default_ends_the_run(
    load: Load, message_of: Message, column: str, row: str, place: str
) -> None:
    message = message_of(lambda: load(f"{HEADER}{CANARY},{row}\n"))

    assert f"row 1, column {column}: {place}" in message


def test_a_missing_value_takes_the_declared_default(load: Load) -> None:
    columns = {"tenure": TENURE | {"missing": 0}, "plan": PLAN | {"missing": "gold"}}

    table, counts = load(f"{HEADER}c1,,,No\n", columns=columns)

    assert (table.numbers["tenure"][0], table.categories["plan"][0]) == (0.0, 1)
    assert counts.clamped == 0  # a declared default is no clamped value


def test_clamping_moves_numbers_to_their_nearest_bound_and_counts_them(load: Load) -> None:
    rows = "a,-3,gold,No\nb,99,gold,No\nc,-inf,gold,No\nd,1e400,gold,No\ne,5,gold,No\n"

    table, counts = load(HEADER + rows, out_of_bounds="clamp")

    assert table.numbers["tenure"].tolist() == [0.0, 72.0, 0.0, 72.0, 5.0]
    assert (counts.clamped, counts.refused) == (4, {})


def test_clamping_gives_the_default_where_there_is_no_nearest_value(load: Load) -> None:
    columns = {"tenure": TENURE | {"missing": 9}, "plan": PLAN | {"missing": "gold"}}

    table, counts = load(
        f"{HEADER}c1,nan,basic,No\nc2,5,silver,No\n", columns=columns, out_of_bounds="clamp"
    )

    assert table.numbers["tenure"].tolist() == [9.0, 5.0]
    assert table.categories["plan"].tolist() == [0, 1]
    assert (counts.clamped, counts.clamped_by_column) == (1, {"plan": 1})
    assert counts.unreadable == {"tenure": 1}  # what holds no number has no nearest bound


@pytest.mark.parametrize("rule", ["clamp", "drop"])
def test_cells_that_hold_no_number_are_counted_apart_from_clamped_and_empty_ones(
    load: Load, rule: str
) -> None:
    columns = {"tenure": TENURE | {"missing": 9}}
    rows = "a,five,gold,No\nb,6 mo,gold,No\nc,99,gold,No\nd,,gold,No\ne,5,gold,No\n"

    _, counts = load(HEADER + rows, columns=columns, out_of_bounds=rule)

    assert counts.unreadable == {"tenure": 2}
    assert counts.clamped_by_column == ({"tenure": 1} if rule == "clamp" else {})
    assert counts.as_dict()["unreadable"] == {"tenure": 2}


def test_clamping_drops_what_has_no_default_and_every_unknown_label(load: Load) -> None:
    rows = "a,nan,gold,No\nb,5,silver,No\nc,5,gold,no\nd,5,gold,\ne,5,gold,Yes\n"

    table, counts = load(HEADER + rows, out_of_bounds="clamp")

    assert table.texts["customer"] == ["e"]
    assert counts.refused == {"out_of_bounds": 2, "label": 2}


def test_an_unknown_label_never_becomes_the_default_of_a_blank_one(load: Load) -> None:
    churn = {"churn": {"role": "label", "values": {"No": 0, "Yes": 1}, "missing": "No"}}

    table, counts = load(
        f"{HEADER}{FIRST}c2,5,gold,maybe\nc3,5,gold,\n", columns=churn, out_of_bounds="clamp"
    )

    assert table.row.tolist() == [1, 3]
    assert counts.refused == {"label": 1}


def test_a_clamped_value_of_a_dropped_row_is_not_counted(load: Load) -> None:
    _, counts = load(HEADER + FIRST + "c2,99,silver,No\n", out_of_bounds="clamp")

    assert (counts.clamped, counts.rows_admitted) == (0, 1)


def test_dropping_leaves_out_whole_rows_and_counts_each_once(load: Load) -> None:
    rows = "a,99,gold,maybe\nb,99,silver,No\nc,5,gold,maybe\nd,5,gold,Yes\n"

    table, counts = load(HEADER + rows, out_of_bounds="drop")

    assert table.row.tolist() == [4]
    assert table.numbers["tenure"].tolist() == [5.0]
    assert counts.refused == {"out_of_bounds": 2, "label": 1}
    assert counts.clamped == 0


def test_no_row_left_ends_the_run_with_the_counts(load: Load, message_of: Message) -> None:
    message = message_of(lambda: load(f"{HEADER}{CANARY},99,gold,No\n", out_of_bounds="drop"))

    assert "no row of 1 is left after the gates. Rows left out: 1 with a value outside" in message
    assert "bounds, values or missing" in message
    assert "{" not in message


def test_no_row_left_names_every_reason_the_most_frequent_first(
    load: Load, message_of: Message
) -> None:
    rows = f"{CANARY},5,gold,maybe\nb,5,gold,\nc,99,gold,No\n"

    message = message_of(lambda: load(HEADER + rows, out_of_bounds="drop"))

    assert "2 whose label is empty or not among the declared values" in message
    assert message.index("2 whose label") < message.index("1 with a value outside")


DUPLICATES = {"duplicates": True, "multi_label": "drop"}


def test_the_first_of_rows_that_agree_in_every_declared_column_is_kept(load: Load) -> None:
    content = "call," + HEADER + "1,c1,5,gold,No\n2,c1,5,gold,No\n3,c2,5,gold,No\n4,c1,5,gold,Yes\n"

    table, counts = load(content, drop_rows=DUPLICATES)

    assert table.row.tolist() == [1, 3, 4]  # `call` is not declared, so it does not tell rows apart
    assert counts.refused == {"duplicate": 1}


def test_duplicates_stay_unless_the_yaml_drops_them(load: Load) -> None:
    table, _ = load(HEADER + FIRST + FIRST)

    assert table.n_rows == 2


def test_of_rows_that_differ_in_consent_alone_the_first_consenting_one_is_kept(load: Load) -> None:
    content = (
        "customer,tenure,plan,churn,s,t,c\n"
        "c1,5,gold,No,refused,2026-05-30T10:00:00Z,ml_training\n"
        "c1,5,gold,No,granted,2026-05-30T10:00:00Z,ml_training\n"
        "c1,5,gold,No,granted,2026-05-31T10:00:00Z,ml_training\n"
    )
    consent = {"basis": "per_row", "columns": {"status": "s", "at": "t", "scope": "c"}}

    table, counts = load(content, consent=consent, drop_rows=DUPLICATES)

    assert table.row.tolist() == [2]
    assert counts.refused == {"consent_status": 1, "duplicate": 1}


def test_free_text_is_redacted_and_the_replacements_are_counted(load: Load) -> None:
    content = f"note,{HEADER}write to a.b@example.org,{FIRST}"

    table, counts = load(content, columns={"note": {"role": "text"}})

    assert table.texts["note"] == ["write to <email>"]
    assert counts.redacted == {"email": 1}


def test_a_row_of_the_test_file_is_refused_by_that_file_and_its_own_row(
    make_spec: Make, message_of: Message, tmp_path: Path
) -> None:
    spec = make_spec(test={"kind": "file", "path": "test.csv"})
    (tmp_path / "calls.csv").write_text(HEADER + FIRST * 3)
    (tmp_path / "test.csv").write_text(f"{HEADER}{FIRST}{CANARY},99,gold,No\n")
    raw = read_table(spec, str(tmp_path / "calls.csv"))

    message = message_of(lambda: admit(raw, spec, now=NOW))

    assert message.startswith(f"{tmp_path}/test.csv, row 2, column tenure")


def test_rows_of_the_test_file_are_marked(make_spec: Make, tmp_path: Path) -> None:
    spec = make_spec(test={"kind": "file", "path": "test.csv"})
    (tmp_path / "calls.csv").write_text(HEADER + FIRST * 2)
    (tmp_path / "test.csv").write_text(HEADER + FIRST)

    table, _ = admit(read_table(spec, str(tmp_path / "calls.csv")), spec, now=NOW)

    assert table.from_test_file.tolist() == [False, False, True]


def test_taking_rows_takes_them_from_every_column(load: Load) -> None:
    table, _ = load(HEADER + FIRST + "c2,7,gold,Yes\nc3,9,gold,No\n")

    part = table.take(np.array([2, 0]))

    assert part.row.tolist() == [3, 1]
    assert part.numbers["tenure"].tolist() == [9.0, 5.0]
    assert part.categories["plan"].tolist() == [1, 0]
    assert part.texts["customer"] == ["c3", "c1"]
    assert part.from_test_file.tolist() == [False, False]
