"""Killed, powered off, out of disk or opened twice: nothing is released that is not charged."""

import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from privacy.ledgers import DELTA, EVENT, NOW, charge, opened, write_ledger

from fedcc.errors import ProtocolError
from fedcc.privacy.accounting import epsilon
from fedcc.privacy.ledger import Ledger
from fedcc.privacy.ledger_head import head_path

DRILL = Path(__file__).parents[2] / "simulations" / "drills" / "ledger_kill.py"
CALLS = ("ftruncate", "write", "pwrite", "fsync")  # every way in which the ledger touches the disk


def check(path: Path, released: list[int]) -> None:
    """Open a ledger after a crash: every released attempt is charged, and it goes on."""
    ledger = opened(path)
    charged = {number for number, _ in ledger.used("r")}
    assert set(released) <= charged
    assert ledger.epsilon() >= epsilon([EVENT] * len(released), delta=DELTA)
    ledger.reserve(charge(max(charged, default=0) + 1), now=NOW)
    ledger.close()


def test_after_twenty_kills_at_random_points_every_released_attempt_is_charged() -> None:
    # The same drill with 200 kills: simulations/drills/results/ledger_kill.txt.
    done = subprocess.run(
        [sys.executable, str(DRILL), "--kills", "20", "--seed", "7", "--longest", "0.1"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(DRILL.parents[2])},
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "every released attempt was charged" in done.stdout


# A crash before, within and after every single call that touches the disk.


class Disk:
    """Counts the calls of a process and stops it at one; keeps what each fsync made durable."""

    def __init__(self, durable: Path, stop_at: int, part: str) -> None:
        self.count, self.stop_at, self.part, self.durable = 0, stop_at, part, durable
        self.real = {name: getattr(os, name) for name in CALLS}

    def call(self, name: str, fd: int, *rest: Any) -> Any:
        self.count += 1
        here = self.count == self.stop_at
        if here and self.part == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if here and self.part == "within" and name in ("write", "pwrite"):
            content, *place = rest
            self.real[name](fd, content[: len(content) // 2], *place)
            os.kill(os.getpid(), signal.SIGKILL)
        result = self.real[name](fd, *rest)
        if name == "fsync" and os.path.isfile(f"/proc/self/fd/{fd}"):
            source = os.readlink(f"/proc/self/fd/{fd}")
            shutil.copyfile(source, self.durable / Path(source).name)
        if here and self.part == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def install(self) -> None:
        for name in CALLS:
            setattr(os, name, lambda fd, *rest, name=name: self.call(name, fd, *rest))


def run_until(path: Path, released: Path, durable: Path, stop_at: int, part: str) -> bool:
    """Charge and release three attempts in a child; return whether it was stopped on the way."""
    child = os.fork()
    if child == 0:
        try:
            out = os.open(released, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            disk = Disk(durable, stop_at, part)
            disk.install()
            ledger = opened(path)
            for number in (1, 2, 3):
                ledger.reserve(charge(number), now=NOW)
                ledger.settle(charge(number), now=NOW)
                disk.real["write"](out, f"{number}\n".encode())
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("part", ["before", "within", "after"])
def test_a_kill_or_power_cut_at_every_disk_call_never_loses_a_released_charge(
    tmp_path: Path, part: str
) -> None:
    stops = 0
    for stop_at in range(1, 200):
        here = tmp_path / str(stop_at)
        durable = here / "durable"
        durable.mkdir(parents=True)
        path, released = here / "a.jsonl", here / "released"
        stopped = run_until(path, released, durable, stop_at, part)
        left = [int(line) for line in released.read_text().split()]
        # Of each file a power cut may keep all that was written, or only what fsync confirmed.
        files = [file for file in (path, head_path(path)) if file.exists()]
        for index, lost in enumerate(itertools.product([False, True], repeat=len(files))):
            copy = here / f"after-{index}"
            copy.mkdir()
            for file, old in zip(files, lost, strict=True):
                source = durable / file.name if old else file
                if source.exists():
                    shutil.copyfile(source, copy / file.name)
            check(copy / path.name, left)
        if not stopped and part != "within":
            break
        stops += stopped
        if stop_at > 34:  # more calls than the child makes
            break
    # Per attempt: reserve = cut, line, fsync, head, fsync; settle = cut, line, fsync.
    assert stops >= 10 if part == "within" else stops >= 24


def test_a_ledger_that_released_before_it_was_on_disk_would_fail_this_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The twin: without the ledger's fsync a power cut loses a charge whose bytes have left.
    durable = tmp_path / "durable"
    durable.mkdir()
    path, released = tmp_path / "a.jsonl", tmp_path / "released"
    monkeypatch.setattr("fedcc.hash_chain.HashChain._confirm", lambda self: None)
    run_until(path, released, durable, 10_000, "before")

    with pytest.raises(AssertionError):
        after = tmp_path / "after"
        after.mkdir()
        for file in durable.iterdir():
            if file.suffix != ".head":  # a head would tell; here the cut alone is looked at
                shutil.copyfile(file, after / file.name)
        check(after / path.name, [int(line) for line in released.read_text().split()])


# Two at once.


def test_a_second_process_on_one_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    code = (
        "import pathlib\nfrom datetime import UTC, datetime\n"
        "from fedcc.privacy.ledger import Ledger\n"
        f"path = pathlib.Path({str(path)!r})\n"
        "Ledger.open(path, caps=(), delta=1e-5, now=datetime.now(UTC))"
    )
    ledger = opened(path)
    ledger.reserve(charge(1), now=NOW)
    before = path.read_bytes()

    other = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(DRILL.parents[2])},
    )

    assert other.returncode != 0 and "in use by another run" in other.stderr
    assert path.read_bytes() == before
    ledger.reserve(charge(2), now=NOW)


# A disk that is full or fails.


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, int, int], None]]:
    """Return a switch: the n-th next call of a function of `os` fails with an error number."""

    def switch(name: str, nth: int, number: int) -> None:
        real, calls = getattr(os, name), itertools.count(1)

        def call(fd: int, *rest: Any) -> Any:
            if next(calls) == nth:
                raise OSError(number, os.strerror(number))
            return real(fd, *rest)

        monkeypatch.setattr(os, name, call)

    yield switch


