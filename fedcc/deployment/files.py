"""Replacing files whole, and removing them, so that a crash leaves the old or the new content."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedcc.errors import ConfigError
from fedcc.hash_chain import sync_folder


def replace_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file under a temporary name, put it on disk and rename it.

    Raises:
        ConfigError: if it cannot be written; what was there before still is.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(partial, flags, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        sync_folder(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file that is read, judged and replaced; others wait.

    Raises:
        ConfigError: if there can be no lock.
    """
    try:
        descriptor = os.open(
            path.with_name(f".{path.name}.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600
        )
    except OSError as error:
        raise ConfigError(f"{path} cannot be locked: {error.strerror}.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def remove_file(path: Path) -> None:
    """Remove a file that may be missing.

    Raises:
        ConfigError: if it is there and cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            sync_folder(path.parent)
    except OSError as error:
        raise ConfigError(f"{path} cannot be removed: {error.strerror}.") from None


def move_file(source: Path, target: Path) -> None:
    """Rename a file inside one file system; what has the new name is replaced.

    Raises:
        ConfigError: if it cannot be renamed.
    """
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.replace(source, target)
        sync_folder(target.parent)
        sync_folder(source.parent)
    except OSError as error:
        raise ConfigError(f"{source} cannot be moved to {target}: {error.strerror}.") from None
