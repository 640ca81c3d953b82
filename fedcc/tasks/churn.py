"""The churn task: is this customer about to leave?

A binary label, scored by one logit; the simulator's metric is the area under the ROC curve.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedcc.data.spec import DataSpec
from fedcc.errors import ConfigError
from fedcc.tasks.metrics import roc_auc


@dataclass(frozen=True)
class ChurnTask:
    """Churn as a `fedcc.tasks.task.Task`."""

    name: Literal["churn"] = "churn"
    metric: str = "auc"

    def check(self, spec: DataSpec) -> None:
        """Refuse a data YAML without features, or whose label is not binary.

        Raises:
            ConfigError: names the key.
        """
        if not spec.with_role("feature"):
            raise ConfigError(
                f"data.columns: churn needs columns with role: feature, '{spec.name}' has none. "
                "Declare them, or choose task=intent."
            )
        codes = set(spec.columns[spec.label].codes.values())
        if codes != {0, 1}:
            raise ConfigError(
                f"data.columns.{spec.label}: churn needs a label with two classes, 0 and 1; "
                f"the YAML declares {len(codes)}."
            )

    def n_outputs(self, spec: DataSpec) -> int:
        """Return 1: the logit of class 1."""
        return 1

    def utility(self, scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float | None:
        """Return the area under the ROC curve, or `None` if only one class is present."""
        return roc_auc(scores[:, 0], labels)


CHURN = ChurnTask()
