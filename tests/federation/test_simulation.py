"""Whole runs in one process: contracts of the run folder, exactness, dropouts, resuming."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import CANARY, WITH_REPORT, all_bytes_under, read_lines

import fedcc
from fedcc.errors import BudgetExceeded, ConfigError, RecordError, TooFewSites
from fedcc.federation import settings
from fedcc.federation.progress import Progress
from fedcc.federation.simulation import RunResult
from fedcc.training.checkpoints import load_state, read_tensors

Run = Callable[..., RunResult]

SUMMARY_KEYS = {
    "": "schema_version fedcc_version simulation evaluation seeded outcome task data seed rounds "
    "engine privacy crypto utility timing unsafe",
    "data": "name sites rows rows_per_site gates consent_basis",
    "privacy": "noise unit epsilon epsilon_outsider epsilon_if_all_others_collude delta "
    "tolerated_collusion min_sites noise_multiplier max_grad_norm sample_rate steps accountant "
    "cross_check_epsilon max_interactions max_sites_per_customer epsilon_at_one_site",
    "crypto": "scheme profile security_bits threshold lanes key_id model_parameters "
    "upload_bytes_total "
    "upload_bytes_per_parameter download_bytes_per_parameter seconds max_abs_error_over_clip",
    "utility": "metric federated central_dp central_dp_same_noise central_dp_same_variance "
    "central_no_privacy local_noise site_alone_mean",
    "timing": "total_seconds startup_seconds seconds_per_round",
}


@pytest.mark.parametrize("override", ["privacy=strict", "privacy=none", "crypto=none"])
def test_the_summary_always_has_every_key(run_calls: Run, override: str) -> None:
    summary = run_calls(override).summary

    for part, keys in SUMMARY_KEYS.items():
        assert set(summary[part] if part else summary) == set(keys.split())


def test_a_run_without_a_report_draws_nothing(run_calls: Run) -> None:
    folder = run_calls("run.report=false").run_dir

    assert (folder / "summary.json").exists()
    assert not (folder / "report.html").exists() and not (folder / "figures").exists()


def test_the_run_folder_is_complete_and_secrets_are_private(run_calls: Run) -> None:
    folder = run_calls(WITH_REPORT).run_dir

    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "config.yaml",
        "summary.json",
        "metrics.jsonl",
        "wire.jsonl",
        "ledger",
        "audit",
        "checkpoints",
        "secrets",
        "model.safetensors",
        "model.json",
        "figures",
        "report.html",
    }
    for private in ("secrets", "checkpoints"):
        assert (folder / private).stat().st_mode & 0o777 == 0o700
    assert all(p.stat().st_mode & 0o077 == 0 for p in (folder / "secrets").iterdir())


def test_the_model_learns(run_calls: Run) -> None:
    result = run_calls("rounds=30", "privacy=explore", "seed=1", "baselines=true")

    utility = result.summary["utility"]
    # Logistic truth without noise reaches about .87 on this generator.
    assert utility["central_no_privacy"] > 0.8
    assert utility["federated"] > 0.7


@pytest.mark.parametrize("partition", ["natural", "iid", "dirichlet"])
@pytest.mark.parametrize("sites", [3, 6])
def test_a_federation_equals_central_training_with_the_same_noise(
    run_calls: Run, partition: str, sites: int
) -> None:
    summary = run_calls(
        f"sites={sites}", f"data.partition={partition}", "rounds=6", "baselines=true"
    ).summary

    utility = summary["utility"]
    assert utility["federated"] == pytest.approx(utility["central_dp_same_noise"], abs=1e-3)


def test_only_the_baselines_asked_for_are_trained(run_calls: Run) -> None:
    utility = run_calls(
        "rounds=6", "baselines=[central_dp_same_variance,central_no_privacy]"
    ).summary["utility"]

    trained = {name for name in settings.BASELINES if utility[name] is not None}
    assert trained == {"central_dp_same_variance", "central_no_privacy"}


def test_all_schemes_and_a_real_wire_give_the_same_model_for_the_same_seed(run_calls: Run) -> None:
    models = {
        name: read_tensors(
            run_calls(*overrides, "seed=5", folder=name, **options).run_dir / "model.safetensors"
        )["weight"]
        for name, overrides, options in [
            ("bfv", ["crypto=bfv"], {}),
            ("wire", ["crypto=bfv"], {"isolate": True}),
            ("none", ["crypto=none"], {}),
            ("ckks", ["crypto=ckks"], {}),
        ]
    }

    np.testing.assert_array_equal(models["bfv"], models["none"])
    np.testing.assert_array_equal(models["bfv"], models["wire"])
    # CKKS with scale 2^40 decodes to about 1e-8; the step size amplifies it a little.
    np.testing.assert_allclose(models["ckks"], models["none"], atol=1e-4)


def test_packed_ckks_gives_the_model_of_plain_integers_to_the_bit(run_calls: Run) -> None:
    grid = ["crypto.grid_steps=16", "seed=5"]  # a finer one would not fit into 21 bits

    packed, plain = (
        run_calls(f"crypto={name}", *grid, folder=name) for name in ("ckks_packed", "none")
    )

    left, right = (read_tensors(run.run_dir / "model.safetensors") for run in (packed, plain))
    np.testing.assert_array_equal(left["weight"], right["weight"])
    assert packed.summary["crypto"]["scheme"] == "ckks_packed"
    assert packed.summary["crypto"]["profile"] == "fedcc-he-1"


def test_unseeded_uploads_give_the_same_model_for_twice_the_bytes(run_calls: Run) -> None:
    seeded, unseeded = (
        run_calls(f"crypto.unseeded={wanted}", "seed=5", folder=wanted)
        for wanted in ("false", "true")
    )

    left, right = (read_tensors(run.run_dir / "model.safetensors") for run in (seeded, unseeded))
    np.testing.assert_array_equal(left["weight"], right["weight"])
    per_parameter = [r.summary["crypto"]["upload_bytes_per_parameter"] for r in (seeded, unseeded)]
    assert per_parameter[1] / per_parameter[0] == pytest.approx(65_536 / 32_832)


def test_masks_along_a_ring_give_the_same_model(run_calls: Run) -> None:
    # All seven needed: a ring of two neighbours has no room for a lost site.
    everyone = run_calls("seed=5", "sites=7", "privacy.min_sites=7", folder="all")
    ring = run_calls("seed=5", "sites=7", "crypto.neighbours=2", folder="ring")

    plans = [json.loads((r.run_dir / "plan.json").read_text()) for r in (everyone, ring)]
    assert [plan["neighbours"] for plan in plans] == [0, 2]
    models = [(r.run_dir / "model.safetensors").read_bytes() for r in (everyone, ring)]
    assert models[0] == models[1]


def test_a_ring_that_colluding_sites_could_cut_is_refused(run_calls: Run) -> None:
    with pytest.raises(ConfigError, match="crypto.neighbours .2. must exceed"):
        run_calls("sites=7", "crypto.neighbours=2", "privacy.tolerated_collusion=2")


@pytest.mark.parametrize("model", ["linear", "hinge", "fourier", "mlp"])
def test_the_same_seed_gives_the_same_bytes_and_none_gives_others(
    run_calls: Run, model: str
) -> None:
    def model_bytes(folder: str, *overrides: str) -> bytes:
        result = run_calls(f"model={model}", *overrides, folder=folder)
        return (result.run_dir / "model.safetensors").read_bytes()

    assert model_bytes("a", "seed=3") == model_bytes("b", "seed=3")
    assert model_bytes("c", "seed=3") != model_bytes("d", "seed=4")
    assert model_bytes("e") != model_bytes("f")


def test_a_seeded_model_is_marked_as_not_for_release(run_calls: Run) -> None:
    result = run_calls("seed=1")

    assert result.summary["seeded"] is True
    assert json.loads((result.run_dir / "model.json").read_text())["not_for_release"] is True


def test_the_ledger_holds_one_charge_per_site_and_attempt_with_the_plan_s_numbers(
    run_calls: Run,
) -> None:
    result = run_calls()

    plan = json.loads((result.run_dir / "plan.json").read_text())
    for site in plan["sites"]:
        first, *lines = read_lines(result.run_dir / "ledger" / f"{site}.jsonl")
        assert first["kind"] == "format"
        assert [line["kind"] for line in lines] == ["reserve", "settle"] * 3
        assert {line["event"]["own_variance"] for line in lines} == {plan["own_variance"]}
        assert {line["planned_sites"] for line in lines} == {len(plan["sites"])}
        # The hash of roster and plan is the one that every site's session is bound to.
        [session] = {line["session"] for line in lines}
        assert session in (result.run_dir / "secrets" / f"{site}.session.json").read_text()


def test_the_three_epsilons_are_ordered_and_cross_checked(run_calls: Run) -> None:
    privacy = run_calls().summary["privacy"]

    outsider, everyone = privacy["epsilon_outsider"], privacy["epsilon_if_all_others_collude"]
    assert outsider < privacy["epsilon"] < everyone
    assert privacy["epsilon"] <= 1.0
    # dp-accounting's privacy-loss distributions, an independent implementation.
    assert privacy["cross_check_epsilon"] == pytest.approx(privacy["epsilon"], rel=0.01)


@pytest.mark.parametrize(
    ("overrides", "unsafe"),
    [
        ([], []),
        (["privacy.noise=local"], []),
        (["privacy=none"], ["privacy_none"]),
        (["crypto=ckks_packed"], []),
        (["crypto=none"], ["crypto_none", "outsiders_only"]),
        (["crypto=ckks"], ["crypto_ckks_float", "outsiders_only"]),
        (["crypto=none", "privacy.noise=local"], ["crypto_none"]),
    ],
)
def test_what_is_switched_off_is_listed_and_on_every_figure(
    run_calls: Run, overrides: list[str], unsafe: list[str]
) -> None:
    result = run_calls(*overrides, WITH_REPORT)

    assert result.summary["unsafe"] == unsafe
    report = (result.run_dir / "report.html").read_text()
    assert ("Unsafe:" in report) == bool(unsafe)
    for figure in (result.run_dir / "figures").glob("*.svg"):
        # The watermark is drawn in the warning colour at 35 % opacity and nothing else is.
        assert ("opacity: 0.35" in figure.read_text()) == bool(unsafe), figure.name


def test_exposed_updates_are_charged_at_what_the_aggregator_learns(run_calls: Run) -> None:
    privacy = run_calls("crypto=none").summary["privacy"]

    assert privacy["epsilon"] == privacy["epsilon_if_all_others_collude"] > 1.0


def test_a_canary_of_the_data_reaches_nobody(run_calls: Run, calls: Path) -> None:
    assert CANARY.encode() in (calls / "calls.csv").read_bytes()

    folder = run_calls(WITH_REPORT, isolate=True).run_dir

    assert (folder / "report.html").exists()
    assert CANARY.encode() not in all_bytes_under(folder)


def test_free_text_is_redacted_and_counted(run_calls: Run) -> None:
    gates = run_calls().summary["data"]["gates"]

    assert gates["redacted"]["phone"] == gates["rows_read"] == 600


def test_one_operator_of_all_sites_is_named_in_the_report_as_trusted(run_calls: Run) -> None:
    result = run_calls("federation.organisations={site-1: a, site-2: a, site-3: a}", WITH_REPORT)

    assert "trusted with every sum" in (result.run_dir / "report.html").read_text()
    assert result.summary["privacy"]["tolerated_collusion"] == 1


# Poisson-sampled steps.

SAMPLED = ("privacy.noise=local", "privacy.sample_rate=0.25")


def test_sampled_steps_are_charged_by_renyi_divergences_within_the_target(run_calls: Run) -> None:
    result = run_calls(*SAMPLED)

    privacy = result.summary["privacy"]
    assert (privacy["accountant"], privacy["sample_rate"]) == ("rdp", 0.25)
    # dp-accounting's privacy-loss distributions lie below what is charged.
    assert privacy["cross_check_epsilon"] <= privacy["epsilon"] <= 1.0
    assert privacy["epsilon"] == privacy["epsilon_if_all_others_collude"]
    lines = read_lines(result.run_dir / "ledger" / "site-2.jsonl")
    for line in (line for line in lines if "event" in line):
        assert line["event"]["mechanism"] == "sampled_gaussian_alone"
        assert line["event"]["sample_rate"] == 0.25
    plan = json.loads((result.run_dir / "plan.json").read_text())
    assert plan["normaliser"] == 0.25 * 440  # public: rate times the YAML's rows


def test_every_attempt_draws_its_own_batch_and_pays_for_it(run_calls: Run) -> None:
    result = run_calls(*SAMPLED, "federation.drop=[{site: 2, round: 2, attempts: 1}]")

    assert result.summary["outcome"] == "completed"
    assert result.summary["privacy"]["steps"] == 4
    assert result.summary["privacy"]["epsilon"] <= 1.0


def test_batches_that_are_almost_always_empty_still_carry_noise_and_are_charged(
    run_calls: Run,
) -> None:
    result = run_calls("privacy.noise=local", "privacy.sample_rate=1e-5")

    assert result.summary["outcome"] == "completed"
    weights = read_tensors(result.run_dir / "model.safetensors")["weight"]
    assert np.abs(weights).min() > 0  # noise moved every coordinate
    for file in (result.run_dir / "ledger").glob("*.jsonl"):
        assert [line["kind"] for line in read_lines(file)].count("reserve") == 3


@pytest.mark.parametrize("noise", ["shared", "none"])
def test_sampling_without_local_noise_is_refused_with_the_reason(
    run_calls: Run, noise: str
) -> None:
    preset = ["privacy=none"] if noise == "none" else []
    with pytest.raises(ConfigError, match="needs noise=local.*full batches"):
        run_calls(*preset, "privacy.sample_rate=0.25")


def test_several_local_steps_a_round_are_no_setting(run_calls: Run) -> None:
    with pytest.raises(ConfigError, match="local_steps"):
        run_calls("+training.local_steps=2")


def test_a_sampled_federation_has_baselines_that_draw_batches_too(run_calls: Run) -> None:
    utility = run_calls(*SAMPLED, "baselines=true").summary["utility"]

    # The run's batches are not kept, so no other training can have the very same ones.
    assert utility["central_dp_same_noise"] is None
    assert None not in [utility[n] for n in ("central_dp", "local_noise", "central_no_privacy")]


# Dropouts.


def test_a_dropout_voids_the_attempt_is_charged_and_retried_with_fresh_noise(
    run_calls: Run,
) -> None:
    result = run_calls("federation.drop=[{site: 2, round: 2, attempts: 1}]")

    lines = read_lines(result.run_dir / "metrics.jsonl")
    assert [(n["round"], n["attempt"], n["closed"]) for n in lines] == [
        (1, 1, True),
        (2, 1, False),
        (2, 2, True),
        (3, 1, True),
    ]
    assert result.summary["outcome"] == "completed"
    assert result.summary["privacy"]["steps"] == 4
    present = read_lines(result.run_dir / "ledger" / "site-1.jsonl")
    assert [n["kind"] for n in present].count("reserve") == 4
    assert [n["kind"] for n in present].count("abort") == 1
    absent = read_lines(result.run_dir / "ledger" / "site-2.jsonl")
    assert [n["kind"] for n in absent].count("reserve") == 3


def test_with_enough_survivors_the_round_goes_on_without_the_lost_site(run_calls: Run) -> None:
    result = run_calls(
        "sites=5",
        "privacy.min_sites=4",
        "federation.drop=[{site: 2, round: 2}]",
        "baselines=true",
    )

    lines = read_lines(result.run_dir / "metrics.jsonl")
    [second] = [n for n in lines if n["round"] == 2]  # no attempt is void
    assert second["survivors"] == ["site-1", "site-3", "site-4", "site-5"]
    assert [n for n in lines if n["round"] == 3][0]["survivors"][1] == "site-2"
    assert result.summary["outcome"] == "completed"
    assert result.summary["privacy"]["steps"] == 3
    # Computed by the simulator with the noise that the sum kept: no more and no less.
    gap = (
        result.summary["utility"]["federated"] - result.summary["utility"]["central_dp_same_noise"]
    )
    assert abs(gap) < 0.01


@pytest.mark.parametrize("step", ["sign", "verify", "unmask"])
def test_a_site_that_vanishes_after_its_upload_is_in_the_sum(run_calls: Run, step: str) -> None:
    result = run_calls("sites=5", f"federation.drop=[{{site: 2, round: 2, step: {step}}}]")

    lines = read_lines(result.run_dir / "metrics.jsonl")
    assert [("site-2" in n["survivors"]) for n in lines] == [True, True, True]
    assert result.summary["privacy"]["steps"] == 3


def test_keys_rotate_within_a_run_and_the_last_one_is_named(run_calls: Run) -> None:
    result = run_calls("rounds=5", "crypto.rotate_every=2")

    notes = read_lines(result.run_dir / "audit" / "site-1.jsonl")
    named = [n["subject"].split()[-1] for n in notes if n["action"] == "epoch"]
    dealt = [
        n["subject"].split()[-1]
        for site in ("site-1", "site-2", "site-3")
        for n in read_lines(result.run_dir / "audit" / f"{site}.jsonl")
        if n["action"] == "deal"
    ]
    assert len(set(named)) == 3 and set(dealt) == set(named)
    assert result.summary["crypto"]["key_id"] == named[-1]
    assert result.summary["outcome"] == "completed"


def test_room_for_dropouts_costs_no_accuracy_when_all_answer(run_calls: Run) -> None:
    room = run_calls("sites=5", "seed=3", folder="room")
    complete = run_calls("sites=5", "seed=3", "privacy.min_sites=5", folder="complete")

    assert (room.summary["privacy"]["min_sites"], complete.summary["privacy"]["min_sites"]) == (
        4,
        5,
    )
    states = [
        load_state(r.run_dir / "checkpoints" / "site-1.safetensors") for r in (room, complete)
    ]
    # The same noise stays in both; what differs is rounding to the grid, one step a site at most.
    gap = np.abs(states[0].parameters - states[1].parameters).max()
    assert 0 <= gap < 0.01 * np.abs(states[1].parameters).max()
    for name in ("epsilon", "epsilon_outsider", "epsilon_if_all_others_collude"):
        ours, theirs = (r.summary["privacy"][name] for r in (room, complete))
        assert ours == pytest.approx(theirs, rel=1e-9)


def test_a_site_that_missed_several_rounds_catches_up(run_calls: Run) -> None:
    result = run_calls(
        "sites=5",
        "rounds=5",
        "privacy.min_sites=4",
        "federation.drop=[{site: 3, round: 2}, {site: 3, round: 3}]",
    )

    assert result.summary["privacy"]["steps"] == 5  # no attempt is void

    states = [
        load_state(result.run_dir / "checkpoints" / f"site-{n}.safetensors") for n in range(1, 6)
    ]
    assert all(state.rounds_applied == 5 for state in states)
    for state in states:
        np.testing.assert_array_equal(state.parameters, states[0].parameters)


def test_too_few_sites_end_the_run_before_more_is_charged_and_it_can_be_resumed(
    run_calls: Run, resume_run: Callable[[Path], RunResult]
) -> None:
    result = run_calls("federation.drop=[{site: 1, round: 2}]")

    assert isinstance(result.error, TooFewSites)
    assert result.exit_code == 7
    assert result.summary["outcome"] == "too_few_sites"
    assert not (result.run_dir / "model.safetensors").exists()
    assert len(read_lines(result.run_dir / "metrics.jsonl")) == 2  # 1 closed, 1 void

    resumed = resume_run(result.run_dir)

    assert resumed.summary["outcome"] == "completed"
    assert resumed.summary["privacy"]["steps"] == 4
    assert resumed.summary["rounds"] == 3
    assert resumed.summary["privacy"]["epsilon"] <= 1.0


class Stop(Exception):
    """Stands in for a crash at an arbitrary point."""


def test_a_run_stopped_between_rounds_resumes_to_the_same_model(
    run_calls: Run, resume_run: Callable[[Path], RunResult]
) -> None:
    import os
    import signal

    whole = run_calls("seed=2", "rounds=5", folder="whole")

    def interrupt(step: Progress) -> None:
        if step.kind == "round" and step.round_number == 2:
            os.kill(os.getpid(), signal.SIGINT)

    stopped = run_calls("seed=2", "rounds=5", folder="stopped", progress=interrupt)
    assert stopped.exit_code == 130
    assert stopped.summary["outcome"] == "interrupted"
    assert not (stopped.run_dir / "model.safetensors").exists()
    assert not (stopped.run_dir / "report.html").exists()

    resumed = resume_run(stopped.run_dir)

    assert resumed.summary["outcome"] == "completed"
    same = [(r.run_dir / "model.safetensors").read_bytes() for r in (whole, resumed)]
    assert same[0] == same[1]
    assert resumed.summary["privacy"]["steps"] == 5


def test_a_crash_within_a_round_costs_an_attempt_and_nothing_else(
    run_calls: Run, resume_run: Callable[[Path], RunResult], tmp_path: Path
) -> None:
    def crash(step: Progress) -> None:
        if step.kind == "round" and step.round_number == 2:
            raise Stop  # during the upload of round 3: charged, never closed

    with pytest.raises(Stop):
        run_calls("rounds=4", folder="crashed", progress=crash)
    folder = tmp_path / "crashed"
    assert not (folder / "summary.json").exists()

    resumed = resume_run(folder)

    assert resumed.summary["outcome"] == "completed"
    assert resumed.summary["rounds"] == 4
    assert resumed.summary["privacy"]["steps"] == 5


def test_a_run_that_was_stopped_while_writing_its_model_is_completed_by_resuming(
    run_calls: Run, resume_run: Callable[[Path], RunResult]
) -> None:
    result = run_calls(WITH_REPORT)
    before = (result.run_dir / "model.safetensors").read_bytes()
    for name in ("summary.json", "model.safetensors", "model.json", "report.html"):
        (result.run_dir / name).unlink()

    resumed = resume_run(result.run_dir)

    assert resumed.summary["outcome"] == "completed"
    assert (result.run_dir / "model.safetensors").read_bytes() == before
    assert resumed.summary["privacy"]["steps"] == 3  # nothing more was charged


def test_a_complete_run_is_not_resumed(
    run_calls: Run, resume_run: Callable[[Path], RunResult]
) -> None:
    with pytest.raises(ConfigError, match="complete"):
        resume_run(run_calls().run_dir)


def test_a_folder_that_is_no_run_is_not_resumed(
    resume_run: Callable[[Path], RunResult], tmp_path: Path
) -> None:
    with pytest.raises(RecordError, match="config.yaml"):
        resume_run(tmp_path)


# The ledger over several runs.


def test_a_shared_ledger_refuses_the_run_that_would_overspend(
    run_calls: Run, tmp_path: Path
) -> None:
    shared = f"ledger.dir={tmp_path / 'ledgers'}"
    assert run_calls(shared, folder="first").exit_code == 0

    notes: list[str] = []
    second = run_calls(shared, folder="second", progress=lambda step: notes.append(step.text))

    assert isinstance(second.error, BudgetExceeded)
    assert second.exit_code == 4
    assert second.summary["outcome"] == "budget"
    assert any("over all their runs" in note for note in notes)
    assert not (second.run_dir / "model.safetensors").exists()
    lines = read_lines(tmp_path / "ledgers" / "site-1.jsonl")
    assert [line["kind"] for line in lines].count("reserve") == 3  # nothing of the second run


def test_an_edited_ledger_ends_the_run_as_a_matter_of_integrity(
    run_calls: Run, tmp_path: Path
) -> None:
    shared = tmp_path / "ledgers"
    run_calls(f"ledger.dir={shared}", "privacy=strict", folder="first")
    ledger = shared / "site-2.jsonl"
    ledger.write_text(ledger.read_text().replace('"attempt":1', '"attempt":2', 1))

    result = run_calls(f"ledger.dir={shared}", folder="second")

    assert result.exit_code == 6
    assert "site-2.jsonl, line 2" in str(result.error)


def test_a_folder_that_is_not_empty_is_refused(run_calls: Run) -> None:
    run_calls()

    with pytest.raises(ConfigError, match="not empty"):
        run_calls()


# Predicting.


def test_predictions_follow_the_model_and_need_no_label(
    run_calls: Run, calls: Path, tmp_path: Path
) -> None:
    result = run_calls("privacy=none", "rounds=40")
    lines = (calls / "calls.csv").read_text().splitlines()
    header = lines[0].split(",")
    keep = [header.index(name) for name in ("calls", "region", "months")]
    scored = tmp_path / "new.csv"
    scored.write_text(
        "\n".join(",".join(line.split(",")[i] for i in keep) for line in lines) + "\n"
    )

    rows = fedcc.predict(scored, result.run_dir)

    truth = [line.split(",")[header.index("churn")] for line in lines[1:]]
    right = sum(label == true for (_, label, _), true in zip(rows, truth, strict=True))
    assert [row for row, _, _ in rows] == list(range(1, 601))
    assert right / len(rows) > 0.75
    assert all(0.5 <= confidence <= 1 for _, _, confidence in rows)


def test_predicting_without_a_model_names_the_file(tmp_path: Path, calls: Path) -> None:
    with pytest.raises(RecordError, match="config.yaml"):
        fedcc.predict(calls / "calls.csv", tmp_path)
