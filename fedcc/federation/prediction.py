"""Scoring a file with the model of a finished run."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from fedcc.data.connectors import read_columns
from fedcc.data.gates import Table, admit
from fedcc.data.spec import ConsentSpec, DataSpec
from fedcc.errors import ConfigError, RecordError
from fedcc.federation.features import build_recipe
from fedcc.federation.plans.released import check_usable
from fedcc.federation.progress import ProgressCallback, silent
from fedcc.federation.run_folder import RunFolder, read_config
from fedcc.federation.settings import simulation_settings
from fedcc.models.heads import build_module, parameter_count
from fedcc.training.checkpoints import read_tensors
from fedcc.training.evaluate import logits, probabilities

OWNER = "predictions"


def predict(
    file: Path, run: Path, progress: ProgressCallback = silent
) -> list[tuple[int, str, float]]:
    """Return (row, label, confidence) for every row of a file.

    The file needs the text or feature columns of the run's data YAML and nothing else; scoring asks
    for no consent to training. Texts are redacted as they were for training. Confidence is the
    model's probability of the label it gives.

    Raises:
        RecordError: if the run has no model, or a row lies outside the declared domains.
        TooFewSites: if it is the run of a site whose model was not released by its quorum.
        ConfigError: if the encoder that the model was trained with is not installed.
    """
    settings = simulation_settings(read_config(run))
    check_usable(run)
    tensors = read_tensors(run / "model.safetensors")
    plan = RunFolder(run, None).read_plan()
    torch.set_num_threads(1)
    recipe = build_recipe(settings, progress)
    if recipe.fingerprint != plan.features_sha256:
        raise ConfigError(f"{run}: the model was trained with another version of the encoder.")
    role = "text" if settings.task.name == "intent" else "feature"
    table = _scoring_rows(file, settings.data, role)
    module = build_module(plan.shape)
    flat = np.concatenate([tensors[name].reshape(-1) for name, _ in module.named_parameters()])
    if flat.size != parameter_count(module):
        raise RecordError(f"{run}: model.safetensors does not fit plan.json.")
    scores = logits(module, flat.astype(np.float64), recipe.encode(table, OWNER))
    chances = probabilities(scores)
    names = settings.data.class_names
    best = chances.argmax(axis=1)
    return [
        (int(row), names[label], float(chance[label]))
        for row, label, chance in zip(table.row, best, chances, strict=True)
    ]


def marks(run: Path) -> list[str]:
    """Return why a run's model is marked as not for release; empty where it is not.

    Raises:
        RecordError: if the folder has no readable `model.json`.
    """
    path = run / "model.json"
    try:
        card = json.loads(path.read_text())
        found = [str(word) for word in card["unsafe"]]
        return [*found, "seeded"] if card.get("seeded") else found
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise RecordError(f"{path} cannot be read. Is this a finished run?") from None


def _scoring_rows(file: Path, spec: DataSpec, role: str) -> Table:
    """Read and gate the columns that the model needs; the label is not read."""
    wanted = {n: replace(c, role=role) for n, c in spec.columns.items() if role in c.roles}
    raw = read_columns(file, spec.source, list(wanted))
    label = {spec.label: replace(spec.columns[spec.label], role="label")}
    scoring = replace(
        spec,
        columns={**wanted, **label},
        consent=ConsentSpec(basis="public_dataset", source="scoring only"),
        sites=None,
        test=replace(spec.test, kind="hash", fraction=0.5),
        drop_rows=replace(spec.drop_rows, duplicates=False),
        out_of_bounds="error" if spec.out_of_bounds == "drop" else spec.out_of_bounds,
    )
    # Not read, not used: keeps the gates in one place.
    raw.columns[spec.label] = [spec.class_names[0]] * raw.n_rows
    table, _ = admit(raw, scoring, now=datetime.now(UTC))
    return table
