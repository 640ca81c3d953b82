"""The units are what systemd itself calls valid and well protected."""

import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from deployment.installation import Installation, install_all

from fedcc.deployment.notifying import Notifier
from fedcc.deployment.systemd import Unit, aggregator_unit, site_unit
from fedcc.errors import ConfigError

PYTHON = Path(sys.executable)
MOST_EXPOSED = 20  # tenths; systemd calls 0 to 2.0 safe or ok, and its own default is 100
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return install_all(tmp_path_factory.mktemp("units"), ("lisbon",))


@pytest.fixture(scope="module")
def units(made: Installation) -> list[Unit]:
    return [
        site_unit(made.home("lisbon"), user="fedcc", program=PYTHON),
        aggregator_unit(made.hub, user="fedcc", program=PYTHON),
    ]


def analyze(folder: Path, unit: Unit, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = folder / unit.name
    path.write_text(unit.text)
    return subprocess.run(
        ["systemd-analyze", *arguments, str(path)], capture_output=True, text=True
    )


@needs_systemd
def test_systemd_finds_nothing_wrong(units: list[Unit], tmp_path: Path) -> None:
    for unit in units:
        told = analyze(tmp_path, unit, "verify", "--man=no")
        assert told.returncode == 0 and unit.name not in told.stderr, told.stderr


@needs_systemd
def test_systemd_would_name_a_key_that_it_does_not_know(units: list[Unit], tmp_path: Path) -> None:
    unit = replace(units[0], text=units[0].text.replace("PrivateTmp=", "PrivateTemp="))

    assert "PrivateTemp" in analyze(tmp_path, unit, "verify", "--man=no").stderr


def security(folder: Path, unit: Unit) -> int:
    arguments = ("security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager")
    return analyze(folder, unit, *arguments).returncode


@needs_systemd
def test_systemd_rates_the_units_as_little_exposed(units: list[Unit], tmp_path: Path) -> None:
    assert [security(tmp_path, unit) for unit in units] == [0, 0]


@needs_systemd
@pytest.mark.parametrize("dropped", ["SystemCallFilter=", "CapabilityBoundingSet="])
def test_a_unit_without_one_protection_is_rated_worse(
    units: list[Unit], tmp_path: Path, dropped: str
) -> None:
    kept = [line for line in units[0].text.splitlines() if not line.startswith(dropped)]

    assert security(tmp_path, replace(units[0], text="\n".join(kept) + "\n")) != 0


def settings(unit: Unit) -> dict[str, str]:
    pairs = [line.partition("=") for line in unit.text.splitlines() if not line.startswith("#")]
    return {key: value for key, equals, value in pairs if equals}


def test_only_what_is_written_is_writable(made: Installation, units: list[Unit]) -> None:
    folder = made.sites["lisbon"]

    assert settings(units[0])["ReadWritePaths"].split() == [f"{folder}/ledger", f"{folder}/state"]
    assert settings(units[1])["ReadWritePaths"] == f"{made.hub.file.parent}/state"
    assert settings(units[0])["ProtectSystem"] == "strict"


def test_limits_are_those_of_the_yaml(units: list[Unit]) -> None:
    found = settings(units[0])

    assert (found["MemoryMax"], found["CPUQuota"]) == ("4000000000", "200%")


def test_what_waits_for_a_person_is_not_started_again(units: list[Unit]) -> None:
    # The exit codes of fedcc's contract: 1 a bug and 7 the network may pass, the others do not.
    assert settings(units[0])["RestartPreventExitStatus"] == "2 3 4 5 6"


def test_a_low_port_is_the_only_capability(made: Installation) -> None:
    values = made.hub.values
    low = replace(made.hub, values=replace(values, listen=replace(values.listen, port=443)))

    found = settings(aggregator_unit(low, user="fedcc", program=PYTHON))
    assert found["AmbientCapabilities"] == "CAP_NET_BIND_SERVICE"
    assert (
        settings(aggregator_unit(made.hub, user="fedcc", program=PYTHON))["AmbientCapabilities"]
        == ""
    )


@pytest.mark.parametrize("user", ["root", "", "a b", "x\nExecStart=/bin/sh"])
def test_a_user_that_must_not_run_it_is_refused(made: Installation, user: str) -> None:
    with pytest.raises(ConfigError, match="unprivileged"):
        site_unit(made.home("lisbon"), user=user, program=PYTHON)


@pytest.mark.parametrize("name", ["with blank", "a%n", "a$HOME", 'a"b', "a\nb"])
def test_a_path_that_systemd_reads_in_another_way_is_refused(made: Installation, name: str) -> None:
    with pytest.raises(ConfigError, match="Move the folder"):
        site_unit(made.home("lisbon"), user="fedcc", program=Path("/opt") / name)


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told_that_the_service_lives(tmp_path: Path, abstract: bool) -> None:
    address = f"@fedcc-test-{tmp_path.name}-{id(tmp_path)}" if abstract else str(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address.replace("@", "\0", 1) if abstract else address)
        notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "60000000"})
        notifier.ready()
        notifier.alive("round 3\nof 40")
        notifier.stopping()
        told = [listening.recv(200) for _ in range(3)]

    assert told == [b"READY=1", b"WATCHDOG=1\nSTATUS=round 3 of 40", b"STOPPING=1"]
    assert notifier.watchdog_seconds == 60.0


def test_a_systemd_that_does_not_listen_ends_no_service(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})

    notifier.ready()  # raises nothing


def test_a_systemd_that_does_not_read_stops_no_service(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "n"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "n")})
        for _ in range(2000):  # many more than the socket keeps
            notifier.alive("round 3")


def test_without_systemd_nothing_is_told() -> None:
    notifier = Notifier({})
    notifier.ready()

    assert notifier.watchdog_seconds is None
