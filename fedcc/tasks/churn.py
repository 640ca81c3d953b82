"""The churn task: is this customer about to leave?

A binary label, scored by one logit; the simulator's metric is the area under the ROC curve.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcc.data.gates import Table
from fedcc.data.spec import DataSpec
from fedcc.data.tabular_features import TabularEncoding
from fedcc.errors import ConfigError

METRIC = "auc"
PURPOSE = "churn"


@dataclass(frozen=True)
class Examples:
    """What a model trains on: features, shape `(n, d)`, float32, and labels, shape `(n,)`."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.labels)


def check(spec: DataSpec) -> None:
    """Refuse a data YAML whose label is not binary.

    Raises:
        ConfigError: names the label column.
    """
    codes = set(spec.columns[spec.label].codes.values())
    if codes != {0, 1}:
        raise ConfigError(
            f"data.columns.{spec.label}: churn needs a label with two classes, 0 and 1; "
            f"the YAML declares {len(codes)}."
        )


def class_names(spec: DataSpec) -> tuple[str, str]:
    """Return the names of class 0 and class 1."""
    names: dict[int, str] = {}
    for text, code in spec.columns[spec.label].codes.items():
        names.setdefault(code, text)
    return names[0], names[1]


def examples(table: Table, spec: DataSpec, encoding: TabularEncoding) -> Examples:
    """Encode admitted rows for training or scoring."""
    return Examples(encoding.encode(table), table.categories[spec.label])
