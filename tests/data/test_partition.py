"""Every row lands in exactly one site or in the test split, and customers never straddle it."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcc.data.gates import Table, admit
from fedcc.data.partition import PartitionSettings, partition_rows, split_test_rows
from fedcc.data.raw_table import RawTable
from fedcc.data.spec import DataSpec
from fedcc.errors import ConfigError, RecordError

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)

Make = Callable[..., DataSpec]
Message = Callable[..., str]


def table_of(spec: DataSpec, **columns: Sequence[str]) -> Table:
    """Admit columns of text; a declared column that is not given holds a valid constant."""
    n_rows = max(map(len, columns.values()))
    fill = {"customer": "c", "tenure": "5", "plan": "basic", "churn": "No", "region": "r"}
    cells = {name: list(columns.get(name, [fill.get(name, "")] * n_rows)) for name in spec.columns}
    return admit(RawTable("calls.csv", cells), spec, now=NOW)[0]


def usage(**changes: Any) -> PartitionSettings:
    values = {"path": None, "partition": "natural", "alpha": 0.3, "min_rows": 1, "split_seed": 0}
    return PartitionSettings(**{**values, **changes})


def dealt(sites: Sequence[np.ndarray], table: Table) -> bool:
    return np.sort(np.concatenate(sites)).tolist() == list(range(table.n_rows))


REGION = {"columns": {"region": {"role": "site"}}}


@given(
    cells=st.lists(st.integers(1, 40), min_size=1, max_size=9),
    n_sites=st.integers(1, 12),
    min_rows=st.integers(1, 6),
    kind=st.sampled_from(["natural", "iid", "dirichlet"]),
    alpha=st.sampled_from([1e-320, 1e-3, 0.3, 10.0, 1e308]),
    seed=st.integers(0, 9),
)
@settings(deadline=None, max_examples=60)
def test_every_row_is_in_exactly_one_site_and_every_site_holds_enough(
    make_spec: Make,
    message_of: Message,
    cells: list[int],
    n_sites: int,
    min_rows: int,
    kind: str,
    alpha: float,
    seed: int,
) -> None:
    spec = make_spec(**REGION)
    region = [f"r{i}" for i, size in enumerate(cells) for _ in range(size)]
    churn = ["Yes" if i % 3 == 0 else "No" for i in range(len(region))]
    table = table_of(spec, region=region, churn=churn)
    settings_ = usage(partition=kind, alpha=alpha, min_rows=min_rows)

    def deal() -> list[np.ndarray]:
        return partition_rows(
            table, spec, n_sites, settings_, np.random.default_rng(seed), whole_customers=False
        )

    if len(region) < n_sites * min_rows:
        assert "too few" in message_of(deal)
        return
    sites = deal()

    assert len(sites) == n_sites
    assert dealt(sites, table)
    assert min(map(len, sites)) >= min_rows


def sizes_of(spec: DataSpec, cells: dict[str, int], n_sites: int, **changes: Any) -> list[int]:
    region = [name for name, size in cells.items() for _ in range(size)]
    table = table_of(spec, region=region)
    rng = np.random.default_rng(0)
    return sorted(
        map(len, partition_rows(table, spec, n_sites, usage(**changes), rng, whole_customers=False))
    )


@pytest.mark.parametrize(
    ("cells", "n_sites", "sizes"),
    [
        # Largest first, each to the site that holds least; worked out by hand.
        ({"a": 50, "b": 30, "c": 20, "d": 10}, 2, [50, 60]),  # a+d, b+c
        ({"a": 40, "b": 30, "c": 20, "d": 10}, 3, [30, 30, 40]),  # a, b, c+d
        ({"a": 7, "b": 7, "c": 7}, 3, [7, 7, 7]),
        # While there are fewer cells than sites the largest is halved.
        ({"a": 80, "b": 20}, 4, [20, 20, 20, 40]),
        ({"a": 100}, 3, [25, 25, 50]),
        ({"a": 5, "b": 1}, 3, [1, 2, 3]),
    ],
)
def test_natural_cells_are_halved_while_too_few_and_dealt_largest_first(
    make_spec: Make, cells: dict[str, int], n_sites: int, sizes: list[int]
) -> None:
    assert sizes_of(make_spec(**REGION), cells, n_sites) == sizes


def test_natural_cells_stay_whole_where_there_are_enough(make_spec: Make) -> None:
    spec = make_spec(**REGION)
    region = [f"r{i % 7}" for i in range(140)]
    table = table_of(spec, region=region)

    sites = partition_rows(
        table, spec, 3, usage(min_rows=20), np.random.default_rng(0), whole_customers=False
    )

    held = [{region[row] for row in rows} for rows in sites]
    assert sum(map(len, held)) == len(set(region))


@pytest.mark.parametrize(
    ("cells", "min_rows", "sizes"),
    [
        ({"a": 90, "b": 8, "c": 2}, 20, [20, 20, 60]),
        ({"a": 8, "b": 8, "c": 2}, 6, [6, 6, 6]),  # no site gives more than it can spare
    ],
)
def test_rows_move_from_the_largest_site_to_one_that_is_too_small(
    make_spec: Make, cells: dict[str, int], min_rows: int, sizes: list[int]
) -> None:
    assert sizes_of(make_spec(**REGION), cells, 3, min_rows=min_rows) == sizes


def test_cells_are_formed_by_several_columns_of_any_kind(make_spec: Make) -> None:
    spec = make_spec(sites={"columns": ["tenure", "plan", "customer"]})
    table = table_of(
        spec,
        tenure=["1", "1", "2", "2", "1"],
        plan=["basic", "gold", "gold", "gold", "basic"],
        customer=["a", "a", "a", "b", "a"],
    )

    sites = partition_rows(table, spec, 4, usage(), np.random.default_rng(0), whole_customers=False)

    assert sorted(rows.tolist() for rows in sites) == [[0, 4], [1], [2], [3]]


def test_natural_sites_without_a_site_column_are_a_config_error(
    make_spec: Make, message_of: Message
) -> None:
    spec = make_spec()
    table = table_of(spec, customer=["a"] * 9)

    message = message_of(
        lambda: partition_rows(
            table, spec, 3, usage(), np.random.default_rng(0), whole_customers=False
        ),
        error=ConfigError,
    )

    assert "data.partition=natural" in message and "sites: {columns: [NAME]}" in message


def test_too_few_rows_are_refused_with_both_remedies(make_spec: Make, message_of: Message) -> None:
    spec = make_spec()
    table = table_of(spec, customer=["a"] * 59)
    deal = usage(partition="iid", min_rows=20)

    message = message_of(
        lambda: partition_rows(
            table, spec, 3, deal, np.random.default_rng(0), whole_customers=False
        )
    )

    assert "59 training rows are too few for 3 sites of at least 20" in message
    assert "Lower sites or data.min_rows" in message
    assert "left out" not in message


def test_too_few_rows_name_what_was_left_out_before(make_spec: Make, message_of: Message) -> None:
    spec = make_spec(out_of_bounds="drop")
    table = table_of(spec, churn=["No"] * 59 + ["maybe"] * 40 + [""])
    deal = usage(partition="iid", min_rows=20)
    train = table.take(np.arange(59))

    message = message_of(
        lambda: partition_rows(
            train, spec, 3, deal, np.random.default_rng(0), whole_customers=False
        )
    )

    assert "Rows left out: 41 whose label is empty or not among the declared values" in message


def test_iid_sites_differ_by_at_most_one_row_and_are_shuffled(make_spec: Make) -> None:
    spec = make_spec()
    table = table_of(spec, customer=["a"] * 100)

    sites = partition_rows(
        table, spec, 3, usage(partition="iid"), np.random.default_rng(0), whole_customers=False
    )

    assert sorted(map(len, sites)) == [33, 33, 34]
    assert any(np.diff(rows).max() > 1 for rows in sites)


@pytest.mark.parametrize("kind", ["natural", "iid", "dirichlet"])
def test_a_seed_fixes_the_sites_and_another_seed_changes_them(make_spec: Make, kind: str) -> None:
    spec = make_spec(**REGION)
    table = table_of(spec, region=["a"] * 200, churn=["No", "Yes"] * 100)

    def deal(seed: int) -> list[list[int]]:
        rng = np.random.default_rng(seed)
        return [
            r.tolist()
            for r in partition_rows(
                table, spec, 4, usage(partition=kind), rng, whole_customers=False
            )
        ]

    assert deal(1) == deal(1)
    assert deal(1) != deal(2)


def test_a_smaller_alpha_skews_the_labels_more(make_spec: Make) -> None:
    spec = make_spec()
    table = table_of(spec, churn=["No", "Yes"] * 500)
    labels = table.categories["churn"]

    def spread(alpha: float) -> float:
        deal = usage(partition="dirichlet", alpha=alpha, min_rows=20)
        sites = partition_rows(
            table, spec, 5, deal, np.random.default_rng(3), whole_customers=False
        )
        return float(np.std([labels[rows].mean() for rows in sites]))

    # With alpha=1000 a site's share of one label is 0.2 with standard deviation
    # sqrt(0.2 * 0.8 / 5001) = 0.0057, so its label mean stays within 0.02 of 0.5 or so.
    assert spread(1000.0) < 0.03
    assert spread(0.05) > 0.25


@pytest.mark.parametrize(
    "changes", [{"alpha": 0.0}, {"alpha": float("inf")}, {"alpha": float("nan")}, {"min_rows": 0}]
)
def test_settings_that_cannot_deal_rows_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        usage(**changes)


def test_the_hash_split_is_the_keyed_hash_of_the_customer(make_spec: Make) -> None:
    spec = make_spec(test={"kind": "hash", "fraction": 0.25})
    customers = [f"c{i}" for i in range(300)]
    table = table_of(spec, customer=customers)

    _, test = split_test_rows(table, spec, 7)

    # The first 64 bits of SHA-256 over "seed|customer", read as a fraction of 2**64.
    shares = [
        int(hashlib.sha256(f"7|{c}".encode()).hexdigest()[:16], 16) / 2**64 for c in customers
    ]
    assert test.tolist() == [i for i, share in enumerate(shares) if share < 0.25]


@given(customers=st.lists(st.sampled_from("abcdefghijkl"), min_size=30, max_size=60))
@settings(deadline=None, max_examples=60)
def test_no_customer_is_on_both_sides_of_the_split(make_spec: Make, customers: list[str]) -> None:
    spec = make_spec(test={"kind": "hash", "fraction": 0.5})
    table = table_of(spec, customer=[*customers, *"abcdefghijkl"])

    train, test = split_test_rows(table, spec, 0)

    names = table.texts["customer"]
    assert not {names[i] for i in train} & {names[i] for i in test}
    assert sorted([*train, *test]) == list(range(table.n_rows))


def test_the_hash_split_takes_the_declared_share(make_spec: Make) -> None:
    spec = make_spec(columns={"customer": None}, test={"kind": "hash", "fraction": 0.25})
    table = table_of(spec, tenure=["5"] * 4000)

    _, test = split_test_rows(table, spec, 0)

    # Binomial(4000, 1/4): standard deviation 0.0068, so five of them are 0.034.
    assert abs(len(test) / 4000 - 0.25) < 0.034


def test_the_split_seed_moves_the_split_and_the_order_of_rows_does_not(make_spec: Make) -> None:
    spec = make_spec()
    customers = [f"c{i}" for i in range(200)]

    def tested(names: list[str], seed: int) -> set[str]:
        return {names[i] for i in split_test_rows(table_of(spec, customer=names), spec, seed)[1]}

    assert tested(customers, 0) == tested(customers[::-1], 0)
    assert tested(customers, 0) != tested(customers, 1)


def test_a_customer_column_that_is_also_a_feature_still_keys_the_split(make_spec: Make) -> None:
    region = {"role": ["customer", "feature"], "kind": "category", "values": list("abcdefgh")}
    spec = make_spec(columns={"customer": region}, test={"kind": "hash", "fraction": 0.5})
    table = table_of(spec, customer=list("abcdefgh") * 5)

    train, test = split_test_rows(table, spec, 0)

    codes = table.categories["customer"]
    assert not set(codes[train]) & set(codes[test])


SPLITS: dict[str, tuple[dict[str, Any], Any, list[str]]] = {
    "text": ({"role": "split"}, "test", ["train", "test", "train"]),
    "whole number": ({"role": "split"}, 0, ["1", "0", "1"]),
    "category": ({"role": "split", "kind": "category", "values": [0, 1]}, 1, ["0", "1.0", "0"]),
    "shared code": (
        {"role": "split", "kind": "category", "values": {"a": 0, "b": 1, "c": 1, "d": 2}},
        "c",
        ["a", "b", "d"],
    ),
    "number": ({"role": "split", "kind": "number", "bounds": [0, 3000]}, 2024, ["1", "2024", "2"]),
}


@pytest.mark.parametrize(("column", "value", "cells"), SPLITS.values(), ids=SPLITS.keys())
def test_a_column_can_mark_the_test_rows(
    make_spec: Make, column: dict[str, Any], value: Any, cells: list[str]
) -> None:
    test = {"kind": "column", "column": "part", "value": value, "fraction": None}
    spec = make_spec(columns={"part": column}, test=test)

    train_rows, test_rows = split_test_rows(table_of(spec, part=cells), spec, 0)

    assert (train_rows.tolist(), test_rows.tolist()) == ([0, 2], [1])


@pytest.mark.parametrize(("cell", "side"), [("train", "test"), ("test", "training")])
def test_a_split_that_leaves_one_side_empty_is_refused(
    make_spec: Make, message_of: Message, cell: str, side: str
) -> None:
    test = {"kind": "column", "column": "part", "value": "test"}
    spec = make_spec(columns={"part": {"role": "split"}}, test=test)
    table = table_of(spec, part=[cell] * 4)

    message = message_of(lambda: split_test_rows(table, spec, 0))

    assert f"leaves no {side} rows of 4. Check the test block" in message


def test_the_rows_of_a_test_file_are_the_test_rows(make_spec: Make) -> None:
    spec = make_spec(test={"kind": "file", "path": "test.csv"})
    cells = {"customer": list("abc"), "tenure": ["1"] * 3, "plan": ["gold"] * 3}
    raw = RawTable("a.csv", cells | {"churn": ["No"] * 3}, n_train_rows=2)
    table, _ = admit(raw, spec, now=NOW)

    train, test = split_test_rows(table, spec, 0)

    assert (train.tolist(), test.tolist()) == ([0, 1], [2])


@pytest.mark.parametrize("kind", ["iid", "dirichlet", "natural"])
@given(
    sizes=st.lists(st.integers(1, 9), min_size=12, max_size=40),
    seed=st.integers(0, 100),
    min_rows=st.integers(1, 12),
)
@settings(deadline=None, max_examples=40)
def test_whole_customers_are_at_one_site(
    make_spec: Make,
    kind: str,
    sizes: list[int],
    seed: int,
    min_rows: int,
) -> None:
    spec = make_spec(**REGION)
    customers = [f"c{i}" for i, size in enumerate(sizes) for _ in range(size)]
    churn = ["Yes" if i % 3 == 0 else "No" for i in range(len(customers))]
    # One region, so that its single cell has to be halved.
    table = table_of(spec, customer=customers, churn=churn, region=["r"] * len(customers))
    deal = usage(partition=kind, min_rows=min_rows)
    rng = np.random.default_rng(seed)
    try:
        sites = partition_rows(table, spec, 3, deal, rng, whole_customers=True)
    except RecordError as error:
        # No site can spare a whole customer: at most 8 rows a site are stuck in one.
        assert "too few" in str(error) or len(customers) < 3 * (min_rows + 8)
        return

    held = [{customers[row] for row in rows} for rows in sites]
    assert dealt(sites, table)
    assert min(map(len, sites)) >= min_rows
    assert sum(map(len, held)) == len(set(customers))


def test_rows_dealt_one_by_one_bring_customers_to_several_sites(make_spec: Make) -> None:
    # The twin of the test above.
    spec = make_spec(**REGION)
    customers = [f"c{i // 5}" for i in range(200)]
    table = table_of(spec, customer=customers)
    rng = np.random.default_rng(0)

    sites = partition_rows(table, spec, 3, usage(partition="iid"), rng, whole_customers=False)

    assert sum(len({customers[row] for row in rows}) for rows in sites) > 60


@pytest.mark.parametrize("kind", ["iid", "dirichlet", "natural"])
def test_customers_of_one_row_are_dealt_as_rows_are(make_spec: Make, kind: str) -> None:
    spec = make_spec(**REGION)
    region = [f"r{i % 2}" for i in range(150)]
    table = table_of(spec, region=region, customer=[f"c{i}" for i in range(150)])

    def deal(whole: bool) -> list[list[int]]:
        usage_ = usage(partition=kind, min_rows=20)
        rng = np.random.default_rng(4)
        found = partition_rows(table, spec, 4, usage_, rng, whole_customers=whole)
        return [rows.tolist() for rows in found]

    assert deal(True) == deal(False)
