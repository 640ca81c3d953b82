"""Weights and tokenizers inside installed packages, found without importing the package.

Each file is pinned by its SHA-256, so equal settings mean equal vectors at every site, and the
fingerprint of an encoder is known without reading its weights. The very bytes that were hashed are
the bytes that are used.
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from fedcc.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class PinnedFile:
    """A file of an installed package, with the content that fedcc was tested with."""

    package: str  # the name that is imported
    path: str  # inside the package
    size: int  # bytes
    sha256: str


def require_package(package: str, encoder: str) -> Path:
    """Return the folder of an installed package.

    Raises:
        ConfigError: names the extra to install.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            f"encoder={encoder} needs the package '{package}', which is not installed. "
            "Install it: pip install 'fedcc[text]'. Or choose encoder=hashing, which needs nothing."
        )
    return Path(spec.submodule_search_locations[0])


def locate(file: PinnedFile, encoder: str) -> Path:
    """Return where a pinned file is; its size is checked, its content is left to `read_pinned`.

    Raises:
        ConfigError: if the package or the file is missing, or the file has another size.
    """
    path = require_package(file.package, encoder) / file.path
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}). {_remedy(file)}") from error
    if size != file.size:
        raise ConfigError(f"{path}: {size} bytes instead of {file.size}. {_remedy(file)}")
    return path


def read_pinned(file: PinnedFile, path: Path) -> bytes:
    """Return the content of a pinned file.

    Raises:
        ConfigError: if it cannot be read or is not the file that fedcc was tested with.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}). {_remedy(file)}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise ConfigError(
            f"{path}: its SHA-256 is {found[:16]}… instead of {file.sha256[:16]}…, so its vectors "
            f"would not fit those of other sites. {_remedy(file)}"
        )
    return content


def _remedy(file: PinnedFile) -> str:
    return f"Install '{file.package}' again: pip install --force-reinstall 'fedcc[text]'."
