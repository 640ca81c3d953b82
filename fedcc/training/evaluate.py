"""Scoring rows with a flat parameter vector: logits, probabilities and confidence."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fedcc.models.heads import load_flat

CHUNK_ROWS = 65_536


def logits(
    module: nn.Module, parameters: NDArray[np.float64], features: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the logits of each row, shape `(n, n_outputs)`; `module` is changed."""
    load_flat(module, parameters)
    with torch.no_grad():
        parts = [module(rows) for rows in torch.split(torch.from_numpy(features), CHUNK_ROWS)]
    scores: NDArray[np.float64] = torch.cat(parts).numpy().astype(np.float64)
    return scores


def probabilities(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability of each class, shape `(n, n_classes)`.

    Args:
        scores: logits, shape `(n, n_outputs)`; a single one is that of class 1 of two.
    """
    if scores.shape[1] == 1:
        scores = np.hstack([np.zeros_like(scores), scores])
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
