"""Layers that pass whole messages on: nothing but the way changes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from fedcc.federation.flower_layers import whole_layers

Change = Callable[[Iterable[Middleware]], list[Middleware]]
ANSWERS = ("/v1/fleet/echo", "/v1/runtime/echo", "/v1/control/echo")
BOTH = pytest.mark.parametrize("change", [list, whole_layers], ids=["starlette", "whole"])


class Guard(BaseHTTPMiddleware):
    """A layer that reads the body, refuses some, and leaves a note for those below."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        body = await request.body()
        if body == b"refused":
            raise PermissionError("not you")
        request.state.noted = len(body)
        response = await call_next(request)
        response.headers["x-guard"] = "seen"
        return response


async def explain(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """A layer that turns errors of those below into answers."""
    try:
        return await call_next(request)
    except (PermissionError, LookupError) as error:
        return JSONResponse({"error": type(error).__name__}, status_code=403)


async def echo(request: Request) -> Response:
    body = await request.body()
    if body == b"lost":
        raise LookupError("not there")
    noted = str(request.state.noted)
    return Response(body[::-1], status_code=201, headers={"x-noted": noted})


def application(change: Change, *routes: Route) -> Starlette:
    layers = [Middleware(BaseHTTPMiddleware, dispatch=explain), Middleware(Guard)]
    return Starlette(routes=list(routes), middleware=change(layers))


def ask(app: Starlette, path: str, body: bytes) -> httpx.Response:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.post(path, content=body)

    return asyncio.run(once())


@BOTH
@pytest.mark.parametrize("path", ANSWERS)
@pytest.mark.parametrize("body", [b"", b"abc", bytes(3 << 20)])
def test_layers_and_routes_see_the_same_message(change: Change, path: str, body: bytes) -> None:
    answer = ask(application(change, Route(path, echo, methods=["POST"])), path, body)

    assert (answer.status_code, answer.content) == (201, body[::-1])
    assert answer.headers["x-guard"] == "seen"
    assert answer.headers["x-noted"] == str(len(body))
    assert answer.headers["content-length"] == str(len(body))


@BOTH
@pytest.mark.parametrize(("body", "error"), [(b"refused", "Permission"), (b"lost", "Lookup")])
def test_an_error_below_reaches_the_layer_above(change: Change, body: bytes, error: str) -> None:
    path = ANSWERS[0]
    answer = ask(application(change, Route(path, echo, methods=["POST"])), path, body)

    assert answer.status_code == 403
    assert answer.json() == {"error": f"{error}Error"}


def scope_of(path: str) -> dict[str, Any]:
    return {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b""}


@BOTH
def test_a_client_that_leaves_within_its_request_is_noticed(change: Change) -> None:
    app = application(change, Route(ANSWERS[0], echo, methods=["POST"]))
    parts = iter([{"type": "http.request", "body": b"a", "more_body": True}])

    async def receive() -> dict[str, Any]:
        return next(parts, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        """Nobody is there."""

    with pytest.raises(ClientDisconnect):
        asyncio.run(app(scope_of(ANSWERS[0]), receive, send))


def test_routes_that_stream_keep_streaming() -> None:
    """The twin: a route of the other kind would hold the first part back for ever."""

    async def stream(_: Request) -> Response:
        return StreamingResponse(parts())

    async def first_part(path: str) -> bytes:
        found = asyncio.get_running_loop().create_future()
        asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> dict[str, Any]:
            for message in asked:
                return message
            await asyncio.Event().wait()  # the client stays
            raise AssertionError

        async def send(message: Any) -> None:
            if message.get("body") and not found.done():
                found.set_result(message["body"])

        app = application(whole_layers, Route(path, stream, methods=["POST"]))
        running = asyncio.create_task(app(scope_of(path), receive, send))
        try:
            return bytes(await asyncio.wait_for(found, 1.0))
        finally:
            running.cancel()

    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.Event().wait()

    assert asyncio.run(first_part("/v1/control/stream-logs")) == b"first"
    with pytest.raises(TimeoutError):
        asyncio.run(first_part(ANSWERS[0]))


def test_a_layer_of_another_kind_is_refused() -> None:
    class Bare:
        def __init__(self, app: Any) -> None:
            self.app = app

    with pytest.raises(RuntimeError, match="pinned"):
        whole_layers([Middleware(Bare)])
