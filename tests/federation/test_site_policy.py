"""A plan against a site's policy: weaker in any one field it is refused, named at the site only."""

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import read_lines
from privacy.test_policy import POLICY as POLICY_YAML
from privacy.test_policy import changed, written

from fedcc import config
from fedcc.crypto.envelopes import Header
from fedcc.data.tabular_features import TabularEncoding
from fedcc.errors import BudgetExceeded, ConfigError, PolicyViolation
from fedcc.federation.messages import SITE_FIELDS
from fedcc.federation.planning import make_plan
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.settings import simulation_settings
from fedcc.federation.simulation import RunResult
from fedcc.federation.site_policy import SitePolicy
from fedcc.privacy.caps import lifetime_cap
from fedcc.privacy.policy import PrivacyPolicy

Run = Callable[..., RunResult]
RECIPE = TabularEncoding(tuple((f"number-{i}", 0.0, 1.0) for i in range(4)), (), 0)
POLICY = PrivacyPolicy(
    version=1,
    purposes=("churn",),
    caps=(lifetime_cap(1.0),),
    delta=1e-5,
    units=("customer",),
    max_interactions=5,
    sites_per_customer=1,
    noise_modes=("shared",),
    schemes=("bfv",),
    min_sites=4,
    min_collusion=1,
    max_rounds=3,
    max_attempts=5,
    metrics=(),
)


@pytest.fixture(scope="module")  # frozen: no test can change it for another
def plan(calls: Path) -> RunPlan:
    values = config.compose(
        "simulate", ["data=calls", "sites=5", "rounds=3", "crypto.lanes=2"], calls
    )
    values["privacy"]["min_sites"] = 4
    return make_plan(simulation_settings(values), RECIPE, 1, run="run", public_seed=1)


def judge(plan: RunPlan, privacy: PrivacyPolicy, own_data: str, sites: tuple[str, ...]) -> None:
    """Let a site judge a plan that its operator approved, whatever is in it."""
    SitePolicy(
        privacy=privacy,
        approved_plans=frozenset({plan.sha256}),
        data_sha256=own_data,
        trusted=dict.fromkeys(sites, bytes(32)),
    ).check(plan)


# Fields of a plan that a site judges by its policy or by the plan's other numbers: a weaker value,
# and the name that the refusal gives.
WEAKER: list[tuple[str, Any, str]] = [
    ("task", "intent", "task"),
    ("purpose", "marketing", "purpose"),
    ("data_sha256", "0" * 64, "data_sha256"),
    ("rounds", 0, "rounds"),
    ("rounds", 4, "rounds"),
    ("max_attempts", 2, "max_attempts"),
    ("max_attempts", 6, "max_attempts"),
    ("sites", ("site-1", "site-2", "site-3", "site-4"), "sites"),
    ("sites", ("site-1", "site-2", "site-3", "site-4", "stranger"), "sites"),
    ("sites", ("site-1",) * 5, "sites"),
    ("min_sites", 3, "min_sites"),
    ("min_sites", 6, "min_sites"),
    ("tolerated_collusion", 0, "tolerated_collusion"),
    ("tolerated_collusion", 3, "tolerated_collusion"),
    ("noise", "none", "noise"),
    ("noise", "local", "noise"),
    ("mechanism", "gaussian_alone", "mechanism"),
    ("mechanism", "none", "mechanism"),
    ("noise_multiplier", 1e3, "own_variance"),  # promises more noise than it adds
    ("own_variance", 1e-3, "own_variance"),
    ("noise_levels", (0,), "noise_levels"),  # counts noise for four survivors at five sites
    ("noise_levels", (), "noise_levels"),
    ("noise_levels", (0, 2), "noise_levels"),
    ("noise_levels", (1, 0, 1), "noise_levels"),
    ("noise_levels", (-1, 1), "noise_levels"),
    ("sensitivity", 1e-3, "sensitivity"),
    ("max_grad_norm", 5.0, "sensitivity"),
    ("unit", "record", "unit"),
    ("unit", "nobody", "unit"),
    ("max_interactions", 6, "max_interactions"),
    ("max_interactions", 0, "max_interactions"),
    ("max_sites_per_customer", 0, "max_sites_per_customer"),
    ("sample_rate", 0.5, "sample_rate"),
    ("sample_rate", 0.0, "sample_rate"),
    ("sample_rate", 1.5, "sample_rate"),
    ("delta", 1e-4, "delta"),
    ("delta", 0.0, "delta"),
    ("steps_per_unit", 1e12, "grid"),
    ("steps_per_unit", 1e-3, "grid"),
    ("box", 1e9, "grid"),
    ("scheme", "none", "scheme"),
    ("scheme", "ckks", "scheme"),
    ("lanes", 3, "grid"),
    ("neighbours", 1, "neighbours"),
    ("neighbours", 2, "neighbours"),  # one colludes, one drops out
    ("neighbours", 3, "neighbours"),
    ("rotate_every", 0, "rotate_every"),
    ("rotate_every", 51, "rotate_every"),
]
# Fields that change what is learnt, never what an upload reveals; only the hash of the approved
# plan guards them (and, at `begin`, the site's own recipe: shapes and features). Without seeds a
# site could help the aggregator to open a sum, which it could do with its key just as well.
FREE = (
    "seeded run model n_parameters features_sha256 n_features hidden n_outputs public_seed prior "
    "prior_scale step learning_rate logit_scale momentum normaliser tail_fraction"
).split()


