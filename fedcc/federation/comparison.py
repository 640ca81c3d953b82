"""The baselines of a simulation: the same recipe with other places for the noise."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fedcc.federation.local_training import private_sum, starting_point
from fedcc.federation.planning import prior_scale, step_size
from fedcc.federation.settings import RunPlan, SimulationSettings
from fedcc.models.heads import build_module
from fedcc.privacy.accounting import epsilon_of_mu
from fedcc.privacy.noise_shares import gaussian_share
from fedcc.rng import byte_source
from fedcc.tasks.task import Examples, FeatureRecipe, Task
from fedcc.training.baselines import Noise, train_centrally
from fedcc.training.evaluate import logits

Vector = NDArray[np.float64]
NAMES = (
    "central_dp",
    "central_dp_same_noise",
    "central_no_privacy",
    "local_noise",
    "site_alone_mean",
)


def pooled(parts: Sequence[Examples]) -> Examples:
    """Return all rows of several sites as one pool; customers of different sites stay apart."""
    known = [part.customers for part in parts if part.customers is not None]
    widths = [int(codes.max(initial=-1)) + 1 for codes in known]
    offsets = np.cumsum([0, *widths])
    shifted = [codes + offset for codes, offset in zip(known, offsets, strict=False)]
    return Examples(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate(shifted) if len(known) == len(parts) else None,
    )


class Comparison:
    """Computes baselines for one run; utilities are fractions on the test rows."""

    def __init__(
        self,
        plan: RunPlan,
        settings: SimulationSettings,
        task: Task,
        recipe: FeatureRecipe,
        sites: Sequence[Examples],
        test: Examples,
    ) -> None:
        """Keep what every baseline shares."""
        self._plan, self._settings, self._task, self._recipe = plan, settings, task, recipe
        self._sites, self._test = sites, test
        self._seed = settings.seed
        self._pool = pooled(sites)

    def all(self, same_noise: Noise | None) -> dict[str, float | None]:
        """Return every baseline; those that need noise are `None` without privacy.

        Args:
            same_noise: the very noise of the run's sums, or `None` if it was not kept.
        """
        plan, sites = self._plan, len(self._sites)
        central_variance = (plan.noise_multiplier * plan.sensitivity) ** 2
        values: dict[str, float | None] = dict.fromkeys(NAMES)
        clear = self._plan_for(0.0)
        values["central_no_privacy"] = self._train(self._pool, clear, None)
        if same_noise is not None:
            values["central_dp_same_noise"] = self._train(self._pool, plan, same_noise)
        if plan.noise == "none":
            alone = [self._train(site, self._alone(clear), None) for site in self._sites]
            values["site_alone_mean"] = _mean(alone)
            return values
        values["central_dp"] = self._train(
            self._pool, self._plan_for(central_variance), self._fresh("central", central_variance)
        )
        values["local_noise"] = self._train(
            self._pool,
            self._plan_for(sites * central_variance),
            self._fresh("local", sites * central_variance),
        )
        # A site alone divides by N / K, so the same noise weighs K times as much.
        alone_plan = self._alone(self._plan_for(sites**2 * central_variance))
        alone = [
            self._train(site, alone_plan, self._fresh(f"alone-{index}", central_variance))
            for index, site in enumerate(self._sites)
        ]
        values["site_alone_mean"] = _mean(alone)
        return values

    def _plan_for(self, variance: float) -> RunPlan:
        """Return the run's plan with step size and prior for another noise of the sum."""
        plan, training = self._plan, self._settings.training
        effective = math.inf
        if variance > 0:
            mu = math.sqrt(plan.max_attempts * plan.sensitivity**2 / variance)
            effective = epsilon_of_mu(mu, plan.delta)
        return dataclasses.replace(
            plan,
            learning_rate=step_size(training, self._settings.model, effective),
            prior_scale=prior_scale(training, effective),
        )

    def _alone(self, plan: RunPlan) -> RunPlan:
        return dataclasses.replace(plan, normaliser=plan.normaliser / len(self._sites))

    def _fresh(self, name: str, variance: float) -> Callable[[int], Vector]:
        def noise(round_number: int) -> Vector:
            source = byte_source(self._seed, "baseline", name, round_number)
            return gaussian_share(self._plan.n_parameters, variance, source)

        return noise

    def _train(self, examples: Examples, plan: RunPlan, noise: Noise | None) -> float | None:
        parameters = train_centrally(
            private_sum(plan, examples),
            plan.rule,
            initial=starting_point(plan, self._recipe),
            noise=noise,
        )
        scores = logits(build_module(plan.shape), parameters, self._test.features)
        return self._task.utility(scores, self._test.labels)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
