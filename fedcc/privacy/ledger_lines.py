"""The lines of a ledger file: what each kind holds, which format version, and how it is read.

A ledger that this code creates begins with a `format` line. One without it is of version 1 (no
format line, no `planned_sites` and `session`, no head file); before version 3 no event says over
how many sites its noise is shared, which was `min_sites`. Opening an older ledger for writing
appends a format line, so its charges keep counting and everything after that line is of the new
version.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedcc.errors import ProtocolError
from fedcc.privacy.accounting import PrivacyEvent

FORMAT_VERSION = 3
Entry = tuple[str, int, int]  # run, round, attempt: used once


@dataclass(frozen=True, kw_only=True)
class Charge:
    """One attempt of one round of a run, and what it costs."""

    event: PrivacyEvent
    run: str
    round_number: int
    attempt: int
    purpose: str
    planned_sites: int | None  # m of the plan; `None` in lines of version 1
    session: str | None  # hash of roster and plan, hexadecimal; `None` in lines of version 1

    @property
    def entry(self) -> Entry:
        """The one-time place of the attempt."""
        return self.run, self.round_number, self.attempt

    def as_fields(self, kind: str, now: datetime) -> dict[str, object]:
        """Return the fields of its line; `now` has a time zone."""
        return {
            "kind": kind,
            "event": self.event.as_dict(),
            "run": self.run,
            "round": self.round_number,
            "attempt": self.attempt,
            "purpose": self.purpose,
            "planned_sites": self.planned_sites,
            "session": self.session,
            "time": now.isoformat(),
        }


@dataclass(frozen=True)
class TimedCharge:
    """A charge in the order of the file, at a time that never runs backwards."""

    charge: Charge
    time: datetime  # the clock of the site, or the latest one seen before if that was later


@dataclass(frozen=True)
class LedgerContent:
    """Everything that a ledger file says."""

    charges: tuple[TimedCharge, ...]
    settled: frozenset[Entry]
    void: frozenset[Entry]
    version: int  # of the last line
    head_due: bool  # whether there is a charge of a version that has a head
    latest: datetime | None  # latest clock ever seen


def read_content(path: Path, entries: Iterable[Mapping[str, object]]) -> LedgerContent:
    """Read the lines of a chain.

    Raises:
        ProtocolError: names the first line that this version cannot account for.
    """
    charges: list[TimedCharge] = []
    seen: dict[str, set[Entry]] = {"reserve": set(), "settle": set(), "abort": set()}
    version, head_due, latest = 1, False, None
    for number, line in enumerate(entries, start=1):
        where = f"{path}, line {number}"
        try:
            kind, time = line["kind"], datetime.fromisoformat(str(line["time"]))
            if time.utcoffset() is None:
                raise ValueError("the time has no zone")
            latest = time if latest is None else max(latest, time)
            if kind == "format":
                version = _version(line, where, version)
                continue
            charge = _charge(line, version)
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError(
                f"{where}: not a line that fedcc's ledger of version {FORMAT_VERSION} can account "
                f"for ({type(error).__name__}). Open it with the fedcc that wrote it."
            ) from None
        if kind not in seen or (charge.entry in seen["reserve"]) != (kind != "reserve"):
            raise ProtocolError(
                f"{where}: '{str(kind)[:20]}' does not fit the lines before: an attempt is "
                "reserved once, and settled or aborted after that."
            )
        seen[str(kind)].add(charge.entry)
        if kind == "reserve":
            charges.append(TimedCharge(charge, latest))
            head_due = version > 1
    return LedgerContent(
        tuple(charges),
        frozenset(seen["settle"]),
        frozenset(seen["abort"]),
        version,
        head_due,
        latest,
    )


def _version(line: Mapping[str, object], where: str, before: int) -> int:
    """Return a format line's version; none follows a newer one.

    Raises:
        ProtocolError: for a version of a newer fedcc.
    """
    version = line["version"]
    if not isinstance(version, int) or version < max(2, before):
        raise ValueError("not a version")
    if version > FORMAT_VERSION:
        raise ProtocolError(
            f"{where}: ledger format {version} is newer than this fedcc, which reads up to "
            f"{FORMAT_VERSION}. Update fedcc at this site; never edit the ledger."
        )
    return version


def _charge(line: Mapping[str, object], version: int) -> Charge:
    """Return what a line of a format version charges.

    Raises:
        KeyError, TypeError, ValueError: if it is no charge that this accounting covers.
    """
    event, planned, session = line["event"], line.get("planned_sites"), line.get("session")
    run, purpose, round_number, attempt = (
        line[key] for key in ("run", "purpose", "round", "attempt")
    )
    if not isinstance(event, dict) or not isinstance(run, str) or not isinstance(purpose, str):
        raise TypeError("not a charge")
    if not isinstance(round_number, int) or not isinstance(attempt, int):
        raise TypeError("not a charge")
    if not isinstance(planned, int | None) or not isinstance(session, str | None):
        raise TypeError("not a charge")
    return Charge(
        event=_event(event, version),
        run=run,
        round_number=round_number,
        attempt=attempt,
        purpose=purpose,
        planned_sites=planned,
        session=session,
    )


def _event(values: Mapping[str, object], version: int) -> PrivacyEvent:
    """Return the event of a line of a format version.

    Raises:
        KeyError, TypeError, ValueError: if a value is missing, unknown or impossible.
    """
    if version >= 3:
        return PrivacyEvent.from_dict(values)
    if "noise_sites" in values:
        raise ValueError("a value of a newer version")
    return PrivacyEvent.from_dict({**values, "noise_sites": values["min_sites"]})
