"""Columns of trimmed text as the connectors hand them on, and the builder that fills them.

The builder refuses cells that no later step could handle (endless ones, NUL, halves of surrogate
pairs) by file, row and column, and never shows one. Equal cells share one string in memory.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fedcc.config import nearest
from fedcc.errors import RecordError

MAX_CELL_CHARACTERS = 1_000_000
MAX_LINE_CHARACTERS = 64 * MAX_CELL_CHARACTERS
LIST_SEPARATOR = "\x1f"  # between the items of a list in one cell, where `lists` names the column
_MAX_SHARED_CELLS = 65_536  # of one column; texts that hardly repeat are not worth more
_MAX_HEADER_NAMES = 2_000  # that are searched for a near match
_MAX_NAME_CHARACTERS = 200


@dataclass(frozen=True)
class RawTable:
    """Columns of equal length, cells as trimmed text; `source` names them in messages.

    With a test file its rows follow those of `source`, from position `n_train_rows` on. `files`
    holds the name and the first position of each file that was read, in order; empty for one file.
    `lists` names the columns in which a cell may hold several items, joined by `LIST_SEPARATOR`.
    `kept` holds the positions of the rows that belong to the data set; `None` for all of them.
    """

    source: str
    columns: dict[str, list[str]]
    n_train_rows: int | None = None
    files: tuple[tuple[str, int], ...] = ()
    lists: frozenset[str] = frozenset()
    kept: tuple[int, ...] | None = None

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values())))

    def place(self, position: int) -> str:
        """Name a row's file and its number there, from 1, for a message."""
        name, start = self.source, 0
        for file, first in self.files:
            if first <= position:
                name, start = file, first
        return f"{name}, row {position - start + 1}"


def joined(tables: Sequence[RawTable], source: str) -> RawTable:
    """Return the rows of tables with equal columns, one after the other.

    The columns of `tables` are emptied on the way, so that no cell list stands in memory twice.
    """
    if len(tables) == 1:
        [only] = tables
        return replace(only, source=source, files=only.files or ((only.source, 0),))
    columns: dict[str, list[str]] = {name: [] for name in tables[0].columns}
    files: list[tuple[str, int]] = []
    start = 0
    for table in tables:
        files += [(name, start + first) for name, first in table.files or ((table.source, 0),)]
        start += table.n_rows
        for name, cells in columns.items():
            cells += table.columns[name]
            table.columns[name].clear()
    lists = frozenset[str]().union(*(table.lists for table in tables))
    return RawTable(source, columns, files=tuple(files), lists=lists)


class ColumnBuilder:
    """Collects the cells of the wanted columns of one file, row by row."""

    def __init__(self, place: str, wanted: Sequence[str]) -> None:
        """Start with no row; `place` names the file in messages."""
        self._place, self._start = place, 0
        self.columns: dict[str, list[str]] = {name: [] for name in wanted}
        self._shared: list[dict[str, str]] = [{} for _ in self.columns]
        self.n_rows = 0

    def begin(self, place: str) -> None:
        """Name the part of the file that follows; messages count its rows from 1."""
        self._place, self._start = place, self.n_rows

    @property
    def next_place(self) -> str:
        """Name of the row that comes next, for a message."""
        return f"{self._place}, row {self.n_rows - self._start + 1}"

    def add_row(self, cells: Sequence[str]) -> None:
        """Append one row, its cells in the order of the wanted columns.

        Raises:
            RecordError: if a cell is too long or holds what no text may hold.
        """
        columns = self.columns
        for name, raw, shared in zip(columns, cells, self._shared, strict=True):
            cell = raw.strip()
            known = shared.get(cell)
            if known is None:
                if not cell.isascii() or len(cell) > MAX_CELL_CHARACTERS or "\0" in cell:
                    self._check(name, cell)
                if len(shared) < _MAX_SHARED_CELLS:
                    shared[cell] = cell
                known = cell
            columns[name].append(known)
        self.n_rows += 1

    def _check(self, name: str, cell: str) -> None:
        reason = ""
        if len(cell) > MAX_CELL_CHARACTERS:
            reason = f"is longer than {MAX_CELL_CHARACTERS} characters"
        elif "\0" in cell:
            reason = "holds a NUL character"
        elif not _encodable(cell):
            reason = "holds half a surrogate pair, which is no text"
        if reason:
            raise RecordError(f"{self.next_place}, column {name}: the cell {reason}. Mend the row.")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def positions(header: Sequence[str], wanted: Sequence[str], place: str) -> dict[str, int]:
    """Find the wanted columns; the header's other names are not echoed, they may be content.

    Raises:
        RecordError: if a wanted column is missing or stands twice; a near match is named.
    """
    times = Counter(header)
    missing = [name for name in wanted if name not in times]
    if missing:
        hint = " The header has one cell only; check source.delimiter." if len(header) == 1 else ""
        raise missing_columns(missing, header, place, hint)
    twice = [name for name in wanted if times[name] > 1]
    if twice:
        raise RecordError(f"{place}: the header holds {', '.join(twice)} more than once.")
    found = {name: position for position, name in enumerate(header)}
    return {name: found[name] for name in wanted}


def missing_columns(
    missing: Sequence[str], header: Sequence[str], place: str, hint: str = ""
) -> RecordError:
    """Return the error for columns that a file lacks, with the near match of up to three."""
    near = [name for name in header[:_MAX_HEADER_NAMES] if len(name) <= _MAX_NAME_CHARACTERS]
    hints = hint or "".join(nearest(name, near) for name in missing[:3])
    shown = ", ".join(missing[:20]) + (", …" if len(missing) > 20 else "")
    return RecordError(
        f"{place}: missing columns {shown}.{hints} "
        "Name them under columns of the data YAML as they stand in the file."
    )
