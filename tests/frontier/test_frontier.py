"""A small sweep: what its cells are, that it resumes, and what it says."""

import contextlib
import copy
import fcntl
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fedcc import simulate
from fedcc.cli.main import main
from fedcc.errors import ConfigError, RecordError
from fedcc.frontier import bench, figure
from fedcc.frontier.cells import data_fingerprint
from fedcc.frontier.compute import compute_cell, read_result
from fedcc.frontier.settings import split_overrides
from fedcc.frontier.sweep import SweepStep, run_cells
from fedcc.frontier.table import NAMES, Point, interval, points_of

TINY = ("data=calls", "rounds=3", "textbook.rounds=1", "textbook.learning_rates=[2.0]", "workers=1")


def sweep(calls: Path, out: Path, *overrides: str) -> bench.Sweep:
    return bench.plan_sweep([*TINY, *overrides], out=out, config_dir=calls)


def silent(step: SweepStep) -> None:
    return None


def test_central_and_no_privacy_cells_are_not_repeated_for_each_place(
    calls: Path, tmp_path: Path
) -> None:
    cells = sweep(calls, tmp_path, "epsilon=1,4", "seeds=2", "sites=3,5").cells

    counted = {curve: sum(cell.curve == curve for cell in cells) for curve in NAMES}
    assert counted["federation"] == counted["textbook"] == 2 * 2 * 2  # budgets, seeds, sites
    assert (counted["central_dp"], counted["no_privacy"]) == (2 * 2, 2)
    assert len({cell.key for cell in cells}) == len(cells)


def test_the_key_moves_with_settings_and_rows_and_not_with_places(
    calls: Path, tmp_path: Path
) -> None:
    one = ("epsilon=1", "seeds=1", "sites=3", "curves=federation")
    [cell] = sweep(calls, tmp_path, *one).cells

    assert sweep(calls, tmp_path / "b", *one, "cache=none").cells[0].key == cell.key
    assert sweep(calls, tmp_path, *one, "training.momentum=0.8").cells[0].key != cell.key
    moved = copy.deepcopy(cell.values)
    text = Path(moved["data"]["source"]["path"]).read_text().replace("stays", "leaves", 1)
    (tmp_path / "calls.csv").write_text(text)
    moved["data"]["path"] = str(tmp_path / "calls.csv")
    assert data_fingerprint(moved) != data_fingerprint(cell.values)


def test_a_small_sweep_writes_table_and_figure_and_resumes_without_computing(
    calls: Path, tmp_path: Path
) -> None:
    steps: list[SweepStep] = []
    planned = sweep(calls, tmp_path, "epsilon=1", "seeds=2", "sites=3", "workers=2")

    first = bench.run_sweep(planned, steps.append)
    made = {path: path.stat().st_mtime_ns for path in tmp_path.glob("cells/*/result.json")}
    again = bench.run_sweep(planned, steps.append)

    assert first.exit_code == 0 and len(made) == len(planned.cells) == 5 * 2 + 2
    assert made == {path: path.stat().st_mtime_ns for path in made}
    assert again.points == first.points and steps[-1].reused == len(made)
    assert {row["curve"] for row in bench.read_points(tmp_path)} == set(NAMES)
    for point in first.points:  # no point stands at a budget that its cells did not keep
        assert point.epsilon is None or float(point.claimed_epsilon or 9) <= point.epsilon
    assert "UNSAFE" not in first.text and "No result" not in first.text
    assert (tmp_path / "frontier.svg").read_text().rstrip().endswith("</svg>")
    lines = (tmp_path / "frontier.csv").read_text().splitlines()
    assert len(lines) == 1 + len(planned.cells)


def test_a_cell_of_a_sweep_is_the_run_that_simulate_makes(calls: Path, tmp_path: Path) -> None:
    planned = sweep(calls, tmp_path, "epsilon=4", "seeds=1", "sites=3", "curves=federation")

    [point] = bench.run_sweep(planned, silent).points

    alone = simulate(
        ["data=calls", "rounds=3", "sites=3", "privacy.epsilon=4", "seed=1", "run.report=false",
         f"run.dir={tmp_path / 'alone'}", "baselines=[central_dp]"],
        config_dir=calls,
    )  # fmt: skip
    assert point.values == (alone.summary["utility"]["federated"],)
    central = sweep(calls, tmp_path, "epsilon=4", "seeds=1", "sites=3", "curves=central_dp")
    [other] = bench.run_sweep(central, silent).points
    assert other.values == (alone.summary["utility"]["central_dp"],)


