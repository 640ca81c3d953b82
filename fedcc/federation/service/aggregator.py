"""`fedcc aggregator run`: a SuperLink for the sites, and the process that carries out runs."""

import json
import socket
import urllib.error
import urllib.request
from pathlib import Path

from fedcc.crypto.private_files import read_private
from fedcc.crypto.statements import read_public
from fedcc.deployment.aggregator_file import AggregatorHome
from fedcc.deployment.certificates import is_key_of
from fedcc.errors import ConfigError, FedccError
from fedcc.federation.service.places import LOOPBACK, Places
from fedcc.federation.service.running import Metrics, Service, run_service
from fedcc.federation.service.settings import ServiceSettings, service_settings


def run_aggregator(place: Path, settings: ServiceSettings | None = None) -> None:
    """Run an aggregator in the foreground until SIGTERM or SIGINT.

    Args:
        place: its folder, or its YAML.
        settings: times; `None` for those that come with fedcc.

    Raises:
        FedccError: see `run_service`.
    """
    home = AggregatorHome.open(place)
    for needed in (home.certificate, home.server_key, home.ca):
        if not needed.is_file():
            raise ConfigError(f"{needed}: no such file. `fedcc aggregator init` makes it.")
    _check_free(home)
    places = _prepared(home.state)
    service = Service(
        file=home.file,
        places=places,
        health=home.values.health,
        kinds=("superlink", "runs"),
        proxy=None,
        secret=bytes,
        is_ready=lambda: _answers(places.port()) and _listens(home),
        metrics=lambda: _metrics(home),
        ticks=("asked",),
        state=home.state,
        reload=lambda: "superlink" if _certificate_fits(home) else None,
        watched=(home.certificate, home.server_key),
    )
    run_service(service, settings or service_settings())


def _certificate_fits(home: AggregatorHome) -> bool:
    """Tell whether certificate and key belong together; one is replaced after the other."""
    try:
        certificate, key = read_public(home.certificate), read_private(home.server_key)
        return is_key_of(key, certificate, str(home.server_key))
    except FedccError:
        return False


def _prepared(state: Path) -> Places:
    try:
        return Places.prepare(state)
    except OSError as error:
        raise ConfigError(f"state: {state} cannot be used: {error.strerror}.") from None


def _check_free(home: AggregatorHome) -> None:
    """Refuse an address that is taken, before anything is started."""
    listen = home.values.listen
    kind = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    with socket.socket(kind) as each:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            each.bind((listen.host, listen.port))
        except OSError as error:
            raise ConfigError(
                f"listen: {listen.host}:{listen.port} cannot be used: {error.strerror}."
            ) from None


def _answers(port: int) -> bool:
    """Tell whether the SuperLink answers on loopback."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{LOOPBACK}:{port}/health", timeout=2.0) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _listens(home: AggregatorHome) -> bool:
    """Tell whether sites can connect."""
    listen = home.values.listen
    host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(listen.host, listen.host)
    try:
        socket.create_connection((host, listen.port), timeout=2.0).close()
    except OSError:
        return False
    return True


def _metrics(home: AggregatorHome) -> Metrics:
    """Count what the folders of runs show."""
    attempts = closed = done = 0
    for folder in (home.state / "runs").glob("*"):
        done += (folder / "outcome.json").exists()
        try:
            text = (folder / "metrics.jsonl").read_text()
        except OSError:
            continue
        lines = text[: text.rfind("\n") + 1].splitlines()
        attempts += len(lines)
        closed += sum(bool(json.loads(line)["closed"]) for line in lines)
    return {
        "fedcc_rounds_closed_total": ("Rounds that closed.", float(closed)),
        "fedcc_attempts_total": ("Attempts at rounds, void ones included.", float(attempts)),
        "fedcc_runs_ended_total": ("Runs that have an outcome.", float(done)),
    }
