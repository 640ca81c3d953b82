"""Finding the files of a source: one file, a file in a folder, or all that fit a pattern.

In a pattern such as `{domain}/{split}.tsv` each `{name}` matches within one part of the path, and
what it matched becomes a column. Only regular files are read: a pipe or a device never ends.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fedcc.data.source_spec import PLACEHOLDER
from fedcc.errors import ConfigError, RecordError


@dataclass(frozen=True)
class SourceFile:
    """A file, and the parts of its path that become columns."""

    path: Path
    parts: dict[str, str]


def locate(path: Path, key: str) -> Path:
    """Return `path` if it is a regular file; `os.path` calls a path that cannot exist no file.

    Raises:
        RecordError: names the path and `key`, the key of the data YAML to check.
    """
    if os.path.isdir(path):
        raise RecordError(f"{path} is a folder. Name the file in {key} or in source.file.")
    if os.path.exists(path) and not os.path.isfile(path):
        raise RecordError(f"{path} is a pipe or a device, not a file. Check {key}.")
    if not os.path.isfile(path):
        raise RecordError(f"{path}: no such file. Check {key}.")
    return path


def source_files(location: Path, inner: str | None) -> list[SourceFile]:
    """Return the files of a source in the order of their paths.

    Args:
        location: `data.path`: a file, or a folder.
        inner: `source.file`: a file or a pattern inside the folder.

    Raises:
        ConfigError: if a pattern is given and `location` is a single file.
        RecordError: if there is no such file, or none fits the pattern.
    """
    if inner is not None and PLACEHOLDER.search(inner):
        if os.path.isfile(location):
            raise ConfigError(
                f"data.path: {location} is a file, and source.file is the pattern '{inner}'. Give "
                "the folder that the pattern starts from."
            )
        return matching_files(location, inner, "source.file")
    if os.path.isdir(location) and inner is not None:
        return [SourceFile(locate(location / inner, "data.path"), {})]
    return [SourceFile(locate(location, "data.path"), {})]


def matching_files(folder: Path, pattern: str, key: str) -> list[SourceFile]:
    """Return the regular files below `folder` that fit `pattern`, sorted by path.

    Raises:
        RecordError: if there is no such folder, or no file fits.
    """
    if not os.path.isdir(folder):
        raise RecordError(f"{folder}: no such folder. Check data.path.")
    found = sorted(_walk(folder, pattern.split("/"), {}), key=lambda file: file.path.as_posix())
    if not found:
        raise RecordError(
            f"{folder}: no file fits the pattern '{pattern}'. Check data.path and {key}; each "
            "{name} stands for a part of one folder's or file's name."
        )
    return found


def _walk(folder: Path, steps: list[str], bound: dict[str, str]) -> Iterator[SourceFile]:
    """Yield the files below `folder` that fit the remaining steps of a pattern."""
    step, rest = steps[0], steps[1:]
    if not PLACEHOLDER.search(step):
        names = [(step, bound)]
    else:
        expression = re.compile(_expression(step, bound))
        matches = ((name, expression.fullmatch(name)) for name in _entries(folder))
        names = [(name, bound | match.groupdict()) for name, match in matches if match]
    for name, parts in names:
        path = folder / name
        if rest and os.path.isdir(path):
            yield from _walk(path, rest, parts)
        elif not rest and os.path.isfile(path):
            yield SourceFile(path, parts)


def _entries(folder: Path) -> list[str]:
    """List a folder without hidden entries; a name that is no text cannot be a cell."""
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise RecordError(f"{folder} cannot be read: {error.strerror}.") from None
    return [name for name in names if not name.startswith(".") and name.isprintable()]


def _expression(step: str, bound: dict[str, str]) -> str:
    """Write one step of a pattern as a regular expression; a name that is bound must repeat."""
    pieces, seen = [], dict.fromkeys(bound)
    for index, piece in enumerate(PLACEHOLDER.split(step)):
        if index % 2 == 0:
            pieces.append(re.escape(piece))
        elif piece in bound:
            pieces.append(re.escape(bound[piece]))
        elif piece in seen:
            pieces.append(f"(?P={piece})")
        else:
            seen[piece] = None
            pieces.append(f"(?P<{piece}>.+)")
    return "".join(pieces)
