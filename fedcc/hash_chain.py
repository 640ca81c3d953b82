"""Append-only JSON lines in which every line holds the hash of the line before it.

Guarantees: a changed, removed, repeated or reordered byte or line is found and its line named when
the file is opened or verified; a line that could not be written whole leaves the file as it was;
with `sync` the line is on disk before `append` returns. Cutting whole lines off the end is not
detected by the file alone, and whoever may write the file can forge a whole chain: there is no
secret in it. Used by the privacy ledger (with sync and a head file) and by the audit log.
"""

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from fedcc.errors import ProtocolError

GENESIS = "0" * 64


def _line_hash(entry: Mapping[str, object]) -> str:
    body = {key: value for key, value in entry.items() if key != "hash"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _line_bytes(entry: Mapping[str, object]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode()


def read_chain(path: Path) -> tuple[list[dict[str, object]], int]:
    """Return the entries of a chain and the length in bytes of its whole lines.

    A last line without a line end was never finished (nothing that waited for it has happened), so
    it is left out.

    Raises:
        ProtocolError: names the first line that does not parse or does not fit the chain.
    """
    raw = path.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    entries: list[dict[str, object]] = []
    previous = GENESIS
    for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict) or entry.get("previous_hash") != previous:
            raise ProtocolError(f"{path}, line {number}: the hash chain is broken here.")
        # The hash covers values; the bytes must be those that `append` writes for them, or a
        # blank more or 1e0 for 1.0 would go unnoticed.
        if entry.get("hash") != _line_hash(entry) or line != _line_bytes(entry):
            raise ProtocolError(f"{path}, line {number}: the line was altered.")
        previous = str(entry["hash"])
        entries.append(entry)
    return entries, len(whole)


def sync_folder(folder: Path) -> None:
    """Put a folder's own entries on disk, after a file in it was created or renamed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class HashChain:
    """One open chain file; holds a lock so that no second process appends to it."""

    def __init__(self, path: Path, *, sync: bool) -> None:
        """Open or create the file at `path` (mode 0600), verify it and lock it.

        Raises:
            ProtocolError: if the chain is broken or another process holds it.
        """
        self.path = path
        self._sync = sync
        self._unknown = False  # whether a failed write left the disk in an unknown state
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise ProtocolError(
                f"{path} is in use by another run. Wait for it, or name another folder."
            ) from error
        try:
            if sync:
                sync_folder(path.parent)  # a new file's name must survive a power cut too
            self.entries, self._length = read_chain(path)
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def closed(self) -> bool:
        """Whether the file was released."""
        return self._fd < 0

    @property
    def head(self) -> str:
        """Hash of the last line."""
        return str(self.entries[-1]["hash"]) if self.entries else GENESIS

    def append(self, fields: Mapping[str, object]) -> None:
        """Append one line; on any failure the file is cut back to what it was.

        Raises:
            OSError: if the line cannot be written (for instance a full disk). Once the disk could
                not confirm a line, nothing is appended until the file is opened again: a second
                fsync may report success for bytes that the kernel has given up.
        """
        if self._unknown:
            raise OSError(errno.EIO, "an earlier write failed; open it again", str(self.path))
        entry = {**fields, "previous_hash": self.head}
        entry["hash"] = _line_hash(entry)
        line = _line_bytes(entry) + b"\n"
        self._unknown = True
        # An unfinished line is cut off here and not on opening: a refused file stays as it was.
        os.ftruncate(self._fd, self._length)
        try:
            if os.write(self._fd, line) != len(line):
                raise OSError(errno.ENOSPC, "no space left", str(self.path))
        except OSError:
            os.ftruncate(self._fd, self._length)
            self._unknown = False
            raise
        if self._sync:
            self._confirm()
        self._length += len(line)
        self._unknown = False
        self.entries.append(entry)

    def _confirm(self) -> None:
        """Put the last line on disk, or cut it off again and stay closed to further lines."""
        try:
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self._length)
            raise

    def close(self) -> None:
        """Release the lock and the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> "HashChain":
        """Return the chain itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()
