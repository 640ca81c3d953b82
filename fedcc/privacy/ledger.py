"""A site's privacy ledger: what was spent on its customers, over all runs, on its own disk.

Every attempt is reserved (appended and fsynced, then the head beside it) before the site computes
anything, and settled before any byte leaves. A reserved attempt counts, whatever became of it;
nothing is ever refunded. The file holds events, never epsilons, and is hash-chained.

For windows, time is the latest clock that the ledger has ever seen: a clock that is set back frees
nothing. A clock set forward does free windows (a site has no other clock to check it by), never a
lifetime cap; `fedcc ledger history` shows the times.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from fedcc.errors import BudgetExceeded, ProtocolError
from fedcc.hash_chain import HashChain, read_chain
from fedcc.privacy.accounting import Observer, PrivacyEvent
from fedcc.privacy.caps import Cap, CapUse, check_caps, epsilon_of
from fedcc.privacy.ledger_head import (
    LedgerHead,
    Mark,
    check_mark,
    head_path,
    newest,
    read_marks,
)
from fedcc.privacy.ledger_lines import (
    FORMAT_VERSION,
    Charge,
    Entry,
    LedgerContent,
    TimedCharge,
    read_content,
)

__all__ = ["Charge", "Ledger", "read_ledger"]

MOST_ATTEMPTS = 1 << 20  # beyond this many a budget is called unlimited


def read_ledger(path: Path) -> LedgerContent:
    """Read a ledger that another process may have open; nothing is locked or changed.

    Raises:
        ProtocolError: names the first line that is wrong or missing.
        OSError: if the file cannot be read.
    """
    # The head goes first: whatever is appended meanwhile, the ledger holds at least that line.
    mark = newest(read_marks(head_path(path)))
    return _checked(path, mark, read_chain(path)[0] if path.exists() else [])


def _checked(
    path: Path, mark: Mark | None, entries: Sequence[Mapping[str, object]]
) -> LedgerContent:
    """Return what the lines of a chain say, held against the head's mark."""
    content = read_content(path, entries)
    hashes = [str(entry["hash"]) for entry in entries]
    check_mark(path, mark, hashes, head_due=content.head_due)
    return content


