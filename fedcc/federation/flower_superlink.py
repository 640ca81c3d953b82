"""Flower's SuperLink with two listeners; private names of flwr 1.41.

The SuperLink of Flower 1.41 serves three APIs on one port: the one for nodes (fleet), and two with
which anybody who reaches them ships code or takes tasks (control, runtime). Here the same service
listens twice: on loopback with everything, and in public, under TLS, with those of the fleet's
routes that a registered node needs, and nothing else. It starts no process of its own, so none can
die unnoticed. Nodes are authenticated always; there is no way to switch that off.
"""

from fedcc.federation import flower_compat  # isort: split

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from flwr.common.constant import ISOLATION_MODE_PROCESS, TRANSPORT_TYPE_GRPC_RERE
from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
from flwr.superlink.config_loader import SuperLinkLifespanConfig, load_control_authn_plugin
from flwr.superlink.main import create_app
from flwr.superlink.servicer.fleet import fleet_handlers

__all__ = ["FLEET_ROUTES", "FleetGate", "Listeners", "flower_compat", "serve_superlink"]

LOOPBACK = "127.0.0.1"
LEAST_HEARTBEAT = 2  # seconds; Flower's own bound of 10 makes a dead node visible after 20 only

# What a SuperNode asks for after it was registered. Registration itself stays on loopback.
FLEET_ROUTES = frozenset(
    f"/v1/fleet/{name}"
    for name in (
        "activate-node",
        "deactivate-node",
        "send-node-heartbeat",
        "pull-messages",
        "push-messages",
        "get-run",
        "get-fab",
        "push-object",
        "pull-object",
        "confirm-message-received",
    )
)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class FleetGate:
    """An ASGI application that hands the fleet's routes to another and refuses all else."""

    def __init__(self, inner: Application) -> None:
        """Guard `inner`."""
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on if it is a POST to exactly one of `FLEET_ROUTES`."""
        kind = scope["type"]
        is_fleet = scope.get("method") == "POST" and scope.get("path") in FLEET_ROUTES
        if kind == "http" and is_fleet and not scope.get("root_path"):
            await self._inner(scope, receive, send)
        elif kind == "http":
            headers = [(b"content-length", b"0"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 404, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1008})


@dataclass(frozen=True, kw_only=True)
class Listeners:
    """Where a SuperLink listens, and what it keeps."""

    host: str  # of the public listener
    port: int
    certificate: Path
    key: Path
    control_port: int  # of the loopback listener
    database: Path
    secret: bytes  # shared with the process that takes runs


def serve_superlink(listeners: Listeners) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads certificate and key again.

    Raises:
        OSError: if certificate or key cannot be read, or an address is taken.
    """
    vars(fleet_handlers)["HEARTBEAT_MIN_INTERVAL"] = LEAST_HEARTBEAT
    app = create_app(_lifespan(listeners), SuperLinkLifespan)
    quiet: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False}
    inner = uvicorn.Config(app, host=LOOPBACK, port=listeners.control_port, **quiet)
    outer = uvicorn.Config(
        FleetGate(app),
        host=listeners.host,
        port=listeners.port,
        ssl_certfile=str(listeners.certificate),
        ssl_keyfile=str(listeners.key),
        lifespan="off",  # begun once, by the other listener
        **quiet,
    )
    outer.load()
    asyncio.run(_serve(_Server(inner), _Server(outer), listeners))


class _Server(uvicorn.Server):
    """A server that leaves signals to `_serve`, which has two of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(inner: _Server, outer: _Server, listeners: Listeners) -> None:
    def stop() -> None:
        inner.should_exit = outer.should_exit = True

    def reload() -> None:
        if outer.config.ssl is not None:
            outer.config.ssl.load_cert_chain(listeners.certificate, listeners.key)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, reload)
    serving = [asyncio.create_task(server.serve()) for server in (inner, outer)]
    # One listener without the other is no service.
    await asyncio.wait(serving, return_when=asyncio.FIRST_COMPLETED)
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
        database=str(listeners.database),
        isolation=ISOLATION_MODE_PROCESS,
        runtime_dependency_install=False,
    )
