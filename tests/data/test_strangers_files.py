"""A stranger describes four awkward data sets with the documented keys alone; all of them load."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from fedcc import config
from fedcc.data.connectors import read_table
from fedcc.data.gates import GateCounts, Table, admit
from fedcc.data.partition import held_rows, partition_rows, split_test_rows
from fedcc.data.spec import DataSpec
from fedcc.federation.settings import simulation_settings

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ROWS = 240

Stranger = Callable[..., tuple[DataSpec, Table, GateCounts]]


@pytest.fixture
def stranger(tmp_path: Path) -> Stranger:
    """Write a YAML and a file, and load them as the commands do; also split and deal the rows."""

    def load(yaml: str, name: str, content: bytes) -> tuple[DataSpec, Table, GateCounts]:
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / "mine.yaml").write_text(yaml, encoding="utf-8")
        (tmp_path / name).write_bytes(content)
        given = ["data=mine", f"data.path={tmp_path / name}", "data.partition=iid", "sites=3"]
        settings = simulation_settings(config.compose("simulate", given, tmp_path))
        data, usage = settings.data, settings.partition
        table, counts = admit(read_table(data, usage.path), data, now=NOW)
        train, test = split_test_rows(table, data, usage.split_seed)
        sites = partition_rows(
            table.take(train), data, 3, usage, np.random.default_rng(0), whole_customers=False
        )
        assert sum(map(len, sites)) == table.n_rows - len(test) - len(held_rows(table, data))
        return data, table, counts

    return load


SEMICOLON = """
name: tickets
source: {kind: csv, delimiter: ";"}
public_rows: 60
test: {kind: hash, fraction: 0.25}
consent: {basis: public_dataset, source: made up}
columns:
  "What the caller said": {role: text}
  Preis (€): {role: feature, kind: number, bounds: [0, 250]}
  Final class: {role: label, values: [Bill, "No", Out of order]}
"""


def test_a_semicolon_file_with_spaces_in_its_names_and_three_classes(stranger: Stranger) -> None:
    rows = "".join(
        f'"{i}; he said ""why?""\nand hung up";{i}.5;{("Bill", "No", "Out of order")[i % 3]}\n'
        for i in range(ROWS)
    )
    content = f"What the caller said;Preis (€);Final class\n{rows}"

    data, table, counts = stranger(SEMICOLON, "tickets.csv", content.encode())

    assert data.class_names == ("Bill", "No", "Out of order")
    assert table.texts["What the caller said"][0] == '0; he said "why?"\nand hung up'
    assert np.bincount(table.categories["Final class"]).tolist() == [80, 80, 80]
    assert counts.refused == {}


NESTED = """
name: chats
source: {kind: jsonl}
public_rows: 60
test: {kind: hash, fraction: 0.25}
consent: {basis: public_dataset, source: made up}
keep_rows: {channel: [chat]}
columns:
  caller.id: {role: customer}
  turn.text: {role: text}
  turn.tags:
    role: label
    values: [cancelContract, billQuestion]
    label_names: {cancelContract: wants to leave}
    out_of_scope: [other]
"""


def test_json_lines_with_nested_text_and_lists_of_labels(stranger: Stranger) -> None:
    tags = [["billQuestion"], ["cancelContract"], ["other"], ["billQuestion", "cancelContract"]]
    rows = [
        {
            "channel": "chat" if i % 10 else "mail",
            "caller": {"id": i // 2, "name": "never loaded"},
            "turn": {"text": f"Grüße {i} 👋", "tags": tags[i % 4]},
        }
        for i in range(ROWS)
    ]
    content = "\n".join(json.dumps(row, ensure_ascii=bool(i % 2)) for i, row in enumerate(rows))

    data, table, counts = stranger(NESTED, "chats.jsonl", content.encode())

    assert data.label_words == ("wants to leave", "bill question")
    assert table.texts["turn.text"][0] == "Grüße 1 👋"
    assert set(table.texts) == {"caller.id", "turn.text"}
    # Of rows 0 to 239 one in ten is mail; of the others those with i % 4 == 3 have two labels.
    several = sum(i % 4 == 3 for i in range(ROWS) if i % 10)
    assert (counts.not_kept, counts.refused) == (24, {"multi_label": several})
    assert counts.out_of_scope == sum(i % 4 == 2 for i in range(ROWS) if i % 10)


HEADERLESS = """
name: lines
source: {kind: csv, delimiter: "\\t", fields: [id, said, why, part]}
public_rows: 60
test: {kind: column, column: part, value: [test, dev]}
consent: {basis: public_dataset, source: made up}
columns:
  said: {role: text}
  why: {role: label, values: {bill: 0, invoice: 0, "off": 1}}
  part: {role: split}
"""


def test_a_tab_file_without_a_header(stranger: Stranger) -> None:
    parts = ["train", "train", "test", "dev", "train"]
    content = "".join(
        f"{i}\twords, and more {i}\t{('bill', 'invoice', 'off')[i % 3]}\t{parts[i % 5]}\r\n"
        for i in range(ROWS)
    )

    data, table, _ = stranger(HEADERLESS, "lines.tsv", content.encode())
    train, test = split_test_rows(table, data, 0)

    assert table.texts["said"][0] == "words, and more 0"  # the first line is a row
    assert (len(train), len(test)) == (144, 96)
    assert np.bincount(table.categories["why"]).tolist() == [160, 80]


LATIN = """
name: kunden
source: {kind: csv, encoding: latin-1, delimiter: ";"}
public_rows: 50
test: {kind: hash, fraction: 0.25}
consent: {basis: public_dataset, source: made up}
drop_rows: {duplicates: true}
out_of_bounds: drop
columns:
  Kündigung: {role: label, values: {"No": 0, "Yes": 1}}
  Straße: {role: [feature, site], kind: category, values: [Köln, Zürich]}
  Jahre: {role: feature, kind: number, bounds: [0, 99]}
"""


def test_a_latin_1_churn_file_with_yes_and_no_without_ids_and_with_rows_twice(
    stranger: Stranger,
) -> None:
    rows = [f"{i};{('Köln', 'Zürich')[i % 2]};{('Yes', 'No')[i % 2]}\n" for i in range(96)]
    content = "Jahre;Straße;Kündigung\n" + "".join(
        [*rows, *rows[:7], "100;Köln;Yes\n", "1;Köln;\n"]
    )

    _, table, counts = stranger(LATIN, "kunden.csv", content.encode("latin-1"))

    assert table.n_rows == 96
    assert counts.refused == {"duplicate": 7, "out_of_bounds": 1, "label": 1}
    assert table.row.tolist() == list(range(1, 97))
