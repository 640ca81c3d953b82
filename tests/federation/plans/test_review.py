"""A site's judgement on a plan: each weakness is refused with its own exit code."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from deployment.installation import NOW, UNLOCKER, Installation
from federation.plans.consortium import approve, desk_of, equip, identity, send, signed_plan

from fedcc.crypto.consortium import RosterSite, read_roster, sign
from fedcc.crypto.statements import fingerprint
from fedcc.deployment.aggregator_setup import admit, revoke_site
from fedcc.deployment.requests import read_request
from fedcc.deployment.site_setup import install, rotate_site
from fedcc.errors import BudgetExceeded, ConfigError, PolicyViolation, ProtocolError
from fedcc.federation.plans.decisions import WORDS, Decision, Decisions
from fedcc.federation.plans.review import check_plan
from fedcc.federation.plans.signed_plan import SignedPlan
from fedcc.privacy.caps import lifetime_cap
from fedcc.privacy.ledger import Charge, Ledger


def judge(made: Installation, signed: SignedPlan, **view: Any) -> None:
    check_plan(replace(desk_of(made).view, **view), signed, NOW)


def with_plan(signed: SignedPlan, **fields: Any) -> SignedPlan:
    return replace(signed, plan=replace(signed.plan, **fields))


def test_a_sound_plan_passes(made: Installation, signed: SignedPlan) -> None:
    judge(made, signed)


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"rounds": 201, "max_attempts": 203}, "rounds"),
        ({"delta": 1e-4}, "delta"),
        ({"scheme": "none"}, "scheme"),
        ({"noise": "none"}, "noise"),
        ({"min_sites": 2}, "min_sites"),
        ({"own_variance": 1e-9}, "own_variance"),
        ({"purpose": "marketing"}, "purpose"),
        ({"max_interactions": 11}, "max_interactions"),
        ({"seeded": False}, "seeded"),
        ({"sites": ("lisbon", "madrid", "stranger")}, "sites"),
    ],
)
def test_a_plan_that_is_weaker_than_the_policy_is_refused_with_exit_code_5(
    made: Installation, signed: SignedPlan, fields: dict[str, Any], names: str
) -> None:
    with pytest.raises(PolicyViolation, match=f"the plan's {names} ") as refused:
        judge(made, with_plan(signed, **fields))

    assert refused.value.exit_code == 5


def test_the_sites_own_list_of_tasks_holds(
    made: Installation, signed: SignedPlan, calls: Path
) -> None:
    equip(made, calls, tasks="tasks: [intent]")

    with pytest.raises(PolicyViolation, match="plan's task"):
        judge(made, signed)


def test_a_public_data_set_is_refused_unless_the_site_says_otherwise(
    made: Installation, signed: SignedPlan, calls: Path
) -> None:
    equip(made, calls, allow_public_dataset="allow_public_dataset: false")

    with pytest.raises(PolicyViolation, match="allow_public_dataset"):
        judge(made, signed)


def test_data_that_the_site_does_not_name_is_refused(
    made: Installation, signed: SignedPlan, calls: Path
) -> None:
    equip(made, calls, data="data: []")

    with pytest.raises(PolicyViolation, match="data_sha256"):
        judge(made, signed)


def test_a_plan_for_another_version_is_refused(made: Installation, signed: SignedPlan) -> None:
    with pytest.raises(PolicyViolation, match="fedcc"):
        judge(made, replace(signed, fedcc="0.1.0"))


def test_the_site_counts_organisations_itself(made: Installation, signed: SignedPlan) -> None:
    roster = desk_of(made).roster
    shared = replace(
        roster,
        sites=tuple(
            RosterSite(s.site, o, s.identity, s.added_at)
            for s, o in zip(roster.sites, ("north", "north", "south"), strict=True)
        ),
    )
    told = replace(signed, roster=shared)

    with pytest.raises(PolicyViolation, match="tolerated_collusion.*at least 2"):
        judge(made, told, roster=shared)


def test_a_plan_over_budget_is_refused_with_exit_code_4(
    made: Installation, signed: SignedPlan
) -> None:
    """Second source: the preset `strict` promises epsilon 1 over all attempts."""
    policy = desk_of(made).view.policy

    judge(made, signed, policy=replace(policy, caps=(lifetime_cap(1.001),)))
    with pytest.raises(BudgetExceeded) as refused:
        judge(made, signed, policy=replace(policy, caps=(lifetime_cap(0.999),)))
    assert refused.value.exit_code == 4


def test_a_run_that_the_ledger_knows_is_not_begun_again(
    made: Installation, signed: SignedPlan
) -> None:
    """A site whose decisions were restored from a backup, or were lost."""
    view = desk_of(made).view
    charge = Charge(
        run=signed.plan.run,
        round_number=1,
        attempt=1,
        purpose="churn",
        event=signed.plan.event,
        planned_sites=3,
        session="s",
    )
    caps, delta = view.policy.caps, view.policy.delta
    ledger = Ledger.open(view.ledger, caps=caps, delta=delta, now=NOW)
    ledger.reserve(charge, now=NOW)
    ledger.close()

    with pytest.raises(ProtocolError, match="ledger holds charges"):
        judge(made, signed)


@pytest.mark.parametrize("away", [timedelta(days=15), timedelta(days=-1)])
def test_a_plan_out_of_its_time_is_refused_with_exit_code_6(
    made: Installation, signed: SignedPlan, away: timedelta
) -> None:
    with pytest.raises(ProtocolError, match="holds from") as refused:
        check_plan(desk_of(made).view, signed, NOW + away)

    assert refused.value.exit_code == 6


def test_a_plan_for_an_earlier_roster_is_refused(made: Installation, signed: SignedPlan) -> None:
    revoke_site(made.hub, made.admin, "porto", NOW)
    install(made.sites["lisbon"], made.bundle("lisbon"), read_aloud=None, unlock=None, now=NOW)

    with pytest.raises(ProtocolError, match="for roster 4, and this site holds roster 5"):
        judge(made, signed)


def renewed(made: Installation, site: str = "porto") -> None:
    """Give a site a new key, and let the admin admit it."""
    request = read_request(
        rotate_site(made.sites[site], identity(made, site), UNLOCKER, NOW).request
    )
    mark = fingerprint(request.card.identity)
    admit(made.hub, made.admin, request, organisation=None, read_aloud=mark, now=NOW)


def test_a_plan_brings_the_newer_roster_and_a_persons_approval_takes_it_over(
    made: Installation, calls: Path
) -> None:
    renewed(made)
    later = send(made, signed_plan(made, calls))
    before = desk_of(made)
    (change,) = before.look(later, NOW).roster_changes
    assert before.roster.serial == 4 and change.startswith("porto has a new key, fingerprint ")

    approve(made, later)

    after = desk_of(made)
    assert after.roster == later.roster and after.roster.serial == 5
    assert made.home("lisbon").roster.read_bytes() == made.hub.roster.read_bytes()
    after.check_approved(later)
    assert after.look(later, NOW).roster_changes == ()


@pytest.mark.parametrize("action", ["veto", None])
def test_a_newer_roster_is_not_taken_over_without_an_approval(
    made: Installation, calls: Path, action: Any
) -> None:
    renewed(made)
    later = send(made, signed_plan(made, calls))

    if action is not None:
        desk_of(made).decide(action, later, identity(made), by="operator", reason="r", now=NOW)

    assert desk_of(made).roster.serial == 4


def test_a_standing_approval_takes_over_no_roster(
    made: Installation, calls: Path, signed: SignedPlan
) -> None:
    with_rule(made, calls, CHANGED="roster_serial")
    send(made, signed)
    approve(made, signed)
    renewed(made)
    later = signed_plan(made, calls)

    assert ruled(made, later) is None
    desk = desk_of(made)
    assert desk.roster.serial == 4
    assert desk.rule_for(later, NOW)[1] == ("the plan brings another roster",)


def test_where_the_decision_cannot_be_recorded_the_roster_stays(
    made: Installation, calls: Path
) -> None:
    renewed(made)
    later = send(made, signed_plan(made, calls))
    desk, home = desk_of(made), made.home("lisbon")

    with Decisions(home.decisions, "lisbon", identity(made), desk.trusted):
        with pytest.raises(ProtocolError, match="in use"):
            approve(made, later)

    assert desk_of(made).roster.serial == 4
    assert desk_of(made).look(later, NOW).last is None


def test_an_approval_that_took_its_time_takes_over_no_older_roster(
    made: Installation, calls: Path
) -> None:
    """The passphrase is asked for, and meanwhile somebody installs the newest bundle."""
    renewed(made)
    later = send(made, signed_plan(made, calls))
    slow = desk_of(made)
    revoke_site(made.hub, made.admin, "porto", NOW)
    install(made.sites["lisbon"], made.bundle("lisbon"), read_aloud=None, unlock=None, now=NOW)

    with pytest.raises(ProtocolError, match="for roster 5, and this site holds roster 6"):
        slow.decide("approve", later, identity(made), by="operator", reason="", now=NOW)

    assert [one.site for one in desk_of(made).roster.revoked].count("porto") == 2
    assert desk_of(made).roster.serial == 6


@pytest.mark.parametrize(("field", "value"), [("consortium", "others"), ("admin", bytes(32))])
def test_a_plan_that_says_another_consortium_than_its_roster_is_refused(
    made: Installation, signed: SignedPlan, field: str, value: Any
) -> None:
    with pytest.raises(ProtocolError, match="another consortium or admin"):
        judge(made, replace(signed, **{field: value}))


def test_a_roster_that_does_not_hold_this_sites_key_is_not_taken_over(
    made: Installation, calls: Path
) -> None:
    renewed(made, "lisbon")
    later = send(made, signed_plan(made, calls))

    with pytest.raises(ProtocolError, match="does not hold this site's key") as refused:
        approve(made, later)

    assert refused.value.exit_code == 6
    assert desk_of(made).roster.serial == 4


def test_a_second_roster_of_one_serial_is_refused(made: Installation, signed: SignedPlan) -> None:
    second = replace(signed.roster, issued_at="2026-11-22T13:00:00Z")

    with pytest.raises(ProtocolError, match="second roster of serial 4"):
        judge(made, replace(signed, roster=second))


def test_a_roster_that_forgets_a_revocation_is_refused(
    made: Installation, signed: SignedPlan
) -> None:
    renewed(made)
    held = read_roster(made.hub.roster, made.mark)
    forgets = replace(held, serial=7, revoked=())

    with pytest.raises(ProtocolError, match="forgets a revocation"):
        judge(made, replace(signed, roster=forgets), roster=held)


@pytest.mark.parametrize("action", ["approve", "veto"])
def test_a_plan_is_decided_on_once(made: Installation, signed: SignedPlan, action: Any) -> None:
    send(made, signed)
    desk_of(made).decide(action, signed, identity(made), by="operator", reason="r", now=NOW)

    with pytest.raises(ProtocolError, match="decided on once") as refused:
        approve(made, signed)
    assert refused.value.exit_code == 6


@pytest.mark.parametrize("end", ["withdraw", "end"])
def test_a_withdrawn_or_ended_plan_cannot_be_replayed(
    made: Installation, signed: SignedPlan, end: Any
) -> None:
    send(made, signed)
    approve(made, signed)
    desk_of(made).decide(end, signed, identity(made), by="operator", reason="r", now=NOW)

    with pytest.raises(ProtocolError, match="have it submitted anew"):
        approve(made, signed)


def test_a_second_plan_of_one_run_is_refused(made: Installation, signed: SignedPlan) -> None:
    send(made, signed)
    approve(made, signed)
    second = replace(signed, owner="somebody")

    with pytest.raises(ProtocolError, match="another plan of the run"):
        send(made, second)
    with pytest.raises(ProtocolError, match="another plan of the run"):
        judge(made, second)


def test_a_run_goes_on_with_its_approval_and_stops_with_the_withdrawal(
    made: Installation, signed: SignedPlan
) -> None:
    send(made, signed)
    with pytest.raises(PolicyViolation, match="waits for a decision") as refused:
        desk_of(made).check_approved(signed)
    assert refused.value.exit_code == 5

    approve(made, signed)
    running = desk_of(made)
    assert running.check_approved(signed).by == "operator"

    desk_of(made).decide("withdraw", signed, identity(made), by="operator", reason="r", now=NOW)
    with pytest.raises(PolicyViolation, match="was withdrawn"):
        running.check_approved(signed)  # the running site reads the record afresh


def test_an_approval_covers_one_plan_to_the_byte(made: Installation, signed: SignedPlan) -> None:
    send(made, signed)
    approve(made, signed)

    with pytest.raises(PolicyViolation, match="not the one of that run"):
        desk_of(made).check_approved(replace(signed, owner="somebody"))


def test_a_plan_that_was_altered_on_the_desk_is_noticed(
    made: Installation, signed: SignedPlan
) -> None:
    send(made, signed)
    path = next(made.home("lisbon").plans.glob("*.json"))
    path.write_bytes(path.read_bytes().replace(b"north-telco", b"south-telco"))

    desk = desk_of(made)
    (error,) = desk.unreadable().values()
    assert desk.plans() == [] and "not signed by the admin" in str(error)
    with pytest.raises(ConfigError, match="name one plan"):
        desk.find(signed.sha256[:8])


def test_a_plan_that_cannot_be_read_keeps_no_other_from_being_decided_on(
    made: Installation, signed: SignedPlan
) -> None:
    """As after an upgrade, when plans of the version before are still there."""
    send(made, signed)
    (made.home("lisbon").plans / "old.plan.json").write_text("{}")

    approve(made, signed)
    assert desk_of(made).check_approved(signed).action == "approve"


RULE = (
    "standing_approvals: [{name: nightly, tasks: [churn], owners: [north-telco], "
    "max_epsilon: EPSILON, max_epsilon_if_all_others_collude: 5.0, max_rounds: ROUNDS, "
    "min_sites: 3, only_changed: [CHANGED], min_days_between: 7.0, until: '2027-06-30'}]"
)
USUAL = {"EPSILON": "1.5", "ROUNDS": "60", "CHANGED": "submitted"}


def with_rule(made: Installation, calls: Path, **changes: str) -> None:
    text = RULE
    for key, value in {**USUAL, **changes}.items():
        text = text.replace(key, value)
    equip(made, calls, standing_approvals=text)


def ruled(made: Installation, signed: SignedPlan) -> Decision | None:
    send(made, signed)
    return desk_of(made).decide_by_rule(signed, identity(made), NOW)


def test_a_standing_approval_needs_a_person_to_have_approved_the_like_before(
    made: Installation, calls: Path, signed: SignedPlan, another: SignedPlan
) -> None:
    with_rule(made, calls)

    assert ruled(made, signed) is None
    approve(made, signed)
    decision = ruled(made, another)

    assert decision is not None and decision.by == "rule nightly"


@pytest.mark.parametrize(
    ("rule", "overrides", "says"),
    [
        ({"EPSILON": "0.5"}, (), "epsilon"),
        ({"ROUNDS": "2"}, (), "rounds"),
        ({}, ("rounds=4",), "differs"),
        ({}, ("training.momentum=0.5",), "differs"),
    ],
)
def test_a_standing_approval_admits_nothing_beyond_its_rule(
    made: Installation,
    calls: Path,
    signed: SignedPlan,
    rule: dict[str, str],
    overrides: tuple[str, ...],
    says: str,
) -> None:
    with_rule(made, calls, **rule)
    send(made, signed)
    approve(made, signed)
    later = signed_plan(made, calls, *overrides)

    assert ruled(made, later) is None
    desk = desk_of(made)
    assert says in desk.rule_for(later, NOW)[1][0]


@pytest.mark.parametrize("word", ["withdraw", "veto"])
def test_a_standing_approval_rests_after_a_person_said_no(
    made: Installation, calls: Path, signed: SignedPlan, another: SignedPlan, word: Any
) -> None:
    with_rule(made, calls, CHANGED="submitted")
    send(made, signed)
    approve(made, signed)
    refused = signed if word == "withdraw" else send(made, signed_plan(made, calls))
    desk_of(made).decide(word, refused, identity(made), by="operator", reason="never", now=NOW)

    assert ruled(made, another) is None
    [reason] = desk_of(made).rule_for(another, NOW)[1]
    assert f"decided on was {WORDS[word]}" in reason

    approve(made, another)  # until a person says yes again
    third = signed_plan(made, calls)
    send(made, third)
    assert desk_of(made).rule_for(third, NOW)[0] == "nightly"


def test_a_standing_approval_waits_between_two_plans_and_ends_on_its_day(
    made: Installation, calls: Path, signed: SignedPlan, another: SignedPlan
) -> None:
    with_rule(made, calls)
    send(made, signed)
    approve(made, signed)
    assert ruled(made, another) is not None
    third = signed_plan(made, calls)
    send(made, third)
    desk = desk_of(made)

    assert "days ago" in desk.rule_for(third, NOW)[1][0]
    assert desk.rule_for(third, NOW + timedelta(days=8))[0] == "nightly"
    assert "ended on" in desk.rule_for(third, NOW.replace(year=2028))[1][0]


def test_a_rule_does_not_approve_what_the_policy_refuses(
    made: Installation, calls: Path, signed: SignedPlan
) -> None:
    with_rule(made, calls)
    send(made, signed)
    approve(made, signed)
    weak = with_plan(signed_plan(made, calls), own_variance=1e-9)
    send(made, weak)

    with pytest.raises(PolicyViolation):
        desk_of(made).decide_by_rule(weak, identity(made), NOW)


def test_a_plan_is_named_by_enough_digits(made: Installation, signed: SignedPlan) -> None:
    send(made, signed)
    desk = desk_of(made)

    assert desk.find(signed.sha256[:8]).sha256 == signed.sha256
    for digits in ("", signed.sha256[:7], "0" * 64):
        with pytest.raises(ConfigError, match="name one plan"):
            desk.find(digits)


def test_the_roster_of_a_thief_is_not_followed(made: Installation) -> None:
    roster = desk_of(made).roster
    content = json.loads(sign(roster, made.admin))
    content["sites"] = content["sites"][:2]
    made.home("lisbon").roster.write_text(json.dumps(content, sort_keys=True, indent=2) + "\n")

    with pytest.raises(ProtocolError):
        desk_of(made)
