"""An aggregator's runs, one after another: taken up, resumed after any failure, and noted.

A plan is taken from the aggregator's folder of plans. What is kept of a run lies in the state's
`runs/<run>/`: the plan, ciphertexts of closed rounds until every site has applied them, what
reached the aggregator, one line per attempt, and the outcome. A run without an outcome is taken up
again, from its last closed round.
"""

import contextlib
import dataclasses
import functools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from fedcc.crypto.statements import when
from fedcc.deployment.aggregator_file import AggregatorHome
from fedcc.deployment.node_list import listed_nodes
from fedcc.errors import FedccError, Interrupted, ProtocolError, TooFewSites
from fedcc.federation.flower_runs import SuperLink, node_key, node_number
from fedcc.federation.plans.signed_plan import SignedPlan, read_plan
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.server_app import AggregatorRecord, build_server_app
from fedcc.federation.service import events
from fedcc.federation.service.concluding import Verdicts, build_concluding_app
from fedcc.federation.service.places import Places
from fedcc.federation.service.room import is_full, lacks_room
from fedcc.federation.service.settings import ServiceSettings
from fedcc.federation.settings import FederationSettings
from fedcc.federation.strategy import RoundRecord
from fedcc.training.checkpoints import cut_unfinished_line, write_json, write_whole

OUTCOME = "outcome.json"


@dataclass(frozen=True)
class QueuedRun:
    """A run and the folder that the aggregator keeps of it."""

    signed: SignedPlan
    folder: Path

    @property
    def plan(self) -> RunPlan:
        """What is carried out."""
        return self.signed.plan

    @property
    def has_begun(self) -> bool:
        """Whether its sites have begun it together."""
        return (self.folder / "store" / "roster.json").exists()

    @property
    def is_late(self) -> bool:
        """Whether no site may begin it any more, and the sites have not begun it together."""
        return not self.has_begun and when(datetime.now(UTC)) > self.signed.valid_until

    @property
    def outcome(self) -> Path:
        """Written after the last round."""
        return self.folder / OUTCOME

    @property
    def is_completed(self) -> bool:
        """Whether all rounds are done."""
        try:
            return bool(json.loads(self.outcome.read_text())["outcome"] == "completed")
        except FileNotFoundError:
            return False


def queued_runs(
    home: AggregatorHome, refuse: Callable[[Path, FedccError], None]
) -> list[QueuedRun]:
    """Return the runs that have no outcome, oldest plan first; no other plan is read.

    Args:
        home: whose folder of plans is read.
        refuse: called with each file that holds no plan of the admin; the others count all the
            same.
    """
    return _submitted(home, refuse, lambda folder: not (folder / OUTCOME).exists())


def unreleased_runs(home: AggregatorHome) -> list[QueuedRun]:
    """Return the completed runs whose model is not in use at all their sites yet."""
    ended = _submitted(home, lambda path, error: None, lambda folder: (folder / OUTCOME).exists())
    return [
        run
        for run in ended
        if run.is_completed and not set(run.plan.sites) <= Verdicts(run.folder).released
    ]


def _submitted(
    home: AggregatorHome,
    refuse: Callable[[Path, FedccError], None],
    counts: Callable[[Path], bool],
) -> list[QueuedRun]:
    """Return the submitted runs whose folder counts, oldest plan first."""
    found, runs = [], home.state / "runs"
    for path in home.plans.glob("*.plan.json"):
        named = path.name.removesuffix(".plan.json")
        if not counts(runs / named):
            continue
        try:
            signed = _read_once(path, _mark(path), home.values.admin.fingerprint)
            if signed.plan.run != named:
                raise ProtocolError(f"{path}: the plan of another run. Submit it anew.")
        except FedccError as error:
            refuse(path, error)
            continue
        found.append(QueuedRun(signed, runs / named))
    return sorted(found, key=lambda run: (run.signed.submitted_at, run.plan.run))


def _mark(path: Path) -> tuple[int, int, int]:
    """Return what changes with a file's content."""
    try:
        status = path.stat()
    except FileNotFoundError:  # moved away since the folder was read
        return 0, 0, 0
    return status.st_mtime_ns, status.st_ino, status.st_size


@functools.lru_cache(maxsize=1024)
def _read_once(path: Path, mark: tuple[int, int, int], admin_fingerprint: str) -> SignedPlan:
    """Read a plan and check its signature; the folder is looked at several times a second."""
    return read_plan(path, admin_fingerprint)


