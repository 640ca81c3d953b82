"""Layers of Flower's HTTP applications that answer one whole message with another.

Starlette runs every layer of the kind that Flower uses in a task of its own and hands bodies on
through queues, so that long streams can pass. That is most of what a layer costs. A request of a
node or an app is one message and so is its answer: both are passed on whole here. What a layer
decides stays Flower's own; routes that may stream keep Starlette's way.
"""

from collections.abc import Iterable
from typing import Any

from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

WHOLE_ROUTES = ("/v1/fleet/", "/v1/runtime/")
STREAMS = "/v1/runtime/responses"  # the one of them that may stream; a contract test looks for more


def is_whole(path: str) -> bool:
    """Tell whether a route takes one message and gives one."""
    return path.startswith(WHOLE_ROUTES) and not path.startswith(STREAMS)


class _WholeRequest:
    """Reads a request once, however many layers ask for its body."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._whole: Message | None = None
        self._is_given = False

    async def look(self) -> Message:
        """Return the body, to a layer; one and the same object to all of them.

        Raises:
            ClientDisconnect: if the client is gone before all of it came.
        """
        if self._whole is None:
            parts, more = [], True
            while more:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                parts.append(message.get("body", b""))
                more = message.get("more_body", False)
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            self._whole = {"type": "http.request", "body": body, "more_body": False}
        return self._whole

    async def pass_on(self) -> Message:
        """Return the body, to what lies below the layer; asked again, whatever follows it."""
        if self._is_given:
            return await self._receive()
        self._is_given = True
        return await self.look()


class _WholeAnswer:
    """Keeps what an application answers."""

    def __init__(self) -> None:
        self._start: Message | None = None
        self._parts: list[bytes] = []

    async def send(self, message: Message) -> None:
        """Take a part of the answer."""
        if message["type"] == "http.response.start":
            self._start = message
        else:
            self._parts.append(message.get("body", b""))

    def response(self) -> Response:
        """Return the answer."""
        if self._start is None:
            raise RuntimeError("no response returned")
        response = Response(b"".join(self._parts), status_code=self._start["status"])
        response.raw_headers = list(self._start["headers"])
        return response


class _Whole(BaseHTTPMiddleware):
    """A layer that passes whole messages on."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_whole(scope["path"]):
            await super().__call__(scope, receive, send)
            return
        whole = _WholeRequest(receive)

        async def call_next(_: Request) -> Response:
            answer = _WholeAnswer()
            await self.app(scope, whole.pass_on, answer.send)
            return answer.response()

        response = await self.dispatch_func(Request(scope, whole.look), call_next)
        await response(scope, receive, send)


def whole_layers(layers: Iterable[Middleware]) -> list[Middleware]:
    """Return the same layers, each of which passes whole messages on.

    Raises:
        RuntimeError: if one is of another kind.
    """
    found = []
    for layer in layers:
        if not (isinstance(layer.cls, type) and issubclass(layer.cls, BaseHTTPMiddleware)):
            raise RuntimeError("this version of Flower is not the one that fedcc is pinned to")
        kind: Any = type(layer.cls.__name__, (_Whole, layer.cls), {})
        found.append(Middleware(kind, *layer.args, **layer.kwargs))
    return found
