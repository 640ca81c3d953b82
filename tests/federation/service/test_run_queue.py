"""Which runs an aggregator takes up."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedcc.deployment.aggregator_file import AggregatorHome
from fedcc.errors import FedccError
from fedcc.federation.service.run_queue import QueuedRun, queued_runs

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "simulations"))
from _drill import Drill  # noqa: E402


@pytest.fixture
def drill(tmp_path: Path) -> Drill:
    return Drill.prepare(tmp_path / "drill", n_sites=3, rounds=2)


def queue(drill: Drill) -> tuple[list[QueuedRun], list[tuple[Path, FedccError]]]:
    refused: list[tuple[Path, FedccError]] = []
    found = queued_runs(
        AggregatorHome.open(drill.made.hub), lambda path, error: refused.append((path, error))
    )
    return found, refused


def test_a_submitted_run_is_taken_up_until_it_has_an_outcome(drill: Drill) -> None:
    [run], refused = queue(drill)
    assert (run.plan, refused) == (drill.signed.plan, [])

    run.folder.mkdir(parents=True)
    assert len(queue(drill)[0]) == 1  # begun, and not ended: it is resumed

    run.outcome.write_text(json.dumps({"outcome": "completed"}))
    assert queue(drill) == ([], [])


def test_a_plan_that_was_altered_is_refused_and_the_others_are_carried_out(drill: Drill) -> None:
    plans = drill.made.hub / "plans"
    [good] = plans.glob("*.plan.json")
    rogue = plans / "rogue.plan.json"
    rogue.write_bytes(good.read_bytes().replace(b'"rounds": 2', b'"rounds": 9'))
    assert rogue.read_bytes() != good.read_bytes()

    found, refused = queue(drill)

    assert [run.plan for run in found] == [drill.signed.plan]
    assert [(path, error.exit_code) for path, error in refused] == [(rogue, 6)]


def test_a_plan_of_another_admin_is_refused(drill: Drill, tmp_path: Path) -> None:
    other = Drill.prepare(tmp_path / "other", n_sites=3, rounds=2)
    [stranger] = (other.made.hub / "plans").glob("*.plan.json")
    (drill.made.hub / "plans" / "stranger.plan.json").write_bytes(stranger.read_bytes())

    found, refused = queue(drill)

    assert len(found) == 1
    assert refused[0][1].exit_code == 6


def test_a_plan_that_was_never_begun_in_its_time_is_late_and_one_that_was_is_not(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Later":
            return cls(2100, 1, 1, tzinfo=UTC)

    [run], _ = queue(drill)
    assert not run.is_late

    monkeypatch.setattr("fedcc.federation.service.run_queue.datetime", Later)
    assert run.is_late

    run.folder.mkdir(parents=True)
    assert not run.is_late
