"""A stranger describes an unseen file with a documented example alone; it trains or tells.

The first tests run from a YAML on disk with `--config-dir`; the others merge it into the shipped
defaults as Hydra does, which saves the reading of a dozen files each time.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from fedcc import config
from fedcc.errors import ConfigError, RecordError
from fedcc.federation.settings import simulation_settings
from fedcc.federation.simulated_data import SimulatedData, load_data

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CANARY = "ZZCANARYZZ"

Describe = Callable[..., SimulatedData]
Message = Callable[..., str]


@pytest.fixture
def describe(tmp_path: Path) -> Describe:
    """Write the stranger's YAML and CSV, and load the data as `fedcc simulate` does."""

    def load(yaml: str, csv: str, *overrides: str, sites: int = 3) -> SimulatedData:
        folder = tmp_path / "my configs (1)"
        (folder / "data").mkdir(parents=True, exist_ok=True)
        (folder / "data" / "mine.yaml").write_text(yaml, encoding="utf-8")
        file = tmp_path / "my calls = 100%.csv"
        file.write_text(csv, encoding="utf-8")
        given = ["data=mine", f"data.path={file}", f"sites={sites}", "data.min_rows=2", *overrides]
        values = config.compose("simulate", given, folder)
        return load_data(
            simulation_settings(values), partition_seed=1, interactions_seed=2, now=NOW
        )

    return load


@pytest.fixture(scope="session")
def shipped() -> dict[str, Any]:
    """Compose the shipped settings once."""
    return config.compose("simulate")


@pytest.fixture
def merge(tmp_path: Path, shipped: dict[str, Any]) -> Describe:
    """Load the stranger's YAML and CSV without composing everything else again."""

    def load(yaml: str, csv: str = USAGE, partition: str = "iid") -> SimulatedData:
        file = tmp_path / "calls.csv"
        file.write_text(csv, encoding="utf-8")
        usage = {"path": str(file), "min_rows": 2, "partition": partition}
        defaults = OmegaConf.load(config.config_root() / "simulate.yaml").data
        data = OmegaConf.to_container(OmegaConf.merge(defaults, OmegaConf.create(yaml), usage))
        values = {**shipped, "sites": 3, "data": data}
        return load_data(
            simulation_settings(values), partition_seed=1, interactions_seed=2, now=NOW
        )

    return load


EXAMPLE = """
name: telco
source: {kind: csv, path: "???", file: train.csv, encoding: utf-8-sig, delimiter: ","}
public_rows: 5250
test: {kind: hash, fraction: 0.25}
consent: {basis: public_dataset, source: "IBM sample data, Apache-2.0"}
drop_rows: {duplicates: false, multi_label: drop}
sites: {columns: [InternetService, Contract]}
out_of_bounds: error
columns:
  customerID:   {role: customer}
  InternetService: {role: site}
  tenure:       {role: feature, kind: number, bounds: [0, 72], missing: 0}
  Contract:     {role: feature, kind: category,
                 values: [Month-to-month, One year, Two year], missing: Month-to-month}
  SeniorCitizen: {role: [feature, group], kind: category, values: [0, 1]}
  Churn:        {role: label, values: {"No": 0, "Yes": 1}}
"""
TELCO = "customerID,tenure,Contract,SeniorCitizen,Churn,InternetService\n" + "".join(
    f"c{i},{i % 73},{'One year' if i % 2 else ''},{i % 2},{'Yes' if i % 3 else 'No'},DSL\n"
    for i in range(60)
)


def test_the_documented_example_works_as_it_stands(describe: Describe) -> None:
    loaded = describe(EXAMPLE, TELCO)

    assert sum(map(len, loaded.sites)) + len(loaded.test) == 60
    assert loaded.gates.rows_admitted == 60


def test_the_example_in_block_style_may_leave_the_path_open(describe: Describe) -> None:
    block = "source:\n  kind: csv\n  path: ???\n"
    lines = [block if line.startswith("source:") else line for line in EXAMPLE.splitlines()]

    assert describe("\n".join(lines), TELCO).gates.rows_read == 60


MINIMAL = """
name: mine
source: {kind: csv}
public_rows: 40
test: {kind: hash, fraction: 0.25}
consent: {basis: public_dataset, source: own}
columns:
  usage: {role: feature, kind: number, bounds: [0, 10]}
  left: {role: label, values: [0, 1]}
"""
USAGE = "usage,left\n" + "".join(f"{i % 11},{i % 2}\n" for i in range(60))


