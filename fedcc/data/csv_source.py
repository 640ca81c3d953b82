"""Reading the wanted columns of a CSV file; every refusal names file and row, none a cell."""

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from fedcc.data.raw_table import (
    MAX_CELL_CHARACTERS,
    MAX_LINE_CHARACTERS,
    ColumnBuilder,
    RawTable,
    positions,
)
from fedcc.data.source_spec import SourceSpec
from fedcc.errors import ConfigError, RecordError

_CHUNK_BYTES = 1 << 20


def read_csv(path: Path, source: SourceSpec, wanted: Sequence[str]) -> RawTable:
    """Read a CSV file; row 1 is the first after the header.

    With `source.fields` the file has no header and its cells are named in that order.

    Raises:
        ConfigError: if the declared encoding does not exist.
        RecordError: if the file is empty, unreadable or lacks a wanted column.
    """
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    builder = ColumnBuilder(str(path), wanted)
    try:
        with path.open(encoding=text_encoding(source.encoding), newline="") as file:
            reader = csv.reader(_without_nul(file, path), delimiter=source.delimiter, strict=True)
            _read_rows(reader, builder, path, source)
    except UnicodeError:
        raise not_text(path, source, "CSV") from None
    except csv.Error as error:
        reason = "text follows a closing quote"
        if "field larger" in str(error):
            reason = f"a cell is longer than {MAX_CELL_CHARACTERS} characters"
        raise RecordError(
            f"{path}, row {builder.n_rows + 1}: not valid CSV ({reason}, or a quote is not closed)."
        ) from None
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}.") from None
    if builder.n_rows == 0:
        raise RecordError(
            f"{path} has a header but no rows." if source.fields is None else f"{path} is empty."
        )
    return RawTable(source=str(path), columns=builder.columns)


def _read_rows(
    reader: Iterator[list[str]], builder: ColumnBuilder, path: Path, source: SourceSpec
) -> None:
    wanted = list(builder.columns)
    if source.fields is not None:
        header, named = list(source.fields), "source.fields names"
    else:
        header, named = [cell.strip() for cell in next(reader, [])], "the header has"
        if not any(header):
            raise RecordError(f"{path} is empty: a header row is expected.")
    found = positions(header, wanted, str(path))
    order = list(found.values())
    for cells in filter(None, reader):  # a blank line has no cells
        if len(cells) != len(header):
            raise RecordError(
                f"{path}, row {builder.n_rows + 1}: {len(cells)} cells where {named} "
                f"{len(header)}. Check source.delimiter and quotes."
            )
        builder.add_row([cells[position] for position in order])


def text_encoding(name: str) -> str:
    """Return a declared encoding; UTF-8 is read with or without a byte order mark.

    Raises:
        ConfigError: if there is no such encoding of text.
    """
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):  # ValueError: a NUL in the name
        raise ConfigError(f"source.encoding: '{name}' is no encoding.") from None
    if not found._is_text_encoding:
        raise ConfigError(f"source.encoding: '{name}' is no encoding.")
    return "utf-8-sig" if found.name == "utf-8" else found.name


def not_text(path: Path, source: SourceSpec, kind: str) -> RecordError:
    """Return the error for bytes that are no text in the declared encoding."""
    return RecordError(
        f"{path}{_undecodable_line(path, source.encoding)}: this is not {source.encoding} text. "
        f"Set source.encoding, for instance latin-1 or utf-16, or check that this is a {kind} file."
    )


def _undecodable_line(path: Path, encoding: str) -> str:
    """Return `", line N"` of the first byte that is not text, or nothing where that is unknown."""
    line = 1
    try:
        decoder = codecs.getincrementaldecoder(text_encoding(encoding))()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                line += decoder.decode(chunk).count("\n")
            decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        line += bytes(error.object).count(b"\n", 0, error.start)
        return f", line {line}"
    except (UnicodeError, LookupError, OSError):
        pass
    return ""


def _without_nul(lines: io.TextIOWrapper, path: Path) -> Iterator[str]:
    """Pass lines on; a NUL byte or an endless line means that this is not a text table."""
    number = 0
    while line := lines.readline(MAX_LINE_CHARACTERS):
        number += 1
        if "\0" in line:
            raise RecordError(
                f"{path}, line {number}: a NUL byte; this is not a CSV file, or it needs "
                "source.encoding: utf-16."
            )
        yield line
