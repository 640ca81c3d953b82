"""The map of a data set shows what a run would do with it, and warns of what would hurt."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedcc.data.gates import admit
from fedcc.data.inspection import DataMap, inspect_data
from fedcc.data.partition import PartitionSettings, split_test_rows
from fedcc.data.raw_table import RawTable
from fedcc.data.spec import DataSpec
from fedcc.errors import ConfigError

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CANARY = "ZZCANARYZZ"
HEADER = "note,customer,tenure,plan,churn\n"

Make = Callable[..., DataSpec]
Inspect = Callable[..., DataMap]

NOTE = {"note": {"role": "text"}}


@pytest.fixture
def inspect(tmp_path: Path, make_spec: Make) -> Inspect:
    """Write rows to a file and map it."""

    def run(rows: str, *, partition: Any = "iid", sites: int = 3, **changes: Any) -> DataMap:
        path = tmp_path / "calls.csv"
        path.write_text(HEADER + rows)
        columns = NOTE | changes.pop("columns", {})
        usage = PartitionSettings(
            path=str(path), partition=partition, alpha=0.3, min_rows=1, split_seed=0
        )
        spec = make_spec(columns=columns, **changes)
        return inspect_data(
            spec, usage, sites, rng=np.random.default_rng(0), now=NOW, whole_customers=False
        )

    return run


def rows_of(count: int, customer: str = "c{i}", plan: str = "basic") -> str:
    return "".join(
        f"mail a{i}@b.org,{customer.format(i=i)},{i % 73},{plan},{('No', 'Yes')[i % 2]}\n"
        for i in range(count)
    )


def test_the_counts_are_those_of_the_gates_and_of_the_split(
    inspect: Inspect, make_spec: Make
) -> None:
    spec = make_spec(columns=NOTE)
    cells = [line.split(",") for line in rows_of(200).splitlines()]
    names = HEADER.strip().split(",")
    raw = RawTable("x", {name: [row[i] for row in cells] for i, name in enumerate(names)})
    table, _ = admit(raw, spec, now=NOW)
    train, test = split_test_rows(table, spec, 0)

    found = inspect(rows_of(200), public_rows=len(train))

    assert (found.train_rows, found.test_rows, found.held_rows) == (len(train), len(test), 0)
    assert sum(site.rows for site in found.sites) == len(train)
    assert found.gates.redacted == {"email": 200}
    assert found.warnings == ()
    per_class = [site.rows_per_class for site in found.sites]
    assert sum(counts["Yes"] for counts in per_class) == int(table.categories["churn"][train].sum())


def test_columns_come_with_roles_domain_and_empty_cells(inspect: Inspect) -> None:
    columns = {"plan": {"role": "feature", "kind": "category", "values": ["a"], "missing": "a"}}

    found = inspect(rows_of(100, plan=""), columns=columns)

    described = {
        column.name: (column.roles, column.domain, column.missing) for column in found.columns
    }
    assert described == {
        "customer": (("customer",), "text", 0),
        "tenure": (("feature",), "number in [0, 72]", 0),
        "plan": (("feature",), "1 values, empty is a", 100),
        "churn": (("label",), "2 classes", 0),
        "note": (("text",), "text", 0),
    }


def warned(found: DataMap, fragment: str) -> bool:
    return any(fragment in warning for warning in found.warnings)


@pytest.mark.parametrize(("public_rows", "warns"), [(60, True), (82, False), (100, True)])
def test_public_rows_far_from_the_truth_are_warned_of(
    inspect: Inspect, public_rows: int, warns: bool
) -> None:
    # 100 customers, of whom the keyed hash takes 25 for the test.
    found = inspect(rows_of(100), public_rows=public_rows)

    assert found.train_rows == 75
    assert warned(found, "public_rows says") is warns


def test_a_class_without_rows_and_sites_without_a_class_are_warned_of(inspect: Inspect) -> None:
    values = {"churn": {"role": "label", "values": ["No", "Yes", "Moved"]}}
    site = {"plan": {"role": "site"}}
    rows = "".join(
        f"x,c{i},5,{('a', 'b', 'c')[i % 3]},{'Yes' if i % 3 == 0 else 'No'}\n" for i in range(90)
    )

    found = inspect(rows, partition="natural", columns=values | site)

    assert warned(found, "no training row has the label Moved")
    assert warned(found, "3 of 3 sites hold no row of some class")


@pytest.mark.parametrize("like", ["C{i}", "c{i}\u200b", " c{i} "])
def test_customers_whose_ids_nearly_agree_are_warned_of(inspect: Inspect, like: str) -> None:
    twin = rows_of(100) + rows_of(1, customer=like.format(i=7))

    found = inspect(twin)

    differs = like.strip() != "c{i}"
    assert warned(found, "2 customer ids differ from another one only by") is differs


def test_rows_without_a_customer_id_are_warned_of(inspect: Inspect) -> None:
    found = inspect(rows_of(100) + rows_of(5, customer=""))

    assert warned(found, "5 rows have no customer id: they do not train")


def test_natural_sites_without_a_site_column_are_refused_before_the_file_is_read(
    make_spec: Make, message_of: Callable[..., str], tmp_path: Path
) -> None:
    usage = PartitionSettings(
        path=str(tmp_path / "not there.csv"),
        partition="natural",
        alpha=0.3,
        min_rows=1,
        split_seed=0,
    )
    rng = np.random.default_rng(0)

    message = message_of(
        lambda: inspect_data(make_spec(), usage, 3, rng=rng, now=NOW, whole_customers=False),
        error=ConfigError,
    )

    assert "names no sites.columns" in message


def test_the_map_holds_no_cell_that_the_yaml_does_not_name(inspect: Inspect) -> None:
    rows = rows_of(60, customer=CANARY + "{i}") + rows_of(3, customer=CANARY.lower() + "{i}")

    assert CANARY.lower() not in repr(inspect(rows)).lower()
