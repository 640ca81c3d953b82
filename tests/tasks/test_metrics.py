"""The area under the ROC curve agrees with scikit-learn, also where scores tie."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from fedcc.tasks.metrics import roc_auc

scores = st.one_of(st.integers(0, 3).map(float), st.floats(-1e6, 1e6))


@given(rows=st.lists(st.tuples(scores, st.integers(0, 1)), min_size=2, max_size=60))
@settings(deadline=None)
def test_auc_equals_that_of_scikit_learn(rows: list[tuple[float, int]]) -> None:
    values, labels = map(np.array, zip(*rows, strict=True))

    area = roc_auc(values, labels)

    if len(set(labels)) < 2:
        assert area is None
    else:
        assert area == pytest.approx(roc_auc_score(labels, values), abs=1e-12)


@pytest.mark.parametrize(
    ("values", "labels", "area"),
    [
        # Pairs of one positive and one negative: won 1, tied 1/2, lost 0; counted by hand.
        ([1.0, 2.0], [0, 1], 1.0),
        ([2.0, 1.0], [0, 1], 0.0),
        ([5.0, 5.0], [0, 1], 0.5),
        ([1.0, 2.0, 2.0, 3.0], [0, 0, 1, 1], 3.5 / 4),
    ],
)
def test_auc_counts_pairs_and_half_of_the_ties(
    values: list[float], labels: list[int], area: float
) -> None:
    assert roc_auc(np.array(values), np.array(labels)) == area


@pytest.mark.parametrize("labels", [[], [0, 0], [1, 1]])
def test_auc_of_one_class_is_undefined(labels: list[int]) -> None:
    assert roc_auc(np.zeros(len(labels)), np.array(labels, dtype=np.int64)) is None
