"""Installations on premise for scripts and tests: an aggregator and its sites, set up in one go.

Everything is made by the code behind `fedcc aggregator init|admit`, `fedcc site init|install`,
`fedcc run submit` and `fedcc site approve`; key files open all keys, so nobody has to type.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from fedcc import config
from fedcc.crypto.key_file import KeyFile, read_key
from fedcc.crypto.statements import fingerprint, read_public
from fedcc.deployment.aggregator_file import AggregatorHome
from fedcc.deployment.aggregator_setup import NewAggregator, admit, init_aggregator
from fedcc.deployment.requests import read_request
from fedcc.deployment.site_file import SiteHome
from fedcc.deployment.site_setup import init_site
from fedcc.deployment.site_setup import install as install_bundle
from fedcc.federation.plans.desk import Desk
from fedcc.federation.plans.signed_plan import SignedPlan, Submission, plan_file
from fedcc.federation.plans.submission import submit

POLICY = """\
version: 1
purposes: [churn, intent]
caps:
  - {purpose: null, days: null, epsilon: 50.0, epsilon_if_all_others_collude: 5000.0}
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

    @property
    def hub(self) -> Path:
        """Folder of the aggregator."""
        return self.folder / "hub"

    def site(self, name: str) -> Path:
        """Folder of a site."""
        return self.folder / name

    def submit(
        self, overrides: Sequence[str], config_dir: Path, approving: Sequence[str] | None = None
    ) -> SignedPlan:
        """Submit a plan and let sites approve it (all, or those that are named)."""
        hub, now = AggregatorHome.open(self.hub), datetime.now(UTC)
        wanted = Submission(owner="example", reason="a run", valid_days=1.0, release_quorum=None)
        values = config.compose("simulate", overrides, config_dir)
        signed, _ = submit(values, read_public(hub.roster), wanted, now)
        admin = read_key(hub.admin_key).unlock(_key(self.folder / "admin.unlock"))
        content = plan_file(signed, admin)
        for name in self.sites if approving is None else approving:
            home = SiteHome.open(self.site(name))
            Desk(home).take_content(content, "the plan")
            identity = read_key(home.identity).unlock(_key(self.site(name) / "unlock.key"))
            Desk(home).decide("approve", signed, identity, by="operator", reason="", now=now)
        hub.plans.mkdir(exist_ok=True)
        (hub.plans / f"{signed.plan.run}.plan.json").write_bytes(content)
        return signed

    def run_folder(self, run: str) -> Path:
        """What the aggregator keeps of a run."""
        return self.hub / "state" / "runs" / run


def _key(path: Path) -> KeyFile:
    return KeyFile(path.read_bytes())


def _new_key(path: Path) -> KeyFile:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "wb") as file:
        file.write(os.urandom(32))
    return _key(path)


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
        host: name or address of the aggregator.
        port: that it listens on.
        data: the entry of `data` in each site's YAML.
        health_ports: by site, and of `aggregator`.
    """
    folder.mkdir(parents=True)
    now = datetime.now(UTC)
    opens = _new_key(folder / "admin.unlock")
    wanted = NewAggregator(consortium="example", admin="admin", names=(host,), port=port)
    hub = init_aggregator(folder / "hub", wanted, opens, now)
    admin = read_key(hub.admin_key).unlock(opens)
    for name in sites:
        home = folder / name
        home.mkdir()
        made = init_site(home, name, _new_key(home / "unlock.key"), now)
        mark = fingerprint(made.identity.public)
        request = read_request(made.request)
        admit(hub, admin, request, organisation=name, read_aloud=mark, now=now)
    mark = fingerprint(admin.public)
    for name in sites:
        home, bundle = folder / name, hub.bundles / f"{name}.bundle.json"
        key = home / "unlock.key"
        install_bundle(home, bundle, read_aloud=mark, unlock=key, now=now)
        (home / "policy.yaml").write_text(POLICY)
        health = {"port": health_ports.get(name), "metrics_file": "metrics.prom"}
        changed = {"data": [data[name]], "allow_public_dataset": True, "health": health}
        change(home / "site.yaml", changed)
    health = {"port": health_ports.get("aggregator"), "metrics_file": "metrics.prom"}
    change(hub.file, {"health": health, "listen": {"host": host, "port": port}})
    return Installation(folder, tuple(sites))


def change(file: Path, values: Mapping[str, Any]) -> None:
    """Change keys of a YAML; its comments are lost."""
    file.write_text(yaml.safe_dump({**config.read_yaml(file), **values}))


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return int(each.getsockname()[1])


def start(
    part: str,
    folder: Path,
    log: Path,
    namespace: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `fedcc site run` or `fedcc aggregator run`; its log is appended to a file.

    Args:
        part: `site` or `aggregator`.
        folder: of it.
        log: file that takes its JSON lines.
        namespace: network namespace to run in, or `None` for this one.
        environment: added to this process's own.
    """
    command = [sys.executable, "-m", "fedcc", part, "run", str(folder)]
    if namespace is not None:
        command = [shutil.which("ip") or "ip", "netns", "exec", namespace, *command]
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
        )


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Stop services, kindly at first."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
