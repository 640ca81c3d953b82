"""Sums of clipped per-example gradients, computed and clipped by Opacus' ghost clipping.

Opacus only computes and clips: float32 chunks of at most 256 rows, added up in float64. Noise is
added elsewhere. The L2 sensitivity of the returned sum to one example is taken as `max_grad_norm *
NORM_SLACK`. The slack covers the rounding of float32 norms and of the float32 chunk sums, whose
borders move when a row comes or goes: measured at 2e-4 of the bound for 512,000 rows at a site and
growing with the square root of their number.
"""

import warnings
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from torch import nn

from fedcc.models.tabular import load_flat

CHUNK_ROWS = 256
NORM_SLACK = 1.001  # sensitivity C (1 + 1e-3), see above


class HasExamples(Protocol):
    """Features and labels as arrays of equal length."""

    @property
    def features(self) -> NDArray[np.float32]:
        """Features, shape `(n, d)`."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels 0 or 1, shape `(n,)`."""


class ClippedGradients:
    """Computes clipped gradient sums of one site's examples for one model shape."""

    def __init__(self, module: nn.Module, examples: HasExamples, max_grad_norm: float) -> None:
        """Wrap the module for ghost clipping.

        Args:
            module: one logit per row, see `fedcc.models.tabular`; it is changed at every call.
            examples: the site's training rows.
            max_grad_norm: L2 bound C on each example's gradient, > 0.

        Raises:
            ValueError: if `max_grad_norm` is not positive.
        """
        if not max_grad_norm > 0:
            raise ValueError(f"max_grad_norm must be > 0, got {max_grad_norm}")
        self._module = module
        self._clipper = GradSampleModuleFastGradientClipping(
            module,
            max_grad_norm=max_grad_norm,
            use_ghost_clipping=True,
            loss_reduction="sum",
        )
        self._loss = nn.BCEWithLogitsLoss(reduction="none")
        labels = torch.from_numpy(examples.labels.astype(np.float32))
        self._features = torch.split(torch.from_numpy(examples.features), CHUNK_ROWS)
        self._labels = torch.split(labels, CHUNK_ROWS)

    def sum_at(self, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum of clipped per-example gradients of the logistic loss.

        Args:
            parameters: where the gradient is taken, shape `(n_params,)`.

        Returns:
            float64, shape `(n_params,)`; not divided by anything.

        Source: Li et al., "Large Language Models Can Be Strong Differentially Private Learners",
        2022, section 4 (ghost clipping), as implemented by Opacus.
        """
        load_flat(self._module, parameters)
        total = np.zeros(parameters.size)
        with warnings.catch_warnings():
            # The inputs need no gradient, so torch remarks that a full backward hook sees none.
            warnings.filterwarnings("ignore", message="Full backward hook is firing")
            for features, labels in zip(self._features, self._labels, strict=True):
                total += self._chunk_sum(features, labels)
        return total

    def _chunk_sum(self, features: torch.Tensor, labels: torch.Tensor) -> NDArray[np.float64]:
        """Clip one chunk: the first backward pass gives the norms, the second the weighted sum."""
        clipper = self._clipper
        clipper.zero_grad(set_to_none=True)
        losses = self._loss(clipper(features).squeeze(-1), labels)
        clipper.enable_hooks()
        losses.sum().backward(retain_graph=True)
        weights = clipper.get_clipping_coef().detach()
        clipper.zero_grad(set_to_none=True)
        clipper.disable_hooks()
        (weights * losses).sum().backward()
        clipper.enable_hooks()
        parts = []
        for parameter in self._module.parameters():
            if parameter.grad is None:
                raise ValueError("a parameter received no gradient")
            parts.append(parameter.grad.reshape(-1).numpy().astype(np.float64))
        return np.concatenate(parts)
