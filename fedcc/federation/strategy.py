"""The aggregator's round loop: epochs, attempts, void attempts and retries.

A round goes on with the threshold of survivors. An attempt that falls below it is void: nothing of
it can be opened, every site that computed has charged it, and the next attempt has a fresh entry
and fresh noise. No attempt begins before enough sites are there: lost ones are waited for, or the
run pauses. After the reserved retries it ends and can be resumed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from flwr.serverapp import Grid

from fedcc.errors import BudgetExceeded, Interrupted, ProtocolError, TooFewSites
from fedcc.federation.aggregation import Aggregator, RoundStore
from fedcc.federation.attempt import Attempt
from fedcc.federation.catching_up import ask, find_absent, hand_over
from fedcc.federation.closed_round import closed_parcels
from fedcc.federation.epoch_setup import begin_epoch, enough, set_up
from fedcc.federation.link import GRACE_SECONDS, Link, Traffic
from fedcc.federation.messages import Parcel, WireLog
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.settings import FederationSettings

LOOK_SECONDS = 1.0  # between two looks for sites that are lost


@dataclass(frozen=True)
class RoundRecord:
    """One attempt as the aggregator saw it; all of it is public."""

    round_number: int
    attempt: int
    closed: bool
    cohort: tuple[str, ...]  # the survivors of a closed round, or who answered last
    seconds: float
    bytes_up: int
    bytes_down: int


def run_rounds(
    link: Link,
    aggregator: Aggregator,
    on_record: Callable[[RoundRecord], None],
    should_stop: Callable[[], bool],
) -> None:
    """Run every round that is left and hand the last aggregate to the sites.

    Raises:
        Interrupted: between two rounds, when `should_stop` says so.
        TooFewSites: when the reserved retries are used up.
        BudgetExceeded: when no attempt is left that the noise was calibrated for.
    """
    plan, store = aggregator.plan, aggregator.store
    left = plan.max_attempts - store.attempts_used
    last_round = min(plan.rounds, store.last_closed + left)
    if last_round <= store.last_closed < plan.rounds:
        raise BudgetExceeded(
            f"all {plan.max_attempts} attempts that the noise was calibrated for are used up after "
            f"round {store.last_closed}. Start a new run with more privacy.reserved_retries."
        )
    while store.last_closed < last_round:
        if should_stop():
            raise Interrupted(f"interrupted after round {store.last_closed}")
        _run_round(link, aggregator, store.last_closed + 1, on_record)
        last_round = min(last_round, store.last_closed + plan.max_attempts - store.attempts_used)
    _finish(link, aggregator)


def _run_round(
    link: Link,
    aggregator: Aggregator,
    round_number: int,
    on_record: Callable[[RoundRecord], None],
) -> None:
    """Try one round until it closes or the retries are used up."""
    plan, store = aggregator.plan, aggregator.store
    while True:
        link.traffic = Traffic()
        started = time.monotonic()
        cohort = _gathered(link, aggregator, round_number)
        attempt, number = store.start_attempt(round_number)
        entry = aggregator.epoch.entry(
            plan, number=number, round_number=round_number, attempt=attempt, cohort=cohort
        )
        tried = Attempt(link, aggregator, entry)
        closed = tried.run()
        if closed is not None:
            aggregator.close(closed)
        on_record(
            RoundRecord(
                round_number,
                attempt,
                closed is not None,
                closed.survivors if closed is not None else tried.answered,
                time.monotonic() - started,
                link.traffic.up,
                link.traffic.down,
            )
        )
        aggregator.present = set(tried.answered)
        if closed is not None:
            return
        void = store.attempts_used - store.last_closed
        if void > plan.max_attempts - plan.rounds:
            raise TooFewSites(
                f"round {round_number}: {len(tried.answered)} of {len(cohort)} sites answered, the "
                f"plan needs {aggregator.epoch.needed(plan, cohort)}, and all "
                f"{plan.max_attempts - plan.rounds} reserved retries are used up. The run can be "
                "resumed: fedcc simulate --resume; an aggregator on premise does so by itself."
            )


def _gathered(link: Link, aggregator: Aggregator, round_number: int) -> tuple[str, ...]:
    """Return the cohort of an attempt once enough sites are there; nothing is charged before.

    Raises:
        TooFewSites: if they are not there in time.
    """
    deadline = time.monotonic() + GRACE_SECONDS
    while True:
        cohort, needed = _cohort(link, aggregator, round_number)
        if len(cohort) >= needed:
            return cohort
        if time.monotonic() >= deadline or not _may_come_back(link, aggregator):
            raise TooFewSites(
                f"round {round_number}: {len(cohort)} of {len(aggregator.plan.sites)} sites are "
                f"there ({', '.join(cohort)}), the plan needs {needed}. Nothing is charged before "
                "they are; the run can be resumed."
            )
        time.sleep(LOOK_SECONDS)


def _may_come_back(link: Link, aggregator: Aggregator) -> bool:
    """Tell whether a lost site's node is away; where it is there, its site was just asked."""
    there = set(link.wait_for_nodes(0, 0.0))
    lost = [node for site, node in aggregator.nodes.items() if site not in aggregator.present]
    return len(aggregator.nodes) < len(aggregator.plan.sites) or not there.issuperset(lost)


