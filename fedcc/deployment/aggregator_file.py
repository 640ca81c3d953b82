"""An aggregator's own YAML: where it listens, what sites dial, and where its files lie.

`configs/aggregator/_reference.yaml` explains every key; all must be there. Nothing here opens a key
or the network.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedcc import config
from fedcc.deployment.parts import Health, Limits, check_port, yaml_in

NAME = "aggregator.yaml"


@dataclass(frozen=True, kw_only=True)
class Address:
    """A host and a port."""

    host: str
    port: int

    def __post_init__(self) -> None:
        """Check the range."""
        check_port(self.port)


@dataclass(frozen=True, kw_only=True)
class TlsPaths:
    """The consortium's own authority and the server's certificate."""

    names: tuple[str, ...]
    ca: str
    ca_key: str
    certificate: str
    key: str
    ca_days: int
    certificate_days: int

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.names:
            raise ValueError("names must hold at least one DNS name or IP address")
        for key in ("ca_days", "certificate_days"):
            if not 1 <= getattr(self, key) <= 7300:
                raise ValueError(f"{key} must be from 1 to 7300, got {getattr(self, key)}")


@dataclass(frozen=True, kw_only=True)
class AdminKey:
    """The admin who signs rosters and plans."""

    key: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class AggregatorFile:
    """Everything that an aggregator's YAML says."""

    version: Literal[1]
    consortium: str
    listen: Address
    public: Address
    tls: TlsPaths
    admin: AdminKey
    roster: str
    node_list: str
    nodes: str
    bundles: str
    plans: str
    state: str
    health: Health
    limits: Limits

    def __post_init__(self) -> None:
        """Check what concerns several keys at once."""
        if self.public.host not in self.tls.names:
            raise ValueError("public.host must be one of tls.names, or no site accepts the server")


@dataclass(frozen=True)
class AggregatorHome:
    """An aggregator's YAML and the places that it names, as absolute paths."""

    file: Path
    values: AggregatorFile

    @classmethod
    def open(cls, place: Path) -> "AggregatorHome":
        """Read the YAML of an aggregator's folder.

        Args:
            place: the folder, or the file itself.

        Raises:
            ConfigError: names the file, the key, what is allowed and the remedy.
        """
        file = yaml_in(place, NAME)
        return cls(file, config.build(AggregatorFile, config.read_yaml(file), str(file)))

    def at(self, path: str) -> Path:
        """Return a path of the YAML, taken from the YAML's own folder."""
        return self.file.parent / path

    @property
    def ca(self) -> Path:
        """The certificate of the consortium's authority."""
        return self.at(self.values.tls.ca)

    @property
    def ca_key(self) -> Path:
        """Its private key, encrypted under the admin's."""
        return self.at(self.values.tls.ca_key)

    @property
    def certificate(self) -> Path:
        """The server's certificate."""
        return self.at(self.values.tls.certificate)

    @property
    def server_key(self) -> Path:
        """The server's private key."""
        return self.at(self.values.tls.key)

    @property
    def admin_key(self) -> Path:
        """The key file of the admin."""
        return self.at(self.values.admin.key)

    @property
    def roster(self) -> Path:
        """The signed roster."""
        return self.at(self.values.roster)

    @property
    def node_list(self) -> Path:
        """The signed list of node keys."""
        return self.at(self.values.node_list)

    @property
    def nodes(self) -> Path:
        """Folder of the admitted nodes' public keys."""
        return self.at(self.values.nodes)

    @property
    def bundles(self) -> Path:
        """Folder of what sites install."""
        return self.at(self.values.bundles)

    @property
    def plans(self) -> Path:
        """Folder of signed plans."""
        return self.at(self.values.plans)

    @property
    def state(self) -> Path:
        """Where the running aggregator writes."""
        return self.at(self.values.state)
