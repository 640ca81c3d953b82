"""`fedcc site run`: a site's processes, in the foreground."""

import argparse
from pathlib import Path

from fedcc.cli.unlocking import add_unlock_options, ask_unlocker


def add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `run` to the commands of a site."""
    parser = commands.add_parser(
        "run",
        help="run the site until it is stopped",
        description="Dial the aggregator and answer for this site with the fedcc that is installed "
        "here, whatever is sent. Runs in the foreground and logs one JSON object a line; SIGTERM "
        "ends it, SIGHUP does nothing: settings are read at the start. Nothing is trained that was "
        "not approved here.",
    )
    parser.add_argument("place", type=Path, metavar="FOLDER", help="that holds site.yaml")
    add_unlock_options(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Run the site."""
    from fedcc.federation.service.site import run_site

    run_site(args.place, lambda path: ask_unlocker(path, args))
    return 0
