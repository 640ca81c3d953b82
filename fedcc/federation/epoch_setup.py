"""Setting up at the aggregator: the roster once per run, and one-time secrets once per epoch.

An epoch begins when the run does or is resumed, every `rotate_every` rounds, when its entries are
used up, and when a site comes back that has no part in it. One that cannot follow gets the model
from another site first. Sites exchange public keys and
commitments, deal shares to each other, and take a fresh HE key from one of them; the aggregator
passes on what is sealed and checks what is public.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from fedcc.crypto.entries import Epoch, EpochAdvert, verify_adverts
from fedcc.errors import EnvelopeError, FedccError, ProtocolError, TooFewSites
from fedcc.federation.aggregation import Aggregator, RoundStore
from fedcc.federation.catching_up import ask, catch_up, joined, run_fields
from fedcc.federation.closed_round import closed_parcels
from fedcc.federation.epoch_record import EpochRecord, planned_epoch
from fedcc.federation.link import Link
from fedcc.federation.messages import Parcel, advert_from_json, hex_map
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.update_cipher import AggregateSum


def set_up(link: Link, plan: RunPlan, store: RoundStore, join_timeout: float) -> Aggregator:
    """Collect the identities of the sites and begin the first epoch of this session.

    When a run begins all its sites must be there, since its roster is fixed from then on. A run
    that is resumed goes on with as many as the plan needs, soon after they are there; the others
    rejoin later.

    Raises:
        TooFewSites: if a site of the roster is missing when a run begins, or fewer than n_min join
            or begin.
    """
    least = plan.min_sites if store.roster else None
    nodes = link.wait_for_nodes(len(plan.sites), join_timeout, least)
    there = joined(link, plan.run, nodes)
    adverts = {site: advert_from_json(reply.text("advert")) for site, (_, reply) in there.items()}
    if not store.roster:
        roster = tuple(adverts[site] for site in plan.sites if site in adverts)
        if len(roster) < len(plan.sites):
            raise TooFewSites(
                f"{len(roster)} of {len(plan.sites)} sites joined; the plan's roster is fixed, so "
                "all of them must be there when a run begins."
            )
        store.keep_roster(roster)
    known = {advert.site: advert for advert in store.roster}
    taken = {site for site in plan.sites if site in adverts and adverts[site] == known.get(site)}
    enough(len(taken), plan, "joined with the identity of the run's roster")
    applied = {site: store.holds.get(site, 0) for site in plan.sites}
    applied |= {site: there[site][1].number("rounds_applied") for site in taken}
    aggregator = Aggregator(
        plan, store, store.roster, {site: there[site][0] for site in taken}, applied, set(taken)
    )
    begin_epoch(link, aggregator, answering=taken)
    return aggregator


def begin_epoch(link: Link, aggregator: Aggregator, *, answering: set[str]) -> None:
    """Set up the next epoch with all sites that answer.

    Args:
        link: to the sites.
        aggregator: whose epoch.
        answering: sites that answered just before; those of them that do not begin have declined.

    Raises:
        TooFewSites: if fewer than n_min sites are left, or none deals a key.
    """
    plan, store = aggregator.plan, aggregator.store
    aggregator.record = None
    number = store.start_epoch()
    epoch = planned_epoch(
        plan,
        aggregator.session,
        number=number,
        first_entry=store.attempts_used + 1,
        rounds_left=plan.rounds - store.last_closed,
    )
    place = {
        **run_fields(aggregator),
        "epoch": epoch.number,
        "first_entry": epoch.first_entry,
    }
    able = [site for site in plan.sites if aggregator.can_follow(site)]
    found = _advertised(link, aggregator, epoch, able, place)
    behind = {
        site for site in answering - set(found) if aggregator.applied[site] < store.last_closed
    }
    if behind:
        restored = catch_up(link, aggregator, behind)
        found |= _advertised(link, aggregator, epoch, restored, place)
    adverts = [found[site] for site in plan.sites if site in found]
    enough(len(adverts), plan, "advertised keys")
    record = EpochRecord(epoch, tuple(adverts), "pending")
    shared = hex_map({advert.site: advert.to_bytes() for advert in adverts})
    requests = dict.fromkeys(record.members, Parcel({"adverts": shared}))
    dealt = {
        site: reply.chunks["shares"]
        for site, reply in ask(link, aggregator, "share", requests).items()
        if len(reply.chunks.get("shares", [])) == len(adverts)
    }
    enough(len(dealt), plan, "shared their entries")
    key = _deal(link, aggregator, record)
    _begin(link, aggregator, EpochRecord(epoch, tuple(adverts), key.name), dealt, key)
    store.begin_epoch(number, tuple(site for site in plan.sites if site in aggregator.present))
    aggregator.epoch_from = store.last_closed + 1
    aggregator.took_part |= aggregator.present
    aggregator.declined = (aggregator.declined | answering) - aggregator.present


def _advertised(
    link: Link,
    aggregator: Aggregator,
    epoch: Epoch,
    sites: Collection[str],
    place: Mapping[str, str | int | bytes],
) -> dict[str, EpochAdvert]:
    """Hand sites the rounds that they miss, and return the sound adverts that come back."""
    missing = {site: aggregator.missing_rounds(site) for site in sites}
    found = {}
    for site, reply in ask(link, aggregator, "advertise", closed_parcels(missing, place)).items():
        try:
            advert = EpochAdvert.from_bytes(site, reply.raw("advert"), epoch)
            verify_adverts([advert], aggregator.identities, epoch)
            aggregator.applied[site] = reply.number("rounds_applied")
            found[site] = advert
        except (ProtocolError, EnvelopeError):
            continue  # counts as a site that did not answer
    return found


@dataclass(frozen=True)
class _DealtKey:
    """What the aggregator sees of an HE key; where there is no encryption, nothing."""

    name: str = "none"
    dealer: str = ""
    sealed: Sequence[bytes] = ()  # to each member, in their order


def _deal(link: Link, aggregator: Aggregator, record: EpochRecord) -> _DealtKey:
    """Let a site make the HE key; where one fails another stands in for it."""
    plan = aggregator.plan
    if plan.scheme == "none":
        aggregator.adder = AggregateSum(plan, None)
        return _DealtKey()
    dealers = record.dealers(plan)
    for dealer in dealers:
        reply = ask(link, aggregator, "deal", {dealer: Parcel()}).get(dealer)
        try:
            if reply is not None and len(reply.parts("sealed_keys")) == len(record.members):
                aggregator.adder = AggregateSum(plan, reply.raw("parameters"))
                return _DealtKey(reply.text("key_id"), dealer, reply.parts("sealed_keys"))
        except (ProtocolError, EnvelopeError):
            continue  # counts as a site that did not answer
    raise TooFewSites(
        f"{', '.join(dealers)} did not deal the key. Look into the audit logs, then resume."
    )


def _begin(
    link: Link,
    aggregator: Aggregator,
    record: EpochRecord,
    dealt: Mapping[str, list[bytes]],
    key: _DealtKey,
) -> None:
    """Pass on key and shares; sites that confirm the key are present."""
    requests = {}
    for place, site in enumerate(record.members):
        shares = [dealt[dealer][place] if dealer in dealt else b"" for dealer in record.members]
        fields: dict[str, str | int | bytes] = {
            "key_id": record.key_id,
            "dealer": key.dealer,
            "sealed_key": key.sealed[place] if key.sealed else b"",
        }
        requests[site] = Parcel(fields, {"shares": shares})
    begun = ask(link, aggregator, "begin", requests)
    ready = {site for site, reply in begun.items() if _names_key(reply, record.key_id)}
    # A site whose own shares nobody has could not be recovered; it waits for the next epoch.
    aggregator.present = ready & set(dealt)
    enough(len(aggregator.present), aggregator.plan, "began")
    aggregator.record = record


def _names_key(reply: Parcel, key_name: str) -> bool:
    try:
        return reply.text("key_id") == key_name
    except FedccError:
        return False


def enough(count: int, plan: RunPlan, what: str) -> None:
    """Refuse to go on with fewer than n_min sites.

    Raises:
        TooFewSites: if so.
    """
    if count < plan.min_sites:
        raise TooFewSites(
            f"{count} of {len(plan.sites)} sites {what}; the plan needs {plan.min_sites}. Look "
            "into the sites' audit logs, then resume the run."
        )
