"""The public plan of a run, which the aggregator sends to every site."""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from typing import Literal

from fedcc import config
from fedcc.crypto.parameters import MASKED, Lanes, Scheme
from fedcc.crypto.thresholds import threshold
from fedcc.errors import ConfigError
from fedcc.federation import survivors
from fedcc.models.shapes import HeadShape, ModelName
from fedcc.models.update import Step, UpdateRule
from fedcc.privacy.accounting import Mechanism, PrivacyEvent
from fedcc.privacy.excess_noise import NoiseComponents, split_noise
from fedcc.privacy.noise_shares import Grid, overflow_z


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """The public plan of a run: every number that a site needs, and nothing learnt from data."""

    run: str
    task: str
    purpose: str
    data_sha256: str
    model: ModelName
    features_sha256: str
    n_features: int
    hidden: int
    n_outputs: int
    n_parameters: int
    public_seed: int
    prior: Literal["none", "label_names"]
    prior_scale: float
    rounds: int
    max_attempts: int
    sites: tuple[str, ...]
    min_sites: int
    tolerated_collusion: int
    noise: Literal["shared", "local", "none"]
    mechanism: Mechanism
    noise_multiplier: float
    own_variance: float  # of all noise that a site adds
    noise_levels: tuple[int, ...]  # dropped sites that each part of it serves
    sensitivity: float  # of the sum over all sites, to all rows of one unit
    sample_rate: float
    unit: Literal["record", "customer"]
    max_interactions: int  # rows that a site keeps of a unit
    max_sites_per_customer: int  # sites at which the claim covers one unit
    delta: float
    max_grad_norm: float
    steps_per_unit: float
    box: float
    scheme: Scheme
    lanes: Lanes
    seeded: bool  # uploads travel as one polynomial and a seed; without masks it has no meaning
    neighbours: int  # sites that each site masks with, 0 for all others
    rotate_every: int  # rounds of an epoch
    step: Step
    learning_rate: float
    logit_scale: float
    momentum: float
    normaliser: float
    tail_fraction: float

    def to_json(self) -> str:
        """Return canonical JSON."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "RunPlan":
        """Read a plan from the wire or from disk.

        Raises:
            ConfigError: if a field is missing, unknown or of the wrong type.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            raise ConfigError("the plan is not valid JSON") from None
        return config.build(cls, values, "plan")

    @property
    def sha256(self) -> str:
        """Hash of the plan, in hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def masked(self) -> bool:
        """Whether uploads carry masks."""
        return self.scheme in MASKED

    @property
    def recovers(self) -> bool:
        """Whether attempts survive dropouts."""
        return survivors.recovers(masked=self.masked, n_sites=len(self.sites))

    @property
    def threshold(self) -> int:
        """t: survivors, and signatures, without which nothing of an attempt is opened."""
        return threshold(len(self.sites), self.min_sites)

    @property
    def noise_components(self) -> NoiseComponents:
        """The parts of a site's noise; a single part is all of it and is never opened.

        Raises:
            ValueError: if the plan's levels are unsound; a site's policy refuses such a plan.
        """
        if len(self.noise_levels) == 1:
            return NoiseComponents(levels=self.noise_levels, variances=(self.own_variance,))
        honest = len(self.sites) - self.noise_levels[-1] - self.tolerated_collusion
        return split_noise(
            total_variance=self.own_variance * honest,
            n_sites=len(self.sites),
            collusion=self.tolerated_collusion,
            levels=self.noise_levels,
        )

    @property
    def grid(self) -> Grid:
        """The public grid."""
        return Grid(steps_per_unit=self.steps_per_unit, box=self.box)

    @property
    def sum_bound(self) -> float:
        """Magnitude that no coordinate of an honest sum exceeds, but with probability 1e-12.

        In gradient units: what the public number of rows can add up to at C each, at most the sum
        of all boxes, and the tail of the noise of all planned sites before any of it is opened.
        A sum that still carries masks is uniform over a lane, and so implausible with the chance
        that a lane is wider than this: about 1 - 1 / sites where the boxes fill it.
        """
        sites = len(self.sites)
        z = overflow_z(self.n_parameters * self.max_attempts)
        noise = z * math.sqrt(sites * self.own_variance)
        rows = self.normaliser / self.sample_rate * self.max_grad_norm
        return min(sites * self.box, rows) + noise + sites / self.steps_per_unit

    @property
    def site_clip(self) -> float:
        """L2 bound of what one unit adds to one site's sum; all its sites add at most C."""
        return self.max_grad_norm / self.max_sites_per_customer

    @property
    def event_at_one_site(self) -> PrivacyEvent:
        """What one attempt costs a unit that only one site knows."""
        event = self.event
        return dataclasses.replace(
            event, sensitivity=event.sensitivity / self.max_sites_per_customer
        )

    def event_with(self, n_survivors: int) -> PrivacyEvent:
        """Return what an attempt costs that so many sites survive; never more than `event`.

        Raises:
            ValueError: if they are fewer than `min_sites`, or more than are planned.
        """
        kept = self.noise_components.kept(len(self.sites) - n_survivors)
        return dataclasses.replace(self.event, own_variance=kept, noise_sites=n_survivors)

    @property
    def event(self) -> PrivacyEvent:
        """What one attempt costs a unit at as many sites as the plan allows; ledgers hold this."""
        return PrivacyEvent(
            mechanism=self.mechanism,
            sensitivity=self.sensitivity,
            grid=self.steps_per_unit,
            own_variance=self.noise_components.kept(0),
            min_sites=self.min_sites,
            noise_sites=len(self.sites) - self.noise_levels[0],
            tolerated_collusion=self.tolerated_collusion,
            sample_rate=self.sample_rate,
            unit=self.unit,
        )

    @property
    def shape(self) -> HeadShape:
        """The shape of the model."""
        return HeadShape(
            n_features=self.n_features,
            hidden=self.hidden,
            n_outputs=self.n_outputs,
            embedding=self.model == "text",
        )

    @property
    def rule(self) -> UpdateRule:
        """The step rule."""
        return UpdateRule(
            step=self.step,
            n_outputs=self.n_outputs,
            logit_scale=self.logit_scale,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            normaliser=self.normaliser,
            rounds=self.rounds,
            tail_fraction=self.tail_fraction,
        )
