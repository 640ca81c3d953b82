"""What the simulator sees: sums that do not depend on the order in which sites arrive."""

from pathlib import Path

import numpy as np
import pytest

from fedcc import config
from fedcc.data.tabular_features import TabularEncoding
from fedcc.federation.closed_round import ClosedRound
from fedcc.federation.observer import Observer
from fedcc.federation.planning import make_plan
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.settings import simulation_settings
from fedcc.federation.site_parts import AppliedNote, UploadNote
from fedcc.models.update import ModelState

RECIPE = TabularEncoding(tuple((f"number-{i}", 0.0, 1.0) for i in range(4)), (), 0)


@pytest.fixture
def plan(calls: Path) -> RunPlan:
    values = config.compose("simulate", ["data=calls", "sites=20", "rounds=3"], calls)
    return make_plan(simulation_settings(values), RECIPE, 1, run="run", public_seed=1)


def uploads(plan: RunPlan) -> list[UploadNote]:
    rng = np.random.default_rng(1)
    shape = (len(plan.sites), plan.n_parameters)
    share, noised = rng.normal(0, 5, shape), rng.normal(0, 50, shape)
    return [
        UploadNote(site, 1, 1, s, n, np.rint(n * plan.steps_per_unit).astype(np.int64))
        for site, s, n in zip(plan.sites, share, noised, strict=True)
    ]


def noise_seen(plan: RunPlan, notes: list[UploadNote], survivors: tuple[str, ...] = ()) -> bytes:
    observer = Observer(plan, None)
    for note in notes:
        observer.on_upload(note)
    zeros = np.zeros(plan.n_parameters)
    state = ModelState(zeros, zeros, zeros, 0, 1)
    closed = closed_with(survivors or plan.sites)
    noise = observer.noise_of(AppliedNote("site-1", closed, zeros, zeros, state))
    assert noise is not None
    return noise.tobytes()


def closed_with(survivors: tuple[str, ...]) -> ClosedRound:
    return ClosedRound(
        epoch=1,
        entry=1,
        round_number=1,
        attempt=1,
        cohort=survivors,
        aggregate=[],
        uploads=dict.fromkeys(survivors, b""),
        commitments={},
        signatures={},
        verification=b"",
        seeds={},
        mask_keys={},
        excess={},
    )


def test_the_noise_of_a_site_that_dropped_out_after_its_upload_is_not_in_the_sum(
    plan: RunPlan,
) -> None:
    notes = uploads(plan)

    assert noise_seen(plan, notes, plan.sites[1:]) == noise_seen(plan, notes[1:], plan.sites[1:])
    assert noise_seen(plan, notes, plan.sites[1:]) != noise_seen(plan, notes)


def test_the_noise_of_a_sum_is_the_same_to_the_bit_whoever_uploads_first(plan: RunPlan) -> None:
    notes = uploads(plan)
    floats = [sum(n.share for n in order) for order in (notes, notes[::-1])]

    assert noise_seen(plan, notes) == noise_seen(plan, notes[::-1])
    assert floats[0].tobytes() != floats[1].tobytes()  # adding floats as they come would differ


def test_the_noise_of_a_sum_is_that_of_its_shares(plan: RunPlan) -> None:
    notes = uploads(plan)
    noise = np.frombuffer(noise_seen(plan, notes))
    # Half a part of a step is lost at each site.
    finest = len(notes) / plan.steps_per_unit / 2**31

    np.testing.assert_allclose(noise, sum(n.share for n in notes), rtol=0, atol=2 * finest)
