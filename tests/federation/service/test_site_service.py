"""What a site's service hands to its processes when it starts them again."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedcc.crypto.key_file import KeyFile, read_key
from fedcc.crypto.statements import fingerprint
from fedcc.deployment.aggregator_file import AggregatorHome
from fedcc.deployment.aggregator_setup import admit
from fedcc.deployment.requests import read_request
from fedcc.deployment.site_file import SiteHome
from fedcc.deployment.site_setup import install, rotate_site
from fedcc.federation.service import site
from fedcc.federation.service.running import Service

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "simulations"))
from _drill import Drill  # noqa: E402


def test_a_running_service_takes_the_keys_of_a_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drill = Drill.prepare(tmp_path / "drill", n_sites=3, rounds=2)
    folder, now = drill.made.site("site-1"), datetime.now(UTC)
    key = KeyFile((folder / "unlock.key").read_bytes())
    services: list[Service] = []
    monkeypatch.setattr(site, "run_service", lambda service, times: services.append(service))
    site.run_site(folder, lambda path: key)
    [service] = services
    old = read_key(SiteHome.open(folder).identity).unlock(key)
    assert service.secret() == old.private

    keys = rotate_site(folder, old, key, now)
    hub = AggregatorHome.open(drill.made.hub)
    admin = read_key(hub.admin_key).unlock(
        KeyFile((drill.made.folder / "admin.unlock").read_bytes())
    )
    mark = fingerprint(keys.identity.public)
    request = read_request(keys.request)
    admit(hub, admin, request, organisation=None, read_aloud=mark, now=now)
    assert service.secret() == old.private  # in force until the bundle is installed
    bundle = hub.bundles / "site-1.bundle.json"
    install(folder, bundle, read_aloud=None, unlock=None, now=now)

    assert service.secret() == keys.identity.private


def test_an_identity_that_is_half_in_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drill = Drill.prepare(tmp_path / "drill", n_sites=3, rounds=2)
    folder = drill.made.site("site-1")
    key = KeyFile((folder / "unlock.key").read_bytes())
    services: list[Service] = []
    monkeypatch.setattr(site, "run_service", lambda service, times: services.append(service))
    site.run_site(folder, lambda path: key)
    before = services[0].secret()

    SiteHome.open(folder).identity.write_text("{")

    assert services[0].secret() == before
