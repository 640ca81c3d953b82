"""A site's judgement on a signed plan: who signed it, for whom, until when, and whether it fits.

In this order, and the first that fails is the reason: signature of the admin and roster (exit code
6), validity and earlier decisions (6), version, tasks, data and privacy policy (5), ledger (4).
Passing all of it is needed and not enough: a person or a standing approval decides.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fedcc.crypto.consortium import Roster, check_follows
from fedcc.data.spec import DataSpec
from fedcc.deployment.own_data import data_spec
from fedcc.deployment.site_file import SiteFile, StandingApproval
from fedcc.errors import ConfigError, PolicyViolation, ProtocolError
from fedcc.federation.plans.decisions import (
    WORDS,
    Decision,
    check_next,
    last_by_person,
    last_of,
)
from fedcc.federation.plans.differences import changed_fields
from fedcc.federation.plans.signed_plan import SignedPlan
from fedcc.federation.settings import data_sha256
from fedcc.federation.site_policy import SitePolicy
from fedcc.privacy.accounting import ThreeEpsilons, three_epsilons
from fedcc.privacy.ledger import Ledger
from fedcc.privacy.policy import PrivacyPolicy
from fedcc.version import __version__


@dataclass(frozen=True, kw_only=True)
class SiteView:
    """What a site holds a plan against; nothing in it comes from the plan."""

    values: SiteFile
    identity: bytes  # public key of the site
    roster: Roster
    policy: PrivacyPolicy
    ledger: Path
    data: Mapping[str, DataSpec]  # the site's own data YAMLs, by name
    decisions: Sequence[Decision]


def check_plan(view: SiteView, signed: SignedPlan, now: datetime) -> None:
    """Refuse a plan that this site cannot or does not want to carry out.

    Args:
        view: what the site goes by.
        signed: the plan, whose signature was checked when it was read.
        now: current time with a zone.

    Raises:
        ProtocolError: if it is for a roster that does not follow on the one held here, or for
            another time, or its run was decided on or spent.
        PolicyViolation: names the first thing that the site does not admit.
        BudgetExceeded: if the ledger does not admit all its attempts.
    """
    view = replace(view, roster=roster_for(view, signed))
    check_addressed(view, signed, now)
    last = last_of(view.decisions, signed.plan.run)
    check_next(last, "approve", signed)
    caps, delta = view.policy.caps, view.policy.delta
    ledger = Ledger.read(view.ledger, caps=caps, delta=delta)
    if ledger.used(signed.plan.run):
        raise ProtocolError(
            f"the ledger holds charges of the run {signed.plan.run}, and no decision on it is "
            "recorded. A run is never begun twice: have the plan submitted anew."
        )
    _check_admitted(view, signed)
    plan = signed.plan
    ledger.check(plan.event, plan.max_attempts, purpose=plan.purpose, now=now)


def roster_for(view: SiteView, signed: SignedPlan) -> Roster:
    """Return the roster under which a plan is judged: the one that is held, or a newer one.

    Raises:
        ProtocolError: if the plan brings an older one, another one of the same serial, one that
            forgets a revocation, or one without this site's key.
    """
    roster, run = signed.roster, signed.plan.run
    if roster.sha256 == view.roster.sha256:
        return view.roster
    if roster.serial < view.roster.serial:
        raise _other_roster(view, signed)
    check_follows(roster, view.roster, f"the roster of the plan of the run {run}")
    if roster.identities().get(view.values.site) != view.identity:
        raise ProtocolError(
            f"roster {roster.serial}, which the plan of the run {run} brings, does not hold this "
            "site's key. Install the newest bundle, or ask the consortium's admin."
        )
    return roster


def check_addressed(view: SiteView, signed: SignedPlan, now: datetime) -> None:
    """Refuse a plan for another consortium, roster or time.

    Raises:
        ProtocolError: says which, and the remedy.
    """
    roster, run = view.roster, signed.plan.run
    if (signed.consortium, signed.admin) != (roster.consortium, roster.admin):
        raise ProtocolError(f"the plan of the run {run} is for another consortium or admin.")
    if signed.roster.sha256 != roster.sha256:
        raise _other_roster(view, signed)
    begin, end = _time(signed.submitted_at), _time(signed.valid_until)
    if not begin - timedelta(hours=1) <= now <= end:
        raise ProtocolError(
            f"the plan of the run {run} holds from {signed.submitted_at} to {signed.valid_until} "
            "only. Check this machine's clock, or have the plan submitted anew."
        )


def _other_roster(view: SiteView, signed: SignedPlan) -> ProtocolError:
    return ProtocolError(
        f"the plan of the run {signed.plan.run} is for roster {signed.roster_serial}, and this "
        f"site holds roster {view.roster.serial}. Have the plan submitted anew."
    )


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _check_admitted(view: SiteView, signed: SignedPlan) -> None:
    plan = signed.plan
    if signed.fedcc != __version__:
        raise _refused("fedcc", signed.fedcc, f"{__version__}, which is installed here")
    if plan.task not in view.values.tasks:
        raise _refused("task", plan.task, ", ".join(view.values.tasks))
    own = _data_of(view, signed)
    settings_of(signed)
    largest = _largest_organisation(view.roster)
    if plan.tolerated_collusion < largest:
        raise _refused(
            "tolerated_collusion",
            plan.tolerated_collusion,
            f"at least {largest}, the sites of one organisation of the roster",
        )
    if not plan.seeded and plan.masked:
        raise _refused("seeded", plan.seeded, "true: uploads as a polynomial and a seed")
    SitePolicy(
        privacy=view.policy,
        approved_plans=frozenset({plan.sha256}),  # who approves is asked afterwards
        data_sha256=data_sha256(own),
        trusted=view.roster.identities(),
    ).check(plan)


def _data_of(view: SiteView, signed: SignedPlan) -> DataSpec:
    """Return the site's own data YAML that the plan asks for, once it may be used."""
    hashes = {data_sha256(spec): spec for spec in view.data.values()}
    own = hashes.get(signed.plan.data_sha256)
    if own is None:
        known = ", ".join(view.data) or "none"
        raise _refused(
            "data_sha256", signed.plan.data_sha256[:12], f"the data of site.yaml: {known}"
        )
    basis = None if own.consent is None else own.consent.basis
    if basis == "public_dataset":
        if not view.values.allow_public_dataset:
            raise _refused("data", own.name, "rows with consent (allow_public_dataset is false)")
    elif basis is None:
        raise _refused("data", own.name, "a data YAML with a consent block")
    elif own.out_of_bounds == "error":
        raise _refused("data", own.name, "out_of_bounds: clamp or drop, since a refusal would leak")
    return own


