"""The ClientApp for Flower's simulation engine; it takes up a run from its folder.

It reads the run's configuration (`fedcc-run`, the run folder; `fedcc-resumed`; `fedcc-lock`, see
`alive`) and the node's `partition-id`. All sites of the run live in one process.
"""

from functools import cache
from pathlib import Path
from typing import get_args

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedcc.federation.engines.alive import end_with_holder
from fedcc.federation.engines.site_process import SiteProcess, show_failure, unavailable
from fedcc.federation.messages import Exchange


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
            lock = Path(str(context.run_config["fedcc-lock"]))
            return _only_process(run, resumed, lock).answer(message, context)
        except Exception as error:
            show_failure(run, error)
    except Exception:  # not even the simulator's own file could be written
        pass
    return unavailable(message)


@cache
def _only_process(run: Path, resumed: bool, lock: Path) -> SiteProcess:
    end_with_holder(lock)
    process = SiteProcess(run, resumed=resumed)
    process.claim()
    return process
