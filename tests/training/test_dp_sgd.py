"""Clipped gradient sums by Opacus' ghost clipping, against closed forms and hooks."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from opacus.grad_sample import GradSampleModule

from fedcc.models.heads import (
    build_module,
    load_flat,
    parameter_count,
)
from fedcc.models.shapes import HeadShape, initial_parameters
from fedcc.training.dp_sgd import NORM_SLACK, ClassSums, ClippedGradients

LINEAR = HeadShape(n_features=12, hidden=0, n_outputs=1)
MLP = HeadShape(n_features=12, hidden=8, n_outputs=1)
INTENTS = HeadShape(n_features=12, hidden=0, n_outputs=7)
INTENT_MLP = HeadShape(n_features=12, hidden=8, n_outputs=7)
TEXT = HeadShape(n_features=12, hidden=5, n_outputs=7, embedding=True)


@dataclass(frozen=True)
class Rows:
    features: np.ndarray
    labels: np.ndarray


def rows(count: int = 700, width: int = 12, classes: int = 2) -> Rows:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(count, width)).astype(np.float32)
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1.0)
    return Rows(features, rng.integers(0, classes, count))


def closed_form(data: Rows, weights: np.ndarray, bound: float) -> np.ndarray:
    """Clipped gradients of logistic regression in float64, row by row."""
    total = np.zeros_like(weights)
    for x, y in zip(data.features.astype(np.float64), data.labels, strict=True):
        gradient = (1 / (1 + np.exp(-x @ weights)) - y) * x
        total += gradient * min(1.0, bound / max(np.linalg.norm(gradient), 1e-12))
    return total


def by_hooks(data: Rows, shape: HeadShape, flat: np.ndarray, bound: float) -> np.ndarray:
    """The same sum from Opacus' hooks, which materialise every per-example gradient."""
    module = build_module(shape)
    load_flat(module, flat)
    wrapped = GradSampleModule(module, loss_reduction="sum")
    scores, labels = wrapped(torch.from_numpy(data.features)), torch.from_numpy(data.labels)
    if shape.n_outputs == 1:
        losses = torch.nn.functional.binary_cross_entropy_with_logits(
            scores.squeeze(-1), labels.float(), reduction="sum"
        )
    else:
        losses = torch.nn.functional.cross_entropy(scores, labels, reduction="sum")
    losses.backward()
    parts = [p.grad_sample.reshape(len(data.labels), -1) for p in module.parameters()]
    gradients = torch.cat(parts, dim=1).double().numpy()
    norms = np.linalg.norm(gradients, axis=1)
    return (gradients * np.minimum(1, bound / np.maximum(norms, 1e-12))[:, None]).sum(axis=0)


def softmax_closed_form(data: Rows, weights: np.ndarray, bound: float) -> np.ndarray:
    """Clipped gradients of softmax regression in float64; the norm is |x| |p - e_y|."""
    total = np.zeros_like(weights)
    for x, y in zip(data.features.astype(np.float64), data.labels, strict=True):
        chances = np.exp(weights @ x - (weights @ x).max())
        rest = chances / chances.sum() - np.eye(len(weights))[y]
        norm = np.linalg.norm(x) * np.linalg.norm(rest)
        total += np.outer(rest, x) * min(1.0, bound / max(norm, 1e-12))
    return total


@pytest.mark.parametrize("bound", [0.05, 0.4, 10.0])
def test_the_softmax_sum_is_the_closed_form(bound: float) -> None:
    data = rows(classes=7)
    weights = np.random.default_rng(0).normal(size=(7, 12))

    total = ClippedGradients(build_module(INTENTS), data, bound).sum_at(weights.reshape(-1))

    expected = softmax_closed_form(data, weights, bound).reshape(-1)
    np.testing.assert_allclose(total, expected, atol=700 * bound * 2e-5)


def test_the_softmax_perceptron_sum_is_that_of_the_hooks() -> None:
    data = rows(classes=7)
    flat = initial_parameters(INTENT_MLP, 5)

    total = ClippedGradients(build_module(INTENT_MLP), data, 0.3).sum_at(flat)

    np.testing.assert_allclose(total, by_hooks(data, INTENT_MLP, flat, 0.3), atol=700 * 0.3 * 2e-5)


