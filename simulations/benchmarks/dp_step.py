"""What privacy costs in compute: one DP step of a linear head, its noise, and how both scale.

One thread, CPU seconds, best of repeats that take turns. Rows are generated, of norm 1, in the
shape of BANKING77 (10,003 x 384, 77 classes). All private sums are checked against each other
first. "Non-private" is one plain pass over all rows; encryption is one upload's, without masks.

    python simulations/benchmarks/dp_step.py [--rows 10003 --out FILE]
Goals: 40 private rounds in 3 CPU-seconds; a step at most 1.5 times the non-private one and 30 times
faster than Opacus' hooks at full batch; noise and dither at most 5 % of a round.
"""

import argparse
import os
import resource
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.grad_sample.utils import wrap_model
from torch import nn

from fedcc.crypto.contexts import SiteCipher, create_epoch_key
from fedcc.crypto.packing import pack
from fedcc.models.heads import build_module, load_flat
from fedcc.models.shapes import HeadShape
from fedcc.privacy.noise_shares import clamp_to_box, dithered_round, gaussian_share
from fedcc.tasks.task import Examples
from fedcc.training.dp_sgd import ClippedGradients

RESULTS = Path(__file__).parent / "results" / "dp_step.txt"
SHAPE = HeadShape(n_features=384, hidden=0, n_outputs=77)
SIZE, BOUND, ROUNDS = 384 * 77, 0.3, 40
PLAIN, OURS = "non-private, full batch", "fedcc, linear head"
GHOST, MODES = "Opacus ghost, chunks of 256", ("hooks", "functorch", "ew")
Vector = NDArray[np.float64]


def generate(count: int) -> Examples:
    """Return rows of norm 1, made in blocks so that no second copy of all of them exists."""
    rng = np.random.default_rng(0)
    features = np.empty((count, SHAPE.n_features), dtype=np.float32)
    for block in np.array_split(features, max(1, count // 10_000)):
        block[:] = rng.standard_normal(block.shape, np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return Examples(features, rng.integers(0, SHAPE.n_outputs, count))


def best(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the least CPU seconds of each work; they take turns, so that load hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            started = time.process_time()
            work()
            times[name].append(time.process_time() - started)
    return {name: min(measured) for name, measured in times.items()}


def plain_step(rows: Examples, flat: Vector) -> Vector:
    """Take the non-private gradient of all rows at once."""
    module = build_module(SHAPE)
    load_flat(module, flat)
    scores = module(torch.from_numpy(rows.features))
    nn.functional.cross_entropy(scores, torch.from_numpy(rows.labels), reduction="sum").backward()
    return np.concatenate([p.grad.reshape(-1).numpy().astype(float) for p in module.parameters()])


def opacus_step(wrapped: nn.Module, rows: Examples, flat: Vector) -> Vector:
    """Take the clipped sum by an Opacus mode that materialises per-example gradients."""
    load_flat(wrapped, flat)
    wrapped.zero_grad(set_to_none=True)
    scores, labels = wrapped(torch.from_numpy(rows.features)), torch.from_numpy(rows.labels)
    nn.functional.cross_entropy(scores, labels, reduction="sum").backward()
    gradients = torch.cat([p.grad_sample.reshape(len(labels), -1) for p in wrapped.parameters()])
    factors = (BOUND / (gradients.norm(dim=1) + 1e-6)).clamp(max=1.0)
    return torch.einsum("n,np->p", factors, gradients).numpy().astype(np.float64)


def noise(flat: Vector) -> NDArray[np.int64]:
    """Do what a round adds to the sum: clamp, share and dither, from the system's bytes."""
    share = gaussian_share(flat.size, 4.0, os.urandom)
    return dithered_round(clamp_to_box(flat, 1e3) + share, 1000.0, os.urandom)


def compare(count: int) -> list[str]:
    """Return the lines on one size: all modes, noise, encryption and a whole run."""
    rows, flat = generate(count), np.random.default_rng(1).normal(0, 0.1, SIZE)
    # Inside a Sequential the layer takes fedcc's path for all other modules.
    modules = {OURS: build_module(SHAPE), GHOST: nn.Sequential(build_module(SHAPE))}
    steps = {n: partial(ClippedGradients(m, rows, BOUND).sum_at, flat) for n, m in modules.items()}
    steps[PLAIN] = partial(plain_step, rows, flat)
    for mode in MODES:
        wrapped = wrap_model(build_module(SHAPE), grad_sample_mode=mode, loss_reduction="sum")
        steps[f"Opacus {mode}, full batch"] = partial(opacus_step, wrapped, rows, flat)
    expected = steps[OURS]()
    for name in steps.keys() - {PLAIN}:
        np.testing.assert_allclose(steps[name](), expected, atol=count * BOUND * 2e-6)
    cipher, slots = SiteCipher("bfv", create_epoch_key("bfv")), pack(noise(expected), 2)
    quick = {name: steps.pop(name) for name in (PLAIN, OURS)}
    quick |= {"noise": partial(noise, expected), "sealing": partial(cipher.encrypt, slots)}
    cost = best(quick, 20)
    extra, sealed = cost.pop("noise"), cost.pop("sealing")
    lines = ["| step | CPU ms | to non-private | to fedcc |", "|---|---|---|---|"]
    for name, value in (cost | best(steps, 2)).items():
        against = f"{value / cost[PLAIN]:.2f} | {value / cost[OURS]:.1f}"
        lines.append(f"| {name} | {1e3 * value:.1f} | {against} |")
    private = cost[OURS] + extra
    return lines + [
        f"\nnoise and dither {1e3 * extra:.2f} ms, encryption {1e3 * sealed:.2f} ms a round",
        f"noise and dither: {extra / private:.1%} of the private compute",
        f"{ROUNDS} private rounds: {ROUNDS * private:.2f} CPU-seconds",
    ]


def scale(counts: list[int]) -> list[str]:
    """Return the lines on cost against rows; the peak is of the process so far."""
    lines, costs = ["| rows | CPU s | us a row | data MB | peak MB |", "|---|---|---|---|---|"], []
    for count in counts:
        rows = generate(count)
        gradients = ClippedGradients(build_module(SHAPE), rows, BOUND)
        costs.append(best({"": partial(gradients.sum_at, np.zeros(SIZE))}, 3)[""])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        size = f"{1e6 * costs[-1] / count:.2f} | {rows.features.nbytes / 2**20:.0f} | {peak:.0f}"
        lines.append(f"| {count:,} | {costs[-1]:.3f} | {size} |")
    slope = np.log(costs[-1] / costs[0]) / np.log(counts[-1] / counts[0])
    return [*lines, "", f"slope of log cost against log rows: {slope:.2f} (1 is linear)"]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_003)
    parser.add_argument("--scale", default="10000,100000,1000000", help="two sizes or more")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Full backward hook is firing")
    lines = [f"$ python simulations/benchmarks/dp_step.py --rows {args.rows}", ""]
    lines += [*scale([int(part) for part in args.scale.split(",")]), "", *compare(args.rows)]
    print("\n".join(lines))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