@pytest.mark.parametrize(("field", "value", "named"), WEAKER)
def test_a_plan_weaker_in_one_field_is_refused_and_the_field_is_named(
    plan: RunPlan, field: str, value: object, named: str
) -> None:
    weak = replace(plan, **{field: value})  # type: ignore[arg-type]

    with pytest.raises(PolicyViolation, match=rf"^the plan's {named} is not admitted .*admitted:"):
        judge(weak, POLICY, plan.data_sha256, plan.sites)


def test_noise_that_is_not_split_is_admitted_and_claims_the_least_survivors(plan: RunPlan) -> None:
    whole = replace(plan, noise_levels=(1,))

    judge(whole, POLICY, plan.data_sha256, plan.sites)
    assert plan.noise_levels == (0, 1)
    assert (whole.event.noise_sites, plan.event.noise_sites) == (4, 5)
    assert whole.event.own_variance == plan.own_variance > plan.event.own_variance
    claims = [p.event.variance_against("claim") for p in (whole, plan)]
    assert claims[0] == pytest.approx(claims[1], rel=1e-12)


def test_a_plan_that_counts_opened_noise_claims_too_little_epsilon_and_is_refused(
    plan: RunPlan,
) -> None:
    over = replace(plan, noise_levels=(0,))

    # All of a site's noise at each of five sites, though (n - f) v_0 is all that surely stays.
    total = (plan.noise_multiplier * plan.sensitivity) ** 2
    assert plan.event.variance_against("claim") == pytest.approx(total, rel=1e-12)
    assert over.event.variance_against("claim") == pytest.approx(total * 4 / 3, rel=1e-12)
    with pytest.raises(PolicyViolation, match="noise_levels"):
        judge(over, POLICY, plan.data_sha256, plan.sites)


@pytest.mark.parametrize("noise", ["local", "none"])
def test_noise_that_is_not_shared_has_no_part_to_open(plan: RunPlan, noise: str) -> None:
    policy = replace(POLICY, noise_modes=("shared", noise), caps=())  # type: ignore[arg-type]
    split = replace(plan, noise=noise, mechanism="none")  # type: ignore[arg-type]

    with pytest.raises(PolicyViolation, match="noise_levels is not admitted.*one alone"):
        judge(split, policy, plan.data_sha256, plan.sites)


@pytest.fixture
def twenty(calls: Path) -> RunPlan:
    values = config.compose("simulate", ["data=calls", "sites=20", "rounds=3"], calls)
    values["privacy"]["tolerated_collusion"] = 6
    return make_plan(simulation_settings(values), RECIPE, 1, run="run", public_seed=1)


