"""A whole installation in one process: real sites with their files, messages handed over."""

import contextlib
import math
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from flwr.app import Context, Message, RecordDict

from fedcc.crypto.key_file import KeyFile, read_key
from fedcc.deployment.site_file import SiteHome
from fedcc.errors import Interrupted
from fedcc.federation import flower_compat
from fedcc.federation.aggregation import Aggregator, RoundStore
from fedcc.federation.epoch_setup import set_up
from fedcc.federation.link import Traffic
from fedcc.federation.messages import Exchange, Parcel, check_reply
from fedcc.federation.service.concluding import Verdicts, conclude_run
from fedcc.federation.service.settings import service_settings
from fedcc.federation.service.site_worker import SiteWorker
from fedcc.federation.strategy import RoundRecord, run_rounds

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "simulations"))
from _drill import Drill  # noqa: E402


@dataclass
class Workers:
    """Sites that answer in memory; a test can lose, alter or restart them."""

    drill: Drill
    is_lost: Callable[[Exchange, str], bool] = lambda kind, site: False
    is_away: Callable[[str], bool] = lambda site: False
    altered: Callable[[Exchange, str, Parcel], Parcel] = lambda kind, site, reply: reply
    traffic: Traffic = field(default_factory=Traffic)
    replies: list[tuple[Exchange, str, Parcel]] = field(default_factory=list)
    _open: dict[str, SiteWorker] = field(default_factory=dict)
    _session: int = 1

    @property
    def folder(self) -> Path:
        """What the aggregator keeps of the run."""
        return self.drill.folder

    def site_folder(self, site: str) -> Path:
        """What a site keeps of the run."""
        run = self.drill.signed.plan.run
        return self.drill.made.site(site) / "state" / "runs" / run

    def copied(self, root: Path) -> "Workers":
        """Return the same installation in another folder, with all its files as they are."""
        self.close()
        shutil.copytree(self.drill.root, root)
        folder = root / self.drill.made.folder.relative_to(self.drill.root)
        made = replace(self.drill.made, folder=folder)
        return Workers(replace(self.drill, root=root, made=made))

    def restart(self, site: str) -> None:
        """Let a site begin anew, as after a power cut."""
        worker = self._open.pop(site, None)
        if worker is not None:
            worker.close()

    def close(self) -> None:
        """Close every site."""
        for site in list(self._open):
            self.restart(site)

    def _worker(self, site: str) -> SiteWorker:
        if site not in self._open:
            home = SiteHome.open(self.drill.made.site(site))
            key = KeyFile((home.file.parent / "unlock.key").read_bytes())
            identity = read_key(home.identity).unlock(key)
            settings = replace(service_settings(), reply_seconds=0.01, load_seconds=0.01)
            self._open[site] = SiteWorker(home, identity, settings)
        return self._open[site]

    def exchange(
        self,
        kind: Exchange,
        round_number: int,
        requests: Mapping[int, tuple[str, Parcel]],
        patience: float = math.inf,
    ) -> dict[str, Parcel]:
        """Answer as `Link.exchange` does."""
        return dict(self.each_reply(kind, round_number, requests))

    def each_reply(
        self, kind: Exchange, round_number: int, requests: Mapping[int, tuple[str, Parcel]]
    ) -> Iterator[tuple[str, Parcel]]:
        """Answer as `Link.each_reply` does."""
        for node, (label, parcel) in requests.items():
            site = self.drill.made.sites[node]
            if self.is_lost(kind, site):
                continue
            flower_compat.enter_run()
            message = Message(parcel.to_record(), 1000, f"query.{kind}", group_id="1")
            flower_compat.set_message_id(message, "1")
            context = Context(self._session, 1000, {}, RecordDict(), {})
            reply = Parcel.from_record(self._worker(site).answer(message, context).content)
            if "refused" in reply.fields:
                continue
            reply = self.altered(kind, site, reply)
            self.replies.append((kind, site, reply))
            check_reply(kind, reply)
            yield label, reply

    def wait_for_nodes(
        self, wanted: int, deadline_seconds: float, least: int | None = None
    ) -> list[int]:
        """Return the nodes that are not away."""
        sites = enumerate(self.drill.made.sites)
        return [number for number, site in sites if not self.is_away(site)]

    def train(self, until: int | None = None) -> list[RoundRecord]:
        """Begin or resume the run and carry out its rounds; stop after one of them if asked to."""
        records: list[RoundRecord] = []
        self._session += 1
        store = RoundStore(self.folder / "store")
        plan = self.drill.signed.plan
        aggregator: Aggregator = set_up(self, plan, store, 0.0)  # type: ignore[arg-type]

        def stop() -> bool:
            return until is not None and store.last_closed >= until

        with contextlib.suppress(Interrupted):
            run_rounds(self, aggregator, records.append, stop)  # type: ignore[arg-type]
        return records

    def conclude(self) -> frozenset[str]:
        """Hand over and release; return the sites that use the model now."""
        self._session += 1
        conclude_run(self, self.drill.signed.plan, self.folder, 0.0)  # type: ignore[arg-type]
        return Verdicts(self.folder).released
