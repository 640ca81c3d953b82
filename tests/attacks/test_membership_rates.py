"""Rates with intervals against scipy's exact test, ratios against a channel in closed form."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from fedcc.attacks.membership_rates import clopper_pearson, likelihood_ratios, rates

Table = tuple["np.ndarray", "np.ndarray"]


def models(shift: float, n_models: int = 16, n_records: int = 600, seed: int = 1) -> Table:
    """Confidences that differ by `shift` spreads, around a level of each record's own."""
    rng = np.random.default_rng(seed)
    member = np.argsort(rng.random((n_models, n_records)), axis=0) < n_models // 2
    own = 4 * rng.standard_normal(n_records)
    return own + shift * member + rng.standard_normal((n_models, n_records)), member


@pytest.mark.parametrize("successes, trials", [(0, 50), (50, 50), (3, 1000), (510, 1000)])
def test_intervals_are_those_of_scipy_s_exact_test(successes: int, trials: int) -> None:
    found = clopper_pearson(successes, trials, 0.05)

    exact = binomtest(successes, trials).proportion_ci(0.95, method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_the_area_under_the_curve_is_that_of_two_normal_distributions() -> None:
    confidence, member = models(1.5, n_models=64)

    found = rates(
        likelihood_ratios(confidence, member), member, wanted=(0.01,), delta=0.0, level=0.05
    )

    # AUC of a shift d is Phi(d / sqrt 2); means of 31 shadows each add 1/31 to the variance.
    assert found.auc == pytest.approx(norm.cdf(1.5 / np.sqrt(2)), abs=0.02)
    # At 1 % false alarms a Neyman-Pearson test finds Phi(d - z).
    assert found.at[0].found.share == pytest.approx(norm.cdf(1.5 - norm.isf(0.01)), abs=0.05)


def test_models_that_do_not_differ_are_told_apart_by_chance() -> None:
    confidence, member = models(0.0)

    found = rates(
        likelihood_ratios(confidence, member), member, wanted=(0.001, 0.01), delta=0.0, level=0.05
    )

    assert found.auc == pytest.approx(0.5, abs=0.03)
    assert [at.epsilon_lower for at in found.at] == [0.0, 0.0]
    assert found.at[1].false_alarms.low <= 0.01 <= found.at[1].false_alarms.high


def test_a_record_s_own_level_is_no_signal() -> None:
    # Without shadows the levels of the records drown a shift that the ratios still see.
    confidence, member = models(1.5)

    blunt = rates(confidence, member, wanted=(0.01,), delta=0.0, level=0.05)
    sharp = rates(
        likelihood_ratios(confidence, member), member, wanted=(0.01,), delta=0.0, level=0.05
    )

    assert sharp.auc > blunt.auc + 0.1


def test_a_target_s_own_value_does_not_enter_its_shadows() -> None:
    confidence, member = models(0.0)
    changed = confidence.copy()
    changed[0, 0] += 100

    before, after = likelihood_ratios(confidence, member), likelihood_ratios(changed, member)

    # Spreads are shared, so the value is compared where it would act through a mean: not at all.
    assert np.sign(after[0, 0]) != 0
    assert after[0, 0] != before[0, 0]
    assert np.abs(after[1:, 0]).max() < np.abs(after[0, 0])


def test_too_few_shadows_are_refused() -> None:
    with pytest.raises(ValueError, match="more shadows"):
        likelihood_ratios(np.zeros((3, 1)), np.array([[True], [True], [False]]))


def test_a_target_without_members_is_refused() -> None:
    with pytest.raises(ValueError, match="members and others"):
        rates(np.zeros((2, 3)), np.zeros((2, 3), dtype=bool), wanted=(0.1,), delta=0, level=0.05)


@pytest.mark.parametrize(
    "successes, trials, level", [(-1, 5, 0.05), (6, 5, 0.05), (0, 0, 0.05), (1, 5, 0)]
)
def test_shares_that_cannot_be_are_refused(successes: int, trials: int, level: float) -> None:
    with pytest.raises(ValueError, match="need"):
        clopper_pearson(successes, trials, level)
