"""Wheels as files: what one is called, needs and is licensed under, read from its own metadata."""

import email.message
import email.parser
import hashlib
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from fedcc.errors import ConfigError, RecordError

MAX_LICENCE = 80  # characters; what is longer is a text and not a name
_CLASSIFIER = "License :: "
_COPYLEFT = re.compile(r"\b(A|L)?GPL|General Public Licen[sc]e", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """One wheel."""

    path: Path
    name: str  # canonical
    version: str
    sha256: str
    size: int  # bytes
    licence: str | None
    requires: tuple[str, ...]

    @property
    def copyleft(self) -> bool:
        """Whether its licence asks for something of who passes it on."""
        return self.licence is not None and _COPYLEFT.search(self.licence) is not None

    @property
    def purl(self) -> str:
        """Package URL (github.com/package-url/purl-spec)."""
        return f"pkg:pypi/{self.name}@{self.version.replace('+', '%2B')}"


def read_wheel(path: Path) -> Wheel:
    """Read a wheel's metadata and hash.

    Raises:
        RecordError: if it is no wheel.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            places = [
                n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n)
            ]
            text = archive.read(places[0]).decode()
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, zipfile.BadZipFile, IndexError, KeyError, UnicodeDecodeError):
        raise RecordError(f"{path} is not a readable wheel.") from None
    told = email.parser.HeaderParser().parsestr(text)
    name, version = told.get("Name"), told.get("Version")
    if not name or not version:
        raise RecordError(f"{path} does not tell its name and version.")
    return Wheel(
        path=path,
        name=canonicalize_name(name),
        version=version,
        sha256=digest,
        size=path.stat().st_size,
        licence=_licence(told),
        requires=tuple(told.get_all("Requires-Dist") or ()),
    )


def _licence(told: email.message.Message) -> str | None:
    """Return the licence as the package itself names it, newest way first, or `None`."""
    expression = told.get("License-Expression")
    if expression:
        return str(expression)
    names = [
        text.rpartition(" :: ")[2]
        for text in told.get_all("Classifier") or ()
        if text.startswith(_CLASSIFIER)
    ]
    named = sorted({name for name in names if name != "OSI Approved"})
    if named:
        return "; ".join(named)
    first = str(told.get("License") or "").strip().partition("\n")[0].strip()
    return first if first and len(first) <= MAX_LICENCE and first != "UNKNOWN" else None


def needs(requires: Iterable[str], extras: Iterable[str]) -> list[Requirement]:
    """Return the requirements that hold on this machine for some extras.

    Raises:
        ConfigError: if one does not parse.
    """
    found = []
    for text in requires:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            raise ConfigError(f"a requirement that does not parse: {text[:80]}") from None
        marker = wanted.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            found.append(wanted)
    return found


def closure(
    requires: Iterable[str],
    extras: Iterable[str],
    installed: Mapping[str, tuple[str, tuple[str, ...]]],
) -> dict[str, str]:
    """Return name and version of everything that some requirements come to.

    Args:
        requires: of the root.
        extras: of the root.
        installed: by canonical name: version, and what it requires.

    Raises:
        ConfigError: if one is not installed, or in a version that is not wanted.
    """
    pins: dict[str, str] = {}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    waiting = needs(requires, extras)
    while waiting:
        wanted = waiting.pop()
        name, its_extras = canonicalize_name(wanted.name), tuple(sorted(wanted.extras))
        version, its_requires = installed.get(name, ("none", ()))
        if version == "none" or not wanted.specifier.contains(version, prereleases=True):
            raise ConfigError(
                f"{wanted} is needed, and {version} is installed. Make the bundle in an "
                "environment that holds the tested set: pip install -c constraints.txt fedcc[...]"
            )
        pins[name] = version
        if (name, its_extras) not in seen:
            seen.add((name, its_extras))
            waiting += needs(its_requires, its_extras)
    return pins


def check_complete(wheels: Iterable[Wheel], root: str, extras: Iterable[str]) -> None:
    """Check that a set of wheels holds everything that its root needs, by their own metadata.

    Raises:
        ConfigError: names what is missing or there twice.
    """
    wheels = list(wheels)
    held = {one.name: (one.version, one.requires) for one in wheels}
    if len(held) != len(wheels):
        names = sorted(one.name for one in wheels)
        twice = next(a for a, b in zip(names, names[1:], strict=False) if a == b)
        raise ConfigError(f"{twice} is in the bundle twice. Begin with an empty folder.")
    needed = closure(held[root][1], extras, held)
    unneeded = sorted(set(held) - set(needed) - {root})
    if unneeded:
        raise ConfigError(f"{unneeded[0]} is in the bundle and nothing needs it.")
