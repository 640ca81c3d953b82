"""The forward pass of a small BERT encoder with mean pooling, in plain torch.

Runs on the CPU in float32 with one torch thread. A batch has a fixed shape and its rows do not
touch each other, so a row's result is the same at any place of a batch. Weights come as a mapping
by their published names; nothing here reads a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

LAYER_NORM_EPSILON = 1e-12  # of the published configuration of BERT


@dataclass(frozen=True)
class BertShape:
    """The sizes of the network."""

    layers: int
    heads: int
    width: int


@dataclass(frozen=True)
class _Affine:
    """A weight and a bias, of a linear map or of a layer norm."""

    weight: Tensor
    bias: Tensor

    def map(self, inputs: Tensor) -> Tensor:
        return F.linear(inputs, self.weight, self.bias)

    def norm(self, inputs: Tensor) -> Tensor:
        return F.layer_norm(inputs, self.bias.shape, self.weight, self.bias, LAYER_NORM_EPSILON)


@dataclass(frozen=True)
class _Layer:
    """One transformer block; the three attention inputs are one linear map."""

    attention_inputs: _Affine
    attention_output: _Affine
    attention_norm: _Affine
    hidden: _Affine
    output: _Affine
    output_norm: _Affine


class BertSentenceEncoder:
    """Token numbers in, one mean vector a row out."""

    def __init__(self, weights: Mapping[str, Tensor], shape: BertShape) -> None:
        """Arrange the weights.

        Raises:
            KeyError: if a weight is missing.
        """
        self._shape = shape
        self._words = weights["embeddings.word_embeddings.weight"]
        # Every text is a first segment, so its segment vector is part of each position.
        self._positions = (
            weights["embeddings.position_embeddings.weight"]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        self._norm = _affine(weights, "embeddings.LayerNorm")
        self._layers = [_layer(weights, f"encoder.layer.{i}") for i in range(shape.layers)]

    @torch.inference_mode()
    def mean_vectors(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return the mean of the last layer over the real tokens of each row.

        Args:
            tokens: token numbers, shape `(rows, length)`, int64.
            mask: true for real tokens, same shape; at least one in each row.

        Returns:
            Shape `(rows, width)`, float32, not normalised.

        Source: Devlin et al., "BERT", 2019 (arXiv:1810.04805); Reimers and Gurevych,
        "Sentence-BERT", 2019, section 3, mean pooling (arXiv:1908.10084).
        """
        states = self._norm.norm(self._words[tokens] + self._positions[: tokens.shape[1]])
        for layer in self._layers:
            attended = layer.attention_output.map(self._attend(layer, states, mask))
            states = layer.attention_norm.norm(states + attended)
            widened = F.gelu(layer.hidden.map(states))
            states = layer.output_norm.norm(states + layer.output.map(widened))
        real = mask.unsqueeze(2).to(states.dtype)
        return (states * real).sum(1) / real.sum(1)

    def _attend(self, layer: _Layer, states: Tensor, mask: Tensor) -> Tensor:
        """Return the mixed values of all heads, shape `(rows, length, width)`."""
        rows, length, width = states.shape
        parts = layer.attention_inputs.map(states)
        parts = parts.view(rows, length, 3, self._shape.heads, width // self._shape.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
        return mixed.transpose(1, 2).reshape(rows, length, width)


def _affine(weights: Mapping[str, Tensor], *names: str) -> _Affine:
    """Stack the named weights and biases into one.

    The copy lies in torch's own aligned memory. Where a weight begins decides which kernel reads
    it, so without the copy the last bits could differ from one process to the next.
    """
    return _Affine(
        torch.cat([weights[f"{name}.weight"] for name in names]),
        torch.cat([weights[f"{name}.bias"] for name in names]),
    )


def _layer(weights: Mapping[str, Tensor], prefix: str) -> _Layer:
    inputs = [f"{prefix}.attention.self.{part}" for part in ("query", "key", "value")]
    return _Layer(
        attention_inputs=_affine(weights, *inputs),
        attention_output=_affine(weights, f"{prefix}.attention.output.dense"),
        attention_norm=_affine(weights, f"{prefix}.attention.output.LayerNorm"),
        hidden=_affine(weights, f"{prefix}.intermediate.dense"),
        output=_affine(weights, f"{prefix}.output.dense"),
        output_norm=_affine(weights, f"{prefix}.output.LayerNorm"),
    )
