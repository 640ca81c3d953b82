"""A model is released when the quorum of its plan has signed, and not one signature earlier."""

from dataclasses import replace

import pytest
from deployment.installation import NOW, Installation
from federation.plans.consortium import desk_of, identity

from fedcc.crypto.key_file import Identity
from fedcc.errors import TooFewSites
from fedcc.federation.plans.release import Verdict, check_release, verdict_file
from fedcc.federation.plans.signed_plan import SignedPlan

MODEL = "ab" * 32


def verdict(
    made: Installation, signed: SignedPlan, site: str, how: Verdict = "release", model: str = MODEL
) -> bytes:
    return verdict_file(signed, model, how, identity(made, site), NOW)


def released(made: Installation, signed: SignedPlan, *verdicts: bytes) -> tuple[str, ...]:
    identities = desk_of(made).roster.identities()
    return check_release(signed, MODEL, verdicts, identities).sites


def test_the_quorum_releases_and_one_less_does_not(made: Installation, signed: SignedPlan) -> None:
    given = [verdict(made, signed, site) for site in ("lisbon", "porto", "madrid")]

    assert released(made, signed, *given) == ("lisbon", "madrid", "porto")
    with pytest.raises(TooFewSites, match="2 of 3 sites") as refused:
        released(made, signed, *given[:2])
    assert refused.value.exit_code == 7


def test_one_site_counts_once(made: Installation, signed: SignedPlan) -> None:
    given = [verdict(made, signed, "lisbon")] * 3

    with pytest.raises(TooFewSites, match="1 of 3"):
        released(made, signed, *given)


def test_a_site_that_signs_both_ways_counts_against(made: Installation, signed: SignedPlan) -> None:
    given = [verdict(made, signed, site) for site in ("lisbon", "porto", "madrid")]

    with pytest.raises(TooFewSites, match="2 of 3 sites have signed for it, 1 against"):
        released(made, signed, *given, verdict(made, signed, "porto", "reject"))


def test_a_broken_verdict_does_not_keep_the_others_from_counting(
    made: Installation, signed: SignedPlan
) -> None:
    given = [verdict(made, signed, site) for site in ("lisbon", "porto", "madrid")]

    assert len(released(made, signed, b"rubbish", given[0][:-5], *given)) == 3


def test_verdicts_on_other_models_plans_and_of_strangers_do_not_count(
    made: Installation, signed: SignedPlan, another: SignedPlan
) -> None:
    given = [verdict(made, signed, site) for site in ("lisbon", "porto")]
    stranger = Identity.create("site", "faro", NOW)
    impostor = Identity.create("site", "madrid", NOW)
    useless = [
        verdict(made, signed, "madrid", model="cd" * 32),
        verdict(made, another, "madrid"),
        verdict_file(signed, MODEL, "release", stranger, NOW),
        verdict_file(signed, MODEL, "release", impostor, NOW),
        given[0].replace(b"lisbon", b"madrid"),
    ]

    for one in useless:
        with pytest.raises(TooFewSites, match="2 of 3"):
            released(made, signed, *given, one)


def test_the_quorum_is_that_of_the_signed_plan(made: Installation, signed: SignedPlan) -> None:
    smaller = replace(signed, release_quorum=1)
    given = verdict(made, signed, "lisbon")

    # A verdict names the plan by its hash, so it cannot be counted under a smaller quorum.
    with pytest.raises(TooFewSites, match="0 of 1"):
        released(made, smaller, given)
