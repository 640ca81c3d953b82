"""The end of a simulated run: model, report and summary of a complete one, summary of any."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcc.errors import FedccError
from fedcc.federation import planning, summary
from fedcc.federation.comparison import Comparison
from fedcc.federation.monitor import Monitor
from fedcc.federation.prepared import PreparedRun
from fedcc.federation.progress import Progress, ProgressCallback
from fedcc.federation.site_round import Site
from fedcc.governance.figures import Target
from fedcc.governance.report import write_report
from fedcc.models.heads import build_module, named_tensors
from fedcc.tasks.metrics import roc_auc
from fedcc.training.checkpoints import tensor_bytes, write_json, write_whole
from fedcc.training.evaluate import logits, probabilities


def conclude(
    run: PreparedRun,
    monitor: Monitor,
    sites: Sequence[Site],
    error: FedccError | None,
    *,
    seconds: tuple[float, float],
    progress: ProgressCallback,
) -> dict[str, Any]:
    """Write what a run leaves behind and return its summary.

    Args:
        run: what was run.
        monitor: what was seen.
        sites: the sites, closed by now.
        error: why the run ended early, or `None`.
        seconds: total so far, and until the first round.
        progress: called before slow steps.

    Raises:
        OSError: if the folder cannot be written.
    """
    monitor.note_the_rest()
    lines = run.folder.read_metrics()
    rounds = max(monitor.observer.states, default=0)
    baselines = None
    if error is None and run.settings.wanted_baselines:
        progress(Progress(kind="note", text="training the baselines"))
        baselines = _baselines(run, rounds)
    facts = _facts(run, monitor, sites, lines, error, seconds, baselines)
    values = summary.build_summary(run.settings, run.plan, facts)
    if error is None:
        _write_model(run, monitor, facts)
        target = Target(
            epsilon=run.settings.privacy.epsilon,
            rounds=run.plan.rounds,
            attempts=run.plan.max_attempts,
        )
        if run.settings.run.report:
            write_report(run.folder.path, values, lines, run.warnings, target)
        if rounds < run.plan.rounds:
            text = (
                f"warning: {rounds} of {run.plan.rounds} rounds: more attempts were void than the "
                "noise was calibrated for, so the run ended within its budget"
            )
            progress(Progress(kind="note", text=text))
    _note_lifetime(run, sites, progress)
    if error is None:
        for refusal in monitor.watch.refusals:
            text = f"warning: a site refused and the run went on without it: {refusal}"
            progress(Progress(kind="note", text=text))
    run.folder.write_summary(values)
    return values


def _note_lifetime(run: PreparedRun, sites: Sequence[Site], progress: ProgressCallback) -> None:
    """Say what the ledgers hold where earlier runs share them; the summary is this run's."""
    if any(len(s.ledger.events) > len(s.ledger.used(run.plan.run)) for s in sites):
        spent = max(site.ledger.epsilon() for site in sites)
        text = f"the ledgers hold epsilon {spent:.4g} over all their runs"
        progress(Progress(kind="note", text=text))


def _facts(
    run: PreparedRun,
    monitor: Monitor,
    sites: Sequence[Site],
    lines: Sequence[dict[str, Any]],
    error: FedccError | None,
    seconds: tuple[float, float],
    baselines: dict[str, float | None] | None,
) -> summary.Facts:
    closed = [line for line in lines if line["closed"]]
    uploads, upload_bytes = _ciphertexts(run)
    down = [line["bytes_down"] / len(line["survivors"]) for line in closed]
    observer = monitor.observer
    return summary.Facts(
        outcome="completed" if error is None else error.outcome,
        rounds=max(observer.states, default=0),
        attempts=max((len(site.ledger.used(run.plan.run)) for site in sites), default=0),
        rows_per_site=[len(site) for site in run.data.sites],
        gates=run.data.gates,
        key_id=_newest_key_id(run),
        upload_bytes=sum(line["bytes_up"] for line in lines),
        upload_bytes_per_round=upload_bytes / uploads if uploads else None,
        download_bytes_per_round=float(np.mean(down)) if down else None,
        seconds_encrypt=sum(site.seconds.encrypt for site in sites),
        seconds_aggregate=monitor.record.seconds_adding,
        seconds_decrypt=sum(site.seconds.decrypt for site in sites),
        max_abs_error=observer.max_abs_error if observer.checked_sums else None,
        metric=run.data.task.metric,
        utility=monitor.utility(),
        baselines=baselines,
        total_seconds=seconds[0],
        startup_seconds=seconds[1],
        seconds_per_round=float(np.mean([line["seconds"] for line in closed])) if closed else None,
    )


def _newest_key_id(run: PreparedRun) -> str | None:
    """Return the public name of the HE key of the last epoch; `None` without encryption."""
    folders = [run.folder.site_files(site).epochs for site in run.plan.sites]
    records = sorted((f for folder in folders for f in folder.glob("epoch-*.json")), key=_name)
    if run.plan.scheme == "none" or not records:
        return None
    return str(json.loads(records[-1].read_text())["key_id"])


def _name(path: Path) -> str:
    return path.name


def _ciphertexts(run: PreparedRun) -> tuple[int, int]:
    """Return how many uploads reached the aggregator, and the bytes of their chunks."""
    uploads = total = 0
    if not run.folder.wire.exists():
        return 0, 0
    with run.folder.wire.open(encoding="utf-8") as file:
        for line in file:
            if '"upload.update.' in line:
                entry = json.loads(line)
                uploads += entry["field"] == "upload.update.0"
                total += int(entry["bytes"])
    return uploads, total


def _baselines(run: PreparedRun, rounds: int) -> dict[str, float | None]:
    plan = planning.shortened(run.plan, rounds)
    data = run.data
    comparison = Comparison(plan, run.settings, data.task, data.recipe, data.sites, data.test)
    files = [run.folder.noise_file(number) for number in range(1, rounds + 1)]
    if not all(file.exists() for file in files):
        return comparison.all(None)
    return comparison.all(lambda number: np.asarray(np.load(files[number - 1])))


def _write_model(run: PreparedRun, monitor: Monitor, facts: summary.Facts) -> None:
    [state] = monitor.observer.states.values()
    module = build_module(run.plan.shape)
    deferral = _deferral(run, state.released())
    card = summary.build_model_card(run.settings, run.plan, facts, run.data.recipe, deferral)
    write_json(run.folder.path / "model.json", card)
    tensors = tensor_bytes(named_tensors(module, state.released()))
    write_whole(run.folder.path / "model.safetensors", tensors)


def _deferral(run: PreparedRun, parameters: NDArray[np.float64]) -> dict[str, Any] | None:
    """Return how well low confidence tells held-out rows, which are of no class, from test rows."""
    data = run.data
    if not len(data.held):
        return None
    module = build_module(run.plan.shape)
    confidence = [
        probabilities(logits(module, parameters, rows.features)).max(axis=1)
        for rows in (data.test, data.held)
    ]
    in_scope = np.repeat([1, 0], [len(data.test), len(data.held)])
    area = roc_auc(np.concatenate(confidence), in_scope)
    return {"held_rows": len(data.held), "auc_of_confidence": area, "evaluation": "simulator"}
