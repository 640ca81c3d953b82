"""`fedcc keys roster`: the signed list of who takes part in a consortium."""

import argparse
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fedcc.cli.unlocking import add_unlock_options, unlocked
from fedcc.errors import ConfigError

if TYPE_CHECKING:
    from fedcc.crypto.consortium import Roster
    from fedcc.crypto.key_file import Identity

Run = Callable[[argparse.Namespace], int]
EXAMPLES = """\
examples, of the admin:
  fedcc keys roster init roster.json --consortium telco-group --admin-key keys/telco.key.json
  fedcc keys roster add roster.json lisbon.card.json --organisation north \\
      --fingerprint ABCD-... --admin-key keys/telco.key.json
  fedcc keys roster renew roster.json lisbon.abcd.hand-over.json --admin-key keys/telco.key.json
  fedcc keys roster revoke roster.json lisbon --admin-key keys/telco.key.json
of a site:
  fedcc keys roster show roster.json
  fedcc keys roster verify new.json --admin-fingerprint EFGH-... --held roster.json --keep

--fingerprint is what the site's operator reads over the phone; without it nothing is added. The
organisation is the admin's own knowledge: sites of one organisation count as one that may collude.
`verify` holds a roster against the admin's fingerprint and against the one that the site held: an
older one is refused, as is one that forgets a revocation or a second one of the same serial.
"""


