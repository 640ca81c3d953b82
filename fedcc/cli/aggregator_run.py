"""`fedcc aggregator run`: the aggregator's processes, in the foreground."""

import argparse
from pathlib import Path


def add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `run` to the commands of an aggregator."""
    parser = commands.add_parser(
        "run",
        help="run the aggregator until it is stopped",
        description="Start the SuperLink with TLS and node authentication, admit the nodes of the "
        "folder, and carry out the submitted plans one after another. Runs in the foreground and "
        "logs one JSON object a line; SIGTERM ends it. A renewed certificate is taken as soon as "
        "it lies there; SIGHUP reads it again and ends nothing. A run that was interrupted goes on "
        "at the next start.",
    )
    parser.add_argument("place", type=Path, metavar="FOLDER", help="that holds aggregator.yaml")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Run the aggregator."""
    from fedcc.federation.service.aggregator import run_aggregator

    run_aggregator(args.place)
    return 0