def bag_gradient(counts: np.ndarray, label: int, flat: np.ndarray) -> np.ndarray:
    """One text's gradient in float64 by torch's own EmbeddingBag, every bucket with its count."""
    split = TEXT.hidden * TEXT.n_features
    table = torch.from_numpy(flat[:split].reshape(TEXT.hidden, TEXT.n_features).T.copy())
    classes = torch.from_numpy(flat[split:].reshape(TEXT.n_outputs, TEXT.hidden).copy())
    table.requires_grad_(), classes.requires_grad_()
    vector = torch.nn.functional.embedding_bag(
        torch.arange(TEXT.n_features)[None],
        table,
        mode="sum",
        per_sample_weights=torch.from_numpy(counts)[None].double(),
    )
    torch.nn.functional.cross_entropy(vector @ classes.T, torch.tensor([label])).backward()
    return np.concatenate([table.grad.numpy().T.reshape(-1), classes.grad.numpy().reshape(-1)])


@pytest.mark.parametrize("bound", [0.05, 0.3, 10.0])
def test_the_text_model_s_sum_is_that_of_a_bag_of_embeddings(bound: float) -> None:
    data = rows(200, classes=7)
    data.features[np.random.default_rng(3).random(data.features.shape) < 0.6] = 0
    flat = initial_parameters(TEXT, 5, np.random.default_rng(4).normal(size=(7, 12)))

    total = ClippedGradients(build_module(TEXT), data, bound).sum_at(flat)

    pairs = zip(data.features, data.labels, strict=True)
    gradients = np.array([bag_gradient(counts, int(label), flat) for counts, label in pairs])
    norms = np.linalg.norm(gradients, axis=1, keepdims=True)
    clipped = gradients * np.minimum(1, bound / np.maximum(norms, 1e-12))
    assert not np.allclose(clipped.sum(axis=0), gradients.sum(axis=0)) or bound == 10.0
    np.testing.assert_allclose(total, clipped.sum(axis=0), atol=200 * bound * 2e-5)


def test_the_text_model_s_sum_is_that_of_the_hooks() -> None:
    data = rows(classes=7)
    flat = initial_parameters(TEXT, 5, np.random.default_rng(4).normal(size=(7, 12)))

    total = ClippedGradients(build_module(TEXT), data, 0.3).sum_at(flat)

    np.testing.assert_allclose(total, by_hooks(data, TEXT, flat, 0.3), atol=700 * 0.3 * 2e-5)


@pytest.mark.parametrize("bound", [0.05, 0.3, 10.0])
def test_the_linear_sum_is_the_closed_form(bound: float) -> None:
    data = rows()
    weights = np.random.default_rng(0).normal(size=12)

    total = ClippedGradients(build_module(LINEAR), data, bound).sum_at(weights)

    # float32 chunks: relative error 256 * 2^-24 of a sum of 700 terms of size `bound`.
    np.testing.assert_allclose(total, closed_form(data, weights, bound), atol=700 * bound * 2e-5)


def test_the_perceptron_sum_is_that_of_the_hooks() -> None:
    data = rows()
    flat = initial_parameters(MLP, 5)

    total = ClippedGradients(build_module(MLP), data, 0.3).sum_at(flat)

    np.testing.assert_allclose(total, by_hooks(data, MLP, flat, 0.3), atol=700 * 0.3 * 2e-5)


@pytest.mark.parametrize("shape", [LINEAR, MLP, INTENTS, INTENT_MLP, TEXT], ids=str)
def test_one_example_more_or_less_moves_the_sum_by_at_most_the_sensitivity(
    shape: HeadShape,
) -> None:
    data = rows(300, classes=max(2, shape.n_outputs))
    module = build_module(shape)
    flat = np.random.default_rng(1).normal(size=parameter_count(module))
    whole = ClippedGradients(module, data, 0.1).sum_at(flat)

    for left_out in range(0, 300, 37):
        kept = np.arange(300) != left_out
        part = Rows(data.features[kept], data.labels[kept])
        rest = ClippedGradients(build_module(shape), part, 0.1).sum_at(flat)
        assert np.linalg.norm(whole - rest) <= 0.1 * NORM_SLACK


def test_class_sums_add_the_clipped_features_of_each_class() -> None:
    data = Rows(
        np.array([[0.6, 0.8], [0.3, 0.0], [30.0, 40.0], [0.0, 1.0]], dtype=np.float32),
        np.array([2, 2, 0, 2]),
    )

    sums = ClassSums(data, 3, 0.5).sum_at(np.zeros(6)).reshape(3, 2)

    # By hand: features of norm 1, 0.3, 50 and 1 are cut to at most 0.5.
    np.testing.assert_allclose(sums, [[0.3, 0.4], [0.0, 0.0], [0.6, 0.9]], atol=1e-7)


