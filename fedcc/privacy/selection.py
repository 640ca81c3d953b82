"""What it costs to train several times on private rows and keep the best model.

All trials satisfy the same Gaussian guarantee mu. A number of trials that is fixed, or chosen while
looking, costs their composition. A number drawn at random beforehand, with nothing but the best
trial released, costs far less: Papernot and Steinke, "Hyperparameter Tuning with Renyi Differential
Privacy", 2022 (arXiv:2110.03620), Theorem 2 (truncated negative binomial: geometric, logarithmic)
and Theorem 6 (Poisson). Their theorems want independent trials that are drawn alike; a search that
learns from earlier trials is none. The score by which the best is found must cost nothing itself:
it is computed on public rows, or noised and accounted for elsewhere.
"""

import math
from typing import Literal

import numpy as np
from scipy.optimize import brentq

from fedcc.privacy.accounting import epsilon_of_mu, gaussian_delta

RandomLaw = Literal["poisson", "geometric", "logarithmic"]
SHAPES = {"geometric": 1.0, "logarithmic": 0.0}  # of the truncated negative binomial
ORDERS = 1 + np.geomspace(1e-2, 1e4, 400)


def repeated_epsilon(mu: float, trials: int, *, delta: float) -> float:
    """Return epsilon of so many trials that may all be seen, however they were chosen."""
    return epsilon_of_mu(mu * math.sqrt(trials), delta)


def selection_epsilon(mu: float, *, delta: float, mean: float, law: RandomLaw) -> float:
    """Return epsilon of releasing the best of a random number of trials, and nothing else.

    Args:
        mu: of one trial, > 0.
        delta: inside (0, 1).
        mean: expected number of trials, >= 1.
        law: of that number.

    Raises:
        ValueError: if an argument is out of range.
    """
    if not mu > 0 or not 0 < delta < 1 or not mean >= 1:
        raise ValueError(f"need mu > 0, 0 < delta < 1, mean >= 1; got {mu}, {delta}, {mean}")
    trial = ORDERS * mu**2 / 2
    chosen = trial + math.log(mean) / (ORDERS - 1)
    if law == "poisson":
        small = np.log1p(1 / (ORDERS - 1))
        chosen += mean * np.array([gaussian_delta(mu, float(value)) for value in small])
    else:
        shape = SHAPES[law]
        stop = -math.log(halting_chance(mean, law))
        chosen += (1 + shape) * float(np.min((1 - 1 / ORDERS) * trial + stop / ORDERS))
    # Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy", Proposition 12.
    converted = chosen + np.log1p(-1 / ORDERS) - np.log(delta * ORDERS) / (ORDERS - 1)
    return max(0.0, float(np.min(converted)))


def halting_chance(mean: float, law: RandomLaw) -> float:
    """Return gamma of the truncated negative binomial with so many trials on the mean."""
    if law == "geometric" or mean == 1:
        return 1 / mean

    def excess(log_gamma: float) -> float:
        return math.expm1(-log_gamma) / -log_gamma - mean

    return math.exp(float(brentq(excess, -700.0, -1e-12)))


def draw_trials(mean: float, law: RandomLaw, rng: np.random.Generator) -> int:
    """Draw the number of trials; by the Poisson law it may be none at all."""
    if law == "poisson":
        return int(rng.poisson(mean))
    gamma = halting_chance(mean, law)
    if law == "geometric":
        return int(rng.geometric(gamma))
    return 1 if gamma == 1 else int(rng.logseries(1 - gamma))
