"""The intent task: what does the caller want?

Free text, one of K classes, scored by K logits; the simulator's metric is accuracy.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedcc.data.spec import DataSpec
from fedcc.errors import ConfigError
from fedcc.tasks.metrics import accuracy


@dataclass(frozen=True)
class IntentTask:
    """Intent as a `fedcc.tasks.task.Task`."""

    name: Literal["intent"] = "intent"
    metric: str = "accuracy"

    def check(self, spec: DataSpec) -> None:
        """Refuse a data YAML without text, or with fewer than two classes.

        Raises:
            ConfigError: names the key.
        """
        if not spec.with_role("text"):
            raise ConfigError(
                f"data.columns: intent needs a column with role: text, '{spec.name}' has none. "
                "Declare it, or choose task=churn."
            )
        if self.n_outputs(spec) < 2:
            raise ConfigError(
                f"data.columns.{spec.label}: intent needs at least two classes; the YAML declares "
                "one."
            )

    def n_outputs(self, spec: DataSpec) -> int:
        """Return the number of classes."""
        return len(set(spec.columns[spec.label].codes.values()))

    def utility(self, scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float | None:
        """Return the accuracy of the class with the largest logit."""
        return accuracy(scores, labels)


INTENT = IntentTask()
