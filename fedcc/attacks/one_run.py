"""A lower bound on epsilon from one run that assumes nothing about the mechanism.

Many canaries are each in or out by a fair coin of their own. An attacker who sees what was
released, and not the coins, guesses some of them. Under (epsilon, delta)-DP the number of right
guesses is hardly larger than a binomial with the chance e^epsilon / (1 + e^epsilon), so many right
guesses refute a small epsilon. Nothing is assumed of the noise, the model or the guesses. In return
the bound is loose: with every one of 1,000 guesses right it is below 6.

How many guesses are made is fixed before the run, from the plan alone; the best of several numbers
chosen afterwards would be no bound. Two numbers are tried, each at half the level: all canaries,
which is best where nothing protects them, and the number that would be best if the claim were true.

Source: Steinke, Nasr, Jagielski, "Privacy Auditing with One (1) Training Run", NeurIPS 2023
(arXiv:2305.08846), Theorem 5.2 and Appendix D.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import beta, binom

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]
BISECTIONS = 30
FAR = 15.0  # standard deviations beyond which a binomial holds less than 1e-40
MOST_EPSILON = 100.0


@dataclass(frozen=True)
class OneRunBound:
    """The bound, and the test that gave it."""

    epsilon_lower: float
    guesses: tuple[int, ...]  # tried, fixed in advance
    right: tuple[int, ...]  # of each of them


def p_value(*, canaries: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """Return the largest chance of so many right guesses under (epsilon, delta)-DP.

    Args:
        canaries: m, each in or out by a fair coin.
        guesses: r, made of them.
        right: v, of the guesses.
        epsilon: to be refuted.
        delta: of the claim.

    Raises:
        ValueError: unless 0 <= right <= guesses <= canaries, epsilon >= 0 and 0 <= delta <= 1.
    """
    if not 0 <= right <= guesses <= canaries or not epsilon >= 0 or not 0 <= delta <= 1:
        raise ValueError("need 0 <= right <= guesses <= canaries, epsilon >= 0, delta in [0, 1]")
    chance = 1 / (1 + math.exp(-epsilon))
    at_least = float(binom.sf(right - 1, guesses, chance))
    if right == 0:
        return 1.0
    # alpha = max over i of P[right > Binomial >= right - i] / i; what lies far below adds nothing.
    far_below = guesses * chance - FAR * math.sqrt(guesses * chance * (1 - chance)) - 1
    last = max(-1, min(right - 2, math.floor(far_below)))
    below = np.cumsum(binom.pmf(np.arange(right - 1, last, -1), guesses, chance))
    alpha = float(np.max(below / np.arange(1, len(below) + 1)))
    return min(1.0, at_least + 2 * canaries * delta * alpha)


def refuted_epsilon(
    *, canaries: int, guesses: int, right: int, delta: float, level: float
) -> float:
    """Return the largest epsilon that so many right guesses refute; 0 if none.

    Raises:
        ValueError: as `p_value`, or if the level is not in (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")

    def refuted(epsilon: float) -> bool:
        p = p_value(canaries=canaries, guesses=guesses, right=right, epsilon=epsilon, delta=delta)
        return p <= level

    low, high = 0.0, 1.0
    if not refuted(low):
        return 0.0
    while high < MOST_EPSILON and refuted(high):
        low, high = high, 2 * high
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low


def planned_guesses(canaries: int, *, mu: float, delta: float, level: float) -> tuple[int, ...]:
    """Return the numbers of guesses to try, from the claim alone.

    Args:
        canaries: m.
        mu: of the Gaussian channel if the claim is true; infinite without a claim.
        delta: of the claim.
        level: of all tests together.

    Raises:
        ValueError: if there are no canaries.
    """
    if canaries < 1:
        raise ValueError("there are no canaries")
    if math.isinf(mu):
        return (canaries,)
    tried = sorted({max(1, round(canaries * 2.0 ** (-step / 2))) for step in range(17)})
    rights = [int(guesses * _chance_of_right(guesses / canaries, mu)) for guesses in tried]
    # By the binomial alone; any rule is sound that looks at nothing but the plan.
    lowest = [
        beta.ppf(level / 2, right, guesses - right + 1)
        for guesses, right in zip(tried, rights, strict=True)
    ]
    best = tried[int(np.argmax(lowest))]
    return tuple(sorted({best, canaries}))


def bound(
    scores: Vector,
    present: Flags,
    *,
    guesses: Sequence[int],
    delta: float,
    level: float,
) -> OneRunBound:
    """Return the lower bound of one run.

    Args:
        scores: of each canary, shape `(m,)`: above 0 speaks for its presence, and the surer the
            farther from 0. They must not depend on `present` but through what was released.
        present: the coins, shape `(m,)`.
        guesses: how many to make, fixed in advance; several are tried at a share of the level each.
        delta: of the claim.
        level: chance that the bound exceeds the truth, of all tries together.

    Raises:
        ValueError: if no number of guesses is given, or one is not in 0..m.
    """
    if not guesses:
        raise ValueError("name at least one number of guesses")
    surest = np.argsort(-np.abs(scores), kind="stable")
    right_so_far = np.cumsum((scores > 0)[surest] == present[surest])
    right = tuple(int(right_so_far[count - 1]) if count else 0 for count in guesses)
    found = [
        refuted_epsilon(
            canaries=len(scores),
            guesses=count,
            right=rights,
            delta=delta,
            level=level / len(guesses),
        )
        for count, rights in zip(guesses, right, strict=True)
    ]
    return OneRunBound(max(found), tuple(guesses), right)


def expected_bound(canaries: int, *, mu: float, delta: float, level: float) -> float:
    """Return the bound that an ideal Gaussian channel gives: what this method can show at most.

    Raises:
        ValueError: if there are no canaries.
    """
    tries = planned_guesses(canaries, mu=mu, delta=delta, level=level)
    return max(
        refuted_epsilon(
            canaries=canaries,
            guesses=guesses,
            right=int(guesses * _chance_of_right(guesses / canaries, mu)),
            delta=delta,
            level=level / len(tries),
        )
        for guesses in tries
    )


def _chance_of_right(share: float, mu: float) -> float:
    """Return the chance that a guess is right if the surest share of N(+-mu / 2, 1) is guessed."""
    if math.isinf(mu):
        return 1.0
    low, high = 0.0, mu + 10.0
    for _ in range(60):
        middle = (low + high) / 2
        beyond = ndtr(mu / 2 - middle) + ndtr(-middle - mu / 2)
        low, high = (middle, high) if beyond > share else (low, middle)
    right = float(ndtr(mu / 2 - low))
    return right / (right + float(ndtr(-low - mu / 2)))
