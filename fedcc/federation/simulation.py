"""A whole federation in one process: sites, aggregator and the run folder.

The sites and the aggregator are the Flower apps of production; only the grid differs. What the
simulator adds (partition, test metric, baselines, dropouts to play) stays outside the protocol.
"""

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from fedcc.errors import FedccError, Interrupted, TooFewSites
from fedcc.federation import flower_compat
from fedcc.federation.client_app import build_client_app
from fedcc.federation.conclusion import conclude
from fedcc.federation.engines.remote import run_remote
from fedcc.federation.grid import FIRST_NODE, InProcessGrid
from fedcc.federation.monitor import Monitor
from fedcc.federation.overhearing import Listener, overhear
from fedcc.federation.prepared import (
    Clock,
    PreparedRun,
    disk_error,
    prepare_new,
    prepare_resumed,
)
from fedcc.federation.progress import (
    Progress,
    ProgressCallback,
    describe_encryption,
    silent,
    stop_on_signal,
)
from fedcc.federation.reply_schedule import ReplySchedule
from fedcc.federation.server_app import build_server_app
from fedcc.federation.settings import SimulationSettings
from fedcc.federation.site_opening import close_sites, open_sites
from fedcc.federation.site_round import Site


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


def utc_now() -> datetime:
    """Return the current time with its zone."""
    return datetime.now(UTC)


def simulate(
    settings: SimulationSettings,
    config_values: dict[str, Any],
    *,
    progress: ProgressCallback = silent,
    resume: Path | None = None,
    clock: Clock = utc_now,
    isolate: bool = False,
    listener: Listener | None = None,
) -> RunResult:
    """Run or resume a simulated federation.

    Args:
        settings: what to run.
        config_values: the resolved config as plain values, kept in the run folder.
        progress: called with each step.
        resume: folder of an interrupted run, whose own settings were passed in.
        clock: current time with a zone.
        isolate: pass every message through protobuf, as a network would.
        listener: overhears each message and its reply as the aggregator has them, for attacks;
            `engine=inprocess` alone.

    Returns:
        The result; a run that ended early has `error` set and its outcome in the summary.

    Raises:
        FedccError: for settings or data that cannot be run at all; then there is no run folder.
        ValueError: if somebody wants to overhear an engine of several processes.
    """
    if listener is not None and settings.engine.name != "inprocess":
        raise ValueError("messages are overheard in one process only: engine=inprocess")
    started = time.monotonic()
    torch.set_num_threads(1)
    if resume is None:
        run = prepare_new(settings, config_values, clock, progress)
    else:
        run = prepare_resumed(settings, resume, clock, progress)
    monitor = Monitor(run, progress)
    sites: list[Site] = []
    first_round = time.monotonic()
    try:
        with stop_on_signal(monitor.stop, progress):
            error = _guarded(
                run, monitor, lambda: _run_apps(run, monitor, sites, clock, isolate, listener)
            )
        close_sites(sites)
        seconds = (time.monotonic() - started, first_round - started)
        summary = conclude(run, monitor, sites, error, seconds=seconds, progress=progress)
    except OSError as caught:
        run.folder.clear_finished()
        raise disk_error(run.folder.path, caught) from caught
    except KeyboardInterrupt:
        run.folder.clear_finished()
        raise Interrupted(_how_to_resume(run, monitor)) from None
    finally:
        close_sites(sites)
    return RunResult(run.folder.path, summary, error)


def _guarded(run: PreparedRun, monitor: Monitor, work: Callable[[], None]) -> FedccError | None:
    """Run to the end and return why the run ended early, if it did."""
    try:
        work()
    except TooFewSites as error:
        # A site that refused is the reason; the aggregator only knows that it did not answer.
        return monitor.watch.refusals[0] if monitor.watch.refusals else error
    except (Interrupted, KeyboardInterrupt):
        return Interrupted(_how_to_resume(run, monitor))
    except FedccError as error:
        return error
    return None


def _how_to_resume(run: PreparedRun, monitor: Monitor) -> str:
    done = max(monitor.record.rounds, key=lambda r: r.round_number * r.closed, default=None)
    where = f"round {done.round_number}" if done is not None and done.closed else "no round"
    folder = shlex.quote(str(run.folder.path))
    return f"interrupted after {where}. Continue with: fedcc simulate --resume {folder}"


def _run_apps(
    run: PreparedRun,
    monitor: Monitor,
    sites: list[Site],
    clock: Clock,
    isolate: bool,
    listener: Listener | None,
) -> None:
    """Open every site and run ServerApp and ClientApp on the engine of the settings."""
    run.folder.clear_finished()
    open_sites(run, monitor.watch, clock, sites)
    monitor.attempts_before = max(len(site.ledger.used(run.plan.run)) for site in sites)
    _announce(run, monitor)
    if run.settings.engine.name == "inprocess":
        run_in_process(run, monitor, sites, isolate=isolate, listener=listener)
    else:
        run_remote(run, monitor, sites, clock)


def run_in_process(
    run: PreparedRun,
    monitor: Monitor,
    sites: list[Site],
    *,
    isolate: bool = False,
    listener: Listener | None = None,
) -> None:
    """Run ServerApp and ClientApp of opened sites in this process.

    Raises:
        FedccError: why the run ended early.
    """
    server_app = build_server_app(
        run.plan,
        run.settings.federation,
        store_folder=run.folder.aggregator_store,
        wire_file=run.folder.wire,
        record=monitor.record,
        should_stop=monitor.stop.is_set,
    )
    grid = InProcessGrid(
        build_client_app(
            dict(enumerate(sites)),
            ReplySchedule(seconds=run.settings.federation.reply_seconds),
        ),
        len(sites),
        offline=monitor.is_offline,
        after_exchange=monitor.after_exchange,
        overhear=overhear(listener, run.plan.sites, FIRST_NODE),
        isolate=isolate,
    )
    server_app(grid, flower_compat.new_context(0, {}))


def _announce(run: PreparedRun, monitor: Monitor) -> None:
    """Say what is about to happen, with the line that proves encryption."""
    plan, data = run.plan, run.data
    rows = sum(len(site) for site in data.sites)
    text = (
        f"{plan.task}: {rows} rows of '{run.settings.data.name}' at {len(plan.sites)} sites, model "
        f"{plan.model} with {plan.n_parameters} parameters, {plan.rounds} rounds"
    )
    monitor.tell(Progress(kind="plan", text=text, rounds=plan.rounds))
    monitor.tell(Progress(kind="note", text=describe_encryption(plan)))
