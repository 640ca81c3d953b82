"""What the operating system's noise costs: by part, and as a share of one site's round.

The model of BANKING77 (29,568 parameters; rows are made up, no data is opened). The first table
holds the parts, beside what they replace: the inversion of 52-bit uniforms and a dither of 64 bits.
The second holds one site's round as `fedcc plan` measures it: the private step (with its noise),
encryption with masks, decryption. The third is taken from whole rounds of `fedcc simulate` on
generated texts, with a model of the same size, so messages, signatures and disk are in it: seconds
spent in the noise of the operating system and the dither, and, apart, in the parts that seeds give
(drawn by their site, and once more to take them off, which sites of one process share). Wall
time on one thread; the first two tables hold the least of repeats. The load of the machine is
printed, since a busy one slows what lives in caches more than what the kernel does.

    python simulations/benchmarks/noise_cost.py [--sites 5,10,20 --out FILE]
Goal: noise and dither at most 5 % of a round.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from scipy.special import ndtri

import fedcc
from fedcc.federation import local_update, opening
from fedcc.federation.round_cost import measure_round
from fedcc.privacy.noise_shares import dithered_round, gaussian_share
from fedcc.rng import uniform

RESULTS = Path(__file__).parent / "results" / "noise_cost.txt"
SIZE = 77 * 384
VARIANCE, STEPS = 4.0, 1000.0
REPEATS, ROUNDS, PLAYED = 200, 25, 10
INTENTS = 31  # of the generated world
GENERATED = [
    *("task=intent", "data=generated", "data.source.rows=20000", "data.public_rows=10003"),
    *("data.partition=iid", "privacy.unit=record", "training=full_batch", "cache=none"),
    *("encoder=hashing", "encoder.centre=none", f"encoder.dimension={SIZE // INTENTS}"),
    *("run.report=false", "seed=null"),
]


def inversion() -> None:
    """Draw a share as before: 52 bits a coordinate, inverted."""
    share = uniform(SIZE, os.urandom)
    ndtri(share, out=share)
    share *= VARIANCE**0.5


def wide_dither(values: np.ndarray) -> None:
    """Round as before: 52 bits of dither a coordinate."""
    moved = uniform(SIZE, os.urandom)
    moved += values * STEPS
    np.floor(moved, out=moved).astype(np.int64)


def noise(values: np.ndarray) -> None:
    """Do what a round adds to a clamped sum."""
    dithered_round(values + gaussian_share(SIZE, VARIANCE, os.urandom), STEPS, os.urandom)


def expanded(count: int) -> bytes:
    """Expand 32 bytes of the system to any length by AES-256-CTR; for comparison, not in use."""
    cipher = Cipher(algorithms.AES256(os.urandom(32)), modes.CTR(bytes(16)))
    return cipher.encryptor().update(bytes(count))


def best(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the least milliseconds of each work; they take turns, so that load hits all alike."""
    least = dict.fromkeys(works, float("inf"))
    for _ in range(REPEATS):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            least[name] = min(least[name], 1e3 * (time.perf_counter() - started))
    return least


def parts() -> tuple[list[str], float]:
    """Return the lines on single parts, and the milliseconds of noise and dither together."""
    values = np.random.default_rng(0).normal(0, 100, SIZE)
    stored = os.urandom(16 * SIZE)
    cost = best(
        {
            "eight bytes a coordinate": partial(os.urandom, 8 * SIZE),
            "two bytes a coordinate": partial(os.urandom, 2 * SIZE),
            "share from bytes in memory": lambda: gaussian_share(
                SIZE, VARIANCE, lambda count: stored[:count]
            ),
            "share from 32 bytes by AES-256-CTR": partial(gaussian_share, SIZE, VARIANCE, expanded),
            "share": partial(gaussian_share, SIZE, VARIANCE, os.urandom),
            "share by inversion": inversion,
            "dither and rounding": partial(dithered_round, values, STEPS, os.urandom),
            "dither of 52 bits and rounding": partial(wide_dither, values),
            "noise and dither together": partial(noise, values),
        }
    )
    rows = [f"| {name} | {value:.2f} |" for name, value in cost.items()]
    return ["| part | ms |", "|---|---|", *rows], cost["noise and dither together"]


def shares(sites: list[int], together: float) -> list[str]:
    """Return the lines on a round, one for each number of sites."""
    lines = [
        "| sites | rows a site | step ms | masks, encryption | decryption | of step | of round |"
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for count in sites:
        chosen = ["task=intent", "data=banking77", "data.path=unopened", f"sites={count}"]
        plan = fedcc.plan(chosen).plan
        seen = [measure_round(plan) for _ in range(ROUNDS)]
        step, sealing, opening = (
            min(1e3 * getattr(cost, f"{part}_seconds") / count for cost in seen)
            for part in ("step", "encrypt", "decrypt")
        )
        whole = step + sealing + opening
        line = f"{count} | {10_003 // count:,} | {step:.2f} | {sealing:.2f} | {opening:.2f}"
        lines.append(f"| {line} | {together / step:.1%} | {together / whole:.1%} |")
    return lines


class Stopwatch:
    """Adds up the seconds spent in functions of one kind."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.seconds = 0.0

    def around(self, module: ModuleType, name: str) -> None:
        """Time every call of a function that a module uses."""
        timed: Callable[..., object] = getattr(module, name)

        def call(*args: object, **kwargs: object) -> object:
            started = time.perf_counter()
            try:
                return timed(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - started

        setattr(module, name, call)


def played(sites: list[int]) -> list[str]:
    """Return the lines on whole rounds, one for each number of sites."""
    lines = ["| sites | ms of a round, a site | noise and dither | parts from seeds |"]
    lines.append("|---|---|---|---|")
    system, seeded = Stopwatch(), Stopwatch()
    system.around(local_update, "gaussian_share")
    system.around(local_update, "dithered_round")
    seeded.around(opening, "gaussian_share")
    for count in sites:
        system.seconds = seeded.seconds = 0.0
        with tempfile.TemporaryDirectory() as folder:
            chosen = [f"run.dir={folder}/run", f"sites={count}", f"rounds={PLAYED}", *GENERATED]
            fedcc.simulate(chosen)
            path = Path(folder) / "run" / "metrics.jsonl"
            rounds = [json.loads(line)["seconds"] for line in path.read_text().splitlines()]
        whole = sum(rounds)
        line = f"| {count} | {1e3 * whole / PLAYED / count:.1f} | {system.seconds / whole:.1%} "
        lines.append(f"{line}| {seeded.seconds / whole:.1%} |")
    return lines


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sites", default="5,10,20")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    single, together = parts()
    lines = [f"$ python simulations/benchmarks/noise_cost.py --sites {args.sites}", ""]
    lines += [f"load of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", ""]
    lines += [*single, ""]
    sites = [int(part) for part in args.sites.split(",")]
    lines += [*shares(sites, together), "", *played(sites)]
    print("\n".join(lines))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
