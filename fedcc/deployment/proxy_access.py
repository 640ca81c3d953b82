"""The proxy through which a site dials out: its address, its authority, and the credentials."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from fedcc.crypto.private_files import read_private
from fedcc.crypto.statements import read_public
from fedcc.deployment.site_file import SiteHome
from fedcc.errors import RecordError


@dataclass(frozen=True)
class Proxy:
    """A proxy that knows CONNECT; what passes through it is TLS to the aggregator in any case."""

    url: str  # http:// or https://, with user and password if it asks for any
    ca: Path | None = None  # authority of an https:// proxy; `None` for those the system trusts

    @property
    def address(self) -> str:
        """`HOST:PORT`, to be shown."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port}"

    @property
    def is_secure(self) -> bool:
        """Whether the way to the proxy itself is TLS too."""
        return self.url.startswith("https://")


def proxy_of(home: SiteHome) -> Proxy | None:
    """Return the proxy of a site's file, with the credentials of a private file.

    Args:
        home: of the site.

    Raises:
        RecordError: if the file of credentials or of the authority cannot be read, or there are no
            credentials in it.
        ProtocolError: if it is open to others.
    """
    network = home.values.network
    if network.proxy is None:
        return None
    ca = None if network.proxy_ca is None else home.at(network.proxy_ca)
    if ca is not None:
        read_public(ca)
    if network.proxy_credentials is None:
        return Proxy(network.proxy, ca)
    path = home.at(network.proxy_credentials)
    user, colon, password = read_private(path).decode("utf-8", "replace").strip().partition(":")
    if not colon or not user or "\n" in password:
        raise RecordError(
            f"network.proxy_credentials: {path} does not hold one line USER:PASSWORD."
        )
    scheme, _, there = network.proxy.partition("://")
    return Proxy(f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{there}", ca)
