"""Profile columns as bounded feature vectors; every bound comes from the YAML, none from data.

Each row becomes a vector with L2 norm at most 1: numbers are scaled to [-1, 1] (or written as
piecewise-linear hinges), categories are one-hot, a constant 1 is added, and the whole is divided by
the square root of the number of columns plus one. Random cosines of the same columns may follow:
then both parts are scaled so that their squared norms add up to at most 1.
"""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcc.data.fourier_features import FourierShape, fourier_features
from fedcc.data.gates import Table
from fedcc.data.spec import DataSpec


@dataclass(frozen=True)
class TabularEncoding:
    """The public recipe from columns to features; equal at every site and kept with the model."""

    numbers: tuple[tuple[str, float, float], ...]  # name, low, high
    categories: tuple[tuple[str, tuple[str, ...]], ...]  # name, labels of the codes
    hinges: int  # piecewise-linear pieces per number; 0 for the plain scaled value
    fourier: FourierShape | None = None  # random cosines beside the columns

    @classmethod
    def from_spec(
        cls, spec: DataSpec, hinges: int, fourier: FourierShape | None = None
    ) -> "TabularEncoding":
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
        return cls(tuple(numbers), tuple(categories), hinges, fourier)  # type: ignore[arg-type]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features in order; the constant is the last that is no cosine."""
        names = []
        for name, low, high in self.numbers:
            if self.hinges:
                width = (high - low) / self.hinges
                names += [f"{name} from {low + k * width:g}" for k in range(self.hinges)]
            else:
                names.append(name)
        for name, labels in self.categories:
            names += [f"{name} = {label}" for label in labels]
        cosines = range(1, self.fourier.features + 1) if self.fourier else ()
        return (*names, "constant", *(f"cosine {number}" for number in cosines))

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
        recipe: list[object] = [self.numbers, self.categories, self.hinges]
        if self.fourier is not None:
            recipe.append(dataclasses.asdict(self.fourier))
        text = json.dumps(recipe)
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
        one_hot = [np.eye(len(labels))[table.categories[name]] for name, labels in self.categories]
        blocks += [*one_hot, np.ones((table.n_rows, 1))]
        norm = math.sqrt(len(self.numbers) + len(self.categories) + 1)
        plain = np.hstack(blocks) / norm
        if self.fourier is None:
            return plain.astype(np.float32)
        cosines = math.sqrt(self.fourier.share) * self._cosines(table, one_hot, self.fourier)
        plain *= math.sqrt(1 - self.fourier.share)
        return np.hstack([plain, cosines]).astype(np.float32)

    def _cosines(
        self, table: Table, one_hot: list[NDArray[np.float64]], shape: FourierShape
    ) -> NDArray[np.float64]:
        """Return the random cosines of all rows, shape `(n_rows, shape.features)`, norm <= 1."""
        scaled = [
            2 * np.clip((table.numbers[name] - low) / (high - low), 0.0, 1.0)[:, None] - 1
            for name, low, high in self.numbers
        ]
        columns = [*scaled, *one_hot]
        widths = tuple(column.shape[1] for column in columns)
        return fourier_features(np.hstack(columns), widths, shape)
