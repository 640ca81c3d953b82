"""Profile columns as bounded feature vectors; every bound comes from the YAML, none from data.

Each row becomes a vector with L2 norm at most 1: numbers are scaled to [-1, 1] (or written as
piecewise-linear hinges), categories are one-hot, a constant 1 is added, and the whole is divided by
the square root of the number of columns plus one.
"""

import hashlib
import json
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcc.data.gates import Table
from fedcc.data.spec import DataSpec


@dataclass(frozen=True)
class TabularEncoding:
    """The public recipe from columns to features; equal at every site and kept with the model."""

    numbers: tuple[tuple[str, float, float], ...]  # name, low, high
    categories: tuple[tuple[str, tuple[str, ...]], ...]  # name, labels of the codes
    hinges: int  # piecewise-linear pieces per number; 0 for the plain scaled value

    @classmethod
    def from_spec(cls, spec: DataSpec, hinges: int) -> "TabularEncoding":
        """Read the recipe off the data YAML."""
        numbers, categories = [], []
        for name in spec.with_role("feature"):
            column = spec.columns[name]
            if column.kind == "number" and column.bounds is not None:
                numbers.append((name, *map(float, column.bounds)))
            else:
                labels: dict[int, str] = {}
                for text, code in column.codes.items():
                    labels.setdefault(code, text)
                categories.append((name, tuple(labels[code] for code in sorted(labels))))
        return cls(tuple(numbers), tuple(categories), hinges)  # type: ignore[arg-type]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features in order; the last one is the constant."""
        names = []
        for name, low, high in self.numbers:
            if self.hinges:
                width = (high - low) / self.hinges
                names += [f"{name} from {low + k * width:g}" for k in range(self.hinges)]
            else:
                names.append(name)
        for name, labels in self.categories:
            names += [f"{name} = {label}" for label in labels]
        return (*names, "constant")

    @property
    def n_features(self) -> int:
        """Width of the features."""
        return len(self.feature_names)

    @property
    def label_features(self) -> None:
        """Nothing: a churn label has no words to begin at."""
        return None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the recipe."""
        text = json.dumps([self.numbers, self.categories, self.hinges])
        return hashlib.sha256(text.encode()).hexdigest()

    def encode(self, table: Table, owner: str = "") -> NDArray[np.float32]:
        """Return the features of all rows, shape `(n_rows, n_features)`, L2 norm at most 1.

        Args:
            table: admitted rows.
            owner: whose rows these are; not needed here.

        Source of the hinge basis: additive piecewise-linear models, e.g. Hastie and Tibshirani,
        "Generalized Additive Models", 1990.
        """
        blocks = []
        for name, low, high in self.numbers:
            unit = np.clip((table.numbers[name] - low) / (high - low), 0.0, 1.0)
            if self.hinges:
                pieces = unit[:, None] * self.hinges - np.arange(self.hinges)
                blocks.append((2 * np.clip(pieces, 0.0, 1.0) - 1) / math.sqrt(self.hinges))
            else:
                blocks.append((2 * unit - 1)[:, None])
        for name, labels in self.categories:
            blocks.append(np.eye(len(labels))[table.categories[name]])
        blocks.append(np.ones((table.n_rows, 1)))
        norm = math.sqrt(len(self.numbers) + len(self.categories) + 1)
        return (np.hstack(blocks) / norm).astype(np.float32)
