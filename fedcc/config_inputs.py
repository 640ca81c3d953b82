"""What a composition of settings depends on: overrides, files and the environment."""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

MOST_FILES = 200  # in YAML, in a folder that is looked through for changes
MOST_ENTRIES = 2000  # of that folder


def inputs_hash(name: str, overrides: Sequence[str], folders: Sequence[Path]) -> bytes | None:
    """Return a hash of all that a composition depends on, or `None` if that cannot be told.

    Args:
        name: of the primary config.
        overrides: of Hydra.
        folders: that Hydra searches; the first is that of fedcc, a second one the user's.
    """
    own, parts = [name, *overrides], [str(folder) for folder in folders]
    parts += [f"{key}={value}" for key, value in sorted(os.environ.items())]
    for place, folder in enumerate(folders):
        files = _yaml_files(folder)
        if files is None:
            return None
        try:
            texts = [file.read_text(encoding="utf-8") for file in files]
        except (OSError, UnicodeDecodeError):
            return None
        parts += [*map(str, files), *texts]
        own += texts if place else []
    if any(re.search(r"\$\{\s*now", word) or "hydra." in word for word in own):
        return None
    return hashlib.sha256("\0".join([*parts, *own]).encode("utf-8", "surrogateescape")).digest()


def _yaml_files(folder: Path) -> list[Path] | None:
    """Return a folder's YAML files at any depth, or `None` if not all could be looked at."""
    found: list[Path] = []
    unread: list[OSError] = []
    n_entries = 0
    for place, folders, names in os.walk(folder, onerror=unread.append, followlinks=True):
        n_entries += len(folders) + len(names)
        found += [Path(place, name) for name in names if name.endswith(".yaml")]
        if n_entries > MOST_ENTRIES or len(found) > MOST_FILES:
            return None
    return None if unread or not folder.is_dir() else sorted(found)
