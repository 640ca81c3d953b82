"""Accounting of Gaussian steps; events are stored, epsilon is computed.

A full-batch step with L2 sensitivity D and noise standard deviation s is Gaussian-DP with mu = D /
s; adaptive composition adds mu^2, and (epsilon, delta) follows exactly, in closed form. The sum of
mu^2 is also a valid lifetime filter (Koskela, Tobaben, Honkela, "Individual Privacy Accounting with
Gaussian Differential Privacy", 2022). A Poisson-sampled step is no Gaussian-DP step: as soon as one
is among the events, all of them compose by Renyi divergences (see `renyi`), which never reports
less. Neighbours differ by one protection unit at one site (add or remove).

Three observers are told apart: an outsider with the model, the claim (a coalition of up to f sites,
with or without the aggregator) and everyone else colluding against one site.
"""

import functools
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, get_args

from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr

from fedcc.privacy.renyi import ORDERS, Step, renyi_epsilon

if TYPE_CHECKING:
    from dp_accounting import DpEvent

Mechanism = Literal["gaussian_share", "gaussian_alone", "sampled_gaussian_alone", "none"]
Observer = Literal["outsider", "claim", "everyone_else"]


@dataclass(frozen=True, kw_only=True)
class PrivacyEvent:
    """One attempt of one round as accounting sees it.

    `gaussian_share`: the site's noise is a share; the claim counts the shares of `noise_sites -
    tolerated_collusion` honest sites. Where parts of the noise may be opened, `own_variance` is
    what always stays and `noise_sites` counts all planned sites: with fewer survivors, down to
    `min_sites`, each keeps so much more that they carry no less (`excess_noise`); elsewhere it is
    `min_sites`. `gaussian_alone`: the site's own noise must carry the
    claim. `sampled_gaussian_alone`: so it does, over a batch to which each unit belonged with
    probability `sample_rate`. `none`: no noise; the event costs an infinite epsilon.
    """

    mechanism: Mechanism
    sensitivity: float  # L2 sensitivity of the unrounded sum, in gradient units
    grid: float  # grid steps per gradient unit
    own_variance: float  # of this site's noise that is never opened, per coordinate, gradient units
    min_sites: int  # nothing is opened with fewer survivors
    noise_sites: int  # sites over which the claim counts `own_variance` each
    tolerated_collusion: int
    sample_rate: float
    unit: str

    def __post_init__(self) -> None:
        """Refuse events that this accounting does not cover."""
        if self.mechanism not in get_args(Mechanism):
            raise ValueError(f"unknown mechanism {self.mechanism!r}")
        if not 0 < self.sample_rate <= 1:
            raise ValueError(f"sample_rate must be in (0, 1], got {self.sample_rate}")
        if self.sampled != (self.sample_rate < 1):
            raise ValueError(
                "sample_rate below 1 goes with sampled_gaussian_alone and with nothing else, got "
                f"{self.sample_rate} with {self.mechanism}"
            )
        if not self.sensitivity > 0 or not self.own_variance >= 0:
            raise ValueError("sensitivity must be > 0 and own_variance >= 0")
        if self.tolerated_collusion < 1:
            raise ValueError("tolerated_collusion must be at least 1: a site knows its own share")
        if self.mechanism == "gaussian_share" and self.min_sites <= self.tolerated_collusion:
            raise ValueError("min_sites must exceed tolerated_collusion")
        if self.noise_sites < self.min_sites:
            raise ValueError("noise_sites must not be below min_sites")

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
        noise_sites: int | None = None,
    ) -> "PrivacyEvent":
        """Return the event of a full-batch step with a noise share.

        `noise_sites` is `min_sites` if not given: no part of the noise is opened.
        """
        return cls(
            mechanism="gaussian_share",
            sensitivity=sensitivity,
            grid=grid,
            own_variance=own_variance,
            min_sites=min_sites,
            noise_sites=min_sites if noise_sites is None else noise_sites,
            tolerated_collusion=tolerated_collusion,
            sample_rate=1.0,
            unit=unit,
        )

    @property
    def sampled(self) -> bool:
        """Whether the step drew a random batch."""
        return self.mechanism == "sampled_gaussian_alone"

    def variance_against(self, observer: Observer) -> float:
        """Return the noise variance that an observer cannot subtract."""
        if observer == "everyone_else":
            return self.own_variance
        if observer == "outsider":
            return self.own_variance * self.noise_sites
        if self.mechanism == "gaussian_share":
            return self.own_variance * (self.noise_sites - self.tolerated_collusion)
        return self.own_variance

    def mu_squared(self, observer: Observer) -> float:
        """Return mu^2 of this event for an observer; infinite without noise.

        Raises:
            ValueError: if the step was sampled: "mu" by the central limit theorem would understate
                its cost (Gopi, Lee, Wutschitz, "Numerical Composition of Differential Privacy",
                2021), so there is none.
        """
        if self.sampled:
            raise ValueError("a sampled step has no mu; its cost is computed by Renyi divergences")
        variance = self.variance_against(observer)
        return self.sensitivity**2 / variance if variance > 0 else math.inf

    def step(self, observer: Observer) -> Step:
        """Return noise multiplier and sample rate for an observer."""
        return math.sqrt(self.variance_against(observer)) / self.sensitivity, self.sample_rate

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


def steps_of(counts: Mapping[PrivacyEvent, int], observer: Observer) -> Counter[Step]:
    """Return how often each kind of step occurs for an observer."""
    steps: Counter[Step] = Counter()
    for event, count in counts.items():
        steps[event.step(observer)] += count
    return steps


def epsilon(events: Iterable[PrivacyEvent], *, delta: float, observer: Observer = "claim") -> float:
    """Return epsilon of all events together for an observer, the claim's if none is named.

    Exact for full batches. With sampled steps it is the Renyi bound at its best order, which holds
    for events that were planned beforehand; the stop rule of a lifetime is `spending.Spent`.
    """
    counts = Counter(events)
    if any(event.sampled for event in counts):
        return renyi_epsilon(steps_of(counts, observer), delta=delta, orders=ORDERS)
    return epsilon_of_mu(composed_mu(counts.elements(), observer), delta)


def three_epsilons(events: Iterable[PrivacyEvent], *, delta: float) -> ThreeEpsilons:
    """Return epsilon for the three observers."""
    events = tuple(events)
    return ThreeEpsilons(
        outsider=epsilon(events, delta=delta, observer="outsider"),
        claim=epsilon(events, delta=delta, observer="claim"),
        everyone_else=epsilon(events, delta=delta, observer="everyone_else"),
    )


def cross_check_epsilon(events: Iterable[PrivacyEvent], *, delta: float) -> float | None:
    """Return the claimed epsilon as Google's dp-accounting computes it from privacy-loss
    distributions, or `None` if there is nothing to compose.

    A second opinion for reports: pessimistic by its discretisation, never used as the stop rule.
    """
    steps = steps_of(Counter(events), "claim")
    if not steps or any(multiplier == 0 for multiplier, _ in steps):
        return None
    return _epsilon_by_losses(tuple(steps.items()), delta)


@functools.lru_cache(maxsize=256)
def _epsilon_by_losses(steps: tuple[tuple[Step, int], ...], delta: float) -> float:
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant()
    for (multiplier, rate), count in steps:
        event: DpEvent = GaussianDpEvent(multiplier)
        if rate < 1:
            event = PoissonSampledDpEvent(rate, event)
        accountant.compose(event, count)
    return float(accountant.get_epsilon(delta))
