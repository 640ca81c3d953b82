"""`fedcc aggregator`: the aggregator and the consortium's admin on premise."""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fedcc.cli.aggregator_run import add_run
from fedcc.cli.parts import add_command, add_part, add_unit_part, print_result, print_unit
from fedcc.cli.unlocking import add_unlock_options, new_unlocker, unlocked

if TYPE_CHECKING:
    from fedcc.crypto.consortium import Roster
    from fedcc.deployment.aggregator_file import AggregatorHome

EXAMPLES = """\
examples:
  fedcc aggregator init hub --consortium telco-group --admin telco \\
      --host fed.example.org --also 10.0.0.5
  fedcc aggregator admit hub lisbon.request.json                 shows what it asks for
  fedcc aggregator admit hub lisbon.request.json --organisation north --fingerprint ABCD-...
  fedcc aggregator revoke hub lisbon
  fedcc aggregator renew hub                                     a new server certificate

--fingerprint is what the site's operator reads over the phone. After `admit` send that site its
hub/bundles/SITE.bundle.json; all others take the new roster with the next plan that they approve.
The admin's passphrase opens the authority as well.
Exit codes: 0 ok, 2 usage, or not admitted for lack of a fingerprint, 3 a file cannot be read, 6 a
file was altered, is open to other users or signed by somebody else.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its parts to the parser."""
    parts = add_command(commands, "aggregator", "set up and keep an aggregator", EXAMPLES)
    init = add_part(parts, "init", "make admin, authority, certificate and roster", run_init)
    init.add_argument("--consortium", required=True, metavar="NAME", help="its name")
    init.add_argument("--admin", required=True, metavar="NAME", help="name of the admin's key")
    init.add_argument("--host", required=True, metavar="NAME", help="DNS name or IP sites dial")
    init.add_argument(
        "--also", action="append", default=[], metavar="NAME", help="one more name or IP; repeat it"
    )
    init.add_argument("--port", type=int, metavar="N", help="default: as in the reference YAML")
    admit = add_part(parts, "admit", "take a site in, or its rotated keys", run_admit)
    admit.add_argument("request", type=Path, metavar="REQUEST", help="that the site sent")
    admit.add_argument("--organisation", metavar="NAME", help="who runs the site")
    admit.add_argument("--fingerprint", metavar="TEXT", help="as the site read it over the phone")
    revoke = add_part(parts, "revoke", "take a site out for good", run_revoke)
    revoke.add_argument("site", metavar="SITE", help="its name")
    add_run(parts)
    renew = add_part(parts, "renew", "make a new server certificate", run_renew)
    for part in (init, admit, revoke, renew):
        add_unlock_options(part)
    add_unit_part(parts, run_systemd)


def run_init(args: argparse.Namespace) -> int:
    """Make an aggregator's folder."""
    from fedcc.deployment.aggregator_setup import NewAggregator, init_aggregator

    wanted = NewAggregator(
        consortium=args.consortium,
        admin=args.admin,
        names=tuple(dict.fromkeys([args.host, *args.also])),
        port=args.port,
    )
    home = init_aggregator(args.folder, wanted, new_unlocker(args), datetime.now(UTC))
    mark = home.values.admin.fingerprint
    values = {"admin_fingerprint": mark, "file": str(home.file), "names": list(wanted.names)}
    text = (
        f"admin fingerprint {mark} (read it to each site over the phone)\n"
        f"  settings  {home.file}\n"
        f"  server    {', '.join(wanted.names)}, port {home.values.listen.port}"
    )
    return print_result(values, text, as_json=args.json)


def run_admit(args: argparse.Namespace) -> int:
    """Show a request; admit it if the fingerprint was read, or a known identity signed it."""
    from fedcc.crypto.statements import fingerprint
    from fedcc.deployment.aggregator_file import AggregatorHome
    from fedcc.deployment.aggregator_setup import admit
    from fedcc.deployment.node_keys import node_fingerprint
    from fedcc.deployment.requests import read_request

    home, request = AggregatorHome.open(args.folder), read_request(args.request)
    if not args.json:
        print(f"{request.site} asks, with fedcc {request.fedcc} of {request.made_at}")
        print(f"  identity  {fingerprint(request.identity)}")
        print(f"  node      {node_fingerprint(request.node)}")
    if request.hand_over is None and args.fingerprint is not None:
        _compare(args.fingerprint, request.identity, request.site)
    roster = admit(
        home,
        unlocked(home.admin_key, args),
        request,
        organisation=args.organisation,
        read_aloud=args.fingerprint,
        now=datetime.now(UTC),
    )
    return _print_roster(home, roster, args)


def _compare(read_aloud: str, identity: bytes, site: str) -> None:
    """Refuse a wrong fingerprint before a passphrase is asked for."""
    from fedcc.crypto.statements import check_fingerprint

    check_fingerprint(read_aloud, identity, f"the request of {site}")


def run_revoke(args: argparse.Namespace) -> int:
    """Take a site out."""
    from fedcc.deployment.aggregator_file import AggregatorHome
    from fedcc.deployment.aggregator_setup import revoke_site

    home = AggregatorHome.open(args.folder)
    admin = unlocked(home.admin_key, args)
    return _print_roster(home, revoke_site(home, admin, args.site, datetime.now(UTC)), args)


def run_renew(args: argparse.Namespace) -> int:
    """Make a new server certificate for the names of the YAML."""
    from fedcc.crypto.statements import read_public
    from fedcc.deployment.aggregator_file import AggregatorHome
    from fedcc.deployment.aggregator_setup import renew_certificate
    from fedcc.deployment.certificates import check_server

    home, now = AggregatorHome.open(args.folder), datetime.now(UTC)
    renew_certificate(home, unlocked(home.admin_key, args), now)
    end = check_server(
        read_public(home.ca),
        read_public(home.certificate),
        home.values.public.host,
        str(home.certificate),
        now,
    )
    values = {"certificate": str(home.certificate), "valid_until": end.isoformat()}
    text = f"{home.certificate}: valid until {end:%F}; a running aggregator takes it by itself"
    return print_result(values, text, as_json=args.json)


def _print_roster(home: "AggregatorHome", roster: "Roster", args: argparse.Namespace) -> int:
    from fedcc.crypto.statements import fingerprint

    bundles = {one.site: str(home.bundles / f"{one.site}.bundle.json") for one in roster.sites}
    if args.json:
        sites = {
            one.site: {
                "organisation": one.organisation,
                "fingerprint": fingerprint(one.identity),
                "bundle": bundles[one.site],
            }
            for one in roster.sites
        }
        values = {"consortium": roster.consortium, "serial": roster.serial, "sites": sites}
        print(json.dumps(values, indent=2))
        return 0
    print(f"{roster.consortium}, roster {roster.serial}: {len(roster.sites)} sites")
    for one in roster.sites:
        print(f"  {one.site}  {one.organisation}  {bundles[one.site]}")
    print("Send a new site, or one with new keys, its bundle. The others need none: the next plan")
    print("that they approve brings the roster.")
    return 0


def run_systemd(args: argparse.Namespace) -> int:
    """Print or write the systemd unit."""
    from fedcc.deployment.aggregator_file import AggregatorHome
    from fedcc.deployment.systemd import aggregator_unit

    home = AggregatorHome.open(args.folder)
    return print_unit(aggregator_unit(home, user=args.user, program=Path(sys.executable)), args)
