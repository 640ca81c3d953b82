"""What keeps a node from sending for a while loses no reply."""

import ssl
from collections.abc import Iterator

import httpx
import pytest
from flwr.supernode import fleet_http_connection

from fedcc.federation.flower_supernode import wait_for_obstacles
from fedcc.federation.obstacles import X509_EXPIRED, Obstacles

UNKNOWN_AUTHORITY = 20  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY (OpenSSL)


def untrusted(code: int) -> httpx.ConnectError:
    """Return the error of a connection whose certificate failed with a code of OpenSSL."""
    cause = ssl.SSLCertVerificationError(1, "certificate verify failed")
    cause.verify_code = code
    error = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]")
    error.__cause__ = cause
    return error


def cut_off() -> httpx.ConnectError:
    """Return the error of a connection that a relay closed, whose own server is away."""
    error = httpx.ConnectError("[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred")
    error.__cause__ = ssl.SSLEOFError(8, "EOF occurred in violation of protocol")
    return error


@pytest.fixture(autouse=True)
def flowers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put Flower's own retries back afterwards."""
    name = "make_simple_http_retry_invoker"
    monkeypatch.setattr(fleet_http_connection, name, vars(fleet_http_connection)[name])


def send(*errors: httpx.TransportError) -> str:
    """Send once, through as many errors, without waiting."""
    again = vars(fleet_http_connection)["make_simple_http_retry_invoker"]()
    again.wait_function = lambda seconds: None
    left: Iterator[httpx.TransportError] = iter(errors)

    def once() -> str:
        for error in left:
            raise error
        return "sent"

    return str(again.invoke(once))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (cut_off(), "cannot be reached"),
        (untrusted(X509_EXPIRED), "has expired"),
        (httpx.ProxyError("407 Proxy Authentication Required"), "the proxy refuses"),
    ],
)
def test_a_reply_is_sent_once_the_obstacle_is_gone(error: httpx.TransportError, words: str) -> None:
    """The twin: Flower gives up, and its node drops the reply."""
    told: list[str] = []
    with pytest.raises(type(error)):
        send(error)

    wait_for_obstacles("hub:8443", Obstacles(told.append, lambda: 0.0))

    assert send(error, error, httpx.ReadError("reset"), error) == "sent"
    assert len(told) == 1 and words in told[0]


def test_somebody_else_is_given_up_at_once() -> None:
    told: list[str] = []
    wait_for_obstacles("hub:8443", Obstacles(told.append, lambda: 0.0))

    with pytest.raises(httpx.ConnectError):
        send(untrusted(UNKNOWN_AUTHORITY))

    assert told == []


def test_other_errors_are_not_told() -> None:
    told: list[str] = []
    wait_for_obstacles("hub:8443", Obstacles(told.append, lambda: 0.0))

    assert send(httpx.ConnectError("refused"), httpx.ReadTimeout("late")) == "sent"
    with pytest.raises(httpx.UnsupportedProtocol):
        send(httpx.UnsupportedProtocol("ftp"))
    assert told == []
