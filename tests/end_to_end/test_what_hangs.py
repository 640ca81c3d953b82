"""Processes that stop answering and do not end: no exit code tells of them, no port closes."""

import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "simulations"))
from _drill import Drill  # noqa: E402
from _faults import hook  # noqa: E402

pytestmark = pytest.mark.processes
STUCK = "12"  # seconds; 300 where nothing shortens it
VICTIMS = {"hub": "superlink", "site-1": "supernode", "site-2": "site"}


def freeze(drill: Drill, name: str, process: str) -> None:
    """Stop a process for good; nobody lets it go on."""
    os.kill(drill.processes(name)[process], signal.SIGSTOP)


def stuck(drill: Drill, name: str) -> int:
    return sum(line["event"] == "stuck" for line in drill.log(name))


@pytest.mark.timeout(400)
def test_whatever_hangs_is_started_again_and_the_run_goes_on(tmp_path: Path) -> None:
    drill = Drill.prepare(tmp_path / "drill", n_sites=4, rounds=14)
    for name in ("hub", *drill.made.sites):
        hook(drill, name, FEDCC_DRILL_STUCK=STUCK)
    drill.start_all()
    try:
        drill.wait(lambda: len(drill.attempts()) >= 2, "two rounds closed")
        for name, process in VICTIMS.items():
            freeze(drill, name, process)
        for name in VICTIMS:
            drill.wait(lambda name=name: stuck(drill, name), f"{name} notices what hangs", 60.0)
        before = len(drill.attempts())
        drill.wait(lambda: len(drill.attempts()) > before + 1, "rounds close again")
        assert drill.outcome() is None
        told = stuck(drill, "hub")
        freeze(drill, "hub", "runs")
        drill.wait(lambda: stuck(drill, "hub") > told, "the process of runs hangs", 60.0)
        drill.wait(drill.outcome, "the run ends")
        drill.wait(lambda: len(drill.models()) == 4, "every site has written its model")
        assert all(service.poll() is None for service in drill.services.values())
    finally:
        drill.close()

    assert drill.outcome() == "completed"
    assert len(set(drill.models().values())) == 1
    for site in drill.made.sites:
        charges = drill.charges(site)
        assert len(charges) == len(set(charges)) and drill.uploads_seen(site) <= set(charges)
