"""Sites behind a proxy: with and without credentials, refused, with somebody in between.

The aggregator listens on 127.0.0.2, so that it is not one of the addresses that need no proxy.
"""

import dataclasses
import os
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from httpcore._sync import connection

from fedcc.deployment.certificates import Authority
from fedcc.deployment.probe import probe
from fedcc.deployment.proxy_access import proxy_of
from fedcc.deployment.site_file import SiteHome
from fedcc.errors import ConfigError, EnvelopeError, ProtocolError, RecordError, TooFewSites
from fedcc.federation.flower_supernode import NodeSettings, sign_off

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "simulations"))
from _connect_proxy import Proxy, connect_proxy  # noqa: E402
from _drill import Drill  # noqa: E402

HUB = "127.0.0.2"
CREDENTIALS = "fedcc:pass:word with @/"
RATE = 8.0  # kilobytes a second
RATED, OPEN, DIRECT = "site-1", "site-2", "site-3"


class Enough(Exception):
    """Ends a wait."""


def small_drill(folder: Path) -> Drill:
    places = {name: (None, HUB) for name in ("hub", RATED, OPEN, DIRECT)}
    return Drill.prepare(folder, n_sites=3, rounds=2, places=places)


def set_network(drill: Drill, site: str, **values: object) -> SiteHome:
    """Change keys of `network` in a site's YAML."""
    file = drill.made.site(site) / "site.yaml"
    content = yaml.safe_load(file.read_text())
    content["network"] |= values
    file.write_text(yaml.safe_dump(content))
    return SiteHome.open(file)


def write_credentials(drill: Drill, site: str, text: str, mode: int = 0o600) -> str:
    path = drill.made.site(site) / "proxy.secret"
    path.write_text(text)
    path.chmod(mode)
    return path.name


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Drill:
    return small_drill(tmp_path_factory.mktemp("proxied") / "drill")


def node(drill: Drill, home: SiteHome) -> NodeSettings:
    dialled = home.values.aggregator
    return NodeSettings(
        address=f"{dialled.host}:{dialled.port}",
        ca=home.ca,
        key=home.node_key,
        port=1,
        secret_file=Path("/none"),
        poll=0.1,
        heartbeat=2.0,
        proxy=proxy_of(home),
        bytes_per_second=None,
    )


