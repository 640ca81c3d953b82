"""What a run would cost and who would refuse it, before anything is spent.

The plan is made by the code that makes it for a run, a site's consent is asked of the policy and
the ledger that it would be asked of, and the numbers are those that the run will write into
`summary.json`. Nothing is trained, nothing is written, ledgers are read and not locked; no row is
opened unless asked for, and an encoder's weights never are.
"""

import math
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedcc.crypto import contexts
from fedcc.data.inspection import DataMap, inspect_data
from fedcc.data.partition import check_partition
from fedcc.errors import (
    BudgetExceeded,
    ConfigError,
    FedccError,
    PolicyViolation,
    RecordError,
)
from fedcc.federation import planning
from fedcc.federation.earlier_runs import EarlierRuns, find_earlier_runs
from fedcc.federation.engines.launch import check_engine
from fedcc.federation.features import build_recipe
from fedcc.federation.progress import silent
from fedcc.federation.protected_unit import protected_unit
from fedcc.federation.round_cost import RoundCost, measure_round
from fedcc.federation.run_folder import refuse_used
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.settings import SimulationSettings
from fedcc.federation.simulated_data import task_of
from fedcc.federation.site_opening import site_policy
from fedcc.federation.site_policy import SitePolicy
from fedcc.federation.traffic import Traffic, forecast_traffic
from fedcc.privacy.accounting import ThreeEpsilons, three_epsilons
from fedcc.privacy.calibration import calibrate
from fedcc.privacy.ledger import Ledger
from fedcc.rng import generator

ROUND_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the noise table, times the planned rounds


@dataclass(frozen=True, kw_only=True)
class SiteOutlook:
    """What one site has spent, what this plan would add, and whether it would take part."""

    name: str
    ledger: Path | None  # None: a fresh one in the run folder
    budget: float | None  # least epsilon of the caps that cover this plan; None for no limit
    spent: ThreeEpsilons
    after_rounds: ThreeEpsilons  # of its whole ledger
    attempts_left: int | None  # of this plan's noise within its budget; None for no limit
    refusal: FedccError | None


@dataclass(frozen=True, kw_only=True)
class EpsilonForecast:
    """The three epsilons of this run alone, after so many charged attempts."""

    attempts: int
    guaranteed: ThreeEpsilons  # whoever is lost, down to n_min survivors: what ledgers charge
    n_min_survivors: ThreeEpsilons
    all_sites: ThreeEpsilons  # when no site is lost


