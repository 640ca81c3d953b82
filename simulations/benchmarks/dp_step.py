"""What privacy costs in compute: one DP step of a linear head, its noise, and how both scale.

One process, one thread, CPU seconds (`time.process_time`), best of repeats; on a busy machine use
the ratios. The data are generated: rows of norm 1 in the shape of BANKING77 (10,003 x 384, 77
classes). All sums are checked against each other before anything is timed.

    python simulations/benchmarks/dp_step.py [--rows 10003 --repeats 7 --out results]

Goals: 40 private rounds within 3 CPU-seconds; a step at most 1.5 times the non-private one and at
least 30 times faster than Opacus' hooks; noise and dither at most 5 % of a round's compute; cost
linear in the rows. The non-private step is a plain full-batch forward and backward pass.
"""

import argparse
import math
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.grad_sample.utils import wrap_model
from torch import nn

from fedcc.models.heads import HeadShape, build_module, load_flat
from fedcc.privacy.noise_shares import clamp_to_box, dithered_round, gaussian_share
from fedcc.training.dp_sgd import ClippedGradients

SHAPE = HeadShape(n_features=384, hidden=0, n_outputs=77)
BOUND, ROUNDS = 0.3, 40
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Generated rows of norm 1."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]


def generate(count: int) -> Rows:
    """Return rows in BANKING77's shape, in blocks so that no float64 copy of all of them exists."""
    rng = np.random.default_rng(0)
    features = np.empty((count, SHAPE.n_features), dtype=np.float32)
    for start in range(0, count, 10_000):
        block = rng.standard_normal((min(10_000, count - start), SHAPE.n_features), np.float32)
        features[start : start + len(block)] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return Rows(features, rng.integers(0, SHAPE.n_outputs, count))


def best(work: Callable[[], object], repeats: int) -> float:
    """Return the least CPU seconds of `work`, after one call to warm up."""
    work()
    times = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


def plain_step(rows: Rows, flat: Vector) -> Callable[[], Vector]:
    """Return the non-private full-batch step: forward, backward, flat gradient."""
    module = build_module(SHAPE)
    features, labels = torch.from_numpy(rows.features), torch.from_numpy(rows.labels)

    def step() -> Vector:
        load_flat(module, flat)
        module.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(module(features), labels, reduction="sum").backward()
        [parameter] = module.parameters()
        assert parameter.grad is not None
        return parameter.grad.reshape(-1).numpy().astype(np.float64)

    return step


def opacus_step(rows: Rows, flat: Vector, mode: str, chunk: int) -> Callable[[], Vector]:
    """Return the step by an Opacus mode that materialises per-example gradients."""
    module = build_module(SHAPE)
    wrapped = wrap_model(module, grad_sample_mode=mode, loss_reduction="sum")
    features = torch.split(torch.from_numpy(rows.features), chunk)
    labels = torch.split(torch.from_numpy(rows.labels), chunk)

    def step() -> Vector:
        load_flat(module, flat)
        total = np.zeros(flat.size)
        for x, y in zip(features, labels, strict=True):
            wrapped.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(wrapped(x), y, reduction="sum").backward()
            [parameter] = module.parameters()
            gradients = parameter.grad_sample.reshape(len(y), -1)
            factors = (BOUND / (gradients.norm(dim=1) + 1e-6)).clamp(max=1.0)
            total += torch.einsum("n,np->p", factors, gradients).numpy()
        return total

    return step


def noise(flat: Vector) -> object:
    """Do what a round adds to the sum: clamp, share and dither, from the system's bytes."""
    share = gaussian_share(flat.size, 4.0, os.urandom)
    return dithered_round(clamp_to_box(flat, 1e3) + share, 1000.0, os.urandom)


def compare(count: int, repeats: int) -> list[str]:
    """Return the lines on one size: all modes, the noise and a whole run."""
    rows, flat = generate(count), np.random.default_rng(1).normal(0, 0.1, 384 * 77)
    gradients = ClippedGradients(build_module(SHAPE), rows, BOUND)
    any_module = ClippedGradients(nn.Sequential(build_module(SHAPE)), rows, BOUND)
    steps: dict[str, Callable[[], Vector]] = {
        "non-private, full batch": plain_step(rows, flat),
        "fedcc, linear head": partial(gradients.sum_at, flat),
        "Opacus ghost, chunks of 256": partial(any_module.sum_at, flat),
    }
    modes = (("hooks", count), ("hooks", 256), ("functorch", 256), ("ew", 256))
    for mode, chunk in modes:
        name = f"Opacus {mode}, {'full batch' if chunk == count else f'chunks of {chunk}'}"
        steps[name] = opacus_step(rows, flat, mode, chunk)
    expected = steps["fedcc, linear head"]()
    for name, step in steps.items():
        if not name.startswith("non-private"):
            np.testing.assert_allclose(step(), expected, atol=count * BOUND * 2e-6)
    seconds = {n: best(step, repeats if "Opacus" not in n else 2) for n, step in steps.items()}
    plain, ours = seconds["non-private, full batch"], seconds["fedcc, linear head"]
    lines = ["| step | CPU ms | to non-private | to fedcc |", "|---|---|---|---|"]
    for name, value in seconds.items():
        lines.append(f"| {name} | {1e3 * value:.1f} | {value / plain:.2f} | {value / ours:.1f} |")
    extra = best(partial(noise, expected), repeats)
    lines += [
        "",
        f"noise and dither of a round: {1e3 * extra:.2f} ms, {extra / (ours + extra):.1%} of it",
        f"{ROUNDS} private rounds: {ROUNDS * (ours + extra):.2f} CPU-seconds",
    ]
    return lines


def scale(counts: list[int], repeats: int) -> list[str]:
    """Return the lines on cost against rows; the peak is of the whole process so far."""
    lines = ["", "| rows | CPU s a step | us a row | data MB | peak MB |", "|---|---|---|---|---|"]
    costs = []
    for count in counts:
        rows, flat = generate(count), np.zeros(384 * 77)
        gradients = ClippedGradients(build_module(SHAPE), rows, BOUND)
        costs.append(best(partial(gradients.sum_at, flat), min(repeats, 3)))
        data = (rows.features.nbytes + rows.labels.nbytes) / 2**20
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        each = 1e6 * costs[-1] / count
        lines.append(f"| {count:,} | {costs[-1]:.3f} | {each:.2f} | {data:.0f} | {peak:.0f} |")
    slope = math.log(costs[-1] / costs[0]) / math.log(counts[-1] / counts[0])
    return [*lines, "", f"slope of log cost against log rows: {slope:.2f} (1 is linear)"]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=10_003)
    parser.add_argument("--scale", default="10000,100000,1000000", help="two sizes or more")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    counts = [int(part) for part in args.scale.split(",") if part]
    lines = [f"$ python simulations/benchmarks/dp_step.py --rows {args.rows}", ""]
    lines += scale(counts, args.repeats)
    lines += ["", *compare(args.rows, args.repeats)]
    print("\n".join(lines))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "dp_step.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
