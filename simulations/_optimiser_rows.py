"""The variants that `optimiser_trials.py` can try, and the training rows that they are tried on."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from fedcc import config
from fedcc.data.connectors import read_table
from fedcc.data.fourier_features import FourierShape
from fedcc.data.gates import Table, admit
from fedcc.data.partition import split_test_rows
from fedcc.data.spec import DataSpec
from fedcc.data.tabular_features import TabularEncoding
from fedcc.federation.settings import simulation_settings

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
