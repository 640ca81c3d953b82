"""One TLS connection to the aggregator, as a site makes it: authority, name, proxy and clock."""

import http.client
import re
import ssl
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from fedcc.errors import EnvelopeError, RecordError, TooFewSites


@dataclass(frozen=True)
class Answer:
    """What a connection showed."""

    protocol: str  # of TLS
    valid_until: datetime
    date: datetime | None  # the server's clock


def trusting(ca: Path) -> ssl.SSLContext:
    """Return a TLS context that trusts one authority and checks names.

    Raises:
        RecordError: if the authority cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cafile=str(ca))
    except (OSError, ssl.SSLError):
        raise RecordError(f"{ca} cannot be read as an authority's certificate.") from None
    return context


def probe(host: str, port: int, ca: Path, *, proxy: str | None, timeout: float) -> Answer:
    """Connect, check the certificate, and ask for the server's clock.

    Args:
        host: name or address of the aggregator.
        port: its port.
        ca: the authority that is trusted, and no other.
        proxy: `http://[USER:PASSWORD@]HOST:PORT` to CONNECT through; the environment's is ignored.
        timeout: seconds for each step.

    Raises:
        EnvelopeError: if the certificate is not accepted.
        TooFewSites: if there is no connection; names the hop.
    """
    context = trusting(ca)
    if proxy is None:
        link = http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
        hop = f"{host}:{port}"
    else:
        parts = urlsplit(proxy)
        link = http.client.HTTPSConnection(
            str(parts.hostname), parts.port, timeout=timeout, context=context
        )
        link.set_tunnel(host, port, headers=_credentials(parts))
        hop = f"{host}:{port} through {parts.hostname}:{parts.port}"
    try:
        link.connect()
        return _asked(link)
    except ssl.SSLCertVerificationError as error:
        raise EnvelopeError(
            f"{hop}: the certificate is not accepted ({error.verify_message}). Somebody may be in "
            "between, or the name is not in it: compare with the admin before anything else."
        ) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or _refusal(error) or type(error).__name__
        raise TooFewSites(
            f"{hop} cannot be reached ({reason}). Check host, port, network.proxy and the "
            "firewall; the site only ever dials out."
        ) from None
    finally:
        link.close()


def _credentials(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
    return {"Proxy-Authorization": f"Basic {b64encode(pair).decode()}"}


def _refusal(error: Exception) -> str:
    """Return what a proxy that refused said, such as `407 Proxy Authentication Required`."""
    said = re.search(r"Tunnel connection failed: (\d{3}[ \w]{0,60})", str(error))
    return "" if said is None else f"the proxy answers {said.group(1)}"


def _asked(link: http.client.HTTPSConnection) -> Answer:
    """Return what an open connection says; a server without an answer has shown its certificate."""
    channel = link.sock
    shown = channel.getpeercert() or {}
    end = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
    protocol, date = channel.version() or "TLS", None  # the channel closes with the answer
    try:
        link.request("GET", "/health")
        told = link.getresponse().getheader("Date")
        date = None if told is None else parsedate_to_datetime(told)
    except (OSError, ValueError, http.client.HTTPException):
        pass  # the clock is then not known, which the caller says
    return Answer(protocol, end, date)
