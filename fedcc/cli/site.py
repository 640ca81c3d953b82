"""`fedcc site`: a site on premise, as its operator sets it up and keeps it."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from fedcc.cli import plans
from fedcc.cli.parts import add_command, add_part, add_unit_part, print_result, print_unit
from fedcc.cli.site_run import add_run
from fedcc.cli.unlocking import add_unlock_options, given_unlocker, new_unlocker, unlocked

EXAMPLES = """\
examples:
  (umask 077; mkdir lisbon; head -c 32 /dev/urandom > lisbon/unlock.key)
  fedcc site init lisbon --name lisbon --key-file lisbon/unlock.key
                      then send lisbon/lisbon.request.json to the admin, read the fingerprint aloud
  fedcc site install lisbon lisbon.bundle.json --admin-fingerprint EFGH-...
  fedcc site install lisbon new.bundle.json            a newer roster or address
  fedcc site rotate lisbon --key-file lisbon/unlock.key      new keys beside the old, until admitted
  fedcc site plans lisbon                    what is asked for, and what changed since the last one
  fedcc site approve lisbon 4c1d09aa --key-file lisbon/unlock.key
  fedcc site withdraw lisbon 4c1d09aa --reason "complaint" --key-file lisbon/unlock.key

Private keys are made in the folder and never leave it; requests and bundles hold nothing secret.
Exit codes: 0 ok, 2 usage, 3 a file cannot be read, 4 a plan would pass the privacy budget, 5 a plan
is not admitted by this site's policy, 6 a file was altered, is not signed by whom it should be, is
open to other users, older than what is held or decided on already.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its parts to the parser."""
    parts = add_command(commands, "site", "set up and keep a site on premise", EXAMPLES)
    init = add_part(parts, "init", "make a site's keys and its request", run_init)
    init.add_argument("--name", required=True, metavar="SITE", help="its name in the roster")
    install = add_part(parts, "install", "check and take over the admin's bundle", run_install)
    install.add_argument("bundle", type=Path, metavar="BUNDLE", help="that the admin sent")
    install.add_argument(
        "--admin-fingerprint", metavar="TEXT", help="as the admin read it; needed the first time"
    )
    install.add_argument(
        "--unlock", type=Path, metavar="FILE", help="key file for unattended starts, for site.yaml"
    )
    rotate = add_part(parts, "rotate", "make new keys, in force once admitted", run_rotate)
    for part in (init, rotate):
        add_unlock_options(part)
    plans.add_parts(parts)
    add_run(parts)
    add_unit_part(parts, run_systemd)


def run_init(args: argparse.Namespace) -> int:
    """Make keys and request; print the fingerprint to read over the phone."""
    from fedcc.deployment.site_setup import init_site

    made = init_site(args.folder, args.name, new_unlocker(args), datetime.now(UTC))
    return _print_keys(made.identity.public, made.node.public, made.request, args)


def run_rotate(args: argparse.Namespace) -> int:
    """Make the next keys and a request that the old identity signs."""
    from fedcc.deployment.site_file import SiteHome
    from fedcc.deployment.site_setup import rotate_site

    home = SiteHome.open(args.folder)
    unlocker = given_unlocker(args)
    old = unlocked(home.identity, args)
    made = rotate_site(home.file.parent, old, unlocker or new_unlocker(args), datetime.now(UTC))
    return _print_keys(made.identity.public, made.node.public, made.request, args)


def _print_keys(identity: bytes, node: str, request: Path, args: argparse.Namespace) -> int:
    from fedcc.crypto.statements import fingerprint
    from fedcc.deployment.node_keys import node_fingerprint

    values = {
        "fingerprint": fingerprint(identity),
        "node_fingerprint": node_fingerprint(node),
        "request": str(request),
    }
    text = (
        f"fingerprint {values['fingerprint']}\n"
        f"  node     {values['node_fingerprint']}\n"
        f"  request  {request} (public; send it to the admin)"
    )
    return print_result(values, text, as_json=args.json)


def run_install(args: argparse.Namespace) -> int:
    """Take over a bundle."""
    from fedcc.crypto.statements import fingerprint
    from fedcc.deployment.site_setup import install

    done = install(
        args.folder,
        args.bundle,
        read_aloud=args.admin_fingerprint,
        unlock=args.unlock,
        now=datetime.now(UTC),
    )
    bundle, roster = done.bundle, done.bundle.roster
    values = {
        "site": bundle.site,
        "consortium": roster.consortium,
        "aggregator": f"{bundle.host}:{bundle.port}",
        "admin_fingerprint": fingerprint(bundle.admin),
        "roster_serial": roster.serial,
        "sites": [one.site for one in roster.sites],
        "first": done.first,
        "rotated": done.rotated,
    }
    lines = [
        f"{bundle.site} of {roster.consortium}: aggregator {values['aggregator']}",
        f"  roster {roster.serial}: {', '.join(one.site for one in roster.sites)}",
    ]
    if done.rotated:
        lines.append("  the new keys are in force; the old ones are kept in retired/")
    if done.first:
        lines.append(
            "  site.yaml and policy.yaml were written: name your data in the one, set your limits "
            "in the other, then run fedcc doctor site"
        )
    return print_result(values, "\n".join(lines), as_json=args.json)


def run_systemd(args: argparse.Namespace) -> int:
    """Print or write the systemd unit."""
    from fedcc.deployment.site_file import SiteHome
    from fedcc.deployment.systemd import site_unit

    home = SiteHome.open(args.folder)
    return print_unit(site_unit(home, user=args.user, program=Path(sys.executable)), args)
