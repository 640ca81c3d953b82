"""Nothing of a plan can change without a line for the person who approves it."""

import dataclasses
from dataclasses import replace
from typing import Any

import pytest
from deployment.installation import NOW

from fedcc.crypto.key_file import Identity
from fedcc.crypto.roster_changes import revoke
from fedcc.crypto.statements import fingerprint
from fedcc.federation.plans.differences import (
    ALWAYS_NEW,
    changed_fields,
    differences,
    roster_changes,
    summary,
)
from fedcc.federation.plans.signed_plan import SignedPlan
from fedcc.federation.run_plan import RunPlan


def other(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 1.5 + 1e-6
    if isinstance(value, tuple):
        return value[:-1]
    return f"{value}x"


FIELDS = [field.name for field in dataclasses.fields(RunPlan) if field.name not in ALWAYS_NEW]


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_of_a_plan_that_changes_is_told(signed: SignedPlan, name: str) -> None:
    value = getattr(signed.plan, name)
    # Noise and mechanism are words that epsilon is computed by, so they take an admitted other.
    admitted = {"noise": "local", "mechanism": "gaussian_alone"}
    changed = replace(signed.plan, **{name: admitted.get(name, other(value))})
    if name == "noise_levels":
        changed = replace(signed.plan, noise_levels=(0, 1))

    assert name in changed_fields(signed, replace(signed, plan=changed))


@pytest.mark.parametrize("name", ["owner", "reason", "release_quorum", "fedcc"])
def test_every_word_beside_the_plan_is_told(signed: SignedPlan, name: str) -> None:
    new = replace(signed, **{name: other(getattr(signed, name))})

    assert changed_fields(signed, new) == {name}
    assert len(differences(signed, new)) == 1


def test_another_roster_is_told_by_its_number(signed: SignedPlan) -> None:
    roster = revoke(signed.roster, "porto", NOW)

    assert differences(signed, replace(signed, roster=roster)) == ["roster: 4 -> 5"]


def test_what_changes_in_a_roster_is_told_of_each_site(signed: SignedPlan) -> None:
    new = Identity.create("site", "lisbon", NOW)
    held = signed.roster
    lisbon, madrid, porto = held.sites
    faro = replace(porto, site="faro", organisation="west", identity=bytes(32))
    moved = replace(madrid, organisation="west")
    brought = replace(held, sites=(faro, replace(lisbon, identity=new.public), moved))

    assert roster_changes(held, brought) == [
        "porto leaves",
        f"faro of organisation west joins, fingerprint {fingerprint(bytes(32))}",
        f"lisbon has a new key, fingerprint {fingerprint(new.public)}",
        "madrid: organisation south -> west",
    ]
    assert roster_changes(held, held) == []


def test_settings_are_told_by_their_key(signed: SignedPlan) -> None:
    columns = dict(signed.settings["data"]["columns"])
    columns["age"] = {"role": "feature", "kind": "number", "bounds": [0, 120]}
    data = {**signed.settings["data"], "columns": columns}
    new = replace(signed, settings={**signed.settings, "data": data})

    told = differences(signed, new)

    assert any("settings.data.columns.age.role: none -> feature" in line for line in told)


def test_what_protects_less_is_called_weaker(signed: SignedPlan) -> None:
    plan = replace(signed.plan, own_variance=signed.plan.own_variance / 4)
    told = differences(signed, replace(signed, plan=plan))

    assert told[0].startswith("epsilon, the claim: 1 -> ") and "WEAKER" in told[0]
    back = differences(replace(signed, plan=plan), signed)
    assert "stronger" in back[0] and not any("WEAKER" in line for line in back)


def test_who_joins_and_leaves_is_named(signed: SignedPlan) -> None:
    plan = replace(signed.plan, sites=("lisbon", "faro", "porto"))

    told = differences(signed, replace(signed, plan=plan))

    assert "sites: joins: faro; leaves: madrid" in told


def test_two_submissions_of_one_run_differ_in_nothing_that_matters(
    signed: SignedPlan, another: SignedPlan
) -> None:
    assert signed.sha256 != another.sha256
    assert differences(signed, another) == ["nothing but the name of the run"]


def test_the_summary_says_what_is_asked_in_numbers_of_the_plan(signed: SignedPlan) -> None:
    text = "\n".join(summary(signed))

    # Second source: the preset `strict` is epsilon 1 at delta 1e-5.
    assert "epsilon 1 against up to 1 colluding" in text and "delta 1e-05" in text
    assert "retention offers in spring" in text and signed.sha256 in text
