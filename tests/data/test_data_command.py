"""`fedcc data draft` and `fedcc data inspect` as a user types them: output and exit codes."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fedcc.cli.main import main

CANARY = "ZZCANARYZZ"
YAML = """
name: calls
source: {kind: csv, path: null}
public_rows: 100
test: {kind: hash, fraction: 0.25}
consent: {basis: public_dataset, source: made up}
columns:
  customer: {role: customer}
  usage: {role: feature, kind: number, bounds: [0, 10]}
  centre: {role: site}
  left: {role: label, values: {"stays": 0, "leaves": 1}}
"""


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """Run `fedcc data` in this process; no line of a traceback may ever be printed."""

    def run(*arguments: object) -> Done:
        capfd.readouterr()
        try:
            code = main(["data", *map(str, arguments)])
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return Done(code, out, err)

    return run


@pytest.fixture
def mine(tmp_path: Path) -> list[str]:
    """Options that choose a described file of 240 rows."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "calls.yaml").write_text(YAML)
    rows = "".join(
        f"{CANARY}{i},{i % 11},{'abc'[i % 3]},{('stays', 'leaves')[i % 2]}\n" for i in range(240)
    )
    (tmp_path / "calls.csv").write_text(f"customer,usage,centre,left\n{rows}")
    return ["--config-dir", str(tmp_path), "data=calls", f"data.path={tmp_path / 'calls.csv'}"]


def test_inspect_prints_columns_rows_sites_and_warnings(command: Command, mine: list[str]) -> None:
    done = command("inspect", *mine, "sites=3")

    assert done.code == 0
    for part in (
        "customer  customer",
        "number in [0, 10]",
        "2 classes",
        "read                    240",
    ):
        assert part in done.out
    assert sum(line.startswith("  site-") for line in done.out.splitlines()) == 3
    assert "WARNING: public_rows says 100" in done.out
    assert CANARY not in done.out + done.err


def test_inspect_takes_the_keys_of_simulate(command: Command, mine: list[str]) -> None:
    natural = command("inspect", "--json", *mine, "sites=3", "seed=1")
    skewed = command("inspect", "--json", *mine, "sites=4", "seed=1", "data.partition=dirichlet")

    assert len(json.loads(natural.out)["sites"]) == 3
    assert len(json.loads(skewed.out)["sites"]) == 4


def test_inspect_as_json_holds_the_same_rows(command: Command, mine: list[str]) -> None:
    found = json.loads(command("inspect", *mine, "--json", "seed=1").out)

    assert found["gates"]["rows_read"] == 240
    assert found["train_rows"] + found["test_rows"] == 240
    assert sum(site["rows"] for site in found["sites"]) == found["train_rows"]
    assert any("public_rows" in warning for warning in found["warnings"])


def test_inspect_warns_of_a_delta_that_is_too_large(command: Command, mine: list[str]) -> None:
    high = command("inspect", *mine, "privacy.delta=0.005")
    refused = command("inspect", *mine, "privacy.delta=0.02")

    assert "WARNING: delta 0.005 is above" in high.out
    assert "WARNING: privacy.delta must be below 1 / public_rows" in refused.out


def test_inspect_twice_with_a_seed_deals_alike(command: Command, mine: list[str]) -> None:
    arguments = ["inspect", "--json", *mine, "data.partition=iid"]

    first, again = command(*arguments, "seed=5"), command(*arguments, "seed=5")

    assert first.out == again.out != command(*arguments, "seed=6").out


@pytest.mark.parametrize(
    ("change", "code", "fragment"),
    [
        ("data.path=/nowhere/calls.csv", 3, "no such file"),
        ("data.path=/dev/zero", 3, "is a pipe or a device"),
        ("data.out_of_bound=drop", 2, "Did you mean 'data.out_of_bounds'?"),
        ("data=cals", 2, "Did you mean 'calls'?"),
        ("data.consent=null", 3, "no consent block"),
        ("sites=400", 3, "too few"),
        ("seed=1,2", 2, "config"),
    ],
)
def test_inspect_answers_a_mistake_with_one_line_and_its_code(
    command: Command, mine: list[str], change: str, code: int, fragment: str
) -> None:
    done = command("inspect", *mine, change)

    assert (done.code, done.out) == (code, "")
    assert fragment in done.err and done.err.count("\n") == 1
    assert CANARY not in done.err


def test_draft_inspect_and_simulate_follow_each_other(
    command: Command, mine: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "calls.csv"
    target = tmp_path / "new" / "data" / "drafted.yaml"
    use = ["--config-dir", tmp_path / "new", "data=drafted", f"data.path={file}"]

    drafted = command("draft", file, "--task", "churn", "--out", target)
    before = command("inspect", *use)
    target.write_text(
        target.read_text().replace(
            "consent: null", "consent: {basis: public_dataset, source: mine}"
        )
    )
    after = command("inspect", *use, "data.partition=iid")

    assert (drafted.code, drafted.out) == (0, "")
    assert "read off private data" in drafted.err and "consent" in drafted.err
    assert (before.code, after.code) == (3, 0)
    assert "no consent block" in before.err


def test_draft_never_overwrites_an_edited_yaml(
    command: Command, mine: list[str], tmp_path: Path
) -> None:
    target = tmp_path / "data" / "calls.yaml"

    done = command("draft", tmp_path / "calls.csv", "--task", "churn", "--out", target)

    assert done.code == 2 and "is there already" in done.err
    assert target.read_text() == YAML


@pytest.mark.parametrize(
    ("arguments", "code", "fragment"),
    [
        (["nowhere.csv", "--task", "churn"], 3, "no such file"),
        (["/dev/zero", "--task", "churn"], 3, "a pipe or a device"),
        ([".", "--task", "intent"], 3, "is a folder"),
        (["x" * 5000, "--task", "intent"], 3, "no such file"),
        (["calls.csv"], 2, "--task"),
        (["calls.csv", "--task", "sales"], 2, "invalid choice"),
        ([], 2, "give a file"),
    ],
)
def test_draft_answers_a_mistake_with_its_code(
    command: Command, arguments: list[str], code: int, fragment: str
) -> None:
    done = command("draft", *arguments)

    assert done.code == code and fragment in done.err


def test_draft_into_a_folder_that_cannot_be_made_is_a_config_error(
    command: Command, mine: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "calls.csv" / "mine.yaml"

    done = command("draft", tmp_path / "calls.csv", "--task", "churn", "--out", out)

    assert done.code == 2 and "cannot be written" in done.err


def test_the_reference_is_printed(command: Command) -> None:
    done = command("draft", "--reference")

    assert done.code == 0 and "out_of_scope: [other]" in done.out


@pytest.mark.parametrize("part", ["draft", "inspect"])
def test_help_shows_examples(command: Command, part: str) -> None:
    done = command(part, "--help")

    assert done.code == 0 and f"fedcc data {part} " in done.out.partition("examples:")[2]


def test_help_of_draft_points_to_every_key(command: Command) -> None:
    assert "configs/data/_reference.yaml" in command("draft", "--help").out