def _cohort(link: Link, aggregator: Aggregator, round_number: int) -> tuple[tuple[str, ...], int]:
    """Return the sites that take part in an attempt, and how many it needs.

    An epoch begins before, where one is due.

    Lost sites are asked again: asking costs nothing, while an attempt that fails costs everybody a
    charge. One that hangs is not waited for as long as in the exchanges of a round. One that is
    back but has no part in the epoch brings a new one about.
    """
    plan, record = aggregator.plan, aggregator.epoch
    attempt = aggregator.store.next_attempt(round_number)
    request = Parcel({"run": plan.run, "round": round_number, "attempt": attempt})
    lost = {
        node: (site, request)
        for site, node in aggregator.nodes.items()
        if site not in aggregator.present and site not in aggregator.declined
    }
    back = find_absent(link, aggregator)
    replies = link.exchange("join", round_number, lost, GRACE_SECONDS) if lost else {}
    for site, reply in replies.items():
        try:
            epoch, applied = reply.number("epoch"), reply.number("rounds_applied")
        except ProtocolError:
            continue  # counts as a site that did not answer
        aggregator.applied[site] = applied
        if epoch == record.epoch.number:
            aggregator.present.add(site)
        else:
            back.add(site)
    next_entry = aggregator.store.attempts_used + 1
    used_up = next_entry >= record.epoch.first_entry + record.epoch.n_entries
    if back or used_up or _rotation_is_due(aggregator, round_number):
        begin_epoch(link, aggregator, answering=back | aggregator.present)
        record = aggregator.epoch
    in_epoch = tuple(site for site in record.members if site in aggregator.present)
    return in_epoch, max(plan.min_sites, record.needed(plan, in_epoch))


def _rotation_is_due(aggregator: Aggregator, round_number: int) -> bool:
    return round_number >= aggregator.epoch_from + aggregator.plan.rotate_every


def _finish(link: Link, aggregator: Aggregator) -> None:
    """Hand the complete model to every site that is there.

    Sites apply the last closed rounds; those that cannot, or were lost meanwhile and are back, get
    the model from the others.

    Raises:
        TooFewSites: if fewer than n_min sites hold the complete model afterwards.
    """
    last, store = aggregator.store.last_closed, aggregator.store
    missing = {
        site: aggregator.missing_rounds(site)
        for site in aggregator.plan.sites
        if site in aggregator.took_part and aggregator.can_follow(site)
    }
    for site, reply in ask(link, aggregator, "finish", closed_parcels(missing, {})).items():
        try:
            aggregator.applied[site] = reply.number("rounds_applied")
        except ProtocolError:
            continue  # counts as a site that did not answer
    hand_over(link, aggregator)
    store.note_holds(aggregator.applied)
    complete = sum(applied >= last for applied in aggregator.applied.values())
    enough(complete, aggregator.plan, "hold the complete model")


def run_federation(
    grid: Grid,
    plan: RunPlan,
    store: RoundStore,
    wire: WireLog,
    settings: FederationSettings,
    on_record: Callable[[RoundRecord], None],
    should_stop: Callable[[], bool],
) -> Aggregator:
    """Run a whole federation over a grid; see `set_up` and `run_rounds` for errors."""
    link = Link(grid, wire, settings.timeout_seconds)
    aggregator = set_up(link, plan, store, settings.join_timeout_seconds)
    run_rounds(link, aggregator, on_record, should_stop)
    return aggregator
