"""Scoring a file with the model of a finished run."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from fedcc.data.connectors import read_columns
from fedcc.data.gates import admit
from fedcc.data.spec import ConsentSpec
from fedcc.data.tabular_features import TabularEncoding
from fedcc.errors import RecordError
from fedcc.federation.run_folder import read_config
from fedcc.federation.settings import simulation_settings
from fedcc.models.tabular import build_module, parameter_count
from fedcc.tasks import churn
from fedcc.training.checkpoints import read_tensors
from fedcc.training.evaluate import logits, probabilities


def predict(file: Path, run: Path) -> list[tuple[int, str, float]]:
    """Return (row, label, confidence) for every row of a CSV file.

    The file needs the feature columns of the run's data YAML and nothing else; scoring asks for no
    consent to training. Confidence is the model's probability of the label it gives.

    Raises:
        RecordError: if the run has no model, or a row lies outside the declared domains.
    """
    settings = simulation_settings(read_config(run))
    spec = settings.data
    features = {name: spec.columns[name] for name in spec.with_role("feature")}
    tensors = read_tensors(run / "model.safetensors")
    torch.set_num_threads(1)
    encoding = TabularEncoding.from_spec(spec, settings.model.hinges)
    raw = read_columns(file, spec.source, list(features))
    label = {spec.label: replace(spec.columns[spec.label], role="label")}
    scoring = replace(
        spec,
        columns={**features, **label},
        consent=ConsentSpec(basis="public_dataset", source="scoring only"),
        sites=None,
        test=replace(spec.test, kind="hash", fraction=0.5),
        drop_rows=replace(spec.drop_rows, duplicates=False),
        out_of_bounds="error" if spec.out_of_bounds == "drop" else spec.out_of_bounds,
    )
    first = label[spec.label].categories[0]
    raw.columns[spec.label] = [
        first
    ] * raw.n_rows  # not read, not used: keeps the gates in one place
    table, _ = admit(raw, scoring, now=datetime.now(UTC))
    module = build_module(settings.model, len(encoding.feature_names))
    flat = np.concatenate([tensors[name].reshape(-1) for name, _ in module.named_parameters()])
    if flat.size != parameter_count(module):
        raise RecordError(f"{run}: model.safetensors does not fit config.yaml.")
    scores = probabilities(logits(module, flat.astype(np.float64), encoding.encode(table)))
    names = churn.class_names(spec)
    return [
        (int(row), names[int(p >= 0.5)], float(max(p, 1 - p)))
        for row, p in zip(table.row, scores, strict=True)
    ]
