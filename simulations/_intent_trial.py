"""One central training of a variant of the intent recipe, scored on held-out training rows.

The noise is that of a federation's sum: m = 10 sites and f = 1, so m / (m - f) of the central
variance, with sigma calibrated for all rounds and two reserved retries.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from fedcc import config
from fedcc.federation.settings import simulation_settings
from fedcc.federation.simulated_data import load_data
from fedcc.privacy.accounting import epsilon_of_mu, mu_of_epsilon
from fedcc.training.dp_sgd import NORM_SLACK

DELTA, SITES, COLLUSION, RETRIES, HELD_OUT = 1e-5, 10, 1, 2, 0.15
Array = np.ndarray


@dataclass(frozen=True)
class Trial:
    """One variant; the defaults are the recipe as it was before."""

    rounds: int = 50
    clip: float = 0.3
    last_clip: float | None = None  # the bound moves geometrically from `clip` to this
    rate: float = 18 / math.sqrt(0.3)  # per unit of effective epsilon
    most: float = 6.0
    momentum: float = 0.9
    tail: float = 0.5
    prior: float = 10.0
    ridge: float = 0.0  # pull towards the label names
    decay: str = "none"  # of the step: none | linear | cosine
    whiten: str = ""  # rows|within:power:ridge, covariance of the *other* set's training rows
    scale: float = 1.0  # of what was learnt on top of the label names, after training
    keep: float = 0.0  # optimal shrinkage of its singular values, noise taken times this
    centre: str = "public"  # what is subtracted from vectors: see encoder.centre


@dataclass(frozen=True)
class Rows:
    """Training rows of one set with the features of its labels' names."""

    features: Array
    labels: Array
    names: Array
    public_rows: int


def load(root: Path, name: str, centre: str = "public") -> Rows:
    """Read a set through fedcc's gates and encoder; test rows are left aside."""
    fixed = ["task=intent", f"data={name}", f"data.path={root / name}", "sites=3", "seed=1"]
    fixed += [f"encoder.centre={centre}", "data.partition=iid"]
    settings = simulation_settings(config.compose("simulate", fixed))
    data = load_data(settings, 1, 1, datetime.now(UTC))
    features = np.concatenate([part.features for part in data.sites])
    labels = np.concatenate([part.labels for part in data.sites])
    return Rows(features, labels, np.asarray(data.recipe.label_features), settings.data.public_rows)


def unit(rows: Array) -> Array:
    """Scale every row to length 1."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def whitened(rows: Rows, public: Rows, text: str) -> Rows:
    """Multiply by a power of the covariance of the other set, directions kept, lengths 1 again."""
    kind, power, ridge = text.split(":")
    source = public.features.astype(float)
    if kind == "within":
        for label in np.unique(public.labels):
            source[public.labels == label] -= public.features[public.labels == label].mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(source.T))
    values = np.maximum(values, 0)
    matrix = (vectors * (values + float(ridge) * values.max()) ** -float(power)) @ vectors.T
    features = unit(rows.features @ matrix).astype(np.float32)
    return replace(rows, features=features, names=unit(rows.names @ matrix))


def step_factor(trial: Trial, done: float) -> float:
    """Return the decay of the step after a share of the rounds."""
    kinds: dict[str, Callable[[float], float]] = {
        "none": lambda x: 1.0,
        "linear": lambda x: 1 - x,
        "cosine": lambda x: 0.5 * (1 + math.cos(math.pi * x)),
    }
    return kinds[trial.decay](done)


def noise_response(trial: Trial, rate: float) -> float:
    """Return what noise of sd 1 in every round does to a released weight, without curvature."""
    first, responses = trial.rounds - int(trial.rounds * trial.tail), []
    for hit in range(trial.rounds):
        speed = place = total = 0.0
        for number in range(trial.rounds):
            speed = trial.momentum * speed + (number == hit)
            place -= rate * speed
            total += place * (number >= first)
        responses.append(total / (trial.rounds - first))
    return math.sqrt(sum(value**2 for value in responses))


def shrunk(trial: Trial, learnt: torch.Tensor, sd: float) -> torch.Tensor:
    """Return what was learnt with its scale, or its singular values, shrunk.

    Source: Gavish and Donoho, "Optimal Shrinkage of Singular Values", 2017 (Frobenius loss).
    """
    if not trial.keep:
        return trial.scale * learnt
    left, values, right = torch.linalg.svd(learnt.double(), full_matrices=False)
    n, m = learnt.shape
    unit_of_noise, beta = trial.keep * sd * math.sqrt(n), m / n
    y = values / unit_of_noise
    inner = ((y * y - beta - 1) ** 2 - 4 * beta).clamp(min=0)
    kept = torch.where(y > 1 + math.sqrt(beta), inner.sqrt() / y, torch.zeros_like(y))
    return (left @ torch.diag(kept * unit_of_noise) @ right).float()


def score(rows: Rows, trial: Trial, epsilon: float, seed: int) -> float:
    """Train on 85 % of the rows and return per cent right on the rest."""
    order = np.random.default_rng(seed).permutation(len(rows.labels))
    cut = int(HELD_OUT * len(order))
    held, kept = order[:cut], order[cut:]
    public_rows = (1 - HELD_OUT) * rows.public_rows
    features = torch.from_numpy(np.ascontiguousarray(rows.features[kept]))
    classes = torch.from_numpy(rows.labels[kept])
    target = torch.nn.functional.one_hot(classes, len(rows.names)).float()
    lengths = features.norm(dim=1)
    mu, excess = mu_of_epsilon(epsilon, DELTA), math.sqrt(SITES / (SITES - COLLUSION))
    sigma = math.sqrt(trial.rounds + RETRIES) / mu * excess * NORM_SLACK
    rate = trial.rate * min(trial.most, max(0.25, epsilon_of_mu(mu / excess, DELTA)))
    start = torch.from_numpy((trial.prior * rows.names.T).astype(np.float32))
    weights, speed, total = start.clone(), torch.zeros_like(start), torch.zeros_like(start)
    source, in_tail = torch.Generator().manual_seed(seed), int(trial.rounds * trial.tail)
    for number in range(trial.rounds):
        ratio = (trial.last_clip or trial.clip) / trial.clip
        clip = trial.clip * ratio ** (number / max(1, trial.rounds - 1))
        asked = torch.softmax(features @ weights, 1) - target
        factors = (clip / (lengths * asked.norm(dim=1)).clamp(min=1e-9)).clamp(max=1.0)
        gradient = features.T @ (asked * factors[:, None])
        gradient = gradient + sigma * clip * torch.randn(gradient.shape, generator=source)
        gradient = gradient / public_rows + trial.ridge * (weights - start)
        speed = trial.momentum * speed + gradient
        weights = weights - rate * step_factor(trial, number / trial.rounds) * speed
        if number >= trial.rounds - in_tail:
            total += weights
    sd = sigma * trial.clip / public_rows * noise_response(trial, rate) if trial.keep else 0.0
    released = start + shrunk(trial, total / in_tail - start, sd)
    scores = torch.from_numpy(np.ascontiguousarray(rows.features[held])) @ released
    return 100 * float((scores.argmax(1).numpy() == rows.labels[held]).mean())
