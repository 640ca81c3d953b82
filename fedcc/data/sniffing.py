"""Finding out how a file is written (format, encoding, delimiter, names) to draft its data YAML.

Guesses serve a draft that a person edits; nothing that trains calls this module. The whole file is
read with the connectors of the guessed format, so what they refuse is refused here too.
"""

import codecs
import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from fedcc.data.csv_source import not_text, read_csv, text_encoding
from fedcc.data.domains import number
from fedcc.data.json_source import (
    MAX_JSON_BYTES,
    column_oriented,
    decoded,
    is_column_oriented,
    read_json,
    read_jsonl,
)
from fedcc.data.raw_table import MAX_CELL_CHARACTERS, MAX_LINE_CHARACTERS, RawTable
from fedcc.data.source_files import locate
from fedcc.data.source_spec import SourceSpec
from fedcc.errors import RecordError

_SAMPLE_BYTES = 1 << 20
_SAMPLE_ROWS = 200
_LONG_CELL = 60  # characters; longer than any sensible column name
_PART_COLUMN = "part"


@dataclass(frozen=True)
class Sniffed:
    """A file as it was read: the source keys that fit it, and its columns.

    `left_out` names the columns that cannot be declared, with the reason.
    """

    source: SourceSpec
    table: RawTable
    lists: tuple[str, ...]  # columns of a JSON file whose cells are lists of texts
    left_out: dict[str, str]


def sniff(path: Path) -> Sniffed:
    """Read a file in the format that it seems to have.

    Raises:
        RecordError: if it is missing, empty, or no table in any known format.
    """
    locate(path, "the path")
    try:
        encoding = _encoding(path)
        start = _start(path, encoding)
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}.") from None
    if not start.strip().strip("\ufeff"):
        raise RecordError(f"{path} is empty.")
    source = SourceSpec(
        kind="csv",
        path=None,
        file=path.name,
        encoding=encoding,
        delimiter=",",
        package=None,
        item=None,
    )
    try:
        if start.lstrip()[0] in "[{" and path.suffix.lower() not in (".csv", ".tsv", ".txt"):
            return _sniff_json(path, replace(source, kind=_json_kind(start)))
        return _sniff_csv(path, source, start)
    except UnicodeError:
        raise not_text(path, source, "CSV or JSON") from None


def _encoding(path: Path) -> str:
    """Return the first usual encoding in which the whole file is text."""
    with path.open("rb") as file:
        head = file.read(_SAMPLE_BYTES)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        if len(head) > 1 and head.count(0) > len(head) // 5:
            return "utf-16-le" if head[1] == 0 else "utf-16-be"
        decoder = codecs.getincrementaldecoder("utf-8")()
        file.seek(0)
        try:
            while chunk := file.read(_SAMPLE_BYTES):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            # In Latin-1 the bytes 0x80 to 0x9f are control signs; Windows writes letters there.
            return "cp1252" if any(0x80 <= byte <= 0x9F for byte in head) else "latin-1"
    return "utf-8-sig"


def _start(path: Path, encoding: str) -> str:
    with path.open(encoding=text_encoding(encoding), newline="", errors="replace") as file:
        return file.read(_SAMPLE_BYTES)


def _json_kind(start: str) -> Any:
    """Tell one object a line from a file that is one JSON value."""
    first, _, rest = start.strip().partition("\n")
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        return "json"
    if rest.strip():
        return "jsonl"
    holds_rows = isinstance(value, dict) and any(
        isinstance(items, list) and any(isinstance(item, dict | list) for item in items)
        for items in value.values()
    )
    if holds_rows or is_column_oriented(value) or not isinstance(value, dict):
        return "json"
    return "jsonl"


def _sniff_csv(path: Path, source: SourceSpec, start: str) -> Sniffed:
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    delimiter = max(",;\t|", key=lambda sign: _regularity(start, sign))
    source = replace(source, delimiter=delimiter)
    rows = list(islice(_csv_rows(start, delimiter), _SAMPLE_ROWS))
    if not rows:
        raise RecordError(f"{path} holds no row that can be read as CSV.")
    header = [cell.strip() for cell in rows[0]]
    left_out: dict[str, str] = {}
    if _is_data(header, rows[1:]):
        header = [f"column_{number_}" for number_ in range(1, len(header) + 1)]
        source = replace(source, fields=tuple(header))
    for name, times in Counter(header).items():
        if not name or times > 1:
            left_out[name] = "the header holds this name twice" if name else "it has no name"
    wanted = [name for name in header if name not in left_out]
    if not wanted:
        raise RecordError(f"{path}: the header names no column that could be declared.")
    return Sniffed(source, read_csv(path, source, wanted), (), left_out)