@pytest.mark.parametrize(
    ("name", "nth", "number"),
    [
        ("ftruncate", 1, errno.EIO),
        ("write", 1, errno.ENOSPC),
        ("fsync", 1, errno.EIO),
        ("pwrite", 1, errno.ENOSPC),
        ("fsync", 2, errno.EIO),
    ],
)
def test_when_the_disk_refuses_nothing_is_released_and_nothing_is_forgotten(
    tmp_path: Path,
    failing: Callable[[str, int, int], None],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    nth: int,
    number: int,
) -> None:
    path = tmp_path / "a.jsonl"
    ledger = opened(path)
    ledger.reserve(charge(1), now=NOW)
    released = [1]
    failing(name, nth, number)

    with pytest.raises(OSError):
        ledger.reserve(charge(2), now=NOW)
        released.append(2)

    monkeypatch.undo()
    ledger.close()
    assert released == [1]
    check(path, released)


def test_after_a_failed_fsync_nothing_is_reserved_until_the_ledger_is_opened_again(
    tmp_path: Path, failing: Callable[[str, int, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Linux reports a failed write-back once; the next fsync succeeds although bytes are lost.
    path = tmp_path / "a.jsonl"
    ledger = opened(path)
    failing("fsync", 1, errno.EIO)
    with pytest.raises(OSError):
        ledger.reserve(charge(1), now=NOW)
    monkeypatch.undo()

    with pytest.raises(OSError, match="open it again"):
        ledger.reserve(charge(2), now=NOW)

    ledger.close()
    again = opened(path)
    again.reserve(charge(2), now=NOW)


def test_a_full_disk_leaves_the_ledger_usable_once_there_is_room(
    tmp_path: Path, failing: Callable[[str, int, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = opened(tmp_path / "a.jsonl")
    failing("write", 1, errno.ENOSPC)
    with pytest.raises(OSError):
        ledger.reserve(charge(1), now=NOW)
    monkeypatch.undo()

    ledger.reserve(charge(1), now=NOW)

    assert len(ledger.events) == 1


def test_a_short_write_is_cut_off_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    ledger = opened(path)
    before, real = path.read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda fd, content: real(fd, content[:40]))

    with pytest.raises(OSError, match="no space"):
        ledger.reserve(charge(1), now=NOW)

    assert path.read_bytes() == before


def test_a_ledger_whose_files_cannot_be_read_names_no_content(tmp_path: Path) -> None:
    write_ledger(tmp_path / "a.jsonl", 1)
    (tmp_path / "a.jsonl").write_bytes(b"\xff\xfe garbage\n")

    with pytest.raises(ProtocolError) as caught:
        Ledger.open(tmp_path / "a.jsonl", caps=(), delta=DELTA, now=NOW)

    assert "garbage" not in str(caught.value)
