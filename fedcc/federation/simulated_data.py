"""The rows of a simulation: read once, gated, split into test rows and sites, encoded."""

from dataclasses import dataclass
from datetime import datetime

from fedcc.data.connectors import read_table
from fedcc.data.gates import GateCounts, admit
from fedcc.data.partition import check_partition, held_rows, partition_rows, split_test_rows
from fedcc.data.quality import data_warnings
from fedcc.federation.features import SIMULATOR, build_recipe
from fedcc.federation.progress import ProgressCallback, silent
from fedcc.federation.settings import SimulationSettings
from fedcc.rng import generator
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
    now: datetime,
    progress: ProgressCallback = silent,
) -> SimulatedData:
    """Read, gate, split, partition and encode the data set.

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
    parts = partition_rows(
        train, spec, settings.sites, usage, generator(partition_seed, "partition")
    )
    recipe = build_recipe(settings, progress)
    customers = [table.texts[name] for name in spec.with_role("customer")[:1]]
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
        repeated_rows=sum(len(names) - len(set(names)) for names in customers),
        warnings=tuple(warnings),
    )