class Ledger:
    """The ledger of one site: open for charges, or read alone."""

    def __init__(
        self,
        path: Path,
        content: LedgerContent,
        caps: Sequence[Cap],
        delta: float,
        files: tuple[HashChain, LedgerHead] | None,
    ) -> None:
        """Take up what a ledger holds; see `Ledger.open` and `Ledger.read`."""
        self.path = path
        self.delta = delta
        self._files = files
        self._events = [one.charge.event for one in content.charges]
        self._used: set[Entry] = {one.charge.entry for one in content.charges}
        self._latest = content.latest
        self._caps = [CapUse(cap, delta) for cap in caps]
        for one in content.charges:
            self._count(one)

    @classmethod
    def open(cls, path: Path, *, caps: Sequence[Cap], delta: float, now: datetime) -> "Ledger":
        """Open or create a ledger file, verify it and lock it.

        A file of an older version gets a format line, and a head if it has none; its charges stay
        and count.

        Args:
            path: one file per site.
            caps: budgets at `delta`; none for no limit (simulations without privacy only).
            delta: of the caps.
            now: the clock, with a time zone; for the format line.

        Raises:
            ProtocolError: if the file or its head is broken, cut off, of a newer version or in use.
        """
        chain = HashChain(path, sync=True)
        try:
            content = _checked(path, newest(read_marks(head_path(path))), chain.entries)
            head = LedgerHead(head_path(path))
        except BaseException:
            chain.close()
            raise
        ledger = cls(path, content, caps, delta, (chain, head))
        try:
            if content.version < FORMAT_VERSION:
                time = ledger._see(now).isoformat()
                chain.append({"kind": "format", "version": FORMAT_VERSION, "time": time})
            ledger._advance_head()
        except BaseException:
            ledger.close()
            raise
        return ledger

    @classmethod
    def read(cls, path: Path | None, *, caps: Sequence[Cap], delta: float) -> "Ledger":
        """Read a ledger that may be in use; nothing is locked or written, nothing can be charged.

        Args:
            path: of the file; `None`, or one that is not there, is an empty ledger.
            caps: as for `open`.
            delta: as for `open`.

        Raises:
            ProtocolError: names the first line that is wrong or missing.
            OSError: if the file cannot be read.
        """
        if path is None:
            return cls(Path("a new ledger"), read_content(Path(), []), caps, delta, None)
        return cls(path, read_ledger(path), caps, delta, None)

    def _advance_head(self) -> None:
        chain, head = self._open_files()
        mark = Mark(len(chain.entries), chain.head)
        if head.mark != mark:
            head.advance(mark)

    def _open_files(self) -> tuple[HashChain, LedgerHead]:
        """Return the ledger's files.

        Raises:
            ProtocolError: if it was opened for reading alone.
        """
        if self._files is None:
            raise ProtocolError(f"{self.path} was opened for reading alone.")
        return self._files

    def _see(self, now: datetime) -> datetime:
        """Return the latest clock ever seen, this one included."""
        if now.utcoffset() is None:
            raise ValueError("now must have a time zone")
        self._latest = now if self._latest is None else max(now, self._latest)
        return self._latest

    def _count(self, spent: TimedCharge) -> None:
        for use in self._caps:
            use.forget_before(spent.time)
            use.add(spent)

    @property
    def events(self) -> tuple[PrivacyEvent, ...]:
        """Every event ever reserved."""
        return tuple(self._events)

    def used(self, run: str) -> set[tuple[int, int]]:
        """Return the (round, attempt) pairs that a run has used."""
        return {(round_, attempt) for name, round_, attempt in self._used if name == run}

    def epsilon(self, observer: Observer = "claim") -> float:
        """Return the epsilon spent so far over all purposes, as an observer sees it."""
        return epsilon_of(Counter(self._events), observer, self.delta)

    def check(self, event: PrivacyEvent, times: int, *, purpose: str, now: datetime) -> None:
        """Refuse if `times` more such events would pass a cap; charges nothing.

        Raises:
            BudgetExceeded: names the file, the cap, what is spent and the remedy.
        """
        seen = self._see(now)
        for use in self._caps:
            use.forget_before(seen)
        check_caps(self._caps, event, times, purpose=purpose, source=self.path)

    def attempts_within(self, event: PrivacyEvent, *, purpose: str, now: datetime) -> int | None:
        """Return how many more such events the caps admit; `None` for practically any number."""
        low, high = 0, MOST_ATTEMPTS  # low is admitted, high is not
        if self._admits(event, high, purpose, now):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            admitted = self._admits(event, middle, purpose, now)
            low, high = (middle, high) if admitted else (low, middle)
        return low

    def _admits(self, event: PrivacyEvent, times: int, purpose: str, now: datetime) -> bool:
        try:
            self.check(event, times, purpose=purpose, now=now)
        except BudgetExceeded:
            return False
        return True

    def reserve(self, charge: Charge, *, now: datetime) -> None:
        """Charge one attempt, on disk before this returns.

        Raises:
            BudgetExceeded: if it would pass a cap; the ledger is unchanged.
            ProtocolError: if the entry (run, round, attempt) was used before.
            OSError: if the disk refuses; then the attempt may be charged, and nothing may leave.
        """
        if charge.entry in self._used:
            raise ProtocolError(
                f"{self.path}: round {charge.round_number}, attempt {charge.attempt} was "
                "used before."
            )
        self.check(charge.event, 1, purpose=charge.purpose, now=now)
        self._open_files()[0].append(charge.as_fields("reserve", now))
        self._events.append(charge.event)
        self._used.add(charge.entry)
        self._count(TimedCharge(charge, self._see(now)))
        self._advance_head()

    def settle(self, charge: Charge, *, now: datetime) -> None:
        """Note that the bytes of a reserved attempt are about to leave.

        Raises:
            ProtocolError: if it was not reserved.
        """
        self._note("settle", charge, now)

    def abort(self, charge: Charge, *, now: datetime) -> None:
        """Note that an attempt is void; it stays charged.

        Raises:
            ProtocolError: if it was not reserved.
        """
        self._note("abort", charge, now)

    def _note(self, kind: str, charge: Charge, now: datetime) -> None:
        if charge.entry not in self._used:
            raise ProtocolError(
                f"{self.path}: round {charge.round_number}, attempt {charge.attempt} was never "
                "reserved."
            )
        self._open_files()[0].append(charge.as_fields(kind, now))

    def close(self) -> None:
        """Let the head name the very last line, and release both files."""
        if self._files is None:
            return
        chain, head = self._files
        try:
            if not chain.closed:
                self._advance_head()
        except OSError:
            pass  # the head then names the last charge, as after a crash
        finally:
            head.close()
            chain.close()
