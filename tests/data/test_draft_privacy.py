"""A draft never shows what somebody said, and takes what tells people apart for the customer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedcc.data.drafting import draft_yaml

CANARY = "ZZCANARYZZ"
WISHES = ("bill", "roam", "cancel", "port")


def written(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "calls.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def said(i: int) -> str:
    return f"{CANARY} I have asked you about this {i % 9} times before"


def test_the_name_of_a_label_goes_before_a_list(tmp_path: Path) -> None:
    rows = [
        {"text": said(i), "turns": [said(i), f"{CANARY} no"], "intent": WISHES[i % 4]}
        for i in range(60)
    ]

    text = draft_yaml(written(tmp_path, rows), "intent").text

    assert "intent: {role: label, values: [bill, cancel, port, roam]}" in text
    assert "turns is left out: it holds lists" in text
    assert CANARY not in text


def test_a_list_of_utterances_alone_is_no_label(tmp_path: Path) -> None:
    rows = [{"text": said(i), "turns": [said(i), f"{CANARY} no"]} for i in range(60)]

    draft = draft_yaml(written(tmp_path, rows), "intent")

    assert CANARY not in draft.text
    assert any("no column looks like the label" in text for text in draft.warnings)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (lambda i: f"{CANARY}{'x' * 60}{i % 3}", "as long as what somebody says"),
        (lambda i: f"{CANARY} b c d e f {i % 3}", "as long as what somebody says"),
        (lambda i: f"{CANARY}{i * 2 // 3}", "nearly every row has one of its own"),
        (lambda i: f"{CANARY}{i % 501}", "there are 501 of them"),
    ],
    ids=["characters", "words", "near-unique", "classes"],
)
@pytest.mark.parametrize("name", ["intent", "label", "category", "class", "wish"])
def test_a_label_that_may_be_words_of_a_caller_gets_a_placeholder(
    tmp_path: Path, value: Callable[[int], str], reason: str, name: str
) -> None:
    rows = [
        {"text": f"please help me with my {i % 40} bills and all the rest", name: value(i)}
        for i in range(1200)
    ]

    draft = draft_yaml(written(tmp_path, rows), "intent")

    assert f"{name}: {{role: label, values: ???}}" in draft.text
    assert reason in draft.text
    assert CANARY not in draft.text + " ".join(draft.warnings)


def test_a_category_of_sentences_is_left_out(tmp_path: Path) -> None:
    rows = [{"use": i % 9, "tale": said(i % 2), "churn": i % 2} for i in range(60)]

    text = draft_yaml(written(tmp_path, rows), "churn").text

    assert "tale is left out" in text
    assert CANARY not in text


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("extra", [{}, {"version": 1}])
def test_column_oriented_json_is_refused_with_the_remedy(
    tmp_path: Path, message_of: Callable[..., str], indent: int | None, extra: dict[str, int]
) -> None:
    path = tmp_path / "calls.json"
    columns = {"text": [CANARY, f"{CANARY} too"], "intent": ["a", "b"]}
    path.write_text(json.dumps(columns | extra, indent=indent))

    message = message_of(lambda: draft_yaml(path, "intent"))

    assert "column-oriented JSON is not read: write one object per row" in message


def test_an_id_that_repeats_goes_before_one_of_single_rows(tmp_path: Path) -> None:
    rows = [
        {"account_id": f"a{i}", "caller_id": f"c{i % 20}", "text": said(i), "intent": WISHES[i % 4]}
        for i in range(60)
    ]

    text = draft_yaml(written(tmp_path, rows), "intent").text

    assert "caller_id: {role: customer}" in text
    assert "account_id: {role" not in text


def test_an_id_of_single_rows_is_taken_where_there_is_no_other(tmp_path: Path) -> None:
    rows = [{"customer_id": f"c{i}", "use": i % 9, "churn": i % 2} for i in range(60)]

    assert "customer_id: {role: customer}" in draft_yaml(written(tmp_path, rows), "churn").text
