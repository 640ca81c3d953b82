"""What changed between two plans, in plain language, for the person who approves.

Every field of a plan is compared; a field without words of its own is shown by its name, so nothing
can change unseen. Names of runs and public seeds differ always and say nothing, and only they are
left out.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from fedcc.crypto.consortium import Roster
from fedcc.crypto.statements import fingerprint
from fedcc.federation.plans.signed_plan import SignedPlan
from fedcc.federation.run_plan import RunPlan
from fedcc.privacy.accounting import three_epsilons

ALWAYS_NEW = frozenset({"run", "public_seed"})
STATEMENT = ("owner", "reason", "release_quorum", "fedcc", "roster_serial")
# Label, and what a larger value means.
LABELS: dict[str, tuple[str, str, str]] = {
    "rounds": ("rounds", "more is computed and charged", "less is computed and charged"),
    "max_attempts": ("attempts that may be charged", "", ""),
    "min_sites": (
        "least sites whose sum is opened",
        "sums hide a site among more others",
        "WEAKER: sums hide a site among fewer others",
    ),
    "tolerated_collusion": (
        "sites that may collude against this one without passing the claim",
        "stronger",
        "WEAKER",
    ),
    "noise_multiplier": ("noise, in units of the clipping norm", "stronger", "WEAKER"),
    "own_variance": ("variance of this site's own noise", "stronger", "WEAKER"),
    "delta": ("delta", "WEAKER", "stronger"),
    "max_grad_norm": ("clipping norm", "", ""),
    "max_interactions": ("rows of one customer that are used at most", "more rows", "fewer rows"),
    "release_quorum": ("sites that must sign the release", "stronger", "WEAKER"),
    "unit": ("what is protected", "", ""),
    "scheme": ("encryption", "", ""),
    "noise": ("noise mode", "", ""),
    "purpose": ("purpose", "", ""),
    "task": ("task", "", ""),
    "owner": ("owner of the model", "", ""),
    "reason": ("reason that is given", "", ""),
    "fedcc": ("version of fedcc", "", ""),
    "data_sha256": ("hash of the data description", "", ""),
    "roster_serial": ("roster", "", ""),
}


def changed_fields(old: SignedPlan, new: SignedPlan) -> set[str]:
    """Return the names of everything that differs: plan, settings (`settings.a.b`), statement."""
    return {name for name, _, _ in _pairs(old, new)}


def _pairs(old: SignedPlan, new: SignedPlan) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, old and new value of everything that differs."""
    for field in dataclasses.fields(RunPlan):
        if field.name in ALWAYS_NEW:
            continue
        before, after = getattr(old.plan, field.name), getattr(new.plan, field.name)
        if before != after:
            yield field.name, before, after
    for name in STATEMENT:
        if getattr(old, name) != getattr(new, name):
            yield name, getattr(old, name), getattr(new, name)
    before_flat, after_flat = _flat(old.settings), _flat(new.settings)
    for name in sorted(before_flat.keys() | after_flat.keys()):
        missing = object()
        if before_flat.get(name, missing) != after_flat.get(name, missing):
            yield f"settings.{name}", before_flat.get(name), after_flat.get(name)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def differences(old: SignedPlan, new: SignedPlan) -> list[str]:
    """Return what changed from the last approved plan, one sentence each; epsilons first."""
    lines = _epsilon_lines(old, new)
    for name, before, after in _pairs(old, new):
        lines.append(_sentence(name, before, after))
    return lines or ["nothing but the name of the run"]


def _epsilon_lines(old: SignedPlan, new: SignedPlan) -> list[str]:
    costs = [
        three_epsilons([one.plan.event] * one.plan.max_attempts, delta=one.plan.delta)
        for one in (old, new)
    ]
    lines = []
    for name, label in (
        ("claim", "epsilon, the claim"),
        ("everyone_else", "epsilon if all others collude"),
    ):
        before, after = (getattr(cost, name) for cost in costs)
        if abs(after - before) > 1e-9:
            lines.append(f"{label}: {before:.4g} -> {after:.4g}{_sense(before, after, _LARGER)}")
    return lines


_LARGER = ("WEAKER", "stronger")


def _sense(before: Any, after: Any, senses: tuple[str, str]) -> str:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (before, after))
    if not numbers or not any(senses):
        return ""
    return f" ({senses[0] if after > before else senses[1]})"


def _sentence(name: str, before: Any, after: Any) -> str:
    if name == "sites":
        joined, left = sorted(set(after) - set(before)), sorted(set(before) - set(after))
        parts = [f"joins: {', '.join(joined)}"] if joined else []
        parts += [f"leaves: {', '.join(left)}"] if left else []
        return f"sites: {'; '.join(parts) or 'another order'}"
    label, larger, smaller = LABELS.get(name, (name, "", ""))
    return f"{label}: {_shown(before)} -> {_shown(after)}{_sense(before, after, (larger, smaller))}"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    text = "none" if value is None else str(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def roster_changes(held: Roster, brought: Roster) -> list[str]:
    """Return what differs between the roster of a site and that of a plan, one sentence each."""
    before = {one.site: one for one in held.sites}
    after = {one.site: one for one in brought.sites}
    lines = [f"{site} leaves" for site in sorted(before.keys() - after.keys())]
    for site, one in sorted(after.items()):
        mark = f"fingerprint {fingerprint(one.identity)}"
        old = before.get(site)
        if old is None:
            lines.append(f"{site} of organisation {one.organisation} joins, {mark}")
            continue
        if old.identity != one.identity:
            lines.append(f"{site} has a new key, {mark}")
        if old.organisation != one.organisation:
            lines.append(f"{site}: organisation {old.organisation} -> {one.organisation}")
    return lines


def summary(signed: SignedPlan) -> list[str]:
    """Return what a plan asks for, in plain language."""
    plan = signed.plan
    cost = three_epsilons([plan.event] * plan.max_attempts, delta=plan.delta)
    protected = "customer" if plan.unit == "customer" else "single row"
    return [
        f"run {plan.run}: {plan.task} for {signed.owner}, purpose {plan.purpose}",
        f"reason      {signed.reason}",
        f"data        {signed.settings.get('data', {}).get('name')} ({plan.data_sha256[:12]}), "
        f"model {plan.model} with {plan.n_parameters} parameters",
        f"protects    each {protected}: epsilon {cost.claim:.4g} against up to "
        f"{plan.tolerated_collusion} colluding site(s), {cost.outsider:.4g} against outsiders, "
        f"{cost.everyone_else:.4g} if all others collude; delta {plan.delta:g}",
        f"computes    {plan.rounds} rounds, at most {plan.max_attempts} charged attempts, noise "
        f"{plan.noise}, encryption {plan.scheme}",
        f"sites       {', '.join(plan.sites)}; sums of {plan.min_sites} or more; release needs "
        f"{signed.release_quorum}",
        f"valid       {signed.submitted_at} to {signed.valid_until}, fedcc {signed.fedcc}",
        f"sha256      {signed.sha256}",
    ]
