"""Sums in which all rows of a customer are one contribution of bounded L2 norm.

Opacus sees a customer as one example of shape `(m, d)`: the losses of the rows are summed, not
averaged, so the example's gradient is the sum of the rows' gradients, and its ghost norm is exact,
||X' R||_F^2 = sum_ij (x_i . x_j) (r_i . r_j). Rows that only fill an example up are zero and carry
no loss.

Unlike a record's, a customer's gradient can be small because large ones cancel, where float32 would
get the norm wrong by more than `NORM_SLACK` allows. So everything here is float64: with at most 256
rows a customer the norm is off by less than 1e-10 of the rows' own norms.

The L2 sensitivity of each sum to a customer with all rows coming or going is `max_grad_norm`. A
customer of whom only some rows change counts twice: once as leaving, once as coming.
"""

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from torch import nn

from fedcc.models.heads import load_flat
from fedcc.training.admission import check_draw, check_module
from fedcc.training.dp_sgd import HasExamples, add_clipped, row_losses

CHUNK_CELLS = 1024  # rows of a chunk with its filling, unless one customer has more


def customer_chunks(
    customers: NDArray[np.int64],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield customers, shape `(n,)`, and positions of their rows, shape `(n, m)`, filled with -1.

    A customer is named by its place in the sorted list of all codes. Customers of like size stand
    together, so little is filled up; a chunk has at most `CHUNK_CELLS` cells or one customer. Every
    row is in exactly one chunk.

    Args:
        customers: code of each row, shape `(n_rows,)`.
    """
    order = np.argsort(customers, kind="stable")
    starts = np.flatnonzero(np.diff(customers[order], prepend=-1))
    sizes = np.diff(np.append(starts, len(order)))
    by_size = np.argsort(sizes, kind="stable")
    first = 0
    while first < len(by_size):
        last = first + 1
        while last < len(by_size) and (last + 1 - first) * sizes[by_size[last]] <= CHUNK_CELLS:
            last += 1
        chosen = by_size[first:last]
        places = np.arange(sizes[chosen].max())
        rows = order[np.minimum(starts[chosen, None] + places, len(order) - 1)]
        yield chosen, np.where(places < sizes[chosen, None], rows, -1)
        first = last


class CustomerGradients:
    """Computes sums of clipped per-customer gradients of one site for one model shape."""

    def __init__(
        self,
        module: nn.Module,
        examples: HasExamples,
        customers: NDArray[np.int64],
        max_grad_norm: float,
    ) -> None:
        """Wrap the module for ghost clipping.

        Args:
            module: see `fedcc.models.heads`; it becomes float64 and is changed at every call.
            examples: the site's training rows.
            customers: code >= 0 of each row's customer, shape `(n,)`.
            max_grad_norm: L2 bound on the sum of each customer's gradients, > 0.

        Raises:
            ValueError: if `max_grad_norm` is not positive or the lengths differ.
            ConfigError: if the module mixes examples, or Opacus cannot clip it.
        """
        if not max_grad_norm > 0:
            raise ValueError(f"max_grad_norm must be > 0, got {max_grad_norm}")
        if customers.shape != examples.labels.shape:
            raise ValueError("there must be one customer code per row")
        check_module(module, examples.features.shape[1])
        self._module = module.double()
        self._clipper = GradSampleModuleFastGradientClipping(
            self._module,
            max_grad_norm=max_grad_norm,
            use_ghost_clipping=True,
            loss_reduction="sum",
        )
        self._losses = row_losses(self._module)
        self._features = torch.from_numpy(examples.features)
        self._labels = torch.from_numpy(examples.labels)
        self._n_units = len(np.unique(customers))
        self._chunks = list(customer_chunks(customers))

    @property
    def n_units(self) -> int:
        """Number of customers: they are the protection unit."""
        return self._n_units

    def sum_at(
        self, parameters: NDArray[np.float64], drawn: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """Return the sum of clipped per-customer gradients of the logistic or softmax loss.

        Args:
            parameters: where the gradient is taken, shape `(n_params,)`.
            drawn: which customers take part, in the order of their codes, shape `(n_units,)`;
                `None` for all.

        Returns:
            float64, shape `(n_params,)`; not divided by anything.

        Raises:
            ValueError: if the draw is not a yes or no for each customer.

        Source: Li et al., "Large Language Models Can Be Strong Differentially Private Learners",
        2022, section 4 (ghost clipping of sequences), as implemented by Opacus.
        """
        if drawn is not None:
            check_draw(drawn, self._n_units)
        load_flat(self._module, parameters)
        total = np.zeros(parameters.size)
        with warnings.catch_warnings():
            # The inputs need no gradient, so torch remarks that a full backward hook sees none.
            warnings.filterwarnings("ignore", message="Full backward hook is firing")
            for customers, rows in self._chunks:
                taking_part = rows if drawn is None else rows[drawn[customers]]
                if len(taking_part):
                    self._add(torch.from_numpy(taking_part), total)
        return total

    def _add(self, rows: torch.Tensor, total: NDArray[np.float64]) -> None:
        add_clipped(self._clipper, lambda: self._customer_losses(rows), total)

    def _customer_losses(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the summed loss of each customer, shape `(n,)`, of positions of shape `(n, m)`."""
        real = rows >= 0
        features = self._features[rows.clamp(min=0)].double() * real[..., None]
        labels = self._labels[rows.clamp(min=0)] * real
        scores = self._clipper(features)
        losses = self._losses(scores.reshape(-1, scores.shape[-1]), labels.reshape(-1))
        return (losses.reshape(rows.shape) * real).sum(dim=1)


class CustomerClassSums:
    """Sums of features by class in which a customer adds at most a bounded vector over all classes.

    The contribution of a customer is the sum of its rows' features, each in the part of its class;
    all parts together are clipped to `max_norm`.
    """

    def __init__(
        self,
        examples: HasExamples,
        customers: NDArray[np.int64],
        n_classes: int,
        max_norm: float,
    ) -> None:
        """Compute the sums once; they do not depend on a model.

        Args:
            examples: the site's training rows.
            customers: code >= 0 of each row's customer, shape `(n,)`.
            n_classes: public number of classes.
            max_norm: L2 bound on what one customer adds, > 0.

        Raises:
            ValueError: if `max_norm` is not positive or the lengths differ.
        """
        if not max_norm > 0:
            raise ValueError(f"max_norm must be > 0, got {max_norm}")
        if customers.shape != examples.labels.shape:
            raise ValueError("there must be one customer code per row")
        width = examples.features.shape[1]
        self._n_units = len(np.unique(customers))
        pairs, pair = np.unique(customers * n_classes + examples.labels, return_inverse=True)
        owner, label = np.divmod(pairs, n_classes)
        added = np.zeros((len(pairs), width))
        np.add.at(added, pair, examples.features.astype(np.float64))
        _, customer = np.unique(owner, return_inverse=True)
        norms = np.sqrt(np.bincount(customer, weights=np.square(added).sum(axis=1)))
        weights = np.minimum(1.0, max_norm / np.maximum(norms, 1e-12))
        self._sums = np.zeros((n_classes, width))
        np.add.at(self._sums, label, added * weights[customer, None])

    @property
    def n_units(self) -> int:
        """Number of customers: they are the protection unit."""
        return self._n_units

    def sum_at(
        self, parameters: NDArray[np.float64], drawn: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """Return the class sums, shape `(n_classes * n_features,)`, whatever the model.

        Raises:
            ValueError: if a batch is drawn: the sums hold every customer.
        """
        if drawn is not None:
            raise ValueError("class sums hold every customer; no batch can be drawn from them")
        return self._sums.reshape(-1).copy()
