"""Running a simulation under one of Flower's engines, watched from this process.

The aggregator and the sites run elsewhere; this process starts them, relays what they show to the
simulator's monitor, passes on the user's stop, and ends every process before it returns.
"""

import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from fedcc.errors import TooFewSites
from fedcc.federation.engines import alive
from fedcc.federation.engines.aggregator_files import AggregatorFiles
from fedcc.federation.engines.launch import Launch, check_engine, environment, lock_file
from fedcc.federation.engines.processes import Processes
from fedcc.federation.engines.sightings import Sightings
from fedcc.federation.monitor import Monitor
from fedcc.federation.prepared import Clock, PreparedRun
from fedcc.federation.site_opening import close_sites, open_sites
from fedcc.federation.site_round import Site


def run_remote(run: PreparedRun, monitor: Monitor, sites: list[Site], clock: Clock) -> None:
    """Run or resume a federation on the engine of the settings.

    Args:
        run: what to run.
        monitor: is shown what the sites show.
        sites: this process's own view of the sites' ledgers; closed while the sites run elsewhere
            and opened again at the end.
        clock: current time with a zone.

    Raises:
        ConfigError: if the engine's packages are missing.
        TooFewSites: if a process fails or does not start in time; names the log.
        FedccError: whatever ended the run early.
    """
    check_engine(run.settings.engine.name)
    close_sites(sites)
    sightings, files = Sightings(run.folder.sightings), AggregatorFiles(run.folder.aggregator_store)
    with ExitStack() as at_end:
        home = Path(at_end.enter_context(TemporaryDirectory(prefix="fedcc-")))
        at_end.callback(files.end)
        at_end.callback(sightings.end)
        at_end.callback(_take_back, run, monitor, sites, clock, sightings)
        sightings.begin()
        files.begin()
        at_end.enter_context(alive.hold(lock_file(home)))
        processes = at_end.enter_context(Processes(environment(home), run.folder.engine_log))
        session = _Session(run, monitor, sightings, files)
        session.follow(Launch(run, processes, home), processes)


def _take_back(
    run: PreparedRun, monitor: Monitor, sites: list[Site], clock: Clock, sightings: Sightings
) -> None:
    """Open the sites here again, for what the end of a run reads off them."""
    sites.clear()
    open_sites(run, monitor.watch, clock, sites)
    for site in sites:
        site.seconds = sightings.seconds(site.name)


class _Session:
    """One session of a run, followed from outside."""

    def __init__(
        self, run: PreparedRun, monitor: Monitor, sightings: Sightings, files: AggregatorFiles
    ) -> None:
        self._run, self._monitor = run, monitor
        self._sightings, self._files = sightings, files
        self._applied = max(monitor.observer.states, default=0)  # last round relayed

    def follow(self, launch: Launch, processes: Processes) -> None:
        """Start everything and relay until the aggregator is done."""
        engine = self._run.settings.engine
        poll, deadline = engine.poll_seconds or 0.0, time.monotonic()
        deadline += engine.start_timeout_seconds or 0.0
        submitted = False
        launch.start()
        while True:
            self._check(processes)
            if not submitted and launch.is_ready():
                launch.submit()
                submitted = True
            outcome = self._files.outcome()
            self._relay()
            if outcome is not None:
                break
            if self._monitor.stop.is_set():
                self._files.ask_to_stop()
            if not self._files.started and time.monotonic() > deadline:
                raise TooFewSites(
                    f"engine {engine.name} did not start within {engine.start_timeout_seconds:g} "
                    f"seconds. Raise engine.start_timeout_seconds, or look into {processes.log}"
                )
            time.sleep(poll)
        self._monitor.record.seconds_adding = outcome.seconds_adding
        if outcome.error is not None:
            raise outcome.error

    def _check(self, processes: Processes) -> None:
        """Raise if a process has ended, or rather the reason that it showed before it did."""
        try:
            processes.check()
        except TooFewSites:
            self._relay()
            raise

    def _relay(self) -> None:
        """Show the monitor what is new, in the order in which it happened.

        A record is written before its round is applied, and uploads before both; so what is listed
        first is explained by what is read after it.
        """
        monitor = self._monitor
        applied = [number for number in self._sightings.applied_rounds() if number > self._applied]
        monitor.record.rounds[:] = self._files.records()
        order = self._run.plan.sites.index
        for note in sorted(
            self._sightings.take_uploads(),
            key=lambda note: (note.round_number, note.attempt, order(note.site)),
        ):
            monitor.observer.on_upload(note)
        for number in applied:
            monitor.see_applied(self._sightings.take_applied(number))
            self._applied = number
            monitor.note_rounds()
        monitor.note_rounds()
        monitor.watch.refusals += self._sightings.take_refusals()
        monitor.check_refusals()
