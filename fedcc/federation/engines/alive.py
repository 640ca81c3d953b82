"""A lock that the simulator holds while it lives, so that no process of its engine outlives it.

The kernel releases the lock however the simulator ends, also by `kill -9`. A process that watches
it ends at that moment; a run that is resumed then finds no process of the earlier session.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Create the lock file and hold it; what is started meanwhile does not inherit it."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def end_with_holder(path: Path) -> None:
    """End this process as soon as nobody holds the lock; returns at once.

    Raises:
        OSError: if there is no such file, that is, if the simulator is gone already.
    """
    descriptor = os.open(path, os.O_RDONLY)

    def wait() -> None:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        os._exit(1)

    threading.Thread(target=wait, name="end-with-simulator", daemon=True).start()
