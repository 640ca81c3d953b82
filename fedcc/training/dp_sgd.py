"""Sums of clipped per-example gradients by Opacus' ghost clipping, and sums of features by class.

Opacus only computes and clips: float32 chunks of at most 256 rows, added up in float64. Noise is
added elsewhere. The L2 sensitivity of the returned sum to one example is taken as `max_grad_norm *
NORM_SLACK`. The slack covers the rounding of float32 norms and of the float32 chunk sums, whose
borders move when a row comes or goes: measured at 2e-4 of the bound for 512,000 rows at a site and
growing with the square root of their number.
"""

import warnings
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from torch import nn

from fedcc.models.heads import load_flat

CHUNK_ROWS = 256
NORM_SLACK = 1.001  # sensitivity C (1 + 1e-3), see above


class HasExamples(Protocol):
    """Features and labels as arrays of equal length, and the number of the model's outputs."""

    @property
    def features(self) -> NDArray[np.float32]:
        """Features, shape `(n, d)`."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Codes 0, 1, … of the labels, shape `(n,)`."""


class PrivateSum(Protocol):
    """A sum over a site's examples to which each example adds a vector of bounded L2 norm."""

    def sum_at(self, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum at a model, both of shape `(n_params,)`, float64."""


class ClippedGradients:
    """Computes clipped gradient sums of one site's examples for one model shape."""

    def __init__(self, module: nn.Module, examples: HasExamples, max_grad_norm: float) -> None:
        """Wrap the module for ghost clipping.

        Args:
            module: see `fedcc.models.heads`; one logit for binary labels, K for K classes. It is
                changed at every call.
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
        self._loss = row_losses(module)
        labels = torch.from_numpy(examples.labels)
        self._features = torch.split(torch.from_numpy(examples.features), CHUNK_ROWS)
        self._labels = torch.split(labels, CHUNK_ROWS)

    def sum_at(self, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum of clipped per-example gradients of the logistic or softmax loss.

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
        losses = self._loss(clipper(features), labels)
        clipper.enable_hooks()
        torch.autograd.backward(losses.sum(), retain_graph=True)
        weights = clipper.get_clipping_coef().detach()
        clipper.zero_grad(set_to_none=True)
        clipper.disable_hooks()
        torch.autograd.backward((weights * losses).sum())
        clipper.enable_hooks()
        parts = []
        for parameter in self._module.parameters():
            if parameter.grad is None:
                raise ValueError("a parameter received no gradient")
            parts.append(parameter.grad.reshape(-1).numpy().astype(np.float64))
        return np.concatenate(parts)


def row_losses(module: nn.Module) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return the loss of each row for a head: logistic for one output, else softmax."""
    binary = list(module.parameters())[-1].shape[0] == 1
    return _binary_losses if binary else _class_losses


def _binary_losses(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the logistic loss of each row; scores have shape `(n, 1)`."""
    return nn.functional.binary_cross_entropy_with_logits(
        scores.squeeze(-1), labels.to(scores.dtype), reduction="none"
    )


def _class_losses(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the softmax cross-entropy of each row; scores have shape `(n, n_classes)`."""
    return nn.functional.cross_entropy(scores, labels, reduction="none")


class ClassSums:
    """Sums of clipped features by class: one release of them is a whole training."""

    def __init__(self, examples: HasExamples, n_classes: int, max_norm: float) -> None:
        """Compute the sums once; they do not depend on a model.

        Args:
            examples: the site's training rows.
            n_classes: public number of classes.
            max_norm: L2 bound on each example's features, > 0. An example adds its clipped features
                to the sum of its class alone, so the sensitivity of all sums together is `max_norm`
                under adding or removing a row.

        Raises:
            ValueError: if `max_norm` is not positive.
        """
        if not max_norm > 0:
            raise ValueError(f"max_norm must be > 0, got {max_norm}")
        features = examples.features.astype(np.float64)
        norms = np.linalg.norm(features, axis=1, keepdims=True)
        features = features * np.minimum(1.0, max_norm / np.maximum(norms, 1e-12))
        self._sums = np.zeros((n_classes, features.shape[1]))
        np.add.at(self._sums, examples.labels, features)

    def sum_at(self, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the class sums, shape `(n_classes * n_features,)`, whatever the model."""
        return self._sums.reshape(-1).copy()
