"""Organisations from a signed roster count like written ones, and only from the trusted admin."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import fedcc
from fedcc import config
from fedcc.crypto.cards import Card
from fedcc.crypto.consortium import sign
from fedcc.crypto.key_file import Identity
from fedcc.crypto.roster_changes import add, create
from fedcc.crypto.statements import fingerprint
from fedcc.errors import ConfigError, EnvelopeError, ProtocolError, RecordError
from fedcc.federation.roster_settings import fill_organisations
from fedcc.federation.settings import simulation_settings

NOW = datetime(2026, 11, 22, tzinfo=UTC)
ADMIN = Identity.create("admin", "telco", NOW)
TRUSTED = fingerprint(ADMIN.public)
CITIES = {"braga": "south", "evora": "south", "faro": "south", "lisbon": "north", "porto": "west"}
IN_ORDER = {f"site-{n}": o for n, o in enumerate(CITIES.values(), start=1)}


def roster_file(path: Path, organisations: dict[str, str]) -> Path:
    roster = create(ADMIN, "telco-group", NOW)
    for name, organisation in organisations.items():
        key = Identity.create("site", name, NOW).public
        card = Card("site", name, key, "2026-11-22T00:00:00Z")
        roster = add(roster, card, organisation, fingerprint(key), NOW)
    path.write_bytes(sign(roster, ADMIN))
    return path


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    return roster_file(tmp_path / "my roster.json", CITIES)


def values(path: Path, **federation: Any) -> dict[str, Any]:
    given = {"roster": str(path), "admin_fingerprint": TRUSTED, "organisations": None}
    return {"sites": 5, "federation": {**given, **federation}}


def test_sites_play_those_of_the_roster_in_its_order(roster: Path) -> None:
    assert fill_organisations(values(roster))["federation"]["organisations"] == IN_ORDER


def test_sites_of_the_same_names_play_themselves(tmp_path: Path) -> None:
    # Twelve, for in the roster's order site-10 stands before site-2.
    organisations = {f"site-{n}": f"operator-{n}" for n in range(1, 13)}
    path = roster_file(tmp_path / "roster.json", organisations)

    filled = fill_organisations({**values(path), "sites": 12})

    assert filled["federation"]["organisations"] == organisations


def test_without_a_roster_nothing_changes() -> None:
    given = {"sites": 3, "federation": {"roster": None, "organisations": {"site-1": "north"}}}

    assert fill_organisations(given) == given


def test_a_roster_counts_in_a_plan_like_written_organisations(roster: Path, calls: Path) -> None:
    plain = ["data=calls", "sites=5", "rounds=3"]
    by_roster = [f"federation.roster={roster}", f"federation.admin_fingerprint={TRUSTED}"]
    written = ["federation.organisations={site-1: s, site-2: s, site-3: s}"]

    plans = [
        fedcc.plan([*plain, *more], config_dir=calls).plan for more in (by_roster, written, [])
    ]

    assert [plan.tolerated_collusion for plan in plans] == [3, 3, 1]  # the largest has three
    first, second = (replace(plan, run="", public_seed=0) for plan in plans[:2])
    assert first == second


def test_a_roster_of_another_admin_is_refused(roster: Path) -> None:
    other = fingerprint(Identity.create("admin", "rival", NOW).public)

    with pytest.raises(ProtocolError, match="not that of the admin"):
        fill_organisations(values(roster, admin_fingerprint=other))


def test_an_altered_roster_is_refused(roster: Path) -> None:
    roster.write_bytes(roster.read_bytes().replace(b'"west"', b'"east"'))

    with pytest.raises(EnvelopeError, match="not signed"):
        fill_organisations(values(roster))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"admin_fingerprint": None}, "needs federation.admin_fingerprint"),
        ({"organisations": {"site-1": "north"}}, "not both"),
    ],
)
def test_a_roster_beside_organisations_or_without_its_admin_is_refused(
    roster: Path, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        fill_organisations(values(roster, **change))


def test_a_roster_of_another_number_of_sites_is_refused_with_the_right_one(roster: Path) -> None:
    with pytest.raises(ConfigError, match="Use sites=5"):
        fill_organisations({**values(roster), "sites": 4})


def test_a_roster_that_is_missing_ends_as_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="nowhere"):
        fill_organisations(values(tmp_path / "nowhere"))


def test_settings_never_pass_over_a_roster_that_was_not_read(roster: Path, calls: Path) -> None:
    given = config.compose("simulate", ["data=calls", f"federation.roster={roster}"], calls)

    with pytest.raises(ConfigError, match="roster was not read"):
        simulation_settings(given)
