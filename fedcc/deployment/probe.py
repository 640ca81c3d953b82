"""One TLS connection to the aggregator, as a site makes it: authority, name, proxy and clock."""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx

from fedcc.deployment.proxy_access import Proxy
from fedcc.errors import EnvelopeError, RecordError, TooFewSites


@dataclass(frozen=True)
class Answer:
    """What a connection showed."""

    protocol: str  # of TLS
    valid_until: datetime
    date: datetime | None  # the server's clock; `None` if it did not tell


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


def probe(host: str, port: int, ca: Path, *, proxy: Proxy | None, timeout: float) -> Answer:
    """Connect, check the certificate, and ask for the server's clock.

    Args:
        host: name or address of the aggregator.
        port: its port.
        ca: the authority that is trusted, and no other.
        proxy: to CONNECT through; the environment's is ignored.
        timeout: seconds for each step.

    Raises:
        EnvelopeError: if the certificate is not accepted, of the aggregator or of the proxy.
        TooFewSites: if there is no connection; names the hop.
        RecordError: if an authority cannot be read.
    """
    shown = _Handshakes(by_proxy=proxy is not None)
    hop = f"{host}:{port}" + ("" if proxy is None else f" through {proxy.address}")
    place = f"[{host}]" if ":" in host else host
    context, date = trusting(ca), None
    way = None if proxy is None else _way(proxy)
    with httpx.Client(verify=context, proxy=way, trust_env=False, timeout=timeout) as client:
        try:
            reply = client.get(f"https://{place}:{port}/health", extensions={"trace": shown.note})
            date = _date(reply)
        except (httpx.HTTPError, OSError) as error:
            # A server without an answer has shown its certificate; its clock is then not known.
            if shown.server is None:
                raise _explained(error, hop, None if shown.has_proxy else proxy) from None
    if shown.server is None:
        raise TooFewSites(f"{hop} cannot be reached (no TLS). Check host and port.")
    return Answer(shown.protocol, shown.valid_until, date)


class _Handshakes:
    """What the connections that httpx makes show of themselves."""

    def __init__(self, *, by_proxy: bool) -> None:
        self._server = "proxy.start_tls.complete" if by_proxy else "connection.start_tls.complete"
        self.has_proxy = False  # a proxy that speaks TLS has proved who it is
        self.server: Mapping[str, Any] | None = None  # certificate
        self.protocol = "TLS"

    def note(self, event: str, told: Mapping[str, Any]) -> None:
        """Hear of a step of httpx."""
        if event == self._server:
            channel = told["return_value"].get_extra_info("ssl_object")
            self.server, self.protocol = channel.getpeercert() or {}, channel.version() or "TLS"
        elif event == "connection.start_tls.complete":
            self.has_proxy = True

    @property
    def valid_until(self) -> datetime:
        """When the server's certificate ends."""
        end = str((self.server or {})["notAfter"])
        return datetime.fromtimestamp(ssl.cert_time_to_seconds(end), UTC)


def _way(proxy: Proxy) -> httpx.Proxy:
    context = None if proxy.ca is None else trusting(proxy.ca)
    return httpx.Proxy(proxy.url, ssl_context=context)


def _date(reply: httpx.Response) -> datetime | None:
    try:
        return parsedate_to_datetime(reply.headers["Date"])
    except (KeyError, ValueError):
        return None


def _explained(error: Exception, hop: str, proxy: Proxy | None) -> EnvelopeError | TooFewSites:
    """Return what an attempt to connect came to.

    Args:
        error: of httpx, or of the system below it.
        hop: that was tried.
        proxy: that has not yet proved who it is, if there is one.
    """
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    for each in chain:
        if isinstance(each, ssl.SSLCertVerificationError):
            if proxy is not None and proxy.is_secure:
                return EnvelopeError(
                    f"{proxy.address}: the proxy's certificate is not accepted "
                    f"({each.verify_message}). Name its authority as network.proxy_ca."
                )
            return EnvelopeError(
                f"{hop}: the certificate is not accepted ({each.verify_message}). Somebody may be "
                "in between, or the name is not in it: compare with the admin before anything else."
            )
    texts = [text for each in chain if (text := getattr(each, "strerror", None))]
    reason = _refusal(error) or (texts[-1] if texts else type(error).__name__)
    return TooFewSites(
        f"{hop} cannot be reached ({reason}). Check host, port, network.proxy and the firewall; "
        "the site only ever dials out."
    )


def _refusal(error: Exception) -> str:
    """Return what a proxy that refused said, such as `407 Proxy Authentication Required`."""
    said = (
        re.match(r"\d{3}[ \w]{0,60}", str(error)) if isinstance(error, httpx.ProxyError) else None
    )
    return "" if said is None else f"the proxy answers {said.group(0)}"
