"""From a target (epsilon, delta) to the noise that every site adds.

The share variance is v = sigma^2 D^2 / (n_min - f): n_min survivors less f colluding sites still
carry the noise of central DP with multiplier sigma. Where attempts survive dropouts it is split
into parts, of which the survivors open what they do not need (`excess_noise`). sigma covers all
planned rounds and the reserved retries, since every attempt is charged. Under Poisson sampling
sigma solves the Renyi bound of the ledger's own stop rule.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fedcc.errors import ConfigError
from fedcc.privacy.accounting import Mechanism, epsilon_of_mu, mu_of_epsilon
from fedcc.privacy.excess_noise import split_noise
from fedcc.privacy.renyi import sampled_noise_multiplier

MOST_INTERACTIONS = 256  # a customer's rows are held in memory pair by pair
ROUNDING_SLACK = 1 + 1e-9  # keeps the composed epsilon below the target in float64


@dataclass(frozen=True, kw_only=True)
class PrivacySettings:
    """The wish of the plan; values come from `configs/privacy/*.yaml`."""

    epsilon: float | None
    delta: float
    noise: Literal["shared", "local", "none"]
    unit: Literal["record", "customer"] | None  # None: customer wherever the data names customers
    max_interactions: int  # rows that a site keeps of a customer
    max_sites_per_customer: int  # sites at which a customer may be known
    tolerated_collusion: int
    min_sites: int | None
    excess_components: (
        int | None
    )  # parts of a share that may be opened; None for as many as n - n_min
    reserved_retries: int
    sample_rate: float | None  # chance that a unit joins a step's batch; None for full batches

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.epsilon is not None and not (self.epsilon > 0 and math.isfinite(self.epsilon)):
            raise ValueError(
                f"epsilon must be a number > 0, got {self.epsilon}; for a run without privacy "
                "choose privacy=none"
            )
        if (self.epsilon is None) != (self.noise == "none"):
            raise ValueError("noise=none and epsilon=null go together: choose privacy=none")
        if not 0 < self.delta < 1:
            raise ValueError(f"delta must be inside (0, 1), got {self.delta}")
        if self.tolerated_collusion < 1:
            raise ValueError("tolerated_collusion must be at least 1: a site knows its own share")
        if not 1 <= self.max_interactions <= MOST_INTERACTIONS:
            raise ValueError(
                f"max_interactions must be from 1 to {MOST_INTERACTIONS}, got "
                f"{self.max_interactions}"
            )
        if self.max_sites_per_customer < 1:
            raise ValueError("max_sites_per_customer must be at least 1")
        if self.reserved_retries < 0:
            raise ValueError("reserved_retries must not be negative")
        if self.min_sites is not None and self.min_sites < 1:
            raise ValueError("min_sites must be at least 1")
        if self.excess_components is not None and self.excess_components < 0:
            raise ValueError("excess_components must not be negative; null is one for each dropout")
        if self.sample_rate is not None and not 0 < self.sample_rate <= 1:
            raise ValueError(f"sample_rate must be null or in (0, 1], got {self.sample_rate}")
        if self.rate < 1 and self.noise != "local":
            raise ValueError(
                f"sample_rate {self.sample_rate} needs noise=local, got noise={self.noise}: the "
                "accounting of the shared sum is proved for full batches only. Use "
                "privacy.noise=local or sample_rate=null"
            )

    @property
    def rate(self) -> float:
        """Chance that a protection unit joins a step's batch; 1 for full batches."""
        return 1.0 if self.sample_rate is None else self.sample_rate


@dataclass(frozen=True, kw_only=True)
class NoisePlan:
    """The noise of one site and one attempt, in gradient units."""

    mechanism: Mechanism
    noise_multiplier: float  # sigma: noise of the claim's coalition / sensitivity
    own_variance: float  # of all that a site adds
    kept_variance: float  # of its part that is never opened; all that stays when no site drops
    # Of a full-batch sum over all planned sites with the same noise per row: sets the step size and
    # claims nothing.
    effective_epsilon: float


