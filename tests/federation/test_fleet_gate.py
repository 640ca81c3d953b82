"""The gate before a SuperLink: which requests pass from the network, and how questions are held."""

import asyncio
import time
from typing import Any

import pytest
from flwr.superlink.routers.control import router as control_router
from flwr.superlink.routers.fleet.router import router as fleet_router

from fedcc.federation import fleet_gate
from fedcc.federation.fleet_gate import FLEET_ROUTES, MOST, SMALL, FleetGate, LocalGate, News

SELF_SERVICE = {"/v1/fleet/register-node", "/v1/fleet/unregister-node"}


class Inner:
    """An application that notes what reaches it."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached.append(scope["path"])
        if receive is not None and scope["path"].startswith("/v1/fleet/"):
            self.bodies.append((await receive())["body"])


def nobody(scope: Any) -> bool:
    return False


def everybody(scope: Any) -> bool:
    return True


async def empty() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


def ask(gate: Any, path: str, body: tuple[bytes, ...] = (b"",), **more: Any) -> list[Any]:
    """Send one request in pieces; return what the gate itself answered."""
    sent: list[Any] = []
    left = list(body)

    async def receive() -> Any:
        piece = left.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(left)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": [], **more}
    asyncio.run(gate(scope, receive, send))
    return sent


def test_every_route_of_flowers_fleet_is_let_through_but_those_by_which_a_node_admits_itself() -> (
    None
):
    # The second source is Flower's own router; a route that a new version adds fails this test.
    known = {route.path for route in fleet_router.routes}

    assert known - SELF_SERVICE == FLEET_ROUTES


@pytest.mark.parametrize("path", sorted(FLEET_ROUTES))
def test_a_fleet_route_reaches_the_superlink(path: str) -> None:
    inner = Inner()

    assert ask(FleetGate(inner, News(), nobody), path) == []
    assert inner.reached == [path]


CLOSED = [
    *(route.path for route in control_router.routes),
    *sorted(SELF_SERVICE),
    "/v1/runtime/acquire-task",
    "/v1/runtime/push-messages",
    "/v1/responses",
    "/docs",
    "/openapi.json",
    "/health",
    "/",
    "/v1/fleet/",
    "/v1/fleet/pull-messages/",
    "/v1/fleet//pull-messages",
    "/v1/fleet/../control/start-run",
    "//v1/control/start-run",
    "/V1/FLEET/pull-messages",
]


@pytest.mark.parametrize("path", CLOSED)
def test_nothing_else_reaches_the_superlink_from_the_network(path: str) -> None:
    inner = Inner()

    sent = ask(FleetGate(inner, News(), nobody), path)

    assert inner.reached == []
    assert sent[0]["status"] == 404


@pytest.mark.parametrize(
    "more", [{"method": "GET"}, {"root_path": "/v1/control"}, {"type": "websocket"}]
)
def test_another_method_or_a_mounted_path_does_not_open_a_fleet_route(more: Any) -> None:
    inner = Inner()

    ask(FleetGate(inner, News(), nobody), "/v1/fleet/pull-messages", **more)

    assert inner.reached == []


PUSH = "/v1/fleet/push-object"


def declared(length: int) -> dict[str, Any]:
    return {"headers": [(b"content-length", str(length).encode())]}


def test_a_body_reaches_the_superlink_as_it_was_sent() -> None:
    inner = Inner()

    assert ask(FleetGate(inner, News(), nobody), PUSH, (b"a" * 1000, b"", b"b")) == []

    assert inner.bodies == [b"a" * 1000 + b"b"]


def test_a_large_body_is_taken_from_an_admitted_node_and_from_nobody_else() -> None:
    large = b"x" * (SMALL + 1)
    inner = Inner()

    assert ask(FleetGate(inner, News(), everybody), PUSH, (large,), **declared(len(large))) == []
    (start, _) = ask(FleetGate(inner, News(), nobody), PUSH, (large,), **declared(len(large)))

    assert inner.bodies == [large]
    assert start["status"] == 413 and (b"connection", b"close") in start["headers"]


@pytest.mark.parametrize(
    ("body", "head"),
    [
        ((b"x" * SMALL, b"x"), {}),  # without a word on its length
        ((b"x" * SMALL, b"x"), {"headers": [(b"content-length", b"-1")]}),
        ((b"x" * SMALL, b"x"), declared(10)),  # a server would cut it; the gate counts itself
    ],
)
def test_nothing_longer_than_it_says_gets_past_the_gate(
    body: tuple[bytes, ...], head: dict[str, Any]
) -> None:
    inner = Inner()

    # Not even an admitted node's: it has to say how much it sends.
    (start, _) = ask(FleetGate(inner, News(), everybody), PUSH, body, **head)

    assert start["status"] == 413 and inner.reached == []


def test_a_body_that_is_declared_too_large_is_not_read_whoever_sends_it() -> None:
    async def never() -> Any:
        raise AssertionError("read")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": PUSH, **declared(MOST + 1)}
    asyncio.run(FleetGate(Inner(), News(), everybody)(scope, never, send))

    assert sent[0]["status"] == 413


def test_a_body_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_gate, "READ_SECONDS", 0.05)
    inner, sent = Inner(), []

    async def stalled() -> Any:
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": PUSH, "headers": []}
    asyncio.run(FleetGate(inner, News(), nobody)(scope, stalled, send))

    assert inner.reached == [] and sent[0]["status"] == 413


def test_a_question_is_answered_as_soon_as_a_message_was_pushed() -> None:
    async def play() -> float:
        news, inner = News(), Inner()
        gate, local = FleetGate(inner, news, nobody), LocalGate(inner, news)
        pull = {"type": "http", "method": "POST", "path": "/v1/fleet/pull-messages", "headers": []}
        await gate(pull, empty, None)  # the first one is never held
        asked = asyncio.create_task(gate(pull, empty, None))
        await asyncio.sleep(0.05)
        assert inner.reached == ["/v1/fleet/pull-messages"]  # held
        began = time.monotonic()
        await local({"type": "http", "path": "/v1/runtime/push-messages"}, None, None)
        await asked
        return time.monotonic() - began

    # Far below the two seconds for which it would be held otherwise.
    assert asyncio.run(play()) < 1.0


def test_a_message_that_came_between_two_questions_is_not_waited_for() -> None:
    async def play() -> list[str]:
        news, inner = News(), Inner()
        gate, local = FleetGate(inner, news, nobody), LocalGate(inner, news)
        pull = {"type": "http", "method": "POST", "path": "/v1/fleet/pull-messages", "headers": []}
        await gate(pull, empty, None)
        await local({"type": "http", "path": "/v1/runtime/push-messages"}, None, None)
        await asyncio.wait_for(gate(pull, empty, None), 0.5)
        return inner.reached

    assert len(asyncio.run(play())) == 3
