"""What a site admits: the checks that a plan must pass before anything is computed.

Two things are asked of a plan: that it is, to the byte, the one that this site's operator approved,
and that its numbers are sound by themselves and no weaker than the site's own policy. Approval
alone would trust whoever wrote the plan; soundness alone would let an aggregator show different
sites different sound plans. What a plan costs is held against the policy's caps by the ledger.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fedcc.crypto.parameters import LANE_BITS, MAX_EPOCH_ROUNDS, MIN_ENCRYPTED_SITES
from fedcc.crypto.thresholds import tolerated_collusion_bound
from fedcc.errors import PolicyViolation
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.survivors import LEAST_HONEST
from fedcc.privacy.noise_shares import grid_fits
from fedcc.privacy.policy import PrivacyPolicy
from fedcc.training.dp_sgd import NORM_SLACK

SLACK = 1 - 1e-12  # float64 rounding of products that both sides compute


@dataclass(frozen=True, kw_only=True)
class SitePolicy:
    """What this site admits; a plan may be stricter, never weaker."""

    privacy: PrivacyPolicy  # the operator's own file, or in a simulation without one its settings
    approved_plans: frozenset[str]  # SHA-256 of each plan that the operator approved
    data_sha256: str
    trusted: Mapping[str, bytes]  # identity key of each site, agreed out of band

    def check(self, plan: RunPlan) -> None:
        """Refuse a plan that this site does not admit.

        Raises:
            PolicyViolation: names the first field that is wrong, its value and what is admitted.
        """
        for field, value in dataclasses.asdict(plan).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise _refusal(field, value, "finite numbers")
        for rule in RULES:
            if not rule.fits(self, plan):
                raise _refusal(rule.field, getattr(plan, rule.field), rule.admits(self, plan))
        if not _grid_holds(plan):
            raise _refusal("grid", plan.steps_per_unit, "a grid whose lanes and shares suffice")
        if plan.sha256 not in self.approved_plans:
            raise _refusal("hash", plan.sha256, "plans that its operator approved")


@dataclass(frozen=True)
class Rule:
    """One field of a plan, when it is admitted, and what is admitted in words."""

    field: str
    fits: Callable[[SitePolicy, RunPlan], bool]
    admits: Callable[[SitePolicy, RunPlan], str]


def _refusal(field: str, value: object, admitted: str) -> PolicyViolation:
    return PolicyViolation(
        f"the plan's {field} is not admitted by this site: it is {value!r:.80}; admitted: "
        f"{admitted}. Change the plan, or the site's policy where that is the operator's wish."
    )


def _listed(values: object) -> str:
    return ", ".join(map(str, values)) if isinstance(values, tuple) else str(values)


def _honest(plan: RunPlan) -> int:
    return plan.min_sites - plan.tolerated_collusion


def _needed_variance(plan: RunPlan) -> float:
    """Return the variance that this site's own noise must have for the plan's claim."""
    total = (plan.noise_multiplier * plan.sensitivity) ** 2
    return total / _honest(plan) if plan.noise == "shared" else total


def _mechanism(plan: RunPlan) -> str:
    if plan.noise == "none":
        return "none"
    if plan.sample_rate < 1:
        return "sampled_gaussian_alone"
    return "gaussian_share" if plan.noise == "shared" and plan.masked else "gaussian_alone"


def _connects(plan: RunPlan) -> bool:
    """Tell whether colluding and lost sites cannot cut a site off from its mask peers."""
    ring = plan.neighbours
    return ring == 0 or (ring % 2 == 0 and ring > _may_fail(plan))


def _may_fail(plan: RunPlan) -> int:
    lost = len(plan.sites) - plan.min_sites if plan.recovers else 0
    return plan.tolerated_collusion + lost


def _levels_hold(plan: RunPlan) -> bool:
    """Tell whether the noise serves n_min survivors, in parts only where parts can be opened."""
    levels = plan.noise_levels
    rising = all(low < high for low, high in zip(levels, levels[1:], strict=False))
    if not levels or levels[0] < 0 or not rising:
        return False
    splits = plan.noise == "shared" and plan.recovers
    return levels[-1] == len(plan.sites) - plan.min_sites and (splits or len(levels) == 1)


def _most_collusion(plan: RunPlan) -> int:
    return tolerated_collusion_bound(len(plan.sites), plan.threshold)


def _grid_holds(plan: RunPlan) -> bool:
    return grid_fits(
        plan.grid,
        capacity=1 << (LANE_BITS[plan.lanes] - 1),
        n_sites=len(plan.sites),
        own_variance=plan.own_variance,
        kept_variance=plan.noise_components.kept(0),
        coordinates=plan.n_parameters * plan.max_attempts,
    )


# Read from top to bottom; the first rule that does not fit is the reason that the site notes.
RULES: tuple[Rule, ...] = (
    Rule("purpose", lambda s, p: p.purpose in s.privacy.purposes, lambda s, p: _purposes(s)),
    Rule("task", lambda s, p: p.task in s.privacy.purposes, lambda s, p: _purposes(s)),
    Rule(
        "data_sha256",
        lambda s, p: p.data_sha256 == s.data_sha256,
        lambda s, p: f"{s.data_sha256}, the hash of this site's data YAML",
    ),
    Rule("unit", lambda s, p: p.unit in s.privacy.units, lambda s, p: _listed(s.privacy.units)),
    Rule(
        "max_interactions",
        lambda s, p: 1 <= p.max_interactions <= s.privacy.max_interactions,
        lambda s, p: f"1 to {s.privacy.max_interactions}",
    ),
    Rule(
        "max_sites_per_customer",
        lambda s, p: p.max_sites_per_customer >= s.privacy.sites_per_customer,
        lambda s, p: f"at least {s.privacy.sites_per_customer}",
    ),
    Rule(
        "delta",
        lambda s, p: 0 < p.delta <= s.privacy.delta,
        lambda s, p: f"above 0, at most {s.privacy.delta:g}",
    ),
    Rule(
        "scheme",
        lambda s, p: p.scheme in s.privacy.schemes,
        lambda s, p: _listed(s.privacy.schemes),
    ),
    Rule(
        "noise",
        lambda s, p: p.noise in s.privacy.noise_modes,
        lambda s, p: _listed(s.privacy.noise_modes),
    ),
    Rule(
        "noise",
        lambda s, p: p.noise != "none" or not s.privacy.caps,
        lambda s, p: "noise, because epsilon is capped",
    ),
    Rule(
        "sites",
        lambda s, p: set(p.sites) == set(s.trusted) and len(set(p.sites)) == len(p.sites),
        lambda s, p: "the sites whose identities were agreed on, each once",
    ),
    Rule(
        "sites",
        lambda s, p: p.scheme == "none" or len(p.sites) >= MIN_ENCRYPTED_SITES,
        lambda s, p: f"at least {MIN_ENCRYPTED_SITES} with encryption",
    ),
    Rule(
        "min_sites",
        lambda s, p: s.privacy.min_sites <= p.min_sites <= len(p.sites),
        lambda s, p: f"{s.privacy.min_sites} to {len(p.sites)}",
    ),
    Rule(
        "tolerated_collusion",
        lambda s, p: p.tolerated_collusion >= max(1, s.privacy.min_collusion),
        lambda s, p: f"at least {max(1, s.privacy.min_collusion)}",
    ),
    Rule(
        "tolerated_collusion",
        lambda s, p: p.noise != "shared" or _honest(p) >= (LEAST_HONEST if p.masked else 1),
        lambda s, p: "what leaves two honest sites of min_sites, or one without masks",
    ),
    Rule(
        "tolerated_collusion",
        lambda s, p: not p.recovers or p.tolerated_collusion <= _most_collusion(p),
        lambda s, p: f"at most {_most_collusion(p)}, where {p.threshold} sites sign each sum",
    ),
    Rule(
        "noise_levels",
        lambda s, p: _levels_hold(p),
        lambda s, p: f"rising to {len(p.sites) - p.min_sites}, one alone where nothing is opened",
    ),
    Rule(
        "sample_rate",
        lambda s, p: 0 < p.sample_rate <= 1 and (p.sample_rate == 1 or p.noise == "local"),
        lambda s, p: "1, or above 0 and below 1 with local noise",
    ),
    Rule(
        "neighbours",
        lambda s, p: _connects(p),
        lambda s, p: f"0, or even and above {_may_fail(p)}",
    ),
    Rule(
        "rotate_every",
        lambda s, p: 1 <= p.rotate_every <= MAX_EPOCH_ROUNDS,
        lambda s, p: f"1 to {MAX_EPOCH_ROUNDS}",
    ),
    Rule(
        "rounds",
        lambda s, p: 1 <= p.rounds <= s.privacy.max_rounds,
        lambda s, p: f"1 to {s.privacy.max_rounds}",
    ),
    Rule(
        "max_attempts",
        lambda s, p: p.rounds <= p.max_attempts <= s.privacy.max_attempts,
        lambda s, p: f"{p.rounds} (its rounds) to {s.privacy.max_attempts}",
    ),
    Rule(
        "sensitivity",
        lambda s, p: p.sensitivity >= p.max_grad_norm * NORM_SLACK * SLACK,
        lambda s, p: "at least max_grad_norm with the slack of float32 norms",
    ),
    Rule(
        "own_variance",
        lambda s, p: p.own_variance >= _needed_variance(p) * SLACK,
        lambda s, p: f"at least {_needed_variance(p):.6g}, by the plan's own noise_multiplier",
    ),
    Rule("mechanism", lambda s, p: p.mechanism == _mechanism(p), lambda s, p: _mechanism(p)),
)


def _purposes(policy: SitePolicy) -> str:
    return _listed(policy.privacy.purposes)
