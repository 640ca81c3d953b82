"""The roster: who takes part is said by the trusted admin, once, and never goes back."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fedcc.crypto.cards import Card, HandOver
from fedcc.crypto.consortium import (
    Roster,
    check_follows,
    read_roster,
    roster_of_anybody,
    sign,
    trusted_roster,
)
from fedcc.crypto.key_file import Identity
from fedcc.crypto.roster_changes import add, apply_hand_over, create, revoke
from fedcc.crypto.statements import canonical, fingerprint
from fedcc.errors import ConfigError, EnvelopeError, FedccError, ProtocolError, RecordError

NOW = datetime(2026, 11, 22, 11, 30, tzinfo=UTC)
TIME = "2026-11-22T11:30:00Z"
ADMIN, OTHER_ADMIN = (Identity.create("admin", name, NOW) for name in ("telco", "rival"))
TRUSTED = fingerprint(ADMIN.public)
KEYS = {n: Identity.create("site", n, NOW) for n in ("lisbon", "porto", "braga", "faro", "evora")}
ORGANISATIONS = {"lisbon": "north", "porto": "north", "braga": "south"}


def card(name: str) -> Card:
    return Card("site", name, KEYS[name].public, TIME)


def joined(roster: Roster, name: str, organisation: str) -> Roster:
    return add(roster, card(name), organisation, fingerprint(KEYS[name].public), NOW)


@pytest.fixture(scope="module")
def roster() -> Roster:
    """Three sites of two organisations; serial 4."""
    present = create(ADMIN, "telco-group", NOW)
    for name, organisation in ORGANISATIONS.items():
        present = joined(present, name, organisation)
    return present


@pytest.fixture(scope="module")
def content(roster: Roster) -> bytes:
    return sign(roster, ADMIN)


def resigned(content: bytes, change: Callable[[dict[str, Any]], object], admin: Identity) -> bytes:
    """A roster as a careless or bought admin could sign it."""
    values = json.loads(content)
    change(values)
    body = {k: v for k, v in values.items() if k not in ("kind", "version", "signature")}
    return canonical({**values, "signature": admin.sign("roster", body).hex()})


# Reading


def test_a_roster_comes_back_from_its_file(roster: Roster, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "roster.json").write_bytes(content)

    found = read_roster(tmp_path / "roster.json", TRUSTED)

    assert found == roster
    assert found.organisations() == ORGANISATIONS
    assert found.identities() == {name: KEYS[name].public for name in ORGANISATIONS}
    assert [one.site for one in found.sites] == ["braga", "lisbon", "porto"]


def test_the_signature_is_ed25519_over_a_named_encoding(content: bytes) -> None:
    # Second source: the format as it is documented, put together here by hand.
    values = json.loads(content)
    body = {k: v for k, v in values.items() if k not in ("kind", "version", "signature")}
    message = json.dumps(["fedcc/roster/v1", body], sort_keys=True).encode()

    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(values["admin"]))
    key.verify(bytes.fromhex(values["signature"]), message)
    assert roster_of_anybody(content, "r").sha256 == hashlib.sha256(message).digest()


def test_no_byte_of_a_roster_can_change(content: bytes) -> None:
    for place in range(len(content)):
        altered = bytearray(content)
        altered[place] ^= 0x20 if chr(altered[place]).isalpha() else 0x01
        with pytest.raises(FedccError) as refusal:
            trusted_roster(bytes(altered), "roster.json", TRUSTED)
        assert refusal.value.exit_code in (3, 6)


def test_a_roster_of_another_admin_is_refused(content: bytes) -> None:
    def take_over(values: dict[str, Any]) -> None:
        values["admin"] = OTHER_ADMIN.public.hex()

    forged = resigned(content, take_over, OTHER_ADMIN)

    with pytest.raises(ProtocolError, match="the fingerprint is not that of the admin"):
        trusted_roster(forged, "roster.json", TRUSTED)
    assert roster_of_anybody(forged, "roster.json").admin == OTHER_ADMIN.public  # the twin


def test_a_roster_that_names_the_admin_but_is_signed_by_another_is_refused(content: bytes) -> None:
    forged = resigned(content, lambda values: None, OTHER_ADMIN)

    with pytest.raises(EnvelopeError, match="not signed by the admin that it names"):
        trusted_roster(forged, "roster.json", TRUSTED)


def site(values: dict[str, Any], number: int) -> dict[str, Any]:
    return dict(values["sites"][number])


CONTRADICTIONS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a site twice": lambda v: v["sites"].insert(
        0, {**site(v, 0), "identity": KEYS["faro"].public.hex()}
    ),
    "one identity twice": lambda v: v["sites"].append({**site(v, 0), "site": "zurich"}),
    "the admin as a site": lambda v: v["sites"].append(
        {**site(v, 0), "site": "zurich", "identity": v["admin"]}
    ),
    "a revoked identity": lambda v: v["revoked"].append(
        {"site": "braga", "identity": v["sites"][0]["identity"], "revoked_at": TIME}
    ),
    "one key revoked twice": lambda v: v["revoked"].extend(
        [{"site": "faro", "identity": KEYS["faro"].public.hex(), "revoked_at": TIME}] * 2
    ),
    "another order": lambda v: v["sites"].reverse(),
    "a key under which anybody signs": lambda v: v["sites"][0].update(identity="01" + "00" * 31),
    "an unknown key of a site": lambda v: v["sites"][0].update(note="x"),
    "an unknown key": lambda v: v.update(note="x"),
    "a site without organisation": lambda v: v["sites"][0].pop("organisation"),
    "no organisation": lambda v: v["sites"][0].update(organisation=""),
    "a site that is no object": lambda v: v["sites"].append("faro"),
    "no list of sites": lambda v: v.update(sites={}),
    "serial 0": lambda v: v.update(serial=0),
    "a serial with a fraction": lambda v: v.update(serial=4.0),
    "the first serial with one before": lambda v: v.update(serial=1),
    "a later serial with none before": lambda v: v.update(previous="00" * 32),
}


@pytest.mark.parametrize("change", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_roster_that_contradicts_itself_is_refused_whoever_signed_it(
    content: bytes, change: Callable[[dict[str, Any]], object]
) -> None:
    with pytest.raises(EnvelopeError, match=r"^roster\.json"):
        trusted_roster(resigned(content, change, ADMIN), "roster.json", TRUSTED)


def test_a_roster_resigned_without_a_change_is_accepted(roster: Roster, content: bytes) -> None:
    again = resigned(content, lambda values: None, ADMIN)

    assert trusted_roster(again, "roster.json", TRUSTED) == roster


@pytest.mark.parametrize("given", ["", "AAAA", TRUSTED[:-1]], ids=range(3))
def test_a_part_of_the_admins_fingerprint_is_not_enough(content: bytes, given: str) -> None:
    with pytest.raises(ConfigError, match="8 groups"):
        trusted_roster(content, "roster.json", given)


def test_a_statement_of_another_kind_is_no_roster() -> None:
    with pytest.raises(RecordError, match="not a roster file"):
        trusted_roster(canonical({"kind": "card", "version": 1}), "roster.json", TRUSTED)


# Changing


def test_every_change_has_the_next_serial_and_names_the_one_before(roster: Roster) -> None:
    later = joined(roster, "faro", "south")

    assert (roster.serial, later.serial) == (4, 5)
    assert later.previous == roster.sha256


def test_a_site_is_added_only_with_the_fingerprint_that_was_read_aloud(roster: Roster) -> None:
    with pytest.raises(ProtocolError, match="fingerprint is not that of the card of faro"):
        add(roster, card("faro"), "south", fingerprint(KEYS["evora"].public), NOW)


def test_a_site_that_takes_part_is_not_added_again(roster: Roster) -> None:
    with pytest.raises(ConfigError, match="lisbon is in the roster"):
        joined(roster, "lisbon", "south")


def test_one_key_does_not_take_part_under_two_names(roster: Roster) -> None:
    second = Card("site", "faro", KEYS["lisbon"].public, TIME)

    with pytest.raises(EnvelopeError, match="one identity twice"):
        add(roster, second, "south", fingerprint(second.identity), NOW)


def test_an_admins_card_is_not_that_of_a_site(roster: Roster) -> None:
    with pytest.raises(ConfigError, match="that of an admin"):
        add(roster, Card("admin", "telco", ADMIN.public, TIME), "north", TRUSTED, NOW)


def test_a_revoked_site_is_gone_and_its_key_never_comes_back(roster: Roster) -> None:
    later = revoke(roster, "porto", NOW)

    assert set(later.organisations()) == {"lisbon", "braga"}
    with pytest.raises(EnvelopeError, match="revoked identity"):
        joined(later, "porto", "north")


def test_a_revoked_site_comes_back_with_a_new_key(roster: Roster) -> None:
    new = Identity.create("site", "porto", NOW)
    later = revoke(roster, "porto", NOW)

    again = add(
        later, Card("site", "porto", new.public, TIME), "north", fingerprint(new.public), NOW
    )

    assert again.identities()["porto"] == new.public
    trusted_roster(sign(again, ADMIN), "roster.json", TRUSTED)


def test_a_hand_over_replaces_the_key_and_keeps_the_organisation(roster: Roster) -> None:
    new = Identity.create("site", "lisbon", NOW)
    hand_over = HandOver("lisbon", KEYS["lisbon"].public, new.public, TIME)

    later = apply_hand_over(roster, hand_over, NOW)

    assert later.identities()["lisbon"] == new.public
    assert later.organisations() == ORGANISATIONS
    assert [one.identity for one in later.revoked] == [KEYS["lisbon"].public]
    with pytest.raises(ProtocolError, match="not from the identity"):
        apply_hand_over(later, hand_over, NOW)  # and never twice


def test_a_hand_over_of_a_key_that_the_roster_does_not_have_is_refused(roster: Roster) -> None:
    new = Identity.create("site", "lisbon", NOW)

    with pytest.raises(ProtocolError, match="not from the identity"):
        apply_hand_over(roster, HandOver("lisbon", KEYS["faro"].public, new.public, TIME), NOW)


@pytest.mark.parametrize("taken", ["porto", "revoked"])
def test_a_hand_over_to_a_key_that_is_taken_or_revoked_is_refused(
    roster: Roster, taken: str
) -> None:
    present = revoke(joined(roster, "faro", "south"), "faro", NOW)
    target = KEYS["porto" if taken == "porto" else "faro"].public

    with pytest.raises(EnvelopeError):
        apply_hand_over(present, HandOver("lisbon", KEYS["lisbon"].public, target, TIME), NOW)


@pytest.mark.parametrize("change", [lambda r: revoke(r, "zurich", NOW)])
def test_a_site_that_is_not_there_is_named_with_those_that_are(
    roster: Roster, change: Callable[[Roster], Roster]
) -> None:
    with pytest.raises(ConfigError, match="braga, lisbon, porto"):
        change(roster)


def test_only_the_admin_of_a_roster_signs_it(roster: Roster) -> None:
    with pytest.raises(ProtocolError, match="not that of this roster's admin"):
        sign(roster, OTHER_ADMIN)
    with pytest.raises(ConfigError, match="that of a site"):
        sign(roster, KEYS["lisbon"])
    with pytest.raises(ConfigError, match="that of a site"):
        create(KEYS["lisbon"], "telco-group", NOW)


# Following: what a site that holds a roster takes next


def test_the_next_roster_and_the_same_one_are_followed(roster: Roster) -> None:
    later = joined(roster, "faro", "south")

    check_follows(later, roster, "new.json")
    check_follows(roster, roster, "new.json")
    check_follows(revoke(later, "porto", NOW), roster, "new.json")  # one was missed


def test_an_older_roster_is_refused(roster: Roster) -> None:
    with pytest.raises(ProtocolError, match=r"new\.json is an old roster: .* serial 4, and 5 is"):
        check_follows(roster, revoke(roster, "porto", NOW), "new.json")


def test_two_rosters_of_one_serial_are_refused(roster: Roster) -> None:
    # The admin, or who stole the key, shows different sites different rosters.
    shown, other = joined(roster, "faro", "south"), joined(roster, "evora", "south")

    with pytest.raises(ProtocolError, match="second roster of serial 5"):
        check_follows(other, shown, "new.json")


def test_a_roster_that_follows_on_another_one_is_refused(roster: Roster) -> None:
    shown, other = joined(roster, "faro", "south"), joined(roster, "evora", "south")

    with pytest.raises(ProtocolError, match="does not follow"):
        check_follows(revoke(other, "porto", NOW), shown, "new.json")


def test_a_roster_that_forgets_a_revocation_is_refused(roster: Roster) -> None:
    held = revoke(roster, "porto", NOW)
    forgets = replace(held, serial=held.serial + 2, revoked=())

    with pytest.raises(ProtocolError, match="forgets a revocation"):
        check_follows(forgets, held, "new.json")


@pytest.mark.parametrize(
    "change", [{"consortium": "rival-group"}, {"admin": OTHER_ADMIN.public}], ids=list
)
def test_a_roster_of_another_consortium_or_admin_is_refused(
    roster: Roster, change: dict[str, Any]
) -> None:
    with pytest.raises(ProtocolError, match="another consortium or admin"):
        check_follows(replace(roster, serial=9, **change), roster, "new.json")
