"""Standard Gaussian draws from random bytes, fast and fine out to the far tail.

The ziggurat: 256 layers of equal area cover the half density exp(-x^2 / 2). A 64-bit word chooses
a layer (8 bits), a sign (1 bit) and a point of 52 bits across the layer. What falls below the
layer's inner edge is accepted at once (98.8 % of draws); the rest takes the exact wedge or tail
test, so the distribution is that of the density and not of an approximation to it. Layer and point
share no bit (Doornik, "An Improved Ziggurat Method to Generate Normal Random Samples", 2005).

Why not inversion of a 52-bit uniform: its neighbouring values lie 2^-52 / density apart, more than
a grid step at 7 standard deviations of a share of 100,000 grid steps, and a run of a million draws
gets that far with a chance near delta. Here neighbours lie less than 1e-15 apart up to 3.65
deviations and less than 1e-9 up to 8.

The bytes are the caller's: the operating system's in production. How long a draw takes depends on
how many of its words were rejected, never on private values. Nothing here reads global randomness.

Source: Marsaglia and Tsang, "The Ziggurat Method for Generating Random Variables", 2000; the tail:
Marsaglia, "Generating a Variable from the Tail of the Normal Distribution", 1964.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from fedcc.rng import ByteSource, uniform

LAYERS = 256
TAIL_START = 3.6541528853610088  # the r of 256 layers in Marsaglia and Tsang
POINT_BITS = 52
CHUNK = 16384  # words at a time: all buffers of a pass stay in the second-level cache
MOST_PASSES = 64  # a true source needs a pass per 1e-2; this many have a chance below 1e-120


def _density(x: float) -> float:
    return math.exp(-x * x / 2)


def layer_area() -> float:
    """Return the area of every layer: the lowest rectangle and the tail beyond it."""
    tail = math.sqrt(2 * math.pi) * float(ndtr(-TAIL_START))
    return TAIL_START * _density(TAIL_START) + tail


def layer_edges() -> NDArray[np.float64]:
    """Return the right edges of all layers from the lowest up, then 0; shape `(LAYERS + 1,)`.

    The lowest layer holds the tail: its edge is that of a rectangle of the same area.
    """
    area, edges = layer_area(), [layer_area() / _density(TAIL_START), TAIL_START]
    while len(edges) < LAYERS:
        height = _density(edges[-1]) + area / edges[-1]
        edges.append(math.sqrt(-2 * math.log(height)))
    return np.array([*edges, 0.0])


_EDGES = layer_edges()
# Twice each, for the two signs: a word's low nine bits are the index.
_STEP = np.concatenate([_EDGES[:-1], -_EDGES[:-1]]) * 2.0**-POINT_BITS
_INSIDE = np.floor(np.tile(_EDGES[1:] / _EDGES[:-1], 2) * 2.0**POINT_BITS).astype(np.int64)
_HEIGHT = np.exp(-(_EDGES**2) / 2)  # of the density at each edge


def standard_gaussian(size: int, source: ByteSource) -> NDArray[np.float64]:
    """Return independent draws of mean 0 and variance 1, shape `(size,)`, float64.

    Args:
        size: number of draws.
        source: random bytes; called several times, eight bytes a draw and a few more.

    Raises:
        RuntimeError: if the source cannot be random, because nearly all words are rejected.
    """
    drawn = np.empty(size)
    rest = _draw(drawn, source)
    for _ in range(MOST_PASSES):
        if not rest.size:
            return drawn
        fresh = np.empty(rest.size)
        again = _draw(fresh, source)
        drawn[rest], rest = fresh, rest[again]
    raise RuntimeError("the source of random bytes repeats itself; it is not random")


def _draw(out: NDArray[np.float64], source: ByteSource) -> NDArray[np.intp]:
    """Fill `out` with one draw a word and return the indices of those to be drawn again."""
    places, layers = [], []
    for start in range(0, out.size, CHUNK):
        outside, layer = _points(out[start : start + CHUNK], source)
        places.append(outside + start)
        layers.append(layer)
    if not places:
        return np.empty(0, dtype=np.intp)
    place, layer = np.concatenate(places), np.concatenate(layers) % LAYERS
    values = out[place]
    spans = _HEIGHT[layer + 1] - _HEIGHT[layer]
    below = _HEIGHT[layer] + spans * uniform(place.size, source)
    kept = below < np.exp(-values * values / 2)
    tail = np.flatnonzero(layer == 0)
    out[place[tail]] = np.copysign(_beyond_start(tail.size, source), values[tail])
    kept[tail] = True
    return place[~kept]


def _points(
    out: NDArray[np.float64], source: ByteSource
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Fill `out` with points of random layers; return where a point may lie outside, its layer."""
    words = np.frombuffer(source(8 * out.size), dtype="<u8")
    layers = (words & np.uint64(2 * LAYERS - 1)).view(np.int64)
    points = (words >> np.uint64(64 - POINT_BITS)).view(np.int64)
    np.multiply(points, _STEP.take(layers, mode="clip"), out=out)
    outside = np.flatnonzero(points >= _INSIDE.take(layers, mode="clip"))
    return outside, layers[outside]


def _beyond_start(size: int, source: ByteSource) -> NDArray[np.float64]:
    """Return draws of the density beyond `TAIL_START`, shape `(size,)`, exactly, by rejection."""
    drawn, rest = np.empty(size), np.arange(size)
    for _ in range(MOST_PASSES):
        if not rest.size:
            return drawn
        past = -np.log(uniform(rest.size, source)) / TAIL_START
        drawn[rest] = TAIL_START + past
        rest = rest[-2 * np.log(uniform(rest.size, source)) <= past * past]
    raise RuntimeError("the source of random bytes repeats itself; it is not random")
