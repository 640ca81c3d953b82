"""Caps on what a site spends, and what of each cap is spent.

A cap holds for all purposes or one, for the site's lifetime or for any window of so many days, and
for two observers: the claim and everyone else colluding. The sum that is compared is that of a
fully adaptive composition (a filter, see `spending`), so caps hold whatever later runs learn
from earlier ones. A window bounds every window of its length, because the check is made at each
charge over the window that ends there.
"""

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from fedcc.errors import BudgetExceeded
from fedcc.privacy.accounting import Observer, PrivacyEvent, epsilon_of_mu, mu_of_epsilon
from fedcc.privacy.ledger_lines import TimedCharge
from fedcc.privacy.spending import Spent

OBSERVERS: Mapping[str, Observer] = {
    "epsilon": "claim",
    "epsilon_if_all_others_collude": "everyone_else",
}


@dataclass(frozen=True, kw_only=True)
class Cap:
    """At most so much epsilon, per protection unit at this site."""

    purpose: str | None  # None: all purposes together
    days: float | None  # any window of so many days; None: the site's lifetime
    epsilon: float | None  # the claim; None: not capped
    epsilon_if_all_others_collude: float | None

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.days is not None and not 0 < self.days < math.inf:
            raise ValueError(f"days must be > 0, or null for the lifetime; got {self.days:g}")
        for name in OBSERVERS:
            limit = getattr(self, name)
            if limit is not None and not 0 < limit < math.inf:
                raise ValueError(f"{name} must be > 0 and finite, or null; got {limit:g}")
        if self.epsilon is None and self.epsilon_if_all_others_collude is None:
            raise ValueError("a cap needs epsilon or epsilon_if_all_others_collude")

    def covers(self, purpose: str) -> bool:
        """Tell whether charges of a purpose count against this cap."""
        return self.purpose in (None, purpose)

    @property
    def label(self) -> str:
        """What it covers, in words."""
        time = "lifetime" if self.days is None else f"any {self.days:g} days"
        return f"{self.purpose or 'all purposes'}, {time}"


def lifetime_cap(epsilon: float) -> Cap:
    """Return a cap on the claim alone, over all purposes and the site's lifetime."""
    return Cap(purpose=None, days=None, epsilon=epsilon, epsilon_if_all_others_collude=None)


def epsilon_of(counts: Mapping[PrivacyEvent, int], observer: Observer, delta: float) -> float:
    """Return the epsilon of so many of each event together; infinite without noise."""
    kept = +Counter(counts)
    return Spent(max_epsilon=None, delta=delta, observer=observer, counts=kept).epsilon


def room(spent: float, limit: float, delta: float) -> float:
    """Return the largest epsilon that one more full-batch Gaussian run could have; 0 for none."""
    if spent >= limit:
        return 0.0
    used = mu_of_epsilon(spent, delta) if spent > 0 else 0.0
    left = mu_of_epsilon(limit, delta) ** 2 - used**2
    return epsilon_of_mu(math.sqrt(left), delta) if left > 0 else 0.0


class CapUse:
    """What is spent of one cap; fed with charges in the order of their times."""

    def __init__(self, cap: Cap, delta: float) -> None:
        """Start with nothing spent."""
        self.cap = cap
        self._delta = delta
        self._counts: Counter[PrivacyEvent] = Counter()
        self._inside: deque[TimedCharge] = deque()  # of a window, oldest first

    def add(self, spent: TimedCharge) -> None:
        """Count one charge, if the cap covers it."""
        if not self.cap.covers(spent.charge.purpose):
            return
        self._counts[spent.charge.event] += 1
        if self.cap.days is not None:
            self._inside.append(spent)

    def forget_before(self, now: datetime) -> None:
        """Let charges go that have left the window; `now` must never run backwards."""
        if self.cap.days is None:
            return
        length = timedelta(days=self.cap.days)
        while self._inside and now - self._inside[0].time > length:
            event = self._inside.popleft().charge.event
            self._counts[event] -= 1

    def spent(self, observer: Observer) -> float:
        """Return the epsilon that counts against the cap."""
        return epsilon_of(self._counts, observer, self._delta)

    def room(self, name: str) -> float | None:
        """Return the epsilon that one more full-batch Gaussian run could have under one limit.

        `None` once a sampled step counts: Renyi divergences leave no single number.
        """
        if any(event.sampled for event in +self._counts):
            return None
        return room(self.spent(OBSERVERS[name]), getattr(self.cap, name), self._delta)

    def refusal(self, event: PrivacyEvent, times: int) -> str | None:
        """Say why so many more events would pass the cap; `None` if they fit."""
        for name, observer in OBSERVERS.items():
            limit = getattr(self.cap, name)
            if limit is None:
                continue
            spent = Spent(
                max_epsilon=limit, delta=self._delta, observer=observer, counts=+self._counts
            )
            after = spent.plus(event, times)
            if not after.within_budget:
                return (
                    f"{name} {spent.epsilon:.4g} of {limit:g} is spent ({self.cap.label}); "
                    f"{times} more step(s) would make it {after.epsilon:.4g}"
                )
        return None


def check_caps(
    uses: Iterable[CapUse], event: PrivacyEvent, times: int, *, purpose: str, source: Path
) -> None:
    """Refuse if `times` more such events would pass a cap.

    Args:
        uses: the caps, as of now.
        event: what each attempt costs.
        times: how many more.
        purpose: of the attempts.
        source: the ledger, for the message.

    Raises:
        BudgetExceeded: names the ledger, the cap, what is spent and the remedy.
    """
    for use in uses:
        reason = use.refusal(event, times) if times and use.cap.covers(purpose) else None
        if reason is not None:
            wait = "" if use.cap.days is None else ", wait until earlier charges are older"
            raise BudgetExceeded(f"{source}: {reason}. Use fewer rounds or more noise{wait}.")
