"""What is started for `engine=superlink` and `engine=ray`, and the bundle that is submitted.

Both start Flower's SuperLink on a free port of loopback and submit a tiny app bundle with `flwr
run`. With `superlink` each site has a SuperNode that starts nothing itself, and a resident process
that answers for it with the fedcc installed here. With `ray` the SuperLink runs Flower's simulation
engine, whose one Ray actor holds all sites. Telemetry, update checks and the installation of
dependencies are off; proxies of the environment are ignored.
"""

import importlib.util
import json
import os
import secrets
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from fedcc.errors import ConfigError
from fedcc.federation.engines.processes import MARK, Processes
from fedcc.federation.prepared import PreparedRun

LOOPBACK = "127.0.0.1"
BIN = Path(sys.executable).parent

PROJECT = """\
[project]
name = "fedcc-run"
version = "1.0.0"
description = "Points at the fedcc that is installed"
license = "Apache-2.0"
dependencies = []
[tool.flwr.app]
publisher = "fedcc"
[tool.flwr.app.components]
serverapp = "fedcc_run.server:app"
clientapp = "fedcc_run.client:app"
[tool.flwr.app.config]
"""
SHIM = "from fedcc.federation.engines.{module} import {name}\n\napp = {name}()\n"
MODULES = {
    "__init__": "",
    "server": SHIM.format(module="aggregator_app", name="server_app"),
    "client": SHIM.format(module="sites_app", name="client_app"),
}


def check_engine(name: str) -> None:
    """Refuse an engine whose packages are missing.

    Raises:
        ConfigError: names the extra.
    """
    if name == "ray" and importlib.util.find_spec("ray") is None:
        raise ConfigError("engine=ray needs a package: pip install 'fedcc[ray]'")


def environment(home: Path) -> dict[str, str]:
    """Return the environment of every process of the run, with `home` as Flower's own folder."""
    dropped = {"http_proxy", "https_proxy", "all_proxy", "ray_address"}
    kept = {name: value for name, value in os.environ.items() if name.lower() not in dropped}
    return kept | {
        MARK: str(home),
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TMPDIR": str(home),
        # Despite its name, the switch that makes Ray bind to loopback.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }


def free_ports(count: int) -> list[int]:
    """Return loopback ports that are free now, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def write_bundle(home: Path, run_config: Mapping[str, str | bool | float], port: int) -> Path:
    """Write the app bundle and Flower's connection to the SuperLink; return the bundle's folder."""
    bundle = home / "bundle"
    (bundle / "fedcc_run").mkdir(parents=True)
    # JSON's texts, numbers and booleans are also TOML's.
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in run_config.items()]
    (bundle / "pyproject.toml").write_text(PROJECT + "".join(lines))
    for name, text in MODULES.items():
        (bundle / "fedcc_run" / f"{name}.py").write_text(text)
    connection = (
        f'[superlink]\ndefault = "site"\n[superlink.site]\naddress = "{LOOPBACK}:{port}"\n'
        "insecure = true\n"
    )
    (home / "config.toml").write_text(connection)
    return bundle


def lock_file(home: Path) -> Path:
    """Return the lock that the simulator holds while it lives; see `alive`."""
    return home / "alive"


class Launch:
    """The processes of one run on one engine, started step by step."""

    def __init__(self, run: PreparedRun, processes: Processes, home: Path) -> None:
        """Choose ports and write the bundle; nothing is started."""
        self._run, self._processes, self._home = run, processes, home
        self._engine = run.settings.engine.name
        self._poll = run.settings.engine.poll_seconds or 0.0
        n_nodes = len(run.plan.sites) if self._engine == "superlink" else 0
        self._port, *self._node_ports = free_ports(1 + n_nodes)
        run_config: dict[str, str | bool | float] = {
            "fedcc-run": str(run.folder.path.resolve()),
            "fedcc-resumed": run.resumed,
            "fedcc-poll-seconds": self._poll,
            "fedcc-lock": str(lock_file(home)),
        }
        self._bundle = write_bundle(home, run_config, self._port)

    def _child(self, name: str, *arguments: str) -> None:
        module = "fedcc.federation.engines.child"
        self._processes.start(
            name, [sys.executable, "-m", module, str(lock_file(self._home)), *arguments]
        )

    def start(self) -> None:
        """Start the SuperLink, and SuperNodes and sites where the engine has them.

        Raises:
            TooFewSites: if a process cannot be started.
        """
        link = ["--insecure", "--host", LOOPBACK, "--port", str(self._port)]
        link += ["--disable-runtime-dependency-installation"]
        link += ["--simulation"] if self._engine == "ray" else []
        self._child("Flower's SuperLink", "superlink", *link)
        secret = self._home / "executor-secret"
        secret.touch(mode=0o600)
        secret.write_bytes(secrets.token_bytes(32))
        for index, port in enumerate(self._node_ports):
            self._start_site(index, port, secret)

    def _start_site(self, index: int, port: int, secret: Path) -> None:
        name, run = self._run.plan.sites[index], str(self._run.folder.path.resolve())
        node = ["--insecure", "--superlink", f"{LOOPBACK}:{self._port}"]
        node += ["--host", LOOPBACK, "--port", str(port), "--isolation", "process"]
        node += ["--superexec-auth-secret-file", str(secret)]
        node += ["--node-config", f"partition-id={index}"]
        self._child(f"{name}'s SuperNode", "supernode", str(self._poll), *node)
        resumed = "resumed" if self._run.resumed else "new"
        address = f"{LOOPBACK}:{port}"
        site = ["site", run, str(index), resumed, address, str(secret), str(self._poll)]
        self._child(f"{name}'s process", *site)

    def is_ready(self) -> bool:
        """Tell whether the SuperLink takes submissions."""
        try:
            # No proxy: the request stays on this machine.
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"http://{LOOPBACK}:{self._port}/health", timeout=1.0) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def submit(self) -> None:
        """Submit the bundle.

        Raises:
            TooFewSites: if `flwr` cannot be started.
        """
        command = [str(BIN / "flwr"), "run", str(self._bundle), "site"]
        if self._engine == "ray":
            # One core in Ray's books and one core a site: room for exactly one actor.
            config = f"num-supernodes={len(self._run.plan.sites)} client-resources-num-cpus=1"
            command += ["--federation-config", f"{config} init-args-num-cpus=1"]
        self._processes.start("flwr run", command, lasting=False)
