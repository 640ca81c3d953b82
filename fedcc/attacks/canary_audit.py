"""The audit of a run's claim with canaries: claimed against empirical epsilon, by observer.

Replays of the run's own plan with canaries among the rows give scores; `gaussian_channel` makes a
tight estimate of them, `one_run` a bound without assumptions. The level of each test and the number
of guesses are fixed before the first replay.
"""

import math
from dataclasses import dataclass

import numpy as np

from fedcc.attacks import gaussian_channel, one_run
from fedcc.attacks.canaries import (
    Flags,
    check_auditable,
    draw_canaries,
    with_canaries,
)
from fedcc.attacks.canary_watch import CanaryWatch, Vector, coalitions
from fedcc.attacks.gaussian_channel import ChannelEstimate
from fedcc.attacks.one_run import OneRunBound
from fedcc.attacks.settings import CanarySettings
from fedcc.errors import ConfigError
from fedcc.federation.local_training import private_sum, starting_point
from fedcc.federation.progress import Progress, ProgressCallback, silent
from fedcc.federation.replay import FinishedRun, replay
from fedcc.federation.run_plan import RunPlan
from fedcc.privacy.accounting import Observer, composed_mu, epsilon_of_mu
from fedcc.rng import generator


@dataclass(frozen=True)
class ObserverResult:
    """What was claimed against an observer, and what canaries show."""

    claimed: float  # epsilon of the attempts that were charged; infinite without noise
    channel: ChannelEstimate
    # Spread of the scores over that of the accounted noise: 1 if nobody dropped out, else no less;
    # 0 without a claim. It says of the noise what the estimate says of noise and clip together.
    noise_found: float
    channel_expected_lower: float  # of a true claim: what so many canaries can show on average
    one_run: OneRunBound
    one_run_expected: float  # of a true claim and an ideal Gaussian channel

    @property
    def refuted(self) -> bool:
        """Whether a lower bound exceeds the claim."""
        return max(self.channel.epsilon_lower, self.one_run.epsilon_lower) > self.claimed


@dataclass(frozen=True)
class CanaryAudit:
    """The audit of one run."""

    canaries: int  # over all replays
    replays: int
    attempts: int  # charged in each replay
    delta: float
    level: float
    strength: float  # mean norm of a canary in units of the clip; 1 tests the whole claim
    observers: dict[Observer, ObserverResult]

    @property
    def refuted(self) -> bool:
        """Whether any claim is refuted, at the level of each test."""
        return any(result.refuted for result in self.observers.values())


@dataclass
class _Scores:
    """Scores of all replays so far."""

    informed: dict[Observer, list[Vector]]
    blind: dict[Observer, list[Vector]]
    present: list[Flags]
    independent: float = 0.0
    strength: float = 0.0
    attempts: int = 0


def audit_with_canaries(
    run: FinishedRun,
    settings: CanarySettings,
    *,
    level: float,
    seed: int | None,
    progress: ProgressCallback = silent,
) -> CanaryAudit:
    """Replay a run with canaries and hold what is seen against what was claimed.

    Args:
        run: the finished run.
        settings: how many canaries and replays.
        level: chance that a bound exceeds the truth, in each test.
        seed: `None` for the operating system's randomness.
        progress: called before each replay.

    Raises:
        ConfigError: if the plan has no room for canaries.
        FedccError: if a replay ends early.
    """
    check_auditable(run.plan)
    canary_sites, offline = _canary_sites(run)
    who = coalitions(run.plan, canary_sites, offline)
    scores = _Scores({name: [] for name in who}, {name: [] for name in who}, [])
    for number in range(1, settings.repeats + 1):
        progress(Progress(kind="note", text=f"replay {number} of {settings.repeats} with canaries"))
        _one_replay(run, settings.count, (seed, number), canary_sites, who, scores)
    return _conclude(run.plan, scores, settings.repeats, level)


