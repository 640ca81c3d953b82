"""A site's SuperNode as it runs on premise; private names of flwr 1.41.

TLS and the node's key are not options here. What Flower waits for is cut: a dead node is noticed
after twice the heartbeat, and a connection that broke is tried again every few seconds. A node that
comes back signs off first, so that a key that is not admitted shows before anything else starts;
whatever its predecessor had taken is lost from then on, see `flower_linkstate`.
"""

from fedcc.federation import flower_compat  # isort: split

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.proto.fleet_pb2 import ActivateNodeRequest, DeactivateNodeRequest
from flwr.supercore import heartbeat
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.object_store import ObjectStore
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.retry import RetryInvoker, http_retry
from flwr.supernode import fleet_http_connection, start_client_internal
from flwr.supernode import main as runtime_main
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor
from flwr.supernode.nodestate import NodeState
from httpcore._sync import connection

from fedcc.deployment.probe import trusting
from fedcc.deployment.proxy_access import Proxy
from fedcc.errors import ConfigError, EnvelopeError, ProtocolError
from fedcc.federation.fleet_gate import Application, Receive, Scope, Send
from fedcc.federation.flower_layers import whole_layers
from fedcc.federation.flower_runtime import run_supernode
from fedcc.federation.obstacles import Obstacles, clock_obstacle, connection_obstacle

__all__ = ["NodeSettings", "flower_compat", "hasten", "run_node", "sign_off"]

REFUSED = 412  # what a SuperLink answers to a key that it does not know, or that is in use
RETRY_SECONDS = 3.0  # longest wait before a broken connection is tried again; Flower's is 20
HELD_SECONDS = 1.0  # that a question for work is held
HELD_LOOK_SECONDS = 0.02
BEAT_CALL_SECONDS = 1.0  # what Flower takes off the interval between two heartbeats, for the call


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """How a site's node reaches the aggregator and the site's own process reaches the node."""

    address: str  # host:port of the aggregator
    ca: Path
    key: Path
    port: int  # of the runtime API, on loopback
    secret_file: Path
    poll: float  # seconds between two looks for a message
    heartbeat: float  # seconds; a node is taken for dead after twice as many
    proxy: Proxy | None  # whose address and credentials are in the environment
    bytes_per_second: float | None  # each way; `None` for no limit

    @property
    def dialled(self) -> str:
        """Who may have shown a certificate, for people."""
        if self.proxy is None or not self.proxy.is_secure:
            return self.address
        return f"{self.address} (or of the proxy {self.proxy.address} before it)"


def private_key(path: Path) -> EllipticCurvePrivateKey:
    """Return a node's private key.

    Raises:
        ConfigError: if the file holds none.
    """
    try:
        key = load_ssh_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or "not a private key in OpenSSH's format"
        raise ConfigError(f"keys.node: {path}: {reason}.") from None
    if not isinstance(key, EllipticCurvePrivateKey):
        raise ConfigError(f"keys.node: {path}: a node's key must be ECDSA on P-384.")
    return key


def _nobody_listens(problem: str) -> None:
    return None


