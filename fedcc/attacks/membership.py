"""Membership inference on a run's real records, with the run's recipe and budget.

Few records and many steps, so that a model without privacy learns them by heart: on the run's own
thousands of records even that one would tell little, and the attack would pass whatever the noise.
Shadow models train centrally with the step rule of the plan, on random halves of the records, and
with Gaussian noise whose epsilon over all steps is the run's claim. The same models without noise
are the twin that shows what the attack can do.

An average-case attack: it refutes a claim only by its exact intervals, and proves none.
"""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcc.attacks.membership_rates import MembershipRates, likelihood_ratios, rates
from fedcc.attacks.settings import MembershipSettings
from fedcc.errors import ConfigError
from fedcc.federation.comparison import pooled
from fedcc.federation.local_training import private_sum, starting_point
from fedcc.federation.planning import prior_scale, step_size
from fedcc.federation.progress import Progress, ProgressCallback, silent
from fedcc.federation.replay import FinishedRun
from fedcc.federation.run_plan import RunPlan
from fedcc.models.heads import build_module
from fedcc.privacy.accounting import mu_of_epsilon
from fedcc.privacy.noise_shares import gaussian_share
from fedcc.rng import byte_source, generator
from fedcc.tasks.task import Examples
from fedcc.training.baselines import train_centrally
from fedcc.training.dp_sgd import NORM_SLACK
from fedcc.training.evaluate import logits, probabilities

Matrix = NDArray[np.float64]
Flags = NDArray[np.bool_]
FALSE_ALARMS = (0.001, 0.01)


@dataclass(frozen=True)
class MembershipAudit:
    """The attack on models with the run's privacy, and on the same models without."""

    records: int
    shadows: int
    rounds: int
    epsilon: float | None  # of each model; None if the run claims nothing
    private: MembershipRates | None  # None if the run claims nothing
    without_privacy: MembershipRates


def infer_membership(
    run: FinishedRun,
    settings: MembershipSettings,
    *,
    epsilon: float | None,
    level: float,
    seed: int | None,
    progress: ProgressCallback = silent,
) -> MembershipAudit:
    """Attack shadow models of a run.

    Args:
        run: the finished run.
        settings: records, models and steps.
        epsilon: the run's claim; `None` if it has none.
        level: of each interval.
        seed: `None` for the operating system's randomness.
        progress: called before each group of models.

    Raises:
        ConfigError: if the run has too few records.
    """
    records = _records(run, settings.records, seed)
    coins = generator(seed, "membership", "coins").random((settings.shadows, len(records)))
    member = np.argsort(coins, axis=0) < settings.shadows // 2  # each record in half of the models
    steps = 1 if run.plan.step == "class_means" else settings.rounds

    def attacked(budget: float | None) -> MembershipRates:
        name = "without privacy" if budget is None else f"at epsilon {budget:.3g}"
        text = f"training {settings.shadows} shadow models {name}"
        progress(Progress(kind="note", text=text))
        shadows = _Shadows(run, records, steps, budget, seed)
        confidence = np.stack([shadows.confidence(one, i) for i, one in enumerate(member)])
        scores = likelihood_ratios(confidence, member)
        return rates(scores, member, wanted=FALSE_ALARMS, delta=run.plan.delta, level=level)

    return MembershipAudit(
        records=len(records),
        shadows=settings.shadows,
        rounds=steps,
        epsilon=epsilon,
        private=None if epsilon is None else attacked(epsilon),
        without_privacy=attacked(None),
    )


def _records(run: FinishedRun, wanted: int, seed: int | None) -> Examples:
    """Return some of the run's training rows, at most one of each customer.

    Raises:
        ConfigError: if there are fewer than twenty.
    """
    pool = pooled(run.data.sites)
    order = generator(seed, "membership", "records").permutation(len(pool))
    if pool.customers is not None:
        _, first = np.unique(pool.customers[order], return_index=True)
        order = order[np.sort(first)]
    chosen = order[:wanted]
    if len(chosen) < 20:
        raise ConfigError(
            f"membership: {run.path} has {len(chosen)} training records; at least 20 are needed."
        )
    return Examples(pool.features[chosen], pool.labels[chosen])


class _Shadows:
    """Trains models on halves of the records."""

    def __init__(
        self,
        run: FinishedRun,
        records: Examples,
        steps: int,
        epsilon: float | None,
        seed: int | None,
    ) -> None:
        self._records, self._seed = records, seed
        self._plan = _shadow_plan(run, len(records) / 2, steps, epsilon)
        self._initial = starting_point(self._plan, run.data.recipe)
        self._variance, self._name = 0.0, "none"
        if epsilon is not None:
            sigma = math.sqrt(steps) / mu_of_epsilon(epsilon, self._plan.delta)
            self._variance = (sigma * self._plan.max_grad_norm * NORM_SLACK) ** 2
            self._name = repr(epsilon)

    def confidence(self, chosen: Flags, index: int) -> NDArray[np.float64]:
        """Train on the chosen records; return the log-odds of every record's label."""
        rows = Examples(self._records.features[chosen], self._records.labels[chosen])
        parameters = train_centrally(
            private_sum(self._plan, rows),
            self._plan.rule,
            initial=self._initial,
            noise=self._noise(index) if self._variance else None,
            batch=None,
        )
        scores = logits(build_module(self._plan.shape), parameters, self._records.features)
        own = probabilities(scores)[np.arange(len(self._records)), self._records.labels]
        own = np.clip(own, 1e-12, 1 - 1e-12)
        return np.asarray(np.log(own) - np.log1p(-own))

    def _noise(self, index: int) -> "_Noise":
        return _Noise(self._plan.n_parameters, self._variance, self._seed, self._name, index)


@dataclass(frozen=True)
class _Noise:
    size: int
    variance: float
    seed: int | None
    name: str
    index: int

    def __call__(self, round_number: int) -> NDArray[np.float64]:
        place = ("membership", "noise", self.name, self.index, round_number)
        return gaussian_share(self.size, self.variance, byte_source(self.seed, *place))


def _shadow_plan(run: FinishedRun, rows: float, steps: int, epsilon: float | None) -> RunPlan:
    """Return the run's plan for so many rows and steps, a record as the unit."""
    settings = run.settings
    effective = math.inf if epsilon is None else epsilon
    return dataclasses.replace(
        run.plan,
        unit="record",
        max_interactions=1,
        max_sites_per_customer=1,
        sample_rate=1.0,
        mechanism="none",
        rounds=steps,
        normaliser=rows,
        learning_rate=step_size(settings.training, settings.model, effective),
        prior_scale=prior_scale(settings.training, effective),
    )
