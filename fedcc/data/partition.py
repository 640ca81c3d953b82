"""Splitting rows into test and training rows, and training rows into simulated sites.

The test split is keyed by customer (by row where there is no customer id), so all rows of one
customer fall on one side. Sites are formed by natural cells, at random, or by Dirichlet label skew.
Where whole customers are dealt, only natural cells can bring one customer to several sites, as in
life. Only simulations partition; a production site has its own rows.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedcc.data.column_spec import OUT_OF_SCOPE
from fedcc.data.customers import column_texts, customer_codes, customer_ids
from fedcc.data.gates import Table
from fedcc.data.left_out import described
from fedcc.data.spec import DataSpec
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
        texts = map(normal, column_texts(table, name))
        is_test = np.array([text in marks for text in texts], dtype=np.bool_)
    else:
        ids = customer_ids(table, spec)
        keys = ids if ids is not None else list(map(str, table.row))
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
    *,
    whole_customers: bool,
) -> list[Rows]:
    """Deal the rows of `table` to sites.

    Args:
        table: the training rows.
        spec: the data YAML.
        n_sites: how many sites.
        settings: how to deal.
        rng: moves rows.
        whole_customers: whether a customer's rows (of one natural cell) stay together. Where every
            customer has one row this changes nothing.

    Returns:
        One sorted array of positions per site; every row is in exactly one.

    Raises:
        ConfigError: as `check_partition` does.
        RecordError: if there are too few rows, or customers, for that many sites.
    """
    check_partition(spec, settings)
    if table.n_rows < n_sites * settings.min_rows:
        raise RecordError(
            f"{table.source}: {table.n_rows} training rows are too few for {n_sites} sites of at "
            f"least {settings.min_rows} rows.{described(table.left_out)} Lower sites or "
            "data.min_rows, or admit more rows."
        )
    labels = table.categories[spec.label]
    units = customer_codes(table, spec) if whole_customers else np.arange(table.n_rows)
    if settings.partition == "natural":
        sites = _natural(_cells(table, spec), n_sites, units, rng)
    elif settings.partition == "iid":
        sites = _cut(_shuffled(np.arange(table.n_rows), units, rng), units, n_sites)
    else:
        sites = _dirichlet(labels, units, n_sites, settings.alpha, rng)
    sites = [_shuffled(rows, units, rng) for rows in sites]
    if not _fill(sites, units, settings.min_rows):
        raise RecordError(
            f"{table.source}: whole customers cannot be dealt to {n_sites} sites of at least "
            f"{settings.min_rows} rows. Lower sites or data.min_rows."
        )
    return [np.sort(rows) for rows in sites]


def _shuffled(rows: Rows, units: Rows, rng: np.random.Generator) -> Rows:
    """Return `rows` in random order of their units; the rows of one unit stand together."""
    _, first, unit = np.unique(units[rows], return_index=True, return_inverse=True)
    appearance = np.argsort(np.argsort(first))
    place = np.argsort(rng.permutation(len(first)))
    return rows[np.argsort(place[appearance[unit]], kind="stable")]


def _starts(rows: Rows, units: Rows) -> Rows:
    """Return where each unit begins in rows that stand together by unit."""
    return np.flatnonzero(np.diff(units[rows], prepend=-1))


def _cut(rows: Rows, units: Rows, n_parts: int) -> list[Rows]:
    """Cut rows that stand together by unit into parts of equally many units."""
    starts = _starts(rows, units)
    counts = np.cumsum([len(part) for part in np.array_split(starts, n_parts)])[:-1]
    return np.split(rows, np.append(starts, len(rows))[counts])


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


def _natural(cells: list[Rows], n_sites: int, units: Rows, rng: np.random.Generator) -> list[Rows]:
    """Halve the largest cell until there are enough, then deal them largest-first."""
    while len(cells) < n_sites:
        largest = max(range(len(cells)), key=lambda i: len(cells[i]))
        cells += _cut(_shuffled(cells.pop(largest), units, rng), units, 2)
    cells.sort(key=len, reverse=True)
    sites: list[list[Rows]] = [[] for _ in range(n_sites)]
    for cell in cells:
        min(sites, key=lambda held: sum(map(len, held))).append(cell)
    return [np.concatenate(held) for held in sites]


def _dirichlet(
    labels: NDArray[np.int64], units: Rows, n_sites: int, alpha: float, rng: np.random.Generator
) -> list[Rows]:
    """Deal the units of each label by shares drawn from a symmetric Dirichlet distribution.

    Source: Hsu, Qi, Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated
    Visual Classification", 2019 (arXiv:1909.06335).
    """
    labels = _commonest(labels, units)
    sites: list[list[Rows]] = [[] for _ in range(n_sites)]
    for label in np.unique(labels):
        rows = _shuffled(np.flatnonzero(labels == label), units, rng)
        starts = _starts(rows, units)
        shares = np.cumsum(rng.dirichlet(np.full(n_sites, alpha)))[:-1]
        ends = np.append(starts, len(rows))[(shares * len(starts)).astype(int)]
        for held, part in zip(sites, np.split(rows, ends), strict=True):
            held.append(part)
    return [np.concatenate(held) for held in sites]


def _commonest(labels: NDArray[np.int64], units: Rows) -> NDArray[np.int64]:
    """Return for each row the commonest label of its unit; of equally common ones the lowest."""
    width = int(labels.max()) + 1
    pairs, counts = np.unique(units * width + labels, return_counts=True)
    owner, label = np.divmod(pairs, width)
    order = np.lexsort((label, -counts, owner))
    owners, first = np.unique(owner[order], return_index=True)
    return np.asarray(label[order][first][np.searchsorted(owners, units)])


def _fill(sites: list[Rows], units: Rows, min_rows: int) -> bool:
    """Move units from the largest site until every site holds `min_rows`; tell whether they do."""
    for index in range(len(sites)):
        while (lacking := min_rows - len(sites[index])) > 0:
            donors = sorted(range(len(sites)), key=lambda i: -len(sites[i]))
            moves = ((i, _spared(sites[i], units, lacking, min_rows)) for i in donors if i != index)
            donor, count = next(((i, count) for i, count in moves if count), (index, 0))
            if not count:
                return False
            sites[index] = np.concatenate([sites[index], sites[donor][:count]])
            sites[donor] = sites[donor][count:]
    return True


def _spared(rows: Rows, units: Rows, wanted: int, min_rows: int) -> int:
    """Return how many rows at the front, whole units, to give away: enough, or what is spare."""
    ends = np.append(_starts(rows, units), len(rows))
    enough = ends[min(int(np.searchsorted(ends, wanted)), len(ends) - 1)]
    spare = ends[np.searchsorted(ends, max(len(rows) - min_rows, 0), side="right") - 1]
    return int(min(enough, spare))
