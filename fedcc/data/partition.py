"""Splitting rows into test and training rows, and training rows into simulated sites.

The test split is keyed by customer (by row where there is no customer id), so all rows of one
customer fall on one side. Sites are formed by natural cells, at random, or by Dirichlet label skew.
Only simulations partition; a production site has its own rows.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedcc.data.column_spec import OUT_OF_SCOPE
from fedcc.data.gates import Table
from fedcc.data.left_out import described
from fedcc.data.spec import DataSpec, as_text
from fedcc.data.wording import normal
from fedcc.errors import ConfigError, RecordError

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class PartitionSettings:
    """How a simulation splits its rows; keys of `configs/simulate.yaml`, group `data`."""

    path: str | None
    partition: Literal["natural", "iid", "dirichlet"]
    alpha: float
    min_rows: int
    split_seed: int

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.alpha < math.inf:
            raise ValueError(f"alpha must be > 0 and finite, got {self.alpha}")
        if self.min_rows < 1:
            raise ValueError(f"min_rows must be at least 1, got {self.min_rows}")


def split_test_rows(table: Table, spec: DataSpec, split_seed: int) -> tuple[Rows, Rows]:
    """Return the positions of training and of test rows; rows out of scope are neither.

    Raises:
        RecordError: if either side is empty.
    """
    if spec.test.kind == "file":
        is_test = table.from_test_file
    elif spec.test.kind == "column":
        name, marks = str(spec.test.column), spec.test.marks
        if name in table.categories:
            codes = spec.columns[name].cell_codes
            marks = frozenset(str(codes[mark]) for mark in marks if mark in codes)
        texts = map(normal, _texts(table, name))
        is_test = np.array([text in marks for text in texts], dtype=np.bool_)
    else:
        customers = spec.with_role("customer")
        keys = _texts(table, customers[0]) if customers else list(map(str, table.row))
        limit = int(float(spec.test.fraction or 0) * 2**64)
        is_test = np.array([_keyed_hash(key, split_seed) < limit for key in keys], dtype=np.bool_)
    in_scope = table.categories[spec.label] != OUT_OF_SCOPE
    train, test = np.flatnonzero(in_scope & ~is_test), np.flatnonzero(in_scope & is_test)
    if len(train) == 0 or len(test) == 0:
        side = "training" if len(train) == 0 else "test"
        raise RecordError(
            f"{table.source}: the split leaves no {side} rows of {table.n_rows}. Check the test "
            f"block of the data YAML.{described(table.left_out)}"
        )
    return train, test


def held_rows(table: Table, spec: DataSpec) -> Rows:
    """Return the positions of the rows whose label is out of scope; they never train."""
    return np.flatnonzero(table.categories[spec.label] == OUT_OF_SCOPE)


def _texts(table: Table, name: str) -> list[str]:
    """Return a column as text, whatever its kind; a category as its code."""
    if name in table.texts:
        return table.texts[name]
    typed = table.numbers if name in table.numbers else table.categories
    return [as_text(value) for value in typed[name].tolist()]


def _keyed_hash(text: str, seed: int) -> int:
    digest = hashlib.sha256(f"{seed}|{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def check_partition(spec: DataSpec, settings: PartitionSettings) -> None:
    """Refuse a partition that the data YAML cannot serve; needs no row, so ask before reading.

    Raises:
        ConfigError: if `natural` is asked for and the YAML names no site columns.
    """
    if settings.partition == "natural" and not spec.site_columns:
        raise ConfigError(
            f"data.partition=natural: the data YAML '{spec.name}' names no sites.columns. "
            "Add sites: {columns: [NAME]}, or use data.partition=iid or dirichlet."
        )


def partition_rows(
    table: Table,
    spec: DataSpec,
    n_sites: int,
    settings: PartitionSettings,
    rng: np.random.Generator,
) -> list[Rows]:
    """Deal the rows of `table` to sites.

    Returns:
        One sorted array of positions per site; every row is in exactly one.

    Raises:
        ConfigError: as `check_partition` does.
        RecordError: if there are too few rows for that many sites.
    """
    check_partition(spec, settings)
    if table.n_rows < n_sites * settings.min_rows:
        raise RecordError(
            f"{table.source}: {table.n_rows} training rows are too few for {n_sites} sites of at "
            f"least {settings.min_rows} rows.{described(table.left_out)} Lower sites or "
            "data.min_rows, or admit more rows."
        )
    labels = table.categories[spec.label]
    if settings.partition == "natural":
        sites = _natural(_cells(table, spec), n_sites, rng)
    elif settings.partition == "iid":
        sites = [np.asarray(p) for p in np.array_split(rng.permutation(table.n_rows), n_sites)]
    else:
        sites = _dirichlet(labels, n_sites, settings.alpha, rng)
    return [np.sort(rows) for rows in _at_least(sites, settings.min_rows, rng)]


def _cells(table: Table, spec: DataSpec) -> list[Rows]:
    """Return the rows of each cell of the declared site columns, largest cell first."""
    columns: list[Sequence[object]] = []
    for name in spec.site_columns:
        if name in table.numbers:
            columns.append(table.numbers[name].tolist())
        elif name in table.categories:
            columns.append(table.categories[name].tolist())
        else:
            columns.append(table.texts[name])
    groups: dict[tuple[object, ...], list[int]] = {}
    for position, key in enumerate(zip(*columns, strict=True)):
        groups.setdefault(key, []).append(position)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), str(item[0])))
    return [np.array(rows, dtype=np.int64) for _, rows in ordered]


def _natural(cells: list[Rows], n_sites: int, rng: np.random.Generator) -> list[Rows]:
    """Halve the largest cell until there are enough, then deal them largest-first."""
    while len(cells) < n_sites:
        largest = max(range(len(cells)), key=lambda i: len(cells[i]))
        shuffled = rng.permutation(cells.pop(largest))
        cells += [np.asarray(half) for half in np.array_split(shuffled, 2)]
    cells.sort(key=len, reverse=True)
    sites: list[list[Rows]] = [[] for _ in range(n_sites)]
    for cell in cells:
        min(sites, key=lambda held: sum(map(len, held))).append(cell)
    return [np.concatenate(held) for held in sites]


def _dirichlet(
    labels: NDArray[np.int64], n_sites: int, alpha: float, rng: np.random.Generator
) -> list[Rows]:
    """Deal each label's rows by shares drawn from a symmetric Dirichlet distribution.

    Source: Hsu, Qi, Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated
    Visual Classification", 2019 (arXiv:1909.06335).
    """
    sites: list[list[Rows]] = [[] for _ in range(n_sites)]
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        shares = np.cumsum(rng.dirichlet(np.full(n_sites, alpha)))[:-1]
        for held, part in zip(sites, np.split(rows, (shares * len(rows)).astype(int)), strict=True):
            held.append(part)
    return [np.concatenate(held) for held in sites]


def _at_least(sites: list[Rows], min_rows: int, rng: np.random.Generator) -> list[Rows]:
    """Move rows from the largest site until every site holds at least `min_rows`."""
    sites = [rng.permutation(rows) for rows in sites]
    for index in range(len(sites)):
        while (lacking := min_rows - len(sites[index])) > 0:
            largest = max(range(len(sites)), key=lambda i: len(sites[i]))
            moved = min(lacking, len(sites[largest]) - min_rows)
            sites[index] = np.concatenate([sites[index], sites[largest][:moved]])
            sites[largest] = sites[largest][moved:]
    return sites
