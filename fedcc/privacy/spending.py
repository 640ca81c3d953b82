"""What a ledger's events have cost, and whether more fits into a lifetime budget.

The rule that stops a site must hold although later runs depend on earlier outputs, so it is a
*filter*: with full-batch events alone the sum of mu^2 against that of the budget, exactly; once a
sampled event is among them, the sum of Renyi divergences at the one order that the budget fixes.
Accountants by privacy-loss distributions are tighter but no valid filters, and are printed only.

Each rule holds by itself. Which of them a ledger lives under should be settled before its first
event: if the choice to sample for the first time depends on what earlier runs put out, the two
rules join in a union bound and delta may at worst double.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from fedcc.privacy.accounting import (
    Observer,
    PrivacyEvent,
    epsilon,
    epsilon_of_mu,
    mu_of_epsilon,
    steps_of,
)
from fedcc.privacy.renyi import filter_order, renyi_epsilon

SLACK = 1 + 1e-12  # float64 rounding of sums that add up to the budget


@dataclass(frozen=True, kw_only=True)
class Spent:
    """The cost of some events for one observer under one budget; see `of`."""

    max_epsilon: float | None  # `None` for no budget
    delta: float
    observer: Observer
    counts: Mapping[PrivacyEvent, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        events: Iterable[PrivacyEvent],
        *,
        max_epsilon: float | None,
        delta: float,
        observer: Observer,
    ) -> "Spent":
        """Return what events cost an observer.

        Args:
            events: all that were ever charged, in any order.
            max_epsilon: the lifetime budget at `delta`; `None` for none.
            delta: of the budget.
            observer: whose epsilon the budget caps.

        Raises:
            ValueError: if budget or delta mean nothing.
        """
        if max_epsilon is not None:
            mu_of_epsilon(max_epsilon, delta)
        return cls(max_epsilon=max_epsilon, delta=delta, observer=observer, counts=Counter(events))

    def plus(self, event: PrivacyEvent, times: int = 1) -> "Spent":
        """Return the cost with `times` more such events; this object stays as it is."""
        return replace(self, counts=Counter(self.counts) + Counter({event: times}))

    @property
    def sampled(self) -> bool:
        """Whether a sampled event is among them, so that Renyi divergences decide."""
        return any(event.sampled for event in self.counts)

    @property
    def epsilon(self) -> float:
        """Epsilon by the rule that decides; never less than any exact value."""
        if not self.sampled:
            return epsilon_of_mu(math.sqrt(self._mu_squared()), self.delta)
        if self.max_epsilon is None:
            return epsilon(
                Counter(self.counts).elements(), delta=self.delta, observer=self.observer
            )
        order = filter_order(self.max_epsilon, self.delta)
        steps = steps_of(self.counts, self.observer)
        return renyi_epsilon(steps, delta=self.delta, orders=[order])

    @property
    def within_budget(self) -> bool:
        """Whether the budget admits all of these events."""
        if self.max_epsilon is None:
            return True
        if self.sampled:
            return self.epsilon <= self.max_epsilon * SLACK
        return self._mu_squared() <= mu_of_epsilon(self.max_epsilon, self.delta) ** 2 * SLACK

    def _mu_squared(self) -> float:
        parts = (count * event.mu_squared(self.observer) for event, count in self.counts.items())
        return math.fsum(part for part in parts)
