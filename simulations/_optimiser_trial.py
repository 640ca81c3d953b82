"""One central training of a variant of a recipe for churn or intents, on held-out training rows.

The noise is that of a federation's sum: m = 10 sites and f = 1, so m / (m - f) of the central
variance. Whatever else a variant releases (a covariance, a choice of pairs, counts of clipped
rows) takes its share of the budget: with Gaussian noise, mu squared adds up exactly.
"""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import torch
from scipy.special import expit

from fedcc import config
from fedcc.data.connectors import read_table
from fedcc.data.fourier_features import FourierShape
from fedcc.data.gates import Table, admit
from fedcc.data.partition import split_test_rows
from fedcc.data.spec import DataSpec
from fedcc.data.tabular_features import TabularEncoding
from fedcc.federation.settings import simulation_settings
from fedcc.privacy.accounting import epsilon_of_mu, mu_of_epsilon
from fedcc.tasks.metrics import accuracy, roc_auc
from fedcc.training.dp_sgd import NORM_SLACK

DELTA, EXCESS, RETRIES = 1e-5, math.sqrt(10 / 9), 2
Array = np.ndarray


@dataclass(frozen=True)
class Trial:
    """One variant; the defaults are `training=interactions`."""

    hinges: int = 8
    cosines: int = 0
    columns: int = 8  # that a cosine looks at
    scale: float = 1.0  # of its weights
    share: float = 0.7  # of a row's squared norm that cosines or pairs take
    pairs: int = 0  # pairs of columns, as tables of cells
    bins: int = 5  # of a number in such a table
    pick: float = 0.0  # share of mu squared for picking the pairs; 0: the first in a public order
    first: float = 0.2  # share for the additive model whose residuals are looked at to pick them
    rounds: int = 60
    clip: float = 0.3
    rate: float = 150.0
    most: float = 8.0
    least: float = 0.1
    momentum: float = 0.9
    tail: float = 0.5
    prior: float = 0.0
    whiten: float = 0.0  # power of the private covariance that the features are divided by
    ridge: float = 0.03  # of its largest eigenvalue
    inside: bool = False  # divide the noised sums, not the features: DP-Newton with a fixed matrix
    release: float = 0.05  # share of mu squared for that covariance
    quantile: float = 0.0  # of rows that stay unclipped, followed by the bound; 0: a fixed bound
    counting: float = 0.01  # share of mu squared for counting them


@dataclass(frozen=True)
class Pool:
    """Rows of one set: features, labels, public starting point and metric."""

    features: Array
    labels: Array
    start: Array  # shape (d, n_outputs)
    extra: Array  # one-hot cells of pairs, as codes, shape (n, n_pairs)
    cells: int  # of one pair's table


def churn_table(name: str) -> tuple[Table, DataSpec]:
    """Return the training rows of the first test split; test rows are never read further."""
    settings = simulation_settings(config.compose("simulate", ["task=churn", f"data={name}"]))
    table, _ = admit(read_table(settings.data, None), settings.data, now=datetime.now(UTC))
    return table.take(split_test_rows(table, settings.data, 0)[0]), settings.data


def churn_pool(table: Table, spec: DataSpec, trial: Trial) -> Pool:
    """Encode the rows for a trial; pairs are kept as codes until they are picked."""
    shape = None
    if trial.cosines:
        shape = FourierShape(
            features=trial.cosines,
            columns=trial.columns,
            scale=trial.scale,
            share=trial.share,
            seed=1,
        )
    recipe = TabularEncoding.from_spec(spec, trial.hinges, shape)
    features = recipe.encode(table)
    codes = [
        np.clip((table.numbers[name] - low) / (high - low) * trial.bins, 0, trial.bins - 1)
        for name, low, high in recipe.numbers
    ] + [np.minimum(table.categories[name], trial.bins - 1) for name, _ in recipe.categories]
    column = [np.floor(code).astype(np.int64) for code in codes]
    both = [(a, b) for a in range(len(column)) for b in range(a)]
    extra = np.array([column[a] * trial.bins + column[b] for a, b in both]).T
    start = np.zeros((features.shape[1], 1))
    return Pool(features, np.asarray(table.categories[spec.label]), start, extra, trial.bins**2)


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
