"""One small federation in four ways: what each party holds, and what the attack makes of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import hypergeom

from fedcc.attacks import views
from fedcc.attacks.inversion import guess_records
from fedcc.attacks.uniformity import uniformity_p_value
from fedcc.attacks.views import Matrix, Scene
from fedcc.crypto.packing import pack
from fedcc.crypto.parameters import PLAIN_MODULUS
from fedcc.errors import RecordError
from fedcc.federation.simulation import RunResult

SMALL = [
    "task=intent", "data=generated", "data.source.rows=700", "data.public_rows=420",
    "data.partition=iid", "encoder=hashing", "cache=none", "sites=6", "rounds=1", "seed=1",
]  # fmt: skip
VICTIM = "site-2"
# A blind guesser passes this with one run in a million; an attack that works does not come near.
LEAST_P = 1e-6


class Run:
    """A run, its scene and what was overheard."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        """Play it."""
        self.dir = folder
        result, self.heard = views.overheard_run([*SMALL, *overrides, f"run.dir={folder}"])
        assert result.error is None
        self.scene = views.scene_of(folder)

    @property
    def upload(self) -> list[bytes]:
        return views.uploads(self.heard, 1)[VICTIM]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("plain") / "run", "crypto=none", "privacy=none")


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("default") / "run")


@pytest.fixture(scope="module")
def no_noise(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("no-noise") / "run", "privacy=none")


def attack(scene: Scene, update: Matrix, truth: frozenset[int], count: int) -> tuple[float, float]:
    """Return the share of right guesses and the chance that a blind guesser does as well."""
    guesses = guess_records(update, scene.weights, scene.features, count=count)
    right = len({guess.candidate for guess in guesses} & truth)
    blind = hypergeom(len(scene.texts), len(truth), count)
    return right / count, float(blind.sf(right - 1))


def at_victim(run: Run, update: Matrix) -> tuple[float, float]:
    truth = run.scene.said_at[VICTIM]
    return attack(run.scene, update, truth, len(truth))


def trained(scene: Scene) -> frozenset[int]:
    return frozenset[int]().union(*scene.said_at.values())


def test_a_plain_update_gives_away_the_site_s_sentences(plain: Run) -> None:
    share, blind = at_victim(plain, views.plain_update(plain.scene, plain.upload))

    assert share >= 0.85
    assert blind < LEAST_P


def test_an_encrypted_upload_gives_the_aggregator_nothing(default: Run) -> None:
    update = views.read_as_numbers(default.scene, default.upload)

    assert np.abs(update).max() > 0
    assert at_victim(default, update)[1] > LEAST_P


def test_an_upload_opened_with_the_real_key_is_uniform_and_gives_nothing(default: Run) -> None:
    [key] = views.epoch_keys(default.dir, "site-1")  # any site's: it is the same

    slots = views.opened_slots(default.scene, default.upload, key)

    assert uniformity_p_value(slots, PLAIN_MODULUS) > LEAST_P
    assert at_victim(default, views.slots_as_update(default.scene, slots))[1] > LEAST_P


def test_without_the_mask_the_same_slots_would_give_everything(plain: Run) -> None:
    # The twin: the very update of the plain run, packed as an upload is, and nothing on top.
    update = views.plain_update(plain.scene, plain.upload)
    whole = np.rint(update * plain.scene.plan.steps_per_unit).astype(np.int64).reshape(-1)
    slots = pack(whole, plain.scene.plan.lanes)

    assert uniformity_p_value(slots, PLAIN_MODULUS) < LEAST_P
    assert at_victim(plain, views.slots_as_update(plain.scene, slots))[0] >= 0.85


def test_the_noised_sum_gives_a_site_no_more_than_blind_guessing(default: Run) -> None:
    update = views.released_sum(default.scene, default.dir, "site-1")

    assert attack(default.scene, update, trained(default.scene), 100)[1] > LEAST_P


def test_encryption_alone_does_not_close_the_sum_to_a_site(no_noise: Run) -> None:
    # The twin: the same sum without noise says who took part.
    update = views.released_sum(no_noise.scene, no_noise.dir, "site-1")

    share, blind = attack(no_noise.scene, update, trained(no_noise.scene), 100)

    assert share >= 0.95
    assert blind < LEAST_P


def test_the_sum_of_the_plain_updates_is_the_sum_that_a_site_reads_off(plain: Run) -> None:
    every = views.uploads(plain.heard, 1).values()
    total = sum(views.plain_update(plain.scene, chunks) for chunks in every)

    seen = views.released_sum(plain.scene, plain.dir, "site-1")

    # One float64 division by the normaliser and one multiplication.
    np.testing.assert_allclose(seen, total, rtol=1e-14, atol=1e-12)


def test_every_site_s_sentences_are_among_the_candidates(plain: Run) -> None:
    scene = plain.scene

    assert len(set(scene.texts)) == len(scene.texts) == len(scene.features)
    assert all(scene.said_at[site] for site in scene.plan.sites)
    assert len(trained(scene)) < len(scene.texts)  # test rows are decoys


def test_views_that_a_run_does_not_have_are_refused(plain: Run, default: Run) -> None:
    with pytest.raises(ValueError, match="encrypted"):
        views.plain_update(default.scene, default.upload)
    with pytest.raises(ValueError, match="masked"):
        views.opened_slots(plain.scene, plain.upload, b"")
    with pytest.raises(RecordError, match="no HE key"):
        views.epoch_keys(plain.dir, VICTIM)


def test_a_sum_of_a_later_round_is_not_read_off_as_if_it_were_the_first(tmp_path: Path) -> None:
    few = ("rounds=2", "crypto=none", "sites=3", "data.source.rows=300", "data.public_rows=180")
    two = Run(tmp_path / "two", *few)

    with pytest.raises(ValueError, match="one round"):
        views.released_sum(two.scene, two.dir, "site-1")


def test_a_run_of_numbers_has_no_sentences_to_find(
    run_calls: Callable[..., RunResult],
) -> None:
    result = run_calls("rounds=1")

    with pytest.raises(ValueError, match="texts"):
        views.scene_of(result.run_dir)
