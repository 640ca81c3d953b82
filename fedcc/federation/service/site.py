"""`fedcc site run`: a SuperNode that dials out, and the resident process that answers."""

from collections.abc import Callable
from pathlib import Path

from fedcc.crypto.key_file import KeyFile, Unlocker, read_key
from fedcc.crypto.private_files import read_private
from fedcc.deployment.proxy_access import proxy_of
from fedcc.deployment.site_file import SiteHome
from fedcc.errors import ConfigError, FedccError
from fedcc.federation.service.places import Places
from fedcc.federation.service.running import Metrics, Service, run_service
from fedcc.federation.service.settings import ServiceSettings, service_settings

MOST_SILENCE = 5  # heartbeats


def run_site(
    place: Path, ask: Callable[[Path], Unlocker], settings: ServiceSettings | None = None
) -> None:
    """Run a site in the foreground until SIGTERM or SIGINT.

    Args:
        place: its folder, or its YAML.
        ask: returns what opens the key file of the identity where the YAML names nothing.
        settings: times; `None` for those that come with fedcc.

    Raises:
        FedccError: if the identity does not open, and see `run_service`.
    """
    home = SiteHome.open(place)
    times = settings or service_settings()
    first, proxy = _identity(home, ask), proxy_of(home)
    try:
        places = Places.prepare(home.state)
    except OSError as error:
        raise ConfigError(f"state: {home.state} cannot be used: {error.strerror}.") from None

    def secret() -> bytes:
        """Return the identity as it is now: a rotation may have put another one in its place."""
        if home.values.keys.unlock is None:
            return first  # a passphrase is asked for once
        try:
            return _identity(home, ask)
        except FedccError:  # half in place
            return first

    def has_contact() -> bool:
        age = places.ticks.age("contact")
        return age is not None and age < MOST_SILENCE * times.heartbeat_seconds

    def metrics() -> Metrics:
        age = places.ticks.age("contact")
        return {
            "fedcc_seconds_since_contact": (
                "Since the aggregator last answered; -1 before it ever did.",
                -1.0 if age is None else age,
            )
        }

    service = Service(
        file=home.file,
        places=places,
        health=home.values.health,
        kinds=("supernode", "site"),
        proxy=None if proxy is None else proxy.url,
        secret=secret,
        is_ready=has_contact,
        metrics=metrics,
        ticks=("asked",),
        state=home.state,
    )
    run_service(service, times)


def _identity(home: SiteHome, ask: Callable[[Path], Unlocker]) -> bytes:
    """Return the private key of the site's identity.

    Raises:
        FedccError: if it does not open, or is another's.
    """
    locked = read_key(home.identity)
    if locked.role != "site" or locked.name != home.values.site:
        raise ConfigError(
            f"keys.identity: {home.identity} is the key of {locked.role} '{locked.name}', not of "
            f"site '{home.values.site}'."
        )
    named = home.values.keys.unlock
    unlocker = ask(home.identity) if named is None else KeyFile(read_private(home.at(named)))
    return locked.unlock(unlocker).private
