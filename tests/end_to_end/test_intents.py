"""Intents from a file to a prediction: texts, K classes, both recipes, every scheme."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fedcc
from fedcc.errors import ConfigError
from fedcc.federation.simulation import RunResult

WORDS = {
    "bill": ["bill", "invoice", "charged", "amount", "cost"],
    "outage": ["down", "outage", "broken", "dead", "signal"],
    "leave": ["cancel", "leave", "terminate", "quit", "end"],
    "sim": ["sim", "card", "swap", "number", "port"],
}
YAML = """
name: wishes
source: {kind: csv, path: PATH}
public_rows: 2250
test: {kind: hash, fraction: 0.25}
consent: {basis: public_dataset, source: made up for tests}
columns:
  said: {role: text}
  wish:
    role: label
    values: [bill, outage, leave, sim]
    label_names: {bill: bill invoice, outage: outage signal down, leave: cancel end, sim: sim card}
    out_of_scope: [chat]
"""
CANARY = "ZQXJ7431CANARY"
Run = Callable[..., RunResult]


@pytest.fixture(scope="session")
def wishes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `--config-dir` with four intents that single words give away, and small talk."""
    folder = tmp_path_factory.mktemp("wishes")
    rng = np.random.default_rng(11)
    with (folder / "wishes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["said", "wish"])
        for row in range(3000):
            wish = list(WORDS)[row % 4]
            said = " ".join(rng.choice(["please", "hello", "my", "the", "about", "now"], 4))
            writer.writerow([f"{said} {rng.choice(WORDS[wish])} {CANARY}{row}", wish])
        for row in range(30):
            writer.writerow([f"how are you today {row}", "chat"])
    (folder / "data").mkdir()
    (folder / "data" / "wishes.yaml").write_text(YAML.replace("PATH", str(folder / "wishes.csv")))
    return folder


@pytest.fixture
def run_wishes(wishes: Path, tmp_path: Path) -> Run:
    def run(*overrides: str, folder: str = "run") -> RunResult:
        fixed = ["task=intent", "data=wishes", "encoder=hashing", "sites=4", "rounds=8"]
        more = [
            "cache=none",
            "data.partition=dirichlet",
            f"run.dir={tmp_path / folder}",
            "run.report=false",
        ]
        return fedcc.simulate([*fixed, *more, *overrides], config_dir=wishes)

    return run


def test_four_intents_are_learnt_under_noise_and_encryption(run_wishes: Run) -> None:
    result = run_wishes("seed=1", "privacy=explore", "baselines=true")

    utility = result.summary["utility"]
    assert result.exit_code == 0 and result.summary["task"] == "intent"
    assert utility["metric"] == "accuracy"
    # A quarter by chance; single words tell the classes apart.
    assert utility["federated"] > 0.7
    assert utility["federated"] == pytest.approx(utility["central_dp_same_noise"], abs=0.02)


def test_the_model_card_names_labels_encoder_and_recipe(run_wishes: Run) -> None:
    result = run_wishes()

    card = json.loads((result.run_dir / "model.json").read_text())
    plan = json.loads((result.run_dir / "plan.json").read_text())
    assert card["labels"] == ["bill", "outage", "leave", "sim"]
    assert card["encoder"] == "hashing" and card["features"] == []
    assert card["features_sha256"] == plan["features_sha256"]
    assert plan["n_parameters"] == 4 * plan["n_features"]


def test_out_of_scope_rows_are_held_and_never_train(run_wishes: Run) -> None:
    result = run_wishes()

    assert result.summary["data"]["gates"]["out_of_scope"] == 30
    deferral = json.loads((result.run_dir / "model.json").read_text())["deferral"]
    assert deferral["held_rows"] == 30
    assert 0 <= deferral["auc_of_confidence"] <= 1
    assert result.summary["data"]["rows"] + 30 < 3030


def test_one_round_of_class_means_is_a_whole_training(run_wishes: Run) -> None:
    result = run_wishes("training=one_round", "rounds=1", "privacy=explore", "seed=1")

    assert result.summary["rounds"] == 1
    assert result.summary["privacy"]["steps"] == 1
    assert result.summary["privacy"]["epsilon"] == pytest.approx(8.0, rel=1e-6)
    assert result.summary["utility"]["federated"] > 0.6


def test_more_than_one_round_of_class_means_is_refused(run_wishes: Run) -> None:
    with pytest.raises(ConfigError, match="one round, got rounds=8"):
        run_wishes("training=one_round")


@pytest.mark.parametrize("training", ["label_init", "one_round"])
def test_schemes_give_the_same_intent_model(run_wishes: Run, training: str) -> None:
    chosen = [f"training={training}", "seed=3", f"rounds={1 if training == 'one_round' else 3}"]
    masked = run_wishes(*chosen, "privacy.min_sites=4", folder="bfv")
    plain = run_wishes(*chosen, "crypto=none", folder="none")

    models = [(r.run_dir / "model.safetensors").read_bytes() for r in (masked, plain)]
    assert models[0] == models[1]


def test_a_perceptron_learns_intents_too(run_wishes: Run) -> None:
    result = run_wishes("model=mlp", "privacy=none", "rounds=30", "seed=1")

    assert result.summary["utility"]["federated"] > 0.6


def test_a_text_model_from_scratch_learns_under_noise_and_encryption_and_predicts(
    run_wishes: Run, tmp_path: Path
) -> None:
    text = ["model=text", "encoder.dimension=512", "seed=1", "privacy=explore", "rounds=50"]
    result = run_wishes(*text, "baselines=[central_dp_same_noise]")
    asked = tmp_path / "asked.csv"
    asked.write_text("said\nmy invoice please\nthe outage now\n")

    utility = result.summary["utility"]
    assert result.exit_code == 0 and result.summary["privacy"]["noise"] == "shared"
    assert result.summary["crypto"]["model_parameters"] == 16 * (512 + 4)
    # A quarter by chance; single words tell the classes apart.
    assert utility["federated"] > 0.7
    assert utility["federated"] == pytest.approx(utility["central_dp_same_noise"], abs=0.02)
    labels = [label for _, label, _ in fedcc.predict(asked, result.run_dir)]
    assert labels == ["bill", "outage"]


def test_predictions_come_with_a_confidence(run_wishes: Run, tmp_path: Path) -> None:
    result = run_wishes("privacy=none", "rounds=20", "seed=1")
    asked = tmp_path / "asked.csv"
    asked.write_text("said,other\nmy invoice please,x\nthe outage now,y\n=cmd|' /C calc'!A0,z\n")

    for private in ("secrets", "checkpoints"):  # what is handed on has neither
        shutil.rmtree(result.run_dir / private)

    rows = fedcc.predict(asked, result.run_dir)

    assert [row for row, _, _ in rows] == [1, 2, 3]
    assert [label for _, label, _ in rows[:2]] == ["bill", "outage"]
    assert all(0.25 <= confidence <= 1 for _, _, confidence in rows)


def test_no_text_reaches_the_run_folder(run_wishes: Run) -> None:
    result = run_wishes()

    for path in result.run_dir.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["task=churn", "training=full_batch"], "churn needs columns with role: feature"),
        (["training=full_batch", "training.prior=label_names", "task=churn"], "churn needs|prior"),
        (["model=hinge"], "hinge is for profile columns"),
        (["encoder.dimension=77"], "encoder"),
    ],
)
def test_settings_that_do_not_fit_texts_are_refused(
    run_wishes: Run, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run_wishes(*overrides)


def test_text_without_features_is_no_intent_set(run_calls: Run) -> None:
    with pytest.raises(ConfigError, match="encoder|public centre|at least two|intent"):
        run_calls("task=intent", "encoder=hashing", "encoder.dimension=77")
