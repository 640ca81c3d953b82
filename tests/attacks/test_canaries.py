"""Canaries: directions that nothing shares, and parts that the product itself computes."""

import dataclasses

import numpy as np
import pytest
from attacks.bench import finished

from fedcc.attacks.canaries import Contributions, draw_canaries, most_canaries, with_canaries
from fedcc.federation.local_training import private_sum, starting_point
from fedcc.federation.replay import FinishedRun
from fedcc.tasks.task import Examples


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    return finished(tmp_path_factory.mktemp("run") / "run")


def test_vectors_are_orthonormal_and_a_vector_has_each_label_once(run: FinishedRun) -> None:
    canaries = draw_canaries(run.plan, 5000, np.random.default_rng(1))

    np.testing.assert_allclose(canaries.basis @ canaries.basis.T, np.eye(1024), atol=1e-12)
    pairs = set(zip(canaries.place.tolist(), canaries.label.tolist(), strict=True))
    assert len(pairs) == 5000
    assert canaries.present.mean() == pytest.approx(0.5, abs=0.03)


def test_a_canary_s_part_is_what_it_adds_to_the_sum_alone(run: FinishedRun) -> None:
    plan = run.plan
    canaries = draw_canaries(plan, 3000, np.random.default_rng(2))
    rng = np.random.default_rng(3)
    parameters = starting_point(plan, run.data.recipe) + rng.normal(size=plan.n_parameters)

    parts = Contributions(plan, canaries).at(parameters)

    for number in (0, 1500, 2999):
        alone = canaries.rows(np.arange(3000) == number, None)
        whole = private_sum(plan, alone).sum_at(parameters).reshape(plan.n_outputs, -1)
        found = np.outer(parts[number], canaries.basis[canaries.place[number]])
        np.testing.assert_allclose(found, whole, atol=1e-6)  # float32
        assert np.linalg.norm(parts[number]) == pytest.approx(plan.max_grad_norm, rel=1e-3)


def test_no_more_canaries_are_drawn_than_there_are_directions(run: FinishedRun) -> None:
    binary = dataclasses.replace(run.plan, n_outputs=1, n_features=40)
    means = dataclasses.replace(run.plan, step="class_means")

    assert most_canaries(binary) == len(draw_canaries(binary, 999, np.random.default_rng(1))) == 40
    assert (most_canaries(run.plan), most_canaries(means)) == (30 * 1024, 31 * 1024)


def test_only_canaries_whose_coin_says_in_join_the_rows(run: FinishedRun) -> None:
    canaries = draw_canaries(run.plan, 200, np.random.default_rng(4))
    rows = run.data.sites[0]

    joined = with_canaries(run.plan, rows, canaries)

    assert len(joined) == len(rows) + int(canaries.present.sum())
    np.testing.assert_array_equal(joined.features[: len(rows)], rows.features)


def test_a_canary_customer_has_two_rows_and_a_code_of_its_own(run: FinishedRun) -> None:
    plan = dataclasses.replace(run.plan, unit="customer", max_interactions=5)
    rows = Examples(
        run.data.sites[0].features[:4], run.data.sites[0].labels[:4], np.array([0, 0, 7, 7])
    )
    canaries = draw_canaries(plan, 50, np.random.default_rng(5))

    joined = with_canaries(plan, rows, canaries)

    assert joined.customers is not None
    codes, counts = np.unique(joined.customers, return_counts=True)
    assert codes[:2].tolist() == [0, 7]
    assert len(codes) == 2 + int(canaries.present.sum())
    assert set(counts.tolist()) == {2}
