"""`fedcc predict`: score a file with the model of a run."""

import argparse
import csv
import json
import os
import sys
from pathlib import Path
from typing import TextIO

import fedcc
from fedcc.errors import ConfigError


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "predict",
        help="score a CSV file with a trained model",
        description="Write row,label,confidence for every row of a CSV file.",
        epilog="example:\n  fedcc predict customers.csv --run runs/first --out scores.csv",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="CSV with the feature columns")
    parser.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder of a run")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: standard output")
    parser.add_argument("--force", action="store_true", help="replace --out if it is there")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.set_defaults(run_command=run_predict)


def run_predict(args: argparse.Namespace) -> int:
    """Score the file and write the rows; the scored file is never written to."""
    if args.out is not None:
        _check_out(args.out, args.file, args.force)
    rows = fedcc.predict(args.file, args.run)
    from fedcc.federation.prediction import marks

    if found := marks(args.run):
        print(f"WARNING: this model is not for release: {', '.join(found)}", file=sys.stderr)
    if args.out is None:
        _write(sys.stdout, rows, args.json)
        return 0
    try:
        with args.out.open("w" if args.force else "x", encoding="utf-8", newline="") as file:
            _write(file, rows, args.json)
    except OSError as error:
        raise ConfigError(f"--out {args.out} cannot be written: {error.strerror}.") from None
    return 0


def _check_out(out: Path, scored: Path, force: bool) -> None:
    """Refuse to write over the scored file, under whatever name, or over a file unasked."""
    try:
        if out.exists() and scored.exists() and out.samefile(scored):
            raise ConfigError(f"--out {out} is the file to score; name another file.")
        if os.path.lexists(out) and not force:
            raise ConfigError(f"--out {out} is there already; name another file or add --force.")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such path can exist"
        raise ConfigError(f"--out {out} cannot be written: {reason}.") from None


def _write(file: TextIO, rows: list[tuple[int, str, float]], as_json: bool) -> None:
    names = ("row", "label", "confidence")
    if as_json:
        for row in rows:
            print(json.dumps(dict(zip(names, row, strict=True))), file=file)
        return
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows((row, label, f"{confidence:.6f}") for row, label, confidence in rows)
