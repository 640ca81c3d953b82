"""Sums clipped by customer: Opacus against closed forms and hooks, and the bound as a property."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcc.models.heads import build_module, load_flat, parameter_count
from fedcc.models.shapes import HeadShape
from fedcc.training.customer_sums import CustomerClassSums, CustomerGradients, customer_chunks
from fedcc.training.dp_sgd import NORM_SLACK, ClassSums, ClippedGradients

CHURN = HeadShape(n_features=6, hidden=0, n_outputs=1)
CHURN_MLP = HeadShape(n_features=6, hidden=4, n_outputs=1)
INTENTS = HeadShape(n_features=6, hidden=0, n_outputs=5)
INTENT_MLP = HeadShape(n_features=6, hidden=4, n_outputs=5)
TEXT = HeadShape(n_features=6, hidden=4, n_outputs=5, embedding=True)
SHAPES = [CHURN, CHURN_MLP, INTENTS, INTENT_MLP, TEXT]
BOUND = 0.3


@dataclass(frozen=True)
class Rows:
    features: np.ndarray
    labels: np.ndarray

    def at(self, chosen: np.ndarray) -> "Rows":
        return Rows(self.features[chosen], self.labels[chosen])


def rows(count: int, classes: int, seed: int = 2) -> Rows:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 6)).astype(np.float32)
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1.0)
    return Rows(features, rng.integers(0, classes, count))


def classes_of(shape: HeadShape) -> int:
    return max(2, shape.n_outputs)


def weights_of(shape: HeadShape, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=parameter_count(build_module(shape)))


def opacus_sum(data: Rows, customers: np.ndarray, shape: HeadShape, bound: float) -> np.ndarray:
    return CustomerGradients(build_module(shape), data, customers, bound).sum_at(weights_of(shape))


def row_gradients(data: Rows, shape: HeadShape) -> np.ndarray:
    """Each row's gradient by plain autograd in float64, one row at a time."""
    module = build_module(shape)
    load_flat(module, weights_of(shape))
    module = module.double()
    found = []
    for x, y in zip(data.features, data.labels, strict=True):
        scores = module(torch.from_numpy(x).double()[None])
        if shape.n_outputs == 1:
            loss = torch.nn.functional.softplus(scores).sum() - y * scores.sum()
        else:
            loss = torch.logsumexp(scores, dim=1).sum() - scores[0, y]
        parts = torch.autograd.grad(loss, list(module.parameters()))
        found.append(torch.cat([part.reshape(-1) for part in parts]).numpy())
    return np.array(found)


def clipped_sum(gradients: np.ndarray, customers: np.ndarray, bound: float) -> np.ndarray:
    total = np.zeros(gradients.shape[1])
    for code in np.unique(customers):
        part = gradients[customers == code].sum(axis=0)
        total += part * min(1.0, bound / max(np.linalg.norm(part), 1e-12))
    return total


def linear_closed_form(data: Rows, customers: np.ndarray, bound: float) -> np.ndarray:
    """The norm of a linear head without its gradient: sum_ij (x_i . x_j) (r_i . r_j)."""
    weights = weights_of(INTENTS).astype(np.float32).astype(np.float64).reshape(5, 6)
    features = data.features.astype(np.float64)
    scores = np.exp(features @ weights.T)
    rest = scores / scores.sum(axis=1, keepdims=True) - np.eye(5)[data.labels]
    factors = np.ones(len(features))
    for code in np.unique(customers):
        own = customers == code
        squared = ((features[own] @ features[own].T) * (rest[own] @ rest[own].T)).sum()
        factors[own] = min(1.0, bound / max(np.sqrt(max(squared, 0.0)), 1e-12))
    return ((factors[:, None] * rest).T @ features).reshape(-1)


