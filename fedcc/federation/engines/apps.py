"""ServerApp and ClientApp for Flower's own engines; both take up a run from its folder.

They read the run's configuration (`fedcc-run`, the run folder; `fedcc-resumed`;
`fedcc-poll-seconds`) and the node's `partition-id`. The ServerApp opens the public plan, the
resolved config and the aggregator's own folder, and never the secrets of the simulated sites.
"""

from functools import cache
from pathlib import Path
from typing import get_args

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from fedcc.errors import FedccError, RecordError
from fedcc.federation.engines.aggregator_files import AggregatorFiles, Outcome
from fedcc.federation.engines.prompt_grid import PromptGrid
from fedcc.federation.engines.site_process import SiteProcess, show_failure, unavailable
from fedcc.federation.messages import Exchange
from fedcc.federation.run_folder import RunFolder, read_config
from fedcc.federation.server_app import AggregatorRecord, build_server_app
from fedcc.federation.settings import RunPlan, simulation_settings
from fedcc.federation.strategy import RoundRecord


def server_app() -> ServerApp:
    """Return the aggregator's app; it leaves its outcome in the aggregator's folder."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        run = Path(str(context.run_config["fedcc-run"]))
        poll = float(str(context.run_config["fedcc-poll-seconds"]))
        folder = RunFolder(run, None)
        files = AggregatorFiles(folder.aggregator_store)
        files.note_start()
        record = AggregatorRecord(_NotedRounds(files))
        error: FedccError | None = FedccError("the aggregator's process failed")
        try:
            inner = _inner_app(run, folder, files, record)
            inner(PromptGrid(grid, poll), context)
            error = None
        except FedccError as caught:
            error = caught
        finally:
            files.write_outcome(Outcome(error, record.seconds_adding))

    return app


class _NotedRounds(list[RoundRecord]):
    """A list whose every new record is on disk at once."""

    def __init__(self, files: AggregatorFiles) -> None:
        super().__init__()
        self._files = files

    def append(self, record: RoundRecord) -> None:
        super().append(record)
        self._files.note_record(record)


def _inner_app(
    run: Path, folder: RunFolder, files: AggregatorFiles, record: AggregatorRecord
) -> ServerApp:
    try:
        plan = RunPlan.from_json((run / "plan.json").read_text())
    except OSError:
        raise RecordError(f"{run} lacks plan.json.") from None
    return build_server_app(
        plan,
        simulation_settings(read_config(run)).federation,
        store_folder=folder.aggregator_store,
        wire_file=folder.wire,
        record=record,
        should_stop=files.should_stop,
    )


def client_app() -> ClientApp:
    """Return the app of all sites that share a process of Flower's simulation engine."""
    app = ClientApp()
    for exchange in get_args(Exchange):
        app.query(exchange)(answer)
    return app


def answer(message: Message, context: Context) -> Message:
    """Answer for the site that the context names; no exception and no text leaves."""
    try:
        run = Path(str(context.run_config["fedcc-run"]))
        try:
            resumed = bool(context.run_config["fedcc-resumed"])
            return _only_process(run, resumed).answer(message, context)
        except Exception as error:
            show_failure(run, error)
    except Exception:  # not even the simulator's own file could be written
        pass
    return unavailable(message)


@cache
def _only_process(run: Path, resumed: bool) -> SiteProcess:
    process = SiteProcess(run, resumed=resumed)
    process.claim()
    return process