def test_one_row_more_or_less_moves_the_class_sums_by_at_most_the_bound() -> None:
    data = rows(60, classes=5)
    data = Rows(data.features * np.float32(50.0), data.labels)
    whole = ClassSums(data, 5, 1.0).sum_at(np.zeros(60))

    for left_out in range(60):
        kept = np.arange(60) != left_out
        rest = ClassSums(Rows(data.features[kept], data.labels[kept]), 5, 1.0).sum_at(np.zeros(60))
        assert np.linalg.norm(whole - rest) <= 1.0 + 1e-9


def test_class_sums_without_a_bound_are_refused() -> None:
    with pytest.raises(ValueError, match="max_norm"):
        ClassSums(rows(), 2, 0.0)


def test_an_example_of_any_size_is_clipped() -> None:
    huge = Rows(np.full((1, 12), 1e4, dtype=np.float32), np.array([1]))

    total = ClippedGradients(build_module(LINEAR), huge, 0.3).sum_at(np.full(12, -1.0))

    assert np.linalg.norm(total) <= 0.3 * NORM_SLACK


def test_without_clipping_the_sensitivity_test_would_fail() -> None:
    # The twin: a bound far above every gradient leaves a large example unclipped.
    huge = Rows(np.full((1, 12), 1e2, dtype=np.float32), np.array([1]))

    total = ClippedGradients(build_module(LINEAR), huge, 1e9).sum_at(np.full(12, -1.0))

    assert np.linalg.norm(total) > 0.3 * NORM_SLACK


def test_the_sum_does_not_depend_on_the_order_of_calls() -> None:
    data = rows()
    gradients = ClippedGradients(build_module(LINEAR), data, 0.3)
    first = gradients.sum_at(np.zeros(12))
    gradients.sum_at(np.ones(12))

    np.testing.assert_array_equal(gradients.sum_at(np.zeros(12)), first)


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan")])
def test_a_bound_that_is_not_positive_is_refused(bound: float) -> None:
    with pytest.raises(ValueError, match="max_grad_norm"):
        ClippedGradients(build_module(LINEAR), rows(), bound)


@pytest.mark.parametrize("shape", [LINEAR, MLP, INTENTS, INTENT_MLP, TEXT], ids=str)
def test_a_drawn_batch_sums_the_drawn_examples_and_no_others(shape: HeadShape) -> None:
    data = rows(700, classes=max(2, shape.n_outputs))
    flat = np.random.default_rng(1).normal(size=parameter_count(build_module(shape)))
    drawn = np.random.default_rng(3).random(700) < 0.4

    total = ClippedGradients(build_module(shape), data, 0.3).sum_at(flat, drawn)

    batch = Rows(data.features[drawn], data.labels[drawn])
    expected = ClippedGradients(build_module(shape), batch, 0.3).sum_at(flat)
    np.testing.assert_array_equal(total, expected)
    assert np.abs(total).max() > 0


@pytest.mark.parametrize("shape", [LINEAR, INTENT_MLP, TEXT], ids=str)
def test_an_empty_batch_is_a_sum_of_zeros(shape: HeadShape) -> None:
    data = rows(40, classes=max(2, shape.n_outputs))
    gradients = ClippedGradients(build_module(shape), data, 0.3)
    flat = initial_parameters(shape, 5)

    total = gradients.sum_at(flat, np.zeros(gradients.n_units, dtype=bool))

    np.testing.assert_array_equal(total, np.zeros(flat.size))


def test_no_batch_can_be_drawn_from_class_sums() -> None:
    sums = ClassSums(rows(), 2, 0.5)

    with pytest.raises(ValueError, match="every row"):
        sums.sum_at(np.zeros(24), np.ones(sums.n_units, dtype=bool))


# Opacus' own ghost clipping through autograd, the path of all other modules.
@pytest.mark.parametrize("shape", [LINEAR, INTENTS], ids=str)
@pytest.mark.parametrize("bound", [0.01, 0.3, 10.0])
def test_the_linear_head_s_short_cut_is_opacus_ghost_clipping(
    shape: HeadShape, bound: float
) -> None:
    data = rows(5000, classes=max(2, shape.n_outputs))
    flat = np.random.default_rng(1).normal(size=parameter_count(build_module(shape)))
    wrapped = torch.nn.Sequential(build_module(shape))  # not a bare linear layer: no short cut

    total = ClippedGradients(build_module(shape), data, bound).sum_at(flat)

    expected = ClippedGradients(wrapped, data, bound).sum_at(flat)
    np.testing.assert_allclose(total, expected, atol=5000 * bound * 2e-6)
