"""When something was last seen to happen, shared between processes as a file's time of change.

That time is of the machine's monotonic clock, the same for all processes: setting the clock of the
wall makes nothing look stuck.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def ticking(tick: Callable[[], None], at_most: float) -> Iterator[None]:
    """Tick each second while something is worked on, but no longer than it may take.

    Args:
        tick: what to do.
        at_most: seconds after which the work counts as hanging.
    """
    ended, until = threading.Event(), time.monotonic() + at_most

    def beat() -> None:
        while not ended.wait(1.0) and time.monotonic() < until:
            tick()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Ticks:
    """Ticks of one name each in a folder that only this user can write."""

    def __init__(self, folder: Path) -> None:
        """Name the folder, which must exist."""
        self._folder = folder

    def tick(self, name: str) -> None:
        """Note that it happened now."""
        path = self._folder / f"{name}.tick"
        path.touch(mode=0o600)
        now = time.monotonic_ns()
        os.utime(path, ns=(now, now))

    def clear(self, name: str) -> None:
        """Forget that it ever happened."""
        (self._folder / f"{name}.tick").unlink(missing_ok=True)

    def age(self, name: str) -> float | None:
        """Return the seconds since it happened; `None` if it never did."""
        try:
            then = (self._folder / f"{name}.tick").stat().st_mtime_ns
            return max(0.0, (time.monotonic_ns() - then) / 1e9)
        except FileNotFoundError:
            return None
