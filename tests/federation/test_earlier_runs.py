"""Expected accuracy is that of completed runs of the very same plan, or unknown."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fedcc
from fedcc.federation.earlier_runs import EarlierRuns
from fedcc.federation.forecast import Forecast
from fedcc.federation.forecast_record import forecast_record
from fedcc.federation.simulation import RunResult

Run = Callable[..., RunResult]

SMALL = ("data=calls", "sites=3", "rounds=3")


@pytest.fixture
def look(calls: Path, tmp_path: Path) -> Callable[..., Forecast]:
    def plan(*overrides: str, engine: str = "inprocess") -> Forecast:
        return fedcc.plan([*SMALL, f"engine={engine}", *overrides], config_dir=calls, runs=tmp_path)

    return plan


def rewrite(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_runs_of_the_same_plan_are_found_with_their_metric(
    run_calls: Run, look: Callable[..., Forecast]
) -> None:
    runs = [run_calls(folder="deep/in/one"), run_calls("data.partition=iid", folder="two")]
    run_calls("privacy.epsilon=2", folder="another")

    found = look().earlier

    values = [run.summary["utility"]["federated"] for run in runs]
    assert sorted(found.values) == sorted(values)
    assert found.mean == pytest.approx(sum(values) / 2)
    assert set(found.runs) == {run.run_dir for run in runs}
    assert found.others == 1


@pytest.mark.parametrize(
    "other",
    ["privacy.epsilon=2", "sites=4", "rounds=4", "model=hinge", "data.public_rows=441"],
)
def test_a_run_of_any_other_plan_leaves_the_accuracy_unknown(
    run_calls: Run, look: Callable[..., Forecast], other: str
) -> None:
    run_calls(other)

    found = look()

    assert found.earlier.mean is None and found.earlier.others == 1
    assert forecast_record(found)["accuracy"]["mean"] is None


def test_a_run_that_did_not_complete_all_rounds_does_not_count(
    run_calls: Run, look: Callable[..., Forecast]
) -> None:
    for folder, changes in (("one", {"outcome": "interrupted"}), ("two", {"rounds": 2})):
        rewrite(run_calls(folder=folder).run_dir / "summary.json", **changes)

    assert look().earlier.runs == ()


def test_damaged_folders_are_counted_and_change_nothing(
    run_calls: Run, look: Callable[..., Forecast], tmp_path: Path
) -> None:
    (run_calls(folder="one").run_dir / "plan.json").unlink()
    rewrite(run_calls(folder="two").run_dir / "plan.json", added_by_a_later_version=1)
    rewrite(run_calls(folder="three").run_dir / "summary.json", utility=None)
    (tmp_path / "four").mkdir()
    (tmp_path / "four" / "summary.json").write_text("[1, 2")
    (tmp_path / "five").mkdir()
    (tmp_path / "five" / "summary.json").write_text("[]")

    found = look().earlier

    assert (found.runs, found.others, found.unreadable) == ((), 0, 3)


def test_seconds_are_those_of_earlier_runs_on_the_same_engine_or_measured_now(
    run_calls: Run, look: Callable[..., Forecast]
) -> None:
    before = forecast_record(look())["seconds"]
    run = run_calls()

    after = forecast_record(look())["seconds"]

    assert "measured now" in before["basis"] and before["per_round"] > 0
    assert "earlier run" in after["basis"]
    assert after["per_round"] == run.summary["timing"]["seconds_per_round"]
    elsewhere = forecast_record(look(engine="superlink"))["seconds"]
    assert elsewhere["per_round"] is None and "unknown" in elsewhere["basis"]


def test_a_folder_that_is_not_there_holds_no_runs(calls: Path, tmp_path: Path) -> None:
    found = fedcc.plan(SMALL, config_dir=calls, runs=tmp_path / "none").earlier

    assert found == EarlierRuns(tmp_path / "none", (), (), (), 0, 0)
