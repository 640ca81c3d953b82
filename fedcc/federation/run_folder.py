"""The run folder: where everything of a run lies, and what a resumed run takes up again.

Everything but `secrets/` and `checkpoints/` (mode 0700) can be handed to an auditor. A file is
written whole or not at all, and `summary.json` last, so an unfinished run never looks complete.
"""

import json
import secrets
from datetime import datetime
from pathlib import Path
from typing import Any

from fedcc.crypto.keys import SiteKeys
from fedcc.errors import ConfigError, RecordError
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.site_parts import SiteFiles
from fedcc.training.checkpoints import write_json, write_whole

FINISHED = ("model.safetensors", "model.json", "report.html", "summary.json")


def refuse_used(path: Path) -> None:
    """Refuse a folder for a new run that holds anything.

    Raises:
        ConfigError: if it does, or is no folder.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(
            f"run.dir: {path} is not empty. Name another folder, or continue with "
            f"fedcc simulate --resume {path}"
        )


class RunFolder:
    """Paths of one run."""

    def __init__(self, path: Path, ledger_dir: Path | None) -> None:
        """Name the folder; nothing is touched."""
        self.path = path
        self._ledger_dir = ledger_dir if ledger_dir is not None else path / "ledger"

    @classmethod
    def create(
        cls, run_dir: str | None, ledger_dir: str | None, task: str, *, now: datetime
    ) -> "RunFolder":
        """Create a new run folder.

        Raises:
            ConfigError: if the folder holds anything, or cannot be created.
        """
        name = f"{task}-{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        path = Path(run_dir) if run_dir is not None else Path("runs") / name
        refuse_used(path)
        folder = cls(path, Path(ledger_dir) if ledger_dir is not None else None)
        try:
            path.mkdir(parents=True, exist_ok=True)
            for inner in ("secrets", "checkpoints"):
                (path / inner).mkdir(mode=0o700)
        except OSError as error:
            raise ConfigError(f"run.dir: {path} cannot be created: {error.strerror}.") from None
        return folder

    def site_files(self, site: str) -> SiteFiles:
        """Return the files of one simulated site."""
        return SiteFiles(
            ledger=self._ledger_dir / f"{site}.jsonl",
            audit=self.path / "audit" / f"{site}.jsonl",
            checkpoint=self.path / "checkpoints" / f"{site}.safetensors",
            keys=self.path / "secrets" / f"{site}.keys.json",
            epochs=self.path / "secrets" / f"{site}.epochs",
            binding=self.path / "secrets" / f"{site}.session.json",
        )

    @property
    def wire(self) -> Path:
        """The log of what reached the aggregator."""
        return self.path / "wire.jsonl"

    @property
    def policy(self) -> Path:
        """The policy file that the sites of this run have, copied when the run began."""
        return self.path / "policy.yaml"

    @property
    def metrics(self) -> Path:
        """One line per attempt."""
        return self.path / "metrics.jsonl"

    @property
    def aggregator_store(self) -> Path:
        """The aggregator's ciphertexts and counts."""
        return self.path / "checkpoints" / "aggregator"

    @property
    def sightings(self) -> Path:
        """What sites in other processes show their simulator while a run goes on."""
        return self.path / "secrets" / "sightings"

    @property
    def engine_log(self) -> Path:
        """What the processes of a Flower engine printed; never in a bundle."""
        return self.path / "secrets" / "engine.log"

    def noise_file(self, round_number: int) -> Path:
        """The simulator's own record of a round's noise, for a baseline."""
        return self.path / "secrets" / f"noise-{round_number:06d}.npy"

    def site_keys(self, site: str) -> SiteKeys:
        """Return a simulated site's keys, created on first use (mode 0600)."""
        path = self.site_files(site).keys
        if path.exists():
            return SiteKeys.from_json(path.read_bytes(), str(path))
        keys = SiteKeys.create()
        write_whole(path, keys.to_json(), mode=0o600)
        return keys

    def write_start(
        self,
        config_values: dict[str, Any],
        plan: RunPlan,
        secret: dict[str, int],
        policy: bytes | None,
    ) -> None:
        """Write what a resumed run reads: config, plan, policy and the simulation's own seed."""
        from omegaconf import OmegaConf

        text = OmegaConf.to_yaml(OmegaConf.create(config_values))
        write_whole(self.path / "config.yaml", text.encode())
        write_whole(self.path / "plan.json", plan.to_json().encode() + b"\n")
        if policy is not None:
            write_whole(self.policy, policy)
        write_whole(
            self.path / "secrets" / "simulation.json", json.dumps(secret).encode(), mode=0o600
        )

    def read_plan(self) -> RunPlan:
        """Read the public plan back.

        Raises:
            RecordError: if it is missing or damaged.
        """
        try:
            return RunPlan.from_json((self.path / "plan.json").read_text())
        except (OSError, ValueError):
            raise RecordError(f"{self.path} lacks plan.json. Name the folder of a run.") from None

    def read_start(self) -> tuple[RunPlan, dict[str, int]]:
        """Read plan and seed back.

        Raises:
            RecordError: if they are missing or damaged.
        """
        plan = self.read_plan()
        try:
            secret = json.loads((self.path / "secrets" / "simulation.json").read_text())
        except (OSError, ValueError):
            raise RecordError(f"{self.path} lacks secrets/: it cannot be resumed.") from None
        return plan, {str(key): int(value) for key, value in secret.items()}

    def is_complete(self) -> bool:
        """Tell whether the run has its summary and its outcome is `completed`."""
        try:
            summary = json.loads((self.path / "summary.json").read_text())
            return bool(summary["outcome"] == "completed")
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def clear_finished(self) -> None:
        """Remove what only a complete run may hold."""
        for name in FINISHED:
            (self.path / name).unlink(missing_ok=True)
            (self.path / f".{name}.partial").unlink(missing_ok=True)

    def write_summary(self, summary: dict[str, object]) -> None:
        """Write `summary.json`, the last file of a run."""
        write_json(self.path / "summary.json", summary)

    def append_metrics(self, line: dict[str, object]) -> None:
        """Append one line to `metrics.jsonl`."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def read_metrics(self) -> list[dict[str, Any]]:
        """Return all lines of `metrics.jsonl`."""
        if not self.metrics.exists():
            return []
        lines = self.metrics.read_text().splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]


def read_config(run: Path) -> dict[str, Any]:
    """Return the resolved config of an earlier run.

    Raises:
        RecordError: if there is none.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    path = run / "config.yaml"
    if not path.is_file():
        raise RecordError(f"{path}: no such file. Name the folder of a run.")
    try:
        values = OmegaConf.to_container(OmegaConf.load(path))
    except (OmegaConfBaseException, YAMLError, OSError, ValueError):
        raise RecordError(f"{path} is not a readable config.") from None
    return {str(key): value for key, value in values.items()} if isinstance(values, dict) else {}
