"""What a site's operator admits, as the site's own file says it.

The file is YAML; `configs/site_policy/_reference.yaml` explains every key. A key that is missing,
unknown, given twice or weaker than any production site may be is refused, so a mistyped cap cannot
switch itself off. This module knows no plan: `federation.site_policy` holds a plan against it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedcc import config
from fedcc.errors import ConfigError
from fedcc.privacy.caps import Cap

NoiseMode = Literal["shared", "local", "none"]
LEAST_SITES = 3  # with two, each site reads the other's update off the sum


@dataclass(frozen=True, kw_only=True)
class PrivacyPolicy:
    """What a site admits; a plan may be stricter, never weaker."""

    version: Literal[1]
    purposes: tuple[str, ...]
    caps: tuple[Cap, ...]
    delta: float
    units: tuple[Literal["record", "customer"], ...]
    max_interactions: int  # rows of a customer that a plan may use at most
    sites_per_customer: int  # sites at which a plan must protect a customer at least
    noise_modes: tuple[NoiseMode, ...]
    schemes: tuple[Literal["bfv", "ckks_packed", "ckks", "none"], ...]
    min_sites: int
    min_collusion: int
    max_rounds: int
    max_attempts: int
    metrics: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.delta < 1:
            raise ValueError(f"delta must be inside (0, 1), got {self.delta:g}")
        least_one = ("max_interactions", "sites_per_customer", "min_sites", "min_collusion")
        for name in (*least_one, "max_rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.max_attempts < self.max_rounds:
            raise ValueError("max_attempts must not be below max_rounds: each round is an attempt")
        for name in ("purposes", "units", "noise_modes", "schemes"):
            if not getattr(self, name):
                raise ValueError(f"{name} must not be empty: such a policy admits nothing")
        if self.metrics:
            raise ValueError("metrics must be []: no metric of private rows can leave a site")
        for cap in self.caps:
            if cap.purpose is not None and cap.purpose not in self.purposes:
                raise ValueError(f"caps: purpose '{cap.purpose}' is not one of purposes")


def check_production(policy: PrivacyPolicy) -> None:
    """Refuse what no production site may admit, whatever its operator writes.

    Raises:
        ValueError: names the key and the remedy.
    """
    if not any(
        cap.purpose is None
        and cap.days is None
        and None not in (cap.epsilon, cap.epsilon_if_all_others_collude)
        for cap in policy.caps
    ):
        raise ValueError(
            "caps: one must have purpose: null, days: null and both epsilons, or nothing bounds "
            "what a customer loses over the site's lifetime"
        )
    if "none" in policy.noise_modes:
        raise ValueError("noise_modes: 'none' protects nobody; admit shared, local or both")
    if not set(policy.schemes) <= {"bfv", "ckks_packed"}:
        raise ValueError("schemes: a policy can admit bfv and ckks_packed, which mask, only")
    if policy.min_sites < LEAST_SITES:
        raise ValueError(f"min_sites must be at least {LEAST_SITES}, got {policy.min_sites}")


def load_policy(path: Path) -> PrivacyPolicy:
    """Read a site's policy file.

    Raises:
        ConfigError: names the file, the key, what is allowed and the remedy.
    """
    where = f"policy {path}"
    policy = config.build(PrivacyPolicy, config.read_yaml(path), where)
    try:
        check_production(policy)
    except ValueError as error:
        reference = config.config_root() / "site_policy" / "_reference.yaml"
        raise ConfigError(f"{where}: {error}. {reference} explains every key.") from error
    return policy