def sign_off(
    node: NodeSettings,
    tell: Callable[[str], None] = _nobody_listens,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait for the aggregator, and tell it that whatever this node had taken is lost.

    A clock that is off, here or there, and a certificate that has expired are waited for as well.

    Args:
        node: its settings.
        tell: called now and then with what is waited for.
        clock: in seconds.
        sleep: waits for so many seconds.

    Raises:
        EnvelopeError: if whoever answers is not the aggregator that `ca` vouches for, or speaks no
            TLS.
        ProtocolError: if the aggregator does not know this node's key.
        ConfigError: if key or authority cannot be read.
    """
    key = private_key(node.key)
    trust_proxy(node)
    # Flower: still alive for up to two heartbeats after it was killed.
    patience, told = clock() + 3 * node.heartbeat, Obstacles(tell, clock)
    with _client(node, key) as client:
        request = ActivateNodeRequest(
            public_key=public_key_to_bytes(key.public_key()), heartbeat_interval=node.heartbeat
        )
        while True:
            try:
                number = client.ActivateNode(request).node_id
                client.DeactivateNode(DeactivateNodeRequest(node_id=number))
                break
            except httpx.HTTPStatusError as error:
                if not told.about(clock_obstacle(error.response, datetime.now(UTC))):
                    _check_admitted(error.response.status_code, clock() > patience)
            except httpx.TransportError as error:
                if not told.about(connection_obstacle(error, node.dialled)):
                    _check_trusted(error, node)
            sleep(1.0)


def _client(node: NodeSettings, key: EllipticCurvePrivateKey) -> FleetHttpClient:
    try:
        return FleetHttpClient.from_server_address(
            node.address,
            False,
            node.ca.read_bytes(),
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="SuperNode"),
                NodeAuthHttpInterceptor(key, key.public_key()),
            ],
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "holds no certificate"
        raise ConfigError(f"aggregator.ca: {node.ca}: {reason}.") from None


def _check_admitted(status: int, is_late: bool) -> None:
    if status in (401, 403) or (status == REFUSED and is_late):
        raise ProtocolError(
            "the aggregator refuses this site's node: its key is not admitted, another process "
            "uses it, or this machine's clock is off by more than a few seconds. Compare "
            "fingerprints with the aggregator's operator, and the time."
        )


def _check_trusted(error: httpx.TransportError, node: NodeSettings) -> None:
    text = str(error).lower()
    if any(word in text for word in ("certificate", "ssl", "tls")):
        proxy = node.proxy
        named = (
            ""
            if proxy is None or not proxy.is_secure
            else (f" Or the proxy {proxy.address} does not prove who it is: see network.proxy_ca.")
        )
        raise EnvelopeError(
            f"{node.address} does not prove to be the aggregator: its certificate is not one of "
            f"{node.ca} for this name, has expired, or it speaks no TLS. Nothing was sent to it."
            f"{named}"
        ) from None


def trust_proxy(node: NodeSettings) -> None:
    """Let this process trust one authority for a proxy that speaks TLS, and no other.

    httpx takes the proxy from the environment, where there is no place for its authority.

    Raises:
        RecordError: if the authority cannot be read.
        RuntimeError: if this is not a version of httpcore that fedcc knows.
    """
    if node.proxy is None or node.proxy.ca is None:
        return
    context = trusting(node.proxy.ca)
    if "default_ssl_context" not in vars(connection):
        raise RuntimeError("this version of httpcore is not one that fedcc knows")
    vars(connection)["default_ssl_context"] = lambda: context


def hasten(node: NodeSettings) -> None:
    """Cut Flower's waits in this process.

    Raises:
        RuntimeError: if this is not the version of Flower that fedcc is pinned to.
    """
    for module, name, value in (
        (fleet_http_connection, "HEARTBEAT_DEFAULT_INTERVAL", node.heartbeat),
        (heartbeat, "HEARTBEAT_DEFAULT_INTERVAL", node.heartbeat),
        (heartbeat, "HEARTBEAT_CALL_TIMEOUT", BEAT_CALL_SECONDS),
        (http_retry, "MAX_RETRY_DELAY", RETRY_SECONDS),
    ):
        if name not in vars(module):
            raise RuntimeError("this version of Flower is not the one that fedcc is pinned to")
        vars(module)[name] = value
    exponential = vars(heartbeat)["exponential"]
    vars(heartbeat)["exponential"] = lambda max_delay: exponential(
        max_delay=min(max_delay, RETRY_SECONDS)
    )


def wait_for_obstacles(address: str, told: Obstacles) -> None:
    """Let the node in this process try again once a certificate or a proxy keeps it from sending.

    Flower gives up at once, and drops a reply that it was about to send; everybody else would wait
    for it until its time is up. Whoever proves to be somebody else is given up as before.

    Args:
        address: of the aggregator, as it is told.
        told: hears what is waited for.
    """
    make = vars(fleet_http_connection)["make_simple_http_retry_invoker"]

    def made() -> RetryInvoker:
        again: RetryInvoker = make()
        gives_up, recoverable = again.should_giveup, again.recoverable_exceptions
        if gives_up is None or not isinstance(recoverable, tuple):
            raise RuntimeError("this version of Flower is not the one that fedcc is pinned to")

        def is_final(error: Exception) -> bool:
            if isinstance(error, httpx.ProxyError):
                return not told.about(connection_obstacle(error, address))
            if not gives_up(error):
                return False
            if not isinstance(error, httpx.TransportError):
                return True
            return not told.about(connection_obstacle(error, address))

        again.should_giveup = is_final
        again.recoverable_exceptions = (*recoverable, httpx.ProxyError)
        return again

    vars(fleet_http_connection)["make_simple_http_retry_invoker"] = made


def forget_stale_replies() -> None:
    """Let the node in this process send the reply to the message that it took last, and no other.

    The site may have answered a message before the node could confirm it. If the SuperLink goes
    away in between, Flower's node drops the message and keeps the reply. It would then send that
    one after the next message, and from there on every reply one message late.
    """
    pull = vars(start_client_internal)["_pull_and_store_message"]

    def pulled(*, state: NodeState, object_store: ObjectStore, receive: Any, **rest: Any) -> Any:
        def receive_afresh() -> Any:
            got = receive()
            # Between two messages nothing is under way.
            for stale in state.get_messages_legacy(is_reply=True):
                answered = stale.metadata.reply_to_message_id
                state.delete_messages(message_ids=[stale.metadata.message_id, answered])
                object_store.delete(stale.metadata.message_id)
            return got

        return pull(state=state, object_store=object_store, receive=receive_afresh, **rest)

    vars(start_client_internal)["_pull_and_store_message"] = pulled


def run_node(
    node: NodeSettings, contact: Callable[[], None], tell: Callable[[str], None] = _nobody_listens
) -> None:
    """Sign off, then run Flower's SuperNode for ever.

    Args:
        node: its settings.
        contact: called whenever the aggregator has answered.
        tell: see `sign_off`.

    Raises:
        FedccError: see `sign_off`.
    """
    sign_off(node, tell)
    hasten(node)
    wait_for_obstacles(node.dialled, Obstacles(tell, time.monotonic))
    forget_stale_replies()
    _watch(node, contact)
    sys.argv = ["flower-supernode", "--superlink", node.address]
    sys.argv += ["--root-certificates", str(node.ca)]
    sys.argv += ["--auth-supernode-private-key", str(node.key)]
    sys.argv += ["--host", "127.0.0.1", "--port", str(node.port), "--isolation", "process"]
    sys.argv += ["--superexec-auth-secret-file", str(node.secret_file)]
    run_supernode(node.poll)


class _HeldTasks:
    """The node's runtime API, where a question for work is held until a message came."""

    def __init__(self, inner: Application) -> None:
        self._inner = inner
        self._arrived = self._told = 0  # messages

    def announce(self) -> None:
        """A message is there; called by another thread."""
        self._arrived += 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") == "/v1/runtime/acquire-task":
            until = time.monotonic() + HELD_SECONDS
            while self._arrived == self._told and time.monotonic() < until:
                await asyncio.sleep(HELD_LOOK_SECONDS)
            self._told = self._arrived
        await self._inner(scope, receive, send)


def _hold_tasks() -> Callable[[], None]:
    """Let the runtime API that Flower starts hold questions; return what announces a message."""
    create_app = runtime_main.create_app
    held: list[_HeldTasks] = []

    def create_held_app(**arguments: Any) -> _HeldTasks:
        app = create_app(**arguments)
        app.user_middleware = whole_layers(app.user_middleware)
        held.append(_HeldTasks(app))
        return held[0]

    vars(runtime_main)["create_app"] = create_held_app

    def announce() -> None:
        for gate in held:
            gate.announce()

    return announce


def _watch(node: NodeSettings, contact: Callable[[], None]) -> None:
    """Note each answer to a pull, and send and fetch objects no faster than allowed."""
    pull, push = FleetHttpClient.PullMessages, FleetHttpClient.PushObject
    fetch = FleetHttpClient.PullObject
    confirm, announce = FleetHttpClient.ConfirmMessageReceived, _hold_tasks()
    rate = node.bytes_per_second
    sending, fetching = threading.Lock(), threading.Lock()  # Flower moves two objects at once

    def take_time(line: threading.Lock, size: int) -> None:
        if rate is not None:
            with line:
                time.sleep(size / rate)

    def announced_confirm(client: FleetHttpClient, request: Any) -> Any:
        reply = confirm(client, request)
        announce()
        return reply

    def noted_pull(client: FleetHttpClient, request: Any) -> Any:
        reply = pull(client, request)
        contact()
        return reply

    def slow_push(client: FleetHttpClient, request: Any) -> Any:
        take_time(sending, request.ByteSize())
        return push(client, request)

    def slow_fetch(client: FleetHttpClient, request: Any) -> Any:
        reply = fetch(client, request)
        take_time(fetching, reply.ByteSize())
        return reply

    FleetHttpClient.ConfirmMessageReceived = announced_confirm  # type: ignore[assignment, method-assign]
    FleetHttpClient.PullMessages = noted_pull  # type: ignore[assignment, method-assign]
    FleetHttpClient.PushObject = slow_push  # type: ignore[assignment, method-assign]
    FleetHttpClient.PullObject = slow_fetch  # type: ignore[assignment, method-assign]
