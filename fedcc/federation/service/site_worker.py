"""The resident process of a real site: it answers the exchanges of one run at a time.

It runs the fedcc that is installed here and nothing else; the bundle that a SuperLink ships is
dropped unread. A run is opened when its first message comes, if the site's operator approved its
plan, and closed when another begins. Reasons of refusals stay in the site's audit log and in its
own log; what leaves is one code.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from flwr.app import Context, Message

from fedcc.crypto.consortium import read_roster
from fedcc.crypto.key_file import Identity
from fedcc.crypto.keys import SiteKeys
from fedcc.crypto.statements import check_name
from fedcc.deployment.site_file import SiteHome
from fedcc.deployment.time_windows import is_open
from fedcc.errors import ConfigError, FedccError, PolicyViolation, ProtocolError
from fedcc.federation.client_app import build_client_app
from fedcc.federation.messages import RELEASE, UNAVAILABLE, Exchange, Parcel
from fedcc.federation.plans.signed_plan import SignedPlan
from fedcc.federation.reply_schedule import ReplySchedule
from fedcc.federation.service import events
from fedcc.federation.service.approvals import approved_plan, check_begins
from fedcc.federation.service.room import lacks_room
from fedcc.federation.service.settings import ServiceSettings
from fedcc.federation.service.site_release import (
    RunAtSite,
    give_verdict,
    keep_candidate,
    take_release,
)
from fedcc.federation.service.site_rows import load_rows
from fedcc.federation.settings import data_sha256
from fedcc.federation.site_parts import SiteFiles, Watch
from fedcc.federation.site_policy import SitePolicy
from fedcc.federation.site_round import Site
from fedcc.privacy.policy import load_policy

SAME_AGAIN = timedelta(minutes=10)
COMPUTING: tuple[Exchange, ...] = ("join", "advertise", "upload")  # not begun in closed hours


def utc_now() -> datetime:
    """Return the current time with its zone."""
    return datetime.now(UTC)


class SiteWorker:
    """Answers one site's messages."""

    def __init__(
        self,
        home: SiteHome,
        identity: Identity,
        settings: ServiceSettings,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """Check what can be checked before any message comes.

        Raises:
            FedccError: if policy or roster cannot be used, or the roster does not hold this key.
        """
        self._home, self._identity, self._now = home, identity, now
        self._free_megabytes = settings.free_megabytes
        self._open: RunAtSite | None = None
        self._runs: dict[int, str] = {}  # of Flower's runs
        self._sites: dict[int, Site] = {}  # the open one, as partition 0
        self._schedule = ReplySchedule(seconds=settings.reply_seconds)
        self._loading = ReplySchedule(seconds=settings.load_seconds)
        self._loads = 0  # times that rows were read
        self._told: dict[tuple[object, ...], datetime] = {}  # refusals that were logged lately
        self._app = build_client_app(self._sites, self._schedule)
        load_policy(home.policy)
        self._check_roster()

    def _check_roster(self) -> None:
        """Check that the roster that this site holds now names this site's key."""
        values = self._home.values
        roster = read_roster(self._home.roster, values.aggregator.admin_fingerprint)
        if roster.identities().get(values.site) != self._identity.public:
            raise ProtocolError(
                f"{self._home.roster} does not hold this site's key as '{values.site}'. Start the "
                "service again if a rotation was installed; or take over the newest roster, or ask "
                "the consortium's admin."
            )

    def _trusted(self, signed: SignedPlan) -> dict[str, bytes]:
        """Return the identity of each site of a run's own roster, which it keeps to its end.

        Raises:
            ProtocolError: if this site has taken a new key since.
        """
        self._check_roster()
        site, found = self._home.values.site, signed.roster.identities()
        if found.get(site) != self._identity.public:
            raise ProtocolError(
                f"the run {signed.plan.run} was agreed on with another key of this site, which has "
                "taken a new one since: it goes on without this site."
            )
        return found

    def answer(self, message: Message, context: Context) -> Message:
        """Answer one message; every failure is one code without text.

        When the answer leaves tells nothing about the site's rows, see `ReplySchedule`.
        """
        exchange = cast(Exchange, message.metadata.message_type.partition(".")[2])
        began, loads = self._schedule.clock(), self._loads
        reply = self._answer(exchange, message, context)
        if self._loads > loads:
            self._loading.hold(began)
        elif exchange == "verdict":
            self._schedule.wait(exchange, began)
        return reply

    def _answer(self, exchange: Exchange, message: Message, context: Context) -> Message:
        started = self._now()
        try:
            site = self._site_for(exchange, message, context.run_id)
            if exchange in RELEASE:
                return self._release(exchange, message)
            refused = len(site.watch.refusals)
            context.node_config["partition-id"] = 0
            reply = self._app(message, context)
            for error in site.watch.refusals[refused:]:
                self._log("refused", exchange, {"error": _name(error), "reason": str(error)})
            self._note(exchange, (self._now() - started).total_seconds())
            return reply
        except Exception as error:
            text = str(error) if isinstance(error, FedccError) else ""
            fields: dict[str, events.Value] = {"error": _name(error), "reason": text}
            if (named := self._named(exchange, message, context.run_id)) is not None:
                fields["run"] = named
            self._refused(exchange, fields)
            return Message(Parcel({"refused": UNAVAILABLE}).to_record(), reply_to=message)

    def _named(self, exchange: str, message: Message, flower_run: int) -> str | None:
        """Return the run that a message is for, if it says so in the words of a run's name."""
        named = self._runs.get(flower_run)
        if exchange == "join":
            try:
                named = check_name(Parcel.from_record(message.content).text("run"), "run")
            except FedccError:
                return None
        return named

    def _refused(self, exchange: str, fields: Mapping[str, events.Value]) -> None:
        """Log a refusal; the same one again only now and then, since it is asked for often."""
        now, key = self._now(), (exchange, *sorted((k, str(v)) for k, v in fields.items()))
        told = self._told.get(key)
        if told is not None and now - told < SAME_AGAIN:
            return
        self._told = {k: v for k, v in self._told.items() if now - v < SAME_AGAIN} | {key: now}
        self._log("refused", exchange, fields)

    def _note(self, exchange: Exchange, seconds: float) -> None:
        """Log what was answered, and keep the model once it is complete."""
        opened = self._open
        if opened is None:
            return
        rounds = opened.site.state.rounds_applied if opened.site.state is not None else 0
        self._log("answered", exchange, {"seconds": round(seconds, 3), "round": rounds})
        if exchange in ("finish", "restore") and opened.is_complete:
            keep_candidate(opened)
            self._log("model", exchange, {"rounds": rounds})

    def _release(self, exchange: Exchange, message: Message) -> Message:
        """Answer a message about the release of the model.

        Raises:
            FedccError: why there is no verdict, or no release.
        """
        opened, request = self._open, Parcel.from_record(message.content)
        if opened is None:
            raise ProtocolError("no run is open here")
        if opened.is_complete:
            keep_candidate(opened)
        if exchange == "verdict":
            reply = give_verdict(opened, self._home, self._identity, self._now())
        else:
            reply = take_release(opened, self._home, request)
            self._log("released", exchange, {})
        return Message(reply.to_record(), reply_to=message)

    def _log(self, event: str, exchange: str, fields: Mapping[str, events.Value]) -> None:
        place: dict[str, events.Value] = {"site": self._home.values.site}
        if self._open is not None:
            place["run"] = self._open.signed.plan.run
        if events.is_exchange(exchange):
            place["exchange"] = exchange
        events.emit(event, {**place, **fields})

    def _site_for(self, exchange: Exchange, message: Message, flower_run: int) -> Site:
        """Return the open site that a message is for; a first message names its run.

        Raises:
            PolicyViolation: if the plan is not approved, the task is not one of this site's, or
                the hour is closed.
            FedccError: if the run cannot be opened.
        """
        network = self._home.values.network
        if exchange in COMPUTING and not is_open(network.windows, network.time_zone, self._now()):
            raise PolicyViolation("this site computes in the windows of network.windows only.")
        if exchange in COMPUTING and (lack := lacks_room(self._home.state, self._free_megabytes)):
            raise ConfigError(lack)  # before the round is charged
        if exchange == "join":
            named = Parcel.from_record(message.content).text("run")
            if self._open is None or self._open.signed.plan.run != named:
                self._begin(named)
            self._runs = {flower_run: named}
        opened = self._open
        if opened is None or self._runs.get(flower_run) != opened.signed.plan.run:
            raise ProtocolError("this run has not begun here; a message of its first kind is due.")
        if exchange in COMPUTING:  # an approval that was withdrawn ends it here
            approved_plan(self._home, opened.signed.plan.run, self._identity, self._now())
        return opened.site

    def _begin(self, run: str) -> None:
        """Open a run; whichever was open is closed.

        Raises:
            FedccError: if it cannot be opened; then none is.
        """
        signed = approved_plan(self._home, run, self._identity, self._now())
        plan = signed.plan
        folder = self._home.state / "runs" / plan.run
        if not _files(self._home, folder).binding.exists():  # no epoch of it was ever begun here
            check_begins(self._home, signed, self._now())
        if plan.task not in self._home.values.tasks:
            raise PolicyViolation(f"task '{plan.task}' is not one of `tasks` in site.yaml.")
        trusted = self._trusted(signed)
        self.close()
        self._loads += 1
        rows = load_rows(self._home, signed, self._now())
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        site = Site(
            self._home.values.site,
            _files(self._home, folder),
            rows.examples,
            rows.recipe,
            SitePolicy(
                privacy=load_policy(self._home.policy),
                approved_plans=frozenset({plan.sha256}),
                data_sha256=data_sha256(rows.spec),
                trusted=trusted,
            ),
            keys=SiteKeys(self._identity.private),
            now=self._now,
            seed=None,
            watch=Watch(),
        )
        self._open, self._sites[0] = RunAtSite(signed, site, rows, folder), site
        self._log("run_begins", "join", {"rounds": plan.rounds, "sites": len(plan.sites)})

    def close(self) -> None:
        """Close the run that is open, if any."""
        if self._open is not None:
            self._open.site.close()
            self._open = None
            self._sites.clear()


def _files(home: SiteHome, folder: Path) -> SiteFiles:
    return SiteFiles(
        ledger=home.ledger,
        audit=home.state / "audit.jsonl",
        checkpoint=folder / "checkpoint.safetensors",
        keys=home.identity,
        epochs=folder / "epochs",
        binding=folder / "session.json",
    )


def _name(error: Exception) -> str:
    return type(error).__name__
