"""Public shapes of heads, their settings and their public starting points; without torch.

Whoever only plans or adds ciphertexts needs no more than this; the modules are in `heads`.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ModelName = Literal["linear", "hinge", "fourier", "mlp", "text"]


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
    hidden: int  # width of the hidden layer, or of an embedding; 0 for none
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
        if (self.name in ("mlp", "text")) != (self.hidden > 0):
            raise ValueError("hidden must be > 0 for mlp and text, and 0 for the other models")
        if (self.name == "fourier") != (self.fourier is not None):
            raise ValueError("fourier must be given for model=fourier and null for other models")


@dataclass(frozen=True, kw_only=True)
class HeadShape:
    """The public shape of a head."""

    n_features: int
    hidden: int  # width of the hidden layer; 0 for none
    n_outputs: int  # 1 for a binary label, else the number of classes
    embedding: bool = False  # the hidden layer holds embeddings: no tanh, no bias, public start


def initial_parameters(
    shape: HeadShape, public_seed: int, prior: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return the public starting point, shape `(n_params,)`.

    Args:
        shape: of the head.
        public_seed: from the plan, so that every site starts at the same point. A hidden layer
            needs unequal units; it is drawn uniformly within 1 / sqrt(fan_in).
        prior: public weights on the features, shape `(n_outputs, n_features)`, such as the scaled
            features of the labels' names; `None` for zeros. Embeddings begin with them, too, see
            `_embedded_start`; a perceptron has none.

    Raises:
        ValueError: if `prior` does not fit the shape.
    """
    weights = (shape.n_outputs, shape.n_features)
    if prior is not None and prior.shape != weights:
        raise ValueError(f"a prior of shape {prior.shape} does not fit weights {weights}")
    if shape.embedding:
        return _embedded_start(shape, public_seed, prior)
    if not shape.hidden:
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


def _embedded_start(
    shape: HeadShape, public_seed: int, prior: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return random embeddings and the classes' weights on them, shape `(n_params,)`.

    Embeddings are uniform with variance 1 / width, so that a text's vector is about as long as its
    counts. A class begins at the direction of its prior's vector, with the prior's length; without
    prior at zero, where the first sums move the classes and later ones the embeddings.
    """
    rng = np.random.Generator(np.random.Philox(key=public_seed))
    bound = math.sqrt(3 / shape.hidden)
    table = rng.uniform(-bound, bound, (shape.hidden, shape.n_features))
    if prior is None:
        return np.concatenate([table.reshape(-1), np.zeros(shape.n_outputs * shape.hidden)])
    vectors = prior @ table.T
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    classes = vectors / lengths * np.linalg.norm(prior, axis=1, keepdims=True)
    return np.concatenate([table.reshape(-1), classes.reshape(-1)])