def _canary_sites(run: FinishedRun) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the sites that get canaries, and those that drop out somewhere.

    Raises:
        ConfigError: if too few sites stay to the end.
    """
    names = run.plan.sites
    offline = tuple(sorted({names[drop.site - 1] for drop in run.settings.federation.drop}))
    steady = [site for site in names if site not in offline]
    wanted = run.plan.max_sites_per_customer
    if len(steady) < wanted:
        raise ConfigError(
            f"canaries: {wanted} site(s) must answer in every round (max_sites_per_customer), "
            f"{len(steady)} do. Attack a run with fewer federation.drop."
        )
    return tuple(steady[:wanted]), offline


def _one_replay(
    run: FinishedRun,
    count: int,
    seed: tuple[int | None, int],
    canary_sites: tuple[str, ...],
    who: dict[Observer, tuple[str, ...]],
    scores: _Scores,
) -> None:
    plan, data = run.plan, run.data
    canaries = draw_canaries(plan, count, generator(seed[0], "canaries", seed[1]))
    sites = dict(zip(plan.sites, data.sites, strict=True))
    watch = CanaryWatch(
        plan,
        canaries,
        {name: private_sum(plan, rows) for name, rows in sites.items()},
        canary_sites=canary_sites,
        coalitions=who,
        initial=starting_point(plan, data.recipe),
    )
    planted = [
        with_canaries(plan, rows, canaries) if name in canary_sites else rows
        for name, rows in sites.items()
    ]
    replay_seed = None if seed[0] is None else int(generator(*seed).integers(2**62))
    replay(run, planted, plan=plan, seed=replay_seed, eyes=watch.eyes)
    for name in who:
        scores.informed[name].append(watch.informed[name])
        scores.blind[name].append(watch.blind[name])
    scores.present.append(canaries.present)
    scores.independent += watch.independent
    scores.strength += float(watch.strength.mean()) / (plan.max_grad_norm * plan.rounds)
    scores.attempts = max(scores.attempts, watch.attempts)


def _conclude(plan: RunPlan, scores: _Scores, replays: int, level: float) -> CanaryAudit:
    present = np.concatenate(scores.present)
    observers = {
        name: _result(
            plan,
            name,
            scores.attempts,
            np.concatenate(scores.informed[name]),
            np.concatenate(scores.blind[name]),
            present,
            scores.independent,
            level,
        )
        for name in scores.informed
    }
    return CanaryAudit(
        canaries=len(present),
        replays=replays,
        attempts=scores.attempts,
        delta=plan.delta,
        level=level,
        strength=scores.strength / replays,
        observers=observers,
    )


def _result(
    plan: RunPlan,
    observer: Observer,
    attempts: int,
    informed: Vector,
    blind: Vector,
    present: Flags,
    independent: float,
    level: float,
) -> ObserverResult:
    count, delta = len(present), plan.delta
    mu = composed_mu([plan.event] * attempts, observer)
    accounted = math.sqrt(plan.rounds * plan.event.variance_against(observer))
    channel = gaussian_channel.estimate(
        informed, present, delta=delta, level=level, independent=independent
    )
    guesses = one_run.planned_guesses(count, mu=mu, delta=delta, level=level)
    return ObserverResult(
        claimed=math.inf if math.isinf(mu) else epsilon_of_mu(mu, delta),
        channel=channel,
        noise_found=channel.spread / accounted if accounted else 0.0,
        channel_expected_lower=gaussian_channel.expected_lower(
            mu, count, delta=delta, level=level, independent=independent
        ),
        one_run=one_run.bound(blind, present, guesses=guesses, delta=delta, level=level),
        one_run_expected=one_run.expected_bound(count, mu=mu, delta=delta, level=level),
    )


def finite_values(values: dict[str, object]) -> dict[str, object]:
    """Return nested values with `None` for what JSON cannot hold."""

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [plain(inner) for inner in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return {key: plain(value) for key, value in values.items()}
