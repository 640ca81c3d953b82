"""The simulator's eyes: exactness of sums, snapshots of the model, the noise of a round.

Nothing of this takes part in the protocol; a production site has no observer. It sees what no party
of a real run sees together, which is why its numbers are marked `evaluation: simulator`.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedcc.errors import EnvelopeError
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.site_parts import AppliedNote, UploadNote
from fedcc.models.update import ModelState

Vector = NDArray[np.float64]
Integers = NDArray[np.int64]

# Floats are added as integers of this part of a grid step: a sum of integers does not depend on
# which site was the quickest. A lane's 2^22 grid steps have no finer float64 than that.
_PARTS_OF_A_STEP = 2.0**30


@dataclass
class _AttemptSums:
    """What sites uploaded in one attempt; floats in `_PARTS_OF_A_STEP`."""

    update: Integers
    noised: Integers
    share: Integers
    sites: set[str] = field(default_factory=set)

    def add(self, other: "_AttemptSums") -> None:
        """Add what other sites uploaded."""
        self.update += other.update
        self.noised += other.noised
        self.share += other.share
        self.sites |= other.sites


class Observer:
    """Collects what a simulation reports about itself."""

    def __init__(self, plan: RunPlan, state: ModelState | None) -> None:
        """Start empty, or with the newest checkpoint of a resumed run."""
        self._plan = plan
        self._notes: dict[tuple[int, int], list[_AttemptSums]] = {}
        self.max_abs_error = 0.0  # of a decoded sum against the noised float sums, gradient units
        self.checked_sums = 0
        # The newest copy of the model, by rounds applied.
        self.states = {} if state is None else {state.rounds_applied: state}

    def on_upload(self, note: UploadNote) -> None:
        """Keep what a site uploads until the survivors are known.

        Where an attempt has no survivors but all of its sites, their sum is enough.
        """
        shown = _AttemptSums(
            note.update.astype(np.int64),
            self._in_parts(note.noised),
            self._in_parts(note.share),
            {note.site},
        )
        notes = self._notes.setdefault((note.round_number, note.attempt), [])
        if notes and not self._plan.recovers:
            notes[0].add(shown)
        else:
            notes.append(shown)

    def on_applied(self, applied: AppliedNote) -> None:
        """Check a decoded sum against the integers that went in.

        Raises:
            EnvelopeError: if they differ where the scheme is exact.
        """
        closed, state = applied.closed, applied.state
        if state.rounds_applied in self.states:
            return
        self.states = {state.rounds_applied: state}
        sums = self._sums_of(closed.round_number, closed.attempt, closed.survivors)
        if sums is not None:
            gradient_sum = applied.gradient_sum + applied.opened_noise
            decoded = gradient_sum * self._plan.steps_per_unit
            if self._plan.scheme != "ckks" and not np.array_equal(np.rint(decoded), sums.update):
                raise EnvelopeError("a decoded sum differs from the integers that were summed")
            error = float(np.abs(gradient_sum - self._from_parts(sums.noised)).max())
            self.max_abs_error = max(self.max_abs_error, error)
            self.checked_sums += 1
        self._notes = {p: n for p, n in self._notes.items() if p[0] > closed.round_number}

    def noise_of(self, applied: AppliedNote) -> Vector | None:
        """Return the noise that a sum carries after excess is taken off, if all of it was seen.

        To be called before `on_applied`, which forgets it.
        """
        closed = applied.closed
        sums = self._sums_of(closed.round_number, closed.attempt, closed.survivors)
        return None if sums is None else self._from_parts(sums.share) - applied.opened_noise

    def _sums_of(
        self, round_number: int, attempt: int, survivors: tuple[str, ...]
    ) -> _AttemptSums | None:
        """Return the sums over the survivors, if each of them was seen and nobody else is in."""
        notes = self._notes.get((round_number, attempt), [])
        wanted = [note for note in notes if note.sites <= set(survivors)]
        if not wanted or set().union(*(note.sites for note in wanted)) != set(survivors):
            return None
        zeros = np.zeros(self._plan.n_parameters, dtype=np.int64)
        total = _AttemptSums(zeros, zeros.copy(), zeros.copy())
        for note in wanted:
            total.add(note)
        return total

    def _in_parts(self, values: Vector) -> Integers:
        parts = values * (self._plan.steps_per_unit * _PARTS_OF_A_STEP)
        return np.rint(parts).astype(np.int64)

    def _from_parts(self, parts: Integers) -> Vector:
        return parts / (self._plan.steps_per_unit * _PARTS_OF_A_STEP)
