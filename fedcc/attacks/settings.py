"""Settings of `fedcc attack`; values come from `configs/attack.yaml`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedcc import config


@dataclass(frozen=True, kw_only=True)
class CanarySettings:
    """Canaries in replays of the run."""

    count: int  # in each replay; cut to the directions that the model has
    repeats: int  # replays, each with canaries and coins of its own

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.count < 8 or self.repeats < 1:
            raise ValueError("count must be at least 8 and repeats at least 1")


@dataclass(frozen=True, kw_only=True)
class MembershipSettings:
    """Shadow models for membership inference."""

    records: int  # real records, each in a model with chance one half
    shadows: int  # models; each is the target once, the others its shadows
    rounds: int  # steps of each model, with the noise of the whole run spread over them

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.records < 20 or self.shadows < 8 or self.shadows % 2 or self.rounds < 1:
            raise ValueError(
                "records must be at least 20, shadows an even number of at least 8, rounds at "
                "least 1"
            )


@dataclass(frozen=True, kw_only=True)
class InversionSettings:
    """Naming sentences behind an update."""

    sentences: int  # that each site trains on in the replayed round

    def __post_init__(self) -> None:
        """Check the range."""
        if self.sentences < 1:
            raise ValueError("sentences must be at least 1")


@dataclass(frozen=True, kw_only=True)
class AttackSettings:
    """Everything that `fedcc attack` is told besides the run."""

    seed: int | None
    level: float  # chance that a bound exceeds the truth, in each test
    canaries: CanarySettings
    membership: MembershipSettings
    inversion: InversionSettings

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.level < 0.5:
            raise ValueError(f"level must be in (0, 0.5), got {self.level}")
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be null or a whole number from 0 on, got {self.seed}")


def attack_settings(values: Mapping[str, Any]) -> AttackSettings:
    """Turn a composed `attack.yaml` into settings.

    Raises:
        ConfigError: names the key and the remedy.
    """
    return config.build(AttackSettings, values, "attack")
