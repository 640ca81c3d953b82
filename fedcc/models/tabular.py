"""Model shapes for bounded feature vectors: a linear logit and a small multi-layer perceptron.

Additive hinge features are a linear logit on more features, so they need no shape of their own. All
layers are ones for which Opacus has ghost clipping; no batch norm, no dropout, no parameter tying.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Which model, and its step size; values come from `configs/model/*.yaml`."""

    name: Literal["linear", "hinge", "mlp"]
    hinges: int  # pieces per number column; 0 for the plain scaled value
    hidden: int  # width of the hidden layer; 0 for none
    learning_rate: float  # step size at effective epsilon >= 1, see RunPlan

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.hinges < 0 or self.hidden < 0:
            raise ValueError("hinges and hidden must not be negative")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be > 0, got {self.learning_rate}")
        if (self.name == "mlp") != (self.hidden > 0):
            raise ValueError("hidden must be > 0 for mlp and 0 for the other models")


def build_module(settings: ModelSettings, n_features: int) -> nn.Module:
    """Return the module; input shape `(n, n_features)`, output shape `(n, 1)`: one logit.

    The constant feature takes the place of a bias in the first layer.
    """
    if settings.hidden:
        return nn.Sequential(
            nn.Linear(n_features, settings.hidden, bias=False),
            nn.Tanh(),
            nn.Linear(settings.hidden, 1),
        )
    return nn.Linear(n_features, 1, bias=False)


def parameter_count(module: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def initial_parameters(module: nn.Module, public_seed: int) -> NDArray[np.float64]:
    """Return the public starting point, shape `(n_params,)`: zeros for one layer, else random.

    Args:
        module: gives shapes alone; it is not changed.
        public_seed: from the plan, so that every site starts at the same point. A hidden layer
            needs unequal units; it is drawn uniformly within 1 / sqrt(fan_in).
    """
    shapes = [tuple(parameter.shape) for parameter in module.parameters()]
    rng = np.random.Generator(np.random.Philox(key=public_seed))
    if len(shapes) == 1:
        return np.zeros(math.prod(shapes[0]))
    parts = []
    for shape in shapes:
        bound = 1 / math.sqrt(shape[-1])
        parts.append(
            rng.uniform(-bound, bound, math.prod(shape))
            if len(shape) > 1
            else np.zeros(math.prod(shape))
        )
    return np.concatenate(parts)


def load_flat(module: nn.Module, flat: NDArray[np.float64]) -> None:
    """Write a flat vector of shape `(n_params,)` into the module, in the order of its parameters.

    Raises:
        ValueError: if the lengths differ.
    """
    if flat.size != parameter_count(module):
        raise ValueError(f"expected {parameter_count(module)} parameters, got {flat.size}")
    offset = 0
    with torch.no_grad():
        for parameter in module.parameters():
            part = flat[offset : offset + parameter.numel()]
            parameter.copy_(torch.from_numpy(part.astype(np.float32)).view_as(parameter))
            offset += parameter.numel()


def named_tensors(module: nn.Module, flat: NDArray[np.float64]) -> dict[str, NDArray[np.float32]]:
    """Return the flat vector cut into named float32 arrays, as a model file holds them."""
    tensors, offset = {}, 0
    for name, parameter in module.named_parameters():
        part = flat[offset : offset + parameter.numel()]
        tensors[name] = part.astype(np.float32).reshape(tuple(parameter.shape))
        offset += parameter.numel()
    return tensors
