"""The files of an identity in its folder: made together, rotated so that a crash loses no key.

NAME.key.json              the private key, encrypted, mode 0600
NAME.card.json             its public card
NAME.abcd.hand-over.json   after a rotation: what the key abcd… signed for the next one
NAME.key.json.abcd.revoked the key abcd… itself, kept, mode 0600
"""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedcc.crypto.cards import card_file, hand_over_file
from fedcc.crypto.key_file import Identity, Role, Unlocker, write_key
from fedcc.crypto.private_files import create_new
from fedcc.crypto.statements import check_name, fingerprint
from fedcc.errors import ConfigError
from fedcc.hash_chain import sync_folder


@dataclass(frozen=True)
class IdentityPlace:
    """Where a new identity goes; nothing is there yet."""

    role: Role
    name: str
    key: Path
    card: Path


def free_place(folder: Path, role: Role, name: str) -> IdentityPlace:
    """Return where a new identity goes.

    Raises:
        ConfigError: if the name cannot be used or one of the files exists.
    """
    check_name(name, f"--{role}")
    place = IdentityPlace(role, name, folder / f"{name}.key.json", folder / f"{name}.card.json")
    for path in (place.key, place.card):
        if os.path.lexists(path):
            raise ConfigError(
                f"{path} exists, and keys are never overwritten. `fedcc keys rotate` makes a new "
                "key that follows the old one."
            )
    return place


def create_identity(place: IdentityPlace, unlocker: Unlocker, now: datetime) -> Identity:
    """Make an identity, write its key file and its card, and return it.

    Raises:
        ConfigError: if a file cannot be written.
    """
    identity = Identity.create(place.role, place.name, now)
    write_key(place.key, identity, unlocker)
    create_new(place.card, card_file(identity), mode=0o644)
    return identity


@dataclass(frozen=True)
class Rotation:
    """What a rotation made."""

    new: Identity
    hand_over: Path
    card: Path
    revoked: Path


def rotate(path: Path, old: Identity, unlocker: Unlocker, now: datetime) -> Rotation:
    """Make a new identity and have the old one hand over to it; the old file is kept.

    The new file takes the place of the old only when everything else is on disk, so a crash leaves
    the old key in its place.

    Args:
        path: of the key file.
        old: the identity in it, unlocked.
        unlocker: what the new file is locked with.
        now: when.

    Raises:
        ConfigError: if the key is an admin's, an earlier rotation was not finished, or a file
            cannot be written.
    """
    if old.role != "site":
        raise ConfigError(
            "only a site hands over to a new key. A new admin begins a new roster, whose "
            "fingerprint all sites agree on."
        )
    new = Identity.create(old.role, old.name, now)
    short = fingerprint(old.public)[:4].lower()
    made = Rotation(
        new=new,
        hand_over=path.with_name(f"{old.name}.{short}.hand-over.json"),
        card=path.with_name(f"{old.name}.card.json"),
        revoked=path.with_name(f"{path.name}.{short}.revoked"),
    )
    coming = path.with_name(f"{path.name}.next")
    coming_card = path.with_name(f"{made.card.name}.next")
    for place in (coming, coming_card, made.hand_over, made.revoked):
        if os.path.lexists(place):
            raise ConfigError(
                f"{place} is in the way, perhaps of a rotation that was not finished. {path} is "
                "still the key. Move that file elsewhere, and rotate again."
            )
    write_key(coming, new, unlocker)
    create_new(coming_card, card_file(new), mode=0o644)
    create_new(made.hand_over, hand_over_file(old, new, now), mode=0o644)
    try:
        os.link(path, made.revoked, follow_symlinks=False)
        os.replace(coming, path)
        os.replace(coming_card, made.card)
        sync_folder(path.parent)
    except OSError as error:
        raise ConfigError(f"{path} cannot be replaced: {error.strerror}.") from None
    return made
