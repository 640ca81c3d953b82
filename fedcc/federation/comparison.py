"""The baselines of a simulation: the same recipe with other places for the noise."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fedcc.federation.planning import step_size
from fedcc.federation.settings import RunPlan
from fedcc.models.tabular import ModelSettings, build_module, initial_parameters
from fedcc.models.update import UpdateRule
from fedcc.privacy.accounting import epsilon_of_mu
from fedcc.privacy.noise_shares import gaussian_share
from fedcc.rng import byte_source
from fedcc.tasks.churn import Examples
from fedcc.tasks.metrics import roc_auc
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
    """Return all rows of several sites as one pool."""
    return Examples(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


class Comparison:
    """Computes baselines for one run; utilities are fractions on the test rows."""

    def __init__(
        self,
        plan: RunPlan,
        model: ModelSettings,
        sites: Sequence[Examples],
        test: Examples,
        seed: int | None,
    ) -> None:
        """Keep what every baseline shares."""
        self._plan, self._model, self._sites, self._test = plan, model, sites, test
        self._seed = seed
        self._pool = pooled(sites)

    def all(self, same_noise: Noise | None) -> dict[str, float | None]:
        """Return every baseline; those that need noise are `None` without privacy.

        Args:
            same_noise: the very noise of the run's sums, or `None` if it was not kept.
        """
        plan, sites = self._plan, len(self._sites)
        central_variance = (plan.noise_multiplier * plan.sensitivity) ** 2
        values: dict[str, float | None] = dict.fromkeys(NAMES)
        clear = self._rule(0.0)
        values["central_no_privacy"] = self._train(self._pool, clear, None)
        if same_noise is not None:
            values["central_dp_same_noise"] = self._train(self._pool, plan.rule, same_noise)
        if plan.noise == "none":
            alone = [self._train(site, self._alone(clear), None) for site in self._sites]
            values["site_alone_mean"] = _mean(alone)
            return values
        values["central_dp"] = self._train(
            self._pool, self._rule(central_variance), self._fresh("central", central_variance)
        )
        values["local_noise"] = self._train(
            self._pool,
            self._rule(sites * central_variance),
            self._fresh("local", sites * central_variance),
        )
        # A site alone divides by N / K, so the same noise weighs K times as much.
        rule = self._alone(self._rule(sites**2 * central_variance))
        alone = [
            self._train(site, rule, self._fresh(f"alone-{index}", central_variance))
            for index, site in enumerate(self._sites)
        ]
        values["site_alone_mean"] = _mean(alone)
        return values

    def _rule(self, variance: float) -> UpdateRule:
        """Return the run's step rule with the step size for another noise of the sum."""
        plan = self._plan
        effective = math.inf
        if variance > 0:
            mu = math.sqrt(plan.max_attempts * plan.sensitivity**2 / variance)
            effective = epsilon_of_mu(mu, plan.delta)
        rate = step_size(self._model.learning_rate, effective)
        return dataclasses.replace(plan.rule, learning_rate=rate)

    def _alone(self, rule: UpdateRule) -> UpdateRule:
        return dataclasses.replace(rule, normaliser=rule.normaliser / len(self._sites))

    def _fresh(self, name: str, variance: float) -> Callable[[int], Vector]:
        def noise(round_number: int) -> Vector:
            source = byte_source(self._seed, "baseline", name, round_number)
            return gaussian_share(self._plan.n_parameters, variance, source)

        return noise

    def _train(self, examples: Examples, rule: UpdateRule, noise: Noise | None) -> float | None:
        module = build_module(self._model, examples.features.shape[1])
        parameters = train_centrally(
            module,
            examples,
            rule,
            max_grad_norm=self._plan.max_grad_norm,
            initial=initial_parameters(module, self._plan.public_seed),
            noise=noise,
        )
        return roc_auc(logits(module, parameters, self._test.features), self._test.labels)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
