"""Sums of clipped per-example gradients by Opacus' ghost clipping, and sums of features by class.

Opacus only computes and clips: float32 chunks of at most 256 rows, added up in float64. A linear
head takes Opacus' norm of each example and skips autograd over its weights, which would build the
unclipped sum first only to throw it away. Noise is added elsewhere. The L2 sensitivity of the
returned sum to one example is taken as `max_grad_norm * NORM_SLACK`. The slack covers the rounding
of float32 norms and of the float32 chunk sums, whose borders move when a row comes or goes. With
512,000 rows at a site it was measured at 9e-5 of the bound for random rows and at 1.7e-3 for rows
that all point one way; it is hardly ever along the row that came or went, so that even there the
two sums differed by 1.0001 bounds. It grows with the square root of the number of rows.
"""

import warnings
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.grad_sample.linear import compute_linear_norm_sample
from torch import nn

from fedcc.models.heads import load_flat
from fedcc.training.admission import check_draw, check_module

CHUNK_ROWS = 256  # added up in float32
GROUP_ROWS = 4096  # of a linear head, scored at once: nothing is added up across them
NORM_FLOOR = 1e-6  # added to norms, as Opacus does: a gradient of zero stays zero
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
    """A sum over a site's protection units to which each unit adds a vector of bounded L2 norm."""

    @property
    def n_units(self) -> int:
        """Number of protection units: what neighbouring data sets differ by one of."""

    def sum_at(
        self, parameters: NDArray[np.float64], drawn: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """Return the sum at a model, both of shape `(n_params,)`, float64.

        Args:
            parameters: of the model.
            drawn: which units take part, shape `(n_units,)`; `None` for all of them. No unit at all
                gives zeros.
        """


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
            ConfigError: if the module mixes examples, or Opacus cannot clip it.
        """
        if not max_grad_norm > 0:
            raise ValueError(f"max_grad_norm must be > 0, got {max_grad_norm}")
        check_module(module, examples.features.shape[1])
        self._module = module
        self._clipper = GradSampleModuleFastGradientClipping(
            module,
            max_grad_norm=max_grad_norm,
            use_ghost_clipping=True,
            loss_reduction="sum",
        )
        self._loss = row_losses(module)
        self._max_grad_norm = max_grad_norm
        self._features = torch.from_numpy(examples.features)
        self._labels = torch.from_numpy(examples.labels)
        self._lengths = torch.linalg.vector_norm(self._features, dim=1, keepdim=True)

    @property
    def n_units(self) -> int:
        """Number of examples: the protection unit is the record."""
        return len(self._labels)

    def sum_at(
        self, parameters: NDArray[np.float64], drawn: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """Return the sum of clipped per-example gradients of the logistic or softmax loss.

        Args:
            parameters: where the gradient is taken, shape `(n_params,)`.
            drawn: which examples take part, shape `(n_units,)`; `None` for all.

        Returns:
            float64, shape `(n_params,)`; not divided by anything.

        Raises:
            ValueError: if the draw is not a yes or no for each example.

        Source: Li et al., "Large Language Models Can Be Strong Differentially Private Learners",
        2022, section 4 (ghost clipping), as implemented by Opacus.
        """
        load_flat(self._module, parameters)
        total = np.zeros(parameters.size)
        linear = isinstance(self._module, nn.Linear) and self._module.bias is None
        add = self._add_linear if linear else self._add_any
        rows = GROUP_ROWS if linear else CHUNK_ROWS
        columns = (self._features, self._lengths, self._labels)
        if drawn is not None:
            check_draw(drawn, self.n_units)
            chosen = torch.from_numpy(np.flatnonzero(drawn))
            columns = (self._features[chosen], self._lengths[chosen], self._labels[chosen])
        with warnings.catch_warnings():
            # The inputs need no gradient, so torch remarks that a full backward hook sees none.
            warnings.filterwarnings("ignore", message="Full backward hook is firing")
            for features, lengths, labels in zip(
                *(torch.split(column, rows) for column in columns), strict=True
            ):
                if len(labels):
                    add(features, lengths, labels, total)
        return total

    def _add_linear(
        self,
        features: torch.Tensor,
        lengths: torch.Tensor,
        labels: torch.Tensor,
        total: NDArray[np.float64],
    ) -> None:
        """Add the clipped gradients of a linear head to `total`, shape `(n_params,)`.

        The gradient of an example is the outer product of what its loss asks of the scores and its
        features, so its clipped sum is one product once the norms are known. They depend on the
        features by their lengths alone, which are the same in every round.
        """
        layer = self._module
        with torch.no_grad():
            scores = layer(features)
        scores.requires_grad_()
        [asked] = torch.autograd.grad(self._loss(scores, labels).sum(), scores)
        norms = compute_linear_norm_sample(layer, [lengths], asked)[layer.weight]
        weighted = asked * (self._max_grad_norm / (norms + NORM_FLOOR)).clamp(max=1.0)[:, None]
        for start in range(0, len(labels), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            total += (weighted[rows].T @ features[rows]).reshape(-1).numpy()

    def _add_any(
        self,
        features: torch.Tensor,
        lengths: torch.Tensor,
        labels: torch.Tensor,
        total: NDArray[np.float64],
    ) -> None:
        """Add the clipped gradients of one chunk of any head to `total`, shape `(n_params,)`."""
        add_clipped(self._clipper, lambda: self._loss(self._clipper(features), labels), total)


def add_clipped(
    clipper: GradSampleModuleFastGradientClipping,
    losses_of: Callable[[], torch.Tensor],
    total: NDArray[np.float64],
) -> None:
    """Add the sum of clipped gradients to `total`, shape `(n_params,)`, by two backward passes.

    The first pass gives the norms, the second the weighted sum.

    Args:
        clipper: Opacus' ghost clipping around the module.
        losses_of: runs the module and returns the loss of each unit, shape `(n,)`.
        total: changed in place.
    """
    clipper.zero_grad(set_to_none=True)
    losses = losses_of()
    clipper.enable_hooks()
    torch.autograd.backward(losses.sum(), retain_graph=True)
    weights = clipper.get_clipping_coef().detach()
    clipper.zero_grad(set_to_none=True)
    clipper.disable_hooks()
    torch.autograd.backward((weights * losses).sum())
    clipper.enable_hooks()
    offset = 0
    for parameter in clipper.parameters():
        if parameter.grad is None:
            raise ValueError("a parameter received no gradient")
        part = parameter.grad.reshape(-1).numpy()
        total[offset : offset + part.size] += part
        offset += part.size


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
        self._n_units = len(examples.labels)
        features = examples.features.astype(np.float64)
        norms = np.linalg.norm(features, axis=1, keepdims=True)
        features = features * np.minimum(1.0, max_norm / np.maximum(norms, 1e-12))
        self._sums = np.zeros((n_classes, features.shape[1]))
        np.add.at(self._sums, examples.labels, features)

    @property
    def n_units(self) -> int:
        """Number of examples: the protection unit is the record."""
        return self._n_units

    def sum_at(
        self, parameters: NDArray[np.float64], drawn: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """Return the class sums, shape `(n_classes * n_features,)`, whatever the model.

        Raises:
            ValueError: if a batch is drawn: the sums hold every row.
        """
        if drawn is not None:
            raise ValueError("class sums hold every row; no batch can be drawn from them")
        return self._sums.reshape(-1).copy()
