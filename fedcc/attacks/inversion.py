"""Which sentences made this update: the records behind a gradient of a linear softmax head.

The gradient of one record is the outer product of what its loss asks of the scores and its
features. Whoever has the model and a list of sentences can therefore write down the gradient of
each sentence under each label, and look for the few that add up to an update. For a batch of one
this is the familiar observation that the gradient of a linear layer *is* the record; for more, it
is sparse recovery in a dictionary.

The attacker knows the model before the step, the encoder and a list of candidate sentences that
holds the true ones among others; not the labels, not the clipping factors, not who said what. A
stronger attack may exist: that this one fails on an input proves nothing by itself.

Sources: Zhu et al., "Deep Leakage from Gradients", 2019 (arXiv:1906.08935); Zhao et al., "iDLG:
Improved Deep Leakage from Gradients", 2020 (arXiv:2001.02610: the label from the gradient's sign);
Tropp and Gilbert, "Signal Recovery From Random Measurements Via Orthogonal Matching Pursuit", 2007.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

RIDGE = 1e-9  # keeps the fit defined when one guess is a combination of others


@dataclass(frozen=True)
class Guess:
    """One sentence that the attacker names."""

    candidate: int  # place in the list of candidates
    label: int  # code of the label that it is taken to have
    weight: float  # how often, times its clipping factor


def guess_records(
    update: Matrix, weights: Matrix, candidates: Matrix, *, count: int
) -> list[Guess]:
    """Name the candidates whose gradients explain an update best, by orthogonal matching pursuit.

    Args:
        update: sum of clipped gradients as somebody sees it, shape `(n_classes, d)`; any scale.
        weights: of the head before the step, shape `(n_classes, d)`.
        candidates: features of candidate sentences, all different, shape `(n, d)`.
        count: how many sentences to name, at most `n`.

    Returns:
        `count` guesses with different candidates, the surest first.

    Raises:
        ValueError: if shapes do not fit, there are fewer than two classes, the update is not
            finite, or `count` is not in 1..n.
    """
    _check(update, weights, candidates, count)
    asked = _probabilities(candidates @ weights.T)  # a loss asks for this minus the label's one-hot
    lengths = np.linalg.norm(candidates, axis=1)
    norms = np.sqrt(np.sum(asked**2, axis=1)[:, None] + 1 - 2 * asked) * lengths[:, None]
    at_start = candidates @ update.T  # what each candidate has in common with each row
    left = at_start
    free = lengths > 0
    places, labels = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    n_guesses = min(count, int(free.sum()))
    overlap = np.zeros((len(candidates), n_guesses))  # of features with those of the guesses
    solution = np.zeros(0)
    for step in range(n_guesses):
        scores = (np.sum(asked * left, axis=1)[:, None] - left) / np.maximum(norms, 1e-12)
        scores[~free] = -np.inf
        place, label = np.unravel_index(int(np.argmax(scores)), scores.shape)
        free[place] = False
        places, labels = np.append(places, place), np.append(labels, label)
        overlap[:, step] = candidates @ candidates[place]
        shared = overlap[:, : step + 1]
        factors = asked[places] - np.eye(len(weights))[labels]
        gram = (factors @ factors.T) * shared[places]
        wanted = np.sum(factors * at_start[places], axis=1)
        gram[np.diag_indices_from(gram)] *= 1 + RIDGE
        solution = np.linalg.solve(gram, wanted)
        left = at_start - shared @ (factors * solution[:, None])
    found = zip(places, labels, solution, strict=True)
    guesses = [Guess(int(place), int(label), float(weight)) for place, label, weight in found]
    return sorted(guesses, key=lambda guess: -guess.weight)


def share_found(guesses: Sequence[Guess], true_candidates: Collection[int]) -> float:
    """Return which share of the true sentences was named.

    Raises:
        ValueError: if there is no true sentence.
    """
    if not true_candidates:
        raise ValueError("there is no true sentence to find")
    named = {guess.candidate for guess in guesses}
    return len(named & set(true_candidates)) / len(set(true_candidates))


def share_found_by_chance(count: int, n_candidates: int) -> float:
    """Return the share that naming `count` candidates blindly finds on average.

    Raises:
        ValueError: if `count` is not in 0..n_candidates.
    """
    if not 0 <= count <= n_candidates or not n_candidates:
        raise ValueError(f"count must be in 0..{n_candidates}, got {count}")
    return count / n_candidates


def _check(update: Matrix, weights: Matrix, candidates: Matrix, count: int) -> None:
    shapes = f"update {update.shape}, weights {weights.shape}, candidates {candidates.shape}"
    if update.shape != weights.shape or candidates.shape[1:] != weights.shape[1:]:
        raise ValueError(f"shapes do not fit: {shapes}")
    if len(weights) < 2:
        raise ValueError("the attack is on softmax heads of two or more classes")
    if not np.isfinite(update).all():
        raise ValueError("the update holds NaN or infinity")
    if not 1 <= count <= len(candidates):
        raise ValueError(f"count must be in 1..{len(candidates)}, got {count}")


def _probabilities(scores: Matrix) -> Matrix:
    """Return the softmax of each row."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities: Matrix = powers / powers.sum(axis=1, keepdims=True)
    return probabilities
