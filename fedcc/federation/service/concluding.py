"""What is left to do after the last round: the model for sites that were away, and its release.

Sites that missed the end get the model from others, sealed; all sign a verdict, and every site gets
all verdicts and counts them itself. Whatever a site misses here it gets at the next try; nothing of
it depends on when that is. The aggregator passes on and keeps public statements only.
"""

import json
from collections.abc import Collection
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedcc.errors import ProtocolError
from fedcc.federation.aggregation import Aggregator, RoundStore
from fedcc.federation.catching_up import ask, hand_over, joined
from fedcc.federation.link import Link
from fedcc.federation.messages import Parcel, WireLog, advert_from_json
from fedcc.federation.run_plan import RunPlan
from fedcc.training.checkpoints import write_json, write_whole

MOST_VERDICT_BYTES = 1 << 16


class Verdicts:
    """The verdicts on a run's model, and the sites that counted enough of them; on disk."""

    def __init__(self, folder: Path) -> None:
        """Name the run's folder; nothing is touched."""
        self._folder, self._state = folder / "verdicts", folder / "released.json"

    def all(self) -> list[bytes]:
        """Return the verdicts that came so far, by the names of their sites."""
        return [path.read_bytes() for path in sorted(self._folder.glob("*.json"))]

    def keep(self, site: str, verdict: bytes) -> None:
        """Keep a verdict; a site's first one stays."""
        path = self._folder / f"{site}.json"
        if not path.exists():
            write_whole(path, verdict)

    @property
    def released(self) -> frozenset[str]:
        """The sites that counted enough verdicts and use the model."""
        if not self._state.exists():
            return frozenset()
        return frozenset(json.loads(self._state.read_text())["sites"])

    def note_released(self, sites: Collection[str]) -> None:
        """Note more of them."""
        write_json(self._state, {"sites": sorted({*self.released, *sites})})


def build_concluding_app(
    plan: RunPlan, folder: Path, *, timeout: float, join_timeout: float
) -> ServerApp:
    """Return the app that hands over and releases what one run has trained.

    Args:
        plan: of the run.
        folder: that the aggregator keeps of it.
        timeout: seconds for every exchange.
        join_timeout: seconds to wait for the nodes of all sites.
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        wire = WireLog(folder / "wire.jsonl", update_kind="ciphertext")
        try:
            conclude_run(Link(grid, wire, timeout), plan, folder, join_timeout)
        finally:
            wire.close()

    return app


def conclude_run(link: Link, plan: RunPlan, folder: Path, join_timeout: float) -> None:
    """Hand the model to the sites that lack it, collect verdicts, and pass them on."""
    store, kept = RoundStore(folder / "store"), Verdicts(folder)
    known = {advert.site: advert for advert in store.roster}
    nodes, applied = {}, {site: store.holds.get(site, 0) for site in plan.sites}
    there = joined(link, plan.run, link.wait_for_nodes(len(plan.sites), join_timeout))
    for site, (node, reply) in there.items():
        if site in known and advert_from_json(reply.text("advert")) == known[site]:
            nodes[site], applied[site] = node, reply.number("rounds_applied")
    aggregator = Aggregator(plan, store, store.roster, nodes, applied, present=set())
    hand_over(link, aggregator)
    store.note_holds(aggregator.applied)
    complete = [s for s in plan.sites if s in nodes and aggregator.applied[s] >= store.last_closed]
    for site, reply in ask(link, aggregator, "verdict", dict.fromkeys(complete, Parcel())).items():
        try:
            verdict = reply.raw("verdict")
        except ProtocolError:
            continue  # asked again at the next try
        if len(verdict) <= MOST_VERDICT_BYTES:
            kept.keep(site, verdict)
    request = Parcel({}, {"verdicts": kept.all()})
    waiting = [site for site in complete if site not in kept.released]
    kept.note_released(list(ask(link, aggregator, "release", dict.fromkeys(waiting, request))))
