"""The step rule on flat vectors, and flat vectors in modules."""

import numpy as np
import pytest
import torch

from fedcc.models.heads import (
    build_module,
    load_flat,
    named_tensors,
    parameter_count,
)
from fedcc.models.shapes import HeadShape, initial_parameters
from fedcc.models.update import ModelState, UpdateRule, apply_gradient_sum, apply_sum

MLP = HeadShape(n_features=3, hidden=4, n_outputs=1)
HEAD = HeadShape(n_features=3, hidden=0, n_outputs=2)
TEXT = HeadShape(n_features=40, hidden=16, n_outputs=5, embedding=True)


def rule(**changes: object) -> UpdateRule:
    values = {
        "step": "gradient",
        "n_outputs": 2,
        "logit_scale": 12.0,
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
    module = build_module(MLP)
    flat = np.arange(parameter_count(module), dtype=np.float64)

    load_flat(module, flat)

    for name, tensor in named_tensors(module, flat).items():
        np.testing.assert_array_equal(tensor, module.state_dict()[name].numpy())


def test_a_flat_vector_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="parameters"):
        load_flat(build_module(MLP), np.zeros(2))


def test_every_site_starts_at_the_same_public_point() -> None:
    first, again = initial_parameters(MLP, 9), initial_parameters(MLP, 9)

    np.testing.assert_array_equal(first, again)
    assert first.size == parameter_count(build_module(MLP))
    assert not np.array_equal(first, initial_parameters(MLP, 10))


def test_a_linear_head_starts_at_zero_or_at_its_public_prior() -> None:
    prior = np.arange(6.0).reshape(2, 3)

    np.testing.assert_array_equal(initial_parameters(HEAD, 9), np.zeros(6))
    np.testing.assert_array_equal(initial_parameters(HEAD, 9, prior), np.arange(6.0))


def test_a_prior_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="prior"):
        initial_parameters(HEAD, 9, np.zeros((3, 2)))


def test_class_sums_become_the_directions_of_prior_plus_sums() -> None:
    state = ModelState.initial(np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))
    sums = np.array([2.0, 4.0, 0.0, 0.0, -1.0, 5.0])

    after = apply_sum(state, sums, rule(step="class_means"))

    # By hand: (3, 4, 0) / 5 and (0, 0, 5) / 5, times the length 12.
    np.testing.assert_allclose(after.released(), [7.2, 9.6, 0.0, 0.0, 0.0, 12.0])
    assert after.rounds_applied == 1


@pytest.mark.parametrize("bad", [np.ones(3), np.array([1.0, np.nan, 0, 0, 0, 0])])
def test_class_sums_of_wrong_shape_or_not_finite_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="class sums"):
        apply_sum(ModelState.initial(np.zeros(6)), bad, rule(step="class_means"))


def text_scores(flat: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Scores of the text model by hand: counts @ table, then one product a class."""
    split = TEXT.hidden * TEXT.n_features
    table = flat[:split].reshape(TEXT.hidden, TEXT.n_features)
    return np.asarray(rows @ table.T @ flat[split:].reshape(TEXT.n_outputs, TEXT.hidden).T)


def test_a_text_model_scores_the_sum_of_a_text_s_embeddings() -> None:
    module, counts = build_module(TEXT), np.random.default_rng(2).random((6, 40))
    flat = np.random.default_rng(1).normal(size=parameter_count(module))

    load_flat(module, flat)

    assert parameter_count(module) == 40 * 16 + 5 * 16
    with torch.no_grad():
        scores = module(torch.from_numpy(counts.astype(np.float32))).numpy()
    np.testing.assert_allclose(scores, text_scores(flat, counts), rtol=1e-4, atol=1e-4)


def test_a_text_model_begins_with_each_class_at_its_prior_s_own_vector() -> None:
    prior = 10 * np.eye(5, 40)

    flat = initial_parameters(TEXT, 9, prior)

    classes = flat[TEXT.hidden * TEXT.n_features :].reshape(5, TEXT.hidden)
    np.testing.assert_allclose(np.linalg.norm(classes, axis=1), 10.0)
    assert list(text_scores(flat, prior).argmax(axis=1)) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(flat, initial_parameters(TEXT, 9, prior))
    assert not np.array_equal(flat, initial_parameters(TEXT, 10, prior))


def test_embeddings_begin_as_long_as_the_counts_they_stand_for() -> None:
    wide = HeadShape(n_features=4000, hidden=16, n_outputs=2, embedding=True)

    table = initial_parameters(wide, 3)[: 16 * 4000].reshape(16, 4000)

    # Uniform with variance 1 / 16, so squared lengths have mean 1; 64,000 draws: sd 0.004.
    assert np.square(table).sum(axis=0).mean() == pytest.approx(1.0, abs=0.02)


def test_a_text_model_without_prior_begins_with_classes_at_zero() -> None:
    assert not initial_parameters(TEXT, 9)[TEXT.hidden * TEXT.n_features :].any()


@pytest.mark.parametrize("shape", [HEAD, MLP, TEXT], ids=str)
def test_every_model_refuses_a_prior_of_another_shape(shape: HeadShape) -> None:
    with pytest.raises(ValueError, match="prior"):
        initial_parameters(shape, 9, np.zeros((7, 7)))
