"""From the seeds of an attempt to masks and excess noise: what a site adds, and what is taken off.

Uploads and closed rounds use the same derivations here. What is taken off a sum is a function of
opened, committed values alone, so all sites compute the same; the excess noise is taken off in
whole grid steps, so that they also do so to the bit.
"""

import json
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fedcc.crypto.entries import EntrySecrets
from fedcc.crypto.keys import MaskKey
from fedcc.crypto.masks import (
    MaskEntry,
    Slots,
    add_mod,
    derive,
    dropped_pairs,
    key_stream,
    masks_of_survivors,
    pairwise_mask,
    self_mask,
)
from fedcc.crypto.parameters import MODULI
from fedcc.federation.closed_round import ClosedRound
from fedcc.federation.closing import opened_parts, split_seeds
from fedcc.federation.epoch_record import EpochRecord
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.update_cipher import slots_of
from fedcc.privacy.noise_shares import gaussian_share

Vector = NDArray[np.float64]


def upload_masks(
    plan: RunPlan, record: EpochRecord, entry: MaskEntry, site: str, secrets: EntrySecrets
) -> Slots | None:
    """Return the masks of a site's own upload; `None` where the scheme has none."""
    if not plan.masked:
        return None
    own = MaskKey(secrets.mask_key)
    shared = {
        peer: own.secret_with(record.by_site[peer].mask_key(record.epoch, entry.number))
        for peer in entry.peers(site)
    }
    size, modulus = slots_of(plan), MODULI[plan.scheme]
    pairs = pairwise_mask(site, shared, entry, size, modulus=modulus)
    own_mask = self_mask(secrets.self_seed, site, entry, size, modulus=modulus)
    return add_mod(pairs, own_mask, modulus=modulus)


def excess_part(plan: RunPlan, entry: MaskEntry, site: str, part: int, seed: bytes) -> Vector:
    """Return one part of a site's excess noise in gradient units, shape `(n_parameters,)`.

    Args:
        plan: of the run.
        entry: of the attempt.
        site: whose noise.
        part: from 1.
        seed: of this part alone.
    """
    # The seed alone decides: it is fresh for every part of every entry, and committed to.
    place = json.dumps(["fedcc/excess/v1", site, entry.number, part])
    key = derive(seed, bytes(32), place.encode())
    variance = plan.noise_components.variances[part]
    return gaussian_share(plan.n_parameters, variance, key_stream(key))


def remaining_masks(
    closed: ClosedRound, record: EpochRecord, plan: RunPlan, entry: MaskEntry
) -> Slots | None:
    """Return the masks that the sum over the survivors carries; checked values only.

    All of it is open to every site by now. The sites of one process ask for the same, hence the
    memory of one.
    """
    if not plan.masked:
        return None
    pairs = {}
    keys = {site: MaskKey(key) for site, key in closed.mask_keys.items()}
    for dropped, survivor in dropped_pairs(entry, closed.survivors):
        public = record.by_site[survivor].mask_key(record.epoch, closed.entry)
        pairs[dropped, survivor] = keys[dropped].secret_with(public)
    seeds = {site: closed.seeds[site] for site in closed.survivors}
    modulus = MODULI[plan.scheme]
    return _masks(entry, tuple(seeds.items()), tuple(pairs.items()), slots_of(plan), modulus)


@lru_cache(maxsize=1)
def _masks(
    entry: MaskEntry,
    seeds: tuple[tuple[str, bytes], ...],
    pairs: tuple[tuple[tuple[str, str], bytes], ...],
    size: int,
    modulus: int,
) -> Slots:
    masks = masks_of_survivors(entry, dict(seeds), dict(pairs), size, modulus=modulus)
    masks.flags.writeable = False
    return masks


def opened_noise(closed: ClosedRound, plan: RunPlan, entry: MaskEntry) -> Vector | None:
    """Return the excess noise of all survivors that is to be taken off a sum, in gradient units.

    `None` if there is none. Rounded to whole grid steps: the sum that it is taken off is whole.
    """
    parts = opened_parts(plan, closed.survivors) if plan.masked else ()
    if not parts:
        return None
    return _noise(plan, entry, tuple((site, closed.excess[site]) for site in closed.survivors))


@lru_cache(maxsize=1)
def _noise(plan: RunPlan, entry: MaskEntry, excess: tuple[tuple[str, bytes], ...]) -> Vector:
    total = np.zeros(plan.n_parameters)
    parts = opened_parts(plan, [site for site, _ in excess])
    for site, joined in excess:
        for part, seed in zip(parts, split_seeds(joined), strict=True):
            total += excess_part(plan, entry, site, part, seed)
    whole: Vector = np.rint(total * plan.steps_per_unit) / plan.steps_per_unit
    whole.flags.writeable = False
    return whole
