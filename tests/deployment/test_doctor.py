"""Each check of the doctor passes on a sound installation and fails on its own fault, by name."""

import http.server
import re
import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from deployment.installation import UNLOCKER, Installation, install_all, new_hub

from fedcc.deployment import checks
from fedcc.deployment.aggregator_file import AggregatorHome
from fedcc.deployment.aggregator_setup import renew_certificate
from fedcc.deployment.checks import Check, DoctorSettings, examine, exit_code
from fedcc.deployment.doctor import aggregator_steps, doctor_settings, site_steps
from fedcc.deployment.node_keys import NodeKey
from fedcc.deployment.probe import probe
from fedcc.deployment.proxy_access import Proxy
from fedcc.deployment.site_file import SiteHome
from fedcc.deployment.site_setup import rotate_site
from fedcc.errors import ConfigError, EnvelopeError, TooFewSites

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    made = install_all(tmp_path_factory.mktemp("built"))
    for folder in (*made.sites.values(), made.hub.file.parent):
        (folder / "state").mkdir()
    return made


@pytest.fixture
def made(built: Installation, tmp_path: Path) -> Installation:
    return built.copied(tmp_path / "made")


def site(made: Installation, now: datetime = NOW) -> dict[str, Check]:
    """Make all checks of a site but those that need a running aggregator."""
    steps = site_steps(made.home("lisbon"), doctor_settings(), lambda: now)
    local = [step for step in steps if step[0] not in ("reachability", "clock", "encryption")]
    return {one.name: one for one in examine(local)}


def hub(made: Installation, now: datetime = NOW) -> dict[str, Check]:
    steps = aggregator_steps(made.hub, doctor_settings(), lambda: now)
    return {one.name: one for one in examine([s for s in steps if s[0] != "encryption"])}


def failed(found: dict[str, Check]) -> set[str]:
    return {name for name, one in found.items() if not one.passed}


def test_a_sound_installation_lacks_nothing_but_its_data(made: Installation) -> None:
    assert failed(site(made)) == {"data"}
    assert failed(hub(made)) == set()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def open_node_key(made: Installation) -> None:
    (made.sites["lisbon"] / "node.key").chmod(0o644)


def open_folder(made: Installation) -> None:
    (made.sites["lisbon"] / "identity").chmod(0o777)


def open_policy(made: Installation) -> None:
    made.home("lisbon").policy.chmod(0o666)


def open_settings(made: Installation) -> None:
    made.home("lisbon").file.chmod(0o664)


def other_identity(made: Installation) -> None:
    home = made.home("lisbon")
    shutil.copy(made.home("porto").identity, home.identity)


def broken_policy(made: Installation) -> None:
    edit(made.home("lisbon").policy, "delta: 1e-5", "delta: 2")


def strange_task(made: Installation) -> None:
    edit(made.home("lisbon").policy, "purposes: [churn, intent]", "purposes: [churn]")


def cut_roster(made: Installation) -> None:
    edit(made.home("lisbon").roster, "lisbon", "faro")


def broken_ledger(made: Installation) -> None:
    ledger = made.home("lisbon").ledger
    ledger.parent.mkdir()
    ledger.write_text('{"kind": "reserve"}\n')


def lost_ledger(made: Installation) -> None:
    head = made.home("lisbon").ledger.with_suffix(".head")
    head.parent.mkdir()
    from fedcc.privacy.ledger_head import Mark

    head.write_bytes(Mark(3, "a" * 64).to_slot())


@pytest.mark.parametrize(
    ("fault", "check", "code"),
    [
        (open_node_key, "key permissions", 6),
        (open_folder, "key permissions", 6),
        (open_policy, "settings", 6),
        (open_settings, "settings", 6),
        (other_identity, "identity", 6),
        (cut_roster, "roster", 6),
        (broken_policy, "policy", 2),
        (strange_task, "policy", 2),
        (broken_ledger, "ledger", 6),
        (lost_ledger, "ledger", 6),
    ],
)
def test_a_fault_at_a_site_fails_the_check_of_its_name(
    made: Installation, fault: Callable[[Installation], None], check: str, code: int
) -> None:
    fault(made)
    found = site(made)[check]

    assert not found.passed and found.error is not None
    assert found.error.exit_code == code and exit_code([found]) == code


def test_a_rotation_that_waits_for_its_bundle_is_told(made: Installation) -> None:
    rotate_site(made.sites["lisbon"], made.identity("lisbon"), UNLOCKER, NOW)

    assert "wait for their bundle" in site(made)["identity"].found


def dropped_node(made: Installation) -> None:
    (made.hub.nodes / "mallory.pub").write_text(f"{NodeKey.create().public}\n")


