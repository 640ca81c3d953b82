"""Computing many cells in worker processes; each of them imports once and computes many.

Finished cells are read, the others computed. A cell that fails is told and the rest goes on. Two
sweeps never write to one folder at a time.
"""

import ctypes
import fcntl
import multiprocessing
import os
import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedcc.errors import ConfigError, FedccError, Interrupted, ProtocolError
from fedcc.frontier.cells import Cell
from fedcc.frontier.compute import Result, clear_unfinished, compute_cell, read_result


@dataclass(frozen=True)
class Failure:
    """Why a cell has no result."""

    cell: Cell
    text: str
    exit_code: int


@dataclass(frozen=True)
class SweepStep:
    """What is told after each cell."""

    cell: Cell | None  # None before the first one
    failure: Failure | None
    done: int  # cells with a result, those of earlier starts included
    total: int
    reused: int
    seconds_left: float | None  # None until a cell of this start is done


PR_SET_PDEATHSIG = 1  # of Linux' prctl: the signal that a process gets when its parent dies

Outcome = Result | tuple[str, int]
"""A cell's result, or the text and the exit code of why there is none."""

SweepProgress = Callable[[SweepStep], None]


@dataclass(frozen=True)
class Finished:
    """All results of a sweep, by the cell's key, and what failed."""

    results: dict[str, Result]
    failures: tuple[Failure, ...]


def run_cells(
    cells: Sequence[Cell], folder: Path, *, workers: int | None, progress: SweepProgress
) -> Finished:
    """Compute every cell that is not finished yet.

    Args:
        cells: slow ones first.
        folder: holds a folder for each cell.
        workers: processes; `None` for one per core, 1 for this one alone.
        progress: called before the first and after each cell.

    Raises:
        Interrupted: after Ctrl-C; finished cells are kept.
        ConfigError: if another sweep works in the folder, or it cannot be written.
        RecordError: if a kept result is damaged.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone_in(folder):
            clear_unfinished(folder)
            kept = {cell.key: read_result(cell, folder) for cell in cells}
            results = {key: result for key, result in kept.items() if result is not None}
            left = [cell for cell in cells if cell.key not in results]
            progress(SweepStep(None, None, len(results), len(cells), len(results), None))
            if not left:
                return Finished(results, ())
            count = min(workers or len(os.sched_getaffinity(0)), len(left))
            return _compute(left, folder, count, results, progress)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"--out {folder.parent} cannot be written: {reason}.") from error


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; it is released with the process, however that ends."""
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"--out {folder.parent}: another sweep works in this folder. Wait for it, or name "
                "another one."
            ) from None
        yield


def _compute(
    left: Sequence[Cell],
    folder: Path,
    workers: int,
    results: dict[str, Result],
    progress: SweepProgress,
) -> Finished:
    reused, total, failures = len(results), len(results) + len(left), list[Failure]()
    waiting = {cell.key: cell for cell in left}
    try:
        for cell, found in _finished_cells(left, folder, workers):
            failure = None
            del waiting[cell.key]
            if isinstance(found, dict):
                results[cell.key] = found
            else:
                failure = Failure(cell, *found)
                failures.append(failure)
            seconds = _seconds_left(results, left, list(waiting.values()), workers)
            progress(SweepStep(cell, failure, len(results), total, reused, seconds))
    except (KeyboardInterrupt, Interrupted):
        raise Interrupted(
            f"stopped with {len(results)} of {total} cells finished. The same command goes on from "
            "there."
        ) from None
    except BrokenProcessPool:
        raise ProtocolError(
            f"a worker process was killed, perhaps for want of memory; {len(results)} of {total} "
            "cells are finished. The same command goes on; workers=1 needs least memory."
        ) from None
    return Finished(results, tuple(failures))


def _finished_cells(
    left: Sequence[Cell], folder: Path, workers: int
) -> Iterator[tuple[Cell, Outcome]]:
    """Compute cells and yield each with its outcome; a single worker is this process."""
    if workers == 1:
        yield from ((cell, _work(cell, folder)) for cell in left)
        return
    # Spawned, not forked: encryption contexts and threads do not survive a fork.
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker
    )
    try:
        waiting = {pool.submit(_work, cell, folder): cell for cell in left}
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield waiting.pop(future), future.result()
    finally:
        _end(pool)


def _end(pool: ProcessPoolExecutor) -> None:
    """Stop the workers at once: what they have not finished is begun anew next time."""
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()


def _begin_worker() -> None:
    """Let the parent alone answer Ctrl-C, and end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _work(cell: Cell, folder: Path) -> Outcome:
    """Compute a cell on one thread; an error travels as its text and exit code.

    Raises:
        Interrupted: if the user stopped a run of this process.
    """
    import torch

    torch.set_num_threads(1)
    try:
        return compute_cell(cell, folder)
    except Interrupted:
        raise
    except FedccError as error:
        return str(error), error.exit_code


def _seconds_left(
    results: dict[str, Result], left: Sequence[Cell], waiting: Collection[Cell], workers: int
) -> float | None:
    """Estimate the time left from the seconds of finished cells of the same curve."""
    spent: dict[str, list[float]] = {}
    for cell in left:
        if cell.key in results:
            spent.setdefault(cell.curve, []).append(results[cell.key]["seconds"] / cell.sites)
    if not spent:
        return None
    means = {curve: sum(times) / len(times) for curve, times in spent.items()}
    usual = sum(means.values()) / len(means)
    work = sum(means.get(cell.curve, usual) * cell.sites for cell in waiting)
    longest = max((means.get(cell.curve, usual) * cell.sites for cell in waiting), default=0.0)
    return max(work / workers, longest)
