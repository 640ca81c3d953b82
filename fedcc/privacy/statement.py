"""What a ledger says, in numbers: spent by observer, by purpose and by run, and what caps leave.

Read only: nothing is locked or written, so a statement can be drawn up while a run goes on.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedcc.errors import ConfigError, ProtocolError
from fedcc.privacy.accounting import Observer, PrivacyEvent, ThreeEpsilons
from fedcc.privacy.caps import OBSERVERS, Cap, CapUse, epsilon_of
from fedcc.privacy.ledger import read_ledger
from fedcc.privacy.ledger_lines import LedgerContent, TimedCharge


@dataclass(frozen=True)
class CapLine:
    """One cap and what is spent of it."""

    label: str
    observer: str  # the key of the cap: epsilon | epsilon_if_all_others_collude
    limit: float
    spent: float
    room: float | None  # largest epsilon of one more full-batch run that fits, see `CapUse.room`


@dataclass(frozen=True)
class RunLine:
    """What one run cost a site."""

    run: str
    purpose: str
    unit: str
    first: datetime
    last: datetime
    rounds: int
    attempts: int
    settled: int
    void: int
    cost: ThreeEpsilons  # of this run alone
    epsilon_after: float  # the claim over all purposes once it had ended


@dataclass(frozen=True)
class Statement:
    """What one site's ledger says."""

    site: str
    path: Path
    version: int
    delta: float
    units: tuple[str, ...]
    attempts: int
    latest: datetime | None
    total: ThreeEpsilons
    purposes: dict[str, ThreeEpsilons]
    caps: tuple[CapLine, ...]
    runs: tuple[RunLine, ...]
    curve: tuple[ThreeEpsilons, ...]  # after each charged attempt


def ledger_files(path: Path) -> list[Path]:
    """Return the ledgers that a path names: a run folder, a folder of ledgers, or one file.

    Raises:
        ConfigError: if there is none.
    """
    if path.is_file():
        return [path]
    folder = path / "ledger" if (path / "ledger").is_dir() else path
    # A head without its ledger names one that was deleted; reading it says so.
    named = {*folder.glob("*.jsonl"), *(h.with_suffix(".jsonl") for h in folder.glob("*.head"))}
    found = sorted(named, key=_by_number)
    # A run folder holds other JSON lines; its ledgers are in ledger/ or where ledger.dir= said.
    if not found or (path / "plan.json").exists() and folder == path:
        raise ConfigError(
            f"{path}: no ledger here. Name a run folder, a folder of ledgers (what ledger.dir= "
            "named) or a ledger file such as site-1.jsonl."
        )
    return found


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Order site-2 before site-10."""
    return [(int(part or 0), text) for text, part in re.findall(r"(\D+)(\d*)", path.stem)]


def draw_up(path: Path, caps: Sequence[Cap], delta: float, now: datetime) -> Statement:
    """Return what a ledger file says.

    Args:
        path: of the ledger.
        caps: to hold it against.
        delta: of every epsilon.
        now: the clock, for windows.

    Raises:
        ProtocolError: names the first line that is wrong or missing.
        ConfigError: if the file cannot be read.
    """
    try:
        content = read_ledger(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    charges = [spent.charge for spent in content.charges]
    curve = _curve(content.charges, delta)
    by_purpose: dict[str, list[PrivacyEvent]] = {}
    for charge in charges:
        by_purpose.setdefault(charge.purpose, []).append(charge.event)
    return Statement(
        site=path.stem,
        path=path,
        version=content.version,
        delta=delta,
        units=tuple(sorted({charge.event.unit for charge in charges})),
        attempts=len(charges),
        latest=content.latest,
        total=three([charge.event for charge in charges], delta),
        purposes={name: three(events, delta) for name, events in by_purpose.items()},
        caps=_cap_lines(content, caps, delta, now),
        runs=_runs(content, curve, delta),
        curve=curve,
    )


def faults(paths: Iterable[Path]) -> dict[Path, str | None]:
    """Return what is wrong with each ledger; `None` where chain, head and every line hold.

    Raises:
        ConfigError: if a file cannot be read.
    """
    found: dict[Path, str | None] = {}
    for path in paths:
        try:
            read_ledger(path)
            found[path] = None
        except ProtocolError as error:
            found[path] = str(error)
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    return found


def three(events: Iterable[PrivacyEvent], delta: float) -> ThreeEpsilons:
    """Return epsilon for the three observers."""
    return _three(Counter(events), delta)


def _three(counts: Counter[PrivacyEvent], delta: float) -> ThreeEpsilons:
    observers: tuple[Observer, ...] = ("outsider", "claim", "everyone_else")
    return ThreeEpsilons(*(epsilon_of(counts, observer, delta) for observer in observers))


def _curve(spent: Sequence[TimedCharge], delta: float) -> tuple[ThreeEpsilons, ...]:
    counts: Counter[PrivacyEvent] = Counter()
    points = []
    for one in spent:
        counts[one.charge.event] += 1
        points.append(_three(counts, delta))
    return tuple(points)


def _cap_lines(
    content: LedgerContent, caps: Sequence[Cap], delta: float, now: datetime
) -> tuple[CapLine, ...]:
    lines = []
    for cap in caps:
        use = CapUse(cap, delta)
        for one in content.charges:
            use.add(one)
        use.forget_before(now if content.latest is None else max(now, content.latest))
        for name, observer in OBSERVERS.items():
            limit = getattr(cap, name)
            if limit is not None:
                spent = use.spent(observer)
                lines.append(CapLine(cap.label, name, limit, spent, use.room(name)))
    return tuple(lines)


def _runs(
    content: LedgerContent, curve: Sequence[ThreeEpsilons], delta: float
) -> tuple[RunLine, ...]:
    places: dict[str, list[int]] = {}
    for index, one in enumerate(content.charges):
        places.setdefault(one.charge.run, []).append(index)
    lines = []
    for run, indices in places.items():
        spent = [content.charges[index] for index in indices]
        entries = {one.charge.entry for one in spent}
        lines.append(
            RunLine(
                run=run,
                purpose=", ".join(sorted({one.charge.purpose for one in spent})),
                unit=", ".join(sorted({one.charge.event.unit for one in spent})),
                first=spent[0].time,
                last=spent[-1].time,
                rounds=len({one.charge.round_number for one in spent}),
                attempts=len(spent),
                settled=len(entries & content.settled),
                void=len(entries & content.void),
                cost=three([one.charge.event for one in spent], delta),
                epsilon_after=curve[indices[-1]].claim,
            )
        )
    return tuple(lines)
