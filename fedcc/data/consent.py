"""The consent gate: which rows may train, on what basis, and why the others may not.

Without a consent block nothing is admitted. Consent to a recording alone is not consent to
training: one of the scopes must be exactly the required one, so that "no ml_training" and
"ml_training (revoked)" admit nobody. A date without a time of day does not count.
"""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fedcc.data.raw_table import RawTable
from fedcc.data.source_spec import SCOPE_SEPARATORS
from fedcc.data.spec import ConsentSpec
from fedcc.errors import ConfigError, RecordError

_SCOPE_SEPARATOR = re.compile(f"[{SCOPE_SEPARATORS}]")
# `datetime.fromisoformat` takes any sign between date and time, so that it reads the zone of
# 2026-01-31+01:00 as one o'clock.
_TIME_OF_DAY = re.compile(r"\d[T ]\d\d", re.IGNORECASE)


def admitted_by_consent(
    table: RawTable,
    consent: ConsentSpec | None,
    *,
    now: datetime,
    rows: Sequence[int] | None = None,
) -> tuple[list[int], Counter[str]]:
    """Return the positions of the rows that may train and the refusals by reason.

    Args:
        table: all rows with their consent columns.
        consent: the YAML's consent block.
        now: the cutoff, with a time zone; consent given later does not count.
        rows: the positions to look at; `None` for all.

    Raises:
        RecordError: if there is no consent block, or no row is admitted.
    """
    if consent is None:
        raise RecordError(
            f"{table.source}: the data YAML has no consent block, so no row may train. Add "
            "consent: {basis: public_dataset, source: …} or {basis: per_row, columns: {…}}."
        )
    everything = list(range(table.n_rows)) if rows is None else list(rows)
    if consent.basis == "public_dataset":
        return everything, Counter()
    assert_columns = consent.columns
    if assert_columns is None:
        raise ConfigError("consent.columns is missing")
    status, at, scope = (
        table.columns[name]
        for name in (assert_columns.status, assert_columns.at, assert_columns.scope)
    )
    zone = _zone(consent.time_zone)
    refused: Counter[str] = Counter()
    admitted = []
    for row in everything:
        reason = _refusal(consent, status[row], at[row], scope[row], zone=zone, now=now)
        if reason is None:
            admitted.append(row)
        else:
            refused[reason] += 1
    if not admitted:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(refused.items()))
        raise RecordError(
            f"{table.source}: no row has valid consent ({reasons}). Check consent.granted_values, "
            "consent.required_scope and consent.time_zone of the data YAML."
        )
    return admitted, refused


def _zone(name: str | None) -> ZoneInfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder of zones
        raise ConfigError(f"consent.time_zone: '{name}' is not a known time zone.") from None


def _refusal(
    consent: ConsentSpec, status: str, at: str, scope: str, *, zone: ZoneInfo | None, now: datetime
) -> str | None:
    """Return why a row may not train, or `None`."""
    if status.lower() not in _lowered(consent.granted_values):
        return "consent_status"
    if consent.required_scope.strip().lower() not in _lowered(_SCOPE_SEPARATOR.split(scope)):
        return "consent_scope"
    try:
        given = datetime.fromisoformat(at)
    except ValueError:
        return "consent_time"
    if given.tzinfo is None:
        if zone is None:
            return "consent_time_zone"
        given = given.replace(tzinfo=zone)
    if not _TIME_OF_DAY.search(at) or given > now:
        return "consent_time"
    return None


def _lowered(values: Sequence[str]) -> set[str]:
    return {value.strip().lower() for value in values}
