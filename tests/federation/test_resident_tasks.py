"""A resident process outlives the tasks that its SuperNode withdraws."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from flwr.app import Context, Message
from flwr.proto.runtime_pb2 import AcquireTaskResponse, SendTaskHeartbeatResponse
from flwr.supercore.retry import http_retry, make_simple_http_retry_invoker

from fedcc.federation.flower_runtime import serve_tasks


class Enough(Exception):
    """Ends the loop that otherwise goes on for ever."""


@dataclass
class Node:
    """A SuperNode's runtime API that hands out tasks and then refuses their tokens."""

    status: int = 401
    asked: list[str] = field(default_factory=list)
    port: int = 0

    def reply(self, path: str) -> tuple[int, bytes]:
        """Return status and body for a path."""
        self.asked.append(path.rpartition("/")[2])
        if self.asked[-1] == "acquire-task":
            got = AcquireTaskResponse(token="token")
            got.task.task_id = 1
            return 200, got.SerializeToString()
        if self.asked[-1] == "send-task-heartbeat":
            return 200, SendTaskHeartbeatResponse(success=False).SerializeToString()
        return self.status, b""


@pytest.fixture
def node() -> Iterator[Node]:
    """Serve a node on loopback."""
    made = Node()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            status, body = made.reply(self.path)
            self.send_response(status)
            self.send_header("content-type", "application/protobuf")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Stay silent."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


def never(message: Message, context: Context) -> Message:
    """Stand for a site; no message gets that far."""
    raise AssertionError("no task was handed over")


def serve(node: Node, folder: Path, looks: int) -> list[str]:
    """Look for so many tasks; return the errors of those that were dropped."""
    dropped: list[str] = []
    seen: list[int] = []
    (folder / "secret").write_bytes(b"secret")

    def tick() -> None:
        seen.append(1)
        if len(seen) > looks:
            raise Enough

    with pytest.raises(Enough):
        serve_tasks(
            f"127.0.0.1:{node.port}",
            folder / "secret",
            never,
            0.01,
            tick,
            dropped.append,
        )
    return dropped


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_withdrawn_task_is_dropped_and_the_next_one_taken(
    status: int, node: Node, tmp_path: Path
) -> None:
    node.status = status

    dropped = serve(node, tmp_path, looks=3)

    assert dropped == ["HTTPStatusError"] * 3

    assert node.asked.count("acquire-task") == 3
    assert node.asked.count("pull-task-input") == 3


def test_flower_s_own_client_would_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    signals: list[int] = []
    monkeypatch.setattr(http_retry.os, "kill", lambda process, number: signals.append(number))
    monkeypatch.setattr(http_retry.time, "sleep", lambda seconds: None)
    refused = httpx.Response(401, request=httpx.Request("POST", "http://127.0.0.1/"))
    answers = iter((refused, httpx.Response(200, request=refused.request)))

    make_simple_http_retry_invoker().invoke(lambda: next(answers).raise_for_status())

    assert len(signals) == 1
