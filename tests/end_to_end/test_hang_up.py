"""SIGHUP and a renewed certificate, at services that run: read anew, and nothing ends."""

import hashlib
import signal
import ssl
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedcc.crypto.key_file import KeyFile, read_key
from fedcc.deployment.aggregator_file import AggregatorHome
from fedcc.deployment.aggregator_setup import renew_certificate
from fedcc.deployment.certificates import Authority

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "simulations"))
from _drill import Drill  # noqa: E402

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    """An aggregator and one site that run."""
    made = Drill.prepare(tmp_path_factory.mktemp("hang-up") / "drill", n_sites=3, rounds=2)
    for name in ("hub", "site-1"):
        made.start(name)
    try:
        for name in ("hub", "site-1"):
            made.wait(lambda name=name: events(made, name).count("ready") > 1, f"{name} is ready")
        yield made
    finally:
        made.close()


def events(drill: Drill, name: str) -> list[str]:
    return [str(line["event"]) for line in drill.log(name)]


def shown(home: AggregatorHome) -> str:
    """Return the hash of the certificate that the aggregator shows to whoever connects."""
    listen = home.values.listen
    text = ssl.get_server_certificate((listen.host, listen.port))
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text)).hexdigest()


def on_disk(home: AggregatorHome) -> str:
    der = ssl.PEM_cert_to_DER_cert(home.certificate.read_text())
    return hashlib.sha256(der).hexdigest()


def test_a_renewed_certificate_is_shown_without_a_restart(drill: Drill) -> None:
    home = AggregatorHome.open(drill.made.hub)
    admin = read_key(home.admin_key).unlock(
        KeyFile((drill.made.folder / "admin.unlock").read_bytes())
    )
    before, processes = shown(home), drill.processes("hub")

    renew_certificate(home, admin, datetime.now(UTC))
    drill.wait(lambda: shown(home) == on_disk(home), "the new certificate is shown", 30.0)

    assert shown(home) != before
    assert "reloaded" in events(drill, "hub")
    assert drill.processes("hub") == processes


def test_a_certificate_without_its_key_is_not_taken(drill: Drill) -> None:
    home = AggregatorHome.open(drill.made.hub)
    admin = read_key(home.admin_key).unlock(
        KeyFile((drill.made.folder / "admin.unlock").read_bytes())
    )
    kept, reloads = home.certificate.read_bytes(), events(drill, "hub").count("reloaded")
    authority = Authority.open(home.ca.read_bytes(), home.ca_key.read_bytes(), admin)
    before = shown(home)

    home.certificate.write_bytes(authority.issue(home.values.tls.names, 1, datetime.now(UTC))[0])
    drill.services["hub"].send_signal(signal.SIGHUP)
    time.sleep(4.0)

    assert shown(home) == before
    assert events(drill, "hub").count("reloaded") == reloads
    home.certificate.write_bytes(kept)
    drill.wait(lambda: events(drill, "hub").count("reloaded") > reloads, "the pair fits again")


def test_sighup_ends_no_service(drill: Drill) -> None:
    hub, site = drill.processes("hub"), drill.processes("site-1")
    reloads = events(drill, "hub").count("reloaded")

    drill.services["hub"].send_signal(signal.SIGHUP)
    drill.services["site-1"].send_signal(signal.SIGHUP)
    drill.wait(lambda: events(drill, "hub").count("reloaded") > reloads, "it is read again", 30.0)

    assert drill.services["site-1"].poll() is None and drill.services["hub"].poll() is None
    assert (drill.processes("hub"), drill.processes("site-1")) == (hub, site)
    assert "reloaded" not in events(drill, "site-1")
