"""The protected unit in plain words; wherever an epsilon is shown, these words stand beside it."""

from collections.abc import Mapping
from typing import Any


def unit_words(privacy: Mapping[str, Any]) -> str:
    """Return what one epsilon of a summary's `privacy` block is about."""
    if privacy["unit"] == "customer":
        return f"customer at {_sites(privacy['max_sites_per_customer'])}"
    return "record at one site"


def not_covered_words(privacy: Mapping[str, Any]) -> str:
    """Return whom the epsilon of a summary's `privacy` block does not cover."""
    if privacy["unit"] == "customer":
        sites = _sites(privacy["max_sites_per_customer"])
        return f"a customer who is known to more sites: the unit is one customer at {sites}"
    return (
        "a customer with rows at several sites, or several rows of one customer: the unit is one "
        "record at one site"
    )


def _sites(most: int) -> str:
    return "one site" if most == 1 else f"up to {most} sites"
