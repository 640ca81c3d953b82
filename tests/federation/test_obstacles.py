"""Clocks that disagree and certificates out of date are told from strangers."""

import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from flwr.common import constant

from fedcc.federation import obstacles
from fedcc.federation.obstacles import Obstacles, clock_obstacle, connection_obstacle

THEIRS = datetime(2026, 11, 22, 12, tzinfo=UTC)


def answer(status: int) -> httpx.Response:
    return httpx.Response(status, headers={"Date": format_datetime(THEIRS, usegmt=True)})


@pytest.mark.parametrize(
    ("seconds", "words"), [(7200, "7200 s ahead"), (-7200, "7200 s behind"), (6, "6 s ahead")]
)
def test_a_node_that_was_refused_for_its_clock_says_by_how_much(seconds: int, words: str) -> None:
    assert words in clock_obstacle(answer(401), THEIRS + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [0, 2, -300])
def test_a_refusal_with_a_clock_that_is_admitted_has_another_reason(seconds: int) -> None:
    assert clock_obstacle(answer(401), THEIRS + timedelta(seconds=seconds)) == ""


def test_a_refusal_that_is_not_of_a_signed_time_has_another_reason() -> None:
    assert clock_obstacle(answer(412), THEIRS + timedelta(hours=2)) == ""
    assert clock_obstacle(httpx.Response(401), THEIRS + timedelta(hours=2)) == ""


def test_what_is_admitted_is_what_flower_admits() -> None:
    assert obstacles.MOST_AHEAD == constant.SYSTEM_TIME_TOLERANCE
    assert obstacles.MOST_BEHIND == (constant.TIMESTAMP_TOLERANCE + constant.SYSTEM_TIME_TOLERANCE)


def failed(code: int) -> httpx.ConnectError:
    """Return the error of a connection whose certificate failed with a code of OpenSSL."""
    cause = ssl.SSLCertVerificationError(1, "certificate verify failed")
    cause.verify_code = code
    error = httpx.ConnectError("certificate verify failed")
    error.__cause__ = cause
    return error


def test_a_certificate_out_of_its_time_is_waited_for() -> None:
    assert "has expired" in connection_obstacle(failed(10), "hub:8443")
    assert "not valid yet" in connection_obstacle(failed(9), "hub:8443")


@pytest.mark.parametrize("code", [18, 19, 20, 62])  # self-signed, unknown authority, other name
def test_a_certificate_of_somebody_else_is_not_waited_for(code: int) -> None:
    assert connection_obstacle(failed(code), "hub:8443") == ""
    assert connection_obstacle(httpx.ConnectError("refused"), "hub:8443") == ""


def test_a_problem_is_told_once_a_minute_and_a_new_one_at_once() -> None:
    now, told = [0.0], []
    obstacles = Obstacles(told.append, lambda: now[0])

    assert not obstacles.about("")
    assert obstacles.about("clock") and obstacles.about("clock")
    assert told == ["clock"]
    assert obstacles.about("certificate")
    now[0] = 61.0
    assert obstacles.about("certificate")
    assert told == ["clock", "certificate", "certificate"]
