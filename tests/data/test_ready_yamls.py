"""Every YAML that ships with fedcc admits its real files, row for row, and names every key."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from fedcc import config
from fedcc.data import column_spec, source_spec, spec
from fedcc.data.connectors import read_table
from fedcc.data.gates import admit
from fedcc.data.partition import held_rows, partition_rows, split_test_rows
from fedcc.data.spec import DataSpec
from fedcc.federation.settings import SimulationSettings, simulation_settings

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
READY = config.config_root() / "data"

Folder = Callable[[str], Path]


def settings_of(name: str, *overrides: str) -> SimulationSettings:
    return simulation_settings(config.compose("simulate", [f"data={name}", *overrides]))


# Train, test and held rows, and classes, by the README of each set: train and test files of
# BANKING77; parts train, test and oos_test of CLINC150; of MultiDoGO 81,676 and 23,336 turns in the
# files train and test, of which 207 and 49 have several intents; of NLU++ 362 utterances without
# intents, and of the others four folds of twenty for the test.
SETS = {
    "banking77": ("banking77", (10_003, 3_080, 0), 77),
    "banking77, one file": ("banking77/train.csv", (10_003, 3_080, 0), 77),
    "clinc150": ("clinc150", (15_000, 4_500, 1_000), 150),
    "multidogo": ("multidogo", (81_676 - 207, 23_336 - 49, 0), 50),
    "nlupp": ("nlupp", (2_186, 532, 362), 62),
}


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "path", "rows", "classes"),
    [(name.partition(",")[0], *expected) for name, expected in SETS.items()],
    ids=SETS,
)
def test_a_ready_yaml_admits_splits_and_deals_its_real_files(
    third_party: Folder, name: str, path: str, rows: tuple[int, int, int], classes: int
) -> None:
    folder = third_party(path.partition("/")[0])
    settings = settings_of(name, f"data.path={folder.parent / path}", "sites=6")
    data = settings.data

    table, _ = admit(read_table(data, settings.partition.path), data, now=NOW)
    train, test = split_test_rows(table, data, 0)
    sites = partition_rows(
        table.take(train),
        data,
        6,
        settings.partition,
        np.random.default_rng(0),
        whole_customers=False,
    )

    assert (len(train), len(test), len(held_rows(table, data))) == rows
    assert len(data.class_names) == classes == len(data.label_words)
    assert abs(data.public_rows / len(train) - 1) < 0.01
    assert sum(map(len, sites)) == len(train)
    found = set(table.categories[data.label].tolist()) - {-1}
    assert found == set(range(classes))  # no declared value is a typing error


@pytest.mark.real_data
def test_the_natural_sites_of_multidogo_are_its_six_trades(third_party: Folder) -> None:
    settings = settings_of("multidogo", f"data.path={third_party('multidogo')}", "sites=6")
    table, counts = admit(
        read_table(settings.data, settings.partition.path), settings.data, now=NOW
    )
    train, _ = split_test_rows(table, settings.data, 0)
    train_table = table.take(train)

    sites = partition_rows(
        train_table,
        settings.data,
        6,
        settings.partition,
        np.random.default_rng(0),
        whole_customers=False,
    )

    domains = [{train_table.texts["domain"][row] for row in rows} for rows in sites]
    assert sorted(map(len, domains)) == [1] * 6
    assert set.union(*domains) == {
        *("airline", "fastfood", "finance", "insurance", "media", "software")
    }
    assert counts.refused == {"multi_label": 207 + 49}


def test_no_label_of_a_ready_yaml_keeps_signs_of_its_spelling() -> None:
    for name in ("banking77", "clinc150", "multidogo", "nlupp"):
        words = settings_of(name).data.label_words

        assert [w for w in words if set(w) & set("_?") or w != w.lower()] == []
        assert len(set(words)) == len(words)


def test_the_reference_loads_as_it_stands() -> None:
    reference = settings_of("_reference").data

    assert reference.class_names == ("bill_question", "lostCard", "cancel?")
    assert reference.label_words == ("question about a bill", "lost card", "cancel")


SCHEMAS = [
    spec.DataSpec,
    column_spec.ColumnSpec,
    *(source_spec.SourceSpec, source_spec.TestSpec, source_spec.ConsentSpec),
    *(source_spec.ConsentColumns, source_spec.DropRows, source_spec.SitesSpec),
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.__name__)
def test_the_reference_names_every_key(schema: type) -> None:
    text = (READY / "_reference.yaml").read_text()

    assert [f.name for f in dataclasses.fields(schema) if f"{f.name}:" not in text] == []


@pytest.mark.parametrize("path", sorted(READY.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_ready_yaml_composes_and_says_where_it_comes_from(path: Path) -> None:
    data = settings_of(path.stem).data

    assert isinstance(data, DataSpec)
    assert data.consent is not None
    assert path.read_text().startswith("#")
