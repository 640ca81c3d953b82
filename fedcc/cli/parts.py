"""What the commands of sites and aggregators share: parts of a command, and their printing."""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedcc.deployment.systemd import Unit

Run = Callable[[argparse.Namespace], int]


def add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    words: str,
    examples: str,
) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
    """Add a command that has parts, and return the place for them."""
    parser = commands.add_parser(
        name,
        help=words,
        description=f"{words[0].upper()}{words[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser.add_subparsers(metavar="PART", required=True)


def add_part(
    parts: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    words: str,
    run: Run,
    *,
    folder: str | None = "the folder, or its YAML",
) -> argparse.ArgumentParser:
    """Add one part; `folder` is the help of its first argument, `None` for none."""
    part = parts.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.")
    if folder is not None:
        part.add_argument("folder", type=Path, metavar="FOLDER", help=folder)
    part.add_argument("--json", action="store_true", help="print JSON instead of text")
    part.add_argument("--debug", action="store_true", help="show tracebacks")
    part.set_defaults(run_command=run)
    return part


def print_result(values: Mapping[str, object], text: str, *, as_json: bool) -> int:
    """Print a result as JSON or as text; return exit code 0."""
    print(json.dumps(values, indent=2) if as_json else text)
    return 0


def add_unit_part(
    parts: "argparse._SubParsersAction[argparse.ArgumentParser]", run: Run
) -> argparse.ArgumentParser:
    """Add the part `systemd`."""
    part = add_part(parts, "systemd", "print a hardened systemd unit", run)
    part.add_argument("--user", required=True, metavar="USER", help="unprivileged, owns the folder")
    part.add_argument("--out", type=Path, metavar="DIR", help="write it there under its own name")
    return part


def print_unit(unit: "Unit", args: argparse.Namespace) -> int:
    """Print a unit, or write it into a folder; return exit code 0."""
    from fedcc.crypto.private_files import create_new

    if args.out is not None:
        create_new(args.out / unit.name, unit.text.encode(), mode=0o644)
        return print_result(
            {"unit": str(args.out / unit.name)}, f"{args.out / unit.name}", as_json=args.json
        )
    return print_result({"name": unit.name, "text": unit.text}, unit.text, as_json=args.json)
