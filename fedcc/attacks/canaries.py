"""Canaries: rows of nobody, made so that whoever looks for one finds it if anybody can.

A canary is a protected unit of its own (a row, or a customer with two equal rows, so that a clip
that is not per customer shows). Its features are one vector of an orthonormal basis (cosines with
random signs), so the gradients of canaries with different vectors are orthogonal whatever the model
is. Those with the same vector differ in their label. A linear head's gradient of norm above C fills
the whole clip, which makes a canary as visible as a record can be.

What a canary adds to a sum is asked of the product's own clipped sums, many canaries at once: the
sum of a group with different vectors, applied to one of them, is that canary's part. So the
attacker knows the mechanism as it is, with its faults.

Linear heads only: a hidden layer mixes the vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from fedcc.errors import ConfigError
from fedcc.federation.local_training import private_sum
from fedcc.federation.run_plan import RunPlan
from fedcc.tasks.task import Examples

Matrix = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Canaries:
    """m canaries of a plan, in groups of different vectors."""

    basis: Matrix  # orthonormal rows, shape (n_features, n_features)
    place: Integers  # the row of the basis that a canary has, shape (m,)
    label: Integers  # shape (m,)
    group: Integers  # shape (m,); a vector occurs once in a group
    present: Flags  # fair coins, shape (m,)
    copies: int  # rows of each

    def __len__(self) -> int:
        """Return m."""
        return len(self.place)

    def rows(self, chosen: Flags, first_customer: int | None) -> Examples:
        """Return the rows of chosen canaries; their customers count from `first_customer`."""
        places = np.repeat(np.flatnonzero(chosen), self.copies)
        customers = None
        if first_customer is not None:
            owners = np.arange(first_customer, first_customer + int(chosen.sum()))
            customers = np.repeat(owners, self.copies)
        features = self.basis[self.place[places]].astype(np.float32)
        return Examples(features, self.label[places], customers)


def most_canaries(plan: RunPlan) -> int:
    """Return how many canaries a plan has room for: no more than independent directions.

    A softmax gradient adds up to zero over the classes, which takes one direction a vector.
    """
    return plan.n_features * _labels_per_vector(plan)


def _labels_per_vector(plan: RunPlan) -> int:
    if plan.step == "class_means":
        return plan.n_outputs
    return max(1, plan.n_outputs - 1)


def check_auditable(plan: RunPlan) -> None:
    """Refuse plans for which canaries are not made.

    Raises:
        ConfigError: names what the plan has.
    """
    if plan.hidden:
        raise ConfigError(
            f"canaries: model={plan.model} has a hidden layer; canaries are made for linear heads. "
            "Use --only membership, or a run with model=linear or hinge."
        )
    if plan.sample_rate < 1:
        raise ConfigError(
            f"canaries: the run drew batches (privacy.sample_rate={plan.sample_rate:g}), which is "
            "no Gaussian channel. Use --only membership, or a run with full batches."
        )


def draw_canaries(plan: RunPlan, count: int, rng: np.random.Generator) -> Canaries:
    """Draw canaries and their coins.

    Args:
        plan: see `check_auditable`.
        count: how many; cut to `most_canaries`.
        rng: of basis, labels and coins.
    """
    width, per_vector = plan.n_features, _labels_per_vector(plan)
    count = min(count, width * per_vector)
    signs = np.where(rng.random(width) < 0.5, -1.0, 1.0)
    basis = dct(np.diag(signs), norm="ortho", axis=0)
    n_classes = max(2, plan.n_outputs)
    labels = np.argsort(rng.random((width, n_classes)), axis=1)[:, :per_vector]
    order = np.concatenate([rng.permutation(width) for _ in range(per_vector)])[:count]
    group = np.repeat(np.arange(per_vector), width)[:count]
    return Canaries(
        basis=basis,
        place=order,
        label=labels[order, group],
        group=group,
        present=rng.random(count) < 0.5,
        copies=2 if plan.unit == "customer" and plan.max_interactions > 1 else 1,
    )


def with_canaries(plan: RunPlan, examples: Examples, canaries: Canaries) -> Examples:
    """Return a site's rows followed by those of the canaries whose coin says in."""
    known = examples.customers
    first = None if known is None else int(known.max(initial=-1)) + 1
    added = canaries.rows(canaries.present, first)
    return Examples(
        np.concatenate([examples.features, added.features]),
        np.concatenate([examples.labels, added.labels]),
        None
        if known is None or added.customers is None
        else np.concatenate([known, added.customers]),
    )


class Contributions:
    """What each canary adds to a site's clipped sum, in the plane of its own vector."""

    def __init__(self, plan: RunPlan, canaries: Canaries) -> None:
        """Prepare the product's clipped sums of each group."""
        self._shape = (plan.n_outputs, plan.n_features)
        self._canaries = canaries
        first = 0 if plan.unit == "customer" else None
        self._groups = [
            (np.flatnonzero(chosen), private_sum(plan, canaries.rows(chosen, first)))
            for chosen in _groups(canaries.group)
        ]

    def at(self, parameters: NDArray[np.float64]) -> Matrix:
        """Return each canary's part for its own vector at a model, shape `(m, n_outputs)`.

        The canary's whole contribution is the outer product of this and its vector.
        """
        parts = np.zeros((len(self._canaries), self._shape[0]))
        for members, sums in self._groups:
            total = sums.sum_at(parameters).reshape(self._shape)
            parts[members] = (self._canaries.basis @ total.T)[self._canaries.place[members]]
        return parts


def _groups(group: Integers) -> Sequence[Flags]:
    return [group == number for number in np.unique(group)]
