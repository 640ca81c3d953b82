"""Sentences behind uploads: named from plain ones, not from what the aggregator of a run sees."""

from collections.abc import Callable
from pathlib import Path

import pytest
from attacks.bench import finished

from fedcc.attacks.leakage import invert_uploads
from fedcc.attacks.settings import InversionSettings
from fedcc.errors import ConfigError
from fedcc.federation.replay import open_finished
from fedcc.federation.simulation import RunResult

SETTINGS = InversionSettings(sentences=16)
LEAST_P = 1e-6  # a blind guesser passes with one run in a million


def test_a_plain_upload_names_its_sentences_and_the_run_s_own_does_not(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")

    found = invert_uploads(run, SETTINGS, seed=1)

    assert found.plain.share >= 0.85
    assert found.plain.chance < LEAST_P
    assert found.seen.chance > LEAST_P
    assert found.blind_share == found.sentences / found.candidates


def test_an_aggregator_of_a_run_without_protection_sees_as_much_as_a_plain_one(
    tmp_path: Path,
) -> None:
    # The twin: the same reading of the run's own uploads, with nothing on them.
    run = finished(tmp_path / "run", "crypto=none", "privacy=none")

    found = invert_uploads(run, SETTINGS, seed=1)

    assert found.seen.share >= 0.85


def test_a_run_without_texts_is_refused(run_calls: Callable[..., RunResult]) -> None:
    run = open_finished(run_calls().run_dir)

    with pytest.raises(ConfigError, match="linear head"):
        invert_uploads(run, SETTINGS, seed=1)
