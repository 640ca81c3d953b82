"""Reading the declared columns of a data set, as trimmed text, from whatever the YAML names.

A column that the YAML does not name is never kept. Every refusal names the file, the row (from 1;
of a CSV file the first after the header) and the remedy, and never a cell's content. Nothing uses
the network.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fedcc.data.csv_source import read_csv
from fedcc.data.domains import as_declared
from fedcc.data.json_source import read_json, read_jsonl
from fedcc.data.package_source import read_generated, read_package
from fedcc.data.raw_table import LIST_SEPARATOR, RawTable, joined
from fedcc.data.source_files import SourceFile, locate, matching_files, source_files
from fedcc.data.source_spec import PLACEHOLDER, SourceSpec
from fedcc.data.spec import DataSpec, as_text
from fedcc.errors import ConfigError, RecordError


def read_table(spec: DataSpec, path: str | None) -> RawTable:
    """Read the declared columns of the data set.

    Args:
        spec: the data YAML.
        path: overrides `source.path`; a file, or a folder that holds `source.file`.

    Raises:
        ConfigError: if the source cannot be named (no path, or a missing extra).
        RecordError: if a file is missing, empty, unreadable or lacks a declared column.
    """
    table = _read_from_files(spec, path) if spec.source.is_file else _read_whole(spec, path)
    return _with_rows_to_keep(_with_empty_cells(table, spec.source), spec)


def _with_empty_cells(table: RawTable, source: SourceSpec) -> RawTable:
    """Empty the cells, and the items of lists, that are among the words of `source.empty`."""
    if not source.empty:
        return table
    words = frozenset(map(as_text, source.empty))
    columns = {}
    for name, cells in table.columns.items():
        sign = LIST_SEPARATOR if name in table.lists else None
        emptied = {cell: _emptied(cell, words, sign) for cell in set(cells)}
        columns[name] = [emptied[cell] for cell in cells]
    return replace(table, columns=columns)


def _emptied(cell: str, words: frozenset[str], sign: str | None) -> str:
    if sign is None:
        return "" if _is_among(cell, words) else cell
    return sign.join(item for item in cell.split(sign) if not _is_among(item, words))


def _with_rows_to_keep(table: RawTable, spec: DataSpec) -> RawTable:
    """Mark the rows whose cells are among the values of `keep_rows`."""
    if not spec.keep_rows:
        return table
    wanted = {name: frozenset(map(as_text, values)) for name, values in spec.keep_rows.items()}
    kept = tuple(
        row
        for row in range(table.n_rows)
        if all(_is_among(table.columns[name][row], values) for name, values in wanted.items())
    )
    if not kept:
        raise RecordError(
            f"{table.source}: keep_rows of the data YAML leaves no row of {table.n_rows}. Its "
            f"columns are {', '.join(wanted)}; values are compared as trimmed text."
        )
    return replace(table, kept=kept)


def _is_among(cell: str, values: frozenset[str]) -> bool:
    return as_declared(cell) in values or cell in values


def _read_from_files(spec: DataSpec, path: str | None) -> RawTable:
    source = spec.source
    location = path if path is not None else source.path
    if location is None:
        raise ConfigError(
            f"data.path: say where the file is, for instance data.path={spec.name}.csv"
        )
    consent = spec.consent.columns if spec.consent is not None else None
    scope = None if consent is None else consent.scope
    files = source_files(Path(location), source.file)
    patterned = bool(source.placeholders)
    name = str(Path(location) / str(source.file)) if patterned else str(files[0].path)
    train = _read_files(files, spec, scope, name)
    if spec.test.kind != "file":
        return train
    folder = Path(location) if patterned else files[0].path.parent
    test_files = _test_files(folder, str(spec.test.path))
    test = _read_files(test_files, spec, scope, str(test_files[0].path))
    n_train_rows = train.n_rows
    return replace(joined([train, test], train.source), n_train_rows=n_train_rows)


def read_columns(path: Path, source: SourceSpec, wanted: Sequence[str]) -> RawTable:
    """Read the named columns of one file of the source's format; see `read_table` for errors.

    For a source that is no file of the user's, the format is CSV.
    """
    file = SourceFile(locate(path, "the path"), {})
    return _with_empty_cells(_read_file(file, source, wanted, None, None), source)


def _read_whole(spec: DataSpec, path: str | None) -> RawTable:
    source = spec.source
    origin = (
        f"comes from the package '{source.package}'" if source.kind == "package" else "is generated"
    )
    if path is not None:
        raise ConfigError(
            f"data.path: the data set '{spec.name}' {origin}. "
            "For a file choose its YAML, for instance data=telco."
        )
    reader = read_package if source.kind == "package" else read_generated
    return reader(source, spec.loaded_columns)


def _test_files(folder: Path, path: str) -> list[SourceFile]:
    if PLACEHOLDER.search(path):
        return matching_files(folder, path, "test.path")
    return [SourceFile(locate(folder / path, "test.path of the data YAML"), {})]


def _read_files(
    files: Sequence[SourceFile], spec: DataSpec, scope: str | None, name: str
) -> RawTable:
    tables = [
        _read_file(file, spec.source, spec.loaded_columns, spec.label, scope) for file in files
    ]
    return joined(tables, name)


def _read_file(
    file: SourceFile,
    source: SourceSpec,
    wanted: Sequence[str],
    label: str | None,
    scope: str | None,
) -> RawTable:
    """Read one file, and add the parts of its path as columns; they replace the file's own."""
    inside = [name for name in wanted if name not in file.parts]
    if not inside:
        raise RecordError(f"{file.path}: no column is read from the file; all come from its path.")
    if source.kind == "json":
        table = read_json(file.path, source, inside, label, scope)
    elif source.kind == "jsonl":
        table = read_jsonl(file.path, source, inside, label, scope)
    else:
        table = read_csv(file.path, source, inside)
    columns = {
        name: table.columns[name] if name in inside else [file.parts[name].strip()] * table.n_rows
        for name in wanted
    }
    return replace(table, columns=columns)
