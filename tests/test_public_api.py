"""The public surface: a handful of documented names, and one version."""

import tomllib
from pathlib import Path

import pytest

import fedcc

ROOT = Path(__file__).resolve().parent.parent


def test_the_public_names_are_these() -> None:
    assert sorted(fedcc.__all__) == [
        "BudgetExceeded",
        "ConfigError",
        "EnvelopeError",
        "FedccError",
        "Interrupted",
        "PolicyViolation",
        "ProtocolError",
        "RecordError",
        "TooFewSites",
        "__version__",
        "plan",
        "predict",
        "simulate",
    ]


@pytest.mark.parametrize("name", [n for n in fedcc.__all__ if n != "__version__"])
def test_every_public_name_has_a_docstring(name: str) -> None:
    assert (getattr(fedcc, name).__doc__ or "").strip()


def test_the_version_is_the_one_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert fedcc.__version__ == project["version"]
