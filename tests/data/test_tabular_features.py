"""Rows become vectors of norm at most 1 by a recipe that no data can change."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcc.data.fourier_features import FourierShape
from fedcc.data.gates import Table
from fedcc.data.spec import DataSpec
from fedcc.data.tabular_features import TabularEncoding

# Each coordinate is rounded to float32 with a relative error of at most 2**-24, and so is the norm.
NORM_BOUND = 1 + 2.0**-24

Make = Callable[..., DataSpec]

FOURIER = FourierShape(features=16, columns=2, scale=1.0, share=0.7, seed=1)


def table_of(numbers: dict[str, list[float]], categories: dict[str, list[int]]) -> Table:
    n_rows = len(next(iter([*numbers.values(), *categories.values()])))
    return Table(
        source="made.csv",
        row=np.arange(1, n_rows + 1),
        numbers={name: np.array(values) for name, values in numbers.items()},
        categories={name: np.array(codes) for name, codes in categories.items()},
        texts={},
        from_test_file=np.zeros(n_rows, dtype=np.bool_),
    )


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(
    values=st.lists(finite, min_size=1, max_size=20),
    edges=st.tuples(finite, finite).filter(lambda e: 0 < e[1] - e[0] < math.inf),
    hinges=st.sampled_from([0, 1, 8, 33]),
    fourier=st.sampled_from([None, FOURIER]),
    codes=st.lists(st.integers(0, 2), min_size=20, max_size=20),
)
@settings(deadline=None, max_examples=60)
def test_no_row_is_longer_than_one(
    values: list[float],
    edges: tuple[float, float],
    hinges: int,
    fourier: FourierShape | None,
    codes: list[int],
) -> None:
    low, high = edges
    encoding = TabularEncoding(
        (("a", low, high), ("b", low, high)), (("c", ("x", "y", "z")),), hinges, fourier
    )
    clipped = np.clip(values, low, high).tolist()
    table = table_of({"a": clipped, "b": clipped[::-1]}, {"c": codes[: len(values)]})

    features = encoding.encode(table)

    assert features.dtype == np.float32
    assert features.shape == (len(values), len(encoding.feature_names))
    assert np.linalg.norm(features.astype(np.float64), axis=1).max() <= NORM_BOUND


@pytest.mark.parametrize("hinges", [0, 8])
def test_the_bound_is_reached_where_every_number_lies_at_a_bound(hinges: int) -> None:
    encoding = TabularEncoding((("a", 0, 72),), (("c", ("x", "y")),), hinges)

    features = encoding.encode(table_of({"a": [0.0, 72.0]}, {"c": [0, 1]}))

    norms = np.linalg.norm(features.astype(np.float64), axis=1)
    np.testing.assert_allclose(norms, 1, rtol=2.0**-24)


def test_plain_features_are_scaled_numbers_one_hot_categories_and_a_constant() -> None:
    encoding = TabularEncoding((("a", 0, 72),), (("c", ("x", "y", "z")),), 0)

    features = encoding.encode(table_of({"a": [0.0, 36.0, 72.0]}, {"c": [2, 0, 1]}))

    # Two columns and the constant, so everything is divided by the square root of 3.
    rows = [[-1, 0, 0, 1, 1], [0, 1, 0, 0, 1], [1, 0, 1, 0, 1]]
    np.testing.assert_allclose(features * math.sqrt(3), rows, atol=1e-6)


@given(value=st.floats(-5, 40), hinges=st.integers(1, 12))
@settings(deadline=None, max_examples=60)
def test_hinges_are_the_filled_share_of_each_piece(value: float, hinges: int) -> None:
    low, high = -5.0, 40.0
    encoding = TabularEncoding((("a", low, high),), (), hinges)

    features = encoding.encode(table_of({"a": [value]}, {}))[0]

    width = (high - low) / hinges
    for k in range(hinges):
        start = low + k * width
        filled = min(max((value - start) / width, 0.0), 1.0)
        expected = (2 * filled - 1) / math.sqrt(hinges) / math.sqrt(2)
        assert features[k] == pytest.approx(expected, abs=1e-6)
    assert features[hinges] == pytest.approx(1 / math.sqrt(2))


def test_a_row_is_encoded_alike_whatever_rows_stand_beside_it() -> None:
    encoding = TabularEncoding((("a", 0, 72),), (("c", ("x", "y")),), 8)

    alone = encoding.encode(table_of({"a": [7.0]}, {"c": [1]}))
    among = encoding.encode(table_of({"a": [7.0, 0.0, 72.0]}, {"c": [1, 0, 0]}))

    np.testing.assert_array_equal(alone[0], among[0])


def test_cosines_follow_the_columns_which_keep_their_share_of_the_norm() -> None:
    columns = (("a", 0.0, 72.0),), (("c", ("x", "y", "z")),)
    rows = table_of({"a": [0.0, 30.0]}, {"c": [2, 0]})

    plain = TabularEncoding(*columns, 0).encode(rows)
    both = TabularEncoding(*columns, 0, FOURIER).encode(rows)

    np.testing.assert_allclose(both[:, :5], plain * math.sqrt(1 - 0.7), rtol=1e-6)
    assert both.shape == (2, 5 + 16)
    assert np.all(np.square(both[:, 5:]).sum(axis=1) <= 0.7)


def test_the_recipe_is_read_off_the_yaml_in_its_order(make_spec: Make) -> None:
    encoding = TabularEncoding.from_spec(make_spec(), hinges=0)

    assert encoding.numbers == (("tenure", 0.0, 72.0),)
    assert encoding.categories == (("plan", ("basic", "gold")),)
    assert encoding.feature_names == ("tenure", "plan = basic", "plan = gold", "constant")


def test_hinge_features_are_named_by_where_they_begin(make_spec: Make) -> None:
    names = TabularEncoding.from_spec(make_spec(), hinges=3).feature_names

    assert names[:3] == ("tenure from 0", "tenure from 24", "tenure from 48")


def test_texts_that_share_a_code_share_a_feature(make_spec: Make) -> None:
    plan = {"role": "feature", "kind": "category", "values": {"a": 0, "b": 1, "c": 1}}

    encoding = TabularEncoding.from_spec(make_spec(columns={"plan": plan}), hinges=0)

    assert encoding.categories == (("plan", ("a", "b")),)


def test_labels_customers_and_groups_are_no_features(make_spec: Make) -> None:
    columns = {"region": {"role": "group", "kind": "category", "values": ["n", "s"]}}

    names = TabularEncoding.from_spec(make_spec(columns=columns), hinges=0).feature_names

    assert not any(word in name for name in names for word in ("churn", "customer", "region"))


def test_the_fingerprint_names_the_recipe(make_spec: Make) -> None:
    plain = TabularEncoding.from_spec(make_spec(), 0)
    wider = {"tenure": {"role": "feature", "kind": "number", "bounds": [0, 73]}}
    gold = {"plan": {"role": "feature", "kind": "category", "values": ["gold", "basic"]}}
    others = [
        TabularEncoding.from_spec(make_spec(), 8),
        TabularEncoding.from_spec(make_spec(), 0, FOURIER),
        TabularEncoding.from_spec(make_spec(), 0, dataclasses.replace(FOURIER, seed=2)),
        TabularEncoding.from_spec(make_spec(columns=wider), 0),
        TabularEncoding.from_spec(make_spec(columns=gold), 0),
    ]

    assert plain.fingerprint == TabularEncoding.from_spec(make_spec(name="other"), 0).fingerprint
    assert len({plain.fingerprint, *(other.fingerprint for other in others)}) == 6
