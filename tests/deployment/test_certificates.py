"""The consortium's authority and its server certificate, as other software sees them."""

import socket
import ssl
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fedcc.crypto.key_file import Identity
from fedcc.deployment.certificates import (
    Authority,
    check_authority,
    check_server,
    general_name,
    is_key_of,
)
from fedcc.errors import ConfigError, EnvelopeError, RecordError

NOW = datetime.now(UTC).replace(microsecond=0)  # other software looks at the real clock
NAMES = ("fed.example.org", "localhost", "127.0.0.1", "::1")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("telco-group", 3650, NOW)


@pytest.fixture(scope="module")
def folder(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tls")
    certificate, key = authority.issue(NAMES, 365, NOW)
    for name, content in (("ca", authority.pem), ("server", certificate), ("key", key)):
        (place / f"{name}.pem").write_bytes(content)
    return place


def openssl(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", *arguments]
    command += ["-CAfile", str(folder / "ca.pem"), str(folder / "server.pem")]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    "name",
    [("-verify_hostname", "fed.example.org"), ("-verify_ip", "127.0.0.1"), ("-verify_ip", "::1")],
)
def test_openssl_accepts_the_certificate_for_each_of_its_names(
    folder: Path, name: tuple[str, str]
) -> None:
    assert openssl(folder, *name).returncode == 0


def test_openssl_refuses_it_for_another_name(folder: Path) -> None:
    assert openssl(folder, "-verify_hostname", "evil.example.org").returncode != 0


def greet(folder: Path, trust: Path, name: str) -> bytes:
    """Serve one TLS connection on loopback with Python's ssl, and return what the peer read."""
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(folder / "server.pem", folder / "key.pem")
    dialling = ssl.create_default_context(cafile=str(trust))
    dialling.verify_flags |= ssl.VERIFY_X509_STRICT
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            try:
                plain, _ = listening.accept()
                with plain, served.wrap_socket(plain, server_side=True) as channel:
                    channel.sendall(b"hello")
            except OSError:
                pass

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            with socket.create_connection(listening.getsockname()) as plain:
                with dialling.wrap_socket(plain, server_hostname=name) as channel:
                    return channel.recv(5)
        finally:
            thread.join()


def test_a_tls_connection_opens_by_name_and_by_address(folder: Path) -> None:
    assert greet(folder, folder / "ca.pem", "localhost") == b"hello"
    assert greet(folder, folder / "ca.pem", "127.0.0.1") == b"hello"


def test_a_tls_connection_fails_for_another_name_and_another_authority(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "other.pem").write_bytes(Authority.create("other", 10, NOW).pem)

    with pytest.raises(ssl.SSLCertVerificationError):
        greet(folder, folder / "ca.pem", "evil.example.org")
    with pytest.raises(ssl.SSLCertVerificationError):
        greet(folder, tmp_path / "other.pem", "localhost")


def test_our_own_check_agrees_on_name_authority_and_time(
    folder: Path, authority: Authority
) -> None:
    server = (folder / "server.pem").read_bytes()

    end = check_server(authority.pem, server, "fed.example.org", "x", NOW)

    assert end == NOW + timedelta(days=365)
    other = Authority.create("telco-group", 10, NOW).pem  # the same name, another key
    for ca, name, now in (
        (authority.pem, "evil.example.org", NOW),
        (other, "fed.example.org", NOW),
        (authority.pem, "fed.example.org", NOW + timedelta(days=366)),
        (authority.pem, "fed.example.org", NOW - timedelta(hours=2)),
    ):
        with pytest.raises(EnvelopeError):
            check_server(ca, server, name, "x", now)


def test_a_servers_certificate_is_no_authority(folder: Path) -> None:
    with pytest.raises(EnvelopeError, match="no certificate of an authority"):
        check_authority((folder / "server.pem").read_bytes(), "x", NOW)


def test_the_authority_opens_with_the_admins_key_alone(authority: Authority) -> None:
    admin, thief = (Identity.create("admin", name, NOW) for name in ("telco", "thief"))
    locked = authority.locked_key(admin)

    assert b"ENCRYPTED" in locked
    opened = Authority.open(authority.pem, locked, admin).key
    assert opened.public_key() == authority.key.public_key()
    with pytest.raises(EnvelopeError, match="does not open"):
        Authority.open(authority.pem, locked, thief)
    other = Authority.create("telco-group", 10, NOW)
    with pytest.raises(EnvelopeError, match="not that of its certificate"):
        Authority.open(other.pem, locked, admin)


def test_no_certificate_outlives_its_authority() -> None:
    with pytest.raises(ConfigError, match="the authority ends"):
        Authority.create("brief", 10, NOW).issue(("localhost",), 11, NOW)


def test_a_key_is_told_from_that_of_another_certificate(folder: Path, authority: Authority) -> None:
    server, key = (folder / "server.pem").read_bytes(), (folder / "key.pem").read_bytes()
    _, other = authority.issue(("localhost",), 1, NOW)

    assert is_key_of(key, server, "key.pem")
    assert not is_key_of(other, server, "key.pem")
    with pytest.raises(RecordError):
        is_key_of(server, server, "key.pem")


@pytest.mark.parametrize(
    "name",
    ["*.example.org", "https://a.org", "a.org:8443", "A.org", "-a.org", "a..org", "1.2.3", ""],
)
def test_what_is_no_name_of_a_server_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="no name for a server"):
        general_name(name)
