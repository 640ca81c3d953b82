"""What is logged, and how a service says how it is."""

import json
import socket
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedcc.errors import ConfigError
from fedcc.federation.service import events
from fedcc.federation.service.health import Health, write_metrics
from fedcc.federation.service.places import Places
from fedcc.federation.service.ticks import Ticks, ticking

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def get(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def free_port() -> int:
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return int(each.getsockname()[1])


def test_a_line_of_the_log_is_one_json_object_with_run_round_and_site() -> None:
    line = events.line("round", {"run": "ab", "round": 3, "site": "lisbon"}, NOW)

    assert json.loads(line) == {
        "time": "2026-05-01T12:00:00.000+00:00",
        "event": "round",
        "run": "ab",
        "round": 3,
        "site": "lisbon",
    }
    assert "\n" not in line


@pytest.mark.parametrize(
    "fields",
    [
        {"customer": "4711"},
        {"rows": 12},
        {"label": "Yes"},
        {"run": 7},
        {"reason": "x" * 301},
    ],
)
def test_a_field_that_is_not_listed_is_not_logged(fields: dict[str, events.Value]) -> None:
    with pytest.raises(ValueError, match="may not be logged"):
        events.line("round", fields, NOW)


def test_a_line_that_fedcc_did_not_write_is_not_taken_for_an_event() -> None:
    assert events.parse('{"event": "ready", "time": "2026-05-01", "customer": "4711"}') is None
    assert events.parse('{"event": "sold", "time": "2026-05-01"}') is None
    assert events.parse("Traceback (most recent call last)") is None
    assert events.parse("[" * 100_000) is None


def test_livez_and_readyz_answer_on_loopback_and_tell_the_difference() -> None:
    ready = [False]
    port = free_port()
    with Health(port, lambda: ready[0]):
        assert (get(port, "/livez"), get(port, "/readyz"), get(port, "/")) == (200, 503, 404)
        ready[0] = True
        assert get(port, "/readyz") == 200


def test_a_health_port_that_is_taken_is_named() -> None:
    port = free_port()
    with Health(port, lambda: True), pytest.raises(ConfigError, match=r"health\.port"):
        Health(port, lambda: True).__enter__()


def test_metrics_are_written_in_prometheus_text_format(tmp_path: Path) -> None:
    path = tmp_path / "fedcc.prom"

    write_metrics(path, {"fedcc_ready": ("Whether.", 1.0), "fedcc_rounds_total": ("Rounds.", 7.0)})

    # The exposition format 0.0.4 of Prometheus: HELP, TYPE, sample; a newline at the end.
    assert path.read_text() == (
        "# HELP fedcc_ready Whether.\n# TYPE fedcc_ready gauge\nfedcc_ready 1\n"
        "# HELP fedcc_rounds_total Rounds.\n# TYPE fedcc_rounds_total counter\n"
        "fedcc_rounds_total 7\n"
    )
    with pytest.raises(ValueError, match="name of a metric"):
        write_metrics(path, {"customers of lisbon": ("No.", 1.0)})


def test_a_tick_has_an_age_until_it_is_forgotten(tmp_path: Path) -> None:
    ticks = Ticks(tmp_path)
    assert ticks.age("asked") is None

    ticks.tick("asked")
    assert ticks.age("asked") is not None

    ticks.clear("asked")
    assert ticks.age("asked") is None


def test_work_ticks_while_it_goes_on_but_no_longer_than_it_may_take() -> None:
    """A site that reads its texts for an hour works; one that never ends hangs."""
    within: list[float] = []
    with ticking(lambda: within.append(time.monotonic()), at_most=60.0):
        time.sleep(2.5)
    ended = len(within)
    time.sleep(1.2)
    assert ended >= 1 and len(within) == ended

    beyond: list[float] = []
    with ticking(lambda: beyond.append(time.monotonic()), at_most=0.0):
        time.sleep(1.3)
    assert beyond == []


def test_processes_get_no_proxy_and_no_certificates_but_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "FLWR_TELEMETRY_X"):
        monkeypatch.setenv(name, "http://elsewhere:1")
    places = Places.prepare(tmp_path)

    direct, by_proxy = places.environment(None), places.environment("http://proxy:3128")

    assert "http://elsewhere:1" not in direct.values()
    assert by_proxy["HTTPS_PROXY"] == "http://proxy:3128"
    for environment in (direct, by_proxy):
        assert environment["FLWR_TELEMETRY_ENABLED"] == "0"
        assert environment["FLWR_DISABLE_UPDATE_CHECK"] == "1"
        assert environment["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] == "1"
    assert places.folder.stat().st_mode & 0o777 == 0o700
