"""With no name resolvable and no network but loopback, a simulation and an installation work."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSIDE = """\
ip link set lo up && mount --bind "$0" /etc/resolv.conf && mount --bind "$0" /etc/hosts && exec "$@"
"""
pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What precedes a command that has loopback and no name, not even that of this machine."""
    empty = tmp_path_factory.mktemp("names") / "empty"
    empty.write_text("")
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    prefix = ["unshare", *user, "--net", "--mount", "sh", "-c", INSIDE, str(empty)]
    try:
        subprocess.run([*prefix, "true"], check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        pytest.skip(f"{error.filename} is missing")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"namespaces are not allowed here: {error.stderr.strip()[:200]}")
    return prefix


def run(alone: Sequence[str], *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*alone, sys.executable, *command], capture_output=True, text=True, env=environment
    )


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("import socket; socket.getaddrinfo('pypi.org', 443)", "gaierror"),
        ("import socket; socket.getaddrinfo('localhost', 443)", "gaierror"),
        ("import socket; socket.create_connection(('1.1.1.1', 443), 5)", "unreachable"),
    ],
)
def test_names_and_the_network_are_really_away(alone: list[str], code: str, wrong: str) -> None:
    done = run(alone, "-c", code)

    assert done.returncode != 0
    assert wrong in done.stderr


@pytest.mark.parametrize("task", ["churn", "intent"])
def test_a_simulation_needs_no_name(alone: list[str], tmp_path: Path, task: str) -> None:
    words = ["simulate", f"task={task}", "sites=3", "rounds=2", f"run.dir={tmp_path / 'run'}"]
    words += ["encoder=hashing", "cache=none"] if task == "intent" else []

    done = run(alone, "-m", "fedcc", *words)

    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "run" / "report.html").stat().st_size > 0


def test_an_aggregator_and_three_sites_need_no_name(alone: list[str]) -> None:
    script = ROOT / "simulations" / "three_sites" / "run.py"

    done = run(alone, str(script), "--loopback", "--rounds", "2")

    assert done.returncode == 0, done.stderr[-2000:]
    assert "2 rounds in" in done.stdout
    assert done.stdout.count("equal to the others' to the bit") == 3
