"""One central training of a variant of a recipe for churn or intents, on held-out training rows.

The noise is that of a federation's sum: m = 10 sites and f = 1, so m / (m - f) of the central
variance. Whatever else a variant releases (a covariance, a choice of pairs, counts of clipped
rows) takes its share of the budget: with Gaussian noise, mu squared adds up exactly.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from _optimiser_rows import Pool, Trial
from scipy.special import expit

from fedcc.privacy.accounting import epsilon_of_mu, mu_of_epsilon
from fedcc.tasks.metrics import accuracy, roc_auc
from fedcc.training.dp_sgd import NORM_SLACK

DELTA, EXCESS, RETRIES = 1e-5, math.sqrt(10 / 9), 2
Array = np.ndarray


class Budget:
    """Splits one Gaussian budget: mu squared adds up."""

    def __init__(self, epsilon: float | None) -> None:
        """Take the whole of it; `None` is no privacy."""
        self.whole = math.inf if epsilon is None else mu_of_epsilon(epsilon, DELTA)
        self.left = 1.0

    def noise(self, share: float, sensitivity: float) -> float:
        """Take a share of mu squared and return the standard deviation that it buys."""
        self.left -= share
        return sensitivity / (self.whole * math.sqrt(share)) * EXCESS * NORM_SLACK

    def training(self, trial: Trial) -> tuple[float, float]:
        """Return the noise multiplier of each round and the effective epsilon of what is left."""
        if math.isinf(self.whole):
            return 0.0, math.inf
        mu = self.whole * math.sqrt(self.left)
        steps = math.sqrt(trial.rounds + RETRIES) / mu * EXCESS * NORM_SLACK
        return steps, epsilon_of_mu(mu / EXCESS, DELTA)


def with_pairs(
    pool: Pool, kept: Array, trial: Trial, budget: Budget, rng: np.random.Generator
) -> Array:
    """Return features with the cells of the picked pairs; they are picked on kept rows alone.

    A pair's score is the squared length of its noised table of what a private additive model leaves
    unexplained. A row adds its residual, at most 1, to one cell of each pair, so the tables
    together have sensitivity sqrt(n_pairs).
    """
    order = np.arange(pool.extra.shape[1])
    if trial.pick:
        additive, plain = Budget(None), replace(trial, rounds=30, whiten=0.0, quantile=0.0)
        additive.whole = budget.whole * math.sqrt(trial.first)
        budget.left -= trial.first
        rows, labels = pool.features[kept], pool.labels[kept]
        weights = train(rows, labels, pool.start, np.eye(1), plain, additive, rng)
        residual = labels - expit((rows @ weights)[:, 0])
        sd = budget.noise(trial.pick, math.sqrt(len(order)))
        scores = []
        for pair in order:
            sums = np.bincount(pool.extra[kept, pair], residual, minlength=pool.cells)
            scores.append(np.square(sums + rng.normal(0, sd, pool.cells)).sum())
        order = np.argsort(scores)[::-1]
    else:
        order = np.random.default_rng(1).permutation(order)
    eye = np.eye(pool.cells, dtype=np.float32)
    blocks = [eye[pool.extra[:, pair]] for pair in order[: trial.pairs]]
    cells = np.hstack(blocks) * math.sqrt(trial.share / trial.pairs)
    return np.hstack([pool.features * math.sqrt(1 - trial.share), cells]).astype(np.float32)


def divider(features: Array, trial: Trial, budget: Budget, rng: np.random.Generator) -> Array:
    """Return the power of the noised covariance, shape `(d, d)`, of mean eigenvalue about 1.

    Rows have norm at most 1, so the sum of their outer products has sensitivity 1 in Frobenius
    norm. Released are its diagonal and sqrt(2) times its upper half, which have the same norm.
    """
    width = features.shape[1]
    drawn = rng.normal(0, budget.noise(trial.release, 1.0), (width, width))
    half = np.triu(drawn, 1) / math.sqrt(2)
    noise = half + half.T + np.diag(np.diag(drawn))
    values, vectors = np.linalg.eigh(features.T.astype(float) @ features + noise)
    values = np.maximum(values, 0) + trial.ridge * values.max()
    matrix = (vectors * (values / values.max()) ** -trial.whiten) @ vectors.T
    spectrum = np.maximum(values - trial.ridge * values.max(), 0)
    after = spectrum * (values / values.max()) ** (-2 * trial.whiten)
    return np.asarray(matrix * math.sqrt(spectrum.sum() / after.sum()))


def score(pool: Pool, trial: Trial, epsilon: float | None, seed: int, held_out: float) -> float:
    """Train on a part of the rows and return AUC or accuracy on the rest, in per cent."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pool.labels))
    cut = int(held_out * len(order))
    held, kept = order[:cut], order[cut:]
    budget, features, start = Budget(epsilon), pool.features, pool.start
    if trial.pairs:
        features = with_pairs(pool, kept, trial, budget, rng)
        start = np.zeros((features.shape[1], start.shape[1]))
    matrix = np.eye(features.shape[1])
    if trial.whiten:
        matrix = divider(features[kept], trial, budget, rng)
        if not trial.inside:
            features, start = (features @ matrix).astype(np.float32), np.linalg.solve(matrix, start)
    weights = train(features[kept], pool.labels[kept], start, matrix, trial, budget, rng)
    scores = features[held] @ weights
    if scores.shape[1] == 1:
        return 100 * float(roc_auc(scores[:, 0], pool.labels[held]) or 0)
    return 100 * float(accuracy(scores, pool.labels[held]) or 0)


