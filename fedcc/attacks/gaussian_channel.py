"""What separates canaries that took part from canaries that did not, taken as a Gaussian channel.

If a score is N(0, 1) without a canary and N(mu, 1) with it, then mu is the mu of Gaussian
differential privacy, and epsilon follows exactly. So a shift in units of the scores' own spread is
a tight estimate. It assumes the Gaussian channel and is no proof of anything without it: the bound
that assumes nothing is `one_run`. Being tight, it exceeds a true claim with the chance of its
level, 5 % in each test if the level is 5 %.

Source: the idea of many canaries in one run in Andrew et al., "One-shot Empirical Privacy
Estimation for Federated Learning", 2023 (arXiv:2302.03098); the shift and its error are Cohen's
standardised mean difference (Hedges and Olkin, "Statistical Methods for Meta-Analysis", 1985, 5.E).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from fedcc.privacy.accounting import epsilon_of_mu

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]
LEAST_CANARIES = 4  # two with and two without: fewer have no spread


@dataclass(frozen=True)
class ChannelEstimate:
    """Empirical epsilon of a Gaussian channel, and its one-sided lower bound."""

    mu: float
    mu_lower: float
    epsilon: float
    epsilon_lower: float
    spread: float  # of the scores, in their own units
    n_in: int
    n_out: int


def estimate(
    scores: Vector, present: Flags, *, delta: float, level: float, independent: float
) -> ChannelEstimate:
    """Return the estimate and its lower bound at a level fixed in advance.

    Args:
        scores: of each canary, shape `(m,)`.
        present: whether it took part, shape `(m,)`; drawn at random.
        delta: of epsilon.
        level: chance that the bound exceeds the truth, per test.
        independent: how many independent scores say as much of the spread as these, at most m.

    Raises:
        ValueError: if fewer than two canaries were in or out, or the level is not in (0, 0.5).
    """
    n_in, n_out = int(present.sum()), int((~present).sum())
    if min(n_in, n_out) < 2:
        raise ValueError(f"at least 2 canaries must be in and 2 out, got {n_in} and {n_out}")
    inside, outside = scores[present], scores[~present]
    spread = math.sqrt(
        (np.sum((inside - inside.mean()) ** 2) + np.sum((outside - outside.mean()) ** 2))
        / (n_in + n_out - 2)
    )
    shift = float(inside.mean() - outside.mean())
    if spread == 0:
        mu = lower = math.inf if shift > 0 else 0.0
    else:
        mu = shift / spread
        error = standard_error(mu, n_in=n_in, n_out=n_out, independent=independent)
        lower = mu - quantile(level) * error
    return ChannelEstimate(
        mu=mu,
        mu_lower=lower,
        epsilon=_epsilon(mu, delta),
        epsilon_lower=_epsilon(lower, delta),
        spread=spread,
        n_in=n_in,
        n_out=n_out,
    )


def standard_error(mu: float, *, n_in: int, n_out: int, independent: float) -> float:
    """Return the standard error of a shift in units of its spread.

    The first two terms are those of the means. Membership is drawn independently of the noise, so
    they hold however scores correlate; the error of the spread grows where they do.
    """
    return math.sqrt(1 / n_in + 1 / n_out + mu**2 / (2 * independent))


def quantile(level: float) -> float:
    """Return the normal quantile of a one-sided level.

    Raises:
        ValueError: if the level is not in (0, 0.5).
    """
    if not 0 < level < 0.5:
        raise ValueError(f"level must be in (0, 0.5), got {level}")
    return float(norm.isf(level))


def expected_lower(
    mu: float, count: int, *, delta: float, level: float, independent: float
) -> float:
    """Return the lower bound that a true mu gives on average: what so many canaries can show.

    Raises:
        ValueError: if there are fewer than `LEAST_CANARIES`.
    """
    if count < LEAST_CANARIES:
        raise ValueError(f"at least {LEAST_CANARIES} canaries are needed, got {count}")
    if math.isinf(mu):
        return math.inf
    half = count // 2
    error = standard_error(mu, n_in=half, n_out=count - half, independent=independent)
    return _epsilon(mu - quantile(level) * error, delta)


def _epsilon(mu: float, delta: float) -> float:
    return epsilon_of_mu(mu, delta) if mu > 0 else 0.0
