"""One epoch key of each scheme for the whole session: making one costs more than using it."""

from dataclasses import dataclass

import pytest

from fedcc.crypto.contexts import (
    AggregatorCipher,
    SiteCipher,
    create_epoch_key,
    parameter_bytes,
)
from fedcc.crypto.parameters import Scheme


@dataclass(frozen=True)
class Parties:
    """A site and an aggregator of one epoch key."""

    scheme: Scheme
    epoch_key: bytes
    parameters: bytes
    site: SiteCipher
    aggregator: AggregatorCipher


def make_parties(scheme: Scheme) -> Parties:
    key = create_epoch_key(scheme)
    parameters = parameter_bytes(key)
    return Parties(scheme, key, parameters, SiteCipher(scheme, key), AggregatorCipher(parameters))


@pytest.fixture(scope="session")
def bfv() -> Parties:
    return make_parties("bfv")


@pytest.fixture(scope="session")
def ckks_packed() -> Parties:
    return make_parties("ckks_packed")


@pytest.fixture(scope="session")
def ckks() -> Parties:
    return make_parties("ckks")


@pytest.fixture(params=["bfv", "ckks_packed", "ckks"])
def parties(request: pytest.FixtureRequest) -> Parties:
    return request.getfixturevalue(request.param)
