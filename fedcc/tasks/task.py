"""What a task is: a target, a metric, and features that fit it.

A task turns admitted rows into examples by a public recipe; everything that the recipe needs is in
the data YAML, the encoder or the plan, and nothing is fitted on rows of a site.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fedcc.data.customers import customer_codes
from fedcc.data.gates import Table
from fedcc.data.spec import DataSpec

TaskName = Literal["churn", "intent"]


@dataclass(frozen=True)
class Examples:
    """What a model trains on: features, shape `(n, d)`, float32, and labels, shape `(n,)`.

    `customers` holds a code per row, shape `(n,)`, equal for rows of one customer, where the
    customer is the protected unit. It never leaves the site.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    customers: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.labels)


class FeatureRecipe(Protocol):
    """The public recipe from rows to features of L2 norm at most 1; equal at every site."""

    @property
    def n_features(self) -> int:
        """Width of the features."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names for the model card; empty where features have none."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that decides the features; part of the plan."""

    @property
    def label_features(self) -> NDArray[np.float64] | None:
        """Features of the labels' names, shape `(n_classes, n_features)`, or `None`."""

    def encode(self, table: Table, owner: str) -> NDArray[np.float32]:
        """Return the features of all rows; `owner` names the site whose cache may be used."""


class Task(Protocol):
    """One of the tasks that fedcc trains."""

    @property
    def name(self) -> TaskName:
        """Name; also the purpose that plans and ledgers carry."""

    @property
    def metric(self) -> str:
        """Name of the simulator's metric, a fraction."""

    def check(self, spec: DataSpec) -> None:
        """Raise a `ConfigError` that names the key if the data YAML does not fit the task."""

    def n_outputs(self, spec: DataSpec) -> int:
        """Return the number of outputs of the model."""

    def utility(self, scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float | None:
        """Return the metric of logits, shape `(n, n_outputs)`, or `None` where undefined."""


def examples(table: Table, spec: DataSpec, recipe: FeatureRecipe, owner: str) -> Examples:
    """Encode admitted rows for training or testing."""
    features, labels = recipe.encode(table, owner), table.categories[spec.label]
    return Examples(features, labels, customer_codes(table, spec))
