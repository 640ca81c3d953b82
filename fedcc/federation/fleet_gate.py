"""What stands before a SuperLink's two listeners: a gate of allowed routes, and held questions.

Flower's nodes and apps ask again and again whether there is something for them. Here such a
question is held until something happened, or a little while, and only then passed on: an exchange
takes as long as its work, and an idle federation costs next to nothing. What is answered, and to
whom, is Flower's business alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# What a SuperNode asks for after it was admitted. Admission itself is not for the network.
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
# After these there may be a reply, or an error that stands for one.
TELLING_ROUTES = frozenset(
    f"/v1/fleet/{name}"
    for name in ("push-messages", "push-object", "activate-node", "deactivate-node")
)
HELD_FLEET = 2.0  # seconds; a node that loses its connection meanwhile asks again
HELD_LOCAL = 0.5  # seconds; a site that was lost shows no sooner
MOST_ASKERS = 4096
NODE_KEY_HEADER = b"flwr-public-key"


class _Count:
    """Counts what happened, and lets others wait for more."""

    def __init__(self) -> None:
        self._count = 0
        self._event = asyncio.Event()
        self._seen: dict[bytes, int] = {}

    def announce(self) -> None:
        """Something happened."""
        self._count += 1
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, asker: bytes, seconds: float) -> None:
        """Wait until something happened that this asker was not told of, or the time is up."""
        event = self._event
        if self._seen.get(asker) == self._count:
            try:
                await asyncio.wait_for(event.wait(), seconds)
            except TimeoutError:
                pass
        if len(self._seen) >= MOST_ASKERS:
            self._seen.clear()
        self._seen[asker] = self._count


class News:
    """What happened on one side, for the other."""

    def __init__(self) -> None:
        """Nothing has happened."""
        self.messages, self.replies = _Count(), _Count()


class FleetGate:
    """The application for the public listener: the fleet's routes of another, and nothing else."""

    def __init__(self, inner: Application, news: News) -> None:
        """Guard `inner`."""
        self._inner, self._news = inner, news

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on if it is a POST to exactly one of `FLEET_ROUTES`."""
        kind, path = scope["type"], scope.get("path")
        is_fleet = scope.get("method") == "POST" and path in FLEET_ROUTES
        if kind == "http" and is_fleet and not scope.get("root_path"):
            if path == "/v1/fleet/pull-messages":
                await self._news.messages.wait(_public_key(scope), HELD_FLEET)
            await self._inner(scope, receive, send)
            if path in TELLING_ROUTES:
                self._news.replies.announce()
        elif kind == "http":
            headers = [(b"content-length", b"0"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 404, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1008})


def _public_key(scope: Scope) -> bytes:
    """Return what a node says is its key; it decides nothing but how long its question is held."""
    headers = dict(scope["headers"])
    return bytes(headers.get(NODE_KEY_HEADER, b""))[:256]


class LocalGate:
    """The application for the loopback listener: all of another, with held questions."""

    def __init__(self, inner: Application, news: News) -> None:
        """Stand before `inner`."""
        self._inner, self._news = inner, news

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, later if nothing has happened yet."""
        path = scope.get("path")
        if path == "/v1/runtime/pull-messages":
            await self._news.replies.wait(b"app", HELD_LOCAL)
        await self._inner(scope, receive, send)
        if path == "/v1/runtime/push-messages":
            self._news.messages.announce()
