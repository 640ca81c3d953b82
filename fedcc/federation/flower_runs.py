"""Runs of a SuperLink, carried out on its own machine; private names of flwr 1.41.

All goes over the SuperLink's loopback listener: the control API starts a run, the runtime API hands
over what an app needs. A run is taken and carried out by this process with the
ServerApp of this installation; the bundle that Flower asks for is empty and unpacked by nobody.
"""

from fedcc.federation import flower_compat  # isort: split

import hashlib
import time
from collections.abc import Callable, Mapping
from types import TracebackType

import httpx
from flwr.cli.build import build_fab_from_files
from flwr.common.constant import SubStatus
from flwr.common.serde import context_from_proto, run_from_proto
from flwr.proto.control_pb2 import ListNodesRequest, StartRunRequest
from flwr.proto.fab_pb2 import Fab
from flwr.proto.runtime_pb2 import AcquireTaskRequest, PullTaskInputRequest, PushTaskOutputRequest
from flwr.serverapp import ServerApp
from flwr.supercore.constant import NodeStatus, TaskType
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.interceptors import (
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import HttpGrid

from fedcc.deployment.node_keys import parse_public
from fedcc.errors import FedccError, TooFewSites
from fedcc.federation.engines.prompt_grid import PromptGrid
from fedcc.federation.flower_runtime import retry_pulls_sooner

__all__ = ["SuperLink", "flower_compat", "node_key", "node_number"]

BUNDLE: Mapping[str, bytes] = {
    "pyproject.toml": b"""\
[project]
name = "fedcc-run"
version = "1.0.0"
description = "Stands for the fedcc that is installed"
license = "Apache-2.0"
dependencies = []
[tool.flwr.app]
publisher = "fedcc"
[tool.flwr.app.components]
serverapp = "installed:app"
clientapp = "installed:app"
[tool.flwr.app.config]
""",
    "installed.py": b"",
}


def node_key(text: str) -> bytes:
    """Return a node's public key as the SuperLink stores it.

    Args:
        text: of the signed list, in OpenSSH's format.

    Raises:
        EnvelopeError: if it is no key on P-384.
    """
    return public_key_to_bytes(parse_public(text, "the node list"))


def node_number(key: bytes) -> int:
    """Return the number of the node with this public key: 64 bits of its SHA-256."""
    return int.from_bytes(hashlib.sha256(b"fedcc/node/v1" + key).digest()[:8], "big")


def _nothing() -> None:
    return None


class SuperLink:
    """The SuperLink of this machine; a context manager that closes its connections."""

    def __init__(self, control_port: int, secret: bytes) -> None:
        """Name it; nothing is sent.

        Args:
            control_port: of its loopback listener.
            secret: that it shares with the process that takes runs.
        """
        self._address, self._secret = f"127.0.0.1:{control_port}", secret
        version = RuntimeVersionHttpInterceptor(component_name="flwr CLI")
        self._control = ControlHttpClient.from_server_address(
            self._address, True, None, interceptors=[version]
        )
        self._queue = RuntimeHttpClient.from_server_address(
            self._address,
            True,
            None,
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="SuperExec"),
                SuperExecAuthHttpInterceptor(
                    master_secret=secret, protected_methods={"/flwr.proto.Runtime/AcquireTask"}
                ),
            ],
        )

    def __enter__(self) -> "SuperLink":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self._control.close()
        self._queue.close()

    def wait(self, seconds: float) -> None:
        """Wait until it answers.

        Raises:
            TooFewSites: if it does not in time.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                # No proxy of the environment: the request stays on this machine.
                with httpx.Client(trust_env=False) as client:
                    if client.get(f"http://{self._address}/health", timeout=2.0).is_success:
                        return
            except httpx.HTTPError:
                pass
            if time.monotonic() > deadline:
                raise TooFewSites(f"the SuperLink did not answer within {seconds:g} seconds.")
            time.sleep(0.1)

    def online_nodes(self) -> frozenset[int]:
        """Return the numbers of the nodes that are there now."""
        listed = self._control.ListNodes(ListNodesRequest()).nodes_info
        return frozenset(int(one.node_id) for one in listed if one.status == NodeStatus.ONLINE)

    def start_run(self) -> int:
        """Start a run with an empty bundle and return Flower's number of it.

        Raises:
            FedccError: if the SuperLink starts none.
        """
        bundle, _ = build_fab_from_files(BUNDLE)
        reply = self._control.StartRun(StartRunRequest(fab=Fab(content=bundle)))
        if not reply.run_id:
            raise FedccError("the SuperLink started no run; its log says why.")
        return int(reply.run_id)

    def carry_out(
        self,
        run: int,
        app: ServerApp,
        *,
        poll: float,
        wait: float,
        on_lost: Callable[[int], None],
        on_look: Callable[[], None] = _nothing,
    ) -> None:
        """Take a run that was started and carry it out with an app of this installation.

        Runs that somebody else started on this machine end unserved.

        Args:
            run: from `start_run`.
            app: is called with a grid over this run's nodes.
            poll: seconds between two looks for replies.
            wait: seconds within which the SuperLink must hand the run over.
            on_lost: called with the number of a node that was lost while a reply was awaited.
            on_look: called before each look for replies.

        Raises:
            TimeoutError: if it does not; waiting longer helps nobody, starting it again does.
            Exception: whatever the app raises; the run is marked as failed.
        """
        retry_pulls_sooner(poll)
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline:
            got = self._queue.AcquireTask(
                AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP])
            )
            if not got.HasField("task"):
                time.sleep(poll)
            elif self._serve(got.token, run, app, poll, on_lost, on_look):
                return
        raise TimeoutError(f"the SuperLink did not hand over the run within {wait:g} seconds")

    def _serve(
        self,
        token: str,
        run: int,
        app: ServerApp,
        poll: float,
        on_lost: Callable[[int], None],
        on_look: Callable[[], None],
    ) -> bool:
        """Carry out the task of a token if it is that of the run; tell whether it was."""
        grid = HttpGrid(self._address, insecure=True, token=token)
        client = grid._runtime_client
        heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
        heartbeat.start()
        status, details = SubStatus.FAILED, "not a run of fedcc"
        try:
            task = client.PullTaskInput(PullTaskInputRequest())
            if task.run.run_id != run:
                return False
            details = "failed"
            context = context_from_proto(task.context)
            TaskIdentity.task_id, TaskIdentity.run_id = task.task_id, run
            TaskIdentity.node_id = context.node_id
            grid.set_run(run_from_proto(task.run))
            app(PromptGrid(grid, poll, on_lost, on_look), context)
            status, details = SubStatus.COMPLETED, ""
            return True
        finally:
            heartbeat.stop()
            try:
                client.PushTaskOutput(PushTaskOutputRequest(sub_status=status, details=details))
            except httpx.HTTPError:
                pass  # the SuperLink has ended, or ended the run
            grid.close()
