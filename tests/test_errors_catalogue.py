"""Every error a user can meet has its exit code, a contract with scripts, and its place."""

import pytest

from fedcc import errors
from fedcc.errors import FedccError

# A contract with scripts; 1 is left for bugs, so no error that is raised has it.
EXIT_CODES = {
    "ConfigError": 2,
    "RecordError": 3,
    "BudgetExceeded": 4,
    "PolicyViolation": 5,
    "ProtocolError": 6,
    "EnvelopeError": 6,
    "TooFewSites": 7,
    "Interrupted": 130,
}


@pytest.mark.parametrize(("name", "code"), EXIT_CODES.items())
def test_an_error_ends_with_the_exit_code_of_the_contract(name: str, code: int) -> None:
    error = getattr(errors, name)

    assert issubclass(error, FedccError)
    assert error.exit_code == code


def test_no_error_is_missing_from_the_catalogue() -> None:
    declared = {name for name, kind in vars(errors).items() if isinstance(kind, type)}

    assert declared == {"FedccError", *EXIT_CODES}


@pytest.mark.parametrize("kind", [ValueError, TypeError, OSError, KeyError])
def test_an_error_of_python_is_never_taken_for_one_of_ours(kind: type[Exception]) -> None:
    assert not issubclass(kind, FedccError) and not issubclass(FedccError, kind)


def test_outcomes_are_those_of_the_summary() -> None:
    outcomes = {getattr(errors, name).outcome for name in EXIT_CODES}

    # Section 5, `summary.json`: outcome; a completed run raises nothing.
    assert outcomes == {"failed", "budget", "vetoed", "integrity", "too_few_sites", "interrupted"}
