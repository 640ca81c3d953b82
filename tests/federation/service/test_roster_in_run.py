"""A run keeps the roster that its plan brought, whatever roster its sites take over meanwhile."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from federation.service.workers import Workers

from fedcc.crypto.key_file import Identity, KeyFile, read_key
from fedcc.crypto.statements import fingerprint
from fedcc.deployment.aggregator_file import AggregatorHome
from fedcc.deployment.aggregator_setup import admit, revoke_site
from fedcc.deployment.requests import read_request
from fedcc.deployment.site_file import SiteHome
from fedcc.deployment.site_setup import init_site, install, rotate_site
from fedcc.errors import ProtocolError
from fedcc.federation.plans.desk import Desk

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "simulations"))
from _drill import Drill  # noqa: E402

SITES = ("site-1", "site-2", "site-3", "site-4")
CHANGED = "site-4"
OTHERS = SITES[:3]
KEY = KeyFile(bytes(range(32)))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Workers:
    root = tmp_path_factory.mktemp("roster") / "prepared"
    return Workers(Drill.prepare(root, n_sites=4, rounds=3))


@pytest.fixture
def workers(prepared: Workers, tmp_path: Path) -> Iterator[Workers]:
    made = prepared.copied(tmp_path / "copy")
    yield made
    made.close()


def opened(workers: Workers, path: Path, key: Path) -> Identity:
    return read_key(path).unlock(KeyFile(key.read_bytes()))


def change_roster(workers: Workers, change: str) -> None:
    """Let a site join, take a new key or leave, and three sites approve the next plan."""
    made, now = workers.drill.made, datetime.now(UTC)
    hub = AggregatorHome.open(made.hub)
    admin = opened(workers, hub.admin_key, made.folder / "admin.unlock")
    if change == "leaves":
        revoke_site(hub, admin, CHANGED, now)
    else:
        if change == "joins":
            keys = init_site(made.folder / "site-5", "site-5", KEY, now)
        else:
            home = SiteHome.open(made.site(CHANGED))
            old = opened(workers, home.identity, made.site(CHANGED) / "unlock.key")
            keys = rotate_site(made.site(CHANGED), old, KEY, now)
        admit(
            hub,
            admin,
            read_request(keys.request),
            organisation="five" if change == "joins" else None,
            read_aloud=fingerprint(keys.identity.public),
            now=now,
        )
    overrides = ["task=churn", "data=calls", "rounds=2"]
    later = made.submit(overrides, workers.drill.root, approving=OTHERS)
    for site in OTHERS:
        assert Desk(SiteHome.open(made.site(site))).roster == later.roster
        workers.restart(site)


@pytest.mark.parametrize("change", ["joins", "leaves", "takes a new key"])
def test_a_run_goes_on_after_its_sites_took_over_another_roster(
    workers: Workers, change: str
) -> None:
    assert workers.drill.signed.roster_serial == 5
    workers.train(until=1)
    change_roster(workers, change)

    records = workers.train()

    assert [(one.round_number, one.closed) for one in records] == [(2, True), (3, True)]
    assert workers.conclude() == set(SITES)
    assert len(set(workers.drill.models().values())) == 1
    for site in SITES:
        assert sorted(workers.drill.charges(site)) == [(1, 1), (2, 1), (3, 1)]


@pytest.mark.parametrize("change", ["leaves", "takes a new key"])
def test_verdicts_of_a_runs_own_sites_count_after_its_end(workers: Workers, change: str) -> None:
    workers.train()
    change_roster(workers, change)

    assert workers.conclude() == set(SITES)


def test_a_site_that_has_taken_a_new_key_since_is_left_out_and_says_why(workers: Workers) -> None:
    workers.train(until=1)
    change_roster(workers, "takes a new key")
    made = workers.drill.made
    bundle = made.hub / "bundles" / f"{CHANGED}.bundle.json"
    install(made.site(CHANGED), bundle, read_aloud=None, unlock=None, now=datetime.now(UTC))
    (made.site(CHANGED) / "unlock.key").write_bytes(bytes(range(32)))
    workers.restart(CHANGED)

    records = workers.train()

    assert [(one.closed, one.cohort) for one in records] == [(True, OTHERS), (True, OTHERS)]
    with pytest.raises(ProtocolError, match="has taken a new one since"):
        workers._worker(CHANGED)._trusted(workers.drill.signed)
