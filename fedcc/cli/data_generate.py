"""`fedcc data generate`: write rows of the generated contact-centre world to a file.

The rows are synthetic. They are streamed to a file beside the target, which takes the target's
name once it is complete: an interruption or a full disk leaves no partial file and no old one
harmed.
"""

import argparse
import contextlib
import csv
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import track

from fedcc.data.world.source import ITEMS, stream_rows
from fedcc.errors import ConfigError

_SUFFIXES = (".csv", ".jsonl")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "generate",
        help="write synthetic interactions or customers to a file",
        description="Write rows of the generated contact-centre world. Synthetic: no real person.",
        epilog="example:\n  fedcc data generate calls.csv --item interactions --rows 900 --seed 0",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="ends in .csv or .jsonl")
    parser.add_argument("--rows", type=int, required=True, metavar="N", help="1 to 10,000,000")
    parser.add_argument("--item", choices=sorted(ITEMS), required=True, help="which table")
    parser.add_argument(
        "--seed", type=int, required=True, metavar="S", help="equal seed, same rows"
    )
    parser.add_argument("--force", action="store_true", help="overwrite FILE")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.set_defaults(run_command=run_generate)


def run_generate(args: argparse.Namespace) -> int:
    """Write the rows and say what was written."""
    rows = stream_rows(args.item, args.rows, args.seed)
    _check_target(args.file, force=args.force)
    console = Console(stderr=True, quiet=args.quiet)
    shown = track(rows, f"{args.item}", args.rows, console=console, disable=not console.is_terminal)
    write_rows(args.file, ITEMS[args.item], shown)
    if args.json:
        result = {"file": str(args.file), "item": args.item, "rows": args.rows, "seed": args.seed}
        print(json.dumps({**result, "synthetic": True}))
    else:
        print(f"{args.file}: {args.rows} {args.item}, seed {args.seed}, synthetic", file=sys.stdout)
    return 0


def _check_target(path: Path, *, force: bool) -> None:
    """Refuse a file that cannot or should not be written, before any row is drawn."""
    if path.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"{path}: the name must end in {' or '.join(_SUFFIXES)}.")
    if path.is_dir():
        raise ConfigError(f"{path} is a folder. Name a file in it.")
    if path.exists() and not force:
        raise ConfigError(f"{path} exists. Choose another name, or overwrite it with --force.")
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent}: no such folder. Create it first.")


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write rows of text cells as CSV or as JSON lines, by the suffix, all of them or none.

    Raises:
        ConfigError: if the file cannot be written; nothing is left behind.
    """
    try:
        with _complete_or_nothing(path) as file:
            if path.suffix.lower() == ".csv":
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(columns)
                writer.writerows(rows)
            else:
                for row in rows:
                    cells = dict(zip(columns, row, strict=True))
                    file.write(json.dumps(cells, ensure_ascii=False) + "\n")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from None


@contextlib.contextmanager
def _complete_or_nothing(path: Path) -> Iterator[TextIO]:
    """Open a new file beside `path` that takes its name at the end, or is removed on failure."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with open(handle, "w", encoding="utf-8", newline="") as file:
            yield file
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _umask() -> int:
    """Return the process's mask for new files, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
