"""Trainings without a federation, for comparison; a simulator's tool, never part of the protocol.

All of them use the same model, step rule and clipped sums as the federation; they differ in where
noise is added and how much.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fedcc.models.update import ModelState, UpdateRule, apply_sum
from fedcc.training.dp_sgd import PrivateSum

Noise = Callable[[int], NDArray[np.float64]]
"""Returns the noise of a round (from 1), shape `(n_params,)`."""

Batch = Callable[[int, int], NDArray[np.bool_]]
"""Returns which units take part in a round (from 1), shape `(n_units,)`, given their number."""


def train_centrally(
    sums: PrivateSum,
    rule: UpdateRule,
    *,
    initial: NDArray[np.float64],
    noise: Noise | None,
    batch: Batch | None,
) -> NDArray[np.float64]:
    """Train on one pool of rows and return the released parameters, shape `(n_params,)`.

    Args:
        sums: the clipped sums of all rows.
        rule: the step rule.
        initial: starting point.
        noise: added to each round's sum; `None` for none.
        batch: draws each round's units; `None` for all of them in every round.
    """
    state = ModelState.initial(initial)
    for round_number in range(1, rule.rounds + 1):
        drawn = None if batch is None else batch(round_number, sums.n_units)
        total = sums.sum_at(state.parameters, drawn)
        if noise is not None:
            total = total + noise(round_number)
        state = apply_sum(state, total, rule)
    return state.released()
