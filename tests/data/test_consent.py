"""A row trains only with a granted status, the right scope and a past time with time of day."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fedcc.data.consent import admitted_by_consent
from fedcc.data.gates import GateCounts, Table
from fedcc.data.raw_table import RawTable
from fedcc.data.spec import DataSpec
from fedcc.errors import ConfigError

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CANARY = "ZZCANARYZZ"
GIVEN = "2026-05-31T10:00:00+00:00"

Make = Callable[..., DataSpec]
Message = Callable[..., str]


@pytest.fixture
def gate(make_spec: Make) -> Callable[..., tuple[list[int], dict[str, int]]]:
    """Pass rows of (status, time, scope) through the gate; keywords go to the consent block."""

    def pass_rows(*rows: tuple[str, str, str], **keys: Any) -> tuple[list[int], dict[str, int]]:
        block = {"columns": {"status": "s", "at": "t", "scope": "c"}, **keys}
        consent = make_spec(consent={"basis": "per_row", "source": None, **block}).consent
        columns = dict(zip("stc", map(list, zip(*rows, strict=True)), strict=True))
        admitted, refused = admitted_by_consent(RawTable("calls.csv", columns), consent, now=NOW)
        return admitted, dict(refused)

    return pass_rows


Gate = Callable[..., tuple[list[int], dict[str, int]]]
GOOD = ("granted", GIVEN, "ml_training")


@pytest.mark.parametrize(
    "row",
    [
        GOOD,
        ("GRANTED", "2026-05-31T10:00:00Z", "ML_Training"),
        ("granted", "2026-05-31 10:00+02:00", "recording, ml_training"),
        ("granted", "20260531T1000Z", "recording;ml_training|quality"),
        ("granted", GIVEN, " recording |\tML_TRAINING "),
        ("granted", NOW.isoformat(), "ml_training"),
    ],
)
def test_a_complete_consent_is_admitted(gate: Gate, row: tuple[str, str, str]) -> None:
    admitted, refused = gate(row)

    assert (admitted, refused) == ([0], {})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("withdrawn", GIVEN, "ml_training"), "consent_status"),
        (("", GIVEN, "ml_training"), "consent_status"),
        (("not granted", GIVEN, "ml_training"), "consent_status"),
        (("granted", GIVEN, "recording"), "consent_scope"),
        (("granted", GIVEN, "ml_training_v2"), "consent_scope"),
        (("granted", GIVEN, ""), "consent_scope"),
        (("granted", GIVEN, "no ml_training"), "consent_scope"),
        (("granted", GIVEN, "not ml_training"), "consent_scope"),
        (("granted", GIVEN, "recording; except ml_training"), "consent_scope"),
        (("granted", GIVEN, "ml_training (revoked)"), "consent_scope"),
        (("granted", GIVEN, "recording ml_training"), "consent_scope"),
        (("granted", "", "ml_training"), "consent_time"),
        (("granted", "yesterday", "ml_training"), "consent_time"),
        (("granted", "31/05/2026 10:00", "ml_training"), "consent_time"),
        (("granted", "2026-07-01T10:00:00Z", "ml_training"), "consent_time"),
        (
            ("granted", (NOW + timedelta(seconds=1)).isoformat(), "ml_training"),
            "consent_time",
        ),
        (("granted", "2026-05-31T10:00:00", "ml_training"), "consent_time_zone"),
        (("granted", "2026-05-31", "ml_training"), "consent_time_zone"),
    ],
)
def test_an_incomplete_consent_is_refused_and_counted_by_its_reason(
    gate: Gate, row: tuple[str, str, str], reason: str
) -> None:
    admitted, refused = gate(GOOD, row)

    assert (admitted, refused) == ([0], {reason: 1})


@pytest.mark.parametrize("at", ["2026-05-31", "20260531", "2026-W22-7", "2026-05-31+01:00"])
def test_a_date_without_time_of_day_is_refused_even_where_a_zone_is_declared(
    gate: Gate, at: str
) -> None:
    admitted, refused = gate(GOOD, ("granted", at, "ml_training"), time_zone="Europe/Lisbon")

    assert (admitted, refused) == ([0], {"consent_time": 1})


def test_times_without_a_zone_are_read_in_the_declared_zone(gate: Gate) -> None:
    # In June Paris is two hours and Lisbon one hour ahead of UTC (European summer time), so
    # 13:30 is 11:30 UTC in Paris and 12:30 UTC, half an hour after NOW, in Lisbon.
    local = ("granted", "2026-06-01T13:30:00", "ml_training")

    assert gate(GOOD, local, time_zone="Europe/Paris") == ([0, 1], {})
    assert gate(GOOD, local, time_zone="Europe/Lisbon") == ([0], {"consent_time": 1})


def test_status_and_scope_names_can_be_declared(gate: Gate) -> None:
    keys = {"granted_values": ["ja", "opt-in"], "required_scope": "model training"}

    admitted, refused = gate(
        ("Ja", GIVEN, "Model Training"), ("granted", GIVEN, "model training"), **keys
    )

    assert (admitted, refused) == ([0], {"consent_status": 1})


@pytest.mark.parametrize("sign", [",", ";", "|"])
def test_a_required_scope_that_no_single_scope_can_equal_is_refused(
    make_spec: Make, message_of: Message, sign: str
) -> None:
    block = {
        "basis": "per_row",
        "columns": {"status": "s", "at": "t", "scope": "c"},
        "required_scope": f"recording{sign}ml_training",
    }

    message = message_of(lambda: make_spec(consent=block), error=ConfigError)

    assert "required_scope names one scope" in message


def test_rows_that_are_all_refused_end_the_run_with_the_reasons_and_no_content(
    gate: Gate, message_of: Message
) -> None:
    message = message_of(lambda: gate((CANARY, GIVEN, CANARY), ("granted", CANARY, "ml_training")))

    assert message.startswith("calls.csv: no row has valid consent")
    assert "(consent_status: 1, consent_time: 1)" in message


@pytest.mark.parametrize("zone", ["Europe", "Mars/Olympus", "", "../secret", "/etc/passwd"])
def test_an_unknown_zone_is_a_config_error(gate: Gate, message_of: Message, zone: str) -> None:
    message = message_of(lambda: gate(GOOD, time_zone=zone), error=ConfigError)

    assert message == f"consent.time_zone: '{zone}' is not a known time zone."


def test_without_a_consent_block_nothing_is_admitted(
    load: Callable[..., tuple[Table, GateCounts]], message_of: Message
) -> None:
    content = f"customer,tenure,plan,churn\n{CANARY},5,basic,No\n"

    message = message_of(lambda: load(content, consent=None))

    assert "no consent block" in message and "basis: public_dataset" in message


def test_a_public_data_set_admits_every_row(
    load: Callable[..., tuple[Table, GateCounts]],
) -> None:
    _, counts = load("customer,tenure,plan,churn\nc1,5,basic,No\nc2,5,gold,Yes\n")

    assert (counts.rows_read, counts.rows_admitted, counts.refused) == (2, 2, {})


def test_only_consenting_rows_reach_the_table(
    load: Callable[..., tuple[Table, GateCounts]],
) -> None:
    content = (
        "customer,tenure,plan,churn,s,t,c\n"
        f"c1,5,basic,No,granted,{GIVEN},ml_training\n"
        f"{CANARY},5,basic,No,refused,{GIVEN},ml_training\n"
    )
    consent = {"basis": "per_row", "columns": {"status": "s", "at": "t", "scope": "c"}}

    table, counts = load(content, consent=consent)

    assert table.texts == {"customer": ["c1"]}  # and the consent columns are not kept
    assert counts.refused == {"consent_status": 1}
