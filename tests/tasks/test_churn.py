"""Churn takes binary labels only, and hands features and labels on in the order of the rows."""

import copy
from typing import Any

import numpy as np
import pytest

from fedcc import config
from fedcc.data.gates import Table
from fedcc.data.spec import DataSpec
from fedcc.data.tabular_features import TabularEncoding
from fedcc.errors import ConfigError
from fedcc.tasks.churn import CHURN
from fedcc.tasks.task import examples

VALUES: dict[str, Any] = {
    "name": "calls",
    "source": dict.fromkeys(("path", "file", "package", "item"))
    | {"kind": "csv", "encoding": "utf-8", "delimiter": ","},
    "public_rows": 100,
    "test": {"kind": "hash", "fraction": 0.25, "path": None, "column": None, "value": None},
    "consent": None,
    "drop_rows": {"duplicates": False, "multi_label": "drop"},
    "sites": None,
    "out_of_bounds": "error",
    "columns": {"tenure": {"role": "feature", "kind": "number", "bounds": [0, 72]}},
}


def spec_with(label: object) -> DataSpec:
    values = copy.deepcopy(VALUES)
    values["columns"]["left"] = {"role": "label", "values": label}
    return config.build(DataSpec, values, "data")


@pytest.mark.parametrize(
    ("label", "names"),
    [
        (["stays", "leaves"], ("stays", "leaves")),
        ({"leaves": 1, "stays": 0}, ("stays", "leaves")),
        ([0, 1], ("0", "1")),
        ({"No": 0, "Yes": 1, "Moved": 1}, ("No", "Yes")),
    ],
)
def test_a_binary_label_gives_the_names_of_both_classes(
    label: object, names: tuple[str, str]
) -> None:
    spec = spec_with(label)

    CHURN.check(spec)

    assert spec.class_names == names


@pytest.mark.parametrize(("label", "n_classes"), [(["Yes"], 1), (["a", "b", "c"], 3)])
def test_any_other_number_of_classes_is_refused_by_the_label_column(
    label: object, n_classes: int
) -> None:
    with pytest.raises(ConfigError, match=f"data.columns.left: .* declares {n_classes}"):
        CHURN.check(spec_with(label))


def test_examples_pair_the_features_of_a_row_with_its_label() -> None:
    spec = spec_with(["stays", "leaves"])
    table = Table(
        source="calls.csv",
        row=np.array([1, 2, 3]),
        numbers={"tenure": np.array([0.0, 72.0, 36.0])},
        categories={"left": np.array([1, 0, 1])},
        texts={},
        from_test_file=np.zeros(3, dtype=np.bool_),
    )

    rows = examples(table, spec, TabularEncoding.from_spec(spec, 0), "site-1")

    assert len(rows) == 3
    assert np.sign(rows.features[:, 0]).tolist() == [-1, 1, 0]
    assert rows.labels.tolist() == [1, 0, 1]
