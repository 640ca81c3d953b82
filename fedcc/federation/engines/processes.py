"""Starting processes for one run and ending all of them, with whatever they started themselves.

Every process that is started leads a session of its own and inherits a folder name that no other
run has (`FLWR_HOME`). At the end nothing that descends from them, belongs to such a session or has
that name in its environment is left. Linux only.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from fedcc.errors import TooFewSites

MARK = "FLWR_HOME"
SWEEP_SECONDS = 10.0


@dataclass(frozen=True)
class _Started:
    name: str
    process: subprocess.Popen[bytes]
    lasting: bool


class Processes:
    """The processes of one run of an engine; a context manager that ends them."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        """Prepare to start processes.

        Args:
            environment: of every process; its `FLWR_HOME` must be this run's alone.
            log: file that takes all they print (mode 0600).
        """
        self._environment, self.log = dict(environment), log
        self._started: list[_Started] = []
        self._output: IO[bytes] | None = None

    def __enter__(self) -> "Processes":
        """Open the log."""
        descriptor = os.open(self.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self._output = os.fdopen(descriptor, "ab")
        return self

    def start(self, name: str, command: Sequence[str], *, lasting: bool = True) -> None:
        """Start a process in a session of its own, so that a Ctrl-C reaches only its parent.

        Args:
            name: for error messages.
            command: program and arguments.
            lasting: whether its end before `__exit__` is a failure even with exit code 0.

        Raises:
            TooFewSites: if it cannot be started.
        """
        try:
            process = subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                start_new_session=True,
            )
        except OSError as error:
            raise self._failed(name, f"cannot be started: {error.strerror}") from None
        self._started.append(_Started(name, process, lasting))

    def check(self) -> None:
        """Refuse to go on without a process that is needed.

        Raises:
            TooFewSites: names the process and the log.
        """
        for started in self._started:
            code = started.process.poll()
            if code is not None and (started.lasting or code != 0):
                raise self._failed(started.name, f"ended with code {code}")

    def _failed(self, name: str, how: str) -> TooFewSites:
        return TooFewSites(f"{name} {how}. What it printed is in {self.log}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every process at once; what matters is on disk by the time a reply leaves."""
        roots = {started.process.pid for started in self._started}
        ours: set[tuple[int, str]] = set()
        deadline = time.monotonic() + SWEEP_SECONDS
        while True:
            running = _running()
            ours |= {(p.id, p.began) for p in _descent(running, roots, self._environment[MARK])}
            left = [p.id for p in running if (p.id, p.began) in ours]
            if not left:
                break
            if time.monotonic() > deadline:
                raise TooFewSites(f"the processes {left} could not be ended")
            for process in left:
                _kill(process)
            time.sleep(0.02)
        for started in self._started:
            started.process.wait()
        if self._output is not None:
            self._output.close()


@dataclass(frozen=True)
class _Process:
    id: int
    parent: int
    session: int
    began: str  # in clock ticks; with it an id that is used again is told apart
    environment: bytes


def _running() -> list[_Process]:
    """Return the running processes, also those that are about to end."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            threads = len(list((entry / "task").iterdir()))
        except OSError:  # ended
            continue
        state, parent, _, session = fields[:4]
        # A first thread that has ended leaves files locked until the others have ended too.
        ended = state in "ZX" and threads < 2
        if not ended and int(entry.name) != os.getpid():
            process = (int(entry.name), int(parent), int(session), fields[19])
            found.append(_Process(*process, _environment(entry)))
    return found


def _environment(entry: Path) -> bytes:
    try:
        return (entry / "environ").read_bytes()
    except OSError:  # another user's, or its memory is gone already while its files are not
        return b""


def _descent(running: Sequence[_Process], roots: set[int], mark: str) -> list[_Process]:
    """Return the processes that come from `roots`.

    Descent is lost when a parent ends, the session when a process begins its own, the mark when it
    overwrites its environment; no child of Flower or Ray loses all three before its parent ends.
    """
    wanted = f"{MARK}={mark}".encode()
    ours = {
        p.id
        for p in running
        if p.id in roots or p.session in roots or wanted in p.environment.split(b"\0")
    }
    while more := {p.id for p in running if p.parent in ours} - ours:
        ours |= more
    return [p for p in running if p.id in ours]


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return
