"""The map of a data set: what a run would read, leave out, hold aside and deal to which site.

For the eyes of whoever owns the data and for simulations: it holds counts of private rows. It shows
declared names and values alone, never a cell that the YAML does not name.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime

import numpy as np

from fedcc.data.column_spec import ColumnSpec
from fedcc.data.connectors import read_table
from fedcc.data.gates import GateCounts, Table, admit
from fedcc.data.partition import (
    PartitionSettings,
    Rows,
    check_partition,
    held_rows,
    partition_rows,
    split_test_rows,
)
from fedcc.data.quality import data_warnings, some_of
from fedcc.data.raw_table import RawTable
from fedcc.data.spec import DataSpec, as_text


@dataclass(frozen=True)
class ColumnMap:
    """A declared column: its roles and domain as declared, and how many cells are empty."""

    name: str
    roles: tuple[str, ...]
    domain: str
    missing: int


@dataclass(frozen=True)
class SiteMap:
    """One simulated site: its training rows, and those of each class."""

    name: str
    rows: int
    rows_per_class: dict[str, int]


@dataclass(frozen=True)
class DataMap:
    """Everything that is worth knowing before a first run."""

    name: str
    source: str
    columns: tuple[ColumnMap, ...]
    gates: GateCounts
    public_rows: int
    train_rows: int
    test_rows: int
    held_rows: int
    sites: tuple[SiteMap, ...]
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {**asdict(self), "gates": self.gates.as_dict()}


def inspect_data(
    spec: DataSpec,
    usage: PartitionSettings,
    n_sites: int,
    *,
    rng: np.random.Generator,
    now: datetime,
    whole_customers: bool,
) -> DataMap:
    """Read the data set, pass it through all gates, and split and deal it as a simulation does.

    Raises:
        ConfigError, RecordError: as reading, admitting and partitioning do.
    """
    check_partition(spec, usage)
    raw = read_table(spec, usage.path)
    table, gates = admit(raw, spec, now=now)
    train_rows, test_rows = split_test_rows(table, spec, usage.split_seed)
    train = table.take(train_rows)
    parts = partition_rows(train, spec, n_sites, usage, rng, whole_customers=whole_customers)
    sites = tuple(
        SiteMap(f"site-{number}", len(rows), _per_class(train, spec, rows))
        for number, rows in enumerate(parts, start=1)
    )
    warnings = [
        *data_warnings(spec, table, gates, train_rows, test_rows),
        *_site_warnings(sites),
    ]
    return DataMap(
        name=spec.name,
        source=raw.source,
        columns=tuple(_column(name, column, raw) for name, column in spec.columns.items()),
        gates=gates,
        public_rows=spec.public_rows,
        train_rows=len(train_rows),
        test_rows=len(test_rows),
        held_rows=len(held_rows(table, spec)),
        sites=sites,
        warnings=tuple(warnings),
    )


def _column(name: str, column: ColumnSpec, raw: RawTable) -> ColumnMap:
    rows = range(raw.n_rows) if raw.kept is None else raw.kept
    cells = raw.columns[name]
    return ColumnMap(
        name, tuple(column.roles), _domain(column), sum(not cells[row] for row in rows)
    )


def _domain(column: ColumnSpec) -> str:
    """Describe a declared domain in a few words."""
    if column.bounds is not None and column.kind == "number":
        domain = f"number in [{as_text(column.bounds[0])}, {as_text(column.bounds[1])}]"
    elif column.values:
        classes = len(set(column.codes.values()))
        domain = f"{classes} {'classes' if 'label' in column.roles else 'values'}"
    else:
        domain = "text"
    if column.out_of_scope:
        domain += f", {len(column.out_of_scope)} out of scope"
    return domain if column.missing is None else f"{domain}, empty is {as_text(column.missing)}"


def _per_class(train: Table, spec: DataSpec, rows: Rows) -> dict[str, int]:
    names = spec.class_names
    counts = np.bincount(train.categories[spec.label][rows], minlength=len(names))
    return dict(zip(names, counts.tolist(), strict=True))


def _site_warnings(sites: tuple[SiteMap, ...]) -> list[str]:
    total = Counter[str]()
    for site in sites:
        total.update(site.rows_per_class)
    lacking = [
        site.name
        for site in sites
        if any(total[name] and not count for name, count in site.rows_per_class.items())
    ]
    if not lacking:
        return []
    return [
        f"{len(lacking)} of {len(sites)} sites hold no row of some class that others have "
        f"({some_of(lacking)}): label skew, which training across sites has to bridge."
    ]
