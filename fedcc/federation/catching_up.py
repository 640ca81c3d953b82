"""The aggregator's part when sites are behind: it finds them, and passes sealed models on to them.

A site that holds the keys of the epochs it missed applies the closed rounds by itself. One that
does not gets the model from another site, see `vouching`; what the aggregator passes on is sealed.
"""

import json
import math
from collections.abc import Collection, Mapping

from fedcc.errors import ProtocolError
from fedcc.federation.aggregation import Aggregator
from fedcc.federation.link import GRACE_SECONDS, Link
from fedcc.federation.messages import (
    Exchange,
    Parcel,
    advert_from_json,
    advert_to_json,
    hex_map,
    roster_to_json,
)


def ask(
    link: Link,
    aggregator: Aggregator,
    kind: Exchange,
    parcels: Mapping[str, Parcel],
    patience: float = math.inf,
) -> dict[str, Parcel]:
    """Ask sites that have joined; the others are left out."""
    nodes = aggregator.nodes
    requests = {nodes[site]: (site, parcel) for site, parcel in parcels.items() if site in nodes}
    if not requests:
        return {}
    return link.exchange(kind, aggregator.store.last_closed, requests, patience)


def find_absent(link: Link, aggregator: Aggregator) -> set[str]:
    """Ask nodes that are not known yet which site they are; return the sites that came.

    A site counts only with the very advert that the roster of the run holds.
    """
    plan, known = aggregator.plan, set(aggregator.nodes.values())
    if len(aggregator.nodes) == len(plan.sites):
        return set()
    nodes = [node for node in link.wait_for_nodes(0, 0.0) if node not in known]
    adverts = {advert.site: advert_to_json(advert) for advert in aggregator.roster}
    found = set()
    for site, (node, reply) in joined(link, plan.run, nodes, GRACE_SECONDS).items():
        if site not in aggregator.nodes and reply.text("advert") == adverts.get(site):
            aggregator.nodes[site] = node
            aggregator.applied[site] = reply.number("rounds_applied")
            found.add(site)
    return found


def joined(
    link: Link, run: str, nodes: Collection[int], patience: float = math.inf
) -> dict[str, tuple[int, Parcel]]:
    """Ask nodes to join; return node and reply of each site that answered soundly, once."""
    requests = {node: (str(node), Parcel({"run": run})) for node in nodes}
    found: dict[str, tuple[int, Parcel]] = {}
    replies = link.exchange("join", 0, requests, patience) if requests else {}
    for name, reply in replies.items():
        try:
            site = advert_from_json(reply.text("advert")).site
            reply.number("rounds_applied")
        except ProtocolError:
            continue
        found.setdefault(site, (int(name), reply))
    return found


def run_fields(aggregator: Aggregator) -> dict[str, str | int | bytes]:
    """Return what names a run to a site that may have been restarted."""
    return {
        "plan": aggregator.plan.to_json(),
        "roster": roster_to_json(aggregator.roster),
    }


def hand_over(link: Link, aggregator: Aggregator) -> set[str]:
    """Let every site that is there and lacks the last closed round get the model from others.

    Returns:
        The sites that have it now.
    """
    last = aggregator.store.last_closed
    came = find_absent(link, aggregator)
    late = [s for s in aggregator.nodes if s not in came and aggregator.applied[s] < last]
    request = Parcel({"run": aggregator.plan.run, "round": last, "attempt": 1})
    came |= set(ask(link, aggregator, "join", dict.fromkeys(late, request), GRACE_SECONDS))
    behind = {site for site in came if aggregator.applied[site] < last}
    return catch_up(link, aggregator, behind) if behind else set()


def catch_up(link: Link, aggregator: Aggregator, behind: Collection[str]) -> set[str]:
    """Let sites get the model of the last closed round from others; return those that have it.

    Sites that hold that round give it and vouch for it; see `vouching` for how many it takes.
    """
    request = Parcel(run_fields(aggregator))
    asked = ask(link, aggregator, "behind", dict.fromkeys(sorted(behind), request))
    last, found = aggregator.store.last_closed, set()
    for site, reply in asked.items():
        try:
            answer = _answer(link, aggregator, site, reply.raw("request"))
            if answer is None:
                continue
            restored = ask(link, aggregator, "restore", {site: answer}).get(site)
            if restored is not None and restored.number("rounds_applied") == last:
                aggregator.applied[site] = last
                found.add(site)
        except ProtocolError:
            continue  # counts as a site that did not answer
    return found


def _answer(link: Link, aggregator: Aggregator, site: str, asked: bytes) -> Parcel | None:
    """Return what goes to a site that is behind, or `None` if too few others hold the model."""
    last, plan = aggregator.store.last_closed, aggregator.plan
    givers = [one for one in plan.sites if one != site and aggregator.applied.get(one, -1) == last]
    for giver in givers:
        # Who vouches may have been restarted since, or have begun another run.
        fields = {**run_fields(aggregator), "site": site, "round": last, "request": asked}
        parcels = {one: Parcel({**fields, "gives": int(one == giver)}) for one in givers}
        replies = ask(link, aggregator, "vouch", parcels)
        sound = {
            one: reply
            for one, reply in replies.items()
            if len(reply.chunks.get("sealed_state", [])) == 1
            and isinstance(reply.fields.get("channel"), bytes)
        }
        if giver not in sound or len(sound) <= plan.tolerated_collusion:
            continue  # another one gives it
        return Parcel(
            {
                "round": last,
                "giver": giver,
                "vouchers": _names(sound),
                "channels": hex_map({one: reply.raw("channel") for one, reply in sound.items()}),
            },
            {"sealed_state": [reply.parts("sealed_state")[0] for reply in sound.values()]},
        )
    return None


def _names(sites: Collection[str]) -> str:
    return json.dumps(list(sites))
