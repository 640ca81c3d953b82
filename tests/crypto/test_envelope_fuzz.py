"""The fuzz drill, a short run of it; 100,000 cases are in simulations/drills/results."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fedcc.crypto.envelopes import Envelope, Header

DRILL = Path(__file__).parents[2] / "simulations" / "drills" / "envelope_fuzz.py"


@pytest.fixture(scope="module")
def drill() -> ModuleType:
    spec = importlib.util.spec_from_file_location("envelope_fuzz", DRILL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DRILL), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("child", ["0", "1"])
def test_thousands_of_mutated_envelopes_end_in_a_refusal_or_harmlessly(child: str) -> None:
    done = run("--child", child, "--cases", "1500", "--seed", "7")

    assert done.returncode == 0, done.stderr
    ends, _ = json.loads(done.stdout)
    assert sum(ends.values()) >= 1500
    assert {name.split(": ")[1] for name in ends} == {"refused", "sound"}
    assert not [name for name in ends if name.startswith("network") and "refused" not in name]


def test_the_drill_notices_when_a_check_is_missing(drill, monkeypatch) -> None:
    def lenient(envelope: Envelope, identity: bytes, expected: object) -> Header:
        return Header.from_bytes(envelope.header)  # no signature, no comparison

    monkeypatch.setattr(drill, "open_upload", lenient)

    found, _ = drill.work(0, 400, 1)

    assert any("ALTERED AND ACCEPTED" in name for name in found)


def test_the_drill_notices_an_error_of_another_kind(drill, monkeypatch) -> None:
    def crashing(*_: object) -> Header:
        raise KeyError("header")

    monkeypatch.setattr(drill, "open_upload", crashing)

    found, _ = drill.work(0, 40, 1)

    assert any("RAISED KeyError" in name for name in found)


def test_the_drill_notices_a_child_that_dies(drill, monkeypatch, capsys) -> None:
    killed = [sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"]  # as SEAL would
    real = subprocess.run
    monkeypatch.setattr(drill.subprocess, "run", lambda _, **options: real(killed, **options))
    monkeypatch.setattr(sys, "argv", ["envelope_fuzz.py", "--cases", "10"])

    assert drill.main() == 1
    assert "died with -11" in capsys.readouterr().out
