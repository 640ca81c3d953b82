"""Files are found by name or by pattern; pipes, devices, loops and folders are refused at once."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedcc.data.connectors import read_table
from fedcc.data.raw_table import RawTable
from fedcc.data.source_files import source_files
from fedcc.data.spec import DataSpec
from fedcc.errors import ConfigError, FedccError

HEADER = "customer,tenure,plan,churn\n"
PATTERN = {"file": "{centre}/calls_{month}.csv"}

Make = Callable[..., DataSpec]
Message = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of two centres, and others that fit no pattern."""
    for name in ("b/calls_2.csv", "a/calls_10.csv", "a/calls_9.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{HEADER}{name},5,basic,No\n")
    for name in ("calls_1.csv", "a/other.csv", ".hidden/calls_1.csv", "b/calls_.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no table")
    (tmp_path / "a" / "calls_8.csv").mkdir()
    return tmp_path


def test_each_placeholder_becomes_a_column_and_files_are_read_in_sorted_order(
    make_spec: Make, folder: Path
) -> None:
    columns = {"centre": {"role": "site"}, "month": {"role": "split"}}

    raw = read_table(make_spec(source=PATTERN, columns=columns), str(folder))

    assert raw.columns["customer"] == ["a/calls_10.csv", "a/calls_9.csv", "b/calls_2.csv"]
    assert raw.columns["centre"] == ["a", "a", "b"]
    assert raw.columns["month"] == ["10", "9", "2"]
    assert raw.place(1) == f"{folder}/a/calls_9.csv, row 1"


def test_a_placeholder_that_is_not_declared_is_not_loaded(make_spec: Make, folder: Path) -> None:
    raw = read_table(make_spec(source=PATTERN), str(folder))

    assert list(raw.columns) == ["customer", "tenure", "plan", "churn"]


def test_a_placeholder_that_stands_twice_matches_the_same_text(tmp_path: Path) -> None:
    for name in ("a/a_1.csv", "a/b_1.csv", "x-x.csv", "x-y.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(HEADER)

    deep = source_files(tmp_path, "{site}/{site}_{n}.csv")
    flat = source_files(tmp_path, "{site}-{site}.csv")

    assert [file.parts for file in deep] == [{"site": "a", "n": "1"}]
    assert [file.parts for file in flat] == [{"site": "x"}]


@pytest.mark.parametrize("sign", ["x.*", "a+b", "(", "[x]", "^$", "a b"])
def test_signs_of_a_pattern_stand_for_themselves(tmp_path: Path, sign: str) -> None:
    for name in (f"{sign}_1.csv", "other_1.csv"):
        (tmp_path / name).write_text(HEADER)

    assert [file.path.name for file in source_files(tmp_path, sign + "_{n}.csv")] == [
        f"{sign}_1.csv"
    ]


def test_a_pattern_that_nothing_fits_names_folder_and_pattern(
    make_spec: Make, message_of: Message, folder: Path
) -> None:
    spec = make_spec(source={"file": "{centre}/{month}.json"})

    message = message_of(lambda: read_table(spec, str(folder)))

    assert message.startswith(f"{folder}: no file fits the pattern '{{centre}}/{{month}}.json'")
    assert "source.file" in message


@pytest.mark.parametrize(
    ("path", "error", "fragment"),
    [
        ("calls_1.csv", ConfigError, "source.file is the pattern"),
        ("nowhere", None, "no such folder"),
    ],
)
def test_a_pattern_starts_from_a_folder(
    make_spec: Make,
    message_of: Message,
    folder: Path,
    path: str,
    error: type[FedccError] | None,
    fragment: str,
) -> None:
    spec = make_spec(source=PATTERN)
    expected: dict[str, Any] = {} if error is None else {"error": error}

    assert fragment in message_of(lambda: read_table(spec, str(folder / path)), **expected)


def test_test_files_may_be_a_pattern_too(make_spec: Make, folder: Path) -> None:
    (folder / "test_a.csv").write_text(f"{HEADER}t,5,basic,No\n")
    spec = make_spec(
        source=PATTERN,
        columns={"centre": {"role": "site"}},
        test={"kind": "file", "path": "test_{centre}.csv"},
    )

    raw = read_table(spec, str(folder))

    assert raw.columns["centre"] == ["a", "a", "b", "a"]
    assert raw.n_train_rows == 3
    assert raw.place(3) == f"{folder}/test_a.csv, row 1"


def test_a_column_that_one_file_of_many_lacks_names_that_file(
    make_spec: Make, message_of: Message, folder: Path
) -> None:
    (folder / "b" / "calls_2.csv").write_text("customer,tenure,plan\nc,5,basic\n")
    spec = make_spec(source=PATTERN)

    message = message_of(lambda: read_table(spec, str(folder)))

    assert message.startswith(f"{folder}/b/calls_2.csv: missing columns churn")


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("make", "fragment"),
    [
        (_fifo, "is a pipe or a device"),
        (_device, "is a pipe or a device"),
        (_loop, "no such file"),
        (Path.mkdir, "is a folder"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "json", "jsonl"])
def test_what_is_no_file_is_refused_without_being_opened(
    make_spec: Make,
    message_of: Message,
    tmp_path: Path,
    make: Callable[[Path], None],
    fragment: str,
    kind: str,
) -> None:
    path = tmp_path / "calls.csv"
    make(path)
    spec = make_spec(source={"kind": kind})

    assert fragment in message_of(lambda: read_table(spec, str(path)))


def test_a_pattern_passes_over_pipes_and_loops(make_spec: Make, folder: Path) -> None:
    _fifo(folder / "a" / "calls_1.csv")
    _loop(folder / "a" / "calls_3.csv")
    (folder / "c").symlink_to(folder / "c")

    assert isinstance(read_table(make_spec(source=PATTERN), str(folder)), RawTable)
