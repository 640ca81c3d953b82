"""What a site's node waits for: clocks that disagree, certificates out of date, no connection.

All of it can end without anybody's work at the site (a time server sets the clock, the admin renews
the certificate, a proxy or an aggregator comes back), so it ends no service. Nothing is sent
meanwhile: the server has not proved who it is, or has not admitted the node.
"""

import re
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

# What the SuperLink of flwr 1.41 admits of a node's signed time; a contract test compares.
MOST_AHEAD = 5.0  # seconds
MOST_BEHIND = 305.0
SECONDS_BETWEEN = 60.0  # two tellings of the same
X509_NOT_YET_VALID, X509_EXPIRED = 9, 10  # X509_V_ERR_CERT_NOT_YET_VALID, ..._HAS_EXPIRED (OpenSSL)


class Obstacles:
    """Tells of problems, each now and then only."""

    def __init__(self, tell: Callable[[str], None], clock: Callable[[], float]) -> None:
        """Nothing was told yet.

        Args:
            tell: called with a problem.
            clock: in seconds.
        """
        self._tell, self._clock = tell, clock
        self._last, self._told_at = "", 0.0
        self._lock = threading.Lock()  # a node's threads meet the same problem at once

    def about(self, problem: str) -> bool:
        """Tell of a problem unless it was just told; return whether there is one."""
        if not problem:
            return False
        with self._lock:
            if problem != self._last or self._clock() - self._told_at > SECONDS_BETWEEN:
                self._last, self._told_at = problem, self._clock()
                self._tell(problem)
        return True


def clock_obstacle(response: httpx.Response, now: datetime) -> str:
    """Return what is wrong with the clocks, if that is why a node was refused.

    Args:
        response: of a server that has proved who it is; its `Date` is its clock.
        now: this machine's time.
    """
    try:
        theirs = parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return ""
    ahead = (now - theirs).total_seconds()
    # The header has whole seconds, so a clock on the edge counts as off.
    if response.status_code != 401 or -MOST_BEHIND < ahead < MOST_AHEAD - 1:
        return ""
    which = "ahead of" if ahead > 0 else "behind"
    return (
        f"this machine's clock is {abs(ahead):.0f} s {which} the aggregator's, which admits "
        f"{MOST_AHEAD:g} ahead and {MOST_BEHIND:g} behind. Let both follow a time server (NTP)."
    )


def connection_obstacle(error: httpx.TransportError, address: str) -> str:
    """Return what keeps a node from the server and may pass; an empty text for anything else.

    Args:
        error: of a connection.
        address: `host:port`.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return _not_reached(error, address)
    if cause.verify_code == X509_EXPIRED:
        return (
            f"the certificate of {address} has expired. Its admin renews it (fedcc aggregator "
            "renew), or this machine's clock is ahead. Nothing was sent."
        )
    if cause.verify_code == X509_NOT_YET_VALID:
        return (
            f"the certificate of {address} is not valid yet: this machine's clock is behind, or "
            "that of the admin's machine was ahead. Nothing was sent."
        )
    return ""


def _not_reached(error: httpx.TransportError, address: str) -> str:
    """Return what keeps a connection from being made, unless it is what the other end speaks."""
    if isinstance(error, httpx.ProxyError):
        said = re.match(r"\d{3}[ \w]{0,60}", str(error))
        answer = said.group(0) if said is not None else type(error).__name__
        return (
            f"{address}: the proxy refuses to connect ({answer}). Check network.proxy and "
            "network.proxy_credentials, and what the proxy lets through."
        )
    if isinstance(error, httpx.ConnectTimeout) or _is_refused(error):
        return f"{address} cannot be reached. Check host, port, network.proxy and the firewall."
    return ""


def _is_refused(error: BaseException) -> bool:
    """Tell whether no connection was made, or it was cut; the other end proved nothing false."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return True  # closed before it had spoken to the end: a relay whose server is away
        if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
