"""The step rule on flat vectors, and flat vectors in modules."""

import numpy as np
import pytest

from fedcc.models.tabular import (
    ModelSettings,
    build_module,
    initial_parameters,
    load_flat,
    named_tensors,
    parameter_count,
)
from fedcc.models.update import ModelState, UpdateRule, apply_gradient_sum

MLP = ModelSettings(name="mlp", hinges=0, hidden=4, learning_rate=1.0)


def rule(**changes: float) -> UpdateRule:
    values = {
        "learning_rate": 2.0,
        "momentum": 0.5,
        "normaliser": 10.0,
        "rounds": 4,
        "tail_fraction": 0.5,
    }
    return UpdateRule(**{**values, **changes})  # type: ignore[arg-type]


def test_steps_follow_heavy_ball_and_the_tail_is_averaged() -> None:
    state = ModelState.initial(np.zeros(1))
    by_hand, velocity, points = 0.0, 0.0, []
    for _ in range(4):
        state = apply_gradient_sum(state, np.array([10.0]), rule())
        velocity = 0.5 * velocity + 10.0 / 10.0
        by_hand -= 2.0 * velocity
        points.append(by_hand)

    assert state.parameters[0] == pytest.approx(by_hand)
    assert state.released()[0] == pytest.approx(np.mean(points[2:]))


def test_before_the_tail_the_newest_parameters_are_released() -> None:
    state = apply_gradient_sum(ModelState.initial(np.zeros(2)), np.ones(2), rule())

    np.testing.assert_array_equal(state.released(), state.parameters)


@pytest.mark.parametrize("bad", [np.ones(3), np.array([1.0, np.nan]), np.array([np.inf, 0.0])])
def test_a_sum_of_wrong_shape_or_not_finite_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="shape"):
        apply_gradient_sum(ModelState.initial(np.zeros(2)), bad, rule())


def test_flat_vectors_and_named_tensors_hold_the_same_numbers() -> None:
    module = build_module(MLP, 3)
    flat = np.arange(parameter_count(module), dtype=np.float64)

    load_flat(module, flat)

    for name, tensor in named_tensors(module, flat).items():
        np.testing.assert_array_equal(tensor, module.state_dict()[name].numpy())


def test_a_flat_vector_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="parameters"):
        load_flat(build_module(MLP, 3), np.zeros(2))


def test_every_site_starts_at_the_same_public_point() -> None:
    module = build_module(MLP, 3)

    first, again = initial_parameters(module, 9), initial_parameters(build_module(MLP, 3), 9)

    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, initial_parameters(module, 10))
