"""Settings of a federation: everything that `fedcc simulate` is told."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from fedcc import config
from fedcc.crypto.parameters import CryptoSettings
from fedcc.data.encoders.settings import CacheSettings, EncoderSettings
from fedcc.data.partition import PartitionSettings
from fedcc.data.spec import DataSpec
from fedcc.errors import ConfigError
from fedcc.models.shapes import ModelSettings
from fedcc.models.update import Step
from fedcc.privacy.calibration import PrivacySettings
from fedcc.tasks.task import TaskName

Baseline = Literal[
    "central_dp",
    "central_dp_same_noise",
    "central_dp_same_variance",
    "central_no_privacy",
    "local_noise",
    "site_alone_mean",
]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)


@dataclass(frozen=True, kw_only=True)
class Dropout:
    """A dropout to play: `site` (from 1) does not answer in `round` (from 1)."""

    site: int
    round: int
    attempts: int | None = None  # how many of the round's first attempts; None for all
    step: Literal["upload", "sign", "verify", "unmask"] = "upload"  # the first that it misses

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.site < 1 or self.round < 1 or (self.attempts is not None and self.attempts < 1):
            raise ValueError("site, round and attempts count from 1")


@dataclass(frozen=True, kw_only=True)
class FederationSettings:
    """Time-outs, organisations and dropouts; values come from `configs/federation/*.yaml`."""

    timeout_seconds: float
    join_timeout_seconds: float
    reply_seconds: float | None  # period of the schedule on which updates leave; None for at once
    organisations: dict[str, str] | None
    roster: str | None  # the signed file that organisations were read from
    admin_fingerprint: str | None  # of who signed it
    drop: tuple[Dropout, ...]

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.timeout_seconds > 0 or not self.join_timeout_seconds > 0:
            raise ValueError("time-outs must be > 0")
        if self.roster is not None and self.organisations is None:
            raise ValueError("federation.roster was not read; see roster_settings")
        if self.reply_seconds is not None and not 0 < self.reply_seconds < self.timeout_seconds:
            raise ValueError(
                "reply_seconds must be null, or > 0 and below timeout_seconds "
                f"({self.timeout_seconds:g}), got {self.reply_seconds:g}"
            )


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The step rule; values come from `configs/training/*.yaml`."""

    step: Step
    prior: Literal["none", "label_names"]  # where a head without hidden layer begins
    prior_scale: float
    max_grad_norm: float
    momentum: float
    tail_fraction: float
    learning_rate: float | None  # per unit of effective epsilon; gradient steps need it
    least_epsilon: float
    most_epsilon: float
    logit_scale: float | None  # class means need it

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.max_grad_norm > 0:
            raise ValueError(f"max_grad_norm must be > 0, got {self.max_grad_norm}")
        if not 0 < self.least_epsilon <= self.most_epsilon < math.inf:
            raise ValueError("0 < least_epsilon <= most_epsilon must hold")
        for name in ("learning_rate", "logit_scale"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be > 0 and finite, got {value}")
        if self.step == "class_means" and self.logit_scale is None:
            raise ValueError("step=class_means needs logit_scale")
        if not 0 <= self.prior_scale < math.inf:
            raise ValueError("prior_scale must not be negative")
        if not 0 <= self.momentum < 1 or not 0 <= self.tail_fraction <= 1:
            raise ValueError("momentum must be in [0, 1) and tail_fraction in [0, 1]")


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """Which task; the value comes from `configs/task/*.yaml`."""

    name: TaskName


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """How sites are run; values come from `configs/engine/*.yaml`."""

    name: Literal["inprocess", "ray", "superlink"]
    start_timeout_seconds: float | None  # until the ServerApp runs; null in process
    poll_seconds: float | None  # between two looks for a message; null in process

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("start_timeout_seconds", "poll_seconds"):
            value = getattr(self, name)
            if self.name != "inprocess" and (value is None or not value > 0):
                raise ValueError(f"{name} must be > 0 with engine {self.name}")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where a run writes, and whether it writes a report."""

    dir: str | None
    report: bool


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder named by the user, or `None`."""

    dir: str | None


@dataclass(frozen=True, kw_only=True)
class SiteSettings:
    """What the simulated sites themselves decide."""

    policy: str | None  # a policy file for all of them
    max_epsilon: dict[str, float] | None  # a lifetime cap of single sites, by name

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, cap in (self.max_epsilon or {}).items():
            if not 0 < cap < math.inf:
                raise ValueError(f"max_epsilon of {name} must be a number > 0, got {cap}")


@dataclass(frozen=True, kw_only=True)
class SimulationSettings:
    """Everything that `fedcc simulate` is told."""

    sites: int
    rounds: int
    seed: int | None
    baselines: bool | tuple[Baseline, ...]
    run: RunOptions
    ledger: Folder
    site: SiteSettings
    task: TaskSettings
    data: DataSpec
    partition: PartitionSettings
    model: ModelSettings
    encoder: EncoderSettings
    cache: CacheSettings
    training: TrainingSettings
    privacy: PrivacySettings
    crypto: CryptoSettings
    federation: FederationSettings
    engine: EngineSettings

    def __post_init__(self) -> None:
        """Check what concerns several groups at once."""
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be null or a whole number from 0 on, got {self.seed}")
        if self.rounds < 1:
            raise ValueError(f"rounds must be at least 1, got {self.rounds}")
        if self.sites < 1:
            raise ValueError(f"sites must be at least 1, got {self.sites}")
        if self.crypto.scheme != "none" and self.sites < 3:
            raise ValueError(
                f"sites must be at least 3 with encryption, got {self.sites}: with two, each site "
                "would read the other's update off the sum. Raise sites, or use crypto=none"
            )
        if self.privacy.min_sites is not None and self.privacy.min_sites > self.sites:
            raise ValueError(
                f"privacy.min_sites ({self.privacy.min_sites}) exceeds sites ({self.sites})"
            )
        _check_training(self)
        waiting = self.sites * (self.federation.reply_seconds or 0.0)
        if self.engine.name == "inprocess" and waiting >= self.federation.timeout_seconds:
            raise ValueError(
                f"federation.reply_seconds of {self.sites} sites add up to {waiting:g} s in one "
                "process and must stay below federation.timeout_seconds "
                f"({self.federation.timeout_seconds:g})"
            )
        strangers = sorted(set(self.site.max_epsilon or {}) - set(self.site_names))
        if strangers:
            raise ValueError(
                f"site.max_epsilon names '{strangers[0]}'; sites are site-1 to site-{self.sites}"
            )
        for dropout in self.federation.drop:
            if dropout.site > self.sites or dropout.round > self.rounds:
                raise ValueError(
                    f"federation.drop names site {dropout.site} in round {dropout.round}; there "
                    f"are {self.sites} sites and {self.rounds} rounds, both counted from 1"
                )

    @property
    def wanted_baselines(self) -> tuple[Baseline, ...]:
        """The trainings without a federation that are asked for."""
        if isinstance(self.baselines, bool):
            return BASELINES if self.baselines else ()
        return self.baselines

    @property
    def site_names(self) -> tuple[str, ...]:
        """Names of the simulated sites."""
        return tuple(f"site-{number}" for number in range(1, self.sites + 1))


def _check_training(settings: SimulationSettings) -> None:
    """Refuse a step rule that does not fit task, model or rounds.

    Raises:
        ValueError: names the keys.
    """
    training, model = settings.training, settings.model
    if training.step == "class_means":
        if settings.task.name != "intent" or model.hidden:
            raise ValueError(
                "training=one_round needs task=intent and a model without hidden layer"
            )
        if settings.rounds != 1:
            raise ValueError(f"training=one_round has one round, got rounds={settings.rounds}")
        if settings.privacy.rate < 1:
            raise ValueError(
                "training=one_round sums every row once: use privacy.sample_rate=null with it"
            )
    elif training.learning_rate is None and model.learning_rate is None:
        raise ValueError("training.learning_rate must be given for gradient steps")
    if training.prior == "label_names" and settings.task.name != "intent":
        raise ValueError("training.prior=label_names needs task=intent; choose training=full_batch")
    if (model.hinges or model.fourier) and settings.task.name == "intent":
        raise ValueError(
            f"model={model.name} is for profile columns; choose model=linear, mlp or text "
            "for intents"
        )
    if model.name == "text":
        _check_text_model(settings)


def _check_text_model(settings: SimulationSettings) -> None:
    """Refuse a model of texts without texts, or on vectors that are not counts of n-grams."""
    if settings.task.name != "intent":
        raise ValueError(
            f"model=text learns from texts; choose task=intent, or another model for "
            f"{settings.task.name}"
        )
    encoder = settings.encoder
    if encoder.name != "hashing" or encoder.centre != "none":
        raise ValueError(
            "model=text learns its own embeddings of hashed n-grams and needs encoder=hashing with "
            f"encoder.centre=none, got {encoder.name} with {encoder.centre}. Leave encoder out, or "
            "choose model=linear for an encoder's vectors"
        )


def simulation_settings(values: Mapping[str, Any]) -> SimulationSettings:
    """Turn a composed `simulate.yaml` into settings.

    Raises:
        ConfigError: names the key and the remedy.
    """
    values = dict(values)
    data = dict(values.get("data") or {})
    usage = [field.name for field in dataclasses.fields(PartitionSettings)]
    values["partition"] = config.build(
        PartitionSettings, {key: data.pop(key) for key in usage if key in data}, "data"
    )
    values["data"] = config.build(DataSpec, data, "data")
    settings = {
        field.name: values.pop(field.name)
        if field.name in ("partition", "data")
        else config.convert(field.type, values.pop(field.name), field.name)
        for field in dataclasses.fields(SimulationSettings)
        if field.name in values
    }
    if values:
        key = next(iter(values))
        raise ConfigError(f"unknown key '{key}'.{config.nearest(key, list(settings))}")
    try:
        return SimulationSettings(**settings)
    except ValueError as error:
        raise ConfigError(f"config: {error}.") from error


def data_sha256(spec: DataSpec) -> str:
    """Return the hash of a data YAML's public schema; where the file lies does not enter."""
    values = dataclasses.asdict(spec)
    values["source"] = {**values["source"], "path": None}
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
