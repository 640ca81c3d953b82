"""A small HTTP proxy that knows CONNECT, with credentials if wanted; it notes who went where."""

import socket
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


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

    def serve(self, listening: socket.socket) -> None:
        """Answer for as long as the socket is open."""
        while True:
            try:
                inner, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_one, args=(inner,), daemon=True).start()

    def _serve_one(self, inner: socket.socket) -> None:
        try:
            self._tunnel(inner)
        except OSError:
            pass  # one of the two ends has gone

    def _tunnel(self, inner: socket.socket) -> None:
        with inner:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = inner.recv(4096)
                if not piece:
                    return
                head += piece
            line, _, rest = head.decode("latin-1").partition("\r\n")
            self.asked.append(line)
            refusal = self.refusal(rest)
            if refusal:
                inner.sendall(f"HTTP/1.1 {refusal}\r\ncontent-length: 0\r\n\r\n".encode())
                return
            host, _, port = line.split()[1].rpartition(":")
            with socket.create_connection((host, int(port))) as outer:
                inner.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_carry, args=(outer, inner), daemon=True)
                back.start()
                self._carry_up(inner, outer)

    def _carry_up(self, inner: socket.socket, outer: socket.socket) -> None:
        is_first = True
        try:
            while piece := inner.recv(65536):
                if is_first:
                    self.first_bytes.append(piece[:16])
                    is_first = False
                self.sent.append((time.monotonic(), len(piece)))
                outer.sendall(piece)
        except OSError:
            pass


def _carry(source: socket.socket, sink: socket.socket) -> None:
    try:
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@contextmanager
def connect_proxy(credentials: str | None = None, answer: str | None = None) -> Iterator[Proxy]:
    """Run a proxy on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        proxy = Proxy(credentials, answer, int(listening.getsockname()[1]))
        threading.Thread(target=proxy.serve, args=(listening,), daemon=True).start()
        yield proxy
        listening.shutdown(socket.SHUT_RDWR)
