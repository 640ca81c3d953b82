"""Entry point of the processes of a service; none of them outlives the service.

python -m fedcc.federation.service.child superlink|runs|supernode|site FILE

FILE is the service's own YAML. A FedccError ends the process with its exit code, after one line in
the log; nothing is printed that may not be logged.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from fedcc.deployment.aggregator_file import AggregatorHome
from fedcc.deployment.node_list import listed_nodes
from fedcc.deployment.proxy_access import proxy_of
from fedcc.deployment.site_file import SiteHome
from fedcc.errors import FedccError, ProtocolError
from fedcc.federation.engines.alive import end_with_holder
from fedcc.federation.service import events
from fedcc.federation.service.places import Places
from fedcc.federation.service.settings import service_settings
from fedcc.federation.service.ticks import ticking


class AdmittedKeys:
    """The key of each node that the admin has admitted, as the SuperLink stores keys."""

    def __init__(self, home: AggregatorHome) -> None:
        """Name the aggregator; nothing is read."""
        self._home = home
        self._has_begun = False
        self._problem = ""
        self._looks = 0  # at which it was the same

    def __call__(self) -> dict[str, bytes]:
        """Read the signed list; what is wrong with it at two looks is logged, once.

        At a single look roster and list may be those before and after a change.

        Raises:
            FedccError: if the list is not under the admin's signature; or, the first time, if it is
                not that of the roster.
        """
        from fedcc.federation.flower_runs import node_key

        try:
            found, problem = listed_nodes(self._home)
            if problem and not self._has_begun:
                raise ProtocolError(problem)
        except FedccError as error:
            self._tell(str(error))
            raise
        self._has_begun = True
        self._tell(problem)
        return {site: node_key(key) for site, key in found.items()}

    def _tell(self, problem: str) -> None:
        self._looks = self._looks + 1 if problem == self._problem else 1
        self._problem = problem
        if problem and self._has_begun and self._looks == 2:
            events.emit("refused", {"error": "ProtocolError", "reason": problem})


def superlink(file: Path) -> None:
    """Serve the SuperLink of an aggregator."""
    home = AggregatorHome.open(file)
    places = Places(home.state / "running")
    end_with_holder(places.lock)
    from fedcc.federation.flower_superlink import Listeners, serve_superlink

    keys = AdmittedKeys(home)
    events.emit("nodes", {"count": len(keys())})
    listeners = Listeners(
        host=home.values.listen.host,
        port=home.values.listen.port,
        certificate=home.certificate,
        key=home.server_key,
        control_port=places.port(),
        secret=places.secret.read_bytes(),
    )
    serve_superlink(listeners, keys)


def runs(file: Path) -> None:
    """Carry out an aggregator's runs, one after another."""
    home = AggregatorHome.open(file)
    places = Places(home.state / "running")
    end_with_holder(places.lock)
    from fedcc.federation.service.run_queue import serve_runs

    serve_runs(home, places, service_settings())


def supernode(file: Path) -> None:
    """Run a site's SuperNode."""
    home = SiteHome.open(file)
    places = Places(home.state / "running")
    end_with_holder(places.lock)
    from fedcc.federation.flower_supernode import NodeSettings, run_node

    settings, dialled = service_settings(), home.values.aggregator
    rate = home.values.network.max_kilobytes_per_second
    node = NodeSettings(
        address=f"{dialled.host}:{dialled.port}",
        ca=home.ca,
        key=home.node_key,
        port=places.port(),
        secret_file=places.secret,
        poll=settings.poll_seconds,
        heartbeat=settings.heartbeat_seconds,
        proxy=proxy_of(home),
        bytes_per_second=None if rate is None else 1000 * rate,
    )

    def tell(problem: str) -> None:
        events.emit("waits", {"site": home.values.site, "reason": problem})

    run_node(node, lambda: places.ticks.tick("contact"), tell)


def site(file: Path) -> None:
    """Answer for a site; its private key comes on standard input."""
    home = SiteHome.open(file)
    places = Places(home.state / "running")
    end_with_holder(places.lock)
    from fedcc.crypto.key_file import Identity, read_key

    named = read_key(home.identity)
    identity = Identity("site", named.name, named.created_at, sys.stdin.buffer.read(32))
    import torch
    from flwr.app import Context, Message

    from fedcc.federation.flower_runtime import serve_tasks
    from fedcc.federation.service.site_worker import SiteWorker

    torch.set_num_threads(1)
    settings = service_settings()
    worker = SiteWorker(home, identity, settings)
    events.emit("ready", {"site": home.values.site})
    address = f"127.0.0.1:{places.port()}"

    def tick() -> None:
        places.ticks.tick("asked")

    def answer(message: Message, context: Context) -> Message:
        with ticking(tick, settings.busy_seconds):
            return worker.answer(message, context)

    serve_tasks(
        address,
        places.secret,
        answer,
        settings.poll_seconds,
        tick,
        lambda error: events.emit("dropped", {"site": home.values.site, "error": error}),
    )


KINDS: Mapping[str, Callable[[Path], None]] = {
    "superlink": superlink,
    "runs": runs,
    "supernode": supernode,
    "site": site,
}


def main(kind: str, file: str) -> int:
    """Become the named process; return its exit code."""
    try:
        KINDS[kind](Path(file))
    except FedccError as error:
        events.emit("refused", {"error": type(error).__name__, "reason": str(error)})
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
