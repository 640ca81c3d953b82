"""A whole federation in one process: data, sites, aggregator, progress and the run folder.

The sites and the aggregator are the Flower apps of production; only the grid differs. What the
simulator adds (partition, test metric, baselines, dropouts to play) stays outside the protocol.
"""

import json
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr.app import Message

from fedcc.crypto import contexts
from fedcc.crypto.parameters import PROFILE, SECURITY_BITS
from fedcc.errors import (
    BudgetExceeded,
    ConfigError,
    FedccError,
    Interrupted,
    PolicyViolation,
    TooFewSites,
)
from fedcc.federation import flower_compat, planning, summary
from fedcc.federation.client_app import build_client_app
from fedcc.federation.comparison import Comparison
from fedcc.federation.grid import InProcessGrid
from fedcc.federation.messages import Parcel
from fedcc.federation.observer import Observer
from fedcc.federation.run_folder import RunFolder
from fedcc.federation.server_app import AggregatorRecord, build_server_app
from fedcc.federation.settings import RunPlan, SimulationSettings, data_sha256
from fedcc.federation.simulated_data import load_data
from fedcc.federation.site_policy import SitePolicy
from fedcc.federation.site_round import Site, Watch
from fedcc.federation.strategy import RoundRecord
from fedcc.governance.report import write_report
from fedcc.models.tabular import build_module, named_tensors, parameter_count
from fedcc.tasks import churn
from fedcc.tasks.metrics import roc_auc
from fedcc.training.checkpoints import tensor_bytes, write_json, write_whole
from fedcc.training.evaluate import logits


@dataclass(frozen=True)
class RunResult:
    """What a run left behind."""

    run_dir: Path
    summary: dict[str, Any]
    error: FedccError | None = None

    @property
    def exit_code(self) -> int:
        """Exit code of the command line; 0 if the run completed."""
        return self.error.exit_code if self.error is not None else 0


@dataclass(frozen=True)
class Progress:
    """One line of progress; `kind` is `plan`, `round`, `void` or `note`."""

    kind: str
    text: str = ""
    round_number: int = 0
    rounds: int = 0
    metric: float | None = None
    epsilon: float | None = None
    budget: float | None = None
    bytes_up: int = 0
    bytes_down: int = 0


ProgressCallback = Callable[[Progress], None]


def _silent(progress: Progress) -> None:
    return None


def simulate(
    settings: SimulationSettings,
    config_values: dict[str, Any],
    *,
    progress: ProgressCallback = _silent,
    resume: Path | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    isolate: bool = False,
) -> RunResult:
    """Run or resume a simulated federation.

    Args:
        settings: what to run.
        config_values: the resolved config as plain values, kept in the run folder.
        progress: called with each step.
        resume: folder of an interrupted run, whose own settings were passed in.
        clock: current time with a zone.
        isolate: pass every message through protobuf, as a network would.

    Returns:
        The result; a run that ended early has `error` set and its outcome in the summary.

    Raises:
        FedccError: for settings or data that cannot be run at all; then there is no run folder.
    """
    run = _Simulation(settings, config_values, progress, clock)
    run.prepare(resume)
    return run.execute(isolate=isolate)