def serve_runs(home: AggregatorHome, places: Places, settings: ServiceSettings) -> None:
    """Carry out every run that is queued, for ever; one that lacks sites lets the others go first.

    Raises:
        FedccError: if the SuperLink cannot be used.
    """
    refused: set[Path] = set()
    waits = _Waits(settings)

    def refuse(path: Path, error: FedccError) -> None:
        if path not in refused:
            refused.add(path)
            fields = {"error": type(error).__name__, "reason": str(error)}
            events.emit("refused", fields)

    with SuperLink(places.port(), places.secret.read_bytes()) as link:
        link.wait(settings.start_seconds)
        events.emit("ready", {"consortium": home.values.consortium})
        later = _Concluding(home, places, settings, link)
        while True:
            places.ticks.tick("asked")
            for run in waits.due(queued_runs(home, refuse))[:1]:
                _Attempted(home, places, settings, link, run).carry_out()
                waits.note(run)
            later.conclude_some()
            time.sleep(settings.poll_seconds * 5)


class _Waits:
    """When each run is tried next: at once, or, as long as its sites never came, more seldom."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._first, self._most = settings.retry_seconds, settings.join_timeout_seconds
        self._next: dict[str, tuple[float, float]] = {}  # time, and the wait that led there

    def due(self, runs: Sequence[QueuedRun]) -> list[QueuedRun]:
        """Return the runs that may be tried now, the one that waited longest first."""
        times = {run.plan.run: self._next.get(run.plan.run, (0.0, 0.0))[0] for run in runs}
        ready = [run for run in runs if times[run.plan.run] <= time.monotonic()]
        return sorted(ready, key=lambda run: times[run.plan.run])

    def note(self, run: QueuedRun) -> None:
        """Note that a run was tried."""
        wait = 0.0
        if not run.has_begun:
            before = self._next.get(run.plan.run, (0.0, 0.0))[1]
            wait = min(2 * before or self._first, self._most)
        self._next[run.plan.run] = (time.monotonic() + wait, wait)


class _Attempted:
    """One session of a run."""

    def __init__(
        self,
        home: AggregatorHome,
        places: Places,
        settings: ServiceSettings,
        link: SuperLink,
        run: QueuedRun,
    ) -> None:
        self._home, self._places, self._settings = home, places, settings
        self._link, self._run = link, run

    def carry_out(self) -> None:
        """Begin or resume; note the outcome if there is one."""
        plan, folder = self._run.plan, self._run.folder
        if self._run.is_late:
            self._end(
                ProtocolError(
                    f"the plan was valid until {self._run.signed.valid_until}, and its sites had "
                    "not begun it together by then. Have it submitted anew."
                )
            )
            return
        place: dict[str, events.Value] = {"run": plan.run}
        events.emit("run_begins", {**place, "rounds": plan.rounds, "sites": len(plan.sites)})
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / "plan.json", plan.to_json().encode() + b"\n")
            self._serve()
        except (TooFewSites, Interrupted) as error:
            # Sites, or room on the disk, may come back; the run goes on where it was.
            self._pause(error)
            return
        except FedccError as error:
            self._end(error)
            return
        except (httpx.HTTPError, OSError) as error:
            if isinstance(error, OSError) and is_full(error):
                self._pause(Interrupted(lacks_room(folder, self._settings.free_megabytes)))
                return
            raise TooFewSites(f"the SuperLink was lost: {type(error).__name__}") from None
        self._end(None)

    def _pause(self, error: FedccError) -> None:
        place = {"run": self._run.plan.run, "outcome": error.outcome, "reason": str(error)}
        events.emit("run_ends", place)
        time.sleep(self._settings.retry_seconds)

    def _end(self, error: FedccError | None) -> None:
        self._run.folder.mkdir(parents=True, exist_ok=True)
        outcome = "completed" if error is None else error.outcome
        text = None if error is None else str(error)
        write_json(self._run.outcome, {"outcome": outcome, "reason": text})
        place: dict[str, events.Value] = {"run": self._run.plan.run, "outcome": outcome}
        events.emit("run_ends", place if text is None else {**place, "reason": text})

    def _serve(self) -> None:
        """Let the aggregator's app run over the SuperLink's nodes.

        Raises:
            FedccError: whatever ended it early.
        """
        settings, folder = self._settings, self._run.folder
        self._goes_on()
        app = build_server_app(
            self._run.plan,
            FederationSettings(
                timeout_seconds=settings.timeout_seconds,
                join_timeout_seconds=settings.join_timeout_seconds,
                reply_seconds=settings.reply_seconds,
                organisations=None,
                roster=None,
                admin_fingerprint=None,
                drop=(),
            ),
            store_folder=folder / "store",
            wire_file=folder / "wire.jsonl",
            record=AggregatorRecord(_Noted(folder / "metrics.jsonl", self._run.plan.run)),
            should_stop=self._goes_on,
        )
        started = self._link.start_run()
        self._link.carry_out(
            started,
            app,
            poll=settings.poll_seconds,
            wait=settings.start_seconds / 2,
            on_lost=self._note_lost,
            on_look=lambda: self._places.ticks.tick("asked"),
        )

    def _note_lost(self, node: int) -> None:
        """Log which site was lost; a run does not end because its name is not known."""
        for site, number in _node_numbers(self._home).items():
            if number == node:
                events.emit("lost", {"run": self._run.plan.run, "site": site})

    def _goes_on(self) -> bool:
        """Return that nobody wants the run to stop.

        Raises:
            Interrupted: if another attempt could not be kept: sites would be charged for nothing.
        """
        self._places.ticks.tick("asked")
        if lack := lacks_room(self._home.state, self._settings.free_megabytes):
            raise Interrupted(lack)
        return False


class _Concluding:
    """Completed runs whose model is not in use everywhere: tried again, later and later.

    A site that comes back is served at the next look; the SuperLink is asked for nothing while
    the same sites are away.
    """

    def __init__(
        self, home: AggregatorHome, places: Places, settings: ServiceSettings, link: SuperLink
    ) -> None:
        self._home, self._places, self._settings, self._link = home, places, settings, link
        self._next: dict[str, tuple[float, float, frozenset[int]]] = {}  # due, pause, nodes there
        self._looked = 0.0

    def conclude_some(self) -> None:
        """Conclude the runs that are due.

        Raises:
            TooFewSites: if the SuperLink was lost.
        """
        now = time.monotonic()
        if now - self._looked < self._settings.retry_seconds / 5:
            return
        self._looked = now
        runs = unreleased_runs(self._home)
        try:
            there = self._link.online_nodes() if runs else frozenset()
            for run in runs:
                self._try(run, there, now)
        except (httpx.HTTPError, OSError) as error:
            raise TooFewSites(f"the SuperLink was lost: {type(error).__name__}") from None

    def _try(self, run: QueuedRun, there: frozenset[int], now: float) -> None:
        first = (0.0, self._settings.retry_seconds, frozenset[int]())
        due, pause, before = self._next.get(run.plan.run, first)
        wanted = self._nodes_of(set(run.plan.sites) - Verdicts(run.folder).released)
        if not there & wanted or (now < due and there == before):
            return
        pause = first[1] if there != before else min(2 * pause, self._settings.stuck_seconds)
        self._next[run.plan.run] = (now + pause, pause, there)
        app = build_concluding_app(
            run.plan,
            run.folder,
            timeout=self._settings.timeout_seconds,
            join_timeout=0.0,
        )
        try:
            self._link.carry_out(
                self._link.start_run(),
                app,
                poll=self._settings.poll_seconds,
                wait=self._settings.start_seconds / 2,
                on_lost=lambda node: None,
                on_look=lambda: self._places.ticks.tick("asked"),
            )
        except FedccError as error:
            fields = {"run": run.plan.run, "error": type(error).__name__, "reason": str(error)}
            events.emit("refused", fields)
            return
        released = len(Verdicts(run.folder).released)
        events.emit("released", {"run": run.plan.run, "sites": released})

    def _nodes_of(self, sites: set[str]) -> frozenset[int]:
        """Return the numbers of the nodes of admitted sites."""
        numbers = _node_numbers(self._home)
        return frozenset(numbers[site] for site in sites & numbers.keys())


def _node_numbers(home: AggregatorHome) -> dict[str, int]:
    """Return the number of the node of each admitted site; none if the list cannot be trusted."""
    with contextlib.suppress(FedccError):  # the SuperLink says so
        return {site: node_number(node_key(key)) for site, key in listed_nodes(home)[0].items()}
    return {}


class _Noted(list[RoundRecord]):
    """A list whose every new record is on disk and in the log at once."""

    def __init__(self, file: Path, run: str) -> None:
        super().__init__()
        self._file, self._run = file, run

    def append(self, record: RoundRecord) -> None:
        super().append(record)
        cut_unfinished_line(self._file)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(record)) + "\n")
        events.emit(
            "round",
            {
                "run": self._run,
                "round": record.round_number,
                "attempt": record.attempt,
                "outcome": "closed" if record.closed else "void",
                "survivors": len(record.cohort),
                "seconds": round(record.seconds, 3),
                "bytes_up": record.bytes_up,
                "bytes_down": record.bytes_down,
            },
        )
