"""`fedcc site`: a site on premise."""

import argparse

from fedcc.cli.site_run import add_run


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its parts to the parser."""
    parser = commands.add_parser("site", help="run a site on premise")
    add_run(parser.add_subparsers(metavar="PART", required=True))
