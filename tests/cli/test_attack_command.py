"""`fedcc attack` as somebody types it: table, report, picture, refusals."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from attacks.bench import finished, planted_bugs

from fedcc.cli.main import main
from fedcc.federation.simulation import RunResult

QUICK = ["canaries.count=400", "membership.records=60", "membership.shadows=8",
         "membership.rounds=5", "inversion.sentences=4", "seed=1"]  # fmt: skip


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("run") / "run", "privacy.epsilon=8").path


def test_every_attack_is_in_table_report_and_picture(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["attack", str(run_dir), "--out", str(tmp_path), *QUICK])

    printed = capsys.readouterr().out
    report = json.loads((tmp_path / "attack.json").read_text())
    picture = (tmp_path / "attack.svg").read_text()
    assert code == 0
    for word in ("outsider", "claim", "everyone_else", "membership", "inversion", "attack.svg"):
        assert word in printed
    assert report["canaries"]["canaries"] == 400
    assert report["canaries"]["observers"]["claim"]["claimed"] == pytest.approx(8.0)
    assert report["claimed"]["epsilon"] == pytest.approx(8.0)
    assert report["simulation"] is True and report["left_out"] == {}
    assert "Claimed against empirical epsilon" in picture and "sentences named" in picture


def test_json_is_the_report(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["attack", str(run_dir), "--json", "--only", "inversion", *QUICK])

    shown = json.loads(capsys.readouterr().out)
    assert code == 0
    assert shown == json.loads((run_dir / "attack.json").read_text())
    assert shown["canaries"] is None and shown["membership"] is None


def test_a_bound_above_its_claim_is_marked(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with planted_bugs().BUGS["noise off"]():
        main(["attack", str(run_dir), "--only", "canaries", "--out", str(tmp_path), *QUICK])

    assert capsys.readouterr().out.count("REFUTED") == 3
    assert json.loads((tmp_path / "attack.json").read_text())["canaries"]["refuted"] is True
    assert "beyond" in (tmp_path / "attack.svg").read_text()


def test_what_does_not_fit_a_run_is_left_out_with_its_reason(
    run_calls: Callable[..., RunResult], capsys: pytest.CaptureFixture[str]
) -> None:
    path = run_calls("model=mlp").run_dir

    code = main(["attack", str(path), *QUICK])

    printed = capsys.readouterr().out
    assert code == 0
    assert "left out   canaries: " in printed and "left out   inversion: " in printed
    assert "no canaries" in (path / "attack.svg").read_text()


@pytest.mark.parametrize(
    "extra, code, message",
    [
        (["--only", "canary"], 2, "canaries, membership, inversion"),
        (["canaries.cuont=5"], 2, "Did you mean 'canaries.count'"),
        (["level=0.7"], 2, "level"),
        (["membership.shadows=9"], 2, "even"),
        (["seed=-1"], 2, "seed"),
    ],
)
def test_a_wrong_word_ends_with_its_code_and_remedy(
    run_dir: Path, capsys: pytest.CaptureFixture[str], extra: list[str], code: int, message: str
) -> None:
    assert main(["attack", str(run_dir), *extra]) == code

    assert message in capsys.readouterr().err


def test_an_attack_that_was_asked_for_and_does_not_fit_is_an_error(
    run_calls: Callable[..., RunResult], capsys: pytest.CaptureFixture[str]
) -> None:
    path = run_calls().run_dir

    assert main(["attack", str(path), "--only", "inversion", *QUICK]) == 2

    assert "linear head" in capsys.readouterr().err
    assert not (path / "attack.json").exists()


def test_a_folder_that_is_no_run_ends_with_the_code_of_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["attack", str(tmp_path)]) == 3

    assert "Name the folder of a run" in capsys.readouterr().err
