"""Clipped gradient sums by Opacus' ghost clipping, against closed forms and hooks."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from opacus.grad_sample import GradSampleModule

from fedcc.models.tabular import ModelSettings, build_module, initial_parameters, parameter_count
from fedcc.training.dp_sgd import NORM_SLACK, ClippedGradients

LINEAR = ModelSettings(name="linear", hinges=0, hidden=0, learning_rate=1.0)
MLP = ModelSettings(name="mlp", hinges=0, hidden=8, learning_rate=1.0)


@dataclass(frozen=True)
class Rows:
    features: np.ndarray
    labels: np.ndarray


def rows(count: int = 700, width: int = 12) -> Rows:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(count, width)).astype(np.float32)
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1.0)
    return Rows(features, rng.integers(0, 2, count))


def closed_form(data: Rows, weights: np.ndarray, bound: float) -> np.ndarray:
    """Clipped gradients of logistic regression in float64, row by row."""
    total = np.zeros_like(weights)
    for x, y in zip(data.features.astype(np.float64), data.labels, strict=True):
        gradient = (1 / (1 + np.exp(-x @ weights)) - y) * x
        total += gradient * min(1.0, bound / max(np.linalg.norm(gradient), 1e-12))
    return total


def by_hooks(data: Rows, settings: ModelSettings, flat: np.ndarray, bound: float) -> np.ndarray:
    """The same sum from Opacus' hooks, which materialise every per-example gradient."""
    from fedcc.models.tabular import load_flat

    module = build_module(settings, data.features.shape[1])
    load_flat(module, flat)
    wrapped = GradSampleModule(module, loss_reduction="sum")
    losses = torch.nn.functional.binary_cross_entropy_with_logits(
        wrapped(torch.from_numpy(data.features)).squeeze(-1),
        torch.from_numpy(data.labels.astype(np.float32)),
        reduction="sum",
    )
    losses.backward()
    parts = [p.grad_sample.reshape(len(data.labels), -1) for p in module.parameters()]
    gradients = torch.cat(parts, dim=1).double().numpy()
    norms = np.linalg.norm(gradients, axis=1)
    return (gradients * np.minimum(1, bound / np.maximum(norms, 1e-12))[:, None]).sum(axis=0)


@pytest.mark.parametrize("bound", [0.05, 0.3, 10.0])
def test_the_linear_sum_is_the_closed_form(bound: float) -> None:
    data = rows()
    weights = np.random.default_rng(0).normal(size=12)

    total = ClippedGradients(build_module(LINEAR, 12), data, bound).sum_at(weights)

    # float32 chunks: relative error 256 * 2^-24 of a sum of 700 terms of size `bound`.
    np.testing.assert_allclose(total, closed_form(data, weights, bound), atol=700 * bound * 2e-5)


def test_the_perceptron_sum_is_that_of_the_hooks() -> None:
    data = rows()
    flat = initial_parameters(build_module(MLP, 12), 5)

    total = ClippedGradients(build_module(MLP, 12), data, 0.3).sum_at(flat)

    np.testing.assert_allclose(total, by_hooks(data, MLP, flat, 0.3), atol=700 * 0.3 * 2e-5)


@pytest.mark.parametrize("settings", [LINEAR, MLP], ids=lambda s: s.name)
def test_one_example_more_or_less_moves_the_sum_by_at_most_the_sensitivity(
    settings: ModelSettings,
) -> None:
    data = rows(300)
    module = build_module(settings, 12)
    flat = np.random.default_rng(1).normal(size=parameter_count(module))
    whole = ClippedGradients(module, data, 0.1).sum_at(flat)

    for left_out in range(0, 300, 37):
        kept = np.arange(300) != left_out
        part = Rows(data.features[kept], data.labels[kept])
        rest = ClippedGradients(build_module(settings, 12), part, 0.1).sum_at(flat)
        assert np.linalg.norm(whole - rest) <= 0.1 * NORM_SLACK


def test_an_example_of_any_size_is_clipped() -> None:
    huge = Rows(np.full((1, 12), 1e4, dtype=np.float32), np.array([1]))

    total = ClippedGradients(build_module(LINEAR, 12), huge, 0.3).sum_at(np.full(12, -1.0))

    assert np.linalg.norm(total) <= 0.3 * NORM_SLACK


def test_without_clipping_the_sensitivity_test_would_fail() -> None:
    # The twin: a bound far above every gradient leaves a large example unclipped.
    huge = Rows(np.full((1, 12), 1e2, dtype=np.float32), np.array([1]))

    total = ClippedGradients(build_module(LINEAR, 12), huge, 1e9).sum_at(np.full(12, -1.0))

    assert np.linalg.norm(total) > 0.3 * NORM_SLACK


def test_the_sum_does_not_depend_on_the_order_of_calls() -> None:
    data = rows()
    gradients = ClippedGradients(build_module(LINEAR, 12), data, 0.3)
    first = gradients.sum_at(np.zeros(12))
    gradients.sum_at(np.ones(12))

    np.testing.assert_array_equal(gradients.sum_at(np.zeros(12)), first)


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan")])
def test_a_bound_that_is_not_positive_is_refused(bound: float) -> None:
    with pytest.raises(ValueError, match="max_grad_norm"):
        ClippedGradients(build_module(LINEAR, 12), rows(), bound)
