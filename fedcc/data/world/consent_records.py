"""Consent records of generated customers: status, time, scope and version, one a customer.

Generated, no real person. A granted or refused record dates from joining, or from a later campaign
but before the first contact; a withdrawal comes after the first contact, keeps the scope that was
withdrawn and takes effect for all rows of the customer; a missing record has no time at all.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcc.data.world.clock import minute_of
from fedcc.data.world.places import CENTRES

Integers = NDArray[np.int64]

STATUSES = ("granted", "refused", "withdrawn", "missing")
SCOPES = (
    "recording;ml_training",
    "recording;ml_training;analytics",
    "ml_training;analytics",
    "recording",
    "recording;analytics",
    "",
)
_SCOPE_BOUNDS = np.array([0.55, 0.76, 0.90, 0.96, 1.0])
VERSIONS = ("2018-05", "2020-09", "2023-03", "2025-02", "")
_VERSION_STARTS = np.array(
    [minute_of(f"{month}-01T00:00") for month in ("2020-09", "2023-03", "2025-02")]
)
_FIRST = minute_of("2018-05-25T08:00")  # older records were asked for anew that spring


@dataclass(frozen=True)
class ConsentRecords:
    """Codes of the tuples above and the UTC minute, each of shape `(n,)`."""

    status: Integers
    scope: Integers
    version: Integers
    minute: Integers


def draw_consent(
    rng: np.random.Generator,
    centre: Integers,
    joined: Integers,
    first_contact: Integers,
    end: int,
) -> ConsentRecords:
    """Draw one record for each customer; all minutes are UTC, `end` is the end of the year."""
    n = len(centre)
    unit = rng.random((5, n))
    granted = np.array([place.opt_in for place in CENTRES])[centre]
    left = (unit[0] - granted) / (1 - granted)  # uniform in [0, 1) where consent is not granted
    status = np.where(left < 0, 0, 1 + (left >= 0.40) + (left >= 0.75))
    scope = np.searchsorted(_SCOPE_BOUNDS, unit[1], side="right")
    scope = np.where((status == 1) | (status == 3), len(SCOPES) - 1, scope)
    start = np.maximum(joined, _FIRST + (unit[2] * 30 * 1440).astype(np.int64))
    later = start + (unit[3] * (first_contact - start)).astype(np.int64)
    at_joining = np.minimum(start + (unit[3] * 600).astype(np.int64), first_contact - 1)
    minute = np.where(unit[4] < 0.65, at_joining, later)
    withdrawn = first_contact + 1 + (unit[3] * (end - first_contact - 1)).astype(np.int64)
    minute = np.where(status == 2, withdrawn, minute)
    version = np.searchsorted(_VERSION_STARTS, minute, side="right")
    return ConsentRecords(
        status=status,
        scope=scope,
        version=np.where(status == 3, len(VERSIONS) - 1, version),
        minute=minute,
    )
