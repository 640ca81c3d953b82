"""A drafted YAML loads once its consent is filled in, and leaves out what looks like a person."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from fedcc import config
from fedcc.data.connectors import read_table
from fedcc.data.drafting import DraftResult, draft_yaml
from fedcc.data.gates import GateCounts, Table, admit
from fedcc.data.guessing import round_bounds
from fedcc.data.partition import split_test_rows
from fedcc.data.spec import DataSpec
from fedcc.errors import FedccError

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CANARY = "ZZCANARYZZ"

Message = Callable[..., str]
Folder = Callable[[str], Path]

PUBLIC = '# consent: {basis: public_dataset, source: "WHO PUBLISHED IT, UNDER WHICH LICENCE"}'


def with_consent(text: str) -> str:
    """Do what the draft asks for: keep one of the two blocks and delete the null."""
    assert "\nconsent: null\n" in text and PUBLIC in text
    return text.replace("consent: null\n", "").replace(PUBLIC, PUBLIC.removeprefix("# "))


def spec_of(text: str) -> DataSpec:
    """Merge a YAML into the shipped defaults as Hydra does."""
    defaults = OmegaConf.load(config.config_root() / "simulate.yaml").data
    values: Any = OmegaConf.to_container(
        OmegaConf.merge(defaults, OmegaConf.create(text)), resolve=True
    )
    for key in ("path", "partition", "alpha", "min_rows", "split_seed"):
        del values[key]
    return config.build(DataSpec, values, "data")


def loaded(path: Path, task: Any) -> tuple[DataSpec, Table, GateCounts]:
    """Draft, fill in consent and load."""
    data = spec_of(with_consent(draft_yaml(path, task).text))
    table, counts = admit(read_table(data, str(path)), data, now=NOW)
    split_test_rows(table, data, 0)
    return data, table, counts


def churn_file(folder: Path) -> Path:
    path = folder / "my customers (2026).csv"
    header = (
        'Client Nr;Full name;e-mail;"Years, active";Plan;Paid?;Region;Since;Memo;Left;empty;one;"é"'
    )
    rows = [
        f"K{i:04};{CANARY} {i};{CANARY}{i}@b.org;{i % 50}.5;{('A', 'B', 'No')[i % 3]};"
        f"{('Yes', 'No')[i % 2]};{('Nord', 'Süd')[i % 2]};2026-01-{i % 28 + 1:02};"
        f"he said {CANARY} a number of words {i};{('yes', 'no')[i % 4 == 0]};;7;{i % 2}"
        for i in range(200)
    ]
    path.write_bytes("\n".join([header, *rows]).encode("cp1252"))
    return path


def test_a_churn_file_is_described_column_by_column(tmp_path: Path) -> None:
    data, table, counts = loaded(churn_file(tmp_path), "churn")

    assert (data.source.delimiter, data.source.encoding) == (";", "latin-1")
    assert {name: column.roles for name, column in data.columns.items()} == {
        "Client Nr": ("customer",),
        "Years, active": ("feature",),
        "Plan": ("feature",),
        "Paid?": ("feature",),
        "Region": ("feature", "site"),
        "Left": ("label",),
        "é": ("feature",),
    }
    assert data.columns["Left"].codes == {"no": 0, "yes": 1}
    assert data.columns["Years, active"].bounds == (0.0, 50.0)
    assert data.columns["Paid?"].categories == ("No", "Yes")
    assert data.public_rows == 150
    assert (counts.rows_admitted, counts.refused) == (200, {})


def test_what_is_left_out_is_named_with_a_reason_and_never_quoted(tmp_path: Path) -> None:
    text = draft_yaml(churn_file(tmp_path), "churn").text

    reasons = dict(re.findall(r"^  # (.*) is left out: (.*)\.$", text, re.MULTILINE))
    assert "personal data" in reasons["Full name"]
    assert "personal data" in reasons["e-mail"]
    assert "free text" in reasons["Memo"]
    assert "date or time" in reasons["Since"]
    assert "empty" in reasons["empty"]
    assert "one value" in reasons["one"]
    assert CANARY not in text


def test_a_draft_as_it_stands_trains_nothing_and_says_what_to_decide(
    tmp_path: Path, message_of: Message
) -> None:
    path = churn_file(tmp_path)
    draft = draft_yaml(path, "churn")
    data = spec_of(draft.text)

    message = message_of(lambda: admit(read_table(data, str(path)), data, now=NOW))

    assert "no consent block" in message
    for told in (draft.text, "\n".join(draft.warnings)):
        assert "private data" in told.lower() and "consent" in told


INTENTS = [
    {"customerId": i // 3, "utterance": f"I have a question number {i}", "intent": label}
    for i, label in enumerate(["pay_bill", "yes", "null", "007", "oos", "a: b", "${x}"] * 20)
]
FORMS: dict[str, Callable[[list[dict[str, Any]]], str]] = {
    "calls.jsonl": lambda rows: "\n".join(map(json.dumps, rows)),
    "calls.json": lambda rows: json.dumps(rows, indent=1),
    "parts.json": lambda rows: json.dumps({"train": rows[:100], "test": rows[100:]}),
    "arrays.json": lambda rows: json.dumps([list(row.values()) for row in rows]),
    "nested.jsonl": lambda rows: "\n".join(
        json.dumps({"turn": row, "x": [{"y": 1}]}) for row in rows
    ),
    "lists.json": lambda rows: json.dumps([row | {"intent": [row["intent"]]} for row in rows]),
    "calls.csv": lambda rows: (
        "customerId,utterance,intent\n"
        + "".join(f'{r["customerId"]},"{r["utterance"]}","{r["intent"]}"\n' for r in rows)
    ),
    "lines.tsv": lambda rows: "".join("\t".join(map(str, r.values())) + "\n" for r in rows),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_an_intent_file_round_trips(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(FORMS[name](INTENTS))

    data, table, counts = loaded(path, "intent")

    assert set(data.class_names) == {"pay_bill", "yes", "null", "007", "a: b", "${x}"}
    assert (counts.rows_admitted, counts.out_of_scope, counts.refused) == (140, 20, {})
    [text] = data.with_role("text")
    assert table.texts[text][0] == "I have a question number 0"


def test_a_column_of_train_and_test_becomes_the_split(tmp_path: Path) -> None:
    path = tmp_path / "parts.json"
    path.write_text(FORMS["parts.json"](INTENTS))

    data, table, _ = loaded(path, "intent")

    assert (data.test.kind, data.test.marks) == ("column", {"test"})
    assert data.public_rows == 100


def test_several_labels_in_a_cell_are_recognised(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    labels = ["bill", "card", "bill|card", "loan"] * 20
    path.write_text(
        "text,labels\n" + "".join(f"some words {i},{x}\n" for i, x in enumerate(labels))
    )

    data, _, counts = loaded(path, "intent")

    assert data.class_names == ("bill", "card", "loan")
    assert counts.refused == {"multi_label": 20}


def test_a_blank_number_and_a_blank_category_get_a_declared_default(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    rows = "".join(
        f"{'' if i % 9 == 0 else i % 40},{('a', 'b', '', 'a')[i % 4]},{i % 2}\n" for i in range(80)
    )
    path.write_text(f"months,plan,churn\n{rows}")

    data, _, counts = loaded(path, "churn")

    assert (data.columns["months"].missing, data.columns["plan"].missing) == (0, "a")
    assert counts.rows_admitted == 80


def test_no_label_is_said_and_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("months,usage\n" + "".join(f"{i},{i * 7 % 50}\n" for i in range(60)))

    draft: DraftResult = draft_yaml(path, "churn")

    assert any("no column looks like the label of churn" in text for text in draft.warnings)
    assert "role: label" not in draft.text.partition("columns:")[2]


def test_labels_that_differ_in_form_alone_are_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text(
        "m,churn\n" + "".join(f"{i % 9},{('yes', 'no', 'Yes')[i % 3]}\n" for i in range(60))
    )

    draft = draft_yaml(path, "churn")

    assert any("differ only by case" in text for text in draft.warnings)
    assert loaded(path, "churn")[0].columns["churn"].codes == {"Yes": 1, "no": 0, "yes": 1}


names = st.text(min_size=1, max_size=12).map(str.strip).filter(bool)


@given(
    header=st.lists(names, min_size=3, max_size=6, unique_by=lambda name: name),
    values=st.lists(names, min_size=2, max_size=2, unique=True),
)
@example(header=["0", "00", "000"], values=["0", ","])
@example(header=["0", "00", "000"], values=["0", "1E100"])  # a bound of a hundred digits
@settings(deadline=None, max_examples=60)
def test_any_names_and_values_round_trip(
    tmp_path_factory: pytest.TempPathFactory, header: list[str], values: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    cells = [[values[i % 2], i % 7, values[i % 2]] for i in range(60)]
    rows = [dict(zip([*header[:2], "churn"], row, strict=True)) for row in cells]
    assume(len(rows[0]) == 3)
    path.write_text("\n".join(map(json.dumps, rows)))

    try:
        text = with_consent(draft_yaml(path, "churn").text)
    except FedccError as error:
        assert str(error).startswith(str(path))
        return
    data = spec_of(text)

    assert admit(read_table(data, str(path)), data, now=NOW)[1].rows_admitted == 60


BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "blank": (b" \n\n", "is empty"),
    "ragged": (b"a,b\n1,2\n1,2\n1\n", "row 3: 1 cells"),
    "deep": (b"[" * 200_000, "nested too deeply"),
    "cut off": (b'[{"a": 1},', "not valid JSON"),
    "an object": (b'{"a": 1\n}', "no column that could be declared"),
    "NUL": (b"a,b\n1,2\n\0,3\n", "NUL"),
}


@pytest.mark.parametrize(("content", "fragment"), BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("task", ["churn", "intent"])
def test_a_broken_file_is_refused_as_a_run_would(
    tmp_path: Path, message_of: Message, content: bytes, fragment: str, task: Any
) -> None:
    path = tmp_path / "calls.data"
    path.write_bytes(content)

    assert fragment in message_of(lambda: draft_yaml(path, task))


@given(content=st.binary(max_size=200), suffix=st.sampled_from(["csv", "json", "jsonl"]))
@settings(deadline=None, max_examples=150)
def test_any_bytes_are_drafted_or_refused_but_never_crash(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"bytes.{suffix}"
    path.write_bytes(content)

    try:
        draft_yaml(path, "churn")
    except FedccError as error:
        assert str(error).startswith(str(path))


@given(
    low=st.floats(-1e12, 1e12),
    width=st.floats(1e-6, 1e12),
)
def test_rounded_bounds_hold_every_number(low: float, width: float) -> None:
    lower, upper = round_bounds(low, low + width)

    assert lower <= low and low + width <= upper and lower < upper


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "task", "classes"),
    [
        ("ibm_telco_churn/Telco-Customer-Churn.csv", "churn", 2),
        ("saas_churn_support/churn.csv", "churn", 2),
        ("banking77/train.csv", "intent", 77),
        ("clinc150/data_full.json", "intent", 150),
        ("multidogo/turn_level/media/train.tsv", "intent", 16 - 1),  # outofdomain is no class
    ],
)
def test_drafts_of_real_files_load(third_party: Folder, name: str, task: Any, classes: int) -> None:
    folder, _, inner = name.partition("/")

    data, table, counts = loaded(third_party(folder) / inner, task)

    assert len(data.class_names) == classes
    assert counts.refused == {}
