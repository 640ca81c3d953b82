"""The sentences behind an update: found in a plain one, not in what anybody sees of a real run.

Gradients come from Opacus (`ClippedGradients`), not from the attack's own formulas.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from fedcc.attacks.inversion import Guess, guess_records, share_found, share_found_by_chance
from fedcc.models.heads import build_module
from fedcc.models.shapes import HeadShape
from fedcc.tasks.task import Examples
from fedcc.training.dp_sgd import ClippedGradients

N_CLASSES, N_FEATURES, N_CANDIDATES = 12, 96, 1500
CLIP = 0.3
Matrix = NDArray[np.float64]


@pytest.fixture(scope="module")
def sentences() -> Matrix:
    """Unit vectors around as many centres as there are classes, as sentence vectors are."""
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(N_CLASSES, N_FEATURES))
    mixed = centres[rng.integers(0, N_CLASSES, N_CANDIDATES)]
    vectors = mixed + 1.5 * rng.normal(size=mixed.shape)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def weights() -> Matrix:
    return np.random.default_rng(4).normal(size=(N_CLASSES, N_FEATURES))


def gradient(sentences: Matrix, labels: NDArray[np.int64], weights: Matrix) -> Matrix:
    """Sum of clipped gradients of these rows, computed by Opacus."""
    shape = HeadShape(n_features=N_FEATURES, hidden=0, n_outputs=N_CLASSES)
    examples = Examples(sentences.astype(np.float32), labels)
    sums = ClippedGradients(build_module(shape), examples, CLIP)
    return sums.sum_at(weights.reshape(-1)).reshape(weights.shape)


def batch(size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rng = np.random.default_rng(size)
    rows = rng.choice(N_CANDIDATES, size, replace=False)
    return rows, rng.integers(0, N_CLASSES, size)


def test_one_record_is_named_with_its_label_and_its_clipping_factor(
    sentences: Matrix, weights: Matrix
) -> None:
    [row], [label] = batch(1)

    [guess] = guess_records(
        gradient(sentences[[row]], np.array([label]), weights), weights, sentences, count=1
    )

    scores = weights @ sentences[row]
    asked = np.exp(scores) / np.exp(scores).sum() - np.eye(N_CLASSES)[label]
    factor = min(1.0, CLIP / np.linalg.norm(np.outer(asked, sentences[row])))
    assert (guess.candidate, guess.label) == (row, label)
    assert guess.weight == pytest.approx(factor, rel=1e-4)  # float32, and Opacus' 1e-6 on norms


@pytest.mark.parametrize("size", [8, 32, 64])
def test_a_plain_batch_gives_its_sentences_away(
    sentences: Matrix, weights: Matrix, size: int
) -> None:
    rows, labels = batch(size)

    guesses = guess_records(
        gradient(sentences[rows], labels, weights), weights, sentences, count=size
    )

    assert share_found(guesses, set(rows.tolist())) >= 0.85
    assert share_found_by_chance(size, N_CANDIDATES) < 0.05
    truth = dict(zip(rows.tolist(), labels.tolist(), strict=True))
    right = [guess for guess in guesses if guess.candidate in truth]
    assert all(guess.label == truth[guess.candidate] for guess in right)


def test_the_noise_of_one_private_step_hides_them(sentences: Matrix, weights: Matrix) -> None:
    rows, labels = batch(32)
    # Per coordinate 3.8 clips: forty full-batch steps at epsilon 8, see the calibration's tests.
    noise = np.random.default_rng(9).normal(scale=3.8 * CLIP, size=weights.shape)

    guesses = guess_records(
        gradient(sentences[rows], labels, weights) + noise, weights, sentences, count=32
    )

    assert share_found(guesses, set(rows.tolist())) <= 0.25  # blindly 0.02; without noise 0.85 on


def test_a_record_that_was_scaled_is_found_all_the_same(sentences: Matrix, weights: Matrix) -> None:
    rows, labels = batch(8)
    update = gradient(sentences[rows], labels, weights)

    small, large = (
        {g.candidate for g in guess_records(scale * update, weights, sentences, count=8)}
        for scale in (1e-6, 1e6)
    )

    assert small == large


def test_a_sentence_without_features_is_never_named(sentences: Matrix, weights: Matrix) -> None:
    empty = sentences[:5].copy()
    empty[2] = 0.0

    guesses = guess_records(np.ones_like(weights), weights, empty, count=5)

    assert {guess.candidate for guess in guesses} == {0, 1, 3, 4}


def test_shares_are_of_true_sentences() -> None:
    guesses = [Guess(1, 0, 1.0), Guess(2, 0, 1.0), Guess(7, 0, 1.0)]

    assert share_found(guesses, {1, 2, 3, 4}) == 0.5
    assert share_found_by_chance(3, 12) == 0.25
    with pytest.raises(ValueError, match="no true sentence"):
        share_found(guesses, set())
    with pytest.raises(ValueError, match="count"):
        share_found_by_chance(13, 12)


@pytest.mark.parametrize(
    "update, n_weights, count, message",
    [
        (np.zeros((3, 4)), 2, 1, "shapes"),
        (np.zeros((1, 4)), 1, 1, "two or more classes"),
        (np.full((2, 4), np.nan), 2, 1, "NaN"),
        (np.zeros((2, 4)), 2, 0, "count"),
        (np.zeros((2, 4)), 2, 7, "count"),
    ],
)
def test_what_the_attack_is_not_made_for_is_refused(
    update: Matrix, n_weights: int, count: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        guess_records(update, np.zeros((n_weights, 4)), np.ones((6, 4)), count=count)
