"""The aggregator's round loop: three exchanges a round, time-outs, void attempts and retries.

An attempt whose cohort does not answer to the end is void: nothing of it can be opened, every site
that computed has charged it, and the next attempt has fresh noise and masks. When at least n_min
sites answered, the next attempt goes on with them; otherwise with all sites. After the reserved
retries the run ends and can be resumed.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from flwr.serverapp import Grid

from fedcc.crypto.masks import MaskEntry, hash_chunks
from fedcc.errors import (
    BudgetExceeded,
    EnvelopeError,
    FedccError,
    Interrupted,
    ProtocolError,
    TooFewSites,
)
from fedcc.federation.aggregation import Aggregator, RoundStore
from fedcc.federation.closed_round import closed_parcel
from fedcc.federation.link import Link, Traffic
from fedcc.federation.messages import (
    Exchange,
    Parcel,
    WireLog,
    advert_from_json,
    hex_map,
    roster_to_json,
)
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.settings import FederationSettings
from fedcc.federation.update_cipher import AggregateSum


@dataclass(frozen=True)
class RoundRecord:
    """One attempt as the aggregator saw it; all of it is public."""

    round_number: int
    attempt: int
    closed: bool
    cohort: tuple[str, ...]
    seconds: float
    bytes_up: int
    bytes_down: int


def set_up(link: Link, plan: RunPlan, store: RoundStore, join_timeout: float) -> Aggregator:
    """Collect public keys, have a site deal the HE key, and begin the run at every site.

    Raises:
        TooFewSites: if fewer than n_min sites join or begin.
    """
    nodes = link.wait_for_nodes(len(plan.sites), join_timeout)
    requests = {node: (str(node), Parcel({"run": plan.run})) for node in nodes}
    adverts, applied, node_of = {}, {}, {}
    for name, reply in link.exchange("join", 0, requests).items():
        try:
            advert = advert_from_json(reply.text("advert"))
            rounds_applied = reply.number("rounds_applied")
        except ProtocolError:
            continue
        if advert.site in plan.sites and advert.site not in adverts:
            adverts[advert.site] = advert
            applied[advert.site] = rounds_applied
            node_of[advert.site] = int(name)
    roster = tuple(adverts[site] for site in plan.sites if site in adverts)
    if len(roster) < len(plan.sites):
        raise TooFewSites(
            f"{len(roster)} of {len(plan.sites)} sites joined; the plan's roster is fixed, so all "
            "of them must be there when a run begins or is resumed."
        )
    common = {"plan": plan.to_json(), "roster": roster_to_json(roster)}
    key_name, parameters = "none", None
    sealed: dict[str, bytes] = {}
    if plan.scheme != "none":
        dealer = roster[0].site
        dealt = link.exchange("deal", 0, {node_of[dealer]: (dealer, Parcel(common))})
        if dealer not in dealt:
            raise TooFewSites(f"{dealer} did not deal the key. Look into its audit log.")
        key_name = dealt[dealer].text("key_id")
        sealed = dict(
            zip(
                [advert.site for advert in roster],
                dealt[dealer].chunks["sealed_keys"],
                strict=False,
            )
        )
        parameters = dealt[dealer].raw("parameters")
    begun = link.exchange(
        "begin",
        0,
        {
            node_of[advert.site]: (
                advert.site,
                Parcel({**common, "key_id": key_name, "sealed_key": sealed.get(advert.site, b"")}),
            )
            for advert in roster
        },
    )
    ready = [site for site, reply in begun.items() if reply.text("key_id") == key_name]
    _enough(len(ready), plan, "began")
    return Aggregator(
        plan=plan,
        store=store,
        roster=roster,
        nodes={site: node_of[site] for site in ready},
        key_id=key_name,
        adder=AggregateSum(plan, parameters),
        applied=applied,
        present=set(ready),
    )


def _enough(count: int, plan: RunPlan, what: str) -> None:
    if count < plan.min_sites:
        raise TooFewSites(
            f"{count} of {len(plan.sites)} sites {what}; the plan needs {plan.min_sites}. Look "
            "into the sites' audit logs, then resume the run."
        )


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
    everyone = tuple(site for site in plan.sites if site in aggregator.nodes)
    cohort = _present(link, aggregator, round_number)
    while True:
        attempt = store.start_attempt(round_number)
        started = time.monotonic()
        link.traffic = Traffic()
        answered, closed = _attempt(
            link, aggregator, aggregator.entry(round_number, attempt, cohort)
        )
        on_record(
            RoundRecord(
                round_number,
                attempt,
                closed,
                cohort if closed else tuple(answered),
                time.monotonic() - started,
                link.traffic.up,
                link.traffic.down,
            )
        )
        if closed:
            return
        void = store.attempts_used - store.last_closed
        if void > plan.max_attempts - plan.rounds:
            raise TooFewSites(
                f"round {round_number}: {len(answered)} of {len(cohort)} sites answered, the plan "
                f"needs {plan.min_sites}, and all {plan.max_attempts - plan.rounds} reserved "
                "retries are used up. The run can be resumed with --resume."
            )
        cohort = tuple(answered) if len(answered) >= plan.min_sites else everyone
        aggregator.present = set(cohort)


def _present(link: Link, aggregator: Aggregator, round_number: int) -> tuple[str, ...]:
    """Return the cohort of a new round: the last one, and lost sites that answer again.

    Asking costs nothing; starting a round with a site that is gone would cost everybody a charge.
    """
    plan = aggregator.plan
    request = Parcel({"run": plan.run, "round": round_number, "attempt": 1})
    lost = {
        node: (site, request)
        for site, node in aggregator.nodes.items()
        if site not in aggregator.present
    }
    if lost:
        aggregator.present |= set(link.exchange("join", round_number, lost))
    if len(aggregator.present) < plan.min_sites:
        aggregator.present = set(aggregator.nodes)
    return tuple(site for site in plan.sites if site in aggregator.present)


def _attempt(link: Link, aggregator: Aggregator, entry: MaskEntry) -> tuple[list[str], bool]:
    """Run the three exchanges; return who answered last, and whether the round is closed."""
    place: dict[str, str | int | bytes] = {
        "round": entry.round_number,
        "attempt": entry.attempt,
    }
    cohort = {"cohort": json.dumps(entry.cohort)}
    uploads = link.exchange(
        "upload",
        entry.round_number,
        {
            aggregator.nodes[site]: (
                site,
                closed_parcel(aggregator.missing_rounds(site), {**place, **cohort}),
            )
            for site in entry.cohort
        },
    )
    chunks, commitments = {}, {}
    for site, reply in uploads.items():
        try:
            header, chunks[site] = aggregator.take_upload(site, entry, reply)
            commitments[site] = bytes.fromhex(header.seed_commitment)
        except (EnvelopeError, ProtocolError):
            chunks.pop(site, None)  # a refused upload counts as a dropout
    if set(chunks) != set(entry.cohort):
        return _in_order(entry, chunks), False
    adding = time.perf_counter()
    aggregate = aggregator.adder.add([chunks[site] for site in entry.cohort])
    aggregator.seconds_adding += time.perf_counter() - adding
    hashes = json.dumps([chunk.hex() for chunk in hash_chunks(aggregate)])
    to_sign = {"survivors": json.dumps(entry.cohort), "commitments": hex_map(commitments)}
    signed = _ask(link, aggregator, entry, "sign", {**place, **to_sign, "aggregate_sha256": hashes})
    transcript = aggregator.transcript(entry, aggregate, commitments)
    signatures = {}
    for site, reply in signed.items():
        try:
            aggregator.check_signature(site, reply.raw("signature"), transcript)
            signatures[site] = reply.raw("signature")
        except FedccError:
            continue
    if set(signatures) != set(entry.cohort):
        return _in_order(entry, signatures), False
    opened = _ask(link, aggregator, entry, "unmask", {**place, "signatures": hex_map(signatures)})
    seeds = {site: reply.raw("seed") for site, reply in opened.items()}
    if set(seeds) != set(entry.cohort):
        return _in_order(entry, seeds), False
    try:
        aggregator.close(entry, aggregate, commitments, signatures, seeds)
    except EnvelopeError:
        return [], False
    return list(entry.cohort), True


def _ask(
    link: Link,
    aggregator: Aggregator,
    entry: MaskEntry,
    kind: Exchange,
    fields: Mapping[str, str | int | bytes],
) -> dict[str, Parcel]:
    """Send the same small request to the whole cohort."""
    requests = {aggregator.nodes[site]: (site, Parcel(fields)) for site in entry.cohort}
    return link.exchange(kind, entry.round_number, requests)


def _in_order(entry: MaskEntry, answered: Iterable[str]) -> list[str]:
    present = set(answered)
    return [site for site in entry.cohort if site in present]


def _finish(link: Link, aggregator: Aggregator) -> None:
    """Hand the last closed rounds to every site.

    Raises:
        TooFewSites: if fewer than n_min sites hold the complete model afterwards.
    """
    requests = {
        node: (site, closed_parcel(aggregator.missing_rounds(site), {}))
        for site, node in aggregator.nodes.items()
    }
    last = aggregator.store.last_closed
    for site, reply in link.exchange("finish", last, requests).items():
        aggregator.applied[site] = reply.number("rounds_applied")
    complete = sum(applied >= last for applied in aggregator.applied.values())
    _enough(complete, aggregator.plan, "hold the complete model")


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
