"""Heads on bounded feature vectors: linear logits, a small perceptron, and a model of texts.

One output is the logit of a binary label, K outputs are the logits of K classes. Additive hinge
features are linear logits on more features, so they need no head of their own. The model of texts
learns an embedding of every bucket of hashed n-grams from scratch: a text's vector is the sum of
its n-grams' embeddings weighted by their counts, and its classes are scored linearly. The table is
a linear layer over the counts, the same function and gradient as torch's `EmbeddingBag` with
weights, because Opacus has ghost clipping for the one and not for the other. All layers are ones
for which Opacus has ghost clipping; no batch norm, no dropout, no parameter tying.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fedcc.models.shapes import HeadShape


def build_module(shape: HeadShape) -> nn.Module:
    """Return the module; input shape `(n, n_features)`, output shape `(n, n_outputs)`: logits.

    All parameters are zero. There is no bias in the first layer: features carry a constant, or are
    centred.
    """
    if shape.embedding:
        return nn.Sequential(
            _linear(shape.n_features, shape.hidden, bias=False),
            _linear(shape.hidden, shape.n_outputs, bias=False),
        )
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
