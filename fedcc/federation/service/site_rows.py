"""The rows of a real site: its own file, gated, with the features that a plan asks for.

A site has no test rows of others and no partition. Where its data YAML sets rows aside for a test,
they stay out of training; a test file of its own is not opened. Which rows of a customer train is
decided by a secret that never leaves the site, so that a resumed run keeps the same ones.
"""

import os
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from fedcc import config
from fedcc.crypto.private_files import read_private
from fedcc.data.connectors import read_table
from fedcc.data.customers import KEY_BYTES, NO_ID, customer_ids, kept_interactions
from fedcc.data.gates import Table, admit
from fedcc.data.partition import held_rows, split_test_rows
from fedcc.data.spec import DataSpec
from fedcc.deployment.site_file import SiteData, SiteHome
from fedcc.errors import ConfigError, PolicyViolation, RecordError
from fedcc.federation.features import build_recipe
from fedcc.federation.plans.signed_plan import SignedPlan
from fedcc.federation.progress import silent
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.settings import SimulationSettings, data_sha256, simulation_settings
from fedcc.tasks.task import Examples, FeatureRecipe, examples
from fedcc.training.checkpoints import write_whole

EncoderName = Literal["minilm", "wordllama", "hashing"]


@dataclass(frozen=True)
class SiteRows:
    """What a site trains on for one plan."""

    examples: Examples
    recipe: FeatureRecipe
    spec: DataSpec
    held: Examples | None  # for the test before a release; read only where the site asks for one
    config_values: dict[str, object]  # with which `fedcc predict` builds the same features again


def load_rows(home: SiteHome, signed: SignedPlan, now: datetime) -> SiteRows:
    """Read and gate the rows that a plan is for.

    Args:
        home: the site's own file.
        signed: names the data by the hash of its YAML, the task, the model and the encoder.
        now: when consent is asked for.

    Raises:
        PolicyViolation: if the site has no such data, or its consent is that of a public data set
            and the site's file does not admit it.
        ConfigError, RecordError: name the key, or file, row and column.
    """
    plan = signed.plan
    entry, values, settings = _data_of(home, signed)
    spec = settings.data
    if spec.consent is not None and spec.consent.basis == "public_dataset":
        if not home.values.allow_public_dataset:
            raise PolicyViolation(
                f"data '{entry.name}' has `basis: public_dataset`, which is for demonstrations. "
                "Record the consent of each row, or set allow_public_dataset in site.yaml."
            )
    if spec.out_of_bounds == "error":
        raise PolicyViolation(
            f"data '{entry.name}': out_of_bounds must be clamp or drop at a real site: a refusal "
            "would tell that such a row exists."
        )
    path = None if entry.path is None else str(home.at(entry.path))
    tests = home.values.release.minimum_accuracy is not None
    if tests and spec.test.kind == "file":
        raise ConfigError(
            f"release.minimum_accuracy: data '{entry.name}' sets no rows of this site aside for a "
            "test (its test block names a file). Set it to null, or use other data."
        )
    table, held = _training_rows(spec, path, now)
    recipe = _recipe(settings, values, plan)

    def encoded(part: Table) -> Examples:
        if plan.unit == "customer":
            part = _kept_rows(part, spec, plan, _secret(home.state / "rows.secret"))
        return examples(part, spec, recipe, home.values.site)

    return SiteRows(encoded(table), recipe, spec, encoded(held) if tests else None, values)


def _data_of(
    home: SiteHome, signed: SignedPlan
) -> tuple[SiteData, dict[str, object], SimulationSettings]:
    """Return the site's data that the plan names, and settings that build its features."""
    plan = signed.plan
    for entry in home.values.data:
        folder = home.at(entry.config_dir) if entry.config_dir is not None else None
        wanted = [f"task={plan.task}", f"data={entry.name}", f"model={plan.model}"]
        wanted += [f"sites={len(plan.sites)}", f"rounds={plan.rounds}"]
        wanted += [f"encoder={_encoder(signed)}"]
        values = dict(config.compose("simulate", wanted, folder))
        settings = simulation_settings(values)
        if data_sha256(settings.data) == plan.data_sha256:
            return entry, values, settings
    raise PolicyViolation(
        f"no data of this site has the hash {plan.data_sha256} of the plan's data YAML. Compare "
        "the YAMLs, or add the data to `data` in site.yaml."
    )


def _encoder(signed: SignedPlan) -> EncoderName:
    """Return the encoder that the plan names.

    Raises:
        PolicyViolation: if it is none of those that are installed here.
    """
    block = signed.settings.get("encoder")
    named = block.get("name") if isinstance(block, dict) else None
    for known in get_args(EncoderName):
        if named == known:
            return cast(EncoderName, known)
    raise PolicyViolation(f"the plan's encoder is none of {', '.join(get_args(EncoderName))}.")


def _recipe(
    settings: SimulationSettings, values: dict[str, object], plan: RunPlan
) -> FeatureRecipe:
    recipe = build_recipe(settings, silent)
    if recipe.fingerprint != plan.features_sha256:
        raise ConfigError(
            f"the plan's features are not those that this site builds (model={plan.model}, "
            f"encoder={settings.encoder.name}). Install the versions that the plan was made with."
        )
    return recipe


def _training_rows(spec: DataSpec, path: str | None, now: datetime) -> tuple[Table, Table]:
    """Read and gate the rows that may train, and those that are set aside for a test."""
    if spec.test.kind != "file":
        table, _ = admit(read_table(spec, path), spec, now=now)
        training, held_out = split_test_rows(table, spec, 0)
        return table.take(training), table.take(held_out)
    # The test file is the others' business: every row of the site's own file trains.
    alone = replace(spec, test=replace(spec.test, kind="hash", fraction=0.5, path=None))
    table, _ = admit(read_table(alone, path), alone, now=now)
    held = set(held_rows(table, spec).tolist())
    kept = [row for row in range(table.n_rows) if row not in held]
    return table.take(np.array(kept, np.int64)), table.take(np.array([], np.int64))


def _kept_rows(table: Table, spec: DataSpec, plan: RunPlan, key: bytes) -> Table:
    """Return at most the plan's number of rows of each customer.

    Raises:
        RecordError: if no row has a customer id.
    """
    ids = np.array(customer_ids(table, spec), dtype=object)
    if ids.size == 0 or not (ids != NO_ID).any():
        raise RecordError(
            f"{table.source}: no training row has a customer id, and the plan protects customers."
        )
    kept: NDArray[np.int64] = kept_interactions(ids.tolist(), plan.max_interactions, key)
    return table.take(kept)


def _secret(path: Path) -> bytes:
    """Return the site's own secret, created on first use."""
    if not path.exists():
        write_whole(path, os.urandom(KEY_BYTES), mode=0o600)
    return read_private(path)