def _largest_organisation(roster: Roster) -> int:
    """Return the sites of the largest organisation; 1 where all belong to one."""
    counts = Counter(one.organisation for one in roster.sites)
    return 1 if len(counts) == 1 else max(counts.values())


def _refused(field: str, value: object, admitted: str) -> PolicyViolation:
    return PolicyViolation(
        f"the plan's {field} is not admitted by this site: it is {value!r:.80}; admitted: "
        f"{admitted}."
    )


def full_cost(signed: SignedPlan) -> ThreeEpsilons:
    """Return the three epsilons of a plan if every reserved attempt is used."""
    plan = signed.plan
    return three_epsilons([plan.event] * plan.max_attempts, delta=plan.delta)


def approving_rule(
    rules: Sequence[StandingApproval],
    signed: SignedPlan,
    decisions: Sequence[Decision],
    plans: Mapping[str, SignedPlan],
    now: datetime,
) -> tuple[str | None, tuple[str, ...]]:
    """Return the first rule that approves a plan without a person, and why the others do not.

    Args:
        rules: of the site's file.
        signed: the plan, which has passed `check_plan`.
        decisions: all of the site.
        plans: plans that were decided on, by hash.
        now: current time with a zone.
    """
    reasons: list[str] = []
    for rule in rules:
        reason = _rule_refuses(rule, signed, decisions, plans, now)
        if reason is None:
            return rule.name, tuple(reasons)
        reasons.append(f"{rule.name}: {reason}")
    return None, tuple(reasons)


def _rule_refuses(
    rule: StandingApproval,
    signed: SignedPlan,
    decisions: Sequence[Decision],
    plans: Mapping[str, SignedPlan],
    now: datetime,
) -> str | None:
    plan, cost = signed.plan, full_cost(signed)
    if now.astimezone(UTC).date().isoformat() > rule.until:
        return f"it ended on {rule.until}"
    if plan.task not in rule.tasks or signed.owner not in rule.owners:
        return "it is not for this task and owner"
    if cost.claim > rule.max_epsilon:
        return f"epsilon {cost.claim:.4g} is above {rule.max_epsilon:g}"
    if cost.everyone_else > rule.max_epsilon_if_all_others_collude:
        return f"epsilon if all others collude is {cost.everyone_else:.4g}"
    if plan.rounds > rule.max_rounds or plan.min_sites < rule.min_sites:
        return "rounds or min_sites are outside its bounds"
    before = last_by_person(decisions, plan.task)
    if before is not None and before.action != "approve":
        return f"the last plan of this task that a person decided on was {WORDS[before.action]}"
    model = None if before is None else plans.get(before.plan_sha256)
    if model is None:
        return "no person has approved a plan of this task yet"
    others = sorted(changed_fields(model, signed) - set(rule.only_changed))
    if others:
        return f"{others[0]} differs from the last plan that a person approved"
    return _too_soon(rule, decisions, now)


def _too_soon(rule: StandingApproval, decisions: Sequence[Decision], now: datetime) -> str | None:
    times = [_time(one.time) for one in decisions if one.by == f"rule {rule.name}"]
    if times and now - max(times) < timedelta(days=rule.min_days_between):
        return f"it approved a plan less than {rule.min_days_between:g} days ago"
    return None


def trusted_identities(site: str, own: bytes, roster: Roster) -> Collection[bytes]:
    """Return the identities that a site has or had, by which its decisions may be signed."""
    return {own, *(one.identity for one in roster.revoked if one.site == site)}


def settings_of(signed: SignedPlan) -> Mapping[str, Any]:
    """Return the settings of a plan once they are known to describe its data.

    Raises:
        ProtocolError: if they describe other data than the plan.
    """
    try:
        spec = data_spec(signed.settings["data"])
    except (KeyError, TypeError, AttributeError, ConfigError):
        raise ProtocolError("the plan's settings hold no data YAML.") from None
    if data_sha256(spec) != signed.plan.data_sha256:
        raise ProtocolError("the plan and its settings describe different data.")
    return signed.settings
