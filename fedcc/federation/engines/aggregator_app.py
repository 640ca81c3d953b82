"""The ServerApp for Flower's own engines; it takes up a run from its folder.

It reads the run's configuration (`fedcc-run`, the run folder; `fedcc-poll-seconds`; `fedcc-lock`,
see `alive`), opens the public plan, the resolved config and the aggregator's own folder, and never
the secrets of the simulated sites. What it leaves behind is in `AggregatorFiles`.
"""

from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedcc.errors import FedccError, RecordError
from fedcc.federation.engines.aggregator_files import AggregatorFiles, Outcome
from fedcc.federation.engines.alive import end_with_holder
from fedcc.federation.engines.prompt_grid import PromptGrid
from fedcc.federation.run_folder import RunFolder, read_config
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.server_app import AggregatorRecord, build_server_app
from fedcc.federation.settings import simulation_settings
from fedcc.federation.strategy import RoundRecord


def server_app() -> ServerApp:
    """Return the aggregator's app; it leaves its outcome in the aggregator's folder."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        end_with_holder(Path(str(context.run_config["fedcc-lock"])))
        run = Path(str(context.run_config["fedcc-run"]))
        poll = float(str(context.run_config["fedcc-poll-seconds"]))
        folder = RunFolder(run, None)
        files = AggregatorFiles(folder.aggregator_store)
        files.note_start()
        record = AggregatorRecord(_NotedRounds(files))
        error: FedccError | None = FedccError(
            f"the aggregator's process failed; what it printed is in {folder.engine_log}"
        )
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
