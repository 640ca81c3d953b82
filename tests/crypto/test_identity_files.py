"""Cards, hand-overs and rotation: whoever plays a site without its key gets nowhere."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fedcc.crypto.cards import card_file, hand_over_file, read_card, read_hand_over
from fedcc.crypto.identity_files import create_identity, free_place, rotate
from fedcc.crypto.key_file import Identity, KeyFile, read_key
from fedcc.crypto.statements import canonical
from fedcc.errors import ConfigError, EnvelopeError

NOW = datetime(2026, 11, 22, 11, 30, tzinfo=UTC)
LATER = datetime(2026, 11, 23, 11, 30, tzinfo=UTC)
SECRET = KeyFile(bytes(range(100, 132)))
OLD, NEW, STRANGER = (Identity.create("site", "lisbon", NOW) for _ in range(3))


def flipped(text: str) -> str:
    return ("0" if text[0] != "0" else "1") + text[1:]


# Cards


def test_a_card_comes_back_as_it_was_made(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(card_file(OLD))

    card = read_card(path)

    assert (card.role, card.name, card.identity) == ("site", "lisbon", OLD.public)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "porto"),
        ("role", "admin"),
        ("created_at", "2026-11-22T11:30:01Z"),
        ("identity", STRANGER.public.hex()),
        ("signature", "00" * 64),
        ("signature", flipped(json.loads(card_file(OLD))["signature"])),
    ],
    ids=range(6),
)
def test_a_card_altered_in_one_field_is_refused(tmp_path: Path, key: str, value: str) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(canonical({**json.loads(card_file(OLD)), key: value}))

    with pytest.raises(EnvelopeError, match=r"card\.json: a signature does not match"):
        read_card(path)


def test_nobody_makes_a_card_of_another_sites_key(tmp_path: Path) -> None:
    # Unknown key share: a stranger enters the victim's public key under his own name.
    stolen = {**json.loads(card_file(STRANGER)), "identity": OLD.public.hex(), "name": "porto"}
    body = {key: stolen[key] for key in ("role", "name", "identity", "created_at")}
    stolen["signature"] = STRANGER.sign("card", body).hex()
    path = tmp_path / "card.json"
    path.write_bytes(canonical(stolen))

    with pytest.raises(EnvelopeError):
        read_card(path)


# Hand-overs


def test_a_hand_over_names_both_keys(tmp_path: Path) -> None:
    path = tmp_path / "hand-over.json"
    path.write_bytes(hand_over_file(OLD, NEW, NOW))

    found = read_hand_over(path)

    assert (found.name, found.old, found.new) == ("lisbon", OLD.public, NEW.public)


def forged(old: Identity, new: Identity, /, **changes: str) -> bytes:
    return canonical({**json.loads(hand_over_file(old, new, NOW)), **changes})


FORGERIES: dict[str, Callable[[], bytes]] = {
    "a stranger names himself": lambda: forged(STRANGER, NEW, old=OLD.public.hex()),
    "a stranger's signature": lambda: forged(
        OLD, NEW, signature_old=json.loads(hand_over_file(STRANGER, NEW, NOW))["signature_old"]
    ),
    "a new key that did not agree": lambda: forged(
        OLD, NEW, signature_new=json.loads(hand_over_file(OLD, STRANGER, NOW))["signature_new"]
    ),
    "the two signatures are swapped": lambda: forged(
        OLD,
        NEW,
        signature_old=json.loads(hand_over_file(OLD, NEW, NOW))["signature_new"],
        signature_new=json.loads(hand_over_file(OLD, NEW, NOW))["signature_old"],
    ),
    "another name": lambda: forged(OLD, NEW, name="porto"),
    "another time": lambda: forged(OLD, NEW, made_at="2026-11-22T11:30:01Z"),
    "another new key": lambda: forged(OLD, NEW, new=STRANGER.public.hex()),
    "to itself": lambda: hand_over_file(OLD, OLD, NOW),
    "to a key under which anybody signs": lambda: forged(OLD, NEW, new="01" + "00" * 31),
}


@pytest.mark.parametrize("make", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_hand_over_is_refused(tmp_path: Path, make: Callable[[], bytes]) -> None:
    path = tmp_path / "hand-over.json"
    path.write_bytes(make())

    with pytest.raises(EnvelopeError, match=r"hand-over\.json"):
        read_hand_over(path)


# Making and rotating the files


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    create_identity(free_place(folder, "site", "lisbon"), SECRET, NOW)
    return folder


def unlocked(path: Path) -> Identity:
    return read_key(path).unlock(SECRET)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_new_identity_is_a_private_key_and_a_public_card(home: Path) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in home.iterdir()}

    assert modes == {"lisbon.key.json": 0o600, "lisbon.card.json": 0o644}
    card = read_card(home / "lisbon.card.json")
    assert card.identity == unlocked(home / "lisbon.key.json").public


@pytest.mark.parametrize("name", ["lisbon.key.json", "lisbon.card.json"])
def test_an_identity_is_not_made_where_one_is(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"older")

    with pytest.raises(ConfigError, match=f"{name} exists.*rotate"):
        free_place(tmp_path, "site", "lisbon")


def test_a_rotation_gives_a_new_key_and_keeps_the_old_one(home: Path) -> None:
    old = unlocked(home / "lisbon.key.json")

    made = rotate(home / "lisbon.key.json", old, SECRET, LATER)

    new = unlocked(home / "lisbon.key.json")
    hand_over = read_hand_over(made.hand_over)
    assert new.public == made.new.public != old.public
    assert (hand_over.old, hand_over.new) == (old.public, new.public)
    assert read_card(made.card).identity == new.public
    assert unlocked(made.revoked).private == old.private
    assert made.revoked.name.endswith(".revoked")
    assert {p.stat().st_mode & 0o777 for p in (made.revoked, home / "lisbon.key.json")} == {0o600}
    assert len(list(home.iterdir())) == 4  # nothing unfinished is left


def test_a_key_can_be_rotated_again_and_again(home: Path) -> None:
    for _ in range(3):
        rotate(home / "lisbon.key.json", unlocked(home / "lisbon.key.json"), SECRET, LATER)

    assert len(list(home.glob("*.revoked"))) == len(list(home.glob("*.hand-over.json"))) == 3


def test_an_admin_hands_over_to_nobody(tmp_path: Path) -> None:
    admin = create_identity(free_place(tmp_path, "admin", "telco"), SECRET, NOW)
    before = snapshot(tmp_path)

    with pytest.raises(ConfigError, match="only a site"):
        rotate(tmp_path / "telco.key.json", admin, SECRET, LATER)

    assert snapshot(tmp_path) == before


class PowerCut(BaseException):
    """Nothing catches it, as nothing runs after a power cut."""


def after(calls: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let so many calls of any wrapped function pass, and cut the power at the next."""
    left = [calls]

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def limited(*args: Any, **kwargs: Any) -> Any:
            if left[0] == 0:
                raise PowerCut
            left[0] -= 1
            return function(*args, **kwargs)

        return limited

    return wrap


