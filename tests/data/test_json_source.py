"""JSON becomes the same trimmed cells as CSV, or is refused by file and row."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcc.data.connectors import read_table
from fedcc.data.raw_table import LIST_SEPARATOR, RawTable
from fedcc.data.spec import DataSpec
from fedcc.errors import FedccError

CANARY = "ZZCANARYZZ"
ROW = {"customer": "c1", "tenure": 5, "plan": "basic", "churn": "No"}
COLUMNS = {"customer": ["c1"], "tenure": ["5"], "plan": ["basic"], "churn": ["No"]}
LINES, ARRAY = {"kind": "jsonl"}, {"kind": "json"}

Make = Callable[..., DataSpec]
Read = Callable[..., RawTable]
Message = Callable[..., str]


@pytest.mark.parametrize(
    ("content", "source"),
    [
        (f"{json.dumps(ROW)}\n", LINES),
        (f"\n{json.dumps(ROW)}\r\n  \n", LINES),
        (json.dumps([ROW]), ARRAY),
        (f"\ufeff{json.dumps([ROW], indent=2)}", ARRAY),
        (json.dumps({"data": [ROW], "version": "1.0"}), ARRAY),
        (json.dumps(ROW | {"secret": CANARY, "more": [{"deep": {}}]}), LINES),
        (json.dumps([list(ROW.values())]), ARRAY | {"fields": list(ROW)}),
        (json.dumps(list(ROW.values())), LINES | {"fields": list(ROW)}),
        (json.dumps(ROW).encode("utf-16"), LINES | {"encoding": "utf-16"}),
        (",".join(map(str, ROW.values())), {"kind": "csv", "fields": list(ROW)}),
    ],
)
def test_one_row_reads_alike_in_every_format(read: Read, content: Any, source: Any) -> None:
    assert read(content, source=source).columns == COLUMNS


PER_ROW = {"basis": "per_row", "columns": {"status": "s", "at": "t", "scope": "c"}}
CONSENT = ROW | {"s": "granted", "t": "2026-05-01T10:00Z"}


@pytest.mark.parametrize("source", [LINES, ARRAY], ids=["jsonl", "json"])
def test_a_list_of_texts_in_the_scope_column_is_several_scopes(read: Read, source: Any) -> None:
    row = CONSENT | {"c": ["recording", "ml_training"]}
    content = json.dumps(row if source is LINES else [row])

    raw = read(content, source=source, consent=PER_ROW)

    assert raw.columns["c"] == ["recording;ml_training"]


@pytest.mark.parametrize(
    ("scopes", "fragment"),
    [
        ([f"{CANARY};ml_training"], "a scope of the list holds one of"),
        ([f"{CANARY},ml_training"], "a scope of the list holds one of"),
        ([f"{CANARY}|ml_training"], "a scope of the list holds one of"),
        ([["ml_training"]], "a scope of the list is no text"),
        ([None, "ml_training"], "a scope of the list is no text"),
        ([{CANARY: 1}], "a scope of the list is no text"),
    ],
)
def test_a_list_that_would_read_as_other_scopes_is_refused(
    read: Read, message_of: Message, scopes: Any, fragment: str
) -> None:
    content = json.dumps(CONSENT | {"c": scopes})

    message = message_of(lambda: read(content, source=LINES, consent=PER_ROW))

    assert "row 1, column c: " + fragment in message


def test_a_list_in_another_consent_column_is_refused(read: Read, message_of: Message) -> None:
    content = json.dumps(CONSENT | {"s": ["granted"], "c": "ml_training"})

    message = message_of(lambda: read(content, source=LINES, consent=PER_ROW))

    assert "column s: a list where text or a number is expected" in message


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (" five ", "five"),
        (None, ""),
        (True, "true"),
        (0, "0"),
        (1.50, "1.5"),
        (10**30, "1" + "0" * 30),
    ],
)
def test_a_value_becomes_the_text_that_stands_in_the_file(
    read: Read, value: object, cell: str
) -> None:
    raw = read(json.dumps(ROW | {"tenure": value}), source=LINES)

    assert raw.columns["tenure"] == [cell]


@pytest.mark.parametrize("number", ["1.0", "1e400", "-0", "9" * 100_000, "NaN", "-Infinity"])
def test_a_number_keeps_its_spelling_so_that_none_is_too_large(read: Read, number: str) -> None:
    content = json.dumps(ROW | {"tenure": 77}).replace("77", number)

    assert read(content, source=LINES).columns["tenure"] == [number]


def test_not_a_number_is_refused_by_the_gate_of_its_column(
    load: Callable[..., Any], message_of: Message
) -> None:
    message = message_of(lambda: load(json.dumps(ROW | {"tenure": float("nan")}), source=LINES))

    assert "calls.jsonl, row 1, column tenure: the value is not a number in [0, 72]" in message


def test_a_dotted_name_reaches_into_an_object_unless_a_key_has_that_name(read: Read) -> None:
    columns = {"customer": None, "who.id": {"role": "customer"}}
    nested = ROW | {"who": {"id": "inner"}}

    inside = read(json.dumps(nested), source=LINES, columns=columns)
    literal = read(json.dumps(nested | {"who.id": "outer"}), source=LINES, columns=columns)

    assert inside.columns["who.id"] == ["inner"]
    assert literal.columns["who.id"] == ["outer"]


def test_a_key_that_some_rows_lack_is_an_empty_cell(read: Read) -> None:
    short = {name: value for name, value in ROW.items() if name != "plan"}

    raw = read(f"{json.dumps(short)}\n{json.dumps(ROW)}", source=LINES)

    assert raw.columns["plan"] == ["", "basic"]


def test_a_list_of_labels_is_one_cell_with_several_items(read: Read) -> None:
    raw = read(json.dumps(ROW | {"churn": ["No", "Yes"]}), source=LINES)

    assert raw.columns["churn"] == [f"No{LIST_SEPARATOR}Yes"]
    assert raw.lists == {"churn"}


def test_arrays_of_an_object_are_told_apart_by_the_part_column(
    make_spec: Make, tmp_path: Any
) -> None:
    path = tmp_path / "calls.json"
    path.write_text(json.dumps({"b": [ROW, ROW], "a": [ROW]}))
    spec = make_spec(
        source=ARRAY | {"part_column": "part"},
        columns={"part": {"role": "split"}},
        test={"kind": "column", "column": "part", "value": "a"},
    )

    raw = read_table(spec, str(path))

    assert raw.columns["part"] == ["b", "b", "a"]
    assert raw.place(1) == f"{path}, array 1, row 2"
    assert raw.place(2) == f"{path}, array 2, row 1"


def test_a_test_file_may_be_json(make_spec: Make, tmp_path: Any) -> None:
    (tmp_path / "a.json").write_text(json.dumps([ROW]))
    (tmp_path / "b.json").write_text(json.dumps([ROW, ROW]))
    spec = make_spec(source=ARRAY, test={"kind": "file", "path": "b.json"})

    raw = read_table(spec, str(tmp_path / "a.json"))

    assert (raw.n_rows, raw.n_train_rows) == (3, 1)
    assert raw.place(2) == f"{tmp_path}/b.json, row 2"


GOOD = json.dumps(ROW)
HOSTILE: dict[str, tuple[str | bytes, dict[str, Any], list[str]]] = {
    "empty": ("", LINES, ["holds no rows"]),
    "empty array file": (" \n", ARRAY, ["is empty"]),
    "no rows": ("[]", ARRAY, ["holds no rows"]),
    "not JSON": (f"{GOOD}\n{{{CANARY}", LINES, ["row 2: not valid JSON", "source.kind"]),
    "cut off": (f"[{GOOD},\n {{", ARRAY, ["not valid JSON at line 2"]),
    "lines as an array": (f"{GOOD}\n{GOOD}", ARRAY, ["not valid JSON at line 2", "jsonl"]),
    "array as lines": (json.dumps([ROW]), LINES, ["row 1", "no JSON object", "source.fields"]),
    "a scalar row": (f"[{GOOD}, 5]", ARRAY, ["row 2: the row is no JSON object"]),
    "a scalar file": (f'"{CANARY}"', ARRAY, ["neither an array"]),
    "columns instead of rows": (
        json.dumps({name: [value] for name, value in ROW.items()}),
        ARRAY,
        ["4 arrays", "source.part_column"],
    ),
    "no arrays": (GOOD, ARRAY, ["neither an array of rows nor an object"]),
    "one array for a part column": (
        f"[{GOOD}]",
        ARRAY | {"part_column": "part"},
        ["source.part_column 'part'"],
    ),
    "nested text": (
        json.dumps(ROW | {"plan": {"name": CANARY}}),
        LINES,
        ["row 1, column plan: an object", "'plan.KEY'"],
    ),
    "a list outside the label": (
        json.dumps(ROW | {"plan": [CANARY]}),
        LINES,
        ["row 1, column plan: a list"],
    ),
    "a list in a list": (json.dumps(ROW | {"churn": [["No"]]}), LINES, ["column churn: a list"]),
    "a control sign in a label": (
        json.dumps(ROW | {"churn": [f"{CANARY}\x1f"]}),
        LINES,
        ["column churn: a label holds a control sign"],
    ),
    "deep nesting": ("[" * 100_000, ARRAY, ["nested too deeply"]),
    "deep nesting in a line": ('{"x":' * 100_000, LINES, ["row 1: nested too deeply"]),
    "a key twice": (
        f'{GOOD}\n{{"customer": "{CANARY}", {GOOD[1:]}',
        LINES,
        ["row 2: the object holds a key twice"],
    ),
    "half a surrogate pair": (
        json.dumps(ROW | {"customer": f"{CANARY}\ud800"}),
        LINES,
        ["row 1, column customer: the cell holds half a surrogate pair"],
    ),
    "NUL": (
        json.dumps(ROW | {"customer": f"{CANARY}\0"}),
        LINES,
        ["row 1, column customer: the cell holds a NUL"],
    ),
    "2 MB cell": (
        json.dumps(ROW | {"customer": CANARY * 200_000}),
        LINES,
        ["row 1, column customer: the cell is longer than 1000000"],
    ),
    "wrong encoding": (GOOD.encode("utf-16"), LINES, ["line 1", "not utf-8-sig text"]),
    "mixed encodings": (
        f"{GOOD}\n".encode() + f'{{"customer": "{CANARY}é"}}'.encode("latin-1"),
        LINES,
        ["line 2", "source.encoding"],
    ),
    "too few cells": ('["c1"]', LINES | {"fields": list(ROW)}, ["1 cells where source.fields"]),
    "objects for fields": (GOOD, LINES | {"fields": list(ROW)}, ["names the cells of arrays"]),
    "a missing column": (
        json.dumps({**ROW, "chrun": "No", "churn": "No"}).replace('"churn"', '"x"'),
        LINES,
        ["missing columns churn. Did you mean 'chrun'?"],
    ),
}


@pytest.mark.parametrize(("content", "source", "fragments"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_json_is_refused_by_name_and_place_and_never_quoted(
    read: Read,
    message_of: Message,
    content: str | bytes,
    source: dict[str, Any],
    fragments: list[str],
) -> None:
    message = message_of(lambda: read(content, source=source))

    assert "calls.json" in message
    assert [fragment for fragment in fragments if fragment not in message] == []


def test_a_key_that_stands_twice_is_refused_only_where_a_column_reads_it(
    read: Read, message_of: Message
) -> None:
    content = f'{GOOD[:-1]}, "who": {{"id": "{CANARY}", "id": 2}}}}'

    assert read(content, source=LINES).columns == COLUMNS
    columns = {"who.id": {"role": "text"}}
    message = message_of(lambda: read(content, source=LINES, columns=columns))

    assert "row 1, column who.id: the object holds a key twice" in message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@given(
    value=json_values | st.fixed_dictionaries(dict.fromkeys(ROW, json_values)),
    kind=st.sampled_from(["json", "jsonl"]),
    array=st.booleans(),
)
@settings(deadline=None, max_examples=200)
def test_any_json_is_read_or_refused_but_never_crashes(
    make_spec: Make, tmp_path_factory: pytest.TempPathFactory, value: Any, kind: str, array: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps([value] if array else value))

    try:
        raw = read_table(make_spec(source={"kind": kind}), str(path))
    except FedccError as error:
        assert str(error).startswith(str(path))
    else:
        assert {len(cells) for cells in raw.columns.values()} == {raw.n_rows}


def test_columns_instead_of_rows_are_refused_with_the_remedy(
    read: Read, message_of: Message
) -> None:
    content = json.dumps({name: [CANARY, CANARY] for name in ROW})

    message = message_of(lambda: read(content, source=ARRAY))

    assert "column-oriented JSON is not read: write one object per row" in message
