"""How well scores tell members from others: area under the curve, rates at few false alarms.

A threshold is set on one half of the target models and counted on the other, so the Clopper-Pearson
intervals are exact for that threshold, as far as decisions are independent: those of one target
share its training, which the intervals do not know.

Sources: Carlini et al., "Membership Inference Attacks From First Principles", 2022
(arXiv:2112.03570): likelihood ratios, low false-positive rates; Clopper and Pearson, "The Use of
Confidence or Fiducial Limits Illustrated in the Case of the Binomial", 1934.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from fedcc.tasks.metrics import roc_auc

Matrix = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Rate:
    """A share with its exact two-sided interval."""

    share: float
    low: float
    high: float
    successes: int
    trials: int


@dataclass(frozen=True)
class AtFalseAlarms:
    """What is found at one wanted rate of false alarms."""

    wanted: float
    found: Rate  # members that are called members
    false_alarms: Rate  # others that are
    epsilon_lower: float  # from both intervals; an attack on average records shows little


@dataclass(frozen=True)
class MembershipRates:
    """How well an attack does over all its targets."""

    auc: float  # mean over the targets
    auc_error: float  # its standard error over the targets
    at: tuple[AtFalseAlarms, ...]


def clopper_pearson(successes: int, trials: int, level: float) -> Rate:
    """Return a share with its exact two-sided interval.

    Args:
        successes: of the trials.
        trials: at least 1.
        level: chance that the truth lies outside, half of it on each side.

    Raises:
        ValueError: unless 0 <= successes <= trials, trials >= 1 and level in (0, 1).
    """
    if not 0 <= successes <= trials or trials < 1 or not 0 < level < 1:
        raise ValueError("need 0 <= successes <= trials, trials >= 1 and level in (0, 1)")
    low = beta.ppf(level / 2, successes, trials - successes + 1) if successes else 0.0
    missed = trials - successes
    high = beta.isf(level / 2, successes + 1, missed) if missed else 1.0
    return Rate(successes / trials, float(low), float(high), successes, trials)


def likelihood_ratios(confidence: Matrix, member: Flags) -> Matrix:
    """Return for each target and record the log-ratio of member against not, others as shadows.

    The other models that trained on a record and those that did not give the two means of its
    confidence; spreads are shared by all records, as suits few shadows.

    Args:
        confidence: log-odds of the record's label, shape `(n_models, n_records)`.
        member: whether the model trained on the record, same shape.

    Raises:
        ValueError: if a record is in, or out of, fewer than two models.
    """
    if min(member.sum(axis=0).min(), (~member).sum(axis=0).min()) < 2:
        raise ValueError("each record must be in two models and out of two: use more shadows")
    means = []
    for kind in (member, ~member):
        count = kind.sum(axis=0) - kind
        means.append((np.sum(np.where(kind, confidence, 0), axis=0) - confidence * kind) / count)
    spreads = []
    for kind, mean in zip((member, ~member), means, strict=True):
        # Left out of its own mean, a value lies farther from it than from the truth.
        others = kind.sum(axis=0) - 1
        shrink = np.sqrt(others / (others + 1))
        spreads.append(float(np.std(((confidence - mean) * shrink)[kind])))
    inside, outside = (
        -((confidence - mean) ** 2) / (2 * max(spread, 1e-12) ** 2) - math.log(max(spread, 1e-12))
        for mean, spread in zip(means, spreads, strict=True)
    )
    return np.asarray(inside - outside)


def rates(
    scores: Matrix,
    member: Flags,
    *,
    wanted: Sequence[float],
    delta: float,
    level: float,
) -> MembershipRates:
    """Return the area under the curve, and what is found at few false alarms.

    Args:
        scores: higher speaks for membership, shape `(n_targets, n_records)`; an even number.
        member: the truth, same shape.
        wanted: rates of false alarms.
        delta: of `epsilon_lower`.
        level: of each interval; `epsilon_lower` holds at this level, too.

    Raises:
        ValueError: if there are fewer than two targets or one has members or others alone.
    """
    areas = [
        roc_auc(row, truth.astype(np.int64)) for row, truth in zip(scores, member, strict=True)
    ]
    known = np.array([area for area in areas if area is not None])
    if len(known) < max(2, len(areas)):
        raise ValueError("at least two targets are needed, each with members and others")
    half = len(scores) // 2
    error = float(known.std(ddof=1) / math.sqrt(len(known)))
    at = tuple(
        _at(
            rate,
            float(np.quantile(scores[:half][~member[:half]], 1 - rate, method="higher")),
            (scores[half:], member[half:]),
            delta,
            level,
        )
        for rate in wanted
    )
    return MembershipRates(float(known.mean()), error, at)


def _at(
    wanted: float, threshold: float, counted: tuple[Matrix, Flags], delta: float, level: float
) -> AtFalseAlarms:
    scores, member = counted
    called = scores > threshold
    found = clopper_pearson(int((called & member).sum()), int(member.sum()), level)
    false = clopper_pearson(int((called & ~member).sum()), int((~member).sum()), level)
    # Each of the two one-sided bounds fails with half the level.
    ratio = (found.low - delta) / false.high
    return AtFalseAlarms(wanted, found, false, math.log(ratio) if ratio > 1 else 0.0)
