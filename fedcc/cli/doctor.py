"""`fedcc doctor`: every check of a site or an aggregator, each with its remedy."""

import argparse
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fedcc.cli.parts import add_command, add_part

if TYPE_CHECKING:
    from fedcc.deployment.checks import Check
    from fedcc.deployment.site_file import SiteHome

EXAMPLES = """\
examples:
  fedcc doctor site lisbon
  fedcc doctor aggregator hub --json

Nothing is changed, no row of data is read, no key leaves its file. The exit code is 0, or that of
the first check that failed: 2 settings, 3 a file is missing, 6 integrity, 7 network.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its parts to the parser."""
    parts = add_command(commands, "doctor", "check an installation", EXAMPLES)
    add_part(parts, "site", "check a site", run_site)
    add_part(parts, "aggregator", "check an aggregator", run_aggregator)


def run_site(args: argparse.Namespace) -> int:
    """Check a site."""
    from fedcc.deployment.checks import examine
    from fedcc.deployment.doctor import doctor_settings, site_steps
    from fedcc.deployment.site_file import SiteHome

    home = SiteHome.open(args.folder)
    steps = site_steps(home, doctor_settings(), _now)
    return _print(examine([*steps, ("decisions", lambda: _decisions(home))]), args)


def _decisions(home: "SiteHome") -> str:
    from fedcc.federation.plans.desk import Desk

    desk = Desk(home)
    return f"{len(desk.view.decisions)} decisions on {len(desk.plans())} plans, all signed"


def run_aggregator(args: argparse.Namespace) -> int:
    """Check an aggregator."""
    from fedcc.deployment.aggregator_file import AggregatorHome
    from fedcc.deployment.checks import examine
    from fedcc.deployment.doctor import aggregator_steps, doctor_settings

    home = AggregatorHome.open(args.folder)
    return _print(examine(aggregator_steps(home, doctor_settings(), _now)), args)


def _now() -> datetime:
    return datetime.now(UTC)


def _print(checks: "list[Check]", args: argparse.Namespace) -> int:
    from fedcc.deployment.checks import exit_code

    if args.json:
        found = [{"check": one.name, "passed": one.passed, "found": one.found} for one in checks]
        print(json.dumps({"checks": found, "exit_code": exit_code(checks)}, indent=2))
        return exit_code(checks)
    for one in checks:
        print(f"{'PASSED' if one.passed else 'FAILED'}  {one.name:16s}{one.found}")
    failed = sum(not one.passed for one in checks)
    print(f"{len(checks)} checks, {failed} failed")
    return exit_code(checks)
