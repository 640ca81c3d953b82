"""An aggregator's runs, one after another: taken up, resumed after any failure, and noted.

A plan is taken from the aggregator's folder of plans. What is kept of a run lies in the state's
`runs/<run>/`: the plan, ciphertexts of closed rounds until every site has applied them, what
reached the aggregator, one line per attempt, and the outcome. A run without an outcome is taken up
again, from its last closed round.
"""

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from fedcc.deployment.aggregator_file import AggregatorHome
from fedcc.errors import FedccError, Interrupted, TooFewSites
from fedcc.federation.flower_runs import SuperLink, node_key, node_number
from fedcc.federation.plans.signed_plan import read_plan
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.server_app import AggregatorRecord, build_server_app
from fedcc.federation.service import events
from fedcc.federation.service.places import Places
from fedcc.federation.service.settings import ServiceSettings
from fedcc.federation.settings import FederationSettings
from fedcc.federation.strategy import RoundRecord
from fedcc.training.checkpoints import write_json, write_whole


@dataclass(frozen=True)
class QueuedRun:
    """A run and the folder that the aggregator keeps of it."""

    plan: RunPlan
    folder: Path

    @property
    def outcome(self) -> Path:
        """Written last."""
        return self.folder / "outcome.json"


def queued_runs(home: AggregatorHome) -> list[QueuedRun]:
    """Return the runs that have no outcome, oldest plan first.

    Raises:
        FedccError: if a plan's file is damaged, or not signed by the admin.
    """
    mark = home.values.admin.fingerprint
    signed = [read_plan(path, mark) for path in home.plans.glob("*.plan.json")]
    found = []
    for one in sorted(signed, key=lambda each: (each.submitted_at, each.plan.run)):
        run = QueuedRun(one.plan, home.state / "runs" / one.plan.run)
        if not run.outcome.exists():
            found.append(run)
    return found


def serve_runs(home: AggregatorHome, places: Places, settings: ServiceSettings) -> None:
    """Carry out every run that is queued, for ever.

    Raises:
        FedccError: if the SuperLink cannot be used, or a file of this folder is damaged.
    """
    with SuperLink(places.port(), places.secret.read_bytes()) as link:
        link.wait(settings.start_seconds)
        events.emit("ready", {"consortium": home.values.consortium})
        while True:
            places.ticks.tick("asked")
            for run in queued_runs(home)[:1]:
                _Attempted(home, places, settings, link, run).carry_out()
            time.sleep(settings.poll_seconds * 5)


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
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "plan.json", plan.to_json().encode() + b"\n")
        place: dict[str, events.Value] = {"run": plan.run}
        events.emit("run_begins", {**place, "rounds": plan.rounds, "sites": len(plan.sites)})
        try:
            self._serve()
        except (TooFewSites, Interrupted) as error:
            # Sites may come back; the run goes on where it was.
            events.emit("run_ends", {**place, "outcome": error.outcome, "reason": str(error)})
            time.sleep(self._settings.retry_seconds)
            return
        except FedccError as error:
            self._end(error)
            return
        except (httpx.HTTPError, OSError) as error:
            raise TooFewSites(f"the SuperLink was lost: {type(error).__name__}") from None
        self._end(None)

    def _end(self, error: FedccError | None) -> None:
        outcome = "completed" if error is None else error.outcome
        text = None if error is None else str(error)
        write_json(self._run.outcome, {"outcome": outcome, "reason": text})
        events.emit("run_ends", {"run": self._run.plan.run, "outcome": outcome})

    def _serve(self) -> None:
        """Let the aggregator's app run over the SuperLink's nodes.

        Raises:
            FedccError: whatever ended it early.
        """
        settings, folder = self._settings, self._run.folder
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
        )

    def _note_lost(self, node: int) -> None:
        """Log which site was lost."""
        for path in self._home.nodes.glob("*.pub"):
            if node_number(node_key(path)) == node:
                events.emit("lost", {"run": self._run.plan.run, "site": path.stem})

    def _goes_on(self) -> bool:
        self._places.ticks.tick("asked")
        return False


class _Noted(list[RoundRecord]):
    """A list whose every new record is on disk and in the log at once."""

    def __init__(self, file: Path, run: str) -> None:
        super().__init__()
        self._file, self._run = file, run

    def append(self, record: RoundRecord) -> None:
        super().append(record)
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
