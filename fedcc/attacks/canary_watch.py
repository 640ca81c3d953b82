"""Looking for canaries in what a replayed run released, as each observer would.

The attacker of differential privacy knows every row but one. So the noiseless sums of the known
rows are taken off each released sum, as the product itself computes them, and so is the noise of
the sites that collude. What is left is read along each canary's own contribution and added up over
the rounds.

Two readings are kept. The *informed* one knows of every other canary whether it took part, which is
what the definition allows: a score is then the very difference between two neighbouring data sets,
for the Gaussian channel. The *blind* one knows no coin and takes half of everybody off, as a bound
from one run demands.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedcc.attacks.canaries import Canaries, Contributions, Matrix
from fedcc.crypto.masks import MaskEntry
from fedcc.federation import opening
from fedcc.federation.closed_round import ClosedRound
from fedcc.federation.closing import opened_parts, split_seeds
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.site_parts import AppliedNote, UploadNote, Watch
from fedcc.privacy.accounting import Observer
from fedcc.privacy.noise_shares import clamp_to_box
from fedcc.training.dp_sgd import PrivateSum

Vector = NDArray[np.float64]
MANY_PARAMETERS = 100  # a site: then a direction each costs the audit no more than 1 % of its power


def coalitions(
    plan: RunPlan, canary_sites: Sequence[str], offline: Sequence[str]
) -> dict[Observer, tuple[str, ...]]:
    """Return whose noise each observer knows; observers that a canary's own sites would make up
    are left out.

    Args:
        plan: of the run.
        canary_sites: sites that hold the canaries and so are honest.
        offline: sites that drop out somewhere; they collude last.
    """
    others = [site for site in plan.sites if site not in canary_sites]
    others.sort(key=lambda site: site in offline)
    claim = plan.tolerated_collusion if plan.mechanism == "gaussian_share" else len(plan.sites) - 1
    found: dict[Observer, tuple[str, ...]] = {"outsider": ()}
    if claim <= len(others):
        found["claim"] = tuple(others[:claim])
    if len(others) == len(plan.sites) - 1:
        found["everyone_else"] = tuple(others)
    return found


class CanaryWatch:
    """Watches one replay and keeps a score for each canary and observer."""

    def __init__(
        self,
        plan: RunPlan,
        canaries: Canaries,
        known: Mapping[str, PrivateSum],
        *,
        canary_sites: Sequence[str],
        coalitions: Mapping[Observer, Sequence[str]],
        initial: Vector,
    ) -> None:
        """Start before round 1.

        Args:
            plan: of the run.
            canaries: planted at each of `canary_sites`.
            known: clipped sums of each site's rows without canaries.
            canary_sites: where the canaries are.
            coalitions: whose noise each observer knows.
            initial: parameters before round 1, shape `(n_params,)`.
        """
        self._plan, self._canaries, self._known = plan, canaries, known
        self._canary_sites, self._coalitions = canary_sites, coalitions
        self._contributions = Contributions(plan, canaries)
        self._parameters, self._rounds = initial, 0
        self._shares: dict[tuple[int, int, str], Vector] = {}
        self._attempts: set[tuple[int, int]] = set()
        self.informed = {name: np.zeros(len(canaries)) for name in coalitions}
        self.blind = {name: np.zeros(len(canaries)) for name in coalitions}
        self.strength = np.zeros(len(canaries))  # sum over rounds of norms, gradient units
        self._last_directions = np.zeros((len(canaries), plan.n_outputs))

    @property
    def eyes(self) -> Watch:
        """What a replay calls."""
        return Watch(on_upload=self._on_upload, on_applied=self._on_applied)

    @property
    def attempts(self) -> int:
        """How many attempts were charged."""
        return len(self._attempts)

    @property
    def independent(self) -> float:
        """How many independent scores say as much of the noise's spread; directions move little."""
        return _independent(self._canaries, self._last_directions)

    def _on_upload(self, note: UploadNote) -> None:
        self._attempts.add((note.round_number, note.attempt))
        if any(note.site in sites for sites in self._coalitions.values()):
            self._shares[note.round_number, note.attempt, note.site] = note.share

    def _on_applied(self, note: AppliedNote) -> None:
        """Read one released sum; the sites of a run all apply the same."""
        closed = note.closed
        if closed.round_number <= self._rounds:
            return
        survivors = closed.survivors
        known = np.stack([self._known_sum(site) for site in survivors])
        left = _without(note.gradient_sum - known.sum(axis=0), known)
        times = len(set(self._canary_sites) & set(survivors))
        parts = self._contributions.at(self._parameters) * times
        for name, coalition in self._coalitions.items():
            noise = self._known_noise(closed, [site for site in coalition if site in survivors])
            self._read(name, self._by_vector(left - noise), parts)
        self.strength += np.linalg.norm(parts, axis=1)
        self._last_directions = _directions(parts)
        self._parameters, self._rounds = note.state.parameters, closed.round_number
        self._shares = {place: s for place, s in self._shares.items() if place[0] > self._rounds}

    def _known_sum(self, site: str) -> Vector:
        """Return the noiseless sum of a site's rows without canaries."""
        return clamp_to_box(self._known[site].sum_at(self._parameters), self._plan.box)

    def _by_vector(self, values: Vector) -> Matrix:
        """Return what is left in the plane of each vector, shape `(n_features, n_outputs)`."""
        shape = (self._plan.n_outputs, self._plan.n_features)
        planes: Matrix = self._canaries.basis @ values.reshape(shape).T
        return planes

    def _read(self, name: Observer, left: Matrix, parts: Matrix) -> None:
        """Add one round's reading to the scores."""
        place, present = self._canaries.place, self._canaries.present
        directions = _directions(parts)
        everybody, inside = np.zeros_like(left), np.zeros_like(left)
        np.add.at(everybody, place, parts)
        np.add.at(inside, place[present], parts[present])
        own = np.where(present, np.linalg.norm(parts, axis=1), 0.0)
        informed = np.sum((left - inside)[place] * directions, axis=1) + own
        self.informed[name] += informed
        self.blind[name] += np.sum((left - everybody / 2)[place] * directions, axis=1)

    def _known_noise(self, closed: ClosedRound, coalition: Sequence[str]) -> Vector:
        """Return what colluding sites added to a sum less what was opened of it."""
        plan, total = self._plan, np.zeros(self._plan.n_parameters)
        for site in coalition:
            total += self._shares[closed.round_number, closed.attempt, site]
            parts = opened_parts(plan, closed.survivors) if plan.masked else ()
            if parts:
                entry = _entry_of(plan, closed)
                for part, seed in zip(parts, split_seeds(closed.excess[site]), strict=True):
                    total -= opening.excess_part(plan, entry, site, part, seed)
        return total


