"""A plan's signature covers all of it, and only the consortium's admin can give it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deployment.installation import NOW, Installation
from federation.plans.consortium import identity, settings, signed_plan

from fedcc.crypto.consortium import read_roster, sign
from fedcc.crypto.key_file import Identity
from fedcc.crypto.statements import canonical
from fedcc.data.source_spec import ConsentColumns
from fedcc.errors import ConfigError, EnvelopeError, ProtocolError, RecordError
from fedcc.federation.plans.review import settings_of
from fedcc.federation.plans.signed_plan import (
    SignedPlan,
    Submission,
    parse_plan,
    plan_file,
)
from fedcc.federation.plans.submission import _check_production, submit
from fedcc.federation.settings import simulation_settings


def test_a_plan_comes_back_as_it_was_signed(made: Installation, signed: SignedPlan) -> None:
    content = plan_file(signed, made.admin)

    assert parse_plan(content, "plan", made.mark) == replace(
        signed, settings=json.loads(content)["settings"]
    )
    assert parse_plan(content, "plan", made.mark).sha256 == signed.sha256


def test_sites_and_collusion_come_from_the_roster(signed: SignedPlan) -> None:
    assert signed.plan.sites == ("lisbon", "madrid", "porto")
    assert signed.plan.tolerated_collusion == 1
    assert signed.release_quorum == signed.plan.min_sites == 3


def test_no_path_of_the_submitting_machine_is_in_a_plan(
    made: Installation, signed: SignedPlan, calls: Path
) -> None:
    content = plan_file(signed, made.admin).decode()

    assert str(calls) not in content and "/home" not in content and str(Path.home()) not in content


def weaker(values: dict[str, Any]) -> None:
    values["plan"]["noise_multiplier"] = 0.001


def more_rounds(values: dict[str, Any]) -> None:
    values["plan"]["rounds"] = 99


def other_owner(values: dict[str, Any]) -> None:
    values["owner"] = "somebody"


def longer(values: dict[str, Any]) -> None:
    values["valid_until"] = "2036-01-01T00:00:00Z"


def smaller_quorum(values: dict[str, Any]) -> None:
    values["release_quorum"] = 1


def other_settings(values: dict[str, Any]) -> None:
    values["settings"]["training"]["momentum"] = 0.0


def unsigned(values: dict[str, Any]) -> None:
    values["signature"] = "00" * 64


CHANGES = [weaker, more_rounds, other_owner, longer, smaller_quorum, other_settings, unsigned]


@pytest.mark.parametrize("change", CHANGES)
def test_an_altered_or_unsigned_plan_is_refused(
    made: Installation, signed: SignedPlan, change: Callable[[dict[str, Any]], None]
) -> None:
    values = json.loads(plan_file(signed, made.admin))
    change(values)

    with pytest.raises(EnvelopeError, match="not signed by the admin") as refused:
        parse_plan(canonical(values), "plan", made.mark)

    assert refused.value.exit_code == 6


def test_a_plan_without_a_signature_key_is_refused(made: Installation, signed: SignedPlan) -> None:
    values = json.loads(plan_file(signed, made.admin))
    del values["signature"]

    with pytest.raises(EnvelopeError, match="signature"):
        parse_plan(canonical(values), "plan", made.mark)


def test_a_plan_of_somebody_elses_admin_is_refused(made: Installation, signed: SignedPlan) -> None:
    rogue = Identity.create("admin", "telco", NOW)
    content = plan_file(replace(signed, admin=rogue.public), rogue)

    with pytest.raises(ProtocolError, match="fingerprint is not that of") as refused:
        parse_plan(content, "plan", made.mark)

    assert refused.value.exit_code == 6


def test_a_site_cannot_sign_a_plan(made: Installation, signed: SignedPlan) -> None:
    with pytest.raises(ConfigError, match="that of a site"):
        plan_file(signed, identity(made))


def test_a_site_that_claims_to_be_the_admin_is_refused(
    made: Installation, signed: SignedPlan
) -> None:
    site = identity(made)
    values = json.loads(plan_file(signed, made.admin))
    body = {k: v for k, v in values.items() if k not in ("signature", "kind", "version")}
    values["signature"] = site.sign("signed-plan", body).hex()

    with pytest.raises(EnvelopeError, match="not signed by the admin"):
        parse_plan(canonical(values), "plan", made.mark)


@pytest.mark.parametrize("run", ["../../etc/cron", "a/b", "", "A"])
def test_a_run_whose_name_could_leave_the_folder_is_refused(
    made: Installation, signed: SignedPlan, run: str
) -> None:
    bad = replace(signed, plan=replace(signed.plan, run=run))

    with pytest.raises(EnvelopeError, match="run"):
        parse_plan(plan_file(bad, made.admin), "plan", made.mark)


def test_another_spelling_of_a_number_is_refused(made: Installation, signed: SignedPlan) -> None:
    """`1` for `1.0` would make two hashes of one plan."""
    body = signed.body
    body["plan"] = {**body["plan"], "momentum": 0}  # type: ignore[dict-item]
    signature = made.admin.sign("signed-plan", body).hex()
    content = canonical({**body, "kind": "signed-plan", "version": 1, "signature": signature})

    with pytest.raises(EnvelopeError, match="another spelling"):
        parse_plan(content, "plan", made.mark)


def test_the_roster_in_a_plan_must_be_the_admins_own(
    made: Installation, signed: SignedPlan
) -> None:
    rogue = Identity.create("admin", "telco", NOW)
    theirs = sign(replace(signed.roster, admin=rogue.public), rogue)
    altered = signed.roster_file.replace(b'"north"', b'"south"')
    assert altered != signed.roster_file

    with pytest.raises(ProtocolError, match="fingerprint is not that of"):
        parse_plan(plan_file(replace(signed, roster_file=theirs), made.admin), "plan", made.mark)
    for content in (altered, b"{}", b""):
        bad = plan_file(replace(signed, roster_file=content), made.admin)
        with pytest.raises((EnvelopeError, RecordError), match="plan, roster"):
            parse_plan(bad, "plan", made.mark)


def test_what_is_no_plan_is_no_plan(made: Installation) -> None:
    with pytest.raises(RecordError, match="not a signed-plan"):
        parse_plan(b"{}", "plan", made.mark)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("crypto=none",), "no site admits"),
        (("privacy=none",), "no site admits"),
        (("seed=1",), "seeded"),
        (("federation.organisations={site-1: a}",), "come from the roster"),
    ],
)
def test_a_plan_that_no_production_site_admits_is_not_signed(
    made: Installation, calls: Path, overrides: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        signed_plan(made, calls, *overrides)


@pytest.mark.parametrize(
    "said",
    [{"valid_days": 0.0}, {"valid_days": 400.0}, {"reason": " "}, {"reason": "a\nb"}],
)
def test_a_submission_that_means_nothing_is_refused(said: dict[str, Any]) -> None:
    fair = {"owner": "north", "reason": "why", "valid_days": 14.0, "release_quorum": None}
    Submission(**fair)
    with pytest.raises(ValueError):
        Submission(**{**fair, **said})


@pytest.mark.parametrize(
    ("is_asked", "out_of_bounds", "says"),
    [
        (False, "clamp", "without a consent block"),
        (True, "error", "say clamp or drop"),
    ],
)
def test_data_that_no_site_admits_is_not_signed_for(
    calls: Path, is_asked: bool, out_of_bounds: Any, says: str
) -> None:
    found = simulation_settings(settings(calls))
    assert found.data.consent is not None
    _check_production(found)
    columns = ConsentColumns(status="said", at="when", scope="for")
    per_row = replace(found.data.consent, basis="per_row", source=None, columns=columns)
    consent = per_row if is_asked else None
    data = replace(found.data, consent=consent, out_of_bounds=out_of_bounds)

    with pytest.raises(ConfigError, match=says):
        _check_production(replace(found, data=data))


def test_a_quorum_beyond_the_sites_is_refused(made: Installation, calls: Path) -> None:
    with pytest.raises(ConfigError, match="release_quorum must be from 1 to 3"):
        signed_plan(made, calls, release_quorum=4)


def test_settings_that_describe_other_data_are_refused(signed: SignedPlan) -> None:
    assert settings_of(signed)["data"]["name"] == "calls"
    data = {**signed.settings["data"], "public_rows": 441}

    with pytest.raises(ProtocolError, match="different data"):
        settings_of(replace(signed, settings={**signed.settings, "data": data}))


def test_one_organisation_with_two_sites_is_counted_by_the_plan(
    made: Installation, calls: Path
) -> None:
    roster = read_roster(made.hub.roster, made.mark)
    shared = replace(
        roster,
        sites=tuple(replace(s, organisation=o) for s, o in zip(roster.sites, "aab", strict=True)),
    )
    wanted = Submission(owner="n", reason="w", valid_days=1.0, release_quorum=None)

    # Three sites, two of one organisation: no sum hides one honest site among others.
    with pytest.raises(ConfigError):
        submit(settings(calls), sign(shared, made.admin), wanted, NOW)
