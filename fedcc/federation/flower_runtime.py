"""Every private name of Flower's deployment runtime that fedcc touches; pinned to flwr 1.41.

`flower_compat` comes first: it switches off Flower's telemetry and update check.
"""

from fedcc.federation import flower_compat  # isort: split

import time
import types
from collections.abc import Callable
from pathlib import Path

import httpx
from flwr.app import Context, Error, Message
from flwr.common.constant import SubStatus
from flwr.proto.runtime_pb2 import AcquireTaskRequest, SendTaskHeartbeatRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.inflatable import inflatable_utils
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.retry import make_simple_http_retry_invoker
from flwr.supercore.run import RunNotRunningException
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode import start_client_internal
from flwr.supernode.runtime import run_clientapp

__all__ = ["flower_compat", "run_superlink", "run_supernode", "retry_pulls_sooner", "serve_tasks"]

Answer = Callable[[Message, Context], Message]
WITHDRAWN = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)  # the task's token counts no more


def _nothing() -> None:
    return None


def retry_pulls_sooner(seconds: float) -> None:
    """Cut the first wait (1 s) before a pull whose object is still on its way is tried again."""
    for function in (
        inflatable_utils.pull_objects,
        inflatable_utils.pull_and_inflate_object_from_tree,
    ):
        defaults = function.__kwdefaults__
        if defaults is None or "initial_backoff" not in defaults:
            raise RuntimeError("this version of Flower is not the one that fedcc is pinned to")
        defaults["initial_backoff"] = seconds


def run_superlink() -> None:
    """Run Flower's SuperLink with the arguments of this process."""
    from flwr.superlink.cli.flower_superlink import flower_superlink

    flower_superlink()


def run_supernode(poll: float) -> None:
    """Run Flower's SuperNode with the arguments of this process and shorter waits.

    Args:
        poll: seconds between two looks for a message; Flower's own are 3 and cannot be set.
    """
    from flwr.supernode.cli.flower_supernode import flower_supernode

    sleep = time.sleep
    shorter = types.SimpleNamespace(sleep=lambda seconds: sleep(min(seconds, poll)))
    vars(start_client_internal)["time"] = shorter
    retry_pulls_sooner(poll)
    flower_supernode()


def serve_tasks(
    address: str,
    secret_file: Path,
    answer: Answer,
    poll: float,
    tick: Callable[[], None] = _nothing,
    dropped: Callable[[str], None] = lambda error: None,
) -> None:
    """Take a SuperNode's messages for ever and answer them with code of this installation.

    The app bundle that came with a run is dropped unread. An exception of `answer` leaves the site
    as an error without text. A task whose reply the SuperNode no longer takes, because its time is
    up, its run ended or the SuperLink was started again, is dropped; Flower's own client would end
    this process.

    Args:
        address: the SuperNode's runtime API on loopback, `host:port`.
        secret_file: the secret shared with the SuperNode.
        answer: called with each message and its context.
        poll: seconds between two looks for a message.
        tick: called before each look.
        dropped: called with the class of the error after a task was dropped.
    """
    retry_pulls_sooner(poll)
    queue = _connect(
        address,
        SuperExecAuthHttpInterceptor(
            master_secret=secret_file.read_bytes(),
            protected_methods={"/flwr.proto.Runtime/AcquireTask"},
        ),
    )
    while True:
        tick()
        got = queue.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP]))
        if got.HasField("task"):
            task = _connect(address, RuntimeTokenHttpInterceptor(got.token), one_task=True)
            try:
                _serve_task(task, answer)
            except Exception as error:  # the run ended, its time was up, the SuperNode forgot it
                dropped(type(error).__name__)
            finally:
                task.close()
        else:
            time.sleep(poll)


def _connect(
    address: str,
    interceptor: SuperExecAuthHttpInterceptor | RuntimeTokenHttpInterceptor,
    *,
    one_task: bool = False,
) -> RuntimeHttpClient:
    again = make_simple_http_retry_invoker()
    if one_task:
        gives_up = again.should_giveup

        def is_withdrawn(error: Exception) -> bool:
            # Before Flower's own answer to it, which is SIGINT to this process.
            if isinstance(error, httpx.HTTPStatusError):
                if error.response.status_code in WITHDRAWN:
                    return True
            return gives_up is not None and gives_up(error)

        again.should_giveup = is_withdrawn
    return RuntimeHttpClient.from_server_address(
        server_address=address,
        insecure=True,  # loopback only
        root_certificates=None,
        interceptors=[RuntimeVersionHttpInterceptor(component_name="SuperExec"), interceptor],
        retry_invoker=again,
    )


def _heartbeat(task: RuntimeHttpClient) -> bool:
    """Send a heartbeat; that the task was withdrawn shows when its reply is pushed."""
    try:
        task.SendTaskHeartbeat(SendTaskHeartbeatRequest())
    except httpx.TransportError:
        return False
    except (httpx.HTTPStatusError, RunNotRunningException):
        return True
    return True


def _serve_task(task: RuntimeHttpClient, answer: Answer) -> None:
    heartbeat = HeartbeatSender(lambda: _heartbeat(task))
    heartbeat.start()
    try:
        message, context, _run, _bundle = run_clientapp.pull_task_input(task)
        try:
            reply, status = answer(message, context), SubStatus.COMPLETED
        except Exception as error:  # its text stays here
            reply = Message(Error(code=0, reason=type(error).__name__), reply_to=message)
            status = SubStatus.FAILED
        run_clientapp.push_message(task, reply, context)
        run_clientapp.push_task_output(task, context, status, "")
    finally:
        heartbeat.stop()
