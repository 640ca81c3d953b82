"""Warnings of what in a data set would hurt training or flatter its test, without a cell in them.

Warnings are for the owner of the data and for simulations: they count private rows. They name
declared columns and declared values alone.
"""

from collections import Counter

import numpy as np

from fedcc.data.gates import GateCounts, Table
from fedcc.data.partition import Rows
from fedcc.data.spec import DataSpec
from fedcc.data.wording import without_form

_MAX_NAMED = 5  # classes in one warning
_FEW_ROWS = 5  # of a class, below which nothing is learned
_PUBLIC_ROWS_TOLERANCE = 0.1
_REPAIRED_TOLERANCE = 0.02  # of a column's cells


def data_warnings(
    spec: DataSpec, table: Table, gates: GateCounts, train_rows: Rows, test_rows: Rows
) -> list[str]:
    """Return what should be looked at before a run, one sentence or two each.

    Args:
        spec: the data YAML.
        table: all admitted rows.
        gates: what the gates did to get them.
        train_rows: positions of the training rows in `table`, as `split_test_rows` returns them.
        test_rows: those of the test rows.
    """
    return [
        *_row_warnings(spec, len(train_rows)),
        *_class_warnings(spec, table, train_rows),
        *_customer_warnings(spec, table),
        *_split_warnings(spec, table, train_rows, test_rows),
        *_cell_warnings(gates),
    ]


def some_of(names: list[str]) -> str:
    """Return the first few of some names, and how many more there are."""
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more


def _row_warnings(spec: DataSpec, train_rows: int) -> list[str]:
    if abs(spec.public_rows - train_rows) <= _PUBLIC_ROWS_TOLERANCE * train_rows:
        return []
    return [
        f"public_rows says {spec.public_rows} and there are {train_rows} training rows. It is the "
        "public normaliser of every step: agree on a round number near the truth."
    ]


def _class_warnings(spec: DataSpec, table: Table, train_rows: Rows) -> list[str]:
    names = spec.class_names
    counts = np.bincount(table.categories[spec.label][train_rows], minlength=len(names)).tolist()
    found = []
    if empty := [name for name, count in zip(names, counts, strict=True) if not count]:
        found.append(f"no training row has the label {some_of(empty)}: the model cannot learn it.")
    few = [name for name, count in zip(names, counts, strict=True) if 0 < count < _FEW_ROWS]
    if few:
        found.append(
            f"{len(few)} {'class has' if len(few) == 1 else 'classes have'} fewer than {_FEW_ROWS} "
            f"training rows: {some_of(few)}. Merge them with others, or find more rows."
        )
    return found


def _customer_warnings(spec: DataSpec, table: Table) -> list[str]:
    """Warn where the protected unit may be cut in two or glued together; no id is shown."""
    customers = spec.with_role("customer")
    if not customers:
        return []
    found = []
    rows = Counter(table.texts[customers[0]])
    if rows[""]:
        found.append(
            f"{rows['']} rows have no customer id: they do not train where the customer is the "
            "protected unit. Mend them, or choose privacy.unit=record."
        )
    forms = Counter(map(without_form, rows))
    if alike := sum(count for count in forms.values() if count > 1):
        found.append(
            f"{alike} customer ids differ from another one only by upper or lower case, Unicode "
            "form or invisible characters: one person under two ids is protected by halves."
        )
    return found


def _split_warnings(spec: DataSpec, table: Table, train_rows: Rows, test_rows: Rows) -> list[str]:
    """Warn of what stands on both sides of a declared split; the keyed hash parts by customer."""
    if spec.test.kind == "hash":
        return []
    found = []
    for name in spec.with_role("customer"):
        ids = table.texts[name]
        both = {ids[row] for row in train_rows} & {ids[row] for row in test_rows}
        # Rows without an id are no one customer; another warning counts them.
        if n_both := len(both - {""}):
            found.append(
                f"{n_both} {'customer has' if n_both == 1 else 'customers have'} both training and "
                "test rows: the test flatters the model. Move their rows to one side, or use "
                "test: {kind: hash, …}."
            )
    trained = set(_declared_cells(spec, table, train_rows))
    twins = sum(cells in trained for cells in _declared_cells(spec, table, test_rows))
    if twins:
        found.append(
            f"{twins} test {'row agrees' if twins == 1 else 'rows agree'} with a training row in "
            "every declared column: the test flatters the model. Leave them out of one side."
        )
    return found


def _declared_cells(spec: DataSpec, table: Table, rows: Rows) -> list[tuple[object, ...]]:
    """Return each row's cells in the declared columns, less the one that marks the split."""
    part = table.take(rows)
    columns: list[list[object]] = []
    for name in spec.columns:
        if name == spec.test.column or name in spec.with_role("split"):
            continue
        if name in part.texts:
            columns.append(list(part.texts[name]))
        else:
            typed = part.numbers if name in part.numbers else part.categories
            columns.append(typed[name].tolist())
    return list(zip(*columns, strict=True))


def _cell_warnings(gates: GateCounts) -> list[str]:
    """Warn of columns in which many cells were no value of the declared domain."""
    refused = gates.refused
    cells = gates.rows_admitted + refused.get("label", 0) + refused.get("out_of_bounds", 0)
    found = []
    for name, count in sorted(gates.unreadable.items()):
        if count > _REPAIRED_TOLERANCE * cells:
            found.append(
                f"column {name}: {count} of {cells} cells hold no number. Write them like -1234.5 "
                "without unit or thousands sign, or name words for an empty cell in source.empty."
            )
    for name, count in sorted(gates.clamped_by_column.items()):
        if count > _REPAIRED_TOLERANCE * cells:
            found.append(
                f"column {name}: {count} of {cells} values lie outside the declared domain and "
                "were clamped. Check its bounds or values."
            )
    return found