def told(drill: Drill, home: SiteHome, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what a node tells that waits twice."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    way = proxy_of(home)
    assert way is not None
    monkeypatch.setenv("HTTPS_PROXY", way.url)
    monkeypatch.setattr(connection, "default_ssl_context", connection.default_ssl_context)
    waits: list[float] = []
    found: list[str] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            raise Enough

    with pytest.raises(Enough):
        sign_off(node(drill, home), found.append, sleep=sleep)
    return found


@pytest.mark.parametrize(
    ("asked", "answer", "given", "says"),
    [
        (CREDENTIALS, None, None, "407 Proxy Authentication Required"),
        (CREDENTIALS, None, "fedcc:wrong", "407 Proxy Authentication Required"),
        (None, "403 Forbidden", None, "403 Forbidden"),
    ],
)
def test_a_proxy_that_refuses_is_named_and_waited_for(
    drill: Drill,
    monkeypatch: pytest.MonkeyPatch,
    asked: str | None,
    answer: str | None,
    given: str | None,
    says: str,
) -> None:
    with connect_proxy(asked, answer) as proxy:
        named = None if given is None else write_credentials(drill, RATED, given)
        address = f"http://127.0.0.1:{proxy.port}"
        home = set_network(drill, RATED, proxy=address, proxy_credentials=named)

        [problem] = told(drill, home, monkeypatch)
        with pytest.raises(TooFewSites, match=says) as refused:
            probe(HUB, 8443, home.ca, proxy=proxy_of(home), timeout=5.0)

    assert says in problem and "network.proxy" in problem
    assert len(proxy.asked) >= 3  # it was asked again
    assert "wrong" not in problem + str(refused.value)


def test_a_proxy_that_is_not_there_is_waited_for(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = set_network(drill, RATED, proxy="http://127.0.0.1:9", proxy_credentials=None)

    [problem] = told(drill, home, monkeypatch)

    assert "cannot be reached" in problem


@dataclass
class TlsProxy:
    """A certificate for a proxy, and the authority that it is of."""

    context: ssl.SSLContext
    authority: Path


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsProxy:
    folder, now = tmp_path_factory.mktemp("tls"), datetime.now(UTC)
    authority = Authority.create("proxy", 60, now)
    certificate, key = authority.issue(["127.0.0.1"], 30, now)
    for name, content in (("ca", authority.pem), ("server", certificate), ("key", key)):
        (folder / f"{name}.pem").write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "key.pem")
    return TlsProxy(context, folder / "ca.pem")


def tls_home(drill: Drill, proxy: Proxy, authority: Path | None) -> SiteHome:
    ca = None if authority is None else str(authority)
    address = f"https://127.0.0.1:{proxy.port}"
    return set_network(drill, RATED, proxy=address, proxy_ca=ca, proxy_credentials=None)


def test_a_proxy_that_speaks_tls_is_told_where_to_connect_in_tls_only(
    drill: Drill, tls: TlsProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect_proxy(None, "403 Forbidden", tls.context) as proxy:
        home = tls_home(drill, proxy, tls.authority)

        [problem] = told(drill, home, monkeypatch)
        with pytest.raises(TooFewSites, match="the proxy answers 403 Forbidden"):
            probe(HUB, 8443, home.ca, proxy=proxy_of(home), timeout=5.0)

        # That authority and no other: neither the system's nor those that come with Python.
        assert len(connection.default_ssl_context().get_ca_certs()) == 1
    assert "403 Forbidden" in problem and len(proxy.asked) >= 3


@pytest.mark.parametrize("named", [False, True])
def test_a_proxy_that_is_not_of_its_authority_is_not_asked(
    drill: Drill, tls: TlsProxy, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """Neither one that nobody vouches for, nor one of another authority than the named one."""
    with connect_proxy(None, None, tls.context) as proxy:
        home = tls_home(drill, proxy, drill.made.site(RATED) / "ca.pem" if named else None)

        with pytest.raises(EnvelopeError, match="network.proxy_ca"):
            told(drill, home, monkeypatch)
        with pytest.raises(EnvelopeError, match="proxy's certificate is not accepted"):
            probe(HUB, 8443, home.ca, proxy=proxy_of(home), timeout=5.0)

    assert proxy.asked == []


def test_the_authority_of_a_proxy_vouches_for_no_aggregator(
    drill: Drill, tls: TlsProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that opens what passes, with certificates of its own, as some of them do."""
    with connect_proxy(None, None, tls.context) as between:
        with connect_proxy(None, None, tls.context) as proxy:
            home = tls_home(drill, proxy, tls.authority)
            address = f"127.0.0.1:{between.port}"
            monkeypatch.delenv("NO_PROXY", raising=False)
            for name in list(os.environ):
                if name.lower().endswith("_proxy"):
                    monkeypatch.delenv(name)
            way = proxy_of(home)
            assert way is not None
            monkeypatch.setenv("HTTPS_PROXY", way.url)
            plain = connection.default_ssl_context
            monkeypatch.setattr(connection, "default_ssl_context", plain)

            with pytest.raises(EnvelopeError, match="does not prove to be the aggregator"):
                sign_off(dataclasses.replace(node(drill, home), address=address))
            with pytest.raises(EnvelopeError, match="Somebody may be in between"):
                probe("127.0.0.1", between.port, home.ca, proxy=way, timeout=5.0)

        assert proxy.asked  # it was asked, and what it led to was refused
    assert between.asked == []


def test_an_authority_that_cannot_be_read_is_refused_by_name(drill: Drill) -> None:
    home = set_network(drill, RATED, proxy="https://127.0.0.1:9", proxy_ca="/nowhere.pem")

    with pytest.raises(RecordError, match="/nowhere.pem"):
        proxy_of(home)
    set_network(drill, RATED, proxy=None, proxy_ca=None, proxy_credentials=None)


def test_a_server_behind_no_proxy_that_speaks_no_tls_is_refused_and_not_waited_for(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    home = SiteHome.open(drill.made.site(DIRECT))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        plain = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(EnvelopeError, match="does not prove"):
            sign_off(dataclasses.replace(node(drill, home), address=plain))


@pytest.mark.parametrize(
    ("text", "mode", "error"),
    [
        ("no colon", 0o600, RecordError),
        (":nobody", 0o600, RecordError),
        ("a:b\nc", 0o600, RecordError),
        (CREDENTIALS, 0o644, ProtocolError),
    ],
)
def test_credentials_that_are_none_or_open_to_others_are_refused(
    drill: Drill, text: str, mode: int, error: type[Exception]
) -> None:
    named = write_credentials(drill, OPEN, text, mode)
    home = set_network(drill, OPEN, proxy="http://127.0.0.1:9", proxy_credentials=named)

    with pytest.raises(error, match="proxy.secret") as refused:
        proxy_of(home)

    assert text not in str(refused.value)


def test_credentials_without_a_proxy_are_refused(drill: Drill) -> None:
    with pytest.raises(ConfigError, match="proxy_credentials without a proxy"):
        set_network(drill, DIRECT, proxy=None, proxy_credentials="proxy.secret")
    set_network(drill, DIRECT, proxy=None, proxy_credentials=None)


@dataclass
class Run:
    """What is left of a run behind proxies."""

    drill: Drill
    rated: Proxy
    open: Proxy
    seconds: float
    other_authority: str


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tls: TlsProxy) -> Iterator[Run]:
    """A run of three sites: behind a proxy with credentials and a limit, one with TLS, none."""
    drill = small_drill(tmp_path_factory.mktemp("run") / "drill")
    other = small_drill(tmp_path_factory.mktemp("other") / "drill")
    with connect_proxy(CREDENTIALS) as rated, connect_proxy(tls=tls.context) as free:
        named = write_credentials(drill, RATED, CREDENTIALS + "\n")
        set_network(
            drill,
            RATED,
            proxy=f"http://127.0.0.1:{rated.port}",
            proxy_credentials=named,
            max_kilobytes_per_second=RATE,
        )
        address = f"https://127.0.0.1:{free.port}"
        set_network(drill, OPEN, proxy=address, proxy_ca=str(tls.authority))
        drill.start_all()
        try:
            drill.wait(drill.attempts, "a round closes")
            seconds = drill.wait(drill.outcome, "the run ends")
            drill.wait(lambda: len(drill.models()) == 3, "every site has its model")
            home = SiteHome.open(drill.made.site(OPEN))
            try:
                stranger = SiteHome.open(other.made.site(OPEN)).ca
                answer = proxy_of(home)
                dialled = home.values.aggregator
                probe(dialled.host, dialled.port, stranger, proxy=answer, timeout=10.0)
                between = ""
            except EnvelopeError as error:
                between = str(error)
        finally:
            drill.close()
        yield Run(drill, rated, free, seconds, between)


@pytest.mark.processes
@pytest.mark.timeout(600)
def test_sites_behind_proxies_complete_a_run_and_hold_one_model(run: Run) -> None:
    assert run.drill.outcome() == "completed"
    assert len(run.drill.models()) == 3
    assert len(set(run.drill.models().values())) == 1


@pytest.mark.processes
def test_a_proxied_site_reaches_the_aggregator_and_nothing_else(run: Run) -> None:
    port = SiteHome.open(run.drill.made.site(RATED)).values.aggregator.port

    for proxy in (run.rated, run.open):
        assert {line.split()[1] for line in proxy.asked} == {f"{HUB}:{port}"}


@pytest.mark.processes
def test_a_proxy_sees_nothing_but_tls(run: Run) -> None:
    # A TLS handshake record (RFC 8446, 5.1).
    assert {head[:1] for head in run.rated.first_bytes + run.open.first_bytes} == {b"\x16"}


@pytest.mark.processes
def test_who_answers_in_the_aggregators_place_behind_a_proxy_is_refused(run: Run) -> None:
    assert "certificate is not accepted" in run.other_authority


@pytest.mark.processes
def test_a_limited_site_sends_no_faster_than_its_file_says(run: Run) -> None:
    rounds = [line for line in run.drill.attempts() if line["closed"]]
    # Every site sends as much; the round waits for the limited one. On a quiet machine a round
    # without a limit takes 2 s, with it 4 s and more.
    for line in rounds:
        assert line["seconds"] >= line["bytes_up"] / 3 / (1000 * RATE) * 0.95
