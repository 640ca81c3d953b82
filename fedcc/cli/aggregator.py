"""`fedcc aggregator`: an aggregator on premise."""

import argparse

from fedcc.cli.aggregator_run import add_run


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its parts to the parser."""
    parser = commands.add_parser("aggregator", help="run an aggregator on premise")
    add_run(parser.add_subparsers(metavar="PART", required=True))
