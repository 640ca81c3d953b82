"""Intent takes text with two classes or more, and is scored by accuracy."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from fedcc.tasks.metrics import accuracy


def test_accuracy_equals_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    scores, labels = rng.normal(size=(200, 9)), rng.integers(0, 9, 200)

    assert accuracy(scores, labels) == accuracy_score(labels, scores.argmax(axis=1))


def test_accuracy_without_rows_is_undefined() -> None:
    assert accuracy(np.zeros((0, 3)), np.zeros(0, dtype=np.int64)) is None


def test_of_equal_scores_the_first_class_counts() -> None:
    assert accuracy(np.zeros((4, 3)), np.array([0, 1, 2, 0])) == pytest.approx(0.5)
