"""Membership inference on one harness: at chance at epsilon 1, near certain without privacy."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from attacks.bench import LEVEL, finished

from fedcc.attacks.membership import MembershipAudit, infer_membership
from fedcc.attacks.settings import MembershipSettings
from fedcc.errors import ConfigError
from fedcc.federation.replay import FinishedRun
from fedcc.tasks.task import Examples

SMALL = MembershipSettings(records=200, shadows=16, rounds=60)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    return finished(tmp_path_factory.mktemp("run") / "run")


def attack(run: FinishedRun, epsilon: float | None) -> MembershipAudit:
    return infer_membership(run, SMALL, epsilon=epsilon, level=LEVEL, seed=1)


def test_membership_is_hidden_at_epsilon_one_and_open_without_privacy(run: FinishedRun) -> None:
    found = attack(run, 1.0)

    assert found.private is not None
    assert found.private.auc <= 0.54
    assert found.without_privacy.auc >= 0.85
    # An average-case attack refutes no true claim, and a small one where there is none.
    assert max(at.epsilon_lower for at in found.private.at) <= 1.0
    assert max(at.epsilon_lower for at in found.without_privacy.at) > 1.0
    assert [at.wanted for at in found.private.at] == [0.001, 0.01]


def test_a_run_that_claims_nothing_has_the_twin_alone(run: FinishedRun) -> None:
    found = attack(run, None)

    assert found.private is None and found.epsilon is None
    assert found.without_privacy.auc >= 0.85


def test_a_customer_gives_one_record(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", "privacy.unit=customer", "rounds=1")
    settings = MembershipSettings(records=10_000, shadows=8, rounds=1)

    found = infer_membership(run, settings, epsilon=None, level=LEVEL, seed=1)

    codes = [site.customers for site in run.data.sites if site.customers is not None]
    assert found.records == sum(len(np.unique(one)) for one in codes)
    assert found.records < sum(map(len, run.data.sites))


def test_too_few_records_are_refused(run: FinishedRun) -> None:
    few = [Examples(site.features[:3], site.labels[:3]) for site in run.data.sites]
    scarce = dataclasses.replace(run, data=dataclasses.replace(run.data, sites=few))

    with pytest.raises(ConfigError, match="at least 20"):
        attack(scarce, 1.0)
