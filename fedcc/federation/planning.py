"""From settings to the public plan: calibration, grid and step rule, before anything is spent."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass

from fedcc.crypto.parameters import CryptoSettings, Lanes, lane_capacity
from fedcc.errors import ConfigError
from fedcc.federation.protected_unit import protected_unit, public_kept_rows, public_units
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.settings import SimulationSettings, TrainingSettings, data_sha256
from fedcc.federation.survivors import (
    check_collusion,
    mask_neighbours,
    planned_min_sites,
    recovers,
)
from fedcc.models.heads import build_module, parameter_count
from fedcc.models.shapes import HeadShape, ModelSettings
from fedcc.privacy.accounting import epsilon
from fedcc.privacy.calibration import NoisePlan, calibrate, check_delta, tolerated
from fedcc.privacy.excess_noise import noise_levels
from fedcc.privacy.noise_shares import Grid, choose_grid
from fedcc.tasks.task import FeatureRecipe
from fedcc.training.dp_sgd import NORM_SLACK


def step_size(training: TrainingSettings, model: ModelSettings, effective_epsilon: float) -> float:
    """Return the public step size for the noise that a sum carries.

    A model's own step size holds from effective epsilon 1 on and shrinks below it.
    """
    held = held_epsilon(training, effective_epsilon)
    if model.learning_rate is not None:
        return model.learning_rate * min(1.0, held)
    return (training.learning_rate or 0.0) * held


def held_epsilon(training: TrainingSettings, effective_epsilon: float) -> float:
    """Return the effective epsilon, held between the bounds of the step rule."""
    return min(training.most_epsilon, max(effective_epsilon, training.least_epsilon))


def prior_scale(training: TrainingSettings, effective_epsilon: float) -> float:
    """Return how much the label names weigh: fixed for gradients, against noise for class means."""
    if training.step == "class_means":
        return training.prior_scale / held_epsilon(training, effective_epsilon)
    return training.prior_scale


def warnings(settings: SimulationSettings, repeated_rows: int) -> tuple[str, ...]:
    """Return what the user and the report must be told about a plan.

    Args:
        settings: of the run.
        repeated_rows: rows of customers beyond their first one.

    Raises:
        ConfigError: if delta is too large for the public number of rows or customers.
    """
    names, organisations = settings.site_names, settings.federation.organisations or {}
    unit = protected_unit(settings.privacy, settings.data)
    found = [check_delta(settings.privacy.delta, *public_units(unit, settings.data))]
    if len(names) > 1 and len({organisations.get(name, name) for name in names}) == 1:
        found.append("all sites belong to one organisation: it is trusted with every sum")
    if repeated_rows and settings.privacy.noise != "none" and not unit.is_customer:
        found.append(
            f"{repeated_rows} rows belong to customers with several rows; epsilon is per record, "
            "so such customers are protected less"
        )
    return tuple(text for text in found if text is not None)


def make_plan(
    settings: SimulationSettings,
    recipe: FeatureRecipe,
    n_outputs: int,
    *,
    run: str,
    public_seed: int,
) -> RunPlan:
    """Return the plan of a run.

    Args:
        settings: of the run.
        recipe: the public recipe of the features.
        n_outputs: outputs of the model.
        run: name of the run.
        public_seed: of the starting point of models with a hidden layer.

    Raises:
        ConfigError: if the settings contradict each other or the lanes cannot hold the noise.
    """
    privacy, crypto, training = settings.privacy, settings.crypto, settings.training
    cohort = _planned_cohort(settings)
    shape = HeadShape(
        n_features=recipe.n_features,
        hidden=settings.model.hidden,
        n_outputs=n_outputs,
        embedding=settings.model.name == "text",
    )
    n_parameters = parameter_count(build_module(shape))
    unit = protected_unit(privacy, settings.data)
    attempts = settings.rounds + privacy.reserved_retries
    sensitivity = training.max_grad_norm * NORM_SLACK
    noise = calibrate(
        privacy,
        steps=attempts,
        sensitivity=sensitivity,
        n_sites=len(cohort.names),
        levels=cohort.noise_levels,
        collusion=cohort.collusion,
        masked=crypto.masked,
    )
    public_rows = public_units(unit, settings.data)[0]
    lanes, grid = _planned_grid(settings, cohort, noise, public_rows, n_parameters * attempts)
    return RunPlan(
        run=run,
        task=settings.task.name,
        purpose=settings.task.name,
        data_sha256=data_sha256(settings.data),
        model=settings.model.name,
        features_sha256=recipe.fingerprint,
        n_features=shape.n_features,
        hidden=shape.hidden,
        n_outputs=shape.n_outputs,
        n_parameters=n_parameters,
        public_seed=public_seed,
        prior=training.prior if shape.embedding or not shape.hidden else "none",
        prior_scale=prior_scale(training, noise.effective_epsilon),
        rounds=settings.rounds,
        max_attempts=attempts,
        sites=cohort.names,
        min_sites=cohort.min_sites,
        tolerated_collusion=cohort.collusion,
        noise=privacy.noise,
        mechanism=noise.mechanism,
        noise_multiplier=noise.noise_multiplier,
        own_variance=noise.own_variance,
        noise_levels=cohort.noise_levels,
        sensitivity=sensitivity,
        sample_rate=privacy.rate,
        unit=unit.name,
        max_interactions=unit.max_interactions,
        max_sites_per_customer=unit.max_sites,
        delta=privacy.delta,
        max_grad_norm=training.max_grad_norm,
        steps_per_unit=grid.steps_per_unit,
        box=grid.box,
        scheme=crypto.scheme,
        lanes=lanes,
        seeded=not crypto.unseeded,
        neighbours=cohort.neighbours,
        rotate_every=crypto.rotate_every,
        step=training.step,
        learning_rate=step_size(training, settings.model, noise.effective_epsilon),
        logit_scale=training.logit_scale or 1.0,
        momentum=training.momentum,
        normaliser=privacy.rate * public_kept_rows(unit, settings.data),
        tail_fraction=training.tail_fraction,
    )


@dataclass(frozen=True)
class _Cohort:
    """The planned sites, and how many of them may be lost or collude."""

    names: tuple[str, ...]
    min_sites: int
    collusion: int
    noise_levels: tuple[int, ...]
    neighbours: int


def _planned_cohort(settings: SimulationSettings) -> _Cohort:
    """Return the sites of a plan.

    Raises:
        ConfigError: if there are too few for the encryption, the threshold or the collusion.
    """
    privacy, crypto, names = settings.privacy, settings.crypto, settings.site_names
    organisations = settings.federation.organisations or {}
    unknown = sorted(set(organisations) - set(names))
    if unknown:
        raise ConfigError(f"federation.organisations names {unknown[0]}; sites are {names[0]}, …")
    collusion = tolerated(privacy, organisations, names)
    min_sites = planned_min_sites(privacy, crypto, n_sites=len(names), collusion=collusion)
    if not 1 <= min_sites <= len(names):
        raise ConfigError(f"privacy.min_sites must be from 1 to {len(names)}, the sites planned.")
    if crypto.scheme != "none" and min_sites < 3:
        raise ConfigError("privacy.min_sites must be at least 3 with encryption.")
    survives = recovers(masked=crypto.masked, n_sites=len(names))
    if survives:
        check_collusion(n_sites=len(names), min_sites=min_sites, collusion=collusion)
    levels = noise_levels(
        n_sites=len(names),
        min_sites=min_sites,
        components=privacy.excess_components if survives and privacy.noise == "shared" else 0,
    )
    neighbours = mask_neighbours(
        crypto.neighbours,
        n_sites=len(names),
        collusion=collusion,
        lost=len(names) - min_sites if survives else 0,
    )
    return _Cohort(names, min_sites, collusion, levels, neighbours)


def _planned_grid(
    settings: SimulationSettings,
    cohort: _Cohort,
    noise: NoisePlan,
    public_rows: int,
    coordinates: int,
) -> tuple[Lanes, Grid]:
    """Return lanes and grid for all coordinates of a run; see `lanes_and_grid` for errors."""
    norm = settings.training.max_grad_norm
    fit = functools.partial(
        choose_grid,
        n_sites=len(cohort.names),
        own_variance=noise.own_variance,
        kept_variance=noise.kept_variance,
        max_grad_norm=norm,
        public_rows=public_rows,
        coordinates=coordinates,
        grid_steps=settings.crypto.grid_steps,
    )
    everything = public_rows * norm if noise.own_variance else None
    return lanes_and_grid(settings.crypto, lambda capacity: fit(capacity=capacity), everything)


def lanes_and_grid(
    crypto: CryptoSettings, fit: Callable[[int], Grid], everything: float | None
) -> tuple[Lanes, Grid]:
    """Return how many parameters share a slot, and the grid on which they fit.

    Left to choose, three lanes are taken where nothing is lost by it: each noise share spans
    enough grid steps, no sum of the run overflows and no possible sum of a site is clamped.

    Args:
        crypto: the settings.
        fit: the finest grid for a lane's capacity, from `choose_grid`.
        everything: largest coordinate of a site that owns all public rows; `None` without noise,
            where nothing would hide a coarser grid.

    Raises:
        ConfigError: if the lanes that are asked for, or two, cannot hold the noise.
    """
    if crypto.lanes is None and everything is not None:
        try:
            grid = fit(lane_capacity(crypto.scheme, 3))
        except ConfigError:
            pass  # two lanes have room for more
        else:
            if grid.box >= everything:
                return 3, grid
    lanes: Lanes = crypto.lanes or 2
    return lanes, fit(lane_capacity(crypto.scheme, lanes))


def budget(plan: RunPlan, target: float | None) -> float | None:
    """Return the epsilon that a simulated site's ledger admits; `None` without privacy.

    It is the target, except where single updates are exposed (shared noise without masks): then
    the true cost of the plan, which the summary reports and marks unsafe.
    """
    if target is None:
        return None
    if plan.noise == "shared" and not plan.masked:
        return full_cost(plan) * (1 + 1e-9)
    return target


def full_cost(plan: RunPlan) -> float:
    """Return the claimed epsilon if every reserved attempt is used."""
    return epsilon([plan.event] * plan.max_attempts, delta=plan.delta)


def unsafe(plan: RunPlan) -> list[str]:
    """Return the protections that this plan switches off."""
    findings = {
        "privacy_none": plan.noise == "none",
        "crypto_none": plan.scheme == "none",
        "crypto_ckks_float": plan.scheme == "ckks",
        "outsiders_only": plan.noise == "shared" and not plan.masked,
    }
    return [name for name, found in findings.items() if found]


def shortened(plan: RunPlan, rounds: int) -> RunPlan:
    """Return the plan as it was carried out when fewer rounds were left in the budget."""
    return dataclasses.replace(plan, rounds=rounds)
