"""A finished run played again, with rows of somebody's choice and somebody watching.

Audits need a run of the very plan that they audit, through the same sites, aggregator, noise, masks
and encryption, but with rows that they planted. A replay lives in a temporary folder: it has fresh
keys and ledgers of its own, charges nothing to the run's ledgers and leaves nothing behind.
"""

import dataclasses
import secrets
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import torch

from fedcc.errors import ConfigError, RecordError, TooFewSites
from fedcc.federation.monitor import Monitor
from fedcc.federation.overhearing import Listener
from fedcc.federation.prepared import PreparedRun
from fedcc.federation.progress import ProgressCallback, silent
from fedcc.federation.run_folder import RunFolder, read_config
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.settings import (
    Folder,
    RunOptions,
    SimulationSettings,
    SiteSettings,
    data_sha256,
    simulation_settings,
)
from fedcc.federation.simulated_data import SimulatedData, load_data
from fedcc.federation.simulation import run_in_process, utc_now
from fedcc.federation.site_opening import close_sites, open_sites
from fedcc.federation.site_parts import Watch
from fedcc.federation.site_round import Site
from fedcc.tasks.task import Examples

Note = TypeVar("Note")


@dataclass(frozen=True)
class FinishedRun:
    """What a finished run was: settings, plan and rows."""

    path: Path
    settings: SimulationSettings
    plan: RunPlan
    data: SimulatedData


def open_finished(path: Path, progress: ProgressCallback = silent) -> FinishedRun:
    """Read a finished run and its rows back.

    Args:
        path: its folder.
        progress: called while texts are encoded.

    Raises:
        ConfigError: if the run is not complete, or its data or features changed since.
        RecordError: if the folder lacks something, or the rows cannot be read.
    """
    settings = simulation_settings(read_config(path))
    folder = RunFolder(path, None)
    if not folder.is_complete():
        raise ConfigError(
            f"{path}: no completed run. Finish it with fedcc simulate --resume {path}, or name "
            "another folder."
        )
    try:
        plan, secret = folder.read_start()
    except RecordError:
        raise RecordError(
            f"{path} lacks plan.json or secrets/simulation.json, which says which rows were at "
            "which site. Name the run folder itself, not a copy for auditors."
        ) from None
    if plan.data_sha256 != data_sha256(settings.data):
        raise ConfigError(f"{path}: config.yaml and plan.json describe different data.")
    torch.set_num_threads(1)
    seeds = (secret["partition_seed"], secret["interactions_seed"])
    data = load_data(settings, *seeds, datetime.now(UTC), progress)
    if plan.features_sha256 != data.recipe.fingerprint:
        raise ConfigError(
            f"{path}: the encoder or the columns are not those of the run. Install the versions "
            "that model.json or constraints.txt names."
        )
    return FinishedRun(path, settings, plan, data)


def replay(
    run: FinishedRun,
    sites: Sequence[Examples],
    *,
    plan: RunPlan,
    seed: int | None,
    eyes: Watch,
    listener: Listener | None = None,
) -> None:
    """Play a plan with other rows, in this process, and let somebody watch.

    Args:
        run: the finished run; its dropouts are played again.
        sites: the rows of each site, in the order of the plan's sites.
        plan: the plan to play, the run's own or one derived from it; it gets a name of its own.
        seed: `None` for the operating system's randomness.
        eyes: sees what a simulation may look at, after the simulation's own checks.
        listener: overhears what reaches the aggregator.

    Raises:
        FedccError: if the run ends early, or a site refused.
    """
    plan = dataclasses.replace(plan, run=secrets.token_hex(8))
    with tempfile.TemporaryDirectory(prefix="fedcc-replay-") as root:
        folder = RunFolder.create(f"{root}/run", None, plan.task, now=utc_now())
        folder.write_start({}, plan, {}, None)
        settings = _for_replay(run.settings, plan, seed)
        data = dataclasses.replace(run.data, sites=list(sites))
        prepared = PreparedRun(settings, plan, data, folder, (), resumed=False)
        monitor = Monitor(prepared, silent)
        own = monitor.watch
        watch = Watch(
            on_upload=_both(own.on_upload, eyes.on_upload),
            on_applied=_both(own.on_applied, eyes.on_applied),
            refusals=own.refusals,
        )
        opened: list[Site] = []
        try:
            open_sites(prepared, watch, utc_now, opened)
            run_in_process(prepared, monitor, opened, listener=listener)
        except TooFewSites as error:
            # A site that refused is the reason; the aggregator only knows that it did not answer.
            raise next(iter(own.refusals), error) from None
        finally:
            close_sites(opened)
    if own.refusals:
        raise own.refusals[0]


def _for_replay(
    settings: SimulationSettings, plan: RunPlan, seed: int | None
) -> SimulationSettings:
    """Return the settings of the run without what is of its place, its time and its ledgers."""
    drops = tuple(drop for drop in settings.federation.drop if drop.round <= plan.rounds)
    return dataclasses.replace(
        settings,
        rounds=plan.rounds,
        seed=seed,
        baselines=False,
        run=RunOptions(dir=None, report=False),
        ledger=Folder(dir=None),
        site=SiteSettings(policy=None, max_epsilon=None),
        privacy=dataclasses.replace(
            settings.privacy,
            noise=plan.noise,
            reserved_retries=plan.max_attempts - plan.rounds,
            epsilon=settings.privacy.epsilon if plan.noise != "none" else None,
        ),
        crypto=dataclasses.replace(settings.crypto, scheme=plan.scheme),
        federation=dataclasses.replace(settings.federation, drop=drops, reply_seconds=None),
        engine=dataclasses.replace(settings.engine, name="inprocess"),
    )


def _both(
    first: Callable[[Note], None] | None, second: Callable[[Note], None] | None
) -> Callable[[Note], None]:
    def note(seen: Note) -> None:
        for look in (first, second):
            if look is not None:
                look(seen)

    return note
