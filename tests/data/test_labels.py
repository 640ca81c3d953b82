"""Several labels of a row, labels out of scope, rows that are no part of the set, public words."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcc.data.connectors import read_columns
from fedcc.data.gates import GateCounts, Table
from fedcc.data.partition import held_rows, split_test_rows
from fedcc.data.spec import DataSpec
from fedcc.data.wording import without_form, words_of
from fedcc.errors import ConfigError

HEADER = "customer,tenure,plan,churn\n"
CANARY = "ZZCANARYZZ"

Make = Callable[..., DataSpec]
Load = Callable[..., tuple[Table, GateCounts]]
Message = Callable[..., str]


def label(**keys: Any) -> dict[str, Any]:
    return {"churn": {"role": "label", "values": ["No", "Yes"], **keys}}


SEVERAL = (
    "c1,5,basic,Yes | No\nc2,5,basic,No\nc3,5,basic,Yes|Yes|\nc4,5,basic,|Yes\nc5,5,basic,No|Yes\n"
)


def test_rows_with_several_labels_are_dropped_and_counted(load: Load) -> None:
    table, counts = load(HEADER + SEVERAL, columns=label(separator="|"))

    assert table.texts["customer"] == ["c2", "c3", "c4"]
    assert table.categories["churn"].tolist() == [0, 1, 1]  # one label twice is one label
    assert counts.refused == {"multi_label": 2}


def test_the_first_of_several_labels_counts_where_the_yaml_says_so(load: Load) -> None:
    first = {"multi_label": "first"}

    table, counts = load(HEADER + SEVERAL, columns=label(separator="|"), drop_rows=first)

    assert table.categories["churn"].tolist() == [1, 0, 1, 1, 0]
    assert (counts.refused, counts.first_label_taken) == ({}, 2)


def test_without_a_separator_two_labels_in_a_cell_are_no_declared_value(
    load: Load, message_of: Message
) -> None:
    message = message_of(lambda: load(f"{HEADER}{CANARY},5,basic,Yes|No\n", columns=label()))

    assert "row 1, column churn: the label is not one of No, Yes" in message


def test_a_list_in_json_is_several_labels_by_itself(load: Load) -> None:
    rows = [
        {"customer": name, "tenure": 5, "plan": "basic", "churn": churn}
        for name, churn in (("a", ["Yes", "No"]), ("b", ["No"]), ("c", "Yes"))
    ]

    table, counts = load("\n".join(map(json.dumps, rows)), source={"kind": "jsonl"})

    assert table.texts["customer"] == ["b", "c"]
    assert counts.refused == {"multi_label": 1}


def test_a_control_sign_in_csv_never_splits_a_label(load: Load, message_of: Message) -> None:
    message = message_of(lambda: load(f"{HEADER}{CANARY},5,basic,Yes\x1fNo\n"))

    assert "the label is not one of" in message


@pytest.mark.parametrize("empty", ["", "|", " | "])
def test_no_label_at_all_is_a_missing_one(load: Load, message_of: Message, empty: str) -> None:
    content = f"{HEADER}{CANARY},5,basic,{empty}\n"

    message = message_of(lambda: load(content, columns=label(separator="|")))

    assert "the label is missing" in message


SCOPE = HEADER + "".join(f"c{i},5,basic,{'oos' if i % 3 == 0 else 'No'}\n" for i in range(60))


def test_rows_out_of_scope_are_held_and_neither_train_nor_test(load: Load, make_spec: Make) -> None:
    columns = label(out_of_scope=["oos"])
    table, counts = load(SCOPE, columns=columns)

    train, test = split_test_rows(table, spec := make_spec(columns=columns), split_seed=0)
    held = held_rows(table, spec)

    assert np.sort(np.concatenate([train, test, held])).tolist() == list(range(60))
    assert held.tolist() == list(range(0, 60, 3))
    assert set(table.categories["churn"][held].tolist()) == {-1}
    assert (counts.out_of_scope, counts.rows_admitted) == (20, 60)
    assert set(spec.columns["churn"].codes) == {"No", "Yes"}  # no class of its own


def test_an_undeclared_label_is_not_taken_for_out_of_scope(load: Load, message_of: Message) -> None:
    content = SCOPE + f"{CANARY},5,basic,other\n"

    assert "row 61" in message_of(lambda: load(content, columns=label(out_of_scope=["oos"])))


def test_an_empty_label_may_be_declared_out_of_scope(load: Load) -> None:
    columns = label(out_of_scope=["none"], missing="none")

    table, _ = load(f"{HEADER}c1,5,basic,\nc2,5,basic,Yes\n", columns=columns)

    assert table.categories["churn"].tolist() == [-1, 1]


def test_only_rows_out_of_scope_leave_nothing_to_train(
    load: Load, make_spec: Make, message_of: Message
) -> None:
    columns = label(out_of_scope=["oos"])
    table, _ = load(f"{HEADER}c1,5,basic,oos\n", columns=columns)

    message = message_of(lambda: split_test_rows(table, make_spec(columns=columns), 0))

    assert "leaves no training rows" in message


KEEP = "part," + HEADER + "a,c1,5,basic,No\nb,c2,x,silver,?\n 1.0,c3,5,gold,Yes\n"


def test_rows_that_are_no_part_of_the_set_are_counted_and_never_checked(load: Load) -> None:
    table, counts = load(KEEP, keep_rows={"part": ["a", 1]})

    assert table.row.tolist() == [1, 3]  # numbers of rows stay those of the file
    assert (counts.rows_read, counts.not_kept, counts.refused) == (3, 1, {})
    assert "part" not in table.texts


def test_without_the_rule_the_same_row_ends_the_run(load: Load, message_of: Message) -> None:
    message = message_of(lambda: load(KEEP))

    assert "row 2" in message


def test_a_rule_that_keeps_nothing_names_its_columns(load: Load, message_of: Message) -> None:
    message = message_of(lambda: load(KEEP, keep_rows={"part": [CANARY[:3]]}))

    assert "keep_rows of the data YAML leaves no row of 3. Its columns are part" in message


def test_consent_is_asked_of_kept_rows_alone(load: Load) -> None:
    consent = {"basis": "per_row", "columns": {"status": "s", "at": "t", "scope": "c"}}
    rows = (
        "part,customer,tenure,plan,churn,s,t,c\n"
        "a,c1,5,gold,No,granted,2026-05-30T10:00:00Z,ml_training\n"
        "b,c2,5,gold,No,refused,2026-05-30T10:00:00Z,ml_training\n"
        "a,c3,5,gold,No,refused,2026-05-30T10:00:00Z,ml_training\n"
    )

    _, counts = load(rows, consent=consent, keep_rows={"part": ["a"]})

    assert (counts.not_kept, counts.refused) == (1, {"consent_status": 1})


def test_test_rows_may_be_marked_by_several_values(load: Load, make_spec: Make) -> None:
    test = {"kind": "column", "column": "fold", "value": [0, "b"]}
    columns = {"fold": {"role": "split"}}
    rows = "".join(f"{fold},c,5,gold,No\n" for fold in (1, 0, "b", 2))

    table, _ = load(f"fold,{HEADER}{rows}", columns=columns, test=test)
    train, held_out = split_test_rows(table, make_spec(columns=columns, test=test), 0)

    assert (train.tolist(), held_out.tolist()) == ([0, 3], [1, 2])


def test_class_names_and_words_stand_in_the_order_of_the_codes(make_spec: Make) -> None:
    values = {"stay": 1, "lostCard": 0, "moved_out?": 2, "left": 2}
    names = {"stay": "is happy  with us", "left": "has left"}

    spec = make_spec(columns={"churn": {"role": "label", "values": values, "label_names": names}})

    assert spec.class_names == ("lostCard", "stay", "moved_out?")
    assert spec.label_words == ("lost card", "is happy with us", "has left")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("card_arrival", "card arrival"),
        ("Refund_not_showing_up", "refund not showing up"),
        ("reverted_card_payment?", "reverted card payment"),
        ("lostCard", "lost card"),
        ("PINBlocked", "pin blocked"),
        ("top-up", "top up"),
        ("w2", "w2"),
        ("?", "?"),
    ],
)
def test_a_value_reads_as_words(value: str, words: str) -> None:
    assert words_of(value) == words


@given(st.text(max_size=12))
def test_texts_that_are_equal_in_case_and_form_are_found_alike(text: str) -> None:
    assert without_form(text) == without_form(f" \u200b{text}\u00ad ")


LABELS: dict[str, tuple[dict[str, Any], str]] = {
    "name of no value": (label(label_names={"Yess": "x"}), "'Yess'.*Did you mean 'Yes'"),
    "name without words": (label(label_names={"Yes": " "}), "no words for 'Yes'"),
    "separator of spaces": (label(separator=" "), "separator must hold"),
    "separator in a value": (label(values=["a|b", "c"], separator="|"), "holds the separator"),
    "out of scope and a class": (label(out_of_scope=["Yes"]), "twice"),
    "one value in two forms": (label(values=["Zoé", "Zoe\u0301"]), "twice"),
    "one key in two forms": (label(values={"Zoé": 0, "Zoe\u0301": 1}), "twice"),
    "separator of a feature": (
        {"plan": {"role": "feature", "kind": "category", "values": ["a"], "separator": "|"}},
        "separator belongs to the column of role: label",
    ),
    "a text with a kind": (
        {"note": {"role": "text", "kind": "category", "values": ["a"]}},
        "columns.note: a text has no kind",
    ),
}
OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing is kept": ({"keep_rows": {"plan": []}}, "keep_rows.plan lists no value"),
    "no test value": ({"test": {"kind": "column", "column": "plan", "value": []}}, "value"),
    "generated without rows": ({"source": {"kind": "generated", "item": "x"}}, "'rows' and 'seed'"),
    "no rows": ({"source": {"rows": 0}}, "rows must be at least 1"),
    "part column of csv": ({"source": {"part_column": "p"}}, "part_column needs kind: json"),
    "field twice": ({"source": {"fields": ["a", "a"]}}, "'a' is named twice"),
    "placeholder is a field": ({"source": {"fields": ["a"], "file": "{a}.csv"}}, "'a' is named"),
    "fields of a package": (
        {"source": {"kind": "package", "package": "p", "item": "i", "fields": ["a"]}},
        "names its own columns",
    ),
}


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [({"columns": columns}, text) for columns, text in LABELS.values()] + list(OTHERS.values()),
    ids=[*LABELS, *OTHERS],
)
def test_new_keys_that_contradict_themselves_are_refused(
    make_spec: Make, changes: dict[str, Any], fragment: str
) -> None:
    with pytest.raises(ConfigError, match=f"(?s)^data.*{fragment}"):
        make_spec(**changes)


MISTYPED = {
    "fieds": ({"source": {"fieds": ["a"]}}, "fields"),
    "part_colum": ({"source": {"part_colum": "a"}}, "part_column"),
    "keep_row": ({"keep_row": {}}, "keep_rows"),
    "label_name": ({"columns": label(label_name={})}, "label_names"),
    "seperator": ({"columns": label(seperator="|")}, "separator"),
    "out_of_scop": ({"columns": label(out_of_scop=["x"])}, "out_of_scope"),
}


@pytest.mark.parametrize(("changes", "meant"), MISTYPED.values(), ids=MISTYPED.keys())
def test_a_mistyped_key_is_answered_with_the_nearest_one(
    make_spec: Make, message_of: Message, changes: dict[str, Any], meant: str
) -> None:
    message = message_of(lambda: make_spec(**changes), error=ConfigError)

    assert f"Did you mean '{meant}'?" in message


def test_mixed_keys_of_values_can_be_hashed_as_json(make_spec: Make) -> None:
    spec = make_spec(columns={"churn": {"role": "label", "values": {0: 0, "Yes": 1}}})

    assert list(json.loads(json.dumps(spec.columns["churn"].values, sort_keys=True))) == [
        "0",
        "Yes",
    ]


def test_scoring_ignores_which_rows_belong_to_the_set(make_spec: Make, tmp_path: Path) -> None:
    (tmp_path / "score.csv").write_text("plan\ngold\n")
    spec = make_spec(keep_rows={"part": ["a"]})

    assert read_columns(tmp_path / "score.csv", spec.source, ["plan"]).kept is None