def old_bundle(made: Installation) -> None:
    """Sites are to dial another port, and have not been told."""
    before, after = made.hub.file.read_text().split("public:")
    made.hub.file.write_text(f"{before}public:{after.replace('port: 8443', 'port: 9443', 1)}")


def other_key(made: Installation) -> None:
    kept = made.hub.certificate.read_bytes()
    renew_certificate(made.hub, made.admin, NOW)
    made.hub.certificate.write_bytes(kept)


def further_name(made: Installation) -> None:
    edit(made.hub.file, '"10.0.0.5"', '"10.0.0.5", "new.example.org"')


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (dropped_node, "nodes"),
        (old_bundle, "bundles"),
        (other_key, "certificate"),
        (further_name, "certificate"),
    ],
)
def test_a_fault_at_the_aggregator_fails_the_check_of_its_name(
    made: Installation, fault: Callable[[Installation], None], check: str
) -> None:
    fault(made)
    from fedcc.deployment.aggregator_file import AggregatorHome

    again = Installation(AggregatorHome.open(made.hub.file), made.sites)

    assert failed(hub(again)) == {check}


def test_certificates_that_end_soon_fail_before_they_end(made: Installation) -> None:
    assert failed(hub(made, NOW + timedelta(days=334))) == set()
    assert failed(hub(made, NOW + timedelta(days=336))) == {"certificate"}
    assert "authority" in failed(hub(made, NOW + timedelta(days=3640)))
    assert "authority" in failed(site(made, NOW + timedelta(days=3640)))


def test_an_admin_key_that_lies_elsewhere_is_not_missed(made: Installation) -> None:
    shutil.rmtree(made.hub.admin_key.parent)
    made.hub.ca_key.unlink()

    assert failed(hub(made)) == set()


def strict(**changes: float) -> DoctorSettings:
    usual = vars(doctor_settings())
    return DoctorSettings(**{**usual, **changes})


def test_a_full_disk_fails(tmp_path: Path) -> None:
    assert "GB free" in checks.disk(tmp_path / "not" / "yet", strict())
    with pytest.raises(ConfigError, match="Free space"):
        checks.disk(tmp_path, strict(min_free_gigabytes=1e9))


def test_a_package_of_another_version_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "flwr 1.41" in checks.versions()

    for text, says in (("flwr<1", "fedcc needs <1"), ("no-such-package", "none is installed")):
        monkeypatch.setattr(checks, "declared_packages", lambda text=text: [text])
        with pytest.raises(ConfigError, match=says):
            checks.versions()


def test_packages_of_extras_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "declared_packages", lambda: ['nothing>=9; extra == "dev"'])

    assert checks.versions()


def test_a_generator_that_is_not_ready_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ready" in checks.entropy()

    def blocks(size: int, flags: int) -> bytes:
        raise BlockingIOError

    monkeypatch.setattr(checks.os, "getrandom", blocks)
    with pytest.raises(ConfigError, match="not ready"):
        checks.entropy()


def test_the_exit_code_is_that_of_the_first_check_that_fails() -> None:
    def fails() -> str:
        raise EnvelopeError("altered")

    def unplugged() -> str:
        raise OSError(5, "Input/output error", "/dev/x")

    assert exit_code(examine([("a", lambda: "fine")])) == 0
    made = examine([("a", lambda: "fine"), ("b", fails), ("c", unplugged), ("d", lambda: "fine")])
    assert exit_code(made) == 6 and [one.passed for one in made] == [True, False, False, True]
    assert "/dev/x: Input/output error" in made[2].found


class Answers(http.server.BaseHTTPRequestHandler):
    """Says 200 to everything, with a Date header as any server."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An aggregator's folder whose certificate is valid now."""
    folder = tmp_path_factory.mktemp("local")
    new_hub(folder / "hub", "localhost", "127.0.0.1", now=datetime.now(UTC))
    return folder / "hub"


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """Serve HTTPS on loopback with a hub's certificate; yield the port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls" / "server.pem", folder / "tls" / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def proxy(target: int, seen: list[bytes]) -> Iterator[int]:
    """A proxy that knows CONNECT, for one connection; yield its port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def carry(source: socket.socket, sink: socket.socket) -> None:
        try:
            while piece := source.recv(65536):
                sink.sendall(piece)
        except OSError:
            pass
        finally:
            sink.close()

    def run() -> None:
        try:
            inner, _ = listening.accept()
        except OSError:
            return
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += inner.recv(4096)
        seen.append(asked)
        outer = socket.create_connection(("127.0.0.1", target))
        inner.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=carry, args=(outer, inner), daemon=True)
        back.start()
        carry(inner, outer)

    threading.Thread(target=run, daemon=True).start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        listening.close()


