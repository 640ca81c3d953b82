"""One service in the foreground: its processes, its health, its metrics, and its end."""

import contextlib
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedcc.deployment.notifying import Notifier
from fedcc.deployment.parts import Health as HealthPlaces
from fedcc.errors import ConfigError, EnvelopeError, FedccError, RecordError
from fedcc.federation.service import events
from fedcc.federation.service.health import Health, write_metrics
from fedcc.federation.service.places import Places
from fedcc.federation.service.room import lacks_room
from fedcc.federation.service.settings import ServiceSettings
from fedcc.federation.service.supervisor import Child, Group, Supervisor, only_one

ERRORS: Mapping[int, type[FedccError]] = {2: ConfigError, 3: RecordError, 6: EnvelopeError}

Metrics = Mapping[str, tuple[str, float]]


def _nobody() -> str | None:
    return None


@dataclass(frozen=True, kw_only=True)
class Service:
    """What differs between an aggregator and a site."""

    file: Path  # its YAML
    places: Places
    health: HealthPlaces
    kinds: Sequence[str]  # of its processes, see `child`
    proxy: str | None
    secret: Callable[[], bytes]  # handed to the process `site` on its standard input
    is_ready: Callable[[], bool]
    metrics: Callable[[], Metrics]
    ticks: Sequence[str]  # which must not grow older than `stuck_seconds`
    state: Path  # whose disk must have room
    # Returns which process can read what files anew, or `None`; on SIGHUP, and where files changed.
    reload: Callable[[], str | None] = _nobody
    watched: Sequence[Path] = ()


def run_service(service: Service, settings: ServiceSettings) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP lets processes read anew what they can, and ends nothing.

    Raises:
        ConfigError: if the service runs already, or its health port is taken.
        FedccError: if a process ended at its start for a reason that needs a person.
    """
    with only_one(service.places.lock):
        running = _Running(service, settings)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: running.supervisor.stop.set())
        signal.signal(signal.SIGHUP, lambda *_: running.asked_to_reload.set())
        with Health(service.health.port, running.is_ready):
            code, reason = running.supervisor.run()
        running.notifier.stopping()
    if code:
        raise ERRORS[code](reason or f"a process ended with code {code} at its start.")


class _Running:
    """A service that runs."""

    def __init__(self, service: Service, settings: ServiceSettings) -> None:
        self._service, self._settings = service, settings
        self._group: Group | None = None
        self._began = time.monotonic()
        self._was_ready = self._has_worked = False
        self._written = 0.0
        self._seen = _marks(service.watched)
        self.asked_to_reload = threading.Event()
        self.notifier = Notifier()
        self.supervisor = Supervisor(
            self._children,
            service.places.folder,
            settings,
            self._stuck,
            self._each_second,
            lambda: self.notifier.alive("starts its processes again"),
            lambda: self._has_worked,
        )

    def _children(self) -> list[Child]:
        """Return the processes of a fresh start."""
        service = self._service
        service.places.renew()
        self._seen = _marks(service.watched)
        self._group, self._began = None, time.monotonic()
        module = "fedcc.federation.service.child"
        return [
            Child(
                name=kind,
                command=(sys.executable, "-m", module, kind, str(service.file)),
                environment=service.places.environment(
                    service.proxy if kind == "supernode" else None
                ),
                stdin=service.secret() if kind == "site" else b"",
            )
            for kind in service.kinds
        ]

    def is_ready(self) -> bool:
        """Tell whether all processes run and do their work."""
        group = self._group
        if group is None or group.ended() is not None or "ready" not in group.seen:
            return False
        if lacks_room(self._service.state, self._settings.free_megabytes):
            return False
        return self._service.is_ready()

    def _stuck(self) -> str | None:
        """Return what has not gone on for too long."""
        settings, ages = self._settings, self._service.places.ticks
        for name in self._service.ticks:
            age = ages.age(name)
            if age is not None and age > settings.stuck_seconds:
                return name
        late = time.monotonic() - self._began > settings.start_seconds
        group = self._group
        if late and group is not None and "ready" not in group.seen:
            return "start"
        return None

    def _each_second(self, group: Group) -> None:
        self._group = group
        self._reload(group)
        ready = self.is_ready()
        self._has_worked = self._has_worked or ready
        if ready != self._was_ready:
            self._was_ready = ready
            events.emit("ready" if ready else "not_ready", {})
        # Started is one thing; whether the other end answers is /readyz's to tell.
        self.notifier.ready()
        self.notifier.alive("ready" if ready else "waits for the other end")
        file, now = self._service.health.metrics_file, time.monotonic()
        if file is not None and now - self._written > self._settings.metrics_seconds:
            self._written = now
            own = {
                "fedcc_ready": ("Whether the service can do its work.", float(ready)),
                "fedcc_restarts_total": (
                    "Restarts of the service's processes.",
                    float(self.supervisor.restarts),
                ),
            }
            free = float(shutil.disk_usage(self._service.state).free)
            own["fedcc_disk_free_bytes"] = ("Left on the disk of `state`.", free)
            with contextlib.suppress(OSError):  # on a full disk the file grows old, which shows
                write_metrics(self._service.file.parent / file, {**own, **self._service.metrics()})

    def _reload(self, group: Group) -> None:
        """Pass SIGHUP on, if it came or a file changed, and there is something to read."""
        marks = _marks(self._service.watched)
        if marks == self._seen and not self.asked_to_reload.is_set():
            return
        process = self._service.reload()
        if process is None:  # nothing to read, or half there: looked at again in a second
            self.asked_to_reload.clear()
        elif self._service.is_ready():  # before, it would not know what the signal means
            self.asked_to_reload.clear()
            self._seen = marks
            group.hang_up(process)
            events.emit("reloaded", {"process": process})


def _marks(paths: Sequence[Path]) -> list[tuple[int, int]]:
    """Return what changes when a file is replaced."""
    found = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            found.append((status.st_mtime_ns, status.st_ino))
    return found
