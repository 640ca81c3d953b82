"""What a ledger's charges leave under a site's caps, for a reader who charges nothing.

The file may be in use: nothing is locked, created, repaired or written.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from fedcc.errors import BudgetExceeded
from fedcc.privacy.accounting import PrivacyEvent
from fedcc.privacy.caps import Cap, CapUse, check_caps
from fedcc.privacy.ledger import read_ledger
from fedcc.privacy.ledger_lines import read_content

NEW_LEDGER = Path("a new ledger")
MOST_ATTEMPTS = 1 << 20  # beyond this many a budget is called unlimited


class Balance:
    """A ledger's events and caps as of one moment."""

    def __init__(
        self, path: Path | None, *, caps: Sequence[Cap], delta: float, now: datetime
    ) -> None:
        """Read a ledger.

        Args:
            path: of the file; `None`, or one that is not there, holds nothing yet.
            caps: budgets at `delta`.
            delta: of the caps.
            now: current time with a zone; a clock behind the ledger's frees nothing.

        Raises:
            ProtocolError: if the file or its head is broken, cut off or of a newer version.
            OSError: if the file cannot be read.
        """
        self._path = path or NEW_LEDGER
        content = read_content(NEW_LEDGER, []) if path is None else read_ledger(path)
        self.events: tuple[PrivacyEvent, ...] = tuple(s.charge.event for s in content.charges)
        self._caps = [CapUse(cap, delta) for cap in caps]
        seen = now if content.latest is None else max(now, content.latest)
        for use in self._caps:
            for spent in content.charges:
                use.add(spent)
            use.forget_before(seen)

    def check(self, event: PrivacyEvent, times: int, *, purpose: str) -> None:
        """Refuse as the ledger would.

        Raises:
            BudgetExceeded: see `check_caps`.
        """
        check_caps(self._caps, event, times, purpose=purpose, source=self._path)

    def attempts_within(self, event: PrivacyEvent, *, purpose: str) -> int | None:
        """Return how many more such events are admitted; `None` for practically any number."""
        low, high = 0, MOST_ATTEMPTS  # low is admitted, high is not
        if self._admits(event, high, purpose):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._admits(event, middle, purpose) else (low, middle)
        return low

    def _admits(self, event: PrivacyEvent, times: int, purpose: str) -> bool:
        try:
            self.check(event, times, purpose=purpose)
        except BudgetExceeded:
            return False
        return True
