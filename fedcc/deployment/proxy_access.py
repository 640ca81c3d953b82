"""The proxy through which a site dials out, with the credentials of a private file."""

from urllib.parse import quote

from fedcc.crypto.private_files import read_private
from fedcc.deployment.site_file import SiteHome
from fedcc.errors import RecordError


def proxy_url(home: SiteHome) -> str | None:
    """Return the address of the proxy, with user and password if it asks for any.

    Args:
        home: of the site.

    Raises:
        RecordError: if the file of credentials cannot be read, or holds none.
        ProtocolError: if it is open to others.
    """
    network = home.values.network
    if network.proxy is None or network.proxy_credentials is None:
        return network.proxy
    path = home.at(network.proxy_credentials)
    user, colon, password = read_private(path).decode("utf-8", "replace").strip().partition(":")
    if not colon or not user or "\n" in password:
        raise RecordError(
            f"network.proxy_credentials: {path} does not hold one line USER:PASSWORD."
        )
    there = network.proxy.removeprefix("http://")
    return f"http://{quote(user, safe='')}:{quote(password, safe='')}@{there}"
