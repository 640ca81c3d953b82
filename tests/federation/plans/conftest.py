"""One consortium for all tests of plans, copied for each."""

from pathlib import Path

import pytest
from deployment.installation import Installation, install_all
from federation.plans.consortium import equip, signed_plan

from fedcc.federation.plans.signed_plan import SignedPlan


@pytest.fixture(scope="session")
def consortium(tmp_path_factory: pytest.TempPathFactory, calls: Path) -> Installation:
    made = install_all(tmp_path_factory.mktemp("consortium"))
    equip(made, calls)
    return made


@pytest.fixture
def made(consortium: Installation, tmp_path: Path) -> Installation:
    return consortium.copied(tmp_path / "made")


@pytest.fixture(scope="session")
def signed(consortium: Installation, calls: Path) -> SignedPlan:
    return signed_plan(consortium, calls)


@pytest.fixture(scope="session")
def another(consortium: Installation, calls: Path) -> SignedPlan:
    return signed_plan(consortium, calls)
