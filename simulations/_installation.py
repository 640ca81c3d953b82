"""Installations on premise for scripts and tests: an aggregator and sites with keys of their own.

What `fedcc aggregator init|admit` and `fedcc site init|install` leave behind, made in one go for
all sites on one machine; each folder holds only what its own machine would.
"""

import ipaddress
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedcc import config
from fedcc.crypto.consortium import Roster, RosterSite, sign
from fedcc.crypto.key_file import Identity, KeyFile, write_key
from fedcc.crypto.statements import fingerprint, when
from fedcc.federation.run_plan import RunPlan

POLICY = """\
version: 1
purposes: [churn, intent]
caps:
  - {purpose: null, days: null, epsilon: 8.0, epsilon_if_all_others_collude: 400.0}
delta: 1e-5
units: [customer, record]
max_interactions: 10
sites_per_customer: 1
noise_modes: [shared, local]
schemes: [bfv]
min_sites: 3
min_collusion: 1
max_rounds: 200
max_attempts: 210
metrics: []
"""


@dataclass(frozen=True)
class Installation:
    """The folders of a consortium that lies on one machine."""

    folder: Path
    sites: tuple[str, ...]
    roster: Roster

    @property
    def aggregator(self) -> Path:
        """Folder of the aggregator."""
        return self.folder / "aggregator"

    def site(self, name: str) -> Path:
        """Folder of a site."""
        return self.folder / name

    def submit(self, plan: RunPlan) -> None:
        """Let every site approve a plan, then hand it to the aggregator."""
        text = plan.to_json()
        for name in self.sites:
            approved = self.site(name) / "state" / "approved"
            approved.mkdir(parents=True, exist_ok=True)
            (approved / f"{plan.sha256}.json").write_text(text)
        plans = self.aggregator / "plans"
        plans.mkdir(exist_ok=True)
        (plans / f"{plan.run}.json").write_text(text)


def install(
    folder: Path,
    sites: Sequence[str],
    *,
    host: str,
    port: int,
    data: Mapping[str, dict[str, Any]],
    health_ports: Mapping[str, int | None],
) -> Installation:
    """Make the folders of an aggregator and of its sites.

    Args:
        folder: that holds them; must not exist.
        sites: their names.
        host: IP address of the aggregator, which its certificate holds.
        port: that it listens on.
        data: the entry of `data` in each site's YAML.
        health_ports: by site, and of `aggregator`.
    """
    folder.mkdir(parents=True)
    now = datetime.now(UTC)
    admin = Identity.create("admin", "admin", now)
    authority = _Authority.create()
    hub = folder / "aggregator"
    for inner in ("tls", "nodes", "plans"):
        (hub / inner).mkdir(parents=True)
    (hub / "tls" / "ca.pem").write_bytes(authority.pem)
    _write_pair(authority, host, hub / "tls" / "server.pem", hub / "tls" / "server.key")
    members = []
    for name in sites:
        home = folder / name
        home.mkdir()
        private(home / "unlock", os.urandom(32))
        identity = Identity.create("site", name, now)
        write_key(home / "identity", identity, KeyFile((home / "unlock").read_bytes()))
        (hub / "nodes" / f"{name}.pub").write_bytes(write_node_key(home / "node.key"))
        members.append(RosterSite(name, name, identity.public, when(now)))
        (home / "ca.pem").write_bytes(authority.pem)
        (home / "policy.yaml").write_text(POLICY)
    roster = Roster(
        consortium="example",
        admin=admin.public,
        serial=1,
        issued_at=when(now),
        previous=bytes(32),
        sites=tuple(sorted(members, key=lambda one: one.site)),
        revoked=(),
    )
    content = sign(roster, admin)
    (hub / "roster.json").write_bytes(content)
    mark = fingerprint(admin.public)
    _write_aggregator_yaml(hub, host, port, mark, health_ports.get("aggregator"))
    for name in sites:
        (folder / name / "roster.json").write_bytes(content)
        place = (host, port, mark)
        _write_site_yaml(folder / name, name, place, data[name], health_ports.get(name))
    return Installation(folder, tuple(sites), roster)


def private(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads."""
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)


def write_node_key(path: Path) -> bytes:
    """Write a fresh node key; return its public half, in OpenSSH's format."""
    key = ec.generate_private_key(ec.SECP384R1())
    private(
        path,
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        ),
    )
    return key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )


@dataclass(frozen=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls) -> "_Authority":
        key = ec.generate_private_key(ec.SECP384R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example authority")])
        builder = _builder(name, name, key)
        builder = builder.add_extension(x509.BasicConstraints(True, 0), critical=True)
        return cls(builder.sign(key, SHA256()), key)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
    )


def _write_pair(authority: _Authority, host: str, certificate: Path, key_file: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    builder = _builder(name, authority.certificate.subject, key)
    builder = builder.add_extension(names, critical=False).add_extension(usage, critical=False)
    signed = builder.sign(authority.key, SHA256())
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private(
        key_file,
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def _write_aggregator_yaml(hub: Path, host: str, port: int, mark: str, health: int | None) -> None:
    values = config.read_yaml(config.config_root() / "aggregator" / "_reference.yaml")
    values |= {
        "consortium": "example",
        "listen": {"host": host, "port": port},
        "public": {"host": host, "port": port},
        "tls": {**values["tls"], "names": [host]},
        "admin": {"key": "admin.key", "fingerprint": mark},
        "health": {"port": health, "metrics_file": "metrics.prom"},
    }
    (hub / "aggregator.yaml").write_text(yaml.safe_dump(values))


def _write_site_yaml(
    home: Path, name: str, place: tuple[str, int, str], data: dict[str, Any], health: int | None
) -> None:
    host, port, mark = place
    values = config.read_yaml(config.config_root() / "site" / "_reference.yaml")
    values |= {
        "consortium": "example",
        "site": name,
        "keys": {"identity": "identity", "unlock": "unlock", "node": "node.key"},
        "aggregator": {
            **values["aggregator"],
            "host": host,
            "port": port,
            "admin_fingerprint": mark,
        },
        "data": [data],
        "allow_public_dataset": True,
        "health": {"port": health, "metrics_file": "metrics.prom"},
    }
    (home / "site.yaml").write_text(yaml.safe_dump(values))


def start(
    part: str, folder: Path, log: Path, namespace: str | None = None
) -> subprocess.Popen[bytes]:
    """Start `fedcc site run` or `fedcc aggregator run`; its log is appended to a file.

    Args:
        part: `site` or `aggregator`.
        folder: of it.
        log: file that takes its JSON lines.
        namespace: network namespace to run in, or `None` for this one.
    """
    command = [sys.executable, "-m", "fedcc", part, "run", str(folder)]
    if namespace is not None:
        command = ["ip", "netns", "exec", namespace, *command]
    with log.open("ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL)
