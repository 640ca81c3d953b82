"""Everything of a run that is settled before anything is spent: data, plan and folder."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from fedcc.crypto import contexts
from fedcc.crypto.keys import SiteKeys
from fedcc.errors import ConfigError
from fedcc.federation import planning
from fedcc.federation.progress import Progress, ProgressCallback
from fedcc.federation.run_folder import RunFolder
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.settings import SimulationSettings, data_sha256
from fedcc.federation.simulated_data import SimulatedData, load_data
from fedcc.models.update import ModelState
from fedcc.privacy.policy import load_policy
from fedcc.training.checkpoints import load_state

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class PreparedRun:
    """A run that can start."""

    settings: SimulationSettings
    plan: RunPlan
    data: SimulatedData
    folder: RunFolder
    warnings: tuple[str, ...]
    resumed: bool

    @cached_property
    def site_keys(self) -> dict[str, SiteKeys]:
        """The simulated sites' keys, created on first use."""
        return {name: self.folder.site_keys(name) for name in self.plan.sites}

    def newest_state(self) -> ModelState | None:
        """Return the newest checkpoint of any simulated site, or `None`."""
        files = [self.folder.site_files(site).checkpoint for site in self.plan.sites]
        states = [load_state(file) for file in files if file.exists()]
        return max(states, key=lambda state: state.rounds_applied, default=None)


def disk_error(path: Path, error: OSError) -> ConfigError:
    """Return the one-line error for a run folder that cannot be written."""
    reason = error.strerror or type(error).__name__
    return ConfigError(
        f"run.dir: {path} cannot be written: {reason}. Free space or name another folder; a run "
        f"that had begun continues with fedcc simulate --resume {path}"
    )


def prepare_new(
    settings: SimulationSettings,
    config_values: dict[str, Any],
    clock: Clock,
    progress: ProgressCallback,
) -> PreparedRun:
    """Load data, make the plan and create the run folder.

    Raises:
        FedccError: for settings or data that cannot be run; then no folder is left behind.
    """
    policy = _policy_text(settings.site.policy)
    secret = {
        "partition_seed": _fresh_seed(settings.seed),
        "public_seed": _fresh_seed(settings.seed),
        "interactions_seed": secrets.randbits(128) if settings.seed is None else settings.seed,
    }
    data = load_data(
        settings, secret["partition_seed"], secret["interactions_seed"], clock(), progress
    )
    warnings = planning.warnings(settings, data.repeated_rows) + data.warnings
    plan = planning.make_plan(
        settings,
        data.recipe,
        data.task.n_outputs(settings.data),
        run=secrets.token_hex(8),
        public_seed=secret["public_seed"],
    )
    for warning in warnings:
        progress(Progress(kind="note", text=f"warning: {warning}"))
    if plan.masked and plan.seeded:
        contexts.check_seed_compression()
    folder = RunFolder.create(
        settings.run.dir, settings.ledger.dir, settings.task.name, now=clock()
    )
    try:
        folder.write_start(config_values, plan, secret, policy)
    except OSError as error:
        raise disk_error(folder.path, error) from error
    return PreparedRun(settings, plan, data, folder, warnings, resumed=False)


def prepare_resumed(
    settings: SimulationSettings, run: Path, clock: Clock, progress: ProgressCallback
) -> PreparedRun:
    """Take up the plan, the partition and the folder of an interrupted run.

    Raises:
        ConfigError: if the run is complete, or its config no longer fits its plan.
        RecordError: if its files are missing or damaged.
    """
    folder = RunFolder(run, Path(settings.ledger.dir) if settings.ledger.dir else None)
    plan, secret = folder.read_start()
    if folder.is_complete():
        raise ConfigError(f"{run} is complete; there is nothing to resume.")
    if plan.data_sha256 != data_sha256(settings.data):
        raise ConfigError(f"{run}: config.yaml and plan.json describe different data.")
    data = load_data(
        settings, secret["partition_seed"], secret["interactions_seed"], clock(), progress
    )
    if plan.features_sha256 != data.recipe.fingerprint:
        raise ConfigError(
            f"{run}: the encoder or the columns are not those that the run began with. Install "
            "the versions that model.json or constraints.txt names."
        )
    warnings = planning.warnings(settings, data.repeated_rows) + data.warnings
    return PreparedRun(settings, plan, data, folder, warnings, resumed=True)


def _policy_text(path: str | None) -> bytes | None:
    """Return the policy file as it stands, once it is known to hold a policy.

    Raises:
        ConfigError: names the key that is wrong.
    """
    if path is None:
        return None
    load_policy(Path(path))
    return Path(path).read_bytes()


def _fresh_seed(seed: int | None) -> int:
    return secrets.randbelow(2**62) if seed is None else seed
