"""From raw text cells to admitted, typed rows: consent, duplicates, bounds, redaction, in order.

Every row that is left out is counted by its reason. Values outside their declared domain end the
run with file, row and column, or are clamped or dropped where the YAML says so.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from fedcc.data.connectors import RawTable
from fedcc.data.consent import admitted_by_consent
from fedcc.data.pii import NOT_COVERED, redact
from fedcc.data.spec import ColumnSpec, DataSpec, as_text
from fedcc.errors import RecordError


@dataclass(frozen=True)
class GateCounts:
    """What the gates did; a simulation may print it, a production site keeps it."""

    rows_read: int
    refused: dict[str, int]
    clamped: int
    redacted: dict[str, int]
    rows_admitted: int

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "rows_read": self.rows_read,
            "refused": dict(sorted(self.refused.items())),
            "clamped": self.clamped,
            "redacted": dict(sorted(self.redacted.items())),
            "not_redacted": list(NOT_COVERED),
            "rows_admitted": self.rows_admitted,
        }


@dataclass(frozen=True)
class Table:
    """Admitted rows: numbers as float64, categories and labels as codes, the rest as text.

    All arrays have shape `(n_rows,)`; `row` holds each row's number in the source (from 1).
    """

    source: str
    row: NDArray[np.int64]
    numbers: dict[str, NDArray[np.float64]]
    categories: dict[str, NDArray[np.int64]]
    texts: dict[str, list[str]]
    from_test_file: NDArray[np.bool_]

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
        )


def admit(raw: RawTable, spec: DataSpec, *, now: datetime) -> tuple[Table, GateCounts]:
    """Pass raw rows through all gates.

    Raises:
        RecordError: without a consent basis, for a value outside its domain (`out_of_bounds:
            error`) or a missing value without a declared default, or if no row is left.
    """
    rows, refused = admitted_by_consent(raw, spec.consent, now=now)
    if spec.drop_rows.duplicates:
        rows = _without_duplicates(raw, spec, rows, refused)
    cells, rows, clamped = _typed_cells(raw, spec, rows, refused)
    if not rows:
        raise RecordError(f"{raw.source}: no row is left after the gates ({dict(refused)}).")
    redacted: Counter[str] = Counter()
    texts: dict[str, list[str]] = {}
    for name in spec.columns:
        if name in cells:
            continue
        texts[name] = [raw.columns[name][row] for row in rows]
        if "text" in spec.columns[name].roles:
            pairs = [redact(text) for text in texts[name]]
            texts[name] = [text for text, _ in pairs]
            for _, found in pairs:
                redacted.update(found)
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
    )
    counts = GateCounts(raw.n_rows, dict(refused), clamped, dict(redacted), len(rows))
    return table, counts


def _without_duplicates(
    raw: RawTable, spec: DataSpec, rows: list[int], refused: Counter[str]
) -> list[int]:
    """Keep the first of rows that agree in every declared column."""
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


def _typed_cells(
    raw: RawTable, spec: DataSpec, rows: list[int], refused: Counter[str]
) -> tuple[dict[str, NDArray[np.float64]], list[int], int]:
    """Parse every typed column; a row with one value outside its domain is dropped as a whole."""
    typed = {n: c for n, c in spec.columns.items() if c.kind is not None or "label" in c.roles}
    values: dict[str, NDArray[np.float64]] = {}
    outside: dict[int, str] = {}
    clamped: list[int] = []
    for name, column in typed.items():
        parsed = np.empty(len(rows))
        codes = column.codes
        for i, row in enumerate(rows):
            value = _parse(raw.columns[name][row], column, codes)
            if value is None:
                reason = "label" if "label" in column.roles else "out_of_bounds"
                if spec.out_of_bounds == "error":
                    raise RecordError(_domain_message(raw, spec, name, row))
                value = _clamp(raw.columns[name][row], column, codes)
                if spec.out_of_bounds == "drop" or value is None:
                    outside.setdefault(row, reason)
                    value = 0.0
                else:
                    clamped.append(row)
            parsed[i] = value
        values[name] = parsed
    keep = [i for i, row in enumerate(rows) if row not in outside]
    refused.update(outside.values())
    n_clamped = sum(row not in outside for row in clamped)
    return {n: v[keep] for n, v in values.items()}, [rows[i] for i in keep], n_clamped


def _parse(cell: str, column: ColumnSpec, codes: dict[str, int]) -> float | None:
    """Return the number or code of a cell, or `None` if it lies outside the declared domain."""
    if cell == "" and column.missing is not None:
        cell = as_text(column.missing)
    if column.kind != "number":
        code = codes.get(cell)
        if code is None and re.fullmatch(r"-?\d+\.0", cell):
            code = codes.get(cell[:-2])
        return None if code is None else float(code)
    number = _number(cell)
    low, high = column.bounds or (0.0, 0.0)
    return number if number is not None and low <= number <= high else None


def _number(cell: str) -> float | None:
    """Return a cell's number, or `None` where it holds none; Python's 1_000 is none."""
    try:
        number = float(cell)
    except ValueError:
        return None
    return None if math.isnan(number) or "_" in cell else number


def _clamp(cell: str, column: ColumnSpec, codes: dict[str, int]) -> float | None:
    """Move a number to its nearest bound; an unknown category becomes the declared default."""
    if column.kind == "number" and (number := _number(cell)) is not None:
        low, high = column.bounds or (0.0, 0.0)
        return min(max(number, low), high)
    if "label" in column.roles or column.missing is None:
        return None
    if column.kind == "number":
        return float(column.missing)
    return float(codes[as_text(column.missing)])


def _domain_message(raw: RawTable, spec: DataSpec, name: str, row: int) -> str:
    """Say what is wrong with a cell without showing it."""
    column, cell = spec.columns[name], raw.columns[name][row]
    where = f"{raw.place(row)}, column {name}"
    kind = "label" if "label" in column.roles else "value"
    if cell == "":
        default = "" if kind == "label" else f"declare columns.{name}.missing, "
        return f"{where}: the {kind} is missing. Mend the row, {default}or set out_of_bounds: drop."
    if column.kind == "number":
        low, high = column.bounds or (0.0, 0.0)
        domain = f"a number in [{as_text(low)}, {as_text(high)}]"
        if _number(cell) is None:
            domain += ", written like -1234.5 without unit or thousands sign"
    else:
        domain = f"one of {', '.join(column.categories[:12])}"
        domain += ", …" if len(column.categories) > 12 else ""
    return (
        f"{where}: the {kind} is not {domain}. Widen columns.{name} of the data YAML, mend the "
        "row, or set out_of_bounds to clamp or drop."
    )
