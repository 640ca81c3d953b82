"""Heads on bounded feature vectors: linear logits and a small multi-layer perceptron.

One output is the logit of a binary label, K outputs are the logits of K classes. Additive hinge
features are linear logits on more features, so they need no head of their own. All layers are ones
for which Opacus has ghost clipping; no batch norm, no dropout, no parameter tying.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

ModelName = Literal["linear", "hinge", "fourier", "mlp"]


@dataclass(frozen=True, kw_only=True)
class FourierSettings:
    """Random cosines of profile columns; values come from `configs/model/fourier.yaml`.

    What each of them means, and the admitted ranges: `fedcc.data.fourier_features.FourierShape`.
    """

    features: int
    columns: int
    scale: float
    share: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Which model; values come from `configs/model/*.yaml`."""

    name: ModelName
    hinges: int  # pieces per number column; 0 for the plain scaled value
    hidden: int  # width of the hidden layer; 0 for none
    learning_rate: (
        float | None
    )  # step size at effective epsilon >= 1; None for the training group's
    fourier: FourierSettings | None

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.hinges < 0 or self.hidden < 0:
            raise ValueError("hinges and hidden must not be negative")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be > 0 or null, got {self.learning_rate}")
        if (self.name == "mlp") != (self.hidden > 0):
            raise ValueError("hidden must be > 0 for mlp and 0 for the other models")
        if (self.name == "fourier") != (self.fourier is not None):
            raise ValueError("fourier must be given for model=fourier and null for other models")


@dataclass(frozen=True, kw_only=True)
class HeadShape:
    """The public shape of a head."""

    n_features: int
    hidden: int  # width of the hidden layer; 0 for none
    n_outputs: int  # 1 for a binary label, else the number of classes


def build_module(shape: HeadShape) -> nn.Module:
    """Return the module; input shape `(n, n_features)`, output shape `(n, n_outputs)`: logits.

    All parameters are zero. There is no bias in the first layer: features carry a constant, or are
    centred.
    """
    if shape.hidden:
        return nn.Sequential(
            _linear(shape.n_features, shape.hidden, bias=False),
            nn.Tanh(),
            _linear(shape.hidden, shape.n_outputs, bias=True),
        )
    return _linear(shape.n_features, shape.n_outputs, bias=False)


def _linear(n_inputs: int, n_outputs: int, *, bias: bool) -> nn.Module:
    """Return a layer of zeros; torch's own start would draw from its global generator."""
    layer = nn.Linear(n_inputs, n_outputs, bias=bias, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    return layer


def parameter_count(module: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def initial_parameters(
    shape: HeadShape, public_seed: int, prior: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return the public starting point, shape `(n_params,)`.

    Args:
        shape: of the head.
        public_seed: from the plan, so that every site starts at the same point. A hidden layer
            needs unequal units; it is drawn uniformly within 1 / sqrt(fan_in).
        prior: public weights of a head without hidden layer, shape `(n_outputs, n_features)`, such
            as the scaled features of the labels' names; `None` for zeros.

    Raises:
        ValueError: if `prior` does not fit the shape.
    """
    if not shape.hidden:
        weights = (shape.n_outputs, shape.n_features)
        if prior is not None and prior.shape != weights:
            raise ValueError(f"a prior of shape {prior.shape} does not fit weights {weights}")
        return np.zeros(math.prod(weights)) if prior is None else prior.reshape(-1).copy()
    rng = np.random.Generator(np.random.Philox(key=public_seed))
    parts = []
    for size in (
        (shape.hidden, shape.n_features),
        (shape.n_outputs, shape.hidden),
    ):
        bound = 1 / math.sqrt(size[-1])
        parts.append(rng.uniform(-bound, bound, math.prod(size)))
    return np.concatenate([*parts, np.zeros(shape.n_outputs)])


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
