"""A site's private computation: from its rows to the noised, rounded integers that it uploads.

The order carries the proof: clip, sum, clamp the noiseless sum to a public box, add the noise, then
round with a dither. Nothing saturates after the noise.
"""

import numpy as np
from numpy.typing import NDArray

from fedcc.crypto.entries import EntrySecrets
from fedcc.crypto.masks import MaskEntry
from fedcc.federation import opening
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.site_parts import UploadNote
from fedcc.models.update import ModelState
from fedcc.privacy.noise_shares import clamp_to_box, dithered_round, gaussian_share
from fedcc.rng import bernoulli, byte_source
from fedcc.training.dp_sgd import PrivateSum


def noised_update(
    plan: RunPlan,
    sums: PrivateSum,
    state: ModelState,
    entry: MaskEntry,
    secrets: EntrySecrets,
    *,
    site: str,
    seed: int | None,
) -> UploadNote:
    """Draw a batch if planned, clip, sum, clamp, add every part of the noise, round.

    Args:
        plan: of the run.
        sums: clipped sums over the site's rows.
        state: the model.
        entry: of the attempt.
        secrets: of the entry; its excess seeds give the parts of the noise that may be opened.
        site: whose update.
        seed: `None` for the operating system's randomness.

    Returns:
        The integers to upload, with what a simulation may look at beside them.
    """
    place = (site, entry.round_number, entry.attempt)
    drawn = None
    if plan.sample_rate < 1:
        source = byte_source(seed, "sample", *place)
        drawn = bernoulli(sums.n_units, plan.sample_rate, source)
    clamped = clamp_to_box(sums.sum_at(state.parameters, drawn), plan.box)
    noise = byte_source(seed, "noise", *place)
    share = gaussian_share(clamped.size, plan.noise_components.variances[0], noise)
    for part, part_seed in enumerate(secrets.excess_seeds, start=1):
        share += opening.excess_part(plan, entry, site, part, part_seed)
    dither = byte_source(seed, "dither", *place)
    noised = clamped + share
    update: NDArray[np.int64] = dithered_round(noised, plan.steps_per_unit, dither)
    return UploadNote(site, entry.round_number, entry.attempt, share, noised, update)
