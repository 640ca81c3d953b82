"""`fedcc attack`: every attack on a finished run, and the report of it.

The report holds numbers of the attacks alone, never a row. Nothing that is replayed is released and
nothing is charged to the run's ledgers; on a real site's data a replay would be a run of its own.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from fedcc.attacks.canary_audit import CanaryAudit, audit_with_canaries, finite_values
from fedcc.attacks.leakage import invert_uploads
from fedcc.attacks.membership import infer_membership
from fedcc.attacks.settings import AttackSettings
from fedcc.errors import ConfigError, RecordError
from fedcc.federation.planning import unsafe
from fedcc.federation.progress import ProgressCallback, silent
from fedcc.federation.replay import FinishedRun, open_finished
from fedcc.governance.attack_figure import attack_figure
from fedcc.training.checkpoints import write_json, write_whole
from fedcc.version import __version__

Part = Literal["canaries", "membership", "inversion"]
PARTS: tuple[Part, ...] = get_args(Part)
SCHEMA_VERSION = 1
REPORT, FIGURE = "attack.json", "attack.svg"


def parts_named(text: str | None) -> tuple[Part, ...]:
    """Return the parts that a list such as `canaries,membership` names; all of them for `None`.

    Raises:
        ConfigError: names the allowed ones.
    """
    if text is None:
        return PARTS
    named = [name.strip() for name in text.split(",")]
    for name in named:
        if name not in PARTS:
            raise ConfigError(f"--only: unknown attack '{name}'. Choose from {', '.join(PARTS)}.")
    return tuple(part for part in PARTS if part in named)


def attack_run(
    path: Path,
    settings: AttackSettings,
    *,
    only: Sequence[Part] | None = None,
    out: Path | None = None,
    progress: ProgressCallback = silent,
) -> dict[str, Any]:
    """Attack a finished run; write `attack.json` and `attack.svg`.

    Args:
        path: folder of the run.
        settings: how hard.
        only: the parts to do, which then must fit the run; `None` for all that fit it.
        out: folder of the report; `None` for the run's own.
        progress: called before slow steps.

    Returns:
        The report.

    Raises:
        ConfigError: if the run is not complete, or does not fit a part that was asked for.
        RecordError: if the run's folder or rows cannot be read.
        FedccError: if a replay ends early.
    """
    started = time.monotonic()
    run = open_finished(path, progress)
    claimed = _claims(path)
    report: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "fedcc_version": __version__,
        "simulation": True,
        "run": run.plan.run,
        "task": run.plan.task,
        "model": run.plan.model,
        "sites": len(run.plan.sites),
        "unsafe": unsafe(run.plan),
        "claimed": claimed,
        "settings": dataclasses.asdict(settings),
        **dict.fromkeys(PARTS),
        "left_out": {},
    }
    attacks: dict[Part, Callable[[], dict[str, Any]]] = {
        "canaries": lambda: _canaries(run, settings, progress),
        "membership": lambda: _membership(run, settings, claimed["epsilon"], progress),
        "inversion": lambda: _inversion(run, settings, progress),
    }
    for part in PARTS if only is None else only:
        try:
            report[part] = attacks[part]()
        except ConfigError as error:
            if only is not None:
                raise
            report["left_out"][part] = str(error)
    report["seconds"] = time.monotonic() - started
    _write(path if out is None else out, report)
    return report


def _claims(path: Path) -> dict[str, Any]:
    """Return what the run's summary claims.

    Raises:
        RecordError: if the summary cannot be read.
    """
    keys = ("epsilon", "epsilon_outsider", "epsilon_if_all_others_collude", "delta", "unit")
    try:
        privacy = json.loads((path / "summary.json").read_text())["privacy"]
        return {key: privacy[key] for key in keys}
    except (OSError, ValueError, KeyError, TypeError):
        raise RecordError(
            f"{path}/summary.json cannot be read. Run the simulation again."
        ) from None


def _canaries(
    run: FinishedRun, settings: AttackSettings, progress: ProgressCallback
) -> dict[str, Any]:
    audit = audit_with_canaries(
        run, settings.canaries, level=settings.level, seed=settings.seed, progress=progress
    )
    return canary_values(audit)


def canary_values(audit: CanaryAudit) -> dict[str, Any]:
    """Return an audit as plain values; what is infinite becomes `None`."""
    values = dataclasses.asdict(audit)
    for name, result in audit.observers.items():
        values["observers"][name]["refuted"] = result.refuted
    return {**finite_values(values), "refuted": audit.refuted}


def _membership(
    run: FinishedRun, settings: AttackSettings, epsilon: float | None, progress: ProgressCallback
) -> dict[str, Any]:
    found = infer_membership(
        run,
        settings.membership,
        epsilon=epsilon,
        level=settings.level,
        seed=settings.seed,
        progress=progress,
    )
    return dataclasses.asdict(found)


def _inversion(
    run: FinishedRun, settings: AttackSettings, progress: ProgressCallback
) -> dict[str, Any]:
    found = invert_uploads(run, settings.inversion, seed=settings.seed, progress=progress)
    shares = {"plain_share": found.plain.share, "seen_share": found.seen.share}
    return {**dataclasses.asdict(found), **shares}


def _write(folder: Path, report: dict[str, Any]) -> None:
    """Write the report and its figure.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / REPORT, report)
        write_whole(folder / FIGURE, attack_figure(report).encode())
    except OSError as error:
        raise ConfigError(f"--out {folder} cannot be written: {error.strerror}.") from None