@pytest.mark.parametrize("calls", range(18))
def test_whenever_the_power_fails_the_key_in_place_is_whole_and_the_old_one_exists(
    home: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    path = home / "lisbon.key.json"
    old = unlocked(path)
    wrap = after(calls)
    with monkeypatch.context() as cut:
        for name in ("open", "fsync", "link", "replace"):
            cut.setattr(os, name, wrap(getattr(os, name)))
        try:
            rotate(path, old, SECRET, LATER)
            finished = True
        except PowerCut:
            finished = False

    assert finished == (calls == 17)  # so every step of a rotation is cut once
    present = unlocked(path)
    keys = [
        unlocked(p).private for p in home.iterdir() if ".key.json" in p.name and p.stat().st_size
    ]
    assert old.private in keys
    if present.public != old.public:  # then the hand-over to it must be there
        hand_over = read_hand_over(next(home.glob("*.hand-over.json")))
        assert (hand_over.old, hand_over.new) == (old.public, present.public)


def test_a_rotation_that_was_not_finished_is_not_taken_for_one(home: Path) -> None:
    path = home / "lisbon.key.json"
    (home / "lisbon.key.json.next").write_bytes(b"")
    before = snapshot(home)

    with pytest.raises(ConfigError, match=r"lisbon\.key\.json\.next is in the way"):
        rotate(path, unlocked(path), SECRET, LATER)

    assert snapshot(home) == before
