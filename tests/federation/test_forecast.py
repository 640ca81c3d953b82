"""The forecast says what the run will say, to the digit, and who would refuse."""

import dataclasses
import math
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from dp_accounting import GaussianDpEvent, SelfComposedDpEvent
from dp_accounting.pld import PLDAccountant

import fedcc
from fedcc import config
from fedcc.errors import BudgetExceeded, ConfigError, PolicyViolation, RecordError
from fedcc.federation.forecast import Forecast, refusal, verdict
from fedcc.federation.forecast_record import forecast_record
from fedcc.federation.simulation import RunResult
from fedcc.federation.site_opening import site_policy
from fedcc.privacy.accounting import epsilon
from fedcc.privacy.caps import lifetime_cap
from fedcc.privacy.ledger import Ledger

Run = Callable[..., RunResult]
Plan = Callable[..., Forecast]

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SMALL = ("data=calls", "sites=3", "rounds=3")
SETTINGS = {
    "default": (),
    "two digits of rounds": ("rounds=11",),
    "balanced, more retries": ("privacy=balanced", "privacy.reserved_retries=5"),
    "local noise": ("privacy.noise=local",),
    "no noise": ("privacy=none",),
    "three lanes": ("crypto.lanes=3",),
    "textbook ckks": ("crypto=ckks",),
    "no encryption": ("crypto=none",),
    "fewer survivors": ("sites=5", "privacy.min_sites=4"),
    "organisations": ("sites=5", "federation.organisations={site-1: north, site-2: north}"),
    "hidden layer": ("model=mlp",),
}


def ledger_at(path: Path | None, limit: float | None = None) -> Ledger:
    caps = () if limit is None else (lifetime_cap(limit),)
    return Ledger.read(path, caps=caps, delta=1e-5)


@pytest.fixture
def plan_calls(calls: Path, tmp_path: Path) -> Plan:
    """Forecast a small simulation on the generated set."""

    def plan(*overrides: str, **options: Any) -> Forecast:
        options = {"runs": tmp_path / "none", **options}
        return fedcc.plan([*SMALL, *overrides], config_dir=calls, **options)

    return plan


@pytest.mark.parametrize("overrides", SETTINGS.values(), ids=SETTINGS)
def test_a_forecast_agrees_to_the_digit_with_the_summary_of_the_run(
    run_calls: Run, plan_calls: Plan, overrides: tuple[str, ...]
) -> None:
    record = forecast_record(plan_calls(*overrides))

    summary = run_calls(*overrides).summary

    assert record["privacy"] == summary["privacy"]
    assert record["crypto"] == {key: summary["crypto"][key] for key in record["crypto"]}
    assert record["unsafe"] == summary["unsafe"]
    assert record["would_run"] and summary["outcome"] == "completed"


def test_the_forecast_of_another_budget_does_not_agree(run_calls: Run, plan_calls: Plan) -> None:
    record = forecast_record(plan_calls("privacy.epsilon=1.01"))

    assert record["privacy"]["epsilon"] != run_calls().summary["privacy"]["epsilon"]


def test_a_void_attempt_costs_what_the_retries_were_forecast_to_cost(
    run_calls: Run, plan_calls: Plan
) -> None:
    lossy = ("sites=4", "privacy.min_sites=4", "privacy.reserved_retries=1")

    run = run_calls(*lossy, "federation.drop=[{site: 2, round: 2, attempts: 1}]")

    _, after_retries = plan_calls(*lossy).epsilons
    assert run.summary["privacy"]["steps"] == after_retries.attempts == 4
    assert run.summary["privacy"]["epsilon"] == after_retries.guaranteed.claim


def test_epsilons_for_all_sites_are_those_of_an_independent_accountant(plan_calls: Plan) -> None:
    found = plan_calls("sites=5", "privacy.min_sites=4")

    # Second source: privacy-loss distributions of Google's dp-accounting. Of a site's noise, with
    # variance T / (4 - 1), all five survivors open what is above T / (5 - 1); four open nothing.
    plan, [after_rounds, _] = found.plan, found.epsilons
    added = plan.own_variance
    kept = added * 3 / 4
    for value, variance in (
        (after_rounds.guaranteed.outsider, 5 * kept),
        (after_rounds.guaranteed.claim, 4 * kept),
        (after_rounds.guaranteed.everyone_else, kept),
        (after_rounds.all_sites.outsider, 5 * kept),
        (after_rounds.all_sites.claim, (5 - 1) * kept),
        (after_rounds.all_sites.everyone_else, kept),
        (after_rounds.n_min_survivors.outsider, 4 * added),
        (after_rounds.n_min_survivors.claim, (4 - 1) * added),
        (after_rounds.n_min_survivors.everyone_else, added),
    ):
        multiplier = math.sqrt(variance) / plan.sensitivity
        accountant = PLDAccountant()
        accountant.compose(SelfComposedDpEvent(GaussianDpEvent(multiplier), plan.rounds))
        assert value == pytest.approx(accountant.get_epsilon(plan.delta), rel=1e-3)


