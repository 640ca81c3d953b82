"""Flat parameter vectors and the public rules that turn a decrypted sum into the next model.

Every site applies the same rule to the same integers in float64, so all copies of the model stay
equal. Nothing here touches data: the rule is post-processing of what the sum already released.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Step = Literal["gradient", "class_means"]
"""What a sum holds: clipped gradients of many rounds, or the class sums of a single one."""


@dataclass(frozen=True, kw_only=True)
class UpdateRule:
    """The public step rule of a run; all values come from the plan."""

    step: Step
    n_outputs: int  # rows of the weight matrix, for class means
    logit_scale: float  # length of each class's weights, for class means
    learning_rate: float
    momentum: float  # heavy-ball factor in [0, 1)
    normaliser: float  # public number of rows of the whole federation
    rounds: int
    tail_fraction: float  # share of the last rounds whose parameters are averaged

    @property
    def first_tail_round(self) -> int:
        """First round (from 1) whose parameters enter the average."""
        return self.rounds - int(self.rounds * self.tail_fraction) + 1


@dataclass(frozen=True)
class ModelState:
    """One copy of the model between rounds; every vector has shape `(n_params,)`, float64."""

    parameters: Vector
    velocity: Vector
    tail_sum: Vector
    tail_count: int
    rounds_applied: int

    @classmethod
    def initial(cls, parameters: Vector) -> "ModelState":
        """Return the state before round 1."""
        zeros = np.zeros_like(parameters)
        return cls(parameters, zeros, zeros, 0, 0)

    def released(self) -> Vector:
        """Return the model that would be released now: the tail average once there is one."""
        return self.tail_sum / self.tail_count if self.tail_count else self.parameters


def apply_sum(state: ModelState, noised_sum: Vector, rule: UpdateRule) -> ModelState:
    """Apply one decrypted sum by the rule of the plan; see the two rules for errors."""
    if rule.step == "class_means":
        return apply_class_sums(state, noised_sum, rule)
    return apply_gradient_sum(state, noised_sum, rule)


def apply_class_sums(state: ModelState, class_sums: Vector, rule: UpdateRule) -> ModelState:
    """Turn noised sums of features by class into a head: the directions of the class means.

    Args:
        state: holds the public prior as its parameters, shape `(n_outputs * n_features,)`.
        class_sums: decrypted sums over all sites, same shape.
        rule: gives the number of classes and the length of each class's weights.

    Raises:
        ValueError: if the shapes differ or the sum is not finite.

    Source: the nearest-class-mean classifier under the Gaussian mechanism; the prior acts as
    pseudo-counts of a public example per class.
    """
    if class_sums.shape != state.parameters.shape or not np.isfinite(class_sums).all():
        raise ValueError("the class sums have the wrong shape or are not finite")
    weights = (state.parameters + class_sums).reshape(rule.n_outputs, -1)
    lengths = np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), 1e-9)
    parameters = (rule.logit_scale * weights / lengths).reshape(-1)
    zeros = np.zeros_like(parameters)
    return ModelState(parameters, zeros, zeros, 0, state.rounds_applied + 1)


def apply_gradient_sum(state: ModelState, gradient_sum: Vector, rule: UpdateRule) -> ModelState:
    """Take one heavy-ball step along a noised sum of clipped gradients.

    Args:
        state: the model before the round.
        gradient_sum: decrypted sum over all sites, in gradient units, shape `(n_params,)`.
        rule: the plan's step rule.

    Raises:
        ValueError: if the shapes differ or the sum is not finite.

    Source: Polyak, "Some methods of speeding up the convergence of iteration methods", 1964; tail
    averaging as in Jain et al., "Parallelizing Stochastic Gradient Descent for Least Squares
    Regression", 2018.
    """
    if gradient_sum.shape != state.parameters.shape or not np.isfinite(gradient_sum).all():
        raise ValueError("the gradient sum has the wrong shape or is not finite")
    velocity = rule.momentum * state.velocity + gradient_sum / rule.normaliser
    parameters = state.parameters - rule.learning_rate * velocity
    done = state.rounds_applied + 1
    in_tail = done >= rule.first_tail_round
    return ModelState(
        parameters,
        velocity,
        state.tail_sum + parameters if in_tail else state.tail_sum,
        state.tail_count + int(in_tail),
        done,
    )
