"""Scoring rows with a flat parameter vector."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fedcc.models.tabular import load_flat

CHUNK_ROWS = 65_536


def logits(
    module: nn.Module, parameters: NDArray[np.float64], features: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the logit of class 1 for each row, shape `(n,)`; `module` is changed."""
    load_flat(module, parameters)
    with torch.no_grad():
        parts = [
            module(rows).squeeze(-1) for rows in torch.split(torch.from_numpy(features), CHUNK_ROWS)
        ]
    scores: NDArray[np.float64] = torch.cat(parts).numpy().astype(np.float64)
    return scores


def probabilities(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logistic function of the logits."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(scores, -700, 700))))