def _csv_rows(start: str, delimiter: str) -> Iterator[list[str]]:
    """Yield the rows of a file's start, as far as they can be read."""
    reader = csv.reader(start.replace("\0", "").splitlines(keepends=True), delimiter=delimiter)
    try:
        yield from filter(None, reader)
    except csv.Error:
        return


def _regularity(start: str, delimiter: str) -> tuple[float, int]:
    """Rate a delimiter: the share of rows as wide as the first one, then that width."""
    widths = [len(row) for row in islice(_csv_rows(start, delimiter), _SAMPLE_ROWS)]
    if not widths or widths[0] < 2:
        return (0.0, 0)
    return (sum(width == widths[0] for width in widths) / len(widths), widths[0])


def _is_data(header: list[str], rows: list[list[str]]) -> bool:
    """Tell whether the first row looks like the others rather than like names."""
    if any(len(cell) > _LONG_CELL for cell in header):
        return True
    for position, cell in enumerate(header):
        below = [row[position] for row in rows if len(row) == len(header)]
        if number(cell) is not None and below and all(number(text) is not None for text in below):
            return True
    # A name of a column does not come back as one of its values, a label of the first row does.
    return any(
        cell and sum(row[position : position + 1] == [cell] for row in rows) > 1
        for position, cell in enumerate(header)
    )


def _sniff_json(path: Path, source: SourceSpec) -> Sniffed:
    rows, arrays = _json_rows(path, source)
    if arrays > 1:
        source = replace(source, part_column=_PART_COLUMN)
    if rows and isinstance(rows[0], list):
        source = replace(source, fields=tuple(f"column_{n}" for n in range(1, len(rows[0]) + 1)))
        rows = [dict(zip(source.fields or (), row, strict=False)) for row in rows]
    kinds: dict[str, set[str]] = {}
    for row in filter(lambda row: isinstance(row, dict), rows):
        _collect(row, "", kinds)
    lists = tuple(name for name, found in kinds.items() if found <= {"list"} and found)
    left_out = {
        name: "it holds lists or objects of differing form"
        for name, found in kinds.items()
        if name not in lists and found != {"scalar"}
    }
    wanted = [name for name in kinds if name not in left_out and name not in lists]
    if source.part_column is not None:
        wanted.append(source.part_column)
    # The first list becomes the label's candidate: a reader takes lists in one column only.
    label = lists[0] if lists else None
    if not wanted and label is None:
        raise RecordError(f"{path} holds no column that could be declared.")
    left_out |= dict.fromkeys(lists[1:], "it holds lists")
    reader = read_jsonl if source.kind == "jsonl" else read_json
    table = reader(path, source, [*wanted, *lists[:1]], label)
    return Sniffed(source, table, lists[:1], left_out)


def _json_rows(path: Path, source: SourceSpec) -> tuple[list[Any], int]:
    """Return the first rows of a JSON file, and how many arrays hold them."""
    with path.open(encoding=text_encoding(source.encoding)) as file:
        if source.kind == "jsonl":
            lines = islice(iter(lambda: file.readline(MAX_LINE_CHARACTERS), ""), _SAMPLE_ROWS)
            return [decoded(line, str(path)) for line in lines if line.strip()], 1
        content = decoded(file.read(MAX_JSON_BYTES).strip(), str(path))
    if isinstance(content, list):
        return content[:_SAMPLE_ROWS], 1
    if is_column_oriented(content):
        raise column_oriented(path)
    arrays = [v for v in content.values() if isinstance(v, list)] if content else []
    return [row for array in arrays for row in array[:_SAMPLE_ROWS]], len(arrays)


def _collect(row: dict[str, Any], prefix: str, kinds: dict[str, set[str]]) -> None:
    """Note what every key of a row holds; keys inside an object are joined by a dot."""
    for key, value in row.items():
        name = f"{prefix}{key}"
        if not key.strip() or (prefix and "." in key):
            continue  # no name of a column reaches it
        if isinstance(value, dict):
            if prefix.count(".") < 2 and value:
                _collect(value, f"{name}.", kinds)
        elif isinstance(value, list):
            texts = all(isinstance(item, str) for item in value)
            kinds.setdefault(name, set()).add("list" if texts else "other")
        elif value is not None:
            kinds.setdefault(name, set()).add("scalar")