class _Simulation:
    """State of one simulation; `prepare`, then `execute`."""

    def __init__(
        self,
        settings: SimulationSettings,
        config_values: dict[str, Any],
        progress: ProgressCallback,
        clock: Callable[[], datetime],
    ) -> None:
        self.settings, self.config_values = settings, config_values
        self.progress, self.clock = progress, clock
        self.started = time.monotonic()
        self.first_round = self.started
        self.record = AggregatorRecord()
        self.noted = 0  # attempts of this session that are in metrics.jsonl
        self.attempts_before = 0
        self.metric: float | None = None
        self.resumed = False
        self.stop = threading.Event()

    # Before anything is spent.

    def prepare(self, resume: Path | None) -> None:
        torch.set_num_threads(1)
        settings = self.settings
        self.resumed = resume is not None
        ledger_dir = Path(settings.ledger.dir) if settings.ledger.dir is not None else None
        secret = {"partition_seed": _fresh_seed(settings.seed), "public_seed": _fresh_seed(settings.seed)}
        plan: RunPlan | None = None
        if resume is not None:
            self.folder = RunFolder(resume, ledger_dir)
            plan, secret = self.folder.read_start()
        self.data = load_data(settings, secret["partition_seed"], self.clock())
        self.module = build_module(settings.model, self.data.test.features.shape[1])
        if plan is None:
            plan, warnings = planning.make_plan(
                settings,
                run=secrets.token_hex(8),
                n_parameters=parameter_count(self.module),
                public_seed=secret["public_seed"],
            )
            for warning in warnings:
                self.progress(Progress("note", f"warning: {warning}"))
            if settings.crypto.masked:
                contexts.check_seed_compression()
            self.folder = RunFolder.create(
                settings.run.dir, settings.ledger.dir, settings.task.name, now=self.clock()
            )
            self._guard_disk(lambda: self.folder.write_start(self.config_values, plan, secret))
        elif plan.data_sha256 != data_sha256(settings.data):
            raise ConfigError(f"{resume}: config.yaml and plan.json describe different data.")
        self.plan = plan
        self.observer = Observer(plan)

    def _guard_disk(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            raise ConfigError(
                f"run.dir: {self.folder.path} cannot be written: {error.strerror}. Free space or "
                "name another folder."
            ) from error

    def _open_sites(self) -> list[Site]:
        names = self.plan.sites
        keys = {name: self.folder.site_keys(name) for name in names}
        trusted = {name: keys[name].identity for name in names}
        policy = SitePolicy(
            purpose=churn.PURPOSE,
            data_sha256=data_sha256(self.settings.data),
            max_epsilon=planning.budget(self.plan, self.settings.privacy.epsilon),
            delta=self.plan.delta,
            min_sites=self.plan.min_sites,
            trusted=trusted,
        )
        watch = Watch(on_upload=self.observer.on_upload, on_applied=self.observer.on_applied)
        self.watch = watch
        sites: list[Site] = []
        try:
            for name, examples in zip(names, self.data.sites, strict=True):
                sites.append(
                    Site(
                        name,
                        self.folder.site_files(name),
                        examples,
                        policy,
                        keys=keys[name],
                        now=self.clock,
                        seed=self.settings.seed,
                        watch=watch,
                    )
                )
        except BaseException:
            for site in sites:
                site.close()
            raise
        return sites

    # The run.

    def execute(self, *, isolate: bool) -> RunResult:
        error: FedccError | None = None
        self.sites: list[Site] = []
        try:
            with self._signals():
                self.folder.clear_finished()
                self.sites = self._open_sites()
                used = [len(site.ledger.used(self.plan.run)) for site in self.sites]
                self.attempts_before = max(used)
                self._announce()
                self._run_apps(isolate)
        except FedccError as caught:
            error = self._cause(caught)
        except KeyboardInterrupt:
            error = Interrupted(self._how_to_resume("interrupted"))
        except OSError as caught:
            error = _disk_error(self.folder.path, caught)
        finally:
            for site in self.sites:
                site.close()
        try:
            return self._conclude(error)
        except (OSError, KeyboardInterrupt) as caught:
            self.folder.clear_finished()
            if isinstance(caught, KeyboardInterrupt):
                raise Interrupted(self._how_to_resume("interrupted")) from None
            raise _disk_error(self.folder.path, caught) from caught

    def _run_apps(self, isolate: bool) -> None:
        client_app = build_client_app(dict(enumerate(self.sites)))
        self.server_app = build_server_app(
            self.plan,
            self.settings.federation,
            store_folder=self.folder.aggregator_store,
            wire_file=self.folder.wire,
            record=self.record,
        )
        grid = InProcessGrid(
            client_app,
            len(self.sites),
            offline=self._is_offline,
            after_exchange=self._after_exchange,
            isolate=isolate,
        )
        self.first_round = time.monotonic()
        self.server_app(grid, flower_compat.new_context(0, {}))

    def _is_offline(self, index: int, message: Message) -> bool:
        """Play the dropouts of the settings; a resumed run does not play them again."""
        if self.resumed or not self.settings.federation.drop:
            return False
        fields = Parcel.from_record(message.content).fields
        return any(
            drop.site == index + 1
            and drop.round == fields.get("round")
            and (drop.attempts is None or int(str(fields.get("attempt"))) <= drop.attempts)
            for drop in self.settings.federation.drop
        )

    def _after_exchange(self, message: Message) -> None:
        """Note what an exchange brought; stop here if the user asked to."""
        kind = message.metadata.message_type.removeprefix("query.")
        if kind in ("upload", "finish"):
            self._note_rounds()
        elif kind == "unmask" and self.settings.baselines:
            fields = Parcel.from_record(message.content).fields
            round_number, attempt = int(str(fields["round"])), int(str(fields["attempt"]))
            noise = self.observer.noise_of(round_number, attempt)
            if noise is not None:
                np.save(self.folder.noise_file(round_number), noise)
        if self.stop.is_set() and kind in ("upload", "begin"):
            raise KeyboardInterrupt
        for refusal in self.watch.refusals:
            if not isinstance(refusal, BudgetExceeded | PolicyViolation):
                raise refusal  # in one process this is a finding, not a dropout

    def _note_rounds(self) -> None:
        """Write metrics of the attempts whose model is known by now."""
        for record in self.record.rounds[self.noted :]:
            if record.closed and record.round_number not in self.observer.states:
                break
            self._note_round(record)

    def _note_round(self, record: RoundRecord) -> None:
        self.noted += 1
        attempts = self.attempts_before + self.noted
        self.metric = self._utility() if record.closed else self.metric
        spent = summary.epsilons(self.plan, attempts)
        self.folder.append_metrics(
            {
                "round": record.round_number,
                "attempt": record.attempt,
                "closed": record.closed,
                "survivors": list(record.cohort),
                "seconds": record.seconds,
                "bytes_up": record.bytes_up,
                "bytes_down": record.bytes_down,
                **spent,
                churn.METRIC: self.metric if record.closed else None,
            }
        )
        void = f"round {record.round_number}, attempt {record.attempt} is void: "
        self.progress(
            Progress(
                "round" if record.closed else "void",
                round_number=record.round_number,
                rounds=self.plan.rounds,
                metric=self.metric,
                epsilon=spent["epsilon"],
                budget=self.settings.privacy.epsilon,
                bytes_up=record.bytes_up,
                bytes_down=record.bytes_down,
                text=void + f"{len(record.cohort)} sites answered; charged, trying again",
            )
        )

    def _utility(self) -> float | None:
        """Return the metric of the model that would be released now."""
        if not self.observer.states:
            return None
        [state] = self.observer.states.values()
        scores = logits(self.module, state.released(), self.data.test.features)
        return roc_auc(scores, self.data.test.labels)

    def _announce(self) -> None:
        """Say what is about to happen, with the line that proves encryption."""
        plan = self.plan
        rows = sum(len(site) for site in self.data.sites)
        self.progress(
            Progress(
                "plan",
                f"{plan.task}: {rows} rows of '{self.settings.data.name}' at {len(plan.sites)} sites, "
                f"model {plan.model} with {plan.n_parameters} parameters, {plan.rounds} rounds",
                rounds=plan.rounds,
            )
        )
        self.progress(Progress("note", describe_encryption(plan)))

    # The end.

    def _cause(self, error: FedccError) -> FedccError:
        """Return the reason behind too few sites, where a site has refused."""
        refusals = self.watch.refusals if self.sites else []
        return refusals[0] if isinstance(error, TooFewSites) and refusals else error

    def _how_to_resume(self, what: str) -> str:
        done = max(self.observer.states, default=0)
        return f"{what} after round {done}. Continue with: fedcc simulate --resume {self.folder.path}"

    def _facts(self, error: FedccError | None) -> summary.Facts:
        rounds = max(self.observer.states, default=0)
        lines = self.folder.read_metrics()
        closed = [line for line in lines if line["closed"]]
        sites = len(self.plan.sites)
        uploads = [int(line["bytes_up"]) for line in lines]
        per_round = self._ciphertext_bytes() / len(lines) / sites if lines else None
        down = [int(line["bytes_down"]) / len(line["survivors"]) for line in closed]
        seconds = [float(line["seconds"]) for line in closed]
        ended_well = error is None
        return summary.Facts(
            outcome="completed" if error is None else error.outcome,
            rounds=rounds,
            attempts=max((len(s.ledger.used(self.plan.run)) for s in self.sites), default=0),
            rows_per_site=[len(site) for site in self.data.sites],
            gates=self.data.gates,
            upload_bytes=sum(uploads),
            upload_bytes_per_round=per_round,
            download_bytes_per_round=float(np.mean(down)) if down else None,
            seconds_encrypt=sum(site.seconds.encrypt for site in self.sites),
            seconds_aggregate=self.record.seconds_adding,
            seconds_decrypt=sum(site.seconds.decrypt for site in self.sites),
            max_abs_error=self.observer.max_abs_error if self.observer.checked_sums else None,
            utility=self._utility(),
            baselines=self._baselines(rounds) if ended_well and self.settings.baselines else None,
            total_seconds=time.monotonic() - self.started,
            startup_seconds=self.first_round - self.started,
            seconds_per_round=float(np.mean(seconds)) if seconds else None,
        )

    def _ciphertext_bytes(self) -> int:
        """Return the bytes of all update chunks that reached the aggregator."""
        total = 0
        with self.folder.wire.open(encoding="utf-8") as file:
            for line in file:
                if '"upload.update.' in line:
                    total += int(json.loads(line)["bytes"])
        return total

    def _baselines(self, rounds: int) -> dict[str, float | None]:
        self.progress(Progress("note", "training the baselines"))
        plan = planning.shortened(self.plan, rounds)
        comparison = Comparison(
            plan, self.settings.model, self.data.sites, self.data.test, self.settings.seed
        )
        known = all(self.folder.noise_file(n).exists() for n in range(1, rounds + 1))
        return comparison.all(
            (lambda n: np.asarray(np.load(self.folder.noise_file(n)))) if known else None
        )

    def _conclude(self, error: FedccError | None) -> RunResult:
        """Write the model and the report of a complete run, and the summary of any run."""
        facts = self._facts(error)
        values = summary.build_summary(self.settings, self.plan, facts)
        if error is None:
            self._write_model(facts)
            write_report(self.folder.path, values, self.folder.read_metrics())
            if facts.rounds < self.plan.rounds:
                self.progress(
                    Progress(
                        "note",
                        f"warning: {facts.rounds} of {self.plan.rounds} rounds: more attempts were "
                        "void than the noise was calibrated for, so the run ended within its budget",
                    )
                )
        self.folder.write_summary(values)
        return RunResult(self.folder.path, values, error)

    def _write_model(self, facts: summary.Facts) -> None:
        [state] = self.observer.states.values()
        tensors = named_tensors(self.module, state.released())
        card = summary.build_model_card(
            self.settings,
            self.plan,
            facts,
            features=self.data.encoding.feature_names,
            encoding_sha256=self.data.encoding.fingerprint,
        )
        write_json(self.folder.path / "model.json", card)
        write_whole(self.folder.path / "model.safetensors", tensor_bytes(tensors))

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Let the first Ctrl-C end the run between two exchanges, the second at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: object) -> None:
            if self.stop.is_set():
                raise KeyboardInterrupt
            self.stop.set()
            self.progress(Progress("note", "stopping after this round; press Ctrl-C again to stop now"))

        before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def describe_encryption(plan: RunPlan) -> str:
    """Return the one line that says what the aggregator can read."""
    if plan.scheme == "none":
        return "encryption: NONE, the aggregator reads every update"
    if plan.scheme == "ckks":
        return (
            f"encryption: plain float CKKS, {SECURITY_BITS}-bit, no masks: textbook baseline; any "
            "site can read every upload"
        )
    return (
        f"encryption: on, BFV {SECURITY_BITS}-bit with pairwise and self masks ({PROFILE}), "
        f"{plan.lanes} parameters a slot; the aggregator holds no key, the sites open sums only"
    )


def _fresh_seed(seed: int | None) -> int:
    return secrets.randbelow(2**62) if seed is None else seed


def _disk_error(path: Path, error: OSError) -> FedccError:
    return ConfigError(
        f"run.dir: {path} cannot be written: {error.strerror or type(error).__name__}. Free space "
        f"and continue with fedcc simulate --resume {path}"
    )
