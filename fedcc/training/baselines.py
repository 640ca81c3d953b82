"""Trainings without a federation, for comparison; a simulator's tool, never part of the protocol.

All of them use the same model, step rule and Opacus clipping as the federation; they differ in
where noise is added and how much.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fedcc.models.update import ModelState, UpdateRule, apply_gradient_sum
from fedcc.training.dp_sgd import ClippedGradients, HasExamples

Noise = Callable[[int], NDArray[np.float64]]
"""Returns the noise of a round (from 1), shape `(n_params,)`."""


def train_centrally(
    module: nn.Module,
    examples: HasExamples,
    rule: UpdateRule,
    *,
    max_grad_norm: float,
    initial: NDArray[np.float64],
    noise: Noise | None,
) -> NDArray[np.float64]:
    """Train on one pool of rows and return the released parameters, shape `(n_params,)`.

    Args:
        module: model shape; it is changed.
        examples: all rows.
        rule: the step rule.
        max_grad_norm: L2 bound per example.
        initial: starting point.
        noise: added to each round's sum; `None` for none.
    """
    gradients = ClippedGradients(module, examples, max_grad_norm)
    state = ModelState.initial(initial)
    for round_number in range(1, rule.rounds + 1):
        total = gradients.sum_at(state.parameters)
        if noise is not None:
            total = total + noise(round_number)
        state = apply_gradient_sum(state, total, rule)
    return state.released()
