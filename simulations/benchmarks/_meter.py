"""Seconds and memory of one process, by what it is doing; standard library and Linux only."""

import ctypes
import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_LIBC = ctypes.CDLL(None)
_MADV_POPULATE_READ = 22  # Linux 5.14


class Meter:
    """Wall and processor seconds, each counted once, and the growth of memory to its peak."""

    def __init__(self, label: str) -> None:
        """Start the clocks under a label; what the process holds now does not count."""
        self.wall: Counter[str] = Counter()
        self.cpu: Counter[str] = Counter()
        self._stack = [label]
        gc.collect()
        _LIBC.malloc_trim(0)  # memory that was given back before must not hide growth
        _map_files()
        self._resident, self._peak = _memory("VmRSS"), 0
        _forget_peak()
        self._since = (time.perf_counter(), time.process_time())

    @property
    def peak_mb(self) -> float:
        """Most memory above that of the start, without what is set aside."""
        return (max(self._peak, _memory("VmHWM")) - self._resident) / 1024

    def _charge(self) -> None:
        now = (time.perf_counter(), time.process_time())
        self.wall[self._stack[-1]] += now[0] - self._since[0]
        self.cpu[self._stack[-1]] += now[1] - self._since[1]
        self._since = now

    @contextmanager
    def at(self, label: str) -> Iterator[None]:
        """Count what happens inside under `label`."""
        self._charge()
        self._stack.append(label)
        try:
            yield
        finally:
            self._charge()
            self._stack.pop()

    def switch(self, label: str) -> None:
        """Count what stands in no `with` under `label` from now on."""
        self._charge()
        self._stack[0] = label

    @contextmanager
    def aside(self, label: str) -> Iterator[None]:
        """Count the time of what happens inside apart, and not the memory that it gives back."""
        self._peak = max(self._peak, _memory("VmHWM"))
        with self.at(label):
            yield
            _LIBC.malloc_trim(0)  # what it freed is not held by what follows
        _forget_peak()

    def set_aside(self, owner: Any, name: str, label: str) -> None:
        """Count every call of a function of a class or module apart."""
        original: Callable[..., Any] = getattr(owner, name)

        def metered(*args: Any, **kwargs: Any) -> Any:
            with self.aside(label):
                return original(*args, **kwargs)

        setattr(owner, name, metered)

    def readings(self) -> dict[str, Any]:
        """Return seconds by label for both clocks, and the peak."""
        self._charge()
        return {"wall": dict(self.wall), "cpu": dict(self.cpu), "MB": self.peak_mb}


def _memory(name: str) -> int:
    """Return a reading of this process in kB."""
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0])


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _map_files() -> None:
    """Map the loaded libraries completely, so that first use of their code is not growth."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, rights, *_, name = line.split(maxsplit=5)
        if rights.startswith("r") and name.startswith("/"):
            start, end = (int(part, 16) for part in span.split("-"))
            _LIBC.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_POPULATE_READ)
