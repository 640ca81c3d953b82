"""A site's own YAML: what it is called, whom it dials, what it may be asked and where things lie.

`configs/site/_reference.yaml` explains every key. A key that is missing, unknown, given twice or
out of range is refused, so a mistyped protection cannot switch itself off. Nothing here opens a key
or the network.
"""

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from fedcc import config
from fedcc.deployment.parts import Health, Limits, check_port, yaml_in
from fedcc.deployment.time_windows import Window, zone_of

NAME = "site.yaml"
Task = Literal["churn", "intent"]


@dataclass(frozen=True, kw_only=True)
class SiteKeyPaths:
    """The site's private keys."""

    identity: str
    unlock: str | None
    node: str


@dataclass(frozen=True, kw_only=True)
class Dialled:
    """The aggregator as a site sees it."""

    host: str
    port: int
    ca: str
    roster: str
    admin_fingerprint: str

    def __post_init__(self) -> None:
        """Check the range."""
        check_port(self.port)


@dataclass(frozen=True, kw_only=True)
class Network:
    """How and when a site uses its network."""

    proxy: str | None
    proxy_ca: str | None
    proxy_credentials: str | None
    max_kilobytes_per_second: float | None
    windows: tuple[Window, ...]
    time_zone: str

    def __post_init__(self) -> None:
        """Check proxy, rate and zone."""
        if self.proxy is not None:
            _check_proxy(self.proxy)
        elif self.proxy_credentials is not None:
            raise ValueError("proxy_credentials without a proxy: name it, or say null")
        if self.proxy_ca is not None and not (self.proxy or "").startswith("https://"):
            raise ValueError("proxy_ca without a proxy that speaks TLS (https://): say null")
        rate = self.max_kilobytes_per_second
        if rate is not None and not rate > 0:
            raise ValueError(f"max_kilobytes_per_second must be > 0 or null, got {rate:g}")
        zone_of(self.time_zone)


def _check_proxy(proxy: str) -> None:
    parts = urlsplit(proxy)
    try:
        port = parts.port
    except ValueError:
        port = None
    known = parts.scheme in ("http", "https")
    if not known or not parts.hostname or port is None or parts.path.strip("/"):
        raise ValueError("proxy must be null, http://HOST:PORT or https://HOST:PORT")
    if parts.username or parts.password:
        raise ValueError(
            "proxy must not hold a password: this file is not private. Name a file as "
            "proxy_credentials"
        )


@dataclass(frozen=True, kw_only=True)
class SiteData:
    """One data set of a site."""

    name: str  # of the data YAML
    path: str | None  # None for data of a package
    config_dir: str | None


@dataclass(frozen=True, kw_only=True)
class ReleaseTest:
    """What a site asks of a model before it signs its release; both keys or neither."""

    minimum_accuracy: float | None  # on its own held-out rows
    epsilon: float | None  # that the answer, one bit, costs

    def __post_init__(self) -> None:
        """Check the ranges."""
        if (self.minimum_accuracy is None) != (self.epsilon is None):
            raise ValueError(
                "minimum_accuracy and epsilon go together: a test on rows tells something about "
                "them, and its noise follows from epsilon. Set both, or null for both"
            )
        if self.minimum_accuracy is not None and not 0 < self.minimum_accuracy < 1:
            raise ValueError(f"minimum_accuracy must be > 0 and < 1, got {self.minimum_accuracy:g}")
        if self.epsilon is not None and not 0 < self.epsilon <= 1:
            raise ValueError(f"epsilon must be > 0 and at most 1, got {self.epsilon:g}")


@dataclass(frozen=True, kw_only=True)
class StandingApproval:
    """A rule that approves plans without a person."""

    name: str
    tasks: tuple[Task, ...]
    owners: tuple[str, ...]
    max_epsilon: float
    max_epsilon_if_all_others_collude: float
    max_rounds: int
    min_sites: int
    only_changed: tuple[str, ...]
    min_days_between: float
    until: str  # a day, YYYY-MM-DD, UTC

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", self.name):
            raise ValueError("name has 1 to 63 lower-case letters, digits and dashes")
        for key in ("max_epsilon", "max_epsilon_if_all_others_collude", "min_days_between"):
            if not getattr(self, key) > 0:
                raise ValueError(f"{key} must be > 0, got {getattr(self, key):g}")
        for key in ("max_rounds", "min_sites"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} must be at least 1, got {getattr(self, key)}")
        if not self.tasks or not self.owners:
            raise ValueError("tasks and owners must not be empty: such a rule admits nothing")
        date.fromisoformat(self.until)


@dataclass(frozen=True, kw_only=True)
class SiteFile:
    """Everything that a site's YAML says."""

    version: Literal[1]
    consortium: str
    site: str
    keys: SiteKeyPaths
    aggregator: Dialled
    network: Network
    data: tuple[SiteData, ...]
    allow_public_dataset: bool
    tasks: tuple[Task, ...]
    policy: str
    ledger: str
    state: str
    standing_approvals: tuple[StandingApproval, ...]
    release: ReleaseTest
    health: Health
    limits: Limits

    def __post_init__(self) -> None:
        """Check what concerns several keys at once."""
        for key, names in (
            ("data", [one.name for one in self.data]),
            ("standing_approvals", [one.name for one in self.standing_approvals]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"{key}: a name stands there twice")
        if not self.tasks:
            raise ValueError("tasks must not be empty: such a site admits nothing")


@dataclass(frozen=True)
class SiteHome:
    """A site's YAML and the places that it names, as absolute paths."""

    file: Path
    values: SiteFile

    @classmethod
    def open(cls, place: Path) -> "SiteHome":
        """Read the YAML of a site's folder.

        Args:
            place: the folder, or the file itself.

        Raises:
            ConfigError: names the file, the key, what is allowed and the remedy.
        """
        file = yaml_in(place, NAME)
        return cls(file, config.build(SiteFile, config.read_yaml(file), str(file)))

    def at(self, path: str) -> Path:
        """Return a path of the YAML, taken from the YAML's own folder."""
        return self.file.parent / path

    @property
    def identity(self) -> Path:
        """The key file of the site's identity."""
        return self.at(self.values.keys.identity)

    @property
    def node_key(self) -> Path:
        """The private key of the site's Flower node."""
        return self.at(self.values.keys.node)

    @property
    def ca(self) -> Path:
        """The authority that the site trusts."""
        return self.at(self.values.aggregator.ca)

    @property
    def roster(self) -> Path:
        """The roster that the site holds."""
        return self.at(self.values.aggregator.roster)

    @property
    def policy(self) -> Path:
        """The privacy policy."""
        return self.at(self.values.policy)

    @property
    def ledger(self) -> Path:
        """The privacy ledger of all runs."""
        return self.at(self.values.ledger) / f"{self.values.site}.jsonl"

    @property
    def state(self) -> Path:
        """Where everything else is kept that the site writes."""
        return self.at(self.values.state)

    @property
    def plans(self) -> Path:
        """Where plans lie, as they came."""
        return self.state / "plans"

    @property
    def decisions(self) -> Path:
        """The signed record of what was approved, vetoed and withdrawn."""
        return self.state / "decisions.jsonl"
