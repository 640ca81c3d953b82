"""`fedcc keys`: the long-lived identity of a site or an admin, and the consortium's roster."""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fedcc.cli import roster
from fedcc.cli.unlocking import add_unlock_options, given_unlocker, new_unlocker, unlocked
from fedcc.errors import RecordError

if TYPE_CHECKING:
    from fedcc.crypto.cards import Card

EXAMPLES = """\
examples:
  fedcc keys create keys --site lisbon              keys/lisbon.key.json, keys/lisbon.card.json
  fedcc keys create keys --admin telco              the key that signs the roster
  fedcc keys fingerprint keys/lisbon.key.json       to read over the phone
  fedcc keys show keys/lisbon.card.json --json      public parts only
  fedcc keys rotate keys/lisbon.key.json            a new key, which the old one hands over to
  fedcc keys roster --help                          who takes part: init, add, renew, revoke, verify

A site sends its card to the admin and reads its fingerprint over the phone. The key file never
leaves the site; it is encrypted with a passphrase, typed or read from --passphrase-file, or with a
--key-file of 32 random bytes, made by (umask 077; head -c 32 /dev/urandom > FILE).
A lost or stolen key is not rotated: the admin revokes it and adds the card of a new one.
Exit codes: 0 ok, 2 usage, 3 a file cannot be read, 6 a file was altered, is open to other users,
does not open, or is signed by somebody else.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its parts to the parser."""
    parser = commands.add_parser(
        "keys",
        help="make, show and rotate a site's identity; keep the roster",
        description="Keep the long-lived keys of a site or an admin, and the signed roster.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = parser.add_subparsers(metavar="PART", required=True)
    create = _add_part(parts, "create", "make an identity and its card", run_create)
    create.add_argument("folder", type=Path, metavar="FOLDER", help="where its two files go")
    who = create.add_mutually_exclusive_group(required=True)
    who.add_argument("--site", metavar="NAME", help="a site of that name")
    who.add_argument("--admin", metavar="NAME", help="an admin, who signs rosters")
    show = _add_part(parts, "show", "print the public parts of a key or card", run_show)
    show.add_argument("file", type=Path, metavar="FILE", help="a key or a card")
    mark = _add_part(parts, "fingerprint", "print what to read over the phone", run_fingerprint)
    mark.add_argument("file", type=Path, metavar="FILE", help="a key, which is unlocked, or a card")
    rotate = _add_part(parts, "rotate", "make a new key that follows the old one", run_rotate)
    rotate.add_argument("file", type=Path, metavar="KEY", help="a site's key file")
    for part in (create, mark, rotate):
        add_unlock_options(part)
    roster.add_parser(parts)


def _add_part(
    parts: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    words: str,
    run: "roster.Run",
) -> argparse.ArgumentParser:
    part = parts.add_parser(
        name,
        help=words,
        description=f"{words[0].upper()}{words[1:]}.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    part.add_argument("--json", action="store_true", help="print JSON instead of text")
    part.add_argument("--debug", action="store_true", help="show tracebacks")
    part.set_defaults(run_command=run)
    return part


def run_create(args: argparse.Namespace) -> int:
    """Make an identity and write its key file and its card."""
    from fedcc.crypto.identity_files import create_identity, free_place
    from fedcc.crypto.statements import fingerprint

    if args.site is not None:
        place = free_place(args.folder, "site", args.site)
    else:
        place = free_place(args.folder, "admin", args.admin)
    made = create_identity(place, new_unlocker(args), datetime.now(UTC))
    text = fingerprint(made.public)
    if args.json:
        values = {"role": made.role, "name": made.name, "fingerprint": text}
        print(json.dumps({**values, "key": str(place.key), "card": str(place.card)}, indent=2))
    else:
        print(f"{made.role} {made.name}: fingerprint {text}")
        print(f"  key   {place.key} (encrypted, mode 0600; it stays on this machine)")
        print(f"  card  {place.card} (public; send it to the admin)")
    return 0


def run_show(args: argparse.Namespace) -> int:
    """Print the public parts of a key or a card, without unlocking anything."""
    card, proven = _read_card_or_key(args.file)
    values = {**_shown(card), "proven": proven}
    if args.json:
        print(json.dumps(values, indent=2))
        return 0
    print(f"{card.role} {card.name}: fingerprint {values['fingerprint']}")
    print(f"  identity    {card.identity.hex()}")
    print(f"  created at  {card.created_at}")
    if not proven:
        print("  as written in the file; `fedcc keys fingerprint` unlocks it and proves it")
    return 0


def run_fingerprint(args: argparse.Namespace) -> int:
    """Print the fingerprint of a card, or of a key file after unlocking it."""
    from fedcc.crypto.statements import fingerprint

    card, proven = _read_card_or_key(args.file)
    # What people compare over the phone comes from the private key itself, not from what its file
    # says of it.
    identity = card.identity if proven else unlocked(args.file, args).public
    text = fingerprint(identity)
    print(json.dumps({"fingerprint": text}) if args.json else text)
    return 0


def run_rotate(args: argparse.Namespace) -> int:
    """Replace a key by a new one, and write the hand-over and the new card."""
    from fedcc.crypto.identity_files import rotate
    from fedcc.crypto.statements import fingerprint

    unlocker = given_unlocker(args)
    old = unlocked(args.file, args)
    made = rotate(args.file, old, unlocker or new_unlocker(args), datetime.now(UTC))
    values = {
        "site": old.name,
        "fingerprint": fingerprint(made.new.public),
        "old_fingerprint": fingerprint(old.public),
        "key": str(args.file),
        "hand_over": str(made.hand_over),
        "card": str(made.card),
        "revoked": str(made.revoked),
    }
    if args.json:
        print(json.dumps(values, indent=2))
    else:
        print(f"{old.role} {old.name}: fingerprint {values['fingerprint']}")
        print(f"  key        {args.file}")
        print(f"  hand-over  {made.hand_over} (public; send it to the admin)")
        print(f"  old key    {made.revoked} (kept; use it for nothing)")
    return 0


def _read_card_or_key(path: Path) -> "tuple[Card, bool]":
    """Return the public parts, and whether a signature of the key itself proves them."""
    from fedcc.crypto.cards import Card, read_card
    from fedcc.crypto.key_file import read_key
    from fedcc.crypto.statements import kind_of

    kind = kind_of(path)
    if kind == "card":
        return read_card(path), True
    if kind == "key":
        key = read_key(path)
        return Card(key.role, key.name, key.public, key.created_at), False
    raise RecordError(f"{path} is neither a key nor a card of fedcc.")


def _shown(card: "Card") -> dict[str, object]:
    from fedcc.crypto.statements import fingerprint

    return {
        "role": card.role,
        "name": card.name,
        "fingerprint": fingerprint(card.identity),
        "identity": card.identity.hex(),
        "created_at": card.created_at,
    }
