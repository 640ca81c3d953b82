"""The rows of a simulation: read once, gated, split into test rows and sites, encoded."""

from dataclasses import dataclass
from datetime import datetime

from fedcc.data.connectors import read_table
from fedcc.data.gates import GateCounts, admit
from fedcc.data.partition import partition_rows, split_test_rows
from fedcc.data.tabular_features import TabularEncoding
from fedcc.federation.settings import SimulationSettings
from fedcc.rng import generator
from fedcc.tasks import churn
from fedcc.tasks.churn import Examples


@dataclass(frozen=True)
class SimulatedData:
    """Rows of every site and the simulator's test rows."""

    sites: list[Examples]
    test: Examples
    gates: GateCounts
    encoding: TabularEncoding
    repeated_rows: int  # rows of customers beyond their first one


def load_data(settings: SimulationSettings, partition_seed: int, now: datetime) -> SimulatedData:
    """Read, gate, split, partition and encode the data set.

    Raises:
        ConfigError, RecordError: name the key, or file, row and column.
    """
    spec, usage = settings.data, settings.partition
    churn.check(spec)
    table, gates = admit(read_table(spec, usage.path), spec, now=now)
    train_rows, test_rows = split_test_rows(table, spec, usage.split_seed)
    train = table.take(train_rows)
    rng = generator(partition_seed, "partition")
    encoding = TabularEncoding.from_spec(spec, settings.model.hinges)
    parts = partition_rows(train, spec, settings.sites, usage, rng)
    customers = [table.texts[name] for name in spec.with_role("customer")[:1]]
    return SimulatedData(
        sites=[churn.examples(train.take(rows), spec, encoding) for rows in parts],
        test=churn.examples(table.take(test_rows), spec, encoding),
        gates=gates,
        encoding=encoding,
        repeated_rows=sum(len(names) - len(set(names)) for names in customers),
    )
