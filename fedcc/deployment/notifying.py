"""Telling systemd how a service is (`sd_notify`); without systemd nothing happens.

What systemd does not take is lost: no service ends, or waits, because systemd is being reloaded.

A service that says `alive` less often than its unit's WatchdogSec is ended and started again. So
whoever calls it must do so from the loop that does the work, not from a thread of its own, which
would go on saying it while the work hangs.
"""

import contextlib
import os
import socket
from collections.abc import Mapping


class Notifier:
    """The socket on which systemd listens, if there is one."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Take the address and the watchdog's time from the environment."""
        self._address = environment.get("NOTIFY_SOCKET", "")
        usec = environment.get("WATCHDOG_USEC", "")
        self.watchdog_seconds: float | None = int(usec) / 1e6 if usec.isdigit() else None

    def ready(self) -> None:
        """Say that the service has started."""
        self._send("READY=1")

    def alive(self, status: str) -> None:
        """Say that the service works, and at what; at least twice in `watchdog_seconds`.

        Args:
            status: one line for `systemctl status`; no personal data.
        """
        self._send(f"WATCHDOG=1\nSTATUS={' '.join(status.split())}")

    def stopping(self) -> None:
        """Say that the service is about to end."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # A leading @ stands for Linux's abstract names, which begin with a zero byte.
        address = self._address.replace("@", "\0", 1) if self._address[0] == "@" else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.setblocking(False)
            with contextlib.suppress(OSError):
                channel.sendto(message.encode(), address)
