"""Ledgers and charges for the tests of this folder."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fedcc.privacy.accounting import PrivacyEvent
from fedcc.privacy.caps import Cap
from fedcc.privacy.ledger import Charge, Ledger

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DELTA = 1e-5
EVENT = PrivacyEvent.gaussian(
    sensitivity=0.4, own_variance=4.7, min_sites=20, tolerated_collusion=1
)
CHARGE = Charge(
    event=EVENT,
    run="r",
    round_number=1,
    attempt=1,
    purpose="churn",
    planned_sites=20,
    session="5e55",
)


def charge(number: int = 1, *, run: str = "r", purpose: str = "churn") -> Charge:
    return replace(CHARGE, round_number=number, run=run, purpose=purpose)


def opened(path: Path, *caps: Cap) -> Ledger:
    return Ledger.open(path, caps=caps, delta=DELTA, now=NOW)


def cap(
    epsilon: float | None = None,
    *,
    alone: float | None = None,
    purpose: str | None = None,
    days: float | None = None,
) -> Cap:
    return Cap(purpose=purpose, days=days, epsilon=epsilon, epsilon_if_all_others_collude=alone)


def on_day(day: float) -> datetime:
    return NOW + timedelta(days=day)


def write_ledger(path: Path, charges: int = 3, *, close: bool = True) -> Ledger:
    """Write so many charges, each settled; not closing leaves what a killed process leaves."""
    ledger = opened(path)
    for number in range(1, charges + 1):
        ledger.reserve(charge(number), now=NOW)
        ledger.settle(charge(number), now=NOW)
    if close:
        ledger.close()
    return ledger