@pytest.mark.parametrize("bound", [0.05, 0.3, 10.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_sum_is_that_of_each_customers_own_clipped_gradient(
    shape: HeadShape, bound: float
) -> None:
    data = rows(90, classes_of(shape))
    customers = np.random.default_rng(3).integers(0, 25, 90)

    total = opacus_sum(data, customers, shape, bound)

    # Opacus divides by the norm plus 1e-6, which takes at most 1e-6 off each contribution.
    expected = clipped_sum(row_gradients(data, shape), customers, bound)
    np.testing.assert_allclose(total, expected, atol=25 * 2e-6)


@pytest.mark.parametrize("bound", [0.05, 0.3, 10.0])
def test_the_linear_sum_is_the_closed_form(bound: float) -> None:
    data = rows(200, 5)
    customers = np.random.default_rng(3).integers(0, 60, 200)

    total = opacus_sum(data, customers, INTENTS, bound)

    expected = linear_closed_form(data, customers, bound)
    np.testing.assert_allclose(total, expected, atol=60 * 2e-6)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=8),
    shape=st.sampled_from(SHAPES),
    scale=st.sampled_from([0.1, 1.0, 30.0]),
)
def test_a_customer_who_comes_or_goes_moves_the_sum_by_at_most_the_bound(
    seed: int, sizes: list[int], shape: HeadShape, scale: float
) -> None:
    customers = np.repeat(np.arange(len(sizes)), sizes)
    data = rows(len(customers), classes_of(shape), seed)
    data = Rows(data.features * np.float32(scale), data.labels)
    whole = opacus_sum(data, customers, shape, BOUND)

    stay = customers != seed % len(sizes)
    rest = opacus_sum(data.at(stay), customers[stay], shape, BOUND)

    assert np.linalg.norm(whole - rest) <= BOUND * NORM_SLACK


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), size=st.integers(1, 6), shape=st.sampled_from(SHAPES))
def test_changed_rows_of_a_customer_count_as_one_who_leaves_and_one_who_comes(
    seed: int, size: int, shape: HeadShape
) -> None:
    data, other = rows(20, classes_of(shape), seed), rows(20, classes_of(shape), seed + 1)
    customers = np.concatenate([np.zeros(size, dtype=np.int64), np.arange(1, 21 - size)])
    mixed = Rows(data.features.copy(), data.labels.copy())
    mixed.features[:size], mixed.labels[:size] = other.features[:size], other.labels[:size]

    moved = opacus_sum(data, customers, shape, BOUND) - opacus_sum(mixed, customers, shape, BOUND)

    assert np.linalg.norm(moved) <= 2 * BOUND * NORM_SLACK


