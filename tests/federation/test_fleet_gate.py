"""The gate before a SuperLink: which requests pass from the network, and how questions are held."""

import asyncio
import time
from typing import Any

import pytest
from flwr.superlink.routers.control import router as control_router
from flwr.superlink.routers.fleet.router import router as fleet_router

from fedcc.federation.fleet_gate import FLEET_ROUTES, FleetGate, LocalGate, News

SELF_SERVICE = {"/v1/fleet/register-node", "/v1/fleet/unregister-node"}


class Inner:
    """An application that notes what reaches it."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached.append(scope["path"])


def ask(gate: Any, path: str, **more: Any) -> list[Any]:
    """Send one request; return what the gate itself answered."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

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

    assert ask(FleetGate(inner, News()), path) == []
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

    sent = ask(FleetGate(inner, News()), path)

    assert inner.reached == []
    assert sent[0]["status"] == 404


@pytest.mark.parametrize(
    "more", [{"method": "GET"}, {"root_path": "/v1/control"}, {"type": "websocket"}]
)
def test_another_method_or_a_mounted_path_does_not_open_a_fleet_route(more: Any) -> None:
    inner = Inner()

    ask(FleetGate(inner, News()), "/v1/fleet/pull-messages", **more)

    assert inner.reached == []


def test_a_question_is_answered_as_soon_as_a_message_was_pushed() -> None:
    async def play() -> float:
        news, inner = News(), Inner()
        gate, local = FleetGate(inner, news), LocalGate(inner, news)
        pull = {"type": "http", "method": "POST", "path": "/v1/fleet/pull-messages", "headers": []}
        await gate(pull, None, None)  # the first one is never held
        asked = asyncio.create_task(gate(pull, None, None))
        await asyncio.sleep(0)
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
        gate, local = FleetGate(inner, news), LocalGate(inner, news)
        pull = {"type": "http", "method": "POST", "path": "/v1/fleet/pull-messages", "headers": []}
        await gate(pull, None, None)
        await local({"type": "http", "path": "/v1/runtime/push-messages"}, None, None)
        await asyncio.wait_for(gate(pull, None, None), 0.5)
        return inner.reached

    assert len(asyncio.run(play())) == 3
