"""Processes that live and die together, restarted for as long as the service runs.

A failure of one ends all of the group, because each holds state that the others rely on; the group
is then started anew, later and later while it keeps failing. However the supervisor ends, also by
`kill -9`, its processes end with it. A child that ends with a code for which a person is needed
(configuration, data, integrity) at its very start ends the service with that code.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO, RawIOBase
from pathlib import Path

from fedcc.errors import ConfigError
from fedcc.federation.service import events
from fedcc.federation.service.settings import ServiceSettings

NEEDS_A_PERSON = (2, 3, 6)


@dataclass(frozen=True)
class Child:
    """A process to start."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    stdin: bytes = b""  # handed over and closed; a secret that must not stand in a command


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold a lock that tells this service runs; its processes watch it, see `engines.alive`.

    Raises:
        ConfigError: if it runs already.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                f"{path.parent}: the service of this folder is running already. Stop it first."
            ) from None
        yield
    finally:
        os.close(descriptor)


class Group:
    """The processes of one start."""

    def __init__(self, children: Sequence[Child], private: Path) -> None:
        """Start all of them.

        Args:
            children: in the order in which they are started.
            private: folder that takes what they print and may not be logged.
        """
        self._running: list[tuple[Child, subprocess.Popen[bytes]]] = []
        self.last_error = ""  # reason that a child gave before it ended
        self.seen: set[str] = set()  # events that any child reported
        try:
            for child in children:
                self._start(child, private / f"{child.name}.out")
        except OSError:
            self.end(0.0)
            raise

    def _start(self, child: Child, printed: Path) -> None:
        process = subprocess.Popen(
            child.command,
            env=dict(child.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._running.append((child, process))
        events.emit("started", {"process": child.name, "pid": process.pid})
        if process.stdin is not None:
            try:
                process.stdin.write(child.stdin)
                process.stdin.close()
            except BrokenPipeError:
                pass  # ended already; `ended` tells
        threading.Thread(target=self._relay, args=(child, process, printed), daemon=True).start()

    def _relay(self, child: Child, process: subprocess.Popen[bytes], printed: Path) -> None:
        """Pass on the lines that may be logged; the rest is kept in a private file."""
        with _private_file(printed) as private:
            for raw in process.stdout or ():
                found = events.parse(raw.decode("utf-8", "replace"))
                if found is None:
                    # On a full disk these words are lost; the process must not wait for them.
                    with contextlib.suppress(OSError):
                        if private.tell() < 1_000_000:
                            private.write(raw)
                    continue
                event = str(found.pop("event"))
                self.seen.add(event)
                if event == "refused" and "reason" in found:
                    self.last_error = str(found["reason"])
                events.emit(event, {**found, "process": child.name})

    def ended(self) -> tuple[str, int] | None:
        """Return name and exit code of a process that has ended."""
        for child, process in self._running:
            code = process.poll()
            if code is not None:
                return child.name, code
        return None

    def hang_up(self, name: str) -> None:
        """Send SIGHUP to one process, which reads anew what it can."""
        for child, process in self._running:
            if child.name == name:
                process.send_signal(signal.SIGHUP)

    def end(self, patience: float) -> None:
        """End all: ask, wait, and kill what is left."""
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 10.0)):
            for _, process in reversed(self._running):
                if process.poll() is None:
                    try:
                        os.killpg(process.pid, number)
                    except ProcessLookupError:
                        pass
            deadline = time.monotonic() + seconds
            for _, process in self._running:
                try:
                    process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    pass


def _private_file(path: Path) -> RawIOBase:
    """Return a new private file, or where nothing is kept if the disk has no room for one."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    except OSError:
        descriptor = os.open(os.devnull, os.O_WRONLY)
    return FileIO(descriptor, "w")


class Supervisor:
    """Starts a group again and again."""

    def __init__(
        self,
        children: Callable[[], Sequence[Child]],
        private: Path,
        settings: ServiceSettings,
        is_stuck: Callable[[], str | None],
        each_second: Callable[[Group], None],
        while_waiting: Callable[[], None],
        has_worked: Callable[[], bool] = lambda: True,
    ) -> None:
        """Prepare.

        Args:
            children: what to start; asked for anew at each start.
            private: see `Group`.
            settings: times.
            is_stuck: says what does not go on any more, or `None`.
            each_second: called with the running group about once a second.
            while_waiting: called about once a second while none runs.
            has_worked: tells whether the service ever did its work; what is refused before needs a
                person.
        """
        self._children, self._private, self._settings = children, private, settings
        self._is_stuck, self._each_second = is_stuck, each_second
        self._while_waiting, self._has_worked = while_waiting, has_worked
        self.stop = threading.Event()
        self.restarts = 0

    def run(self) -> tuple[int, str]:
        """Supervise until `stop` is set; return an exit code and a reason.

        The code is 0, or that of a child for which a person is needed.
        """
        pause = self._settings.restart_seconds
        while not self.stop.is_set():
            began = time.monotonic()
            name, code, why = self._live()
            if self.stop.is_set():
                break
            lasted = time.monotonic() - began
            if why is not None:
                return code, why
            if lasted > self._settings.start_seconds:
                pause = self._settings.restart_seconds
            self.restarts += 1
            events.emit("restart", {"process": name, "code": code, "seconds": round(pause, 1)})
            until = time.monotonic() + pause
            while not self.stop.is_set() and time.monotonic() < until:
                self._while_waiting()
                self.stop.wait(min(1.0, pause))
            pause = min(2 * pause, self._settings.most_restart_seconds)
        return 0, ""

    def _live(self) -> tuple[str, int, str | None]:
        """Start all processes and wait until one ends, or none can be started.

        Returns:
            Who ended and how; the reason, if a person is needed.
        """
        try:
            group = Group(self._children(), self._private)
        except OSError as error:  # a full disk, no process left: may pass
            text = f"cannot be started: {error.strerror}"
            events.emit("refused", {"error": type(error).__name__, "reason": text})
            return "start", error.errno or 1, None
        try:
            name, code = self._watch(group)
        finally:
            group.end(self._settings.stop_seconds)
        began = "ready" in group.seen and self._has_worked()
        is_final = code in NEEDS_A_PERSON and not began
        return name, code, group.last_error if is_final else None

    def _watch(self, group: Group) -> tuple[str, int]:
        """Return who ended, and how."""
        turn = 0
        while not self.stop.wait(0.1):
            if (ended := group.ended()) is not None:
                name, code = ended
                events.emit("ended", {"process": name, "code": code})
                return ended
            turn += 1
            if turn % 10 == 0:
                self._each_second(group)
                if (stuck := self._is_stuck()) is not None:
                    events.emit("stuck", {"process": stuck})
                    return stuck, 0
        events.emit("stopping", {})
        return "", 0