def train(
    features: Array,
    labels: Array,
    start: Array,
    matrix: Array,
    trial: Trial,
    budget: Budget,
    rng: np.random.Generator,
) -> Array:
    """Return the mean weights of the last rounds, shape `(d, n_outputs)`."""
    x = torch.from_numpy(np.ascontiguousarray(features))
    target = torch.from_numpy(labels)
    classes = start.shape[1]
    one_hot = torch.nn.functional.one_hot(target, max(2, classes)).float()
    wanted = one_hot[:, 1:] if classes == 1 else one_hot
    counted = trial.quantile > 0
    count_sd = budget.noise(trial.counting / trial.rounds, 0.5) if counted else 0.0
    budget.left -= trial.counting * (1 - 1 / trial.rounds) if counted else 0.0
    sigma, effective = budget.training(trial)
    rate = trial.rate * min(trial.most, max(trial.least, effective))
    divide = torch.from_numpy(matrix @ matrix).float() if trial.whiten and trial.inside else None
    lengths, clip = x.norm(dim=1), trial.clip
    weights = torch.from_numpy(start).float()
    speed, total = torch.zeros_like(weights), torch.zeros_like(weights)
    source = torch.Generator().manual_seed(int(rng.integers(2**31)))
    tail = int(trial.rounds * trial.tail)
    for number in range(trial.rounds):
        z = x @ weights
        asked = (torch.sigmoid(z) if classes == 1 else torch.softmax(z, 1)) - wanted
        norms = lengths * asked.norm(dim=1)
        factors = (clip / norms.clamp(min=1e-9)).clamp(max=1.0)
        gradient = x.T @ (asked * factors[:, None])
        gradient = gradient + sigma * clip * torch.randn(gradient.shape, generator=source)
        if divide is not None:
            gradient = divide @ gradient
        speed = trial.momentum * speed + gradient * (trial.clip / clip) / len(labels)
        weights = weights - rate * speed
        if counted:
            unclipped = float((norms <= clip).sum()) - 0.5 * len(labels) + rng.normal(0, count_sd)
            clip *= math.exp(-0.2 * (unclipped / len(labels) + 0.5 - trial.quantile))
        if number >= trial.rounds - tail:
            total += weights
    return (total / tail).numpy()