@pytest.mark.parametrize(("collusion", "admitted"), [(6, True), (7, True), (8, False)])
def test_more_collusion_than_the_signatures_withstand_is_refused(
    twenty: RunPlan, collusion: int, admitted: bool
) -> None:
    # 20 sites, 14 signatures: 2 * 14 - 20 - 1 = 7 (table of the threat model: c7, dropouts 6).
    assert (twenty.min_sites, twenty.threshold) == (14, 14)
    total = (twenty.noise_multiplier * twenty.sensitivity) ** 2
    plan = replace(
        twenty, tolerated_collusion=collusion, own_variance=total / (14 - collusion) * 1.001
    )

    if admitted:
        judge(plan, POLICY, plan.data_sha256, plan.sites)
        return
    with pytest.raises(PolicyViolation, match="tolerated_collusion is not admitted.*at most 7"):
        judge(plan, POLICY, plan.data_sha256, plan.sites)


def test_a_grid_too_coarse_for_what_is_never_opened_is_refused(twenty: RunPlan) -> None:
    kept = twenty.noise_components.kept(0)
    assert kept < twenty.own_variance / 1.5
    # All of a share spans 8 steps and more here, what stays of it when no site drops does not.
    coarse = replace(twenty, steps_per_unit=7.5 / kept**0.5)
    assert coarse.own_variance**0.5 * coarse.steps_per_unit > 8

    with pytest.raises(PolicyViolation, match="the plan's grid is not admitted"):
        judge(coarse, POLICY, twenty.data_sha256, twenty.sites)
    fine = replace(twenty, steps_per_unit=8.5 / kept**0.5)
    judge(fine, POLICY, twenty.data_sha256, twenty.sites)


def test_the_plan_itself_is_admitted(plan: RunPlan) -> None:
    judge(plan, POLICY, plan.data_sha256, plan.sites)


def test_every_field_of_a_plan_is_judged_or_known_to_be_free() -> None:
    fields = {field.name for field in dataclasses.fields(RunPlan)}

    assert fields == {field for field, *_ in WEAKER} | set(FREE)


@pytest.mark.parametrize("field", FREE)
def test_a_free_field_is_still_bound_by_the_hash_of_the_approved_plan(
    plan: RunPlan, field: str
) -> None:
    old = getattr(plan, field)
    new = old + 1 if isinstance(old, int | float) else f"{old}x"
    other = replace(plan, **{field: new})
    policy = SitePolicy(
        privacy=POLICY,
        approved_plans=frozenset({plan.sha256}),
        data_sha256=plan.data_sha256,
        trusted=dict.fromkeys(plan.sites, bytes(32)),
    )

    with pytest.raises(PolicyViolation, match="hash"):
        policy.check(other)


