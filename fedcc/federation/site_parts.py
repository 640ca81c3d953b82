"""What a site is built from and what a simulation may look at; no library of training is needed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcc.errors import FedccError
from fedcc.federation.closed_round import ClosedRound
from fedcc.models.update import ModelState


@dataclass(frozen=True)
class SiteFiles:
    """Where a site keeps what is its own."""

    ledger: Path
    audit: Path
    checkpoint: Path
    keys: Path
    epochs: Path  # folder of the records of its epochs
    binding: Path


@dataclass
class SiteSeconds:
    """Time spent in cryptography, for the simulation's report."""

    encrypt: float = 0.0
    decrypt: float = 0.0


@dataclass(frozen=True)
class UploadNote:
    """What a simulation may look at when a site uploads; never part of a message."""

    site: str
    round_number: int
    attempt: int
    share: NDArray[np.float64]
    noised: NDArray[np.float64]  # clamped sum plus share, before rounding
    update: NDArray[np.int64]


@dataclass(frozen=True)
class AppliedNote:
    """What a simulation may look at when a site applied a closed round."""

    site: str
    closed: ClosedRound
    gradient_sum: NDArray[np.float64]  # without the opened noise
    opened_noise: NDArray[np.float64]  # that was taken off; zeros if there was none
    state: ModelState


@dataclass
class Watch:
    """Hooks of a simulation, outside the protocol."""

    on_upload: Callable[[UploadNote], None] | None = None
    on_applied: Callable[[AppliedNote], None] | None = None
    refusals: list[FedccError] = field(default_factory=list)