def test_clipping_by_record_breaks_the_customers_bound_on_the_same_rows() -> None:
    # The twin: five equal rows of one customer, each clipped on its own, add up to five bounds.
    one = rows(1, 5)
    data = Rows(np.repeat(one.features, 5, axis=0), np.repeat(one.labels, 5))
    by_record = ClippedGradients(build_module(INTENTS), data, 0.1).sum_at(weights_of(INTENTS))
    by_customer = opacus_sum(data, np.zeros(5, dtype=np.int64), INTENTS, 0.1)

    assert np.linalg.norm(by_record) == pytest.approx(0.5, rel=1e-3)
    assert np.linalg.norm(by_customer) == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_are_summed_over_a_customers_rows_and_not_averaged(shape: HeadShape) -> None:
    data = rows(5, classes_of(shape))

    total = opacus_sum(data, np.zeros(5, dtype=np.int64), shape, 1e9)

    np.testing.assert_allclose(total, row_gradients(data, shape).sum(axis=0), atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_filling_up_a_chunk_adds_nothing_to_a_gradient(shape: HeadShape) -> None:
    # One customer with a single row stands in a chunk with one of seven rows, so six are filled up;
    # the bias of a hidden layer's head would show a row without loss mask.
    data = rows(8, classes_of(shape))
    customers = np.array([0, *[1] * 7])
    [(_, chunk)] = customer_chunks(customers)
    assert (chunk == -1).sum() == 6

    together = opacus_sum(data, customers, shape, BOUND)

    parts = (
        opacus_sum(data.at(customers == c), customers[customers == c], shape, BOUND) for c in (0, 1)
    )
    np.testing.assert_allclose(together, sum(parts), atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_order_of_rows_and_the_codes_of_customers_do_not_matter(shape: HeadShape) -> None:
    data = rows(60, classes_of(shape))
    customers = np.random.default_rng(3).integers(0, 15, 60)
    order = np.random.default_rng(4).permutation(60)

    first = opacus_sum(data, customers, shape, BOUND)
    second = opacus_sum(data.at(order), 1000 - 7 * customers[order], shape, BOUND)

    np.testing.assert_allclose(first, second, atol=1e-11)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_customers_of_one_row_give_the_sum_of_records(shape: HeadShape) -> None:
    data = rows(300, classes_of(shape))

    total = opacus_sum(data, np.arange(300), shape, BOUND)

    records = ClippedGradients(build_module(shape), data, BOUND).sum_at(weights_of(shape))
    # float32 chunks of the records: see test_dp_sgd.
    np.testing.assert_allclose(total, records, atol=300 * BOUND * 2e-5)


def test_a_norm_that_nearly_cancels_is_still_right_where_float32_is_not() -> None:
    # 250 rows in pairs of opposite residuals leave a gradient a little longer than the bound.
    rng = np.random.default_rng(0)
    features = np.tile(rng.normal(size=(1, 6)), (250, 1)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    data = Rows(features, np.tile([0, 1], 125))
    customers = np.zeros(250, dtype=np.int64)
    gradients = CustomerGradients(build_module(CHURN), data, customers, 0.001)
    direction = features[0].astype(np.float64)

    total = gradients.sum_at(1e-4 * direction)  # true norm 250 * (sigmoid(1e-4) - 1/2) = 0.00625

    assert np.linalg.norm(total) <= 0.001 * NORM_SLACK
    assert np.linalg.norm(total) > 0.000998
    rest = (1 / (1 + np.exp(-1e-4 * features @ direction)) - data.labels).astype(np.float32)
    squared = ((features @ features.T) * np.outer(rest, rest)).sum()
    assert abs(float(np.sqrt(max(squared, 0.0))) / 0.00625 - 1) > 0.01


def test_every_row_is_in_one_chunk_and_chunks_are_bounded() -> None:
    customers = np.random.default_rng(0).zipf(1.5, 5000) % 400

    chunks = [rows for _, rows in customer_chunks(customers)]

    found = np.concatenate([chunk[chunk >= 0] for chunk in chunks])
    assert sorted(found.tolist()) == list(range(5000))
    assert all(len(chunk) == 1 or chunk.size <= 1024 for chunk in chunks)
    for chunk in chunks:
        assert all(len(set(customers[row[row >= 0]].tolist())) == 1 for row in chunk)


def test_only_the_customers_that_were_drawn_take_part() -> None:
    data, customers = rows(40, 5), np.repeat([7, 3, 9, 4], 10)
    sums = CustomerGradients(build_module(INTENTS), data, customers, BOUND)
    at = weights_of(INTENTS)

    drawn = sums.sum_at(at, np.array([False, True, True, False]))  # codes 3, 4, 7 and 9 in order

    kept = np.isin(customers, [4, 7])
    alone = CustomerGradients(build_module(INTENTS), data.at(kept), customers[kept], BOUND)
    assert sums.n_units == 4
    np.testing.assert_allclose(drawn, alone.sum_at(at), atol=1e-12)
    assert not sums.sum_at(at, np.zeros(4, dtype=np.bool_)).any()


def test_a_site_without_rows_adds_nothing() -> None:
    empty = rows(3, 5).at(np.array([], dtype=np.int64))

    assert not opacus_sum(empty, np.array([], dtype=np.int64), INTENTS, BOUND).any()


def test_class_sums_of_a_customer_are_clipped_over_all_classes_together() -> None:
    data = Rows(
        np.array([[0.6, 0.8], [0.6, 0.8], [1.0, 0.0], [0.3, 0.0]], dtype=np.float32),
        np.array([2, 2, 0, 1]),
    )

    sums = CustomerClassSums(data, np.array([7, 7, 7, 4]), 3, 1.0).sum_at(np.zeros(6))

    # By hand: customer 7 adds (1.2, 1.6) to class 2 and (1, 0) to class 0, together of norm sqrt 5.
    expected = np.array([[1.0, 0.0], [0.3 * 5**0.5, 0.0], [1.2, 1.6]]) / 5**0.5
    np.testing.assert_allclose(sums.reshape(3, 2), expected, atol=1e-7)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), sizes=st.lists(st.integers(1, 6), min_size=1, max_size=8))
def test_a_customer_who_comes_or_goes_moves_the_class_sums_by_at_most_the_bound(
    seed: int, sizes: list[int]
) -> None:
    customers = np.repeat(np.arange(len(sizes)), sizes)
    data = rows(len(customers), 5, seed)
    stay = customers != seed % len(sizes)

    whole = CustomerClassSums(data, customers, 5, 1.0).sum_at(np.zeros(30))
    rest = CustomerClassSums(data.at(stay), customers[stay], 5, 1.0).sum_at(np.zeros(30))

    assert np.linalg.norm(whole - rest) <= 1.0 + 1e-9


def test_class_sums_by_record_break_the_customers_bound() -> None:
    data = Rows(np.array([[1.0, 0.0]] * 5, dtype=np.float32), np.zeros(5, dtype=np.int64))

    assert np.linalg.norm(ClassSums(data, 2, 1.0).sum_at(np.zeros(4))) == pytest.approx(5.0)
    customers = np.zeros(5, dtype=np.int64)
    assert np.linalg.norm(CustomerClassSums(data, customers, 2, 1.0).sum_at(np.zeros(4))) <= 1.0


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan")])
def test_a_bound_that_is_not_positive_is_refused(bound: float) -> None:
    data, customers = rows(3, 5), np.arange(3)
    with pytest.raises(ValueError, match="max_grad_norm"):
        CustomerGradients(build_module(INTENTS), data, customers, bound)
    with pytest.raises(ValueError, match="max_norm"):
        CustomerClassSums(data, customers, 5, bound)


def test_rows_without_a_code_each_are_refused() -> None:
    with pytest.raises(ValueError, match="one customer code per row"):
        CustomerGradients(build_module(INTENTS), rows(3, 5), np.arange(2), 1.0)
    with pytest.raises(ValueError, match="one customer code per row"):
        CustomerClassSums(rows(3, 5), np.arange(2), 5, 1.0)