@pytest.mark.parametrize(
    "field", [f.name for f in dataclasses.fields(RunPlan) if f.type in (float, "float")]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_refused_by_its_name(
    plan: RunPlan, field: str, value: float
) -> None:
    with pytest.raises(PolicyViolation, match=f"the plan's {field} is not admitted"):
        judge(replace(plan, **{field: value}), POLICY, plan.data_sha256, plan.sites)


# A stricter policy, field by field.
STRICTER: list[tuple[str, Any, str]] = [
    ("purposes", ("intent",), "purpose"),
    ("delta", 1e-6, "delta"),
    ("units", ("record",), "unit"),
    ("max_interactions", 4, "max_interactions"),
    ("sites_per_customer", 2, "max_sites_per_customer"),
    ("noise_modes", ("local",), "noise"),
    ("schemes", ("ckks",), "scheme"),
    ("min_sites", 5, "min_sites"),
    ("min_collusion", 2, "tolerated_collusion"),
    ("max_rounds", 2, "rounds"),
    ("max_attempts", 4, "max_attempts"),
]


@pytest.mark.parametrize(("key", "value", "named"), STRICTER)
def test_a_policy_stricter_in_one_key_refuses_the_plan(
    plan: RunPlan, key: str, value: object, named: str
) -> None:
    strict = replace(POLICY, **{key: value})  # type: ignore[arg-type]

    with pytest.raises(PolicyViolation, match=f"the plan's {named} is not admitted"):
        judge(plan, strict, plan.data_sha256, plan.sites)


def test_every_key_of_a_policy_can_refuse_a_plan() -> None:
    # caps are held against the ledger (below, exit code 4); no plan can ask for a metric.
    keys = {field.name for field in dataclasses.fields(PrivacyPolicy)}

    assert keys == {key for key, *_ in STRICTER} | {"caps", "metrics", "version"}


# Whole runs: the reason stays at the site, one code leaves it.


def wire_of(result: RunResult) -> list[tuple[str, int, str, int, str]]:
    lines = read_lines(result.run_dir / "wire.jsonl")
    return [(n["site"], n["round"], n["field"], n["bytes"], n["kind"]) for n in lines]


VETOES = [
    ("purposes", "[intent]", "purpose"),
    ("delta", "1e-6", "delta"),
    ("units", "[record]", "unit"),
    ("max_interactions", "4", "max_interactions"),
    ("sites_per_customer", "2", "max_sites_per_customer"),
    ("noise_modes", "[local]", "noise"),
    ("min_sites", "4", "min_sites"),
    ("min_collusion", "2", "tolerated_collusion"),
    ("max_rounds", "2", "rounds"),
    ("max_attempts", "9", None),
]


@pytest.mark.parametrize(("key", "value", "named"), VETOES)
def test_a_policy_file_vetoes_a_run_by_name_at_the_site_and_by_one_code_on_the_wire(
    run_calls: Run, tmp_path: Path, key: str, value: str, named: str | None
) -> None:
    policy = written(tmp_path, changed(key, value))

    result = run_calls(f"site.policy={policy}")

    if named is None:  # the twin: a key that still admits the plan
        assert result.exit_code == 0
        return
    assert (result.exit_code, result.summary["outcome"]) == (5, "vetoed")
    assert isinstance(result.error, PolicyViolation)
    audit = (result.run_dir / "audit" / "site-1.jsonl").read_text()
    assert f"the plan's {named} is not admitted" in audit
    refusals = [line for line in wire_of(result) if "refused" in line[2]]
    size = len("unavailable")
    assert refusals == [(f"site-{n}", 0, "advertise.refused", size, "public") for n in (1, 2, 3)]
    assert all(name != "reserve" for name in kinds(result.run_dir / "ledger" / "site-1.jsonl"))


def kinds(ledger: Path) -> list[str]:
    return [line["kind"] for line in read_lines(ledger)]


def test_two_refusals_for_different_reasons_look_alike_to_the_aggregator(
    run_calls: Run, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    few = written(tmp_path / "a", changed("min_sites", "4"))
    unit = written(tmp_path / "b", changed("units", "[record]"))

    first = run_calls(f"site.policy={few}", folder="first")
    second = run_calls(f"site.policy={unit}", folder="second")

    assert str(first.error) != str(second.error)
    assert wire_of(first) == wire_of(second)


def test_a_run_without_encryption_is_vetoed_by_every_policy_file(
    run_calls: Run, tmp_path: Path
) -> None:
    result = run_calls(f"site.policy={written(tmp_path, POLICY_YAML)}", "crypto=none")

    assert result.exit_code == 5
    assert "the plan's scheme is not admitted" in str(result.error)


def test_a_cap_of_the_policy_counts_over_runs_whatever_each_run_aims_at(
    run_calls: Run, tmp_path: Path
) -> None:
    # Three of five calibrated attempts of epsilon 1 cost about 0.75; two such runs about 1.1.
    caps = "[{purpose: null, days: null, epsilon: 1.2, epsilon_if_all_others_collude: 40}]"
    settings = (
        f"site.policy={written(tmp_path, changed('caps', caps))}",
        f"ledger.dir={tmp_path / 'ledgers'}",
    )

    codes = [run_calls(*settings, folder=name).exit_code for name in ("a", "b", "c")]

    assert codes == [0, 0, 4]
    assert kinds(tmp_path / "ledgers" / "site-1.jsonl").count("reserve") == 6


def test_a_cap_on_all_others_colluding_ends_a_run_whose_claim_is_within_budget(
    run_calls: Run, tmp_path: Path
) -> None:
    caps = "[{purpose: null, days: null, epsilon: 8, epsilon_if_all_others_collude: 0.9}]"

    result = run_calls(f"site.policy={written(tmp_path, changed('caps', caps))}")

    assert isinstance(result.error, BudgetExceeded)
    assert "epsilon_if_all_others_collude" in str(result.error)


def test_a_policy_file_that_holds_no_policy_leaves_no_run_folder(
    run_calls: Run, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="min_sites must be at least 3"):
        run_calls(f"site.policy={written(tmp_path, changed('min_sites', '1'))}")

    assert not (tmp_path / "run").exists()


def test_a_resumed_run_keeps_its_policy_and_fails_closed_without_it(
    run_calls: Run, resume_run: Callable[[Path], RunResult], tmp_path: Path
) -> None:
    policy = written(tmp_path, changed("min_sites", "4"))
    run = run_calls(f"site.policy={policy}").run_dir
    written(tmp_path, POLICY_YAML)  # changed afterwards: the run's own copy counts
    assert resume_run(run).exit_code == 5

    (run / "policy.yaml").unlink()
    again = resume_run(run)

    assert again.exit_code == 2
    assert "policy.yaml cannot be read" in str(again.error)


# Budgets that differ from site to site.


def test_a_site_with_a_smaller_cap_stays_out_and_the_run_goes_on_without_it(
    run_calls: Run,
) -> None:
    notes: list[str] = []

    result = run_calls(
        "sites=4",
        "privacy.min_sites=3",
        "site.max_epsilon={site-2: 0.5}",
        progress=lambda step: notes.append(step.text),
    )

    assert result.exit_code == 0
    assert kinds(result.run_dir / "ledger" / "site-2.jsonl") == ["format"]
    assert kinds(result.run_dir / "ledger" / "site-3.jsonl").count("reserve") == 3
    assert any("went on without it" in note and "site-2.jsonl" in note for note in notes)
    assert "BudgetExceeded" in (result.run_dir / "audit" / "site-2.jsonl").read_text()


def test_without_enough_sites_left_the_run_ends_as_a_matter_of_budget(run_calls: Run) -> None:
    result = run_calls("site.max_epsilon={site-2: 0.5}")

    assert (result.exit_code, result.summary["outcome"]) == (4, "budget")
    assert kinds(result.run_dir / "ledger" / "site-1.jsonl") == ["format"]


@pytest.mark.parametrize(
    ("override", "fragment"),
    [
        ("site.max_epsilon={site-9: 1}", "site-9.*sites are site-1 to site-3"),
        ("site.max_epsilon={site-2: 0}", "max_epsilon of site-2 must be a number > 0"),
        ("site.max_epsilon={site-2: yes}", "must be a number"),
    ],
)
def test_a_cap_for_nobody_or_of_nothing_is_refused(
    run_calls: Run, override: str, fragment: str
) -> None:
    with pytest.raises(ConfigError, match=fragment):
        run_calls(override)


# Metrics of private rows.


def test_no_field_that_a_site_may_send_can_hold_a_metric() -> None:
    # The whole list, so that a new field has to be argued for here: keys, names, counters of the
    # protocol (rounds applied), hashes, signatures, seeds and ciphertext; no number of the data.
    assert {name: sorted(fields) for name, fields in SITE_FIELDS.items()} == {
        "join": ["advert", "epoch", "rounds_applied"],
        "advertise": ["advert", "rounds_applied"],
        "share": ["shares"],
        "deal": ["key_id", "parameters", "sealed_keys"],
        "begin": ["key_id"],
        "upload": ["header", "signature", "update"],
        "sign": ["signature"],
        "verify": ["signature"],
        "unmask": ["excess", "seed", "shares"],
        "recover": ["shares"],
        "finish": ["rounds_applied"],
        "behind": ["request"],
        "vouch": ["channel", "sealed_state"],
        "restore": ["rounds_applied"],
        "verdict": ["verdict"],
        "release": ["released"],
    }
    assert [field.name for field in dataclasses.fields(Header)] == (
        "version profile run round_number attempt entry site cohort_hash session key_id parameters "
        "n_parameters lengths payload_sha256 seed_commitment rounds_applied"
    ).split()
