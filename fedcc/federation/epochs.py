"""Which one-time entries belong together: the epochs of a run.

An epoch is a block of consecutive rounds. At its start the sites deal one entry, with its own mask
key and seeds, for every (round, attempt) that can still come to pass in it; an entry is used once
and then erased. Everything here follows from three public numbers of the plan, so sites and
aggregator agree on it without a message. Nothing here touches keys, files or clocks.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """A block of rounds whose one-time entries are dealt together; all of it is public."""

    number: int  # from 1
    first_round: int
    last_round: int  # included
    entries: tuple[tuple[int, int], ...]  # (round, attempt), both from 1, in the order of use

    @property
    def rounds(self) -> range:
        """The rounds of this epoch."""
        return range(self.first_round, self.last_round + 1)


def epochs_of(*, rounds: int, max_attempts: int, rotate_every: int) -> tuple[Epoch, ...]:
    """Return the epochs of a run; every (round, attempt) that can occur lies in exactly one.

    All reserved retries may fall into one round, so each round has entries for all of them. Those
    that are never needed are erased with their epoch.

    Args:
        rounds: of the plan, counted from 1.
        max_attempts: of the whole run; every round needs one, the rest are retries.
        rotate_every: rounds of an epoch; the last epoch may have fewer.

    Raises:
        ValueError: if a number is below 1, or there are fewer attempts than rounds.
    """
    if rounds < 1 or rotate_every < 1:
        raise ValueError(f"rounds ({rounds}) and rotate_every ({rotate_every}) must be at least 1")
    if max_attempts < rounds:
        raise ValueError(f"max_attempts ({max_attempts}) must not be below rounds ({rounds})")
    attempts = range(1, max_attempts - rounds + 2)
    found = []
    for number, first in enumerate(range(1, rounds + 1, rotate_every), start=1):
        last = min(first + rotate_every - 1, rounds)
        entries = tuple((turn, attempt) for turn in range(first, last + 1) for attempt in attempts)
        found.append(Epoch(number=number, first_round=first, last_round=last, entries=entries))
    return tuple(found)


def epoch_of(epochs: tuple[Epoch, ...], round_number: int) -> Epoch:
    """Return the epoch that a round belongs to.

    Raises:
        ValueError: if the run has no such round.
    """
    for epoch in epochs:
        if round_number in epoch.rounds:
            return epoch
    raise ValueError(f"round {round_number} is none of this run")
