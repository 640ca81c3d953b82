"""Entry point of the `fedcc` command: dispatch, and one line for every error."""

import argparse
import os
import sys
from collections.abc import Sequence

from fedcc.cli import (
    aggregator,
    bundle,
    data,
    doctor,
    keys,
    ledger,
    plan,
    predict,
    run,
    simulate,
    site,
)
from fedcc.errors import FedccError
from fedcc.version import __version__


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with all commands."""
    parser = argparse.ArgumentParser(
        prog="fedcc",
        description="Federated learning for telecom contact centres, private and encrypted.",
        epilog="Exit codes: 0 ok, 1 a bug, 2 usage or config, 3 data, 4 privacy budget, 5 policy, "
        "6 integrity, 7 too few sites, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"fedcc {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    simulate.add_parser(commands)
    plan.add_parser(commands)
    predict.add_parser(commands)
    data.add_parser(commands)
    ledger.add_parser(commands)
    keys.add_parser(commands)
    site.add_parser(commands)
    run.add_parser(commands)
    doctor.add_parser(commands)
    bundle.add_parser(commands)
    aggregator.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = build_parser()
    args, rest = parser.parse_known_args(arguments)
    # argparse ends a list of positionals at the first option; settings may stand after it too.
    if rest and (not hasattr(args, "overrides") or any(text.startswith("-") for text in rest)):
        hint = " Settings are written KEY=VALUE: sites=5." if hasattr(args, "overrides") else ""
        parser.error(f"unrecognized arguments: {' '.join(rest)}.{hint}")
    if rest:
        args.overrides = [*args.overrides, *rest]
    try:
        return int(args.run_command(args))
    except FedccError as error:
        if args.debug:
            raise
        print(f"fedcc: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("fedcc: interrupted before anything was run", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if args.debug:
            raise
        print(
            f"fedcc: a bug in fedcc ({type(error).__name__}). Repeat with --debug and report it.",
            file=sys.stderr,
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
