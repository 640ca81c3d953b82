"""What a sweep is told; default values stand in `configs/frontier.yaml`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from fedcc import config
from fedcc.errors import ConfigError

Curve = Literal["federation", "central_dp", "local_noise", "textbook", "site_alone", "no_privacy"]
CURVES: tuple[Curve, ...] = get_args(Curve)
Law = Literal["none", "poisson", "geometric", "logarithmic"]

OWN_KEYS = ("epsilon", "seeds", "sites", "curves", "workers", "confidence", "textbook", "tune")
LISTS = ("epsilon", "sites", "curves", "textbook.learning_rates")
SET_BY_SWEEP = ("privacy.epsilon", "seed", "run.dir", "run.report", "ledger.dir", "baselines")
"""Keys of `fedcc simulate` that a sweep sets itself."""


@dataclass(frozen=True, kw_only=True)
class TextbookSettings:
    """Federated DP-SGD as in tutorials; values come from `configs/frontier.yaml`."""

    batches: int  # Poisson batches of an epoch; an example joins one with chance 1 / batches
    rounds: int  # of one local epoch each
    max_grad_norm: float
    learning_rates: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.batches < 1 or self.rounds < 1 or not self.max_grad_norm > 0:
            raise ValueError("batches and rounds must be at least 1 and max_grad_norm > 0")
        if not self.learning_rates or min(self.learning_rates) <= 0:
            raise ValueError("learning_rates must name at least one rate, all > 0")


@dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """How settings are searched for; values come from `configs/frontier.yaml`."""

    trials: int
    law: Law
    sampler: Literal["random", "tpe"]
    seed: int
    held_out: float

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.trials < 1:
            raise ValueError(f"trials must be at least 1, got {self.trials}")
        if self.law != "none" and self.sampler != "random":
            raise ValueError(
                "a random number of trials is accounted for independent trials only: use "
                "tune.sampler=random with it, or tune.law=none"
            )
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out must be inside (0, 1), got {self.held_out}")


@dataclass(frozen=True, kw_only=True)
class FrontierSettings:
    """One sweep; values come from `configs/frontier.yaml`."""

    epsilon: tuple[float, ...]
    seeds: int
    sites: tuple[int, ...]
    curves: tuple[Curve, ...]
    workers: int | None
    confidence: float
    textbook: TextbookSettings
    tune: TuneSettings

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.epsilon or not all(0 < value < math.inf for value in self.epsilon):
            raise ValueError("epsilon must name budgets > 0; curves=[no_privacy] needs none")
        if not self.sites or min(self.sites) < 1:
            raise ValueError("sites must name numbers of at least 1")
        for name in ("epsilon", "sites", "curves"):
            if len(set(getattr(self, name))) != len(getattr(self, name)):
                raise ValueError(f"{name} names a value twice")
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {self.seeds}")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers must be null or at least 1, got {self.workers}")
        if not self.curves:
            raise ValueError("curves must name at least one")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence must be inside (0, 1), got {self.confidence}")


def split_overrides(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the overrides of the sweep, lists such as `1,2` in brackets, and those of its runs.

    Raises:
        ConfigError: for a key that the sweep sets itself, or a list of values for another key.
    """
    own, rest = [], []
    for text in overrides:
        key, equals, value = text.partition("=")
        if key.lstrip("+") in SET_BY_SWEEP:
            raise ConfigError(
                f"{key}: fedcc frontier sets this key itself. Use epsilon=1,2 seeds=3 sites=5,10, "
                "and --out for the folder."
            )
        if key.split(".")[0] not in OWN_KEYS:
            rest.append(text)
        elif key in LISTS and equals and not value.startswith("["):
            own.append(f"{key}=[{value}]")
        else:
            own.append(text)
    if len(config.sweep_points(rest)) > 1:
        raise ConfigError(
            "a list of values goes with epsilon, sites and curves alone. Give other keys one "
            "value, or use fedcc simulate --multirun."
        )
    return own, rest


def frontier_settings(own: Sequence[str]) -> FrontierSettings:
    """Compose `configs/frontier.yaml` with the sweep's overrides.

    Raises:
        ConfigError: names the key and the remedy.
    """
    return config.build(FrontierSettings, config.compose("frontier", own), "frontier")


def run_values(rest: Sequence[str], config_dir: Path | None) -> dict[str, Any]:
    """Compose the config of one run; of `fedcc simulate`, with the organisations of a roster.

    Raises:
        ConfigError: names the key and the remedy.
    """
    from fedcc.federation.roster_settings import fill_organisations

    return fill_organisations(config.compose("simulate", rest, config_dir))
