"""One noised bit about a site's own held-out rows: is a model right often enough?

The statistic is hits - minimum * rows. One unit moves it by at most max(minimum, 1 - minimum) for
each of its rows, at each of the sites that know it. Gaussian noise is added, and only its sign
leaves; what it costs is one event of the ledger, charged before the rows are scored.
"""

import math

from fedcc.privacy.accounting import PrivacyEvent, mu_of_epsilon
from fedcc.privacy.gaussian import standard_gaussian
from fedcc.rng import ByteSource


def release_event(
    *,
    minimum: float,
    epsilon: float,
    delta: float,
    rows_per_unit: int,
    sites_per_unit: int,
    unit: str,
) -> PrivacyEvent:
    """Return what the answer costs, and with it how much noise it takes.

    Args:
        minimum: accuracy that the model must reach, in (0, 1).
        epsilon: that the answer may cost at `delta`.
        delta: of the site's policy.
        rows_per_unit: held-out rows of one unit at a site, at most.
        sites_per_unit: sites that may know one unit; each of them answers for itself.
        unit: what neighbours differ in.

    Source: Gaussian differential privacy of a statistic with sensitivity D and noise s is D / s;
    k independent answers about one unit compose to sqrt(k) times that (Dong, Roth, Su, 2019).
    """
    sensitivity = max(minimum, 1 - minimum) * rows_per_unit * math.sqrt(sites_per_unit)
    return PrivacyEvent(
        mechanism="gaussian_alone",
        sensitivity=sensitivity,
        grid=1.0,
        own_variance=(sensitivity / mu_of_epsilon(epsilon, delta)) ** 2,
        min_sites=1,
        noise_sites=1,
        tolerated_collusion=1,
        sample_rate=1.0,
        unit=unit,
    )


def passes(hits: int, rows: int, minimum: float, event: PrivacyEvent, source: ByteSource) -> bool:
    """Return the noised answer.

    Args:
        hits: held-out rows on which the model is right.
        rows: all of them.
        minimum: as for the event.
        event: from `release_event`, charged before.
        source: of the noise; the operating system's in production.
    """
    [drawn] = standard_gaussian(1, source)
    return bool(hits - minimum * rows + math.sqrt(event.own_variance) * drawn >= 0)
