"""The textbook baseline: Opacus at each site and FedAvg."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from fedcc.models.shapes import HeadShape
from fedcc.privacy.renyi import sampled_noise_multiplier
from fedcc.rng import byte_source
from fedcc.training.textbook import textbook_epsilon, textbook_noise, train_textbook

SHAPE = HeadShape(n_features=2, hidden=0, n_outputs=1)


@dataclass(frozen=True)
class Rows:
    features: NDArray[np.float32]
    labels: NDArray[np.int64]


def rows(count: int, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    features = np.stack([labels - 0.5, rng.normal(0, 0.1, count)], axis=1)
    return Rows(features.astype(np.float32), labels.astype(np.int64))


def train(sites: list[Rows], noise: float, *, source_seed: int = 1, **changes: float) -> object:
    terms = {"max_grad_norm": 1.0, "learning_rate": 1.0, "batches": 4, "rounds": 2, **changes}
    source = byte_source(source_seed, "test")
    return train_textbook(
        sites, SHAPE, initial=np.zeros(2), noise_multiplier=noise, source=source, **terms  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_noise_keeps_the_budget_and_is_no_worse_than_our_own_accountant_asks() -> None:
    noise = textbook_noise(1.0, 1e-5, batches=8, rounds=10)

    assert 0.9 < textbook_epsilon(noise, 1e-5, batches=8, rounds=10) <= 1.0
    # dp-accounting's Renyi bound needs more: the baseline is not handicapped.
    assert noise < sampled_noise_multiplier(1.0, 1e-5, steps=80, sample_rate=1 / 8)


def test_less_noise_than_calibrated_overspends() -> None:
    noise = textbook_noise(1.0, 1e-5, batches=8, rounds=10)

    assert textbook_epsilon(0.8 * noise, 1e-5, batches=8, rounds=10) > 1.0


def test_without_noise_it_learns_what_separates_the_classes() -> None:
    weights = np.asarray(train([rows(80), rows(120, 1)], 1e-6))

    assert weights[0] > 0.3 and abs(weights[1]) < 0.3 * weights[0]


def test_sites_count_by_their_rows() -> None:
    few, many = rows(40), rows(400, 1)
    # Labels turned around at the small site: were sites equal, they would cancel out.
    turned = Rows(few.features, 1 - few.labels)

    weights = np.asarray(train([turned, many], 1e-6, rounds=1))

    assert weights[0] > 0.2


def test_the_noise_that_opacus_adds_has_the_planned_size() -> None:
    # With a vanishing step size gradients stay those of zero; 4 steps of noise z C / (n q) remain.
    noise, sites = 5.0, [Rows(np.zeros((40, 2), np.float32), np.zeros(40, np.int64))]
    drawn = [
        np.asarray(train(sites, noise, source_seed=seed, rounds=1)) for seed in range(60)
    ]  # features are zero, so every gradient is, and an empty batch is noise alone, too

    expected = np.sqrt(4) * noise / (40 / 4)
    # A standard deviation of 120 normal values is within 26 % in all but 1 of 10,000 cases.
    assert np.std(drawn) == pytest.approx(expected, rel=0.26)


def test_the_same_seed_gives_the_same_model_and_another_one_does_not() -> None:
    sites = [rows(40)]
    one = train(sites, 1.0)

    np.testing.assert_array_equal(one, train(sites, 1.0))
    assert not np.array_equal(np.asarray(one), np.asarray(train(sites, 1.0, source_seed=2)))


def test_a_site_with_too_few_rows_for_its_batches_is_refused() -> None:
    with pytest.raises(ValueError, match="batches"):
        train([rows(3)], 1.0)
