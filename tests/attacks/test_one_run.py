"""The bound from one run: the paper's program, closed forms, and mechanisms of known epsilon."""

import math
from functools import cache

import numpy as np
import pytest
from scipy.stats import beta, binom

from fedcc.attacks.one_run import bound, expected_bound, p_value, planned_guesses, refuted_epsilon

DELTA, LEVEL = 1e-5, 0.05


def paper_p_value(m: int, r: int, v: int, eps: float, delta: float) -> float:
    """Appendix D of Steinke, Nasr, Jagielski 2023 (arXiv:2305.08846), line by line."""
    q = 1 / (1 + math.exp(-eps))
    beta_ = binom.sf(v - 1, r, q)
    alpha, total = 0.0, 0.0
    for i in range(1, v + 1):
        total = total + binom.pmf(v - i, r, q)
        if total > i * alpha:
            alpha = total / i
    return float(min(beta_ + alpha * delta * 2 * m, 1))


@pytest.mark.parametrize(
    "m, r, v, eps",
    [(100, 40, 30, 0.5), (100, 100, 100, 4.0), (1000, 60, 55, 1.5), (300, 300, 150, 0.0),
     (300, 200, 30, 1.0), (50, 20, 0, 1.0)],
)  # fmt: skip
@pytest.mark.parametrize("delta", [0.0, 1e-5, 1e-3])
def test_the_p_value_is_the_one_of_the_paper(
    m: int, r: int, v: int, eps: float, delta: float
) -> None:
    found = p_value(canaries=m, guesses=r, right=v, epsilon=eps, delta=delta)

    assert found == pytest.approx(paper_p_value(m, r, v, eps, delta), rel=1e-9, abs=1e-30)


@pytest.mark.parametrize("guesses, right", [(100, 80), (1000, 1000), (400, 260)])
def test_without_delta_the_bound_is_the_log_odds_of_clopper_and_pearson(
    guesses: int, right: int
) -> None:
    found = refuted_epsilon(canaries=guesses, guesses=guesses, right=right, delta=0.0, level=LEVEL)

    chance = beta.ppf(LEVEL, right, guesses - right + 1)
    assert found == pytest.approx(math.log(chance / (1 - chance)), abs=1e-5)


@pytest.mark.parametrize("canaries, known", [(10_003, 7.8), (20_000, 8.2), (29_645, 8.25)])
def test_every_guess_right_gives_what_was_computed_before(canaries: int, known: float) -> None:
    # reference/privacy_proofs.md S5, computed with another program.
    found = refuted_epsilon(
        canaries=canaries, guesses=canaries, right=canaries, delta=DELTA, level=LEVEL
    )

    assert found == pytest.approx(known, abs=0.05)


@pytest.mark.parametrize("epsilon, known", [(0.26802, 0.62), (0.93875, 2.3), (1.69101, 3.9)])
def test_a_true_claim_of_1_4_and_8_gives_what_was_computed_before(
    epsilon: float, known: float
) -> None:
    # As above, with one number of guesses; two at half the level each cost a little.
    found = expected_bound(20_000, mu=epsilon, delta=DELTA, level=LEVEL)

    assert 0.75 * known <= found <= 1.02 * known


@cache
def above_one(guesses: int, right: int, level: float) -> bool:
    """Whether so many right of 300 canaries refute epsilon 1."""
    return p_value(canaries=300, guesses=guesses, right=right, epsilon=1.0, delta=0.0) <= level


def rights_of_randomised_response(rng: np.random.Generator, guesses: list[int]) -> list[int]:
    """Right with the chance e / (1 + e): exactly epsilon 1, the worst case of the theorem."""
    right = rng.random(300) < 1 / (1 + math.exp(-1))
    return [int(right[:count].sum()) for count in guesses]


def test_randomised_response_is_refuted_as_seldom_as_the_level_says() -> None:
    rng, tries = np.random.default_rng(5), [150, 300]
    above = 0
    for _ in range(2000):
        rights = rights_of_randomised_response(rng, tries)
        above += any(above_one(r, v, LEVEL / 2) for r, v in zip(tries, rights, strict=True))

    assert above <= binom.ppf(0.9995, 2000, LEVEL)


def test_the_best_of_many_numbers_of_guesses_is_no_bound() -> None:
    # The twin: chosen afterwards, each at the full level, it is above the truth too often.
    rng, tries = np.random.default_rng(6), [10, 20, 40, 80, 120, 160, 200, 250, 300]
    above = 0
    for _ in range(2000):
        rights = rights_of_randomised_response(rng, tries)
        above += any(above_one(r, v, LEVEL) for r, v in zip(tries, rights, strict=True))

    assert above > binom.ppf(0.9995, 2000, LEVEL)


def test_a_thousand_canaries_without_noise_show_more_than_five() -> None:
    present = np.random.default_rng(7).random(1000) < 0.5
    guesses = planned_guesses(1000, mu=0.938, delta=DELTA, level=LEVEL)

    found = bound(present - 0.5, present, guesses=guesses, delta=DELTA, level=LEVEL)

    assert found.right == found.guesses
    assert found.epsilon_lower > 5


def test_noise_alone_shows_nothing() -> None:
    rng = np.random.default_rng(8)
    present = rng.random(5000) < 0.5

    found = bound(rng.standard_normal(5000), present, guesses=(100, 5000), delta=DELTA, level=LEVEL)

    assert found.epsilon_lower < 0.1


def test_the_surest_guesses_are_made_first() -> None:
    present = np.array([True, False, True, False])

    found = bound(np.array([0.1, 0.2, 5, -9]), present, guesses=(2, 4), delta=0, level=LEVEL)

    assert found.right == (2, 3)


def test_the_guesses_of_a_plan_without_noise_are_all_of_them() -> None:
    assert planned_guesses(77, mu=math.inf, delta=DELTA, level=LEVEL) == (77,)


@pytest.mark.parametrize(
    "numbers",
    [{"right": 6}, {"guesses": 11}, {"epsilon": -1.0}, {"delta": 2.0}, {"right": -1}],
)
def test_numbers_that_contradict_each_other_are_refused(numbers: dict[str, float]) -> None:
    sound = {"canaries": 10, "guesses": 5, "right": 3, "epsilon": 1.0, "delta": 0.0}

    with pytest.raises(ValueError, match="need"):
        p_value(**{**sound, **numbers})


def test_no_number_of_guesses_is_refused() -> None:
    with pytest.raises(ValueError, match="guesses"):
        bound(np.ones(3), np.ones(3, dtype=bool), guesses=(), delta=0, level=LEVEL)
