"""The picture of an attack, from reports that were written by hand."""

from typing import Any

import pytest

from fedcc.governance.attack_figure import attack_figure
from fedcc.governance.figures import WARN


def observer(claimed: float | None, estimate: float | None, refuted: bool) -> dict[str, Any]:
    lower = None if estimate is None else 0.9 * estimate
    return {
        "claimed": claimed,
        "refuted": refuted,
        "channel": {"epsilon": estimate, "epsilon_lower": lower},
        "one_run": {"epsilon_lower": 0.3},
    }


def report(**parts: Any) -> dict[str, Any]:
    empty = {"unsafe": [], "canaries": None, "membership": None, "inversion": None}
    return {**empty, **parts}


def canaries(**observers: dict[str, Any]) -> dict[str, Any]:
    return {"observers": observers, "level": 0.05, "delta": 1e-5, "canaries": 20_000}


def test_each_observer_has_a_row_and_sound_claims_no_alarm() -> None:
    drawn = attack_figure(
        report(canaries=canaries(outsider=observer(0.8, 0.79, False), claim=observer(1, 1, False)))
    )

    assert drawn.startswith("<svg")
    assert "with the model" in drawn and "(coalition up to f)" in drawn
    assert "20,000 canaries, bounds at 5%" in drawn
    assert WARN not in drawn and "beyond" not in drawn


@pytest.mark.parametrize("estimate", [99.0, None])  # None: infinite
def test_a_refuted_claim_is_red_and_an_estimate_off_the_axis_says_so(
    estimate: float | None,
) -> None:
    drawn = attack_figure(report(canaries=canaries(claim=observer(1.0, estimate, True))))

    assert WARN in drawn and "beyond" in drawn


def test_a_run_without_a_claim_is_drawn_all_the_same() -> None:
    drawn = attack_figure(report(canaries=canaries(claim=observer(None, 7.0, False))))

    assert "Claimed against empirical epsilon" in drawn


def test_unsafe_runs_carry_the_word() -> None:
    assert "UNSAFE: crypto_none" in attack_figure(report(unsafe=["crypto_none"]))


def test_other_attacks_stand_below_with_their_blind_share() -> None:
    rates = {"auc": 0.512, "at": [{"wanted": 0.01, "found": {"share": 0.013}}]}
    bare = {"auc": 0.921, "at": [{"wanted": 0.01, "found": {"share": 0.35}}]}

    drawn = attack_figure(
        report(
            membership={"private": rates, "without_privacy": bare},
            inversion={"seen_share": 0.0, "plain_share": 0.97, "blind_share": 0.002},
        )
    )

    for word in ("0.512", "0.921", "0.970", "blind guessing", "TPR"):
        assert word in drawn
