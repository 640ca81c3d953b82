"""The simulator's eyes: exactness of sums, snapshots of the model, the noise of a round.

Nothing of this takes part in the protocol; a production site has no observer. It sees what no party
of a real run sees together, which is why its numbers are marked `evaluation: simulator`.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedcc.errors import EnvelopeError
from fedcc.federation.closed_round import ClosedRound
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.site_parts import UploadNote
from fedcc.models.update import ModelState

Vector = NDArray[np.float64]
Integers = NDArray[np.int64]

# Floats are added as integers of this part of a grid step: a sum of integers does not depend on
# which site was the quickest. A lane's 2^22 grid steps have no finer float64 than that.
_PARTS_OF_A_STEP = 2.0**30


@dataclass
class _AttemptSums:
    """Sums over the sites that uploaded in one attempt; floats in `_PARTS_OF_A_STEP`."""

    update: Integers
    noised: Integers
    share: Integers
    sites: set[str] = field(default_factory=set)


class Observer:
    """Collects what a simulation reports about itself."""

    def __init__(self, plan: RunPlan, state: ModelState | None) -> None:
        """Start empty, or with the newest checkpoint of a resumed run."""
        self._plan = plan
        self._sums: dict[tuple[int, int], _AttemptSums] = {}
        self.max_abs_error = 0.0  # of a decoded sum against the noised float sums, gradient units
        self.checked_sums = 0
        # The newest copy of the model, by rounds applied.
        self.states = {} if state is None else {state.rounds_applied: state}

    def on_upload(self, note: UploadNote) -> None:
        """Add up what a site uploads."""
        place = (note.round_number, note.attempt)
        zeros = np.zeros(self._plan.n_parameters, dtype=np.int64)
        sums = self._sums.setdefault(place, _AttemptSums(zeros, zeros.copy(), zeros.copy()))
        sums.update += note.update
        sums.noised += self._in_parts(note.noised)
        sums.share += self._in_parts(note.share)
        sums.sites.add(note.site)

    def on_applied(
        self, site: str, closed: ClosedRound, gradient_sum: Vector, state: ModelState
    ) -> None:
        """Check a decoded sum against the integers that went in.

        Raises:
            EnvelopeError: if they differ where the scheme is exact.
        """
        if state.rounds_applied in self.states:
            return
        self.states = {state.rounds_applied: state}
        sums = self._sums.get((closed.round_number, closed.attempt))
        if sums is not None and sums.sites == set(closed.cohort):
            decoded = gradient_sum * self._plan.steps_per_unit
            if self._plan.scheme != "ckks" and not np.array_equal(np.rint(decoded), sums.update):
                raise EnvelopeError("a decoded sum differs from the integers that were summed")
            error = float(np.abs(gradient_sum - self._from_parts(sums.noised)).max())
            self.max_abs_error = max(self.max_abs_error, error)
            self.checked_sums += 1
        self._sums = {p: s for p, s in self._sums.items() if p[0] > closed.round_number}

    def noise_of(self, round_number: int, attempt: int) -> Vector | None:
        """Return the noise that the sum of an attempt carries, if all of it was seen."""
        sums = self._sums.get((round_number, attempt))
        return None if sums is None else self._from_parts(sums.share)

    def _in_parts(self, values: Vector) -> Integers:
        parts = values * (self._plan.steps_per_unit * _PARTS_OF_A_STEP)
        return np.rint(parts).astype(np.int64)

    def _from_parts(self, parts: Integers) -> Vector:
        return parts / (self._plan.steps_per_unit * _PARTS_OF_A_STEP)