@pytest.mark.parametrize("noise", [(), ("privacy.noise=local", "privacy.sample_rate=0.2")])
def test_the_noise_table_holds_what_each_number_of_rounds_would_be_calibrated_to(
    plan_calls: Plan, noise: tuple[str, ...]
) -> None:
    rows = plan_calls("rounds=8", *noise).noise_by_rounds

    assert [row.rounds for row in rows] == [2, 4, 8, 16, 32]
    for row in rows:
        plan = plan_calls(f"rounds={row.rounds}", *noise).plan
        assert row.noise_multiplier == pytest.approx(plan.noise_multiplier, rel=1e-12)
        assert row.share_sd == pytest.approx(math.sqrt(plan.own_variance), rel=1e-12)


def test_a_spent_ledger_is_shown_and_ends_the_run_as_forecast(
    run_calls: Run, plan_calls: Plan, tmp_path: Path
) -> None:
    shared = f"ledger.dir={tmp_path / 'ledgers'}"
    spent = run_calls(shared).summary["privacy"]["epsilon"]

    found = plan_calls(shared)

    again = run_calls(shared, folder="again")
    assert isinstance(found.error, BudgetExceeded) and found.exit_code == again.exit_code == 4
    assert str(found.error) == str(again.error)
    for site in found.sites:
        assert site.spent.claim == pytest.approx(spent, rel=1e-12)
        assert site.attempts_left == found.plan.max_attempts - 3 == 2


def test_a_ledger_with_room_left_admits_the_next_run_as_forecast(
    run_calls: Run, plan_calls: Plan, tmp_path: Path
) -> None:
    shared = f"ledger.dir={tmp_path / 'ledgers'}"
    run_calls(shared, "privacy.epsilon=0.5")

    found = plan_calls(shared)

    after = [site.after_rounds.claim for site in found.sites]
    run = run_calls(shared, folder="second")
    held = ledger_at(tmp_path / "ledgers" / "site-1.jsonl")
    assert found.exit_code == run.exit_code == 0
    assert after == pytest.approx([epsilon(held.events, delta=1e-5)] * 3, rel=1e-12)


@pytest.mark.parametrize("poor", ["site-1", "site-2"])  # the dealer of the key, and another
def test_a_run_goes_on_without_a_minority_that_refuses_as_forecast(
    run_calls: Run, plan_calls: Plan, tmp_path: Path, poor: str
) -> None:
    settings = ("sites=4", "privacy.min_sites=3", f"ledger.dir={tmp_path / 'ledgers'}")
    run_calls(*settings)
    for ledger in (tmp_path / "ledgers").iterdir():
        if ledger.stem != poor:
            ledger.unlink()

    found = plan_calls(*settings)

    run = run_calls(*settings, folder="again")
    assert found.exit_code == run.exit_code == 0
    assert [site.name for site in found.sites if site.refusal is not None] == [poor]
    assert poor not in found.cohort and len(found.cohort) == 3
    record = forecast_record(found)
    assert record["crypto"]["upload_bytes_total"] == run.summary["crypto"]["upload_bytes_total"]
    assert any(poor in note for note in record["notes"])


def test_a_site_with_a_stricter_policy_vetoes(plan_calls: Plan) -> None:
    found = plan_calls()
    names = dict.fromkeys(found.plan.sites, b"")
    admitted = site_policy(found.plan, found.settings, names, site="site-1", policy_file=None)
    stricter = dataclasses.replace(admitted.privacy, min_collusion=2)
    strict = dataclasses.replace(admitted, privacy=stricter)
    ledger = ledger_at(None, 1.0)

    veto = refusal(found.plan, strict, ledger, NOW)

    assert refusal(found.plan, admitted, ledger, NOW) is None
    assert isinstance(veto, PolicyViolation) and "tolerated_collusion" in str(veto)
    vetoing = dataclasses.replace(found.sites[2], refusal=veto)
    ended = verdict(found.settings, found.plan, (*found.sites[:2], vetoing))
    assert ended is veto and ended.exit_code == 5


def test_the_veto_of_any_one_site_does_not_end_a_run_that_can_lose_one(plan_calls: Plan) -> None:
    found = plan_calls("sites=4", "privacy.min_sites=3")
    veto = PolicyViolation("no")

    for place in range(4):
        sites = list(found.sites)
        sites[place] = dataclasses.replace(sites[place], refusal=veto)
        assert verdict(found.settings, found.plan, tuple(sites)) is None
        sites[place - 1] = dataclasses.replace(sites[place - 1], refusal=veto)
        assert verdict(found.settings, found.plan, tuple(sites)) is veto


