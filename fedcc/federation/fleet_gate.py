"""What stands before a SuperLink's two listeners: a gate of allowed requests, and held questions.

Flower reads and parses the whole body of a request before it looks at who sent it. The gate takes
large bodies only from whoever the head of the request proves to be an admitted node.

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
Proven = Callable[[Scope], bool]

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
SMALL = 2**16  # bytes of a body that anybody may send; every message but an upload is smaller
MOST = 2**25  # of one that an admitted node may send; Flower cuts what is larger into 5 MB
READ_SECONDS = 120.0  # within which a body must be there; a site gives up by then
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

    def __init__(self, inner: Application, news: News, proven: Proven) -> None:
        """Guard `inner`; `proven` tells whether a request's head is that of an admitted node."""
        self._inner, self._news, self._proven = inner, news, proven

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on if it is a POST to exactly one of `FLEET_ROUTES`, and not too large."""
        kind, path = scope["type"], scope.get("path")
        is_fleet = scope.get("method") == "POST" and path in FLEET_ROUTES
        if kind == "http" and is_fleet and not scope.get("root_path"):
            length = _declared(scope)
            most = MOST if length > SMALL and self._proven(scope) else SMALL
            body = b"" if length > most else await _body(receive, most)
            if body is None or length > most:
                await _close(send, 413)
                return
            if path == "/v1/fleet/pull-messages":
                await self._news.messages.wait(_public_key(scope), HELD_FLEET)
            await self._inner(scope, _once(body, receive), send)
            if path in TELLING_ROUTES:
                self._news.replies.announce()
        elif kind == "http":
            await _close(send, 404)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1008})


async def _close(send: Send, status: int) -> None:
    """Answer with a status alone, and end the connection."""
    headers = [(b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _declared(scope: Scope) -> int:
    """Return how many bytes a body has by its own word; 0 where it does not say."""
    text = bytes(dict(scope["headers"]).get(b"content-length", b"0"))
    return int(text) if text.isdigit() and len(text) < 16 else 0


async def _body(receive: Receive, most: int) -> bytes | None:
    """Return a whole body; `None` if it is too long, too slow or breaks off."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(READ_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > most:
                    return None
                if not message.get("more_body", False):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError:
        return None


def _once(body: bytes, receive: Receive) -> Receive:
    """Return what gives the body first, and then whatever follows it."""
    given = iter(({"type": "http.request", "body": body, "more_body": False},))

    async def read() -> Any:
        message = next(given, None)
        return await receive() if message is None else message

    return read


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
