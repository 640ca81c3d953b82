"""Reading the wanted columns of JSON: an object a line, an array of rows, or arrays in an object.

A row is an object, or an array whose cells `source.fields` names. Numbers are kept as they are
written, `null` and an absent key are an empty cell, and a list is several labels in the label
column, several scopes in the consent scope column, and refused elsewhere. A name such as
`caller.id` reaches into an object unless a key of that very name is there. Refusals name file and
row, never a value or an undeclared key.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fedcc.data.csv_source import not_text, text_encoding
from fedcc.data.raw_table import (
    LIST_SEPARATOR,
    MAX_LINE_CHARACTERS,
    ColumnBuilder,
    RawTable,
    missing_columns,
)
from fedcc.data.source_spec import SCOPE_SEPARATORS, SourceSpec
from fedcc.errors import RecordError

MAX_JSON_BYTES = 256 * 2**20
_MAX_KEYS = 2_000  # that are remembered for a near match
_ABSENT = object()


class _RepeatedKey(dict[str, Any]):
    """An object that holds a key twice; it is refused where a row would read it."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _RepeatedKey(found)


# NaN and Infinity are kept as words; the gate of the column refuses them as it does those of a CSV.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=str, parse_float=str, parse_constant=str
)


def decoded(text: str, place: str) -> Any:
    """Parse one JSON text; the parser's own message is not shown, it may quote content."""
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f" at line {error.lineno}, column {error.colno}" if error.lineno > 1 else ""
        raise RecordError(
            f"{place}: not valid JSON{where or f' at column {error.colno}'}. Mend it, or check "
            "source.kind (jsonl is one object a line, json one array or object)."
        ) from None
    except RecursionError:
        raise RecordError(f"{place}: nested too deeply to be a table.") from None


def read_jsonl(
    path: Path,
    source: SourceSpec,
    wanted: Sequence[str],
    label: str | None,
    scope: str | None = None,
) -> RawTable:
    """Read a file that holds one row a line; blank lines are skipped.

    Args:
        path: the file.
        source: how it is written.
        wanted: the columns to read.
        label: the column in which a list is several labels.
        scope: the consent column in which a list of texts is several scopes.

    Raises:
        ConfigError: if the declared encoding does not exist.
        RecordError: if the file is empty, unreadable or lacks a wanted column.
    """
    rows = _RowReader(path, source, wanted, label, scope)
    try:
        with path.open(encoding=text_encoding(source.encoding), newline="\n") as file:
            while line := file.readline(MAX_LINE_CHARACTERS):
                if len(line) == MAX_LINE_CHARACTERS:
                    raise RecordError(
                        f"{rows.next_place}: the line is longer than {MAX_LINE_CHARACTERS} "
                        "characters. A file of one array is source.kind: json."
                    )
                if line.strip():
                    rows.add(decoded(line.strip(), rows.next_place))
    except UnicodeError:
        raise not_text(path, source, "JSON") from None
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}.") from None
    return rows.table(())


