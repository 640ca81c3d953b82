"""Kill a site's ledger with SIGKILL at random points of reserve, settle and release.

A child process charges attempts one after the other and, after each settle, releases it: it appends
the attempt to a second file, which stands for bytes leaving the site. The parent kills the child
after a random delay and opens the same ledger again, over and over. After every kill the ledger
must open, hold every released attempt, and its epsilon may not be below that of what was released.

With --full-disk DIR (an empty folder; needs root) the ledger lies on a tmpfs of 256 kB that fills
up; nothing may be released that is not charged, and the run must stop by itself.

    python simulations/drills/ledger_kill.py --kills 200 --seed 1 --full-disk DIR

What it printed last is beside it, in results/ledger_kill.txt.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from fedcc.errors import FedccError
from fedcc.privacy.accounting import PrivacyEvent, epsilon
from fedcc.privacy.ledger import Charge, Ledger, read_ledger

DELTA = 1e-5
EVENT = PrivacyEvent.gaussian(
    sensitivity=0.4, own_variance=470.0, min_sites=20, tolerated_collusion=1
)


def charge(number: int) -> Charge:
    """Return the charge of the attempt with this number."""
    return Charge(
        event=EVENT,
        run="drill",
        round_number=number,
        attempt=1,
        purpose="churn",
        planned_sites=20,
        session="5e55",
    )


def work(ledger_file: Path, released: Path) -> None:
    """Charge and release attempts until killed, or until the disk refuses."""
    ledger = Ledger.open(ledger_file, caps=(), delta=DELTA, now=datetime.now(UTC))
    out = os.open(released, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    number = len(ledger.events)
    while True:
        number += 1
        ledger.reserve(charge(number), now=datetime.now(UTC))
        ledger.settle(charge(number), now=datetime.now(UTC))
        os.write(out, f"{number}\n".encode())


def killed_after(delay: float, ledger_file: Path, released: Path) -> None:
    """Run a child and kill it, wherever it is, after so many seconds."""
    child = os.fork()
    if child == 0:
        try:
            work(ledger_file, released)
        finally:
            os._exit(1)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def check(ledger_file: Path, released: Path) -> tuple[int, int, str]:
    """Return (charged, released, where it was killed); raise if anything was not charged."""
    left = [int(line) for line in released.read_text().split()] if released.exists() else []
    ledger = Ledger.open(ledger_file, caps=(), delta=DELTA, now=datetime.now(UTC))
    charged = {number for number, _ in ledger.used("drill")}
    spent = ledger.epsilon()
    ledger.close()
    if not set(left) <= charged or spent < epsilon([EVENT] * len(left), delta=DELTA):
        raise SystemExit(f"FAILED: released {len(left)}, charged {len(charged)}, epsilon {spent}")
    last = "before anything was reserved"
    for name, numbers in (
        ("after a reserve was on disk", charged),
        ("after a settle was on disk", {place[1] for place in read_ledger(ledger_file).settled}),
        ("after a release", set(left)),
    ):
        last = name if charged and max(charged) in numbers else last
    return len(charged), len(left), last


def fill_the_disk(mount: Path, released: Path) -> None:
    """Run a child on a tiny tmpfs until the disk is full."""
    options = ["-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mount)]
    subprocess.run(["mount", *options], check=True)
    try:
        child = os.fork()
        if child == 0:
            try:
                work(mount / "site.jsonl", released)
            except OSError as error:
                print(f"the disk refused: {error.strerror}", flush=True)
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        charged, left, _ = check(mount / "site.jsonl", released)
        print(f"full disk: exit {status}, {charged} charged, {left} released, ledger opens")
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def main() -> int:
    """Run the drill and print what became of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest", type=float, default=0.15, help="seconds before a kill")
    parser.add_argument("--full-disk", type=Path, metavar="DIR", help="mount a tiny tmpfs here")
    args = parser.parse_args()
    delays, states = random.Random(args.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        ledger_file, released = Path(folder) / "site.jsonl", Path(folder) / "released"
        charged = left = 0
        for number in range(1, args.kills + 1):
            killed_after(delays.uniform(0, args.longest), ledger_file, released)
            try:
                charged, left, last = check(ledger_file, released)
            except FedccError as error:
                raise SystemExit(f"FAILED after kill {number}: {error}") from error
            states[last] += 1
        print(f"{args.kills} kills, seed {args.seed}: {charged} attempts charged, {left} released")
        for last, count in sorted(states.items()):
            print(f"  {last}: {count}")
        if args.full_disk is not None:
            fill_the_disk(args.full_disk, Path(folder) / "released-full")
    print("every released attempt was charged; the ledger opened after every kill")
    return 0


if __name__ == "__main__":
    sys.exit(main())