def processes_in_session(session: int) -> list[int]:
    """Living processes of a session; those that are only waited for do not count."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found


@pytest.mark.processes
def test_a_killed_sweep_goes_on_where_it_stopped(calls: Path, tmp_path: Path) -> None:
    words = [*TINY, "epsilon=1,2", "seeds=2", "sites=3", "curves=federation", "workers=2"]
    command = [sys.executable, "-m", "fedcc", "frontier", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [*command, "--config-dir", str(calls), *words], start_new_session=True
    )
    while process.poll() is None and not list(tmp_path.glob("out/cells/federation-*/result.json")):
        time.sleep(0.02)
    process.kill()  # the parent alone; its workers end with it
    process.wait()
    while processes_in_session(process.pid):
        time.sleep(0.02)
    finished = {p: p.read_bytes() for p in tmp_path.glob("out/cells/federation-*/result.json")}

    code = main(["frontier", "--out", str(tmp_path / "out"), "--config-dir", str(calls), *words])

    assert finished and code == 0
    assert len(list(tmp_path.glob("out/cells/federation-*/result.json"))) == 4
    assert {path: path.read_bytes() for path in finished} == finished


def test_a_worker_that_outlives_its_sweep_changes_nothing(calls: Path, tmp_path: Path) -> None:
    one = ("epsilon=1", "seeds=1", "sites=3", "curves=federation")
    planned = sweep(calls, tmp_path, *one)
    bench.run_sweep(planned, silent)
    [result] = tmp_path.glob("cells/*/result.json")
    before = result.read_bytes()
    (tmp_path / "cells" / ".unfinished-x").mkdir()

    compute_cell(planned.cells[0], tmp_path / "cells")  # as an orphan would, some time later
    found = bench.run_sweep(planned, silent)

    assert result.read_bytes() == before and len(found.points) == 1
    assert {path.name for path in (tmp_path / "cells").iterdir()} == {
        ".lock",
        planned.cells[0].name,
    }


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"key": "0" * 64}, RecordError),
        ({"value": 7.0}, RecordError),
        ({"epsilon": 1.2}, ConfigError),
    ],
)
def test_a_result_that_was_altered_or_overspent_is_refused(
    calls: Path, tmp_path: Path, change: dict[str, Any], error: type[Exception]
) -> None:
    [cell] = sweep(calls, tmp_path, "epsilon=1", "seeds=1", "sites=3", "curves=central_dp").cells
    result = compute_cell(cell, tmp_path)
    assert read_result(cell, tmp_path) is not None

    (tmp_path / cell.name / "result.json").write_text(json.dumps({**result, **change}))

    with pytest.raises(error):
        read_result(cell, tmp_path)


def test_open_updates_have_no_place_at_a_budget_they_do_not_keep(
    calls: Path, tmp_path: Path
) -> None:
    planned = sweep(
        calls, tmp_path, "epsilon=1", "seeds=1", "sites=3", "curves=federation", "crypto=none"
    )

    found = bench.run_sweep(planned, silent)

    assert found.points == [] and found.exit_code == ConfigError.exit_code
    assert "above its budget" in found.failures[0].text and "No result" in found.text


def test_two_sweeps_never_share_a_folder_at_a_time(calls: Path, tmp_path: Path) -> None:
    planned = sweep(calls, tmp_path, "epsilon=1", "seeds=1", "sites=3", "curves=central_dp")
    (tmp_path / "cells").mkdir()
    with (tmp_path / "cells" / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        with pytest.raises(ConfigError, match="another sweep"):
            run_cells(planned.cells, tmp_path / "cells", workers=1, progress=silent)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["epsilon=0"], "budgets > 0"),
        (["epsilon=1,1"], "twice"),
        (["curves=federation,textbok"], "Did you mean 'textbook'"),
        (["seeds=0"], "at least 1"),
        (["seed=1"], "sets this key itself"),
        (["training.momentum=0.5,0.9"], "one value"),
        (["privacy=none"], "privacy=none"),
        (["tune.law=poisson", "tune.sampler=tpe"], "independent trials"),
    ],
)
def test_settings_that_mean_nothing_end_a_sweep_before_it_begins(
    calls: Path, tmp_path: Path, overrides: list[str], words: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        sweep(calls, tmp_path / "out", *overrides)

    assert not (tmp_path / "out").exists()


def test_lists_of_the_sweep_need_no_brackets() -> None:
    own, rest = split_overrides(["epsilon=1,2", "curves=[textbook]", "task=intent"])

    assert (own, rest) == (["epsilon=[1,2]", "curves=[textbook]"], ["task=intent"])


def test_the_interval_is_students_as_scipy_has_it() -> None:
    values = [0.81, 0.84, 0.82, 0.85]

    low, high = interval(values, 0.95) or (0.0, 0.0)

    expected = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (low, high) == pytest.approx(expected)
    assert interval([0.8], 0.95) is None


def test_the_textbook_shows_one_step_size_for_all_seeds(calls: Path, tmp_path: Path) -> None:
    planned = sweep(
        calls, tmp_path, "epsilon=1", "seeds=2", "sites=3", "curves=textbook",
        "textbook.learning_rates=1,2",
    )  # fmt: skip
    tables = [{"1.0": 0.9, "2.0": 0.6}, {"1.0": 0.5, "2.0": 0.7}]
    results = {
        cell.key: {"by_learning_rate": table, "epsilon": 1.0}
        for cell, table in zip(planned.cells, tables, strict=True)
    }

    [point] = points_of(planned.cells, results, planned.settings)

    assert (point.learning_rate, point.values) == (1.0, (0.9, 0.5))  # not the best of each seed


def a_point(**changes: Any) -> Point:
    values = {"curve": "federation", "sites": 3, "epsilon": 1.0, "claimed_epsilon": 0.9}
    values |= {"mean": 0.8, "low": 0.78, "high": 0.82, "values": (0.8,), "learning_rate": None}
    return Point(**{**values, **changes})


def test_every_colour_of_the_figure_has_its_dark_one() -> None:
    points = [a_point(curve=curve, epsilon=e) for curve in NAMES for e in (1.0, 8.0)]

    text = figure.frontier_svg(points, data="calls", metric="auc", unit="record", unsafe=[])

    body = text[text.index("</style>") :]
    used = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", body))
    assert used <= set(figure.DARK) and "prefers-color-scheme: dark" in text


def test_a_figure_of_unprotected_runs_says_so_across_it() -> None:
    text = figure.frontier_svg(
        [a_point()], data="calls", metric="auc", unit="record", unsafe=["crypto_none"]
    )

    assert "UNSAFE: crypto_none" in text