@dataclass(frozen=True, kw_only=True)
class NoiseRow:
    """The noise with which so many rounds cost the target."""

    rounds: int
    noise_multiplier: float
    share_sd: float  # of one site's share per coordinate, gradient units


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Everything that is known of a run before it."""

    settings: SimulationSettings
    plan: RunPlan
    cohort: tuple[str, ...]  # the sites that would take part
    epsilons: tuple[EpsilonForecast, EpsilonForecast]  # after all rounds, after all retries
    noise_by_rounds: tuple[NoiseRow, ...]
    sites: tuple[SiteOutlook, ...]
    traffic: Traffic
    cost: RoundCost
    earlier: EarlierRuns
    rows: DataMap | None  # None: not opened
    warnings: tuple[str, ...]
    error: FedccError | None  # why the run would end at once

    @property
    def exit_code(self) -> int:
        """Exit code with which the run would end, as far as this can be known."""
        return 0 if self.error is None else self.error.exit_code


def forecast(
    settings: SimulationSettings, *, runs: Path, open_rows: bool, now: datetime
) -> Forecast:
    """Return the forecast of a simulated run.

    Args:
        settings: of the run.
        runs: folder with earlier runs; it need not exist.
        open_rows: whether to read the data set and count what the gates leave out.
        now: current time with a zone, the cutoff of consent.

    Raises:
        FedccError: for settings or data that cannot be run at all.
    """
    warnings = planning.warnings(settings, repeated_rows=0)
    plan = _checked_plan(settings)
    rows = _opened_rows(settings, now) if open_rows else None
    sites = tuple(_outlook(settings, plan, name, now) for name in plan.sites)
    error = verdict(settings, plan, sites)
    willing = tuple(site.name for site in sites if site.refusal is None)
    cohort = willing if error is None else plan.sites
    return Forecast(
        settings=settings,
        plan=plan,
        cohort=cohort,
        epsilons=(_epsilons(plan, plan.rounds), _epsilons(plan, plan.max_attempts)),
        noise_by_rounds=_noise_table(settings, plan),
        sites=sites,
        traffic=forecast_traffic(plan, cohort),
        cost=measure_round(plan),
        earlier=find_earlier_runs(runs, plan, settings.engine.name),
        rows=rows,
        warnings=warnings + (rows.warnings if rows is not None else ()),
        error=error,
    )


def _checked_plan(settings: SimulationSettings) -> RunPlan:
    """Check everything that a run checks before it opens data, and make its plan.

    Raises:
        FedccError: with the words of the run.
    """
    task = task_of(settings)
    task.check(settings.data)
    check_partition(settings.data, settings.partition)
    check_engine(settings.engine.name)
    if settings.run.dir is not None:
        refuse_used(Path(settings.run.dir))
    plan = planning.make_plan(
        settings,
        build_recipe(settings, silent),
        task.n_outputs(settings.data),
        run=secrets.token_hex(8),
        public_seed=secrets.randbelow(2**62) if settings.seed is None else settings.seed,
    )
    if plan.masked and plan.seeded:
        contexts.check_seed_compression()
    return plan


def _opened_rows(settings: SimulationSettings, now: datetime) -> DataMap:
    return inspect_data(
        settings.data,
        settings.partition,
        settings.sites,
        rng=generator(settings.seed, "partition"),
        now=now,
        whole_customers=protected_unit(settings.privacy, settings.data).is_customer,
    )


def _epsilons(plan: RunPlan, attempts: int) -> EpsilonForecast:
    return EpsilonForecast(
        attempts=attempts,
        guaranteed=three_epsilons([plan.event] * attempts, delta=plan.delta),
        n_min_survivors=_three_with(plan, plan.min_sites, attempts),
        all_sites=_three_with(plan, len(plan.sites), attempts),
    )


def _three_with(plan: RunPlan, survivors: int, attempts: int) -> ThreeEpsilons:
    return three_epsilons([plan.event_with(survivors)] * attempts, delta=plan.delta)


def _noise_table(settings: SimulationSettings, plan: RunPlan) -> tuple[NoiseRow, ...]:
    """Return what other numbers of rounds would be calibrated to, with the same retries."""
    if plan.noise == "none" or plan.step == "class_means":  # class means have one round
        return ()
    reserved = plan.max_attempts - plan.rounds
    rows = []
    for rounds in sorted({max(1, round(plan.rounds * factor)) for factor in ROUND_FACTORS}):
        noise = calibrate(
            settings.privacy,
            steps=rounds + reserved,
            sensitivity=plan.sensitivity,
            n_sites=len(plan.sites),
            levels=plan.noise_levels,
            collusion=plan.tolerated_collusion,
            masked=plan.masked,
        )
        share_sd = math.sqrt(noise.own_variance)
        rows.append(
            NoiseRow(rounds=rounds, noise_multiplier=noise.noise_multiplier, share_sd=share_sd)
        )
    return tuple(rows)


def _outlook(settings: SimulationSettings, plan: RunPlan, name: str, now: datetime) -> SiteOutlook:
    """Return what a site would say, asked of its own policy and ledger."""
    # The policy is asked about the plan alone, so names stand in for identity keys.
    trusted = dict.fromkeys(plan.sites, b"")
    file = settings.site.policy
    policy = site_policy(
        plan, settings, trusted, site=name, policy_file=Path(file) if file is not None else None
    )
    caps, delta = policy.privacy.caps, policy.privacy.delta
    folder = None if settings.ledger.dir is None else Path(settings.ledger.dir)
    path = None if folder is None else folder / f"{name}.jsonl"
    try:
        ledger = Ledger.read(path, caps=caps, delta=delta)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(
            f"ledger.dir: {path} cannot be read: {reason}. Name another folder."
        ) from error
    later = [*ledger.events, *[plan.event] * plan.rounds]
    return SiteOutlook(
        name=name,
        ledger=path,
        budget=min((c.epsilon for c in caps if c.epsilon and c.covers(plan.purpose)), default=None),
        spent=three_epsilons(ledger.events, delta=plan.delta),
        after_rounds=three_epsilons(later, delta=plan.delta),
        attempts_left=ledger.attempts_within(plan.event, purpose=plan.purpose, now=now),
        refusal=refusal(plan, policy, ledger, now),
    )


def refusal(plan: RunPlan, policy: SitePolicy, ledger: Ledger, now: datetime) -> FedccError | None:
    """Return why a site would not begin a run, in the order in which it asks."""
    try:
        policy.check(plan)
        ledger.check(plan.event, plan.rounds, purpose=plan.purpose, now=now)
    except (PolicyViolation, BudgetExceeded) as error:
        return error
    return None


def verdict(
    settings: SimulationSettings, plan: RunPlan, sites: tuple[SiteOutlook, ...]
) -> FedccError | None:
    """Return why the run would end at once, or `None`; a minority that refuses does not end it."""
    if settings.data.consent is None:
        return RecordError(
            f"the data YAML '{settings.data.name}' has no consent block, so no row may train. Add "
            "consent: {basis: public_dataset, source: …} or {basis: per_row, columns: {…}}."
        )
    refusals = [site.refusal for site in sites if site.refusal is not None]
    if len(sites) - len(refusals) < plan.min_sites:
        return refusals[0]
    return None
