"""Churn: labels follow the published columns, and the best AUC is what the closed form says."""

import itertools
import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from fedcc.data.world import churn
from fedcc.data.world.churn import bayes_auc
from fedcc.data.world.people import draw_chunk

Row = dict[str, str]


def probability_of(row: Row) -> float:
    """The documented model, written down a second time from the text cells of one row."""
    contract = {"month_to_month": 0, "one_year": 1, "two_year": 2}[row["contract"]]
    tenure = int(row["tenure_months"])
    logit = churn.INTERCEPT + churn.CONTRACT[contract]
    logit += churn.TENURE_PER_MONTH * min(tenure, 60)
    logit += churn.CHARGE_PER_UNIT * (float(row["monthly_charge"]) - 35)
    logit += churn.COMPLAINTS * min(int(row["complaints"]), 3)
    logit += churn.UNRESOLVED * min(int(row["unresolved"]), 4)
    logit += churn.OUTAGES * min(int(row["outages"]), 5)
    logit += churn.EXIT_CONTACTS * min(int(row["exit_contacts"]), 2)
    if row["mean_satisfaction"]:
        logit += churn.SATISFACTION * (float(row["mean_satisfaction"]) - 3)
    if contract == 0 and tenure < 6:
        logit += churn.EARLY_UNBOUND
    return 1 / (1 + math.exp(-logit))


@pytest.fixture(scope="module")
def known(customers: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Probability from the cells, and the label, of every customer."""
    probability = np.array([probability_of(row) for row in customers])
    return probability, np.array([row["churned"] == "yes" for row in customers])


def test_the_probability_needs_nothing_but_published_columns(
    known: tuple[np.ndarray, np.ndarray],
) -> None:
    drawn = np.concatenate([draw_chunk(0, number).probability for number in range(20)])

    np.testing.assert_allclose(known[0], drawn[: len(known[0])], rtol=1e-12)


def test_labels_are_drawn_with_these_probabilities(
    known: tuple[np.ndarray, np.ndarray],
) -> None:
    probability, churned = known

    # Ten groups of equal size by probability; five standard deviations of a sum of Bernoullis.
    for group in np.array_split(np.argsort(probability), 10):
        p = probability[group]
        assert abs(churned[group].sum() - p.sum()) < 5 * math.sqrt((p * (1 - p)).sum())
    assert 0.18 < churned.mean() < 0.22


def test_the_best_auc_is_the_mean_over_all_labellings_of_a_small_table() -> None:
    p = np.array([0.2, 0.35, 0.35, 0.6, 0.9])
    concordant = pairs = 0.0
    for labels in itertools.product((0, 1), repeat=len(p)):
        weight = float(np.prod(np.where(labels, p, 1 - p)))
        for i, j in itertools.permutations(range(len(p)), 2):
            if labels[i] and not labels[j]:
                pairs += weight
                concordant += weight * ((p[i] > p[j]) + 0.5 * (p[i] == p[j]))

    assert bayes_auc(p) == pytest.approx(concordant / pairs, rel=1e-12)


def test_the_best_auc_is_documented_and_reached_by_the_known_probabilities(
    known: tuple[np.ndarray, np.ndarray],
) -> None:
    probability, churned = known
    documented = 0.846

    assert f"{documented}" in (churn.__doc__ or "")
    assert bayes_auc(probability) == pytest.approx(documented, abs=0.006)
    # scikit-learn on the drawn labels; about 0.003 is one standard error of 20,000 rows.
    assert roc_auc_score(churned, probability) == pytest.approx(bayes_auc(probability), abs=0.015)


@pytest.mark.parametrize("bad", [[0.5], [0.0, 0.5], [0.5, 1.0], [0.5, float("nan")]])
def test_probabilities_that_make_no_pairs_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="probabilities"):
        bayes_auc(np.array(bad))


def test_logistic_regression_learns_churn_almost_to_the_best_auc(
    customers: list[Row], known: tuple[np.ndarray, np.ndarray]
) -> None:
    contracts = ("one_year", "two_year")
    numbers = ("tenure_months", "monthly_charge", "complaints", "unresolved", "outages")
    table = np.array(
        [
            [float(row[name]) for name in (*numbers, "exit_contacts")]
            + [float(row["mean_satisfaction"] or 3)]
            + [float(row["contract"] == contract) for contract in contracts]
            for row in customers
        ]
    )
    probability, churned = known
    train, test = slice(0, 14_000), slice(14_000, None)
    scaled = StandardScaler().fit(table[train]).transform(table)

    model = LogisticRegression(max_iter=500).fit(scaled[train], churned[train])
    reached = roc_auc_score(churned[test], model.predict_proba(scaled[test])[:, 1])

    best = roc_auc_score(churned[test], probability[test])
    assert 0.78 < best - 0.02 < reached <= best + 0.003
    tenure_alone = roc_auc_score(churned[test], -table[test, 0])
    assert tenure_alone < reached - 0.08  # no single column gives the label away