def tolerated(
    settings: PrivacySettings, organisations: Mapping[str, str], sites: Sequence[str]
) -> int:
    """Return f: the tolerated collusion, and no less than the largest organisation's sites.

    When all sites belong to one organisation, organisations are not counted: that operator is
    trusted with every sum.
    """
    counts: dict[str, int] = {}
    for site in sites:
        organisation = organisations.get(site, site)
        counts[organisation] = counts.get(organisation, 0) + 1
    largest = 1 if len(counts) == 1 else max(counts.values())
    return max(1, settings.tolerated_collusion, largest)


def check_delta(delta: float, public_units: int, key: str) -> str | None:
    """Refuse a delta that admits publishing somebody outright; return a warning if it is high.

    Args:
        delta: of the plan.
        public_units: public number of protected units, or more.
        key: of the data YAML that declares it.

    Raises:
        ConfigError: if delta is not below 1 / public_units.
    """
    if delta >= 1 / public_units:
        raise ConfigError(
            f"privacy.delta must be below 1 / {key} = {1 / public_units:.2g}; got {delta:g}."
        )
    if delta > 1 / (10 * public_units):
        return f"delta {delta:g} is above 1 / (10 {key}), here 1 / {10 * public_units}"
    return None


def calibrate(
    settings: PrivacySettings,
    *,
    steps: int,
    sensitivity: float,
    n_sites: int,
    levels: tuple[int, ...],
    collusion: int,
    masked: bool,
) -> NoisePlan:
    """Return the noise that makes `steps` attempts cost the target epsilon.

    Args:
        settings: the wish.
        steps: rounds plus reserved retries.
        sensitivity: L2 sensitivity of one site's sum, > 0.
        n_sites: planned sites.
        levels: of `excess_noise`; the last one is n_sites - n_min. A single one opens nothing.
        collusion: f of the plan.
        masked: whether single updates stay closed. If not, a shared plan keeps its noise, but each
            event has to stand alone and costs accordingly more.

    Raises:
        ConfigError: if a shared plan leaves too few honest sites.
    """
    if settings.epsilon is None:
        return NoisePlan(
            mechanism="none",
            noise_multiplier=0.0,
            own_variance=0.0,
            kept_variance=0.0,
            effective_epsilon=math.inf,
        )
    sigma = _noise_multiplier(settings, settings.epsilon, steps) * ROUNDING_SLACK
    variance = kept = (sigma * sensitivity) ** 2
    mechanism: Mechanism = "gaussian_alone" if settings.rate == 1 else "sampled_gaussian_alone"
    if settings.noise == "shared":
        # Under masks two honest sites must be left, or the sum of the honest is one update.
        least, min_sites = 2 if masked else 1, n_sites - levels[-1]
        if min_sites - collusion < least:
            raise ConfigError(
                f"privacy: min_sites ({min_sites}) must exceed the tolerated collusion "
                f"({collusion}, at least the sites of the largest organisation) by {least}. Raise "
                "sites or min_sites, or use privacy.noise=local."
            )
        parts = split_noise(
            total_variance=variance, n_sites=n_sites, collusion=collusion, levels=levels
        )
        variance, kept = parts.total, parts.kept(0)
        mechanism = "gaussian_share" if masked else "gaussian_alone"
    effective_mu = settings.rate * math.sqrt(steps * sensitivity**2 / (n_sites * kept))
    return NoisePlan(
        mechanism=mechanism,
        noise_multiplier=sigma,
        own_variance=variance,
        kept_variance=kept,
        effective_epsilon=epsilon_of_mu(effective_mu, settings.delta),
    )


def _noise_multiplier(settings: PrivacySettings, epsilon: float, steps: int) -> float:
    """Return sigma for which so many steps cost the target epsilon."""
    if settings.rate == 1:
        return math.sqrt(steps) / mu_of_epsilon(epsilon, settings.delta)
    return sampled_noise_multiplier(epsilon, settings.delta, steps=steps, sample_rate=settings.rate)
