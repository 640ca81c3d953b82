"""Memory of processes, read from the system."""

import threading
from pathlib import Path

SAMPLED = 1.0  # seconds between two looks at memory, which take time from the rounds


class Memory:
    """The most that a process and its descendants held together, sampled while open."""

    def __init__(self, process: int) -> None:
        """Watch a process from now on."""
        self._process, self.peak = process, 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLED):
            self.peak = max(self.peak, sum(map(megabytes, descendants(self._process))))

    def close(self) -> float:
        """Stop; return the peak in megabytes."""
        self._ended.set()
        self._thread.join()
        return self.peak


def descendants(process: int) -> list[int]:
    """Return a process and all that it started."""
    found, left = [], [process]
    while left:
        each = left.pop()
        found.append(each)
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            try:
                left += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def megabytes(process: int) -> float:
    """Return the proportional set size of a process; 0 if it is gone."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
        return int(text.split("\nPss:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return 0.0


def open_files(process: int) -> int:
    """Return how many files, pipes and connections a process has open; 0 if it is gone."""
    try:
        return sum(1 for _ in Path(f"/proc/{process}/fd").iterdir())
    except OSError:
        return 0
