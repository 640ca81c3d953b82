"""A small HTTP proxy that knows CONNECT, with credentials or TLS; it notes who went where."""

import asyncio
import contextlib
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Proxy:
    """A proxy on loopback that runs."""

    credentials: str | None  # USER:PASSWORD, or `None` to ask for none
    answer: str | None = None  # a refusal for everybody, such as `403 Forbidden`
    port: int = 0
    asked: list[str] = field(default_factory=list)  # request lines of CONNECT, refused or not
    sent: list[tuple[float, int]] = field(default_factory=list)  # seconds, bytes towards servers
    first_bytes: list[bytes] = field(default_factory=list)  # of each tunnel

    def refusal(self, head: str) -> str:
        """Return the status of a refusal, or an empty text."""
        if self.answer is not None:
            return self.answer
        if self.credentials is None:
            return ""
        wanted = f"basic {b64encode(self.credentials.encode()).decode()}".lower()
        return "" if wanted in head.lower() else "407 Proxy Authentication Required"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client until one of the two ends has gone."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, _, rest = head.partition("\r\n")
            self.asked.append(line)
            if refusal := self.refusal(rest):
                writer.write(f"HTTP/1.1 {refusal}\r\ncontent-length: 0\r\n\r\n".encode())
                await writer.drain()
            else:
                host, _, port = line.split()[1].rpartition(":")
                outer = await asyncio.open_connection(host, int(port))
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await asyncio.gather(
                    self._carry((reader, outer[1]), is_up=True),
                    self._carry((outer[0], writer), is_up=False),
                )
        writer.close()

    async def _carry(self, ends: Ends, *, is_up: bool) -> None:
        """Pass bytes on; upwards they are noted."""
        reader, writer = ends
        is_first = is_up
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                if is_first:
                    self.first_bytes.append(piece[:16])
                    is_first = False
                if is_up:
                    self.sent.append((time.monotonic(), len(piece)))
                writer.write(piece)
                await writer.drain()
        writer.close()


@contextmanager
def connect_proxy(
    credentials: str | None = None,
    answer: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Proxy]:
    """Run a proxy on loopback; with `tls` the way to it is TLS as well."""
    proxy, loop, ready = Proxy(credentials, answer), asyncio.new_event_loop(), threading.Event()

    async def listen() -> None:
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=tls)
        proxy.port = int(server.sockets[0].getsockname()[1])
        ready.set()

    def run() -> None:
        loop.run_until_complete(listen())
        loop.run_forever()

    threading.Thread(target=run, daemon=True).start()
    ready.wait(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(loop.stop)
