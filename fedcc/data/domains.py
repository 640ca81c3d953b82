"""Cells against their declared domain: the number or code of a cell, or why it has none.

A message names file, row, column and the declared domain, and never shows the cell.
"""

import math
import re

from fedcc.data.column_spec import ColumnSpec
from fedcc.data.raw_table import RawTable
from fedcc.data.spec import DataSpec
from fedcc.data.wording import as_text, normal, without_form

_MAX_SHOWN = 12  # declared values in a message
_MAX_COMPARED_CHARACTERS = 1_000  # of a cell that may be meant as a declared value


def parse(cell: str, column: ColumnSpec, codes: dict[str, int]) -> float | None:
    """Return the number or code of a cell, or `None` if it lies outside the declared domain."""
    if cell == "" and column.missing is not None:
        cell = as_text(column.missing)
    if column.kind != "number":
        code = codes.get(as_declared(cell))
        if code is None:
            code = codes.get(cell)
        return None if code is None else float(code)
    value = number(cell)
    low, high = column.bounds or (0.0, 0.0)
    return value if value is not None and low <= value <= high else None


def as_declared(cell: str) -> str:
    """Return a cell as the text that declared values are compared with; 3.0 is written 3."""
    return cell[:-2] if re.fullmatch(r"-?\d+\.0", cell) else normal(cell)


def number(cell: str) -> float | None:
    """Return a cell's number, or `None` where it holds none; Python's 1_000 is none."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return None if math.isnan(value) or "_" in cell else value


def clamp(cell: str, column: ColumnSpec, codes: dict[str, int]) -> float | None:
    """Move a number to its nearest bound; an unknown category becomes the declared default."""
    if column.kind == "number" and (value := number(cell)) is not None:
        low, high = column.bounds or (0.0, 0.0)
        return min(max(value, low), high)
    if "label" in column.roles or column.missing is None:
        return None
    if column.kind == "number":
        return float(column.missing)
    return float(codes[as_text(column.missing)])


def domain_message(raw: RawTable, spec: DataSpec, name: str, row: int) -> str:
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
        if number(cell) is None:
            domain += ", written like -1234.5 without unit or thousands sign"
    else:
        domain = f"one of {', '.join(column.categories[:_MAX_SHOWN])}"
        domain += ", …" if len(column.categories) > _MAX_SHOWN else ""
    return (
        f"{where}: the {kind} is not {domain}.{_meant(cell, column)} Widen columns.{name} of the "
        "data YAML, mend the row, or set out_of_bounds to clamp or drop."
    )


def _meant(cell: str, column: ColumnSpec) -> str:
    """Name the declared value that differs from a cell in its form alone."""
    if column.kind == "number" or len(cell) > _MAX_COMPARED_CHARACTERS:
        return ""
    form = without_form(cell)
    for value in (*column.categories, *column.held_values):
        if without_form(value) == form:
            return (
                f" It differs from the declared '{value}' only by upper or lower case, Unicode "
                "form or invisible characters."
            )
    return ""
