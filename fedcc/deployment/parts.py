"""Blocks that the files of sites and aggregators share."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

from fedcc.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Health:
    """Where a process says how it is."""

    port: int | None  # on loopback
    metrics_file: str | None

    def __post_init__(self) -> None:
        """Check the range."""
        if self.port is not None:
            check_port(self.port)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a process may use of its machine."""

    memory_gigabytes: float
    cpu_percent: float  # 100 is one core

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("memory_gigabytes", "cpu_percent"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be > 0 and finite, got {value:g}")


def check_port(port: int) -> None:
    """Refuse what is no port.

    Raises:
        ValueError: says what is allowed.
    """
    if not 1 <= port <= 65535:
        raise ValueError(f"port must be from 1 to 65535, got {port}")


def yaml_in(place: Path, name: str) -> Path:
    """Return the YAML that a user named, by itself or by its folder; absolute.

    Raises:
        ConfigError: if there is none.
    """
    path = place / name if place.is_dir() else place
    if not path.is_file():
        raise ConfigError(f"{place}: no {name} here. Name the folder that holds it, or the file.")
    return Path(os.path.abspath(path))
