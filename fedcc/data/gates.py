"""From raw text cells to admitted, typed rows, in order: the rows that belong to the data set,
consent, duplicates, several labels, bounds, redaction.

Every row that is left out is counted by its reason. Values outside their declared domain end the
run with file, row and column, or are clamped or dropped where the YAML says so.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from fedcc.data.column_spec import OUT_OF_SCOPE
from fedcc.data.consent import admitted_by_consent
from fedcc.data.domains import clamp, domain_message, number, parse
from fedcc.data.left_out import NOT_KEPT, described
from fedcc.data.pii import NOT_COVERED, redact
from fedcc.data.raw_table import LIST_SEPARATOR, RawTable
from fedcc.data.spec import DataSpec
from fedcc.errors import RecordError


@dataclass(frozen=True)
class GateCounts:
    """What the gates did; a simulation may print it, a production site keeps it."""

    rows_read: int
    not_kept: int  # rows that `keep_rows` leaves out: no part of the declared data set
    refused: dict[str, int]
    clamped: int  # values of admitted rows
    clamped_by_column: dict[str, int]
    # Filled cells of a number column that hold no number, be they read as `missing` or the reason
    # why their row was dropped; they are not clamped.
    unreadable: dict[str, int]
    first_label_taken: int  # rows with several labels of which the first one counts
    redacted: dict[str, int]
    rows_admitted: int
    out_of_scope: int  # of the admitted rows; they never train

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "rows_read": self.rows_read,
            "not_kept": self.not_kept,
            "refused": dict(sorted(self.refused.items())),
            "clamped": self.clamped,
            "clamped_by_column": dict(sorted(self.clamped_by_column.items())),
            "unreadable": dict(sorted(self.unreadable.items())),
            "first_label_taken": self.first_label_taken,
            "redacted": dict(sorted(self.redacted.items())),
            "not_redacted": list(NOT_COVERED),
            "rows_admitted": self.rows_admitted,
            "out_of_scope": self.out_of_scope,
        }


@dataclass(frozen=True)
class Table:
    """Admitted rows: numbers as float64, categories and labels as codes, the rest as text.

    The label of a row out of scope has code -1; `split_test_rows` leaves such rows out.
    All arrays have shape `(n_rows,)`; `row` holds each row's number in the source (from 1).
    `left_out` counts by reason the rows that did not reach the table, for messages.
    """

    source: str
    row: NDArray[np.int64]
    numbers: dict[str, NDArray[np.float64]]
    categories: dict[str, NDArray[np.int64]]
    texts: dict[str, list[str]]
    from_test_file: NDArray[np.bool_]
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def n_rows(self) -> int:
        """Number of admitted rows."""
        return len(self.row)

    def take(self, positions: NDArray[np.int64]) -> "Table":
        """Return the rows at these positions."""
        return Table(
            source=self.source,
            row=self.row[positions],
            numbers={name: values[positions] for name, values in self.numbers.items()},
            categories={name: codes[positions] for name, codes in self.categories.items()},
            texts={name: [texts[i] for i in positions] for name, texts in self.texts.items()},
            from_test_file=self.from_test_file[positions],
            left_out=self.left_out,
        )


def admit(raw: RawTable, spec: DataSpec, *, now: datetime) -> tuple[Table, GateCounts]:
    """Pass raw rows through all gates.

    Raises:
        RecordError: without a consent basis, for a value outside its domain (`out_of_bounds:
            error`) or a missing value without a declared default, or if no row is left.
    """
    rows, refused = admitted_by_consent(raw, spec.consent, now=now, rows=raw.kept)
    if spec.drop_rows.duplicates:
        rows = _without_duplicates(raw, spec, rows, refused)
    raw, rows, n_first = _with_one_label(raw, spec, rows, refused)
    cells, rows, repaired = _typed_cells(raw, spec, rows, refused)
    not_kept = 0 if raw.kept is None else raw.n_rows - len(raw.kept)
    left_out = {**refused, NOT_KEPT: not_kept}
    if not rows:
        raise RecordError(
            f"{raw.source}: no row of {raw.n_rows} is left after the gates.{described(left_out)} "
            "Mend the rows, or the keys of the data YAML that are named here."
        )
    texts, redacted = _redacted_texts(raw, spec, rows)
    position = np.array(rows, dtype=np.int64)
    n_train_rows = raw.n_rows if raw.n_train_rows is None else raw.n_train_rows
    table = Table(
        source=raw.source,
        row=position + 1,
        numbers={k: v for k, v in cells.items() if spec.columns[k].kind == "number"},
        categories={
            k: v.astype(np.int64) for k, v in cells.items() if spec.columns[k].kind != "number"
        },
        texts=texts,
        from_test_file=position >= n_train_rows,
        left_out=left_out,
    )
    counts = GateCounts(
        rows_read=raw.n_rows,
        not_kept=not_kept,
        refused=dict(refused),
        clamped=repaired.clamped.total(),
        clamped_by_column=dict(repaired.clamped),
        unreadable=dict(repaired.unreadable),
        first_label_taken=n_first,
        redacted=dict(redacted),
        rows_admitted=len(rows),
        out_of_scope=int((table.categories[spec.label] == OUT_OF_SCOPE).sum()),
    )
    return table, counts


def _redacted_texts(
    raw: RawTable, spec: DataSpec, rows: list[int]
) -> tuple[dict[str, list[str]], Counter[str]]:
    """Return the columns that stay text, free text redacted, and the replacements by kind."""
    redacted: Counter[str] = Counter()
    texts: dict[str, list[str]] = {}
    for name, column in spec.columns.items():
        if column.is_typed:
            continue
        texts[name] = [raw.columns[name][row] for row in rows]
        if "text" in column.roles:
            pairs = [redact(text) for text in texts[name]]
            texts[name] = [text for text, _ in pairs]
            for _, found in pairs:
                redacted.update(found)
    return texts, redacted


def _without_duplicates(
    raw: RawTable, spec: DataSpec, rows: list[int], refused: Counter[str]
) -> list[int]:
    """Keep the first of rows that agree in every declared column; see `DropRows`."""
    seen: set[tuple[str, ...]] = set()
    kept = []
    for row in rows:
        key = tuple(raw.columns[name][row] for name in spec.columns)
        if key in seen:
            refused["duplicate"] += 1
        else:
            seen.add(key)
            kept.append(row)
    return kept


def _with_one_label(
    raw: RawTable, spec: DataSpec, rows: list[int], refused: Counter[str]
) -> tuple[RawTable, list[int], int]:
    """Drop rows with several labels or keep their first one; return how many were kept so."""
    name = spec.label
    separator = spec.columns[name].separator
    if separator is None and name not in raw.lists:
        return raw, rows, 0
    cells = list(raw.columns[name])
    kept, n_first = [], 0
    for row in rows:
        items = cells[row].split(LIST_SEPARATOR) if name in raw.lists else [cells[row]]
        if separator is not None:
            items = [part for item in items for part in item.split(separator)]
        labels = list(dict.fromkeys(filter(None, map(str.strip, items))))
        if len(labels) > 1 and spec.drop_rows.multi_label == "drop":
            refused["multi_label"] += 1
            continue
        n_first += len(labels) > 1
        cells[row] = labels[0] if labels else ""
        kept.append(row)
    return replace(raw, columns={**raw.columns, name: cells}), kept, n_first


@dataclass(frozen=True)
class _Repaired:
    """Cells by column that are no value of their domain and did not end the run."""

    clamped: Counter[str]
    unreadable: Counter[str]


def _typed_cells(
    raw: RawTable, spec: DataSpec, rows: list[int], refused: Counter[str]
) -> tuple[dict[str, NDArray[np.float64]], list[int], _Repaired]:
    """Parse every typed column; a row with one value outside its domain is dropped as a whole."""
    values: dict[str, NDArray[np.float64]] = {}
    outside: dict[int, str] = {}
    clamped: list[tuple[int, str]] = []
    unreadable: Counter[str] = Counter()
    for name, column in spec.columns.items():
        if not column.is_typed:
            continue
        parsed = np.empty(len(rows))
        codes = column.cell_codes
        known: dict[str, float | None] = {}  # cells repeat
        for i, row in enumerate(rows):
            cell = raw.columns[name][row]
            if cell not in known:
                known[cell] = parse(cell, column, codes)
            value = known[cell]
            if value is None:
                if spec.out_of_bounds == "error":
                    raise RecordError(domain_message(raw, spec, name, row))
                value = clamp(cell, column, codes)
                readable = column.kind != "number" or cell == "" or number(cell) is not None
                unreadable[name] += not readable
                if spec.out_of_bounds == "drop" or value is None:
                    reason = "label" if "label" in column.roles else "out_of_bounds"
                    outside.setdefault(row, reason)
                    value = 0.0
                elif readable:
                    clamped.append((row, name))
            parsed[i] = value
        values[name] = parsed
    keep = [i for i, row in enumerate(rows) if row not in outside]
    refused.update(outside.values())
    repaired = _Repaired(Counter(name for row, name in clamped if row not in outside), +unreadable)
    return {n: v[keep] for n, v in values.items()}, [rows[i] for i in keep], repaired