def test_a_minimal_yaml_without_customers_sites_and_bounds_rule_works(describe: Describe) -> None:
    loaded = describe(MINIMAL, USAGE, "data.partition=iid")

    assert loaded.recipe.feature_names == ("usage", "constant")
    assert {len(site) for site in loaded.sites} <= {14, 15, 16, 17}


def test_the_default_partition_tells_a_yaml_without_sites_what_to_add(
    describe: Describe, message_of: Message
) -> None:
    message = message_of(lambda: describe(MINIMAL, USAGE), error=ConfigError)

    assert "sites: {columns: [NAME]}" in message and "data.partition=iid" in message


def test_out_of_bounds_defaults_to_an_error(merge: Describe, message_of: Message) -> None:
    message = message_of(lambda: merge(MINIMAL, f"usage,left\n11,1\n{CANARY},1\n"))

    assert "row 1, column usage" in message


ODD_COLUMNS = [
    "Avg. call min (%)",
    "price ${usd}",
    "$",
    "a=b",
    "ünï:cödé",
    "it's",
    'the "x"',
    "#1",
    "a,b",
    "{c}",
    "[d]",
    "null",
    "yes",
    "007",
]


def test_odd_column_names_and_a_semicolon_survive(describe: Describe) -> None:
    declared = "".join(
        "  '{}': {{role: feature, kind: number, bounds: [0, 10]}}\n".format(name.replace("'", "''"))
        for name in ODD_COLUMNS
    )
    header = ";".join('"' + name.replace('"', '""') + '"' for name in ODD_COLUMNS)
    rows = "".join(f"{i % 11};{i % 2}{';1' * len(ODD_COLUMNS)}\n" for i in range(60))
    yaml = MINIMAL.replace("{kind: csv}", '{kind: csv, delimiter: ";"}') + declared

    loaded = describe(yaml, f"usage;left;{header}\n{rows}", "data.partition=iid")

    assert loaded.recipe.feature_names == ("usage", *ODD_COLUMNS, "constant")


def test_values_with_dollar_signs_survive_when_they_are_escaped(describe: Describe) -> None:
    yaml = MINIMAL.replace("[0, 1]", r"['$0', '\${x}']")

    loaded = describe(yaml, USAGE.replace(",0", ",$0").replace(",1", ",${x}"), "data.partition=iid")

    assert sorted(set(loaded.test.labels.tolist())) == [0, 1]


def test_an_unescaped_interpolation_is_answered_with_the_escape(
    describe: Describe, message_of: Message
) -> None:
    yaml = MINIMAL.replace("[0, 1]", "['$0', '${x}']")

    message = message_of(lambda: describe(yaml, USAGE), error=ConfigError)

    assert "data.columns.left.values[1]" in message and r"write '\${'" in message


@pytest.mark.parametrize(
    "label",
    ['["0", "1"]', "[0.0, 1.0]", '{"0": 0, "1": 1}', "{0: 0, 1: 1}", "{1: 1, 0: 0}"],
)
def test_every_way_to_write_the_labels_gives_the_same_codes(merge: Describe, label: str) -> None:
    plain = merge(MINIMAL)

    loaded = merge(MINIMAL.replace("[0, 1]", label))

    assert loaded.test.labels.tolist() == plain.test.labels.tolist()


def test_a_column_of_role_site_is_the_natural_partition(merge: Describe) -> None:
    yaml = f"{MINIMAL}  centre: {{role: site}}\n"
    rows = "".join(f"{i % 11},{i % 2},{'abc'[i % 3]}\n" for i in range(60))

    loaded = merge(yaml, "usage,left,centre\n" + rows, partition="natural")

    assert sum(map(len, loaded.sites)) + len(loaded.test) == 60


@pytest.mark.parametrize("mark", ["1", "'1'"])
def test_test_rows_can_be_marked_by_a_number_in_a_column(merge: Describe, mark: str) -> None:
    test = f"{{kind: column, column: is_test, value: {mark}}}"
    yaml = MINIMAL.replace("{kind: hash, fraction: 0.25}", test) + "  is_test: {role: split}\n"
    rows = "".join(f"{i % 11},{i % 2},{int(i < 12)}\n" for i in range(60))

    loaded = merge(yaml, "usage,left,is_test\n" + rows)

    assert len(loaded.test) == 12