def read_json(
    path: Path,
    source: SourceSpec,
    wanted: Sequence[str],
    label: str | None,
    scope: str | None = None,
) -> RawTable:
    """Read a file that holds an array of rows, or an object of such arrays.

    The arguments are those of `read_jsonl`.

    Raises:
        ConfigError: if the declared encoding does not exist.
        RecordError: if the file is empty, unreadable, too large or lacks a wanted column.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise RecordError(
                f"{path}: larger than {MAX_JSON_BYTES // 2**20} MiB, and a JSON array is read as "
                "a whole. Write one object a line and set source.kind: jsonl."
            )
        text = path.read_text(encoding=text_encoding(source.encoding))
    except UnicodeError:
        raise not_text(path, source, "JSON") from None
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}.") from None
    if not text.strip():
        raise RecordError(f"{path} is empty.")
    content = decoded(text.strip(), str(path))
    rows = _RowReader(path, source, wanted, label, scope)
    starts = []
    for number, (part, items) in enumerate(_parts(content, path, source), start=1):
        if part is not None:
            rows.begin_part(part, number)
            starts.append((f"{path}, array {number}", rows.n_rows))
        for item in items:
            rows.add(item)
    return rows.table(tuple(starts))


def is_column_oriented(content: Any) -> bool:
    """Tell whether an object holds columns: arrays of one length with plain cells."""
    if not isinstance(content, dict):
        return False
    arrays = [value for value in content.values() if isinstance(value, list)]
    plain = all(not isinstance(item, dict | list) for array in arrays for item in array)
    lengths = set(map(len, arrays))
    # A single row may hold one list of labels beside other cells.
    several = len(arrays) > 1 or len(arrays) == len(content)
    return bool(arrays) and several and plain and len(lengths) == 1 and max(lengths) > 1


def column_oriented(path: Path) -> RecordError:
    """Return the error for a file that holds columns where rows are expected."""
    return RecordError(
        f"{path}: column-oriented JSON is not read: write one object per row, as in "
        '{"NAME": "CELL", "NAME": "CELL"}.'
    )


def _parts(content: Any, path: Path, source: SourceSpec) -> Iterator[tuple[str | None, list[Any]]]:
    """Yield the arrays of rows with the key of each; a bare array has no key."""
    if isinstance(content, list):
        if source.part_column is not None:
            raise RecordError(
                f"{path}: one array, no object of arrays, so there is no key for "
                f"source.part_column '{source.part_column}'."
            )
        yield None, content
        return
    if isinstance(content, _RepeatedKey):
        raise RecordError(f"{path}: the object holds a key twice.")
    arrays = (
        [(key, value) for key, value in content.items() if isinstance(value, list)]
        if isinstance(content, dict)
        else []
    )
    if is_column_oriented(content):
        raise column_oriented(path)
    if not arrays:
        raise RecordError(f"{path}: neither an array of rows nor an object of such arrays.")
    if len(arrays) > 1 and source.part_column is None:
        raise RecordError(
            f"{path}: the object holds {len(arrays)} arrays. Set source.part_column to the name "
            "of a column that tells them apart, and declare it under columns."
        )
    yield from arrays


class _RowReader:
    """Turns parsed rows into cells, and knows where it stands for messages."""

    def __init__(
        self,
        path: Path,
        source: SourceSpec,
        wanted: Sequence[str],
        label: str | None,
        scope: str | None,
    ) -> None:
        self._path = path
        self._fields = source.fields
        self._part_column = source.part_column
        self._part = ""
        self._label, self._scope = label, scope
        self._paths = {name: name.split(".") for name in wanted if name != source.part_column}
        self._never_seen = set(self._paths)
        self._keys: dict[str, None] = {}
        self._lists: set[str] = set()
        self._builder = ColumnBuilder(str(path), wanted)

    @property
    def n_rows(self) -> int:
        """Number of rows so far."""
        return self._builder.n_rows

    @property
    def next_place(self) -> str:
        """Name of the row that comes next, for a message."""
        return self._builder.next_place

    def begin_part(self, part: str, number: int) -> None:
        """Start the next array; its key is a cell and is not echoed, so messages count arrays."""
        self._part = part
        self._builder.begin(f"{self._path}, array {number}")

    def add(self, row: Any) -> None:
        """Append one row, an object or an array of named cells."""
        if isinstance(row, list) and self._fields is not None:
            if len(row) != len(self._fields):
                raise RecordError(
                    f"{self.next_place}: {len(row)} cells where source.fields names "
                    f"{len(self._fields)}."
                )
            row = dict(zip(self._fields, row, strict=True))
        elif not isinstance(row, dict):
            remedy = " Name its cells in source.fields." if isinstance(row, list) else ""
            raise RecordError(f"{self.next_place}: the row is no JSON object.{remedy}")
        elif self._fields is not None:
            raise RecordError(
                f"{self.next_place}: an object, where source.fields names the cells of arrays."
            )
        if len(self._keys) < _MAX_KEYS:
            self._keys.update(dict.fromkeys(row))
        self._builder.add_row(
            [
                self._part if name == self._part_column else self._cell(row, name)
                for name in self._builder.columns
            ]
        )

    def _cell(self, row: dict[str, Any], name: str) -> str:
        value = row.get(name, _ABSENT)
        if isinstance(row, _RepeatedKey):
            raise RecordError(f"{self.next_place}: the object holds a key twice.")
        if value is _ABSENT:
            value = row
            for key in self._paths[name]:
                if isinstance(value, _RepeatedKey):
                    raise RecordError(
                        f"{self.next_place}, column {name}: the object holds a key twice."
                    )
                value = value.get(key, _ABSENT) if isinstance(value, dict) else _ABSENT
        if value is _ABSENT:
            return ""
        self._never_seen.discard(name)
        if isinstance(value, list) and name == self._label:
            return self._joined(value, name)
        if isinstance(value, list) and name == self._scope:
            return self._scopes(value, name)
        return self._text(value, name)

    def _text(self, value: Any, name: str) -> str:
        if value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str):
            return value
        found = "a list" if isinstance(value, list) else "an object"
        remedy = "" if isinstance(value, list) else f" Name the part inside as '{name}.KEY'."
        raise RecordError(
            f"{self.next_place}, column {name}: {found} where text or a number is expected.{remedy}"
        )

    def _joined(self, items: list[Any], name: str) -> str:
        """Return several labels as one cell."""
        texts = [self._text(item, name) for item in items]
        if any(LIST_SEPARATOR in text for text in texts):
            raise RecordError(f"{self.next_place}, column {name}: a label holds a control sign.")
        self._lists.add(name)
        return LIST_SEPARATOR.join(texts)

    def _scopes(self, items: list[Any], name: str) -> str:
        """Return several scopes as one cell; an item that would read as two is refused."""
        if not all(isinstance(item, str) for item in items):
            raise RecordError(f"{self.next_place}, column {name}: a scope of the list is no text.")
        if any(sign in item for item in items for sign in SCOPE_SEPARATORS):
            raise RecordError(
                f"{self.next_place}, column {name}: a scope of the list holds one of , ; and |. "
                "Write each scope as an item of its own."
            )
        return ";".join(items)

    def table(self, files: tuple[tuple[str, int], ...]) -> RawTable:
        """Return all rows; a column that no row has is missing."""
        if self.n_rows == 0:
            raise RecordError(f"{self._path} holds no rows.")
        if self._never_seen:
            missing = [name for name in self._paths if name in self._never_seen]
            raise missing_columns(missing, [*self._keys], str(self._path))
        return RawTable(
            source=str(self._path),
            columns=self._builder.columns,
            files=files,
            lists=frozenset(self._lists),
        )
