"""Replays of a finished run: the same plan, other rows, and no trace."""

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import all_bytes_under

from fedcc.errors import ConfigError, PolicyViolation, RecordError
from fedcc.federation.replay import open_finished, replay
from fedcc.federation.simulation import RunResult
from fedcc.federation.site_parts import AppliedNote, UploadNote, Watch
from fedcc.tasks.task import Examples

RunCalls = Callable[..., RunResult]


def test_a_replay_has_the_run_s_plan_and_the_rows_that_it_is_given(
    run_calls: RunCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run = open_finished(run_calls("privacy=none").run_dir)
    before = all_bytes_under(run.path)
    empty = [Examples(s.features[:0], s.labels[:0], s.customers) for s in run.data.sites]
    empty = [dataclasses.replace(s, customers=np.zeros(0, dtype=np.int64)) for s in empty]
    uploads: list[UploadNote] = []
    rounds: list[AppliedNote] = []

    eyes = Watch(on_upload=uploads.append, on_applied=rounds.append)
    replay(run, empty, plan=run.plan, seed=1, eyes=eyes)

    assert len(uploads) == 3 * 3  # rounds and sites
    assert {note.closed.round_number for note in rounds} == {1, 2, 3}
    # No rows and no noise: what is left of a sum is the dither of three sites, below a grid step.
    assert max(np.abs(note.update).max() for note in uploads) <= 1
    assert all_bytes_under(run.path) == before  # ledgers too
    assert not list(tmp_path.glob("fedcc-replay-*"))


def test_seeded_replays_are_equal_and_others_are_not(run_calls: RunCalls) -> None:
    run = open_finished(run_calls().run_dir)
    seen: dict[str, list[UploadNote]] = {}
    for name, seed in (("one", 5), ("same", 5), ("fresh", None)):
        notes = seen[name] = []
        replay(run, run.data.sites, plan=run.plan, seed=seed, eyes=Watch(on_upload=notes.append))

    def bytes_of(name: str) -> list[bytes]:
        return [note.update.tobytes() for note in seen[name]]

    assert bytes_of("one") == bytes_of("same") != bytes_of("fresh")


def test_the_refusal_of_a_site_is_the_error_of_its_replay(run_calls: RunCalls) -> None:
    run = open_finished(run_calls().run_dir)
    foreign = dataclasses.replace(run.plan, features_sha256="0" * 64)

    with pytest.raises(PolicyViolation, match="features"):
        replay(run, run.data.sites, plan=foreign, seed=1, eyes=Watch())


def test_an_unfinished_run_is_refused(run_calls: RunCalls) -> None:
    path = run_calls().run_dir
    (path / "summary.json").unlink()

    with pytest.raises(ConfigError, match="--resume"):
        open_finished(path)


def test_a_copy_without_secrets_is_refused(run_calls: RunCalls) -> None:
    path = run_calls().run_dir
    (path / "secrets" / "simulation.json").unlink()

    with pytest.raises(RecordError, match="secrets"):
        open_finished(path)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"config\.yaml"):
        open_finished(tmp_path)
