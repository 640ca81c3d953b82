"""What a round costs on this machine: seconds and memory, measured on made-up rows.

One site's part of a round (clipped sum, noise share, rounding, masks, encryption, decryption) and
the aggregator's are timed in memory and multiplied by the number of sites, as in a simulation that
runs them one after another. It is an estimate: signatures, message passing and the disk (two
synced ledger lines a site and attempt, a checkpoint) are not in it.
"""

import math
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from fedcc.crypto import contexts
from fedcc.crypto.keys import MaskKey
from fedcc.crypto.masks import (
    SEED_BYTES,
    MaskEntry,
    Slots,
    add_mod,
    masks_of_survivors,
    pairwise_mask,
    self_mask,
)
from fedcc.crypto.parameters import MODULI
from fedcc.federation.local_training import private_sum
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.update_cipher import AggregateSum, UpdateCipher, slots_of
from fedcc.models.shapes import initial_parameters
from fedcc.privacy.noise_shares import clamp_to_box, dithered_round, gaussian_share
from fedcc.tasks.task import Examples

MOST_ROWS = 4096  # made-up rows that are timed; the cost of a step is linear in rows beyond them
REPEATS = 3  # the fastest counts: what else runs on the machine only adds

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class RoundCost:
    """Seconds of one round of all sites in one process, by part, and bytes of memory."""

    step_seconds: float  # clipped sums, noise and rounding
    encrypt_seconds: float
    aggregate_seconds: float
    decrypt_seconds: float
    process_bytes: int  # peak of this process, with every library of a run loaded
    features_bytes: int  # float32 features of the public number of rows, held once
    uploads_bytes: int  # one round's uploads and their sum

    @property
    def seconds(self) -> float:
        """All parts together."""
        return (
            self.step_seconds + self.encrypt_seconds + self.aggregate_seconds + self.decrypt_seconds
        )

    @property
    def memory_bytes(self) -> int:
        """All parts together."""
        return self.process_bytes + self.features_bytes + self.uploads_bytes


def measure_round(plan: RunPlan) -> RoundCost:
    """Time one round of a plan in memory; nothing is written and no data set is opened."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a run
    try:
        return _measured(plan)
    finally:
        torch.set_num_threads(threads)


def _measured(plan: RunPlan) -> RoundCost:
    sites, public_rows = len(plan.sites), int(plan.normaliser)
    step, update = _time_step(plan, public_rows)
    key = contexts.create_epoch_key(plan.scheme) if plan.scheme != "none" else None
    cipher = UpdateCipher(plan, key)
    adder = AggregateSum(plan, None if key is None else contexts.parameter_bytes(key))
    encrypt, chunks = _fastest(lambda: cipher.protect(update, own_masks(plan)), REPEATS)
    add, aggregate = _fastest(lambda: adder.add([chunks] * sites), 1)
    decrypt, _ = _fastest(lambda: cipher.reveal(aggregate, masks_of_all(plan)), REPEATS)
    size = sum(map(len, chunks))
    return RoundCost(
        step_seconds=sites * step,
        encrypt_seconds=sites * encrypt,
        aggregate_seconds=add * (2 if plan.recovers else 1),  # the verifier adds once more
        decrypt_seconds=sites * decrypt,
        process_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        features_bytes=4 * public_rows * plan.n_features,
        uploads_bytes=sites * size + sum(map(len, aggregate)),
    )


def _entry(plan: RunPlan) -> MaskEntry:
    return MaskEntry(plan.run, 1, 1, 1, plan.sites, bytes(32), plan.neighbours)


def own_masks(plan: RunPlan) -> Slots | None:
    """Return masks as one site makes them, from throwaway keys."""
    if not plan.masked:
        return None
    entry, first, size = _entry(plan), plan.sites[0], slots_of(plan)
    own = MaskKey(os.urandom(32))
    peer = MaskKey(os.urandom(32)).public
    secrets = {site: own.secret_with(peer) for site in entry.peers(first)}
    modulus = MODULI[plan.scheme]
    pairs = pairwise_mask(first, secrets, entry, size, modulus=modulus)
    own_mask = self_mask(os.urandom(SEED_BYTES), first, entry, size, modulus=modulus)
    return add_mod(pairs, own_mask, modulus=modulus)


def masks_of_all(plan: RunPlan) -> Slots | None:
    """Return the masks that a sum over all sites carries, from throwaway seeds."""
    if not plan.masked:
        return None
    seeds = {site: os.urandom(SEED_BYTES) for site in plan.sites}
    modulus = MODULI[plan.scheme]
    return masks_of_survivors(_entry(plan), seeds, {}, slots_of(plan), modulus=modulus)


def _time_step(plan: RunPlan, public_rows: int) -> tuple[float, NDArray[np.int64]]:
    """Return the seconds of one site's noised sum, and such a sum."""
    rows = max(1, public_rows // len(plan.sites))
    parameters = initial_parameters(plan.shape, plan.public_seed)

    def noised(examples: Examples) -> NDArray[np.int64]:
        clipped = private_sum(plan, examples).sum_at(parameters)
        clamped = clamp_to_box(clipped, plan.box)
        share = np.zeros(clamped.size)
        for variance in plan.noise_components.variances:
            share += gaussian_share(clamped.size, variance, os.urandom)
        return dithered_round(clamped + share, plan.steps_per_unit, os.urandom)

    examples = _made_up_rows(plan, min(rows, MOST_ROWS))
    seconds, update = _fastest(lambda: noised(examples), REPEATS)
    return seconds * rows / min(rows, MOST_ROWS), update


def _made_up_rows(plan: RunPlan, count: int) -> Examples:
    """Return random features of norm 1 and random labels; nothing of them is anybody's."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((count, plan.n_features), dtype=np.float32)
    features /= math.sqrt(plan.n_features)
    labels = rng.integers(0, max(2, plan.n_outputs), count)
    # As many rows of each customer as a site would keep.
    customers = np.arange(count) // plan.max_interactions if plan.unit == "customer" else None
    return Examples(features, labels, customers)


def _fastest(work: Callable[[], Result], repeats: int) -> tuple[float, Result]:
    """Return the least seconds of some calls, after one that warms up, and the last result."""
    result, times = work(), []
    for _ in range(repeats):
        started = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - started)
    return min(times), result