def add_parser(parts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the parts of the roster to the parser of `fedcc keys`."""
    parser = parts.add_parser(
        "roster",
        help="who takes part: init, add, renew, revoke, show, verify",
        description="Keep the signed list of who takes part.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inner = parser.add_subparsers(metavar="STEP", required=True)
    init = _add_step(inner, "init", "begin a roster without sites", run_init, signs=True)
    init.add_argument("--consortium", required=True, metavar="NAME", help="its name")
    add = _add_step(inner, "add", "add a site by its card", run_add, signs=True)
    add.add_argument("card", type=Path, metavar="CARD", help="the site's card")
    add.add_argument("--organisation", required=True, metavar="NAME", help="who runs the site")
    add.add_argument(
        "--fingerprint", required=True, metavar="TEXT", help="as the site read it over the phone"
    )
    renew = _add_step(inner, "renew", "apply a site's hand-over", run_renew, signs=True)
    renew.add_argument("hand_over", type=Path, metavar="HAND-OVER", help="that the site sent")
    revoke = _add_step(inner, "revoke", "take a site out for good", run_revoke, signs=True)
    revoke.add_argument("site", metavar="SITE", help="its name")
    _add_step(inner, "show", "print who takes part", run_show, signs=False)
    verify = _add_step(inner, "verify", "check admin and serial", run_verify, signs=False)
    verify.add_argument(
        "--admin-fingerprint", required=True, metavar="TEXT", help="as agreed with the admin"
    )
    verify.add_argument("--held", type=Path, metavar="FILE", help="the roster that the site held")
    verify.add_argument("--keep", action="store_true", help="write it to --held if all is well")


def _add_step(
    inner: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    words: str,
    run: Run,
    *,
    signs: bool,
) -> argparse.ArgumentParser:
    step = inner.add_parser(
        name,
        help=words,
        description=f"{words[0].upper()}{words[1:]}.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    step.add_argument("roster", type=Path, metavar="ROSTER", help="the roster's file")
    if signs:
        step.add_argument(
            "--admin-key", type=Path, required=True, metavar="KEY", help="the admin's key file"
        )
        add_unlock_options(step)
    step.add_argument("--json", action="store_true", help="print JSON instead of text")
    step.add_argument("--debug", action="store_true", help="show tracebacks")
    step.set_defaults(run_command=run)
    return step


def run_init(args: argparse.Namespace) -> int:
    """Write the first, empty roster."""
    from fedcc.crypto.consortium import sign
    from fedcc.crypto.private_files import create_new
    from fedcc.crypto.roster_changes import create

    admin = unlocked(args.admin_key, args)
    roster = create(admin, args.consortium, datetime.now(UTC))
    create_new(args.roster, sign(roster, admin), mode=0o644)
    return _print(roster, args)


def run_add(args: argparse.Namespace) -> int:
    """Add a site whose fingerprint was read over the phone."""
    from fedcc.crypto.cards import read_card
    from fedcc.crypto.roster_changes import add

    card = read_card(args.card)
    admin, roster = _of_admin(args)
    now = datetime.now(UTC)
    return _write(add(roster, card, args.organisation, args.fingerprint, now), admin, args)


def run_renew(args: argparse.Namespace) -> int:
    """Put a site's new identity in place of its old one."""
    from fedcc.crypto.cards import read_hand_over
    from fedcc.crypto.roster_changes import apply_hand_over

    hand_over = read_hand_over(args.hand_over)
    admin, roster = _of_admin(args)
    return _write(apply_hand_over(roster, hand_over, datetime.now(UTC)), admin, args)


def run_revoke(args: argparse.Namespace) -> int:
    """Take a site out; its key never takes part again."""
    from fedcc.crypto.roster_changes import revoke

    admin, roster = _of_admin(args)
    return _write(revoke(roster, args.site, datetime.now(UTC)), admin, args)


def run_show(args: argparse.Namespace) -> int:
    """Print a roster, whoever signed it."""
    from fedcc.crypto.consortium import roster_of_anybody
    from fedcc.crypto.statements import read_public

    return _print(roster_of_anybody(read_public(args.roster), str(args.roster)), args)


def run_verify(args: argparse.Namespace) -> int:
    """Check a roster as a site does before it follows it."""
    from fedcc.crypto.consortium import check_follows, read_roster, trusted_roster
    from fedcc.crypto.statements import read_public

    if args.keep and args.held is None:
        raise ConfigError("--keep needs --held FILE, where the roster is to be kept.")
    content = read_public(args.roster)
    roster = trusted_roster(content, str(args.roster), args.admin_fingerprint)
    if args.held is not None and not (args.keep and not args.held.exists()):
        check_follows(roster, read_roster(args.held, args.admin_fingerprint), str(args.roster))
    if args.keep:
        _replace(args.held, content)
    return _print(roster, args)


def _of_admin(args: argparse.Namespace) -> "tuple[Identity, Roster]":
    """Return the admin's key, and the roster that it signed."""
    from fedcc.crypto.consortium import read_roster
    from fedcc.crypto.statements import fingerprint

    admin = unlocked(args.admin_key, args)
    return admin, read_roster(args.roster, fingerprint(admin.public))


def _write(roster: "Roster", admin: "Identity", args: argparse.Namespace) -> int:
    from fedcc.crypto.consortium import sign

    _replace(args.roster, sign(roster, admin))
    return _print(roster, args)


def _replace(path: Path, content: bytes) -> None:
    from fedcc.training.checkpoints import write_whole

    try:
        write_whole(path, content)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from None


def _print(roster: "Roster", args: argparse.Namespace) -> int:
    from fedcc.crypto.statements import fingerprint

    admin = fingerprint(roster.admin)
    sites = [
        {
            "site": one.site,
            "organisation": one.organisation,
            "fingerprint": fingerprint(one.identity),
            "added_at": one.added_at,
        }
        for one in roster.sites
    ]
    if args.json:
        values = {
            "consortium": roster.consortium,
            "serial": roster.serial,
            "issued_at": roster.issued_at,
            "sha256": roster.sha256.hex(),
            "admin_fingerprint": admin,
            "sites": sites,
            "organisations": roster.organisations(),
            "revoked": [
                {
                    "site": one.site,
                    "fingerprint": fingerprint(one.identity),
                    "revoked_at": one.revoked_at,
                }
                for one in roster.revoked
            ],
        }
        print(json.dumps(values, indent=2))
        return 0
    print(f"{roster.consortium}, serial {roster.serial} of {roster.issued_at}")
    print(f"  signed by the admin {admin}")
    width = max((len(one.site) for one in roster.sites), default=0)
    for one in sites:
        print(f"  {one['site']:{width}}  {one['fingerprint']}  {one['organisation']}")
    for gone in roster.revoked:
        print(f"  revoked {gone.revoked_at}: {gone.site} {fingerprint(gone.identity)}")
    return 0
