"""The protected unit of a run: what one guarantee of epsilon is about.

`record`: one row at one site. `customer`: all rows of one customer, over the whole run (neighbours
are with and without that customer). A customer who may be known to k sites has each site's part
clipped to C / k, so that the sum over all sites moves by at most C.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedcc.data.spec import DataSpec
from fedcc.errors import ConfigError, RecordError
from fedcc.privacy.calibration import PrivacySettings

Unit = Literal["record", "customer"]


@dataclass(frozen=True, kw_only=True)
class ProtectedUnit:
    """The unit with its limits; a record is one row at one site, so both of its limits are 1."""

    name: Unit
    max_interactions: int  # rows that a site keeps of a unit
    max_sites: int  # sites at which a unit may be

    @property
    def is_customer(self) -> bool:
        """Whether rows are grouped by customer."""
        return self.name == "customer"


def protected_unit(privacy: PrivacySettings, spec: DataSpec) -> ProtectedUnit:
    """Return the unit of the settings, or what the data YAML calls for.

    Raises:
        ConfigError: if the data cannot serve the unit.
    """
    has_customers = bool(spec.with_role("customer"))
    if privacy.unit == "customer" and not has_customers:
        raise ConfigError(
            f"privacy.unit=customer: the data YAML '{spec.name}' has no column with role: "
            "customer. Declare it, or choose privacy.unit=record."
        )
    if privacy.unit == "customer" or (privacy.unit is None and has_customers):
        return ProtectedUnit(
            name="customer",
            max_interactions=privacy.max_interactions,
            max_sites=privacy.max_sites_per_customer,
        )
    if privacy.max_sites_per_customer != 1:
        raise ConfigError(
            "privacy.max_sites_per_customer is for privacy.unit=customer; a record is at one site. "
            "Set it to 1, or choose privacy.unit=customer with a column of role: customer."
        )
    return ProtectedUnit(name="record", max_interactions=1, max_sites=1)


def public_units(unit: ProtectedUnit, spec: DataSpec) -> tuple[int, str]:
    """Return the public number of units and the key of the data YAML that declares it.

    Without a declared number of customers the rows stand in: there are at least as many.
    """
    if unit.is_customer and spec.public_customers is not None:
        return spec.public_customers, "public_customers"
    return spec.public_rows, "public_rows"


def public_kept_rows(unit: ProtectedUnit, spec: DataSpec) -> int:
    """Return the public number of rows that train, the normaliser of every step."""
    if unit.is_customer and spec.public_customers is not None:
        return min(spec.public_rows, spec.public_customers * unit.max_interactions)
    return spec.public_rows


def check_sites_of_customers(
    codes: NDArray[np.int64], sites: Sequence[NDArray[np.int64]], unit: ProtectedUnit
) -> None:
    """Refuse simulated sites that share a customer more often than the plan protects.

    Only a simulation can count this; sites of different operators cannot compare customers.

    Args:
        codes: of the customer of each row.
        sites: positions of each site's rows.
        unit: of the run.

    Raises:
        RecordError: names the key and how many customers are concerned.
    """
    if not unit.is_customer:
        return
    places = np.zeros(int(codes.max(initial=-1)) + 1, dtype=np.int64)
    for rows in sites:
        places[np.unique(codes[rows])] += 1
    beyond = int((places > unit.max_sites).sum())
    if beyond:
        raise RecordError(
            f"{beyond} customers have rows at more than privacy.max_sites_per_customer = "
            f"{unit.max_sites} simulated site(s), up to {places.max()}: epsilon would not hold for "
            f"them. Set privacy.max_sites_per_customer={places.max()}, which clips each site's "
            "part to that fraction, or data.partition=iid, which keeps a customer at one site."
        )