def test_attempts_within_a_budget_are_counted_as_the_ledger_counts(plan_calls: Plan) -> None:
    event = plan_calls("rounds=40").plan.event
    ledger = ledger_at(None, 1.0)

    admitted = ledger.attempts_within(event, purpose="churn", now=NOW)

    assert admitted == 42  # the noise is calibrated for 40 rounds and 2 retries
    ledger.check(event, admitted, purpose="churn", now=NOW)
    with pytest.raises(BudgetExceeded):
        ledger.check(event, admitted + 1, purpose="churn", now=NOW)
    assert ledger_at(None).attempts_within(event, purpose="churn", now=NOW) is None


@pytest.mark.parametrize("site", ["site-1", "site-2"])  # the first one would deal the key
def test_a_policy_file_and_a_cap_of_one_site_are_forecast_as_they_act(
    run_calls: Run, plan_calls: Plan, tmp_path: Path, site: str
) -> None:
    capped = ("sites=4", "privacy.min_sites=3", f"site.max_epsilon={{{site}: 0.1}}")

    found = plan_calls(*capped)

    run = run_calls(*capped)
    assert found.exit_code == run.exit_code == 0
    [refusing] = [outlook for outlook in found.sites if outlook.refusal is not None]
    assert (refusing.name, refusing.budget) == (site, 0.1)
    strict = ("site.max_epsilon={site-1: 0.1, site-2: 0.1}",)
    again = run_calls(*strict, folder="strict")
    assert plan_calls(*strict).exit_code == again.exit_code == 4
    assert str(plan_calls(*strict).error).partition(":")[2] in str(again.error)


def test_a_policy_file_that_admits_less_is_forecast_with_the_veto_of_the_run(
    run_calls: Run, plan_calls: Plan, tmp_path: Path
) -> None:
    text = (config.config_root() / "site_policy" / "_reference.yaml").read_text()
    own = {**yaml.safe_load(text), "max_rounds": 2}
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(own))
    policy = f"site.policy={tmp_path / 'policy.yaml'}"

    found = plan_calls(policy)

    run = run_calls(policy)
    assert found.exit_code == run.exit_code == 5
    assert isinstance(found.error, PolicyViolation) and str(found.error) == str(run.error)


def test_no_row_is_opened_unless_asked_for(plan_calls: Plan) -> None:
    found = plan_calls("data.path=/no/such/file.csv")

    assert found.exit_code == 0 and found.rows is None
    with pytest.raises((RecordError, ConfigError), match="no/such/file"):
        plan_calls("data.path=/no/such/file.csv", open_rows=True)


def test_opened_rows_are_those_of_the_run(run_calls: Run, plan_calls: Plan) -> None:
    found = plan_calls("seed=3", open_rows=True)

    data = run_calls("seed=3").summary["data"]

    assert found.rows is not None and found.rows.gates.as_dict() == data["gates"]
    assert [site.rows for site in found.rows.sites] == data["rows_per_site"]


def test_data_without_consent_end_a_run_with_3_and_the_forecast_too(
    calls: Path, tmp_path: Path
) -> None:
    shutil.copytree(calls, tmp_path / "mine")
    yaml = tmp_path / "mine" / "data" / "calls.yaml"
    yaml.write_text(yaml.read_text().replace("consent:", "# consent:"))

    found = fedcc.plan(SMALL, config_dir=tmp_path / "mine", runs=tmp_path)

    with pytest.raises(RecordError) as caught:
        fedcc.simulate([*SMALL, f"run.dir={tmp_path / 'run'}"], config_dir=tmp_path / "mine")
    assert found.exit_code == caught.value.exit_code == 3


def test_settings_that_cannot_be_run_are_refused_with_the_words_of_the_run(
    calls: Path, plan_calls: Plan
) -> None:
    for overrides in (
        ["privacy.delta=0.1"],
        ["privacy.tolerated_collusion=2"],
        ["sites=2"],
        ["crypto.grid_steps=1"],
        [f"run.dir={calls}"],
    ):
        with pytest.raises(ConfigError) as planned:
            plan_calls(*overrides)
        with pytest.raises(ConfigError) as run:
            fedcc.simulate([*SMALL, *overrides], config_dir=calls)
        assert str(planned.value) == str(run.value)


def test_a_high_delta_and_one_organisation_are_warned_of(plan_calls: Plan) -> None:
    one = "federation.organisations={site-1: a, site-2: a, site-3: a}"

    found = plan_calls("privacy.delta=1e-3", one)

    assert any("delta" in text for text in found.warnings)
    assert any("one organisation" in text for text in found.warnings)
    assert plan_calls().warnings == ()


def test_the_weights_of_an_encoder_are_not_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("tokenizers")
    from fedcc.data.encoders import minilm

    def refuse(*_: object) -> bytes:
        raise AssertionError("weights were read")

    monkeypatch.setattr(minilm, "read_pinned", refuse)

    found = fedcc.plan(["task=intent", "encoder=minilm"], runs=tmp_path)

    assert found.exit_code == 0 and found.plan.n_features == 384
