"""The rows of a simulation: read once, gated, split into test rows and sites, encoded.

Where the customer is the protected unit, a site keeps at most `max_interactions` rows of each, in
an order that depends on a secret of the run alone, so that a resumed run keeps the same ones.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from fedcc.data.connectors import read_table
from fedcc.data.customers import KEY_BYTES, NO_ID, customer_codes, customer_ids, kept_interactions
from fedcc.data.gates import GateCounts, Table, admit
from fedcc.data.partition import check_partition, held_rows, partition_rows, split_test_rows
from fedcc.data.quality import data_warnings
from fedcc.errors import RecordError
from fedcc.federation.features import SIMULATOR, build_recipe
from fedcc.federation.progress import ProgressCallback, silent
from fedcc.federation.protected_unit import (
    ProtectedUnit,
    check_sites_of_customers,
    protected_unit,
)
from fedcc.federation.settings import SimulationSettings
from fedcc.rng import byte_source, generator
from fedcc.tasks.churn import CHURN
from fedcc.tasks.intent import INTENT
from fedcc.tasks.task import Examples, FeatureRecipe, Task, examples


@dataclass(frozen=True)
class SimulatedData:
    """Rows of every site and the simulator's test rows."""

    task: Task
    sites: list[Examples]
    test: Examples
    held: Examples  # out-of-scope rows: no class, held aside for measuring deferral
    gates: GateCounts
    recipe: FeatureRecipe
    repeated_rows: int  # rows of customers beyond their first one
    warnings: tuple[str, ...]  # what is odd about the rows


def task_of(settings: SimulationSettings) -> Task:
    """Return the task that the settings name."""
    return CHURN if settings.task.name == "churn" else INTENT


def load_data(
    settings: SimulationSettings,
    partition_seed: int,
    interactions_seed: int,
    now: datetime,
    progress: ProgressCallback = silent,
) -> SimulatedData:
    """Read, gate, split, partition and encode the data set.

    Args:
        settings: of the run.
        partition_seed: deals rows to sites.
        interactions_seed: secret of the run; decides which rows of a customer are kept.
        now: the time at which consent is asked for.
        progress: called while texts are encoded.

    Raises:
        ConfigError, RecordError: name the key, or file, row and column.
    """
    spec, usage, task = settings.data, settings.partition, task_of(settings)
    task.check(spec)
    check_partition(spec, usage)
    table, gates = admit(read_table(spec, usage.path), spec, now=now)
    train_rows, test_rows = split_test_rows(table, spec, usage.split_seed)
    warnings = data_warnings(spec, table, gates, train_rows, test_rows)
    train = table.take(train_rows)
    unit = protected_unit(settings.privacy, spec)
    rng = generator(partition_seed, "partition")
    parts = partition_rows(
        train, spec, settings.sites, usage, rng, whole_customers=unit.is_customer
    )
    if unit.is_customer:
        parts, found = _kept_parts(train, settings, unit, parts, interactions_seed)
        warnings += found
    recipe = build_recipe(settings, progress)
    ids = customer_ids(table, spec) or []
    return SimulatedData(
        task=task,
        sites=[
            examples(train.take(rows), spec, recipe, name)
            for name, rows in zip(settings.site_names, parts, strict=True)
        ],
        test=examples(table.take(test_rows), spec, recipe, SIMULATOR),
        held=examples(table.take(held_rows(table, spec)), spec, recipe, SIMULATOR),
        gates=gates,
        recipe=recipe,
        repeated_rows=len(ids) - len(set(ids)),
        warnings=tuple(warnings),
    )


def _kept_parts(
    train: Table,
    settings: SimulationSettings,
    unit: ProtectedUnit,
    parts: list[NDArray[np.int64]],
    seed: int,
) -> tuple[list[NDArray[np.int64]], list[str]]:
    """Return the rows that each site keeps of its customers, and what to tell about the rest.

    Raises:
        RecordError: if no row has a customer id, or a customer is at more sites than planned.
    """
    ids = np.array(customer_ids(train, settings.data), dtype=object)
    named = ids != NO_ID
    if not named.any():
        raise RecordError(
            f"{train.source}: no training row has a customer id. Mend the column of role: customer "
            "or choose privacy.unit=record."
        )
    codes = customer_codes(train, settings.data)
    check_sites_of_customers(codes, [rows[named[rows]] for rows in parts], unit)
    kept = []
    for site, rows in zip(settings.site_names, parts, strict=True):
        key = byte_source(seed, "interactions", site)(KEY_BYTES)
        kept.append(rows[kept_interactions(ids[rows].tolist(), unit.max_interactions, key)])
    beyond = int(named.sum()) - sum(map(len, kept))
    found = []
    if beyond:
        found.append(
            f"{beyond} of {train.n_rows} training rows are beyond the first "
            f"{unit.max_interactions} of their customer (privacy.max_interactions) and do not train"
        )
    return kept, found
