"""A site's privacy ledger: what was spent on its customers, over all runs, on its own disk.

Every attempt is reserved (appended and fsynced) before the site computes anything, and settled
before any byte leaves. A reserved attempt counts, whatever became of it; nothing is ever refunded.
The file holds events, never epsilons, and is hash-chained.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedcc.errors import BudgetExceeded, ProtocolError
from fedcc.hash_chain import FrozenChain, HashChain
from fedcc.privacy.accounting import PrivacyEvent
from fedcc.privacy.spending import Spent

Entry = tuple[str, int, int]  # run, round, attempt: used once


@dataclass(frozen=True)
class Charge:
    """One attempt of one round of a run, and what it costs."""

    event: PrivacyEvent
    run: str
    round_number: int
    attempt: int
    purpose: str

    @property
    def entry(self) -> Entry:
        """The one-time place of the attempt."""
        return self.run, self.round_number, self.attempt


class Ledger:
    """The open ledger of one site."""

    def __init__(self, chain: HashChain, max_epsilon: float | None, delta: float) -> None:
        """Read all events of an open chain; see `Ledger.open`."""
        self._chain = chain
        self.max_epsilon = max_epsilon
        self.delta = delta
        self._events: list[PrivacyEvent] = []
        self._used: set[Entry] = set()
        for line in chain.entries:
            if line["kind"] == "reserve":
                event = line["event"]
                if not isinstance(event, dict):
                    raise ProtocolError(f"{chain.path}: a reserve line holds no event.")
                self._events.append(PrivacyEvent.from_dict(event))
                self._used.add(
                    (str(line["run"]), int(str(line["round"])), int(str(line["attempt"])))
                )
        self._spent = Spent.of(self._events, max_epsilon=max_epsilon, delta=delta, observer="claim")

    @classmethod
    def open(cls, path: Path, *, max_epsilon: float | None, delta: float) -> "Ledger":
        """Open or create a ledger file and verify its chain.

        Args:
            path: one file per site.
            max_epsilon: lifetime budget at `delta`; `None` for no limit (simulations without
                privacy only).
            delta: of the budget.

        Raises:
            ProtocolError: if the chain is broken or the file is in use.
        """
        chain = HashChain(path, sync=True)
        try:
            return cls(chain, max_epsilon, delta)
        except BaseException:
            chain.close()
            raise

    @classmethod
    def read(cls, path: Path | None, *, max_epsilon: float | None, delta: float) -> "Ledger":
        """Read a ledger that may be in use; nothing is written and nothing can be charged.

        Args:
            path: of the file; `None`, or one that is not there, is an empty ledger.
            max_epsilon: as for `open`.
            delta: as for `open`.

        Raises:
            ProtocolError: if the chain is broken.
            OSError: if the file cannot be read.
        """
        return cls(FrozenChain(path), max_epsilon, delta)

    @property
    def events(self) -> tuple[PrivacyEvent, ...]:
        """Every event ever reserved."""
        return tuple(self._events)

    def used(self, run: str) -> set[tuple[int, int]]:
        """Return the (round, attempt) pairs that a run has used."""
        return {(round_, attempt) for name, round_, attempt in self._used if name == run}

    def epsilon(self) -> float:
        """Return the claimed epsilon spent so far."""
        return self._spent.epsilon

    def check(self, event: PrivacyEvent, times: int) -> None:
        """Refuse if `times` more such events would pass the budget; charges nothing.

        Raises:
            BudgetExceeded: names the file, what is spent and the budget.
        """
        after = self._spent.plus(event, times)
        if after.within_budget:
            return
        raise BudgetExceeded(
            f"{self._chain.path}: epsilon {self.epsilon():.4g} of {self.max_epsilon:g} is spent; "
            f"{times} more step(s) would make it {after.epsilon:.4g}. "
            "Use fewer rounds, more noise, or another ledger.dir."
        )

    def reserve(self, charge: Charge, *, now: datetime) -> None:
        """Charge one attempt, on disk before this returns.

        Raises:
            BudgetExceeded: if it would pass the budget; the ledger is unchanged.
            ProtocolError: if the entry (run, round, attempt) was used before.
        """
        if charge.entry in self._used:
            raise ProtocolError(
                f"{self._chain.path}: round {charge.round_number}, attempt {charge.attempt} was "
                "used before."
            )
        self.check(charge.event, 1)
        self._write("reserve", charge, now)
        self._events.append(charge.event)
        self._used.add(charge.entry)
        self._spent = self._spent.plus(charge.event)

    def settle(self, charge: Charge, *, now: datetime) -> None:
        """Note that the bytes of a reserved attempt are about to leave."""
        self._write("settle", charge, now)

    def abort(self, charge: Charge, *, now: datetime) -> None:
        """Note that an attempt is void; it stays charged."""
        self._write("abort", charge, now)

    def _write(self, kind: str, charge: Charge, now: datetime) -> None:
        self._chain.append(
            {
                "kind": kind,
                "event": charge.event.as_dict(),
                "run": charge.run,
                "round": charge.round_number,
                "attempt": charge.attempt,
                "purpose": charge.purpose,
                "time": now.isoformat(),
            }
        )

    def close(self) -> None:
        """Release the file."""
        self._chain.close()
