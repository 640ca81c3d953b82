"""Exact accounting of full-batch Gaussian steps; events are stored, epsilon is computed.

A step with L2 sensitivity D and noise standard deviation s is Gaussian-DP with mu = D / s; adaptive
composition adds mu^2, and (epsilon, delta) follows in closed form. The sum of mu^2 is also a valid
lifetime filter (Koskela, Tobaben, Honkela, "Individual Privacy Accounting with Gaussian
Differential Privacy", 2022). Neighbours differ by one record at one site (add or remove).

Three observers are told apart: an outsider with the model, the claim (a coalition of up to f sites,
with or without the aggregator) and everyone else colluding against one site.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr

Mechanism = Literal["gaussian_share", "gaussian_alone", "none"]
Observer = Literal["outsider", "claim", "everyone_else"]


@dataclass(frozen=True, kw_only=True)
class PrivacyEvent:
    """One attempt of one round as accounting sees it.

    `gaussian_share`: the site's noise is a share; the claim rests on `min_sites -
    tolerated_collusion` honest survivors. `gaussian_alone`: the site's own noise must carry the
    claim. `none`: no noise; the event costs an infinite epsilon.
    """

    mechanism: Mechanism
    sensitivity: float  # L2 sensitivity of the unrounded sum, in gradient units
    grid: float  # grid steps per gradient unit
    own_variance: float  # variance of this site's noise per coordinate, in gradient units
    min_sites: int
    tolerated_collusion: int
    sample_rate: float
    unit: str

    def __post_init__(self) -> None:
        """Refuse events that this accounting does not cover."""
        if self.mechanism not in ("gaussian_share", "gaussian_alone", "none"):
            raise ValueError(f"unknown mechanism {self.mechanism!r}")
        if self.sample_rate != 1.0:
            raise ValueError("exact Gaussian accounting holds for sample_rate 1 only")
        if not self.sensitivity > 0 or not self.own_variance >= 0:
            raise ValueError("sensitivity must be > 0 and own_variance >= 0")
        if self.tolerated_collusion < 1:
            raise ValueError("tolerated_collusion must be at least 1: a site knows its own share")
        if self.mechanism == "gaussian_share" and self.min_sites <= self.tolerated_collusion:
            raise ValueError("min_sites must exceed tolerated_collusion")

    @classmethod
    def gaussian(
        cls,
        *,
        sensitivity: float,
        own_variance: float,
        min_sites: int,
        tolerated_collusion: int,
        grid: float = 1.0,
        unit: str = "record",
    ) -> "PrivacyEvent":
        """Return the event of a full-batch step with a noise share."""
        return cls(
            mechanism="gaussian_share",
            sensitivity=sensitivity,
            grid=grid,
            own_variance=own_variance,
            min_sites=min_sites,
            tolerated_collusion=tolerated_collusion,
            sample_rate=1.0,
            unit=unit,
        )

    def variance_against(self, observer: Observer) -> float:
        """Return the noise variance that an observer cannot subtract."""
        if observer == "everyone_else":
            return self.own_variance
        if observer == "outsider":
            return self.own_variance * self.min_sites
        if self.mechanism == "gaussian_share":
            return self.own_variance * (self.min_sites - self.tolerated_collusion)
        return self.own_variance

    def mu_squared(self, observer: Observer) -> float:
        """Return mu^2 of this event for an observer; infinite without noise."""
        variance = self.variance_against(observer)
        return self.sensitivity**2 / variance if variance > 0 else math.inf

    def as_dict(self) -> dict[str, object]:
        """Return plain values for a ledger line."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "PrivacyEvent":
        """Read an event back from a ledger line."""
        return cls(**values)  # type: ignore[arg-type]


@dataclass(frozen=True)
class ThreeEpsilons:
    """Epsilon for each observer at one delta; `inf` without noise."""

    outsider: float
    claim: float
    everyone_else: float


def gaussian_delta(mu: float, epsilon: float) -> float:
    """Return delta(epsilon) of a mu-Gaussian-DP mechanism.

    Source: Balle and Wang, "Improving the Gaussian Mechanism for Differential Privacy", 2018,
    Theorem 8; Dong, Roth, Su, "Gaussian Differential Privacy", 2019, Corollary 2.13.
    """
    if mu <= 0:
        return 0.0
    tail = math.exp(min(epsilon + float(log_ndtr(-epsilon / mu - mu / 2)), 0.0))
    return float(ndtr(-epsilon / mu + mu / 2)) - tail


def epsilon_of_mu(mu: float, delta: float) -> float:
    """Return the smallest epsilon >= 0 for which mu-GDP is (epsilon, delta)-DP, to 1e-9.

    Raises:
        ValueError: if delta is not inside (0, 1).
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta must be inside (0, 1), got {delta}")
    if math.isinf(mu):
        return math.inf
    if gaussian_delta(mu, 0.0) <= delta:
        return 0.0
    high = mu**2 / 2 + mu * math.sqrt(2 * math.log(1 / delta)) + 1
    return float(brentq(lambda eps: gaussian_delta(mu, eps) - delta, 0.0, high, xtol=1e-12))


def mu_of_epsilon(epsilon: float, delta: float) -> float:
    """Return the largest mu for which mu-GDP is (epsilon, delta)-DP.

    Raises:
        ValueError: if epsilon is not positive or delta is not inside (0, 1).
    """
    if not epsilon > 0 or not 0 < delta < 1:
        raise ValueError(f"need epsilon > 0 and 0 < delta < 1, got {epsilon} and {delta}")
    high = 1.0
    while gaussian_delta(high, epsilon) < delta:
        high *= 2
    return float(brentq(lambda mu: gaussian_delta(mu, epsilon) - delta, 1e-9, high, xtol=1e-14))


def composed_mu(events: Iterable[PrivacyEvent], observer: Observer) -> float:
    """Return the mu of all events together; mu^2 adds."""
    return math.sqrt(math.fsum(event.mu_squared(observer) for event in events))


def epsilon(events: Iterable[PrivacyEvent], *, delta: float) -> float:
    """Return the claimed epsilon of all events together."""
    return epsilon_of_mu(composed_mu(events, "claim"), delta)


def three_epsilons(events: Iterable[PrivacyEvent], *, delta: float) -> ThreeEpsilons:
    """Return epsilon for the three observers."""
    events = tuple(events)
    return ThreeEpsilons(
        outsider=epsilon_of_mu(composed_mu(events, "outsider"), delta),
        claim=epsilon_of_mu(composed_mu(events, "claim"), delta),
        everyone_else=epsilon_of_mu(composed_mu(events, "everyone_else"), delta),
    )


def cross_check_epsilon(events: Iterable[PrivacyEvent], *, delta: float) -> float | None:
    """Return the claimed epsilon as Google's dp-accounting computes it from privacy-loss
    distributions, or `None` if there is nothing to compose.

    A second opinion for reports: pessimistic by its discretisation, never used as the stop rule.
    """
    from dp_accounting import GaussianDpEvent, SelfComposedDpEvent
    from dp_accounting.pld import PLDAccountant

    counts: dict[float, int] = {}
    for event in events:
        mu = math.sqrt(event.mu_squared("claim"))
        if math.isinf(mu):
            return None
        counts[1 / mu] = counts.get(1 / mu, 0) + 1
    if not counts:
        return None
    accountant = PLDAccountant()
    for noise_multiplier, count in counts.items():
        accountant.compose(SelfComposedDpEvent(GaussianDpEvent(noise_multiplier), count))
    return float(accountant.get_epsilon(delta))
