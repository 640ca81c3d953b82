"""What a run tells its user while it goes on, and how the user stops it."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from fedcc.crypto.parameters import PROFILE, SECURITY_BITS
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.update_cipher import chunk_bytes, chunk_count


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One step of progress; numbers are running values, bytes those of this attempt.

    `done` and `total` count the texts of one owner while they are encoded.
    """

    kind: Literal["plan", "round", "void", "note", "encoding"]
    text: str = ""
    round_number: int = 0
    rounds: int = 0
    metric_name: str = ""
    metric: float | None = None
    done: int = 0
    total: int = 0
    epsilon: float | None = None
    budget: float | None = None
    bytes_up: int = 0
    bytes_down: int = 0


ProgressCallback = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Show nothing."""


@contextmanager
def stop_on_signal(stop: threading.Event, progress: ProgressCallback) -> Iterator[None]:
    """Let the first Ctrl-C (or SIGTERM) ask for a stop between two rounds, the second stop now.

    Outside the main thread signals are left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        text = "stopping after this round; press Ctrl-C again to stop at once"
        progress(Progress(kind="note", text=text))

    before = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def describe_encryption(plan: RunPlan) -> str:
    """Return the one line that says what the aggregator can read."""
    if plan.scheme == "none":
        return "encryption: NONE, the aggregator reads every update"
    if plan.scheme == "ckks":
        return (
            f"encryption: plain float CKKS, {SECURITY_BITS}-bit, no masks (textbook baseline): any "
            "site can read every upload"
        )
    name = "BFV" if plan.scheme == "bfv" else "packed CKKS"
    upload = chunk_count(plan) * chunk_bytes(plan, aggregate=False)[0] / plan.n_parameters
    together = f", any {plan.threshold} together," if plan.recovers else " together"
    return (
        f"encryption: on, {name} {SECURITY_BITS}-bit with pairwise and self masks ({PROFILE}), "
        f"{upload:.2f} bytes a parameter up; the aggregator holds no key; the {len(plan.sites)} "
        f"sites{together} open sums and nothing else"
    )
