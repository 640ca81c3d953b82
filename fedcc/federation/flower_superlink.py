"""Flower's SuperLink with two listeners; private names of flwr 1.41.

The SuperLink of Flower 1.41 serves three APIs on one port: the one for nodes (fleet), and two with
which anybody who reaches them ships code or takes tasks (control, runtime). Here the same service
listens twice: on loopback with everything, and in public, under TLS, with those of the fleet's
routes that an admitted node needs, and nothing else. Nodes are authenticated always; there is no
way to switch that off. It starts no process of its own, so none can die unnoticed, and keeps its
state in memory: nothing that sites send is on the aggregator's disk in the clear. A node's number
comes from its key, so nodes go on where they were after a restart.
"""

from fedcc.federation import flower_compat  # isort: split

import asyncio
import contextlib
import signal
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from flwr.common.constant import (
    ISOLATION_MODE_PROCESS,
    NOOP_ACCOUNT_NAME,
    NOOP_FLWR_AID,
    TRANSPORT_TYPE_GRPC_RERE,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.node_pb2 import Node
from flwr.server.superlink.linkstate import in_memory_linkstate
from flwr.supercore.constant import (
    FLEET_HTTP_PUBLIC_KEY_HEADER,
    FLWR_IN_MEMORY_DB_NAME,
    NodeStatus,
)
from flwr.superlink import main as superlink_main
from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
from flwr.superlink.config_loader import SuperLinkLifespanConfig, load_control_authn_plugin
from flwr.superlink.routers.fleet.node_auth import authenticate_node
from flwr.superlink.servicer.fleet import fleet_handlers

from fedcc.federation.fleet_gate import FleetGate, LocalGate, News, Scope
from fedcc.federation.flower_layers import whole_layers
from fedcc.federation.flower_linkstate import use_prompt_link_state
from fedcc.federation.flower_runs import node_number

__all__ = ["Listeners", "Nodes", "flower_compat", "serve_superlink", "superlink_app"]

LOOPBACK = "127.0.0.1"
LEAST_HEARTBEAT = 2  # seconds; Flower's own bound of 10 makes a dead node visible after 20 only

Keys = Callable[[], Mapping[str, bytes]]


@dataclass(frozen=True, kw_only=True)
class Listeners:
    """Where a SuperLink listens, and what it is told."""

    host: str  # of the public listener
    port: int
    certificate: Path
    key: Path
    control_port: int  # of the loopback listener
    secret: bytes  # shared with the process that takes runs


def serve_superlink(listeners: Listeners, keys: Keys) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads certificate and key again.

    Args:
        listeners: where.
        keys: returns the keys of all admitted nodes; asked once before anybody can connect, and
            every second from then on.

    Raises:
        OSError: if certificate or key cannot be read, or an address is taken.
        FedccError: whatever `keys` raises the first time.
    """
    vars(fleet_handlers)["HEARTBEAT_MIN_INTERVAL"] = LEAST_HEARTBEAT
    app = superlink_app(listeners)
    nodes = Nodes(app)
    nodes.admit(keys())
    news = News()
    quiet: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False}
    inner = uvicorn.Config(
        LocalGate(app, news), host=LOOPBACK, port=listeners.control_port, **quiet
    )
    outer = uvicorn.Config(
        FleetGate(app, news, nodes.is_signed),
        host=listeners.host,
        port=listeners.port,
        ssl_certfile=str(listeners.certificate),
        ssl_keyfile=str(listeners.key),
        lifespan="off",  # begun once, by the other listener
        **quiet,
    )
    outer.load()
    asyncio.run(_serve(_Server(inner), _Server(outer), listeners, lambda: nodes.admit(keys())))


# Layers of Flower's application that log to plugins, trace and check licences that only its
# enterprise edition has; here each would cost every request a task and do nothing.
IDLE_LAYERS = frozenset(
    (
        "ControlSensitiveResponseMiddleware",
        "ControlLicenseMiddleware",
        "ControlEventLogMiddleware",
        "FleetEventLogMiddleware",
        "RuntimeTracingMiddleware",
    )
)


def superlink_app(listeners: Listeners) -> FastAPI:
    """Return Flower's application, with the layers that translate and authenticate requests.

    Raises:
        RuntimeError: if this is not the version of Flower that fedcc is pinned to.
    """
    layers = vars(superlink_main)["_get_middleware"]()
    kept = [each for each in layers if each.cls.__name__ not in IDLE_LAYERS]
    if len(layers) - len(kept) != len(IDLE_LAYERS):
        raise RuntimeError("this version of Flower is not the one that fedcc is pinned to")
    use_prompt_link_state()
    vars(superlink_main)["_get_middleware"] = lambda: whole_layers(kept)
    try:
        return superlink_main.create_app(_lifespan(listeners), SuperLinkLifespan)
    finally:
        vars(superlink_main)["_get_middleware"] = lambda: layers


class Nodes:
    """The nodes that a SuperLink knows."""

    def __init__(self, app: FastAPI) -> None:
        """Take the state of a SuperLink's application."""
        self._app, self._state = app, app.state.linkstate_factory.state()

    def is_signed(self, scope: Scope) -> bool:
        """Tell by a request's head alone whether an admitted node sent it; Flower's own rule.

        Args:
            scope: of the request; nothing of its body is read.
        """
        request = Request({**scope, "app": self._app, "state": {}})
        try:
            key = b64decode(request.headers[FLEET_HTTP_PUBLIC_KEY_HEADER], validate=True)
            number = self._state.get_node_id_by_public_key(key)
            if number is None:
                return False
            # Flower compares the number in the body with the key's; the body is checked later.
            request.state.protobuf_request = SendNodeHeartbeatRequest(node=Node(node_id=number))
            authenticate_node(request)
        except (KeyError, ValueError, HTTPException):
            return False
        return True

    def admit(self, keys: Mapping[str, bytes]) -> None:
        """Make these keys, and no others, those of the nodes.

        Args:
            keys: of each admitted site. A key that was taken out once is not taken in again before
                a restart.
        """
        known = {
            node.public_key: node.node_id
            for node in self._state.get_node_info(owner_aids=[NOOP_FLWR_AID])
            if node.status != NodeStatus.UNREGISTERED
        }
        for key, number in known.items():
            if key not in keys.values():
                # Flower fails on a node that was never there.
                self._state.acknowledge_node_heartbeat(number, LEAST_HEARTBEAT)
                self._state.delete_node(NOOP_FLWR_AID, number)
        for site, key in keys.items():
            if key not in known:
                with _numbered(node_number(key)), contextlib.suppress(ValueError):
                    self._state.create_node(
                        NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, key, LEAST_HEARTBEAT, name=site
                    )


_WANTED = threading.local()
_random_number = vars(in_memory_linkstate)["generate_rand_int_from_bytes"]


def _next_number(*arguments: Any, **named: Any) -> int:
    wanted = getattr(_WANTED, "number", None)
    return int(_random_number(*arguments, **named)) if wanted is None else int(wanted)


@contextlib.contextmanager
def _numbered(number: int) -> Iterator[None]:
    """Let Flower take this number for the next node that this thread creates."""
    vars(in_memory_linkstate)["generate_rand_int_from_bytes"] = _next_number
    _WANTED.number = number
    try:
        yield
    finally:
        _WANTED.number = None


class _Server(uvicorn.Server):
    """A server that leaves signals to `_serve`, which has two of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(
    inner: _Server, outer: _Server, listeners: Listeners, admit: Callable[[], None]
) -> None:
    def stop() -> None:
        inner.should_exit = outer.should_exit = True

    def reload() -> None:
        if outer.config.ssl is not None:
            outer.config.ssl.load_cert_chain(listeners.certificate, listeners.key)

    async def look_for_nodes() -> None:
        while True:
            await asyncio.sleep(1.0)
            with contextlib.suppress(Exception):  # a file that is half there; the old ones stay
                await asyncio.to_thread(admit)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, reload)
    looking = asyncio.create_task(look_for_nodes())
    serving = [asyncio.create_task(server.serve()) for server in (inner, outer)]
    # One listener without the other is no service.
    await asyncio.wait(serving, return_when=asyncio.FIRST_COMPLETED)
    looking.cancel()
    stop()
    await asyncio.gather(*serving)


def _lifespan(listeners: Listeners) -> SuperLinkLifespanConfig:
    return SuperLinkLifespanConfig(
        control_address=f"{LOOPBACK}:{listeners.control_port}",
        health_server_address=None,
        host=LOOPBACK,
        port=listeners.control_port,
        insecure=False,
        certificates=None,
        superexec_auth_secret=listeners.secret,
        authn_plugin=load_control_authn_plugin(),
        event_log_plugin=None,
        fleet_event_log_plugin=None,
        enable_event_log=False,
        artifact_provider=None,
        enable_supernode_auth=True,
        fleet_api_type=TRANSPORT_TYPE_GRPC_RERE,
        fleet_api_address=None,
        simulation=False,
        ssl_ca_certfile=None,
        ssl_certfile=str(listeners.certificate),
        ssl_keyfile=str(listeners.key),
        database=FLWR_IN_MEMORY_DB_NAME,
        isolation=ISOLATION_MODE_PROCESS,
        runtime_dependency_install=False,
    )