def test_a_test_file_beside_the_training_file_is_used(merge: Describe, tmp_path: Path) -> None:
    (tmp_path / "holdout.csv").write_text(USAGE)
    yaml = MINIMAL.replace("{kind: hash, fraction: 0.25}", "{kind: file, path: holdout.csv}")

    loaded = merge(yaml)

    assert (sum(map(len, loaded.sites)), len(loaded.test)) == (60, 60)


MISTAKES: dict[str, tuple[str, str, str]] = {
    # what the stranger wrote instead of what, and what the answer must say
    "unquoted Yes and No": ("[0, 1]", "[Yes, No]", "left.values[0]: got a yes/no value; YAML"),
    "unquoted keys": ("[0, 1]", "{No: 0, Yes: 1}", 'Put it in quotes, for instance "No"'),
    "codes as words": ("[0, 1]", '{"No": "zero", "Yes": "one"}', "left.values.No must be a whole"),
    "three classes": ("[0, 1]", "[0, 1, 2]", "data.columns.left: churn needs a label with two"),
    "misspelt role": ("role: label", "role: lable", "Did you mean 'label'?"),
    "misspelt role in a list": ("role: label", "role: [label, grup]", "Did you mean 'group'?"),
    "misspelt key": ("public_rows", "public_row", "Did you mean 'public_rows'?"),
    "misspelt column key": ("bounds", "bound", "Did you mean 'bounds'?"),
    "kind numeric": ("kind: number", "kind: numeric", "Did you mean 'number'?"),
    "bounds as text": ("[0, 10]", "0-10", "usage.bounds: expected a list"),
    "columns as a list": (
        "\n  usage: {role: feature, kind: number, bounds: [0, 10]}\n  left: {role: label, "
        "values: [0, 1]}",
        " [usage, left]",
        "data.columns: expected a mapping",
    ),
    "sites as a list": ("columns:\n", "sites: [usage]\ncolumns:\n", "data.sites: expected a map"),
    "no test block": ("test: {kind: hash, fraction: 0.25}\n", "", "data.test: the key 'kind'"),
    "no consent source": (", source: own", "", "data.consent: basis public_dataset needs 'source'"),
    "later source kind": ("kind: csv", "kind: parquet", "must be one of csv, jsonl"),
    "tab in single quotes": ("{kind: csv}", r"{kind: csv, delimiter: '\t'}", "double quotes"),
    "year as a name": ("usage:", "2024:", "must be text; got 2024. Put it in quotes."),
}


@pytest.mark.parametrize(("right", "wrong", "answer"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_in_the_yaml_is_answered_with_its_key_and_remedy(
    merge: Describe, message_of: Message, right: str, wrong: str, answer: str
) -> None:
    assert right in MINIMAL

    message = message_of(lambda: merge(MINIMAL.replace(right, wrong)), error=ConfigError)

    assert answer in message


BROKEN: dict[str, tuple[str, str, str]] = {
    "open question marks": (
        "{kind: csv}",
        "{kind: csv, path: ???}",
        "mine.yaml, line 3: not valid",
    ),
    "column twice": ("left:", "usage:", "found duplicate key usage"),
    "tab for indentation": ("  usage", "\tusage", "mine.yaml, line 8"),
}


@pytest.mark.parametrize(("right", "wrong", "answer"), BROKEN.values(), ids=BROKEN.keys())
def test_a_file_that_is_no_yaml_is_answered_with_its_line(
    describe: Describe, message_of: Message, right: str, wrong: str, answer: str
) -> None:
    message = message_of(lambda: describe(MINIMAL.replace(right, wrong), USAGE), error=ConfigError)

    assert answer in message


def test_a_yaml_that_is_not_utf8_is_refused(message_of: Message, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_bytes(MINIMAL.encode() + b"# caf\xe9\n")

    message = message_of(
        lambda: config.compose("simulate", ["data=mine"], tmp_path), error=ConfigError
    )

    assert message == f"config: a YAML file in {tmp_path} is not UTF-8 text."


def test_a_file_with_another_delimiter_is_answered_with_the_key(
    merge: Describe, message_of: Message
) -> None:
    message = message_of(
        lambda: merge(MINIMAL, USAGE.replace(",", ";") + CANARY), error=RecordError
    )

    assert "check source.delimiter" in message
