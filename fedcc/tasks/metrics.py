"""Metrics on scores and labels, computed by the simulator on public test rows."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


def roc_auc(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float | None:
    """Return the area under the ROC curve, or `None` if only one class is present.

    Args:
        scores: higher means more likely positive, shape `(n,)`.
        labels: 0 or 1, shape `(n,)`.

    Source: Mann-Whitney U with mid-ranks for ties; Hanley and McNeil, "The Meaning and Use of the
    Area under a Receiver Operating Characteristic (ROC) Curve", 1982.
    """
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if positives == 0 or negatives == 0:
        return None
    rank_sum = float(rankdata(scores)[labels == 1].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def accuracy(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float | None:
    """Return the share of rows whose largest score is that of their label, `None` without rows.

    Args:
        scores: shape `(n, n_classes)`; of equal scores the first counts.
        labels: codes, shape `(n,)`.
    """
    return float((scores.argmax(axis=1) == labels).mean()) if len(labels) else None
