"""Files that only their owner may read: checked on the open file, created once, never overwritten.

Whoever could read a private file may have its content, so a file that is open to others is refused
and not quietly repaired: its owner has to decide whether the key is still good.
"""

import errno
import os
import stat
from pathlib import Path

from fedcc.errors import ConfigError, ProtocolError, RecordError
from fedcc.hash_chain import sync_folder

MAX_PRIVATE_BYTES = 1 << 16


def read_private(path: Path) -> bytes:
    """Return the content of a private file.

    Everything is asked of the file that was opened and not of its name, which could point
    elsewhere a moment later.

    Raises:
        RecordError: if it cannot be read, is no file or is far too long.
        ProtocolError: if it is a link, belongs to somebody else or is open to others.
    """
    try:
        with open(path, "rb", opener=_open_no_link) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise RecordError(f"{path} is not a file.")
            _check_owner(found, path)
            content = file.read(MAX_PRIVATE_BYTES + 1)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ProtocolError(f"{path} is a symbolic link. Name the file itself.") from None
        raise RecordError(f"{path} cannot be read: {error.strerror}.") from None
    if len(content) > MAX_PRIVATE_BYTES:
        raise RecordError(f"{path} is longer than any private file of fedcc.")
    return content


def _open_no_link(path: str, flags: int) -> int:
    # Without O_NONBLOCK, opening a pipe would wait for whoever writes to it.
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _check_owner(found: os.stat_result, path: Path) -> None:
    if found.st_uid != os.geteuid():
        raise ProtocolError(
            f"{path} belongs to user {found.st_uid}, and fedcc runs as {os.geteuid()}. Run fedcc "
            "as the owner of the file."
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise ProtocolError(
            f"{path} is open to other users (mode {stat.S_IMODE(found.st_mode):04o}). If nobody "
            f"else can have read it: chmod 600 {path}; otherwise make a new one and revoke this."
        )


def create_new(path: Path, content: bytes, *, mode: int) -> None:
    """Write a new file; its folder is made with mode 0700 if it is missing.

    Raises:
        ConfigError: if something of that name exists, or it cannot be written.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, flags, mode)
    except FileExistsError:
        raise ConfigError(f"{path} exists, and is never overwritten.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be created: {error.strerror}.") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        sync_folder(path.parent)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from None
