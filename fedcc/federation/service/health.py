"""How a service says how it is: `/livez` and `/readyz` on loopback, numbers for Prometheus.

Nothing here tells more than that something works and how often it did: no name, no row, no metric
of a model.
"""

import http.server
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from fedcc.errors import ConfigError
from fedcc.training.checkpoints import write_whole

LOOPBACK = "127.0.0.1"
_NAME = re.compile(r"fedcc_[a-z_]+")


class Health:
    """The two addresses; a context manager that serves them."""

    def __init__(self, port: int | None, is_ready: Callable[[], bool]) -> None:
        """Name the port; `None` for none.

        Args:
            port: on loopback.
            is_ready: whether the service can do its work now.
        """
        self._port, self._is_ready = port, is_ready
        self._server: http.server.ThreadingHTTPServer | None = None

    def __enter__(self) -> "Health":
        """Begin to serve.

        Raises:
            ConfigError: if the port is taken.
        """
        if self._port is None:
            return self
        is_ready = self._is_ready

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                codes = {"/livez": 200, "/readyz": 200 if is_ready() else 503}
                code = codes.get(self.path, 404)
                self.send_response_only(code)
                self.send_header("Content-Type", "text/plain")
                self.end_headers()
                self.wfile.write({200: b"ok\n", 503: b"not ready\n"}.get(code, b"not found\n"))

            def log_message(self, format: str, *args: object) -> None:
                return None

        try:
            self._server = http.server.ThreadingHTTPServer((LOOPBACK, self._port), Answer)
        except OSError as error:
            raise ConfigError(
                f"health.port: {LOOPBACK}:{self._port} cannot be used: {error.strerror}. Name "
                "another port, or null."
            ) from None
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        """End."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def write_metrics(path: Path, values: Mapping[str, tuple[str, float]]) -> None:
    """Write a text file for Prometheus, whole or not at all.

    Args:
        path: ends in `.prom` where a node exporter reads it.
        values: name of each metric (`fedcc_…`, `…_total` for counters) to help text and value.

    Raises:
        ValueError: for a name that Prometheus does not take.
    """
    lines = []
    for name, (explained, value) in values.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"no name of a metric: {name}")
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# HELP {name} {explained}", f"# TYPE {name} {kind}", f"{name} {value:.10g}"]
    write_whole(path, ("\n".join(lines) + "\n").encode())
