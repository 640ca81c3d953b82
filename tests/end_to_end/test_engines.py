"""The same apps under Flower's own engines: to the bit the same model, and nothing left running."""

import dataclasses
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CANARY, all_bytes_under, processes_in, read_lines

from fedcc import config
from fedcc.errors import TooFewSites
from fedcc.federation import simulation
from fedcc.federation.engines import launch
from fedcc.federation.progress import Progress
from fedcc.federation.run_folder import read_config
from fedcc.federation.settings import simulation_settings
from fedcc.federation.simulation import RunResult

pytestmark = pytest.mark.processes

Run = Callable[..., RunResult]

no_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed (fedcc[ray])"
)
# A dropout in the middle: the second attempt's noise is part of the model.
SETTINGS = ("seed=5", "federation.drop=[{site: 2, round: 2, attempts: 1}]", "baselines=true")


@pytest.mark.parametrize("engine", ["superlink", pytest.param("ray", marks=no_ray)])
def test_every_engine_gives_the_same_model_to_the_bit_and_leaves_no_process(
    run_calls: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.chdir(tmp_path)  # relative paths and all processes start here
    running: list[int] = []

    def look(step: Progress) -> None:
        running.append(len(processes_in(tmp_path)) if step.kind == "round" else 0)

    ledger = "ledger.dir=ledgers"
    here = run_calls(*SETTINGS, folder="here")
    there = run_calls(*SETTINGS, ledger, f"engine={engine}", folder="there", progress=look)

    assert max(running) > 3  # what is looked for below is there while the run goes on
    assert processes_in(tmp_path) == []
    models = [(run.run_dir / "model.safetensors").read_bytes() for run in (here, there)]
    assert models[0] == models[1]
    for part in ("outcome", "utility", "rounds", "privacy", "unsafe"):
        assert there.summary[part] == here.summary[part], part
    assert there.summary["engine"] == engine
    error = "max_abs_error_over_clip"
    assert there.summary["crypto"][error] == here.summary["crypto"][error] is not None
    assert all(value > 0 for value in there.summary["crypto"]["seconds"].values())
    lines = [read_lines(run.run_dir / "metrics.jsonl") for run in (here, there)]
    for key in ("round", "attempt", "closed", "survivors", "auc", "epsilon"):
        assert [n[key] for n in lines[0]] == [n[key] for n in lines[1]], key
    # What the missing site answers is the one code of every refusal.
    wire = read_lines(there.run_dir / "wire.jsonl")
    refused = [n for n in wire if n["field"].endswith(".refused")]
    assert [(n["site"], n["round"]) for n in refused] == [("site-2", 2)]
    assert not (there.run_dir / "secrets" / "sightings").exists()
    assert CANARY.encode() not in all_bytes_under(there.run_dir)


def test_a_killed_run_leaves_no_process_and_resumes_on_another_engine(
    calls: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "fedcc", "simulate", "--config-dir", str(calls), "data=calls"]
    more = ["sites=3", "rounds=30", "engine=superlink", f"run.dir={folder}"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # what a killed run cannot remove
    child = subprocess.Popen(
        [*command, *more], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
    )
    metrics, deadline = folder / "metrics.jsonl", time.monotonic() + 200
    while not metrics.exists() and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.1)
    assert metrics.exists()
    assert len(processes_in(tmp_path)) > 3

    child.kill()
    child.wait()
    deadline = time.monotonic() + 20
    while processes_in(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_in(tmp_path) == []
    values = read_config(folder)
    settings = simulation_settings(values)
    engine = dataclasses.replace(settings.engine, name="inprocess")
    settings = dataclasses.replace(settings, engine=engine)
    resumed = simulation.simulate(settings, values, resume=folder)

    assert resumed.summary["outcome"] == "completed"
    assert resumed.summary["rounds"] == 30
    assert resumed.summary["privacy"]["steps"] in (30, 31)  # an attempt may have been open


def test_an_interrupted_run_stops_between_rounds_and_leaves_no_process(
    run_calls: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def interrupt(step: Progress) -> None:
        if step.kind == "round" and step.round_number == 1:
            os.kill(os.getpid(), signal.SIGINT)

    stopped = run_calls("rounds=30", "engine=superlink", progress=interrupt)

    assert stopped.exit_code == 130
    assert stopped.summary["outcome"] == "interrupted"
    assert stopped.summary["privacy"]["steps"] < 30
    assert not (stopped.run_dir / "model.safetensors").exists()
    assert processes_in(tmp_path) == []


# Starts that fail.


@pytest.fixture
def fail_to_start(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Run on a SuperLink that does not come up; return the error's text."""
    monkeypatch.chdir(tmp_path)

    def run(*overrides: str) -> str:
        small = ["data=calls", "sites=3", "rounds=2", "engine=superlink", "run.dir=run"]
        values = config.compose("simulate", [*small, *overrides], calls)
        result = simulation.simulate(simulation_settings(values), values)
        assert isinstance(result.error, TooFewSites)
        assert result.exit_code == 7
        assert result.summary["privacy"]["steps"] == 0  # nothing was charged
        assert processes_in(tmp_path) == []
        return str(result.error)

    return run


def test_an_engine_that_is_too_slow_is_named_with_the_key(
    fail_to_start: Callable[..., str],
) -> None:
    text = fail_to_start("engine.start_timeout_seconds=0.01")

    assert "engine.start_timeout_seconds" in text
    assert "run/secrets/engine.log" in text


def test_a_superlink_that_ends_is_named_with_its_log_and_not_its_content(
    fail_to_start: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The port of another program: Flower's SuperLink cannot bind to it and ends.
    taken = launch.free_ports(1)[0]
    import socket

    with socket.socket() as other:
        other.bind((launch.LOOPBACK, taken))
        other.listen()
        monkeypatch.setattr(launch, "free_ports", lambda count: [taken] * count)
        text = fail_to_start()

    assert "Flower's SuperLink ended with code" in text or "SuperNode ended with code" in text
    assert "run/secrets/engine.log" in text
    assert "address already in use" not in text
    assert "address already in use" in (tmp_path / "run/secrets/engine.log").read_text()
