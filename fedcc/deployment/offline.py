"""A bundle that installs fedcc on a machine without network: wheels, hashes, papers and a script.

The wheels are those of the environment in which the bundle is made, version by version.
`SHA256SUMS` covers every file, and its own hash, which the command prints, is what a person
confirms at the other end: whoever exchanges a file on the way has to change it. Nothing in a bundle
is secret.
"""

import hashlib
import importlib.metadata
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from packaging.utils import canonicalize_name

from fedcc.crypto.private_files import create_new
from fedcc.deployment.inventory import bill_of_materials, licences, locked
from fedcc.deployment.wheels import Wheel, check_complete, closure, read_wheel
from fedcc.errors import ConfigError, TooFewSites

INSTALL = """\
#!/bin/sh
# Installs fedcc from this folder alone; no network is used.
#   ./install.sh TARGET [SHA256]     TARGET: a new virtual environment
#                                    SHA256: of SHA256SUMS, as whoever made the bundle told you
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=${1:?name the folder of the new environment}
cd "$here"
if [ $# -ge 2 ]; then
    echo "$2  SHA256SUMS" | sha256sum --check --strict --quiet
else
    echo "not compared with what was told: $(sha256sum SHA256SUMS)" >&2
fi
sha256sum --check --strict --quiet SHA256SUMS
${PYTHON:-python3} -m venv "$target"
"$target/bin/python" -m pip install --quiet --isolated --no-index --no-deps --only-binary :all: \\
    --find-links wheels --require-hashes --requirement requirements.lock
"$target/bin/python" -m pip check
echo "installed: $target/bin"
"""


@dataclass(frozen=True)
class Bundle:
    """A bundle that was written."""

    folder: Path
    wheels: tuple[Wheel, ...]
    sha256: str  # of SHA256SUMS

    @property
    def size(self) -> int:
        """Bytes of all wheels."""
        return sum(one.size for one in self.wheels)


def installed_set() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return what is installed here, as `closure` wants it."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for one in importlib.metadata.distributions():
        name = one.metadata["Name"]
        if name:
            found[canonicalize_name(name)] = (one.version, tuple(one.requires or ()))
    return found


def fetch(pins: Mapping[str, str], wheels: Path, *, constraints: Path | None) -> None:
    """Have pip download each pinned wheel, or build it where there is only a source.

    Raises:
        TooFewSites: if pip cannot; it needs the network or an index.
    """
    names = [f"{name}=={version}" for name, version in sorted(pins.items())]
    _pip("wheel", "--no-deps", "--wheel-dir", str(wheels), *_constraint(constraints), *names)


def build_root(source: Path, wheels: Path) -> None:
    """Put fedcc's own wheel into the folder: a wheel is copied, a checkout is built.

    Raises:
        TooFewSites: if pip cannot build it.
    """
    _pip("wheel", "--no-deps", "--wheel-dir", str(wheels), str(source))


def _constraint(path: Path | None) -> list[str]:
    return [] if path is None else ["--constraint", str(path)]


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise TooFewSites(f"pip {arguments[0]} failed: {' '.join(last)[:200]}")


def write_bundle(folder: Path, root: str, extras: Sequence[str], now: datetime) -> Bundle:
    """Write the papers for the wheels that lie in `folder/wheels`.

    Args:
        folder: of the bundle.
        root: canonical name of the package that everything is for.
        extras: of the root.
        now: for the bill of materials.

    Raises:
        ConfigError: if a wheel is missing, there twice or needless, or a paper exists already.
        RecordError: if a file there is no wheel.
    """
    wheels = tuple(read_wheel(path) for path in sorted((folder / "wheels").iterdir()))
    own = next((one for one in wheels if one.name == root), None)
    if own is None:
        raise ConfigError(f"{folder / 'wheels'} holds no wheel of {root}.")
    check_complete(wheels, root, extras)
    papers = {
        "requirements.lock": locked(wheels),
        "sbom.cdx.json": bill_of_materials(wheels, own, now),
        "licences.txt": licences(wheels),
        "install.sh": INSTALL.encode(),
    }
    sums = {f"wheels/{one.path.name}": one.sha256 for one in wheels}
    for name, content in papers.items():
        create_new(folder / name, content, mode=0o755 if name == "install.sh" else 0o644)
        sums[name] = hashlib.sha256(content).hexdigest()
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
    create_new(folder / "SHA256SUMS", text.encode(), mode=0o644)
    return Bundle(folder, wheels, hashlib.sha256(text.encode()).hexdigest())


def make_bundle(
    folder: Path,
    source: Path,
    extras: Sequence[str],
    *,
    constraints: Path | None,
    now: datetime,
) -> Bundle:
    """Make a bundle of fedcc and everything that it needs.

    Args:
        folder: a new folder.
        source: fedcc's wheel, or a checkout of it.
        extras: of fedcc.
        constraints: a file for pip, for what has to be built.
        now: for the bill of materials.

    Raises:
        ConfigError: if the folder is not empty, or this environment is not the tested set.
        TooFewSites: if pip cannot fetch or build a wheel.
    """
    wheels = folder / "wheels"
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty. Name a new folder.")
    wheels.mkdir(parents=True)
    build_root(source, wheels)
    (own,) = (read_wheel(path) for path in wheels.iterdir())
    known = {text.split("==")[-1].strip("\"' )") for text in own.requires if "extra ==" in text}
    strangers = sorted(set(extras) - known)
    if strangers:
        raise ConfigError(
            f"fedcc has no extra '{strangers[0]}'; known: {', '.join(sorted(known))}."
        )
    fetch(closure(own.requires, extras, installed_set()), wheels, constraints=constraints)
    return write_bundle(folder, own.name, extras, now)
