"""Flower as it comes, beside an installation: SuperLink and SuperNodes with their own settings."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from _drill import Drill
from _installation import free_port, stop

BIN = Path(sys.executable).parent
PROJECT = """\
[project]
name = "{name}"
version = "1.0.0"
description = ""
license = "Apache-2.0"
dependencies = []
[tool.flwr.app]
publisher = "nobody"
[tool.flwr.app.components]
serverapp = "{name}.server:app"
clientapp = "{name}.client:app"
[tool.flwr.app.config]
"""


@dataclass(frozen=True)
class StockFlower:
    """A SuperLink with a SuperNode for each site, which run."""

    root: Path
    superlink: subprocess.Popen[bytes]
    command: Callable[..., None]  # runs a program of Flower to its end

    def run(self, name: str, modules: Mapping[str, str]) -> None:
        """Start a run of an app.

        Args:
            name: of the app.
            modules: `server` and `client`, each its code.
        """
        app = self.root / name
        (app / name).mkdir(parents=True)
        (app / "pyproject.toml").write_text(PROJECT.format(name=name))
        for module, code in {"__init__": "", **modules}.items():
            (app / name / f"{module}.py").write_text(code)
        self.command("flwr", "run", app, "here")


@contextmanager
def stock_flower(drill: Drill) -> Iterator[StockFlower]:
    """Run Flower's own programs with the certificate and the node keys of an installation."""
    root, sites = drill.root / "stock", drill.made.sites
    home, tls, port = root / "home", drill.made.hub / "tls", free_port()
    home.mkdir(parents=True)
    address = f"127.0.0.1:{port}"
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "{address}"\n'
        f'root-certificates = "{tls / "ca.pem"}"\n'
    )
    environment = {
        **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
    }
    log = (root / "log").open("ab")

    def begin(program: str, *words: object) -> subprocess.Popen[bytes]:
        command = [str(BIN / program), *map(str, words)]
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def command(program: str, *words: object) -> None:
        if begin(program, *words).wait() != 0:
            raise SystemExit(f"{program} failed; see {root / 'log'}")

    running = [
        begin(
            *("flower-superlink", "--host", "127.0.0.1", "--port", port),
            *("--ssl-certfile", tls / "server.pem", "--ssl-keyfile", tls / "server.key"),
            *("--ssl-ca-certfile", tls / "ca.pem", "--enable-supernode-auth"),
            *("--database", root / "superlink.db", "--disable-runtime-dependency-installation"),
        )
    ]
    try:
        time.sleep(15.0)
        for site in sites:
            command("flwr", "supernode", "register", drill.made.hub / "nodes" / f"{site}.pub",
                    "here")  # fmt: skip
        for site in sites:
            folder = drill.made.site(site)
            running.append(
                begin(
                    *("flower-supernode", "--superlink", address),
                    *("--root-certificates", folder / "ca.pem"),
                    *("--auth-supernode-private-key", folder / "node.key"),
                    *("--host", "127.0.0.1", "--port", free_port()),
                )
            )
        yield StockFlower(root, running[0], command)
    finally:
        stop(running)
        _end_all_of(home)
        log.close()


def _end_all_of(home: Path) -> None:
    """Kill what Flower's programs started and left behind; it has their home in its environment."""
    mark = f"FLWR_HOME={home}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:  # ended, or another user's
            continue
