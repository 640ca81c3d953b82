"""What a site admits: the checks that a plan must pass before anything is computed."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedcc.errors import PolicyViolation
from fedcc.federation.settings import RunPlan
from fedcc.training.dp_sgd import NORM_SLACK


@dataclass(frozen=True, kw_only=True)
class SitePolicy:
    """What this site admits; a plan may be stricter, never weaker."""

    purpose: str
    data_sha256: str
    max_epsilon: float | None
    delta: float
    min_sites: int
    trusted: Mapping[str, bytes]  # identity key of each site, agreed out of band

    def check(self, plan: RunPlan) -> None:
        """Refuse a plan that this site does not admit.

        Raises:
            PolicyViolation: names the first field that is wrong.
        """
        honest = plan.min_sites - plan.tolerated_collusion
        total = (plan.noise_multiplier * plan.sensitivity) ** 2
        needed = total / honest if plan.noise == "shared" and honest > 0 else total
        findings = {
            "purpose": plan.purpose != self.purpose,
            "data_sha256": plan.data_sha256 != self.data_sha256,
            "delta": plan.delta > self.delta,
            "min_sites": plan.min_sites < self.min_sites or plan.min_sites > len(plan.sites),
            "tolerated_collusion": plan.tolerated_collusion < 1
            or (plan.noise == "shared" and honest < 1),
            "sensitivity": plan.sensitivity < plan.max_grad_norm * NORM_SLACK * (1 - 1e-12),
            "own_variance": plan.own_variance < needed * (1 - 1e-12),
            "noise": (plan.mechanism == "none") != (self.max_epsilon is None),
            "mechanism": plan.mechanism == "gaussian_share"
            and not (plan.noise == "shared" and plan.masked),
            "sites": len(plan.sites) < 3 and plan.scheme != "none",
        }
        for name, wrong in findings.items():
            if wrong:
                raise PolicyViolation(f"the plan's {name} is not admitted by this site.")
