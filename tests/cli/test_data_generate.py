"""`fedcc data generate`: complete files, none by half, none overwritten by accident."""

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedcc.cli import data_generate
from fedcc.cli.data_generate import write_rows
from fedcc.data.world.source import ITEMS, stream_rows
from fedcc.errors import ConfigError


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    data_generate.add_parser(parser.add_subparsers())
    args = parser.parse_args(["generate", *arguments])
    return int(args.run_command(args))


def generate(path: Path, *more: str, item: str = "interactions", rows: int = 40) -> int:
    return run(str(path), "--item", item, "--rows", str(rows), "--seed", "3", *more)


@pytest.mark.parametrize("item", ITEMS)
def test_a_csv_file_holds_the_streamed_rows_under_a_header(tmp_path: Path, item: str) -> None:
    path = tmp_path / "rows.csv"

    assert generate(path, item=item) == 0

    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file))
    assert tuple(header) == ITEMS[item]
    assert [tuple(row) for row in rows] == list(stream_rows(item, 40, 3))


def test_json_lines_hold_the_same_cells(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"

    assert generate(path) == 0

    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [tuple(line.values()) for line in lines] == list(stream_rows("interactions", 40, 3))
    assert tuple(lines[0]) == ITEMS["interactions"]


def test_the_result_says_that_the_rows_are_synthetic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate(tmp_path / "a.csv", "--json")
    generate(tmp_path / "b.csv")

    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first) == {
        "file": str(tmp_path / "a.csv"),
        "item": "interactions",
        "rows": 40,
        "seed": 3,
        "synthetic": True,
    }
    assert "synthetic" in second


def test_a_file_is_overwritten_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("mine")

    with pytest.raises(ConfigError, match="--force"):
        generate(path)
    assert path.read_text() == "mine"

    assert generate(path, "--force") == 0
    assert path.read_text().startswith("interaction_id,")


@pytest.mark.parametrize(
    ("name", "message"),
    [("rows.xlsx", ".csv or .jsonl"), ("missing/rows.csv", "no such folder")],
)
def test_a_target_that_cannot_be_written_is_refused_with_its_name(
    tmp_path: Path, name: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        generate(tmp_path / name)

    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_target(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").mkdir()

    with pytest.raises(ConfigError, match="is a folder"):
        generate(tmp_path / "rows.csv", "--force")


@pytest.mark.parametrize(
    "failure", [KeyboardInterrupt(), OSError(28, "No space left on device"), RuntimeError()]
)
def test_a_failure_in_the_middle_leaves_neither_a_part_nor_a_harmed_old_file(
    tmp_path: Path, failure: BaseException
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("mine")

    def rows() -> Iterator[tuple[str, ...]]:
        yield from stream_rows("customers", 3000, 0)
        raise failure

    expected = ConfigError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected):
        write_rows(path, ITEMS["customers"], rows())

    assert [file.name for file in tmp_path.iterdir()] == ["rows.csv"]
    assert path.read_text() == "mine"


def test_rows_out_of_range_are_refused_before_a_file_is_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rows"):
        generate(tmp_path / "rows.csv", rows=0)

    assert list(tmp_path.iterdir()) == []
