"""The ServerApp: the aggregator's half of a run, for any Flower grid.

It holds the public plan, folders and open logs; no key, no model and no site. (While it runs, it is
handed a grid; only the in-process grid of a simulation has sites behind it.)
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedcc.federation.aggregation import RoundStore
from fedcc.federation.messages import WireLog
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.settings import FederationSettings
from fedcc.federation.strategy import RoundRecord, run_federation


@dataclass
class AggregatorRecord:
    """What the aggregator leaves behind: one record per attempt and its own timing."""

    rounds: list[RoundRecord] = field(default_factory=list)
    seconds_adding: float = 0.0


def build_server_app(
    plan: RunPlan,
    settings: FederationSettings,
    *,
    store_folder: Path,
    wire_file: Path,
    record: AggregatorRecord,
    should_stop: Callable[[], bool],
) -> ServerApp:
    """Return the app that runs one federation and fills `record`.

    Between two rounds it asks `should_stop` whether to end early.
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        store = RoundStore(store_folder)
        wire = WireLog(
            wire_file, update_kind="plaintext" if plan.scheme == "none" else "ciphertext"
        )
        try:
            aggregator = run_federation(
                grid, plan, store, wire, settings, record.rounds.append, should_stop
            )
            record.seconds_adding = aggregator.seconds_adding
        finally:
            wire.close()

    return app
