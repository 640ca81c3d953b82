"""The hash chain under the ledger and the audit log."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fedcc.errors import ProtocolError
from fedcc.hash_chain import HashChain, read_chain


def chain_of(path: Path, count: int = 4) -> None:
    with HashChain(path, sync=True) as chain:
        for number in range(count):
            chain.append({"number": number})


def test_a_chain_reads_back_what_was_appended(tmp_path: Path) -> None:
    chain_of(tmp_path / "c.jsonl")

    entries, _ = read_chain(tmp_path / "c.jsonl")

    assert [entry["number"] for entry in entries] == [0, 1, 2, 3]


def test_every_single_altered_byte_is_found_and_its_line_named(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    chain_of(path, 3)
    content = path.read_bytes()

    for position in range(0, len(content) - 1):
        if content[position : position + 1] == b"\n":
            continue
        altered = bytearray(content)
        altered[position] ^= 0x01
        path.write_bytes(bytes(altered))
        with pytest.raises(ProtocolError, match="line [1-4]"):
            read_chain(path)


@pytest.mark.parametrize("order", [[0, 2, 1, 3], [0, 2, 3], [1, 2, 3], [0, 0, 1]])
def test_a_reordered_removed_or_repeated_line_is_found(tmp_path: Path, order: list[int]) -> None:
    path = tmp_path / "c.jsonl"
    chain_of(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[i] for i in order))

    with pytest.raises(ProtocolError, match="line"):
        HashChain(path, sync=True)


def test_a_line_that_was_never_finished_is_dropped_and_the_chain_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    chain_of(path, 2)
    with path.open("ab") as file:
        file.write(b'{"number":2,"prev')

    with HashChain(path, sync=True) as chain:
        chain.append({"number": 9})

    assert [entry["number"] for entry in read_chain(path)[0]] == [0, 1, 9]


def test_a_second_process_cannot_open_a_chain_in_use(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    code = (
        "import pathlib\nfrom fedcc.hash_chain import HashChain\n"
        f"HashChain(pathlib.Path({str(path)!r}), sync=True)"
    )
    with HashChain(path, sync=True):
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert other.returncode != 0
    assert "in use by another run" in other.stderr


def test_a_failed_append_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    chain_of(path, 2)
    before = path.read_bytes()
    # A file-size limit stands in for a full disk: the kernel cuts the write short.
    code = (
        "import resource, signal, pathlib\n"
        "from fedcc.hash_chain import HashChain\n"
        f"path = pathlib.Path({str(path)!r})\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "size = path.stat().st_size + 40\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))\n"
        "chain = HashChain(path, sync=True)\n"
        "try:\n    chain.append({'number': 2})\n"
        "except OSError:\n    print('refused', len(chain.entries))\n"
    )

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout

    assert printed.strip() == "refused 2"
    assert path.read_bytes() == before


def test_the_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    chain_of(tmp_path / "c.jsonl")

    assert (tmp_path / "c.jsonl").stat().st_mode & 0o777 == 0o600


def test_lines_are_plain_json(tmp_path: Path) -> None:
    chain_of(tmp_path / "c.jsonl", 1)

    assert json.loads((tmp_path / "c.jsonl").read_text())["number"] == 0
