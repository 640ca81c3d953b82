"""Builders for data tests: a small data YAML, a file for it, and the checked text of a refusal."""

import copy
import os
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fedcc import config
from fedcc.data.connectors import read_table
from fedcc.data.gates import GateCounts, Table, admit
from fedcc.data.raw_table import RawTable
from fedcc.data.spec import DataSpec
from fedcc.errors import FedccError, RecordError

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CANARY = "ZZCANARYZZ"  # stands in cells; no message and no traceback may show it

# Third-party files, read in place and never copied; FEDCC_TEST_DATA names another folder.
BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[3] / "shared/data"
THIRD_PARTY = Path(os.environ.get("FEDCC_TEST_DATA", BESIDE_THE_CHECKOUT))

CALLS: dict[str, Any] = {
    "name": "calls",
    "source": {
        "kind": "csv",
        "path": None,
        "file": None,
        "encoding": "utf-8-sig",
        "delimiter": ",",
        "fields": None,
        "part_column": None,
        "package": None,
        "item": None,
        "rows": None,
        "seed": None,
    },
    "public_rows": 100,
    "test": {"kind": "hash", "fraction": 0.25, "path": None, "column": None, "value": None},
    "consent": {"basis": "public_dataset", "source": "made up for tests"},
    "keep_rows": None,
    "drop_rows": {"duplicates": False, "multi_label": "drop"},
    "sites": None,
    "out_of_bounds": "error",
    "columns": {
        "customer": {"role": "customer"},
        "tenure": {"role": "feature", "kind": "number", "bounds": [0, 72]},
        "plan": {"role": "feature", "kind": "category", "values": ["basic", "gold"]},
        "churn": {"role": "label", "values": {"No": 0, "Yes": 1}},
    },
}


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., DataSpec]:
    """Build the small data YAML; a keyword merges into its key, a column set to None goes."""

    def make(**changes: Any) -> DataSpec:
        values = copy.deepcopy(CALLS)
        for key, change in changes.items():
            merge = isinstance(change, dict) and isinstance(values.get(key), dict)
            values[key] = {**values[key], **change} if merge else change
        values["columns"] = {k: v for k, v in values["columns"].items() if v is not None}
        return config.build(DataSpec, values, "data")

    return make


@pytest.fixture(scope="session")
def third_party() -> Callable[[str], Path]:
    """Return a folder of third-party files, or skip the test where it is missing."""

    def folder(name: str) -> Path:
        if not (THIRD_PARTY / name).is_dir():
            pytest.skip(f"the third-party {THIRD_PARTY / name} is not here")
        return THIRD_PARTY / name

    return folder


@pytest.fixture
def read(tmp_path: Path, make_spec: Callable[..., DataSpec]) -> Callable[..., RawTable]:
    """Write a file, read it with the small data YAML and return the raw columns."""

    def read_file(content: bytes | str, **changes: Any) -> RawTable:
        kind = changes.get("source", {}).get("kind", "csv")
        path = tmp_path / f"calls.{kind}"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_table(make_spec(**changes), str(path))

    return read_file


@pytest.fixture
def load(
    read: Callable[..., RawTable], make_spec: Callable[..., DataSpec]
) -> Callable[..., tuple[Table, GateCounts]]:
    """Write a file, read it and pass it through all gates."""

    def load_file(content: bytes | str, **changes: Any) -> tuple[Table, GateCounts]:
        return admit(read(content, **changes), make_spec(**changes), now=NOW)

    return load_file


@pytest.fixture(scope="session")
def message_of() -> Callable[..., str]:
    """Return the message of a refusal, once its traceback is known to hold no cell content."""

    def refused(
        call: Callable[[], object], *, error: type[FedccError] = RecordError, secret: str = CANARY
    ) -> str:
        with pytest.raises(FedccError) as caught:
            call()
        assert type(caught.value) is error, caught.value
        assert secret not in "".join(traceback.format_exception(caught.value))
        return str(caught.value)

    return refused