def test_the_aggregator_is_reached_by_name_and_tells_its_time(local: Path) -> None:
    with serving(local) as port:
        answer = probe("localhost", port, local / "tls/ca.pem", proxy=None, timeout=5)

    assert answer.protocol in ("TLSv1.2", "TLSv1.3") and answer.date is not None
    assert abs((answer.date - datetime.now(UTC)).total_seconds()) < 60


def test_the_aggregator_is_reached_through_a_proxy_that_sees_tls_only(local: Path) -> None:
    seen: list[bytes] = []
    with serving(local) as port, proxy(port, seen) as through:
        way = Proxy(f"http://127.0.0.1:{through}")
        answer = probe("localhost", port, local / "tls/ca.pem", proxy=way, timeout=5)

    assert answer.protocol and seen[0].startswith(f"CONNECT localhost:{port}".encode())


def test_a_proxy_in_the_environment_is_ignored(
    local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with serving(local) as port:
        assert probe("localhost", port, local / "tls/ca.pem", proxy=None, timeout=5).protocol


def test_a_server_of_another_authority_is_somebody_in_between(local: Path, tmp_path: Path) -> None:
    new_hub(tmp_path / "evil", "localhost", now=datetime.now(UTC))
    with serving(tmp_path / "evil") as port:
        with pytest.raises(EnvelopeError, match="Somebody may be in between") as refused:
            probe("localhost", port, local / "tls/ca.pem", proxy=None, timeout=5)
    assert refused.value.exit_code == 6


def test_a_server_under_another_name_is_refused(tmp_path: Path) -> None:
    new_hub(tmp_path / "hub", "fed.example.org", now=datetime.now(UTC))
    with serving(tmp_path / "hub") as port, pytest.raises(EnvelopeError, match="localhost"):
        probe("localhost", port, tmp_path / "hub/tls/ca.pem", proxy=None, timeout=5)


def test_nobody_listening_and_plain_text_are_both_no_connection(local: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    with pytest.raises(TooFewSites, match="cannot be reached") as refused:
        probe("localhost", free, local / "tls/ca.pem", proxy=None, timeout=5)
    assert refused.value.exit_code == 7

    server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(TooFewSites, match="cannot be reached"):
            port = server.server_address[1]
            probe("localhost", port, local / "tls/ca.pem", proxy=None, timeout=5)
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("seconds", [-7200, -30, 30, 7200])
def test_a_clock_that_is_off_fails_by_name(made: Installation, local: Path, seconds: int) -> None:
    """A SuperLink refuses a node whose clock is more than 5 s ahead."""
    with serving(local) as port:
        home = dialling(made, local, port)
        now = datetime.now(UTC)
        steps = dict(site_steps(home, doctor_settings(), lambda: now + timedelta(seconds=seconds)))
        right = dict(site_steps(home, doctor_settings(), lambda: datetime.now(UTC)))

        [wrong] = examine([("clock", steps["clock"])])
        [sound] = examine([("clock", right["clock"])])

    told = re.search(r"are (\d+) s apart", wrong.found)
    assert not wrong.passed and told is not None
    assert int(told.group(1)) == pytest.approx(abs(seconds), abs=2)  # the header has whole seconds
    assert sound.passed


def dialling(made: Installation, hub: Path, port: int) -> SiteHome:
    """Return a site that trusts and dials a hub on this machine."""
    folder = made.sites["lisbon"]
    shutil.copy(hub / "tls" / "ca.pem", folder / "ca.pem")
    values = yaml.safe_load((folder / "site.yaml").read_text())
    values["aggregator"] |= {"host": "localhost", "port": port}
    (folder / "site.yaml").write_text(yaml.safe_dump(values))
    return SiteHome.open(folder)


def listening(made: Installation, host: str, port: int) -> Check:
    """Return the check of an aggregator's own address."""
    values = yaml.safe_load(made.hub.file.read_text())
    values["listen"] = {"host": host, "port": port}
    made.hub.file.write_text(yaml.safe_dump(values))
    hub = AggregatorHome.open(made.hub.file)
    steps = dict(aggregator_steps(hub, doctor_settings(), lambda: NOW))
    [found] = examine([("reachability", steps["reachability"])])
    return found


def test_an_aggregator_that_does_not_run_could_listen(made: Installation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = int(taken.getsockname()[1])

    found = listening(made, "127.0.0.1", free)

    assert found.passed and "is free" in found.found


def test_an_address_of_another_machine_fails(made: Installation) -> None:
    found = listening(made, "192.0.2.7", 8443)  # documentation only (RFC 5737)

    assert not found.passed and "Name an address of this machine" in found.found


def test_a_port_that_somebody_else_holds_fails(made: Installation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = listening(made, "127.0.0.1", int(taken.getsockname()[1]))

    assert not found.passed and found.error is not None
    assert found.error.exit_code == TooFewSites.exit_code
