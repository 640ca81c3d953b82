"""The shipped YAMLs of the generated tables name their columns and declare every value."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from fedcc.data.connectors import RawTable
from fedcc.data.consent import admitted_by_consent
from fedcc.data.spec import ConsentColumns, ConsentSpec
from fedcc.data.world.source import INTENT_WORDS, INTENTS, ITEMS, stream_rows

FOLDER = Path(__file__).resolve().parents[3] / "configs/data"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module", params=["generated", "generated_customers"])
def loaded(request: pytest.FixtureRequest) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """A YAML and the columns of the rows that it asks for."""
    values: Any = OmegaConf.to_container(OmegaConf.load(FOLDER / f"{request.param}.yaml"))
    source = values["source"]
    rows = stream_rows(source["item"], source["rows"], source["seed"])
    cells = zip(*rows, strict=True)
    names = ITEMS[source["item"]]
    return values, dict(zip(names, map(list, cells), strict=True))


def test_every_value_of_every_row_is_declared(
    loaded: tuple[dict[str, Any], dict[str, list[str]]],
) -> None:
    values, columns = loaded

    for name, column in values["columns"].items():
        assert name in columns
        if "values" in column:
            assert set(columns[name]) <= {str(value) for value in column["values"]}, name
        if column.get("kind") == "number":
            low, high = column["bounds"]
            cells = [cell or column["missing"] for cell in columns[name]]
            assert all(low <= float(cell) <= high for cell in cells), name


def test_the_public_rows_are_about_three_quarters_of_the_rows_with_consent(
    loaded: tuple[dict[str, Any], dict[str, list[str]]],
) -> None:
    values, columns = loaded
    consent = {**values["consent"], "columns": ConsentColumns(**values["consent"]["columns"])}
    admitted, refused = admitted_by_consent(
        RawTable("generated", columns), ConsentSpec(**consent), now=NOW
    )

    assert values["public_rows"] == pytest.approx(0.75 * len(admitted), rel=0.02)
    assert set(refused) == {"consent_status", "consent_scope"}
    assert min(refused.values()) > 200


def test_the_intents_are_declared_in_order_with_their_words() -> None:
    values: Any = OmegaConf.to_container(OmegaConf.load(FOLDER / "generated.yaml"))

    assert tuple(values["columns"]["intent"]["values"]) == INTENTS
    assert values["columns"]["intent"]["label_names"] == dict(INTENT_WORDS)
