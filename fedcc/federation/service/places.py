"""Where the processes of one service meet: a private folder under its state, anew at each start."""

import json
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedcc.federation.service.ticks import Ticks
from fedcc.training.checkpoints import write_whole

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Places:
    """The private folder of a running service."""

    folder: Path

    @classmethod
    def prepare(cls, state: Path) -> "Places":
        """Create the folder (mode 0700).

        Raises:
            OSError: if it cannot be created.
        """
        folder = state / "running"
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        (folder / "flower").mkdir(exist_ok=True)
        return cls(folder)

    @property
    def lock(self) -> Path:
        """Held while the service runs."""
        return self.folder / "alive"

    @property
    def secret(self) -> Path:
        """Shared by Flower's process and ours."""
        return self.folder / "executor-secret"

    @property
    def ticks(self) -> Ticks:
        """What was last seen to happen."""
        return Ticks(self.folder)

    def renew(self) -> int:
        """Make a fresh secret, forget all ticks and return a port of loopback that is free now."""
        write_whole(self.secret, secrets.token_bytes(32), mode=0o600)
        for path in self.folder.glob("*.tick"):
            path.unlink()
        with socket.socket() as each:
            each.bind((LOOPBACK, 0))
            port = int(each.getsockname()[1])
        write_whole(self.folder / "port.json", json.dumps(port).encode(), mode=0o600)
        return port

    def port(self) -> int:
        """Return the port that `renew` found."""
        return int(json.loads((self.folder / "port.json").read_text()))

    def environment(self, proxy: str | None) -> Mapping[str, str]:
        """Return the environment of the service's processes.

        Nothing that could send a connection elsewhere is taken over: no proxy but the one that the
        service's own file names, and no other certificates.
        """
        dropped = {"http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file"}
        dropped |= {"ssl_cert_dir", "sslkeylogfile", "notify_socket"}
        kept = {
            name: value
            for name, value in os.environ.items()
            if name.lower() not in dropped and not name.startswith("FLWR_")
        }
        if proxy is not None:
            kept |= {"HTTPS_PROXY": proxy, "NO_PROXY": f"{LOOPBACK},localhost"}
        return kept | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}",
            "FLWR_HOME": str(self.folder / "flower"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
            "OMP_NUM_THREADS": "1",
        }
