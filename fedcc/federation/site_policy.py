"""What a site admits: the checks that a plan must pass before anything is computed.

Two things are asked of a plan: that it is, to the byte, the one that this site's operator approved,
and that its numbers are sound by themselves. Approval alone would trust whoever wrote the plan;
soundness alone would let an aggregator show different sites different sound plans.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from fedcc.crypto.parameters import LANE_BITS, MIN_ENCRYPTED_SITES, Scheme
from fedcc.errors import PolicyViolation
from fedcc.federation.settings import RunPlan
from fedcc.privacy.noise_shares import grid_fits
from fedcc.training.dp_sgd import NORM_SLACK

SLACK = 1 - 1e-12  # float64 rounding of products that both sides compute


@dataclass(frozen=True, kw_only=True)
class SitePolicy:
    """What this site admits; a plan may be stricter, never weaker."""

    approved_plans: frozenset[str]  # SHA-256 of each plan that the operator approved
    purpose: str
    data_sha256: str
    max_epsilon: float | None
    delta: float
    schemes: frozenset[Scheme]
    noises: frozenset[str]
    units: frozenset[str]
    max_interactions: int  # rows of a customer that a plan may use at most
    sites_per_customer: int  # sites at which a plan must protect a customer at least
    min_sites: int
    min_collusion: int
    trusted: Mapping[str, bytes]  # identity key of each site, agreed out of band

    def check(self, plan: RunPlan) -> None:
        """Refuse a plan that this site does not admit.

        Raises:
            PolicyViolation: names the first field that is wrong.
        """
        numbers = [v for v in dataclasses.astuple(plan) if isinstance(v, float)]
        findings = {
            "numbers": not all(map(math.isfinite, numbers)),
            "purpose": plan.purpose != self.purpose,
            "data_sha256": plan.data_sha256 != self.data_sha256,
            "unit": plan.unit not in self.units,
            "max_interactions": not 1 <= plan.max_interactions <= self.max_interactions,
            "max_sites_per_customer": plan.max_sites_per_customer < max(1, self.sites_per_customer),
            "delta": plan.delta > self.delta,
            "scheme": plan.scheme not in self.schemes,
            "noise": plan.noise not in self.noises,
            "sites": set(plan.sites) != set(self.trusted)
            or (len(plan.sites) < MIN_ENCRYPTED_SITES and plan.scheme != "none"),
            "min_sites": not self.min_sites <= plan.min_sites <= len(plan.sites),
            "tolerated_collusion": plan.tolerated_collusion < max(1, self.min_collusion),
            "neighbours": plan.neighbours != 0
            and (plan.neighbours % 2 or plan.neighbours <= plan.tolerated_collusion),
            "max_attempts": not 1 <= plan.rounds <= plan.max_attempts,
        }
        for name, wrong in findings.items():
            self._refuse_if(bool(wrong), name)
        self._check_noise(plan)
        self._refuse_if(plan.sha256 not in self.approved_plans, "hash")

    def _check_noise(self, plan: RunPlan) -> None:
        """Recompute what the noise must be, and that the grid cannot saturate."""
        honest = plan.min_sites - plan.tolerated_collusion
        total = (plan.noise_multiplier * plan.sensitivity) ** 2
        shared = plan.noise == "shared"
        needed = total / honest if shared and honest > 0 else total
        self._refuse_if(shared and honest < (2 if plan.masked else 1), "tolerated_collusion")
        self._refuse_if(plan.sensitivity < plan.max_grad_norm * NORM_SLACK * SLACK, "sensitivity")
        self._refuse_if(plan.own_variance < needed * SLACK, "own_variance")
        none = plan.noise == "none"
        self._refuse_if(none != (self.max_epsilon is None), "noise")
        mechanism = "gaussian_share" if shared and plan.masked else "gaussian_alone"
        self._refuse_if(plan.mechanism != ("none" if none else mechanism), "mechanism")
        fits = grid_fits(
            plan.grid,
            capacity=1 << (LANE_BITS[plan.lanes] - 1),
            n_sites=len(plan.sites),
            own_variance=plan.own_variance,
            coordinates=plan.n_parameters * plan.max_attempts,
        )
        self._refuse_if(not fits, "grid")

    @staticmethod
    def _refuse_if(wrong: bool, name: str) -> None:
        if wrong:
            raise PolicyViolation(f"the plan's {name} is not admitted by this site.")
