"""Checks of `fedcc doctor`: each ends as PASSED with what was found, or FAILED with the remedy.

A check is a function that returns what it found, or raises one of fedcc's errors, whose text names
place and remedy and whose exit code becomes that of the command. All checks run, whatever fails.
"""

import importlib.metadata
import os
import shutil
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from fedcc.crypto import contexts
from fedcc.crypto.private_files import read_private
from fedcc.errors import ConfigError, EnvelopeError, FedccError, ProtocolError, RecordError
from fedcc.version import __version__

GIGABYTE = 10**9
RANDOM_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class DoctorSettings:
    """From when on a check fails; values come from `configs/doctor.yaml`."""

    min_free_gigabytes: float
    certificate_days: float
    clock_skew_seconds: float
    timeout_seconds: float

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} must be > 0, got {value:g}")


@dataclass(frozen=True)
class Check:
    """One check that was made."""

    name: str
    found: str
    error: FedccError | None

    @property
    def passed(self) -> bool:
        """Whether all was well."""
        return self.error is None


Step = tuple[str, Callable[[], str]]


def examine(steps: Iterable[Step]) -> list[Check]:
    """Make every check; an unexpected error of the operating system fails the check it is in."""
    made = []
    for name, step in steps:
        try:
            made.append(Check(name, step(), None))
        except FedccError as error:
            made.append(Check(name, str(error), error))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            text = f"{error.filename or 'a file'}: {reason}. Let this user read it."
            made.append(Check(name, text, ConfigError(text)))
    return made


def exit_code(checks: Iterable[Check]) -> int:
    """Return 0, or the exit code of the first check that failed."""
    return next((one.error.exit_code for one in checks if one.error is not None), 0)


def versions() -> str:
    """Check every package that fedcc needs, against what fedcc declares.

    Raises:
        ConfigError: names the package and the remedy.
    """
    for text in declared_packages():
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            continue
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            found = "none"
        if found == "none" or not wanted.specifier.contains(found, prereleases=True):
            raise ConfigError(
                f"{wanted.name}: {found} is installed, fedcc needs {wanted.specifier or 'it'}. "
                "Install fedcc again with its constraints.txt, or from its bundle."
            )
    shown = ("flwr", "torch", "opacus", "tenseal")
    others = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in shown)
    return f"fedcc {__version__}, {others}"


def declared_packages() -> list[str]:
    """Return what the installed fedcc declares to need.

    Raises:
        ConfigError: if fedcc is not installed.
    """
    try:
        return importlib.metadata.requires("fedcc") or []
    except importlib.metadata.PackageNotFoundError:
        raise ConfigError("fedcc is not installed here: pip install it, or its bundle.") from None


def encryption() -> str:
    """Check that TenSEAL compresses fresh ciphertexts, on which the size of uploads rests.

    Raises:
        FedccError: if it does not.
    """
    contexts.check_seed_compression()
    return "TenSEAL makes ciphertexts of one polynomial and a seed"


def entropy() -> str:
    """Check that the operating system's generator is ready.

    Raises:
        ConfigError: if it would block, as on a machine that has just started.
    """
    try:
        os.getrandom(RANDOM_BYTES, os.GRND_NONBLOCK)
    except BlockingIOError:
        raise ConfigError(
            "the system's random generator is not ready. Wait, or install rng-tools."
        ) from None
    return "the system's random generator is ready"


def disk(folder: Path, settings: DoctorSettings) -> str:
    """Check that the disk of a folder, or of its nearest parent, has room and takes writes.

    Raises:
        ConfigError: if not.
    """
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / GIGABYTE
    if free < settings.min_free_gigabytes:
        raise ConfigError(
            f"{place}: {free:.1f} GB free; at least {settings.min_free_gigabytes:g} GB are needed. "
            "Free space: a full disk stops a run, since nothing leaves uncharged."
        )
    if not os.access(place, os.W_OK):
        raise ConfigError(f"{place} is not writable for this user. Run as the owner, or chown it.")
    return f"{free:.1f} GB free at {place}"


def private(paths: Iterable[Path]) -> str:
    """Check that private files are their owner's alone, and their folders nobody else's to write.

    Raises:
        RecordError: if one is missing.
        ProtocolError: if one is open to others.
    """
    paths = list(paths)
    for path in paths:
        read_private(path)
        mode = stat.S_IMODE(path.parent.stat().st_mode)
        if mode & 0o022:
            raise ProtocolError(
                f"{path.parent} can be written by others (mode {mode:04o}), who could exchange "
                f"what is in it: chmod go-w {path.parent}"
            )
    return f"{len(paths)} private files are open to user {os.geteuid()} alone"


def guarded(paths: Iterable[Path]) -> str:
    """Check that what decides is its owner's alone to write.

    Raises:
        ProtocolError: if others may write one of the files.
    """
    paths = [path for path in paths if path.exists()]  # what is missing is another check's
    for path in paths:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o022:
            raise ProtocolError(
                f"{path} can be written by others (mode {mode:04o}): chmod go-w {path}"
            )
    return f"{len(paths)} files can be written by their owner alone"


def lasting(end: datetime, what: str, settings: DoctorSettings, now: datetime, remedy: str) -> str:
    """Check that a certificate does not end soon.

    Raises:
        EnvelopeError: if it does.
    """
    left = end - now
    if left < timedelta(days=settings.certificate_days):
        raise EnvelopeError(f"{what} ends on {end:%F}, in {left.days} days. {remedy}")
    return f"{what} is valid until {end:%F}"


def readable(path: Path, what: str) -> None:
    """Check that data is there and can be opened; nothing of it is read.

    Raises:
        RecordError: if not.
    """
    if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        raise RecordError(f"{what}: {path} is missing or not readable for this user.")