def _entry_of(plan: RunPlan, closed: ClosedRound) -> MaskEntry:
    """Return the entry of a closed round as far as its excess noise depends on it: its number."""
    return MaskEntry(
        plan.run,
        closed.entry,
        closed.round_number,
        closed.attempt,
        closed.cohort,
        b"",
        plan.neighbours,
    )


def _without(left: Vector, known: Matrix) -> Vector:
    """Take off what is left along each site's known sum, where parameters are many.

    In a sound run that is a direction of noise a site. Where rows train twice it is all of their
    second copies, which would otherwise drown the canaries.
    """
    if left.size < MANY_PARAMETERS * len(known):
        return left
    found, *_ = np.linalg.lstsq(known.T, left, rcond=None)
    return np.asarray(left - known.T @ found)


def _directions(parts: Matrix) -> Matrix:
    lengths = np.linalg.norm(parts, axis=1, keepdims=True)
    return np.asarray(parts / np.maximum(lengths, 1e-12))


def _independent(canaries: Canaries, directions: Matrix) -> float:
    """Return how many independent scores say as much of the noise's spread as all of them.

    It is m^2 over the sum of squared correlations, which vanish between different vectors.
    """
    order = np.argsort(canaries.place, kind="stable")
    borders = np.flatnonzero(np.diff(canaries.place[order])) + 1
    squared = 0.0
    for members in np.split(order, borders):
        same_vector = directions[members]
        squared += float(np.sum((same_vector @ same_vector.T) ** 2))
    return len(canaries) ** 2 / squared if squared else float(len(canaries))
