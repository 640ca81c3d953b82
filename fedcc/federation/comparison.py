"""The baselines of a simulation: the same recipe with other places for the noise."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fedcc.federation.local_training import private_sum, starting_point
from fedcc.federation.planning import prior_scale, step_size
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.settings import BASELINES, Baseline, SimulationSettings
from fedcc.models.heads import build_module
from fedcc.privacy.accounting import epsilon_of_mu
from fedcc.privacy.noise_shares import gaussian_share
from fedcc.rng import bernoulli, byte_source
from fedcc.tasks.task import Examples, FeatureRecipe, Task
from fedcc.training.baselines import Noise, train_centrally
from fedcc.training.evaluate import logits

Vector = NDArray[np.float64]


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
        """Return every baseline; `None` for those not asked for or not there without privacy.

        Args:
            same_noise: the very noise of the run's sums, or `None` if it was not kept. It is of no
                use where sites drew batches: those are not kept.
        """
        values: dict[str, float | None] = dict.fromkeys(BASELINES)
        for name in self._settings.wanted_baselines:
            values[name] = self._one(name, same_noise)
        return values

    def _one(self, name: Baseline, same_noise: Noise | None) -> float | None:
        plan, sites = self._plan, len(self._sites)
        central = (plan.noise_multiplier * plan.sensitivity) ** 2
        if name == "site_alone_mean":
            return self._alone_mean(central)
        if name == "central_no_privacy":
            return self._train(self._pool, self._plan_for(0.0), None)
        if plan.noise == "none" and name != "central_dp_same_noise":
            return None
        if name == "central_dp_same_noise":
            kept = same_noise is not None and plan.sample_rate == 1
            return self._train(self._pool, plan, same_noise) if kept else None
        # Of the sum of all sites, nobody lost: what a coalition may know makes it more than the
        # central one.
        variance = {
            "central_dp": central,
            "central_dp_same_variance": sites * plan.noise_components.kept(0),
            "local_noise": sites * central,
        }[name]
        return self._train(self._pool, self._plan_for(variance), self._fresh(name, variance))

    def _alone_mean(self, variance: float) -> float | None:
        """Train each site alone; it divides by N / K, so its noise weighs K times as much."""
        plan = self._alone(self._plan_for(len(self._sites) ** 2 * variance))
        found = [
            self._train(site, plan, self._fresh(f"alone-{index}", variance) if variance else None)
            for index, site in enumerate(self._sites)
        ]
        return _mean(found)

    def _plan_for(self, variance: float) -> RunPlan:
        """Return the run's plan with step size and prior for another noise of the sum."""
        plan, training = self._plan, self._settings.training
        effective = math.inf
        if variance > 0:
            # As in calibration: of a full-batch sum with the same noise per row.
            mu = plan.sample_rate * math.sqrt(plan.max_attempts * plan.sensitivity**2 / variance)
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

    def _batch(self, round_number: int, n_units: int) -> NDArray[np.bool_]:
        source = byte_source(self._seed, "baseline", "batch", round_number)
        return bernoulli(n_units, self._plan.sample_rate, source)

    def _train(self, examples: Examples, plan: RunPlan, noise: Noise | None) -> float | None:
        parameters = train_centrally(
            private_sum(plan, examples),
            plan.rule,
            initial=starting_point(plan, self._recipe),
            noise=noise,
            batch=self._batch if plan.sample_rate < 1 else None,
        )
        scores = logits(build_module(plan.shape), parameters, self._test.features)
        return self._task.utility(scores, self._test.labels)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
