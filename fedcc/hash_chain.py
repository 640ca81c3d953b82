"""Append-only JSON lines in which every line holds the hash of the line before it.

Guarantees: a changed, removed or reordered line is found and named when the file is opened or
verified; a line that could not be written whole leaves the file as it was; with `sync` the line is
on disk before `append` returns. Cutting whole lines off the end is not detected by the file alone.
Used by the privacy ledger (with sync) and by the audit log.
"""

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
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict) or entry.get("previous_hash") != previous:
            raise ProtocolError(f"{path}, line {number}: the hash chain is broken here.")
        if entry.get("hash") != _line_hash(entry):
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
            self.entries, length = read_chain(path)
            os.ftruncate(self._fd, length)
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def head(self) -> str:
        """Hash of the last line."""
        return str(self.entries[-1]["hash"]) if self.entries else GENESIS

    def append(self, fields: Mapping[str, object]) -> None:
        """Append one line; on any failure the file is cut back to what it was.

        Raises:
            OSError: if the line cannot be written (for instance a full disk).
        """
        entry = {**fields, "previous_hash": self.head}
        entry["hash"] = _line_hash(entry)
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        start = os.fstat(self._fd).st_size
        try:
            if os.write(self._fd, line) != len(line):
                raise OSError(28, "no space left", str(self.path))
            if self._sync:
                os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, start)
            raise
        self.entries.append(entry)

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


class FrozenChain(HashChain):
    """A chain that is only read: nothing is created, locked, repaired or appended."""

    def __init__(self, path: Path | None) -> None:
        """Read and verify the file; none, or one that is not there, is an empty chain.

        Raises:
            ProtocolError: if the chain is broken.
            OSError: if the file cannot be read.
        """
        self.path, self._sync, self._fd = path or Path("a new ledger"), False, -1
        self.entries = read_chain(path)[0] if path is not None and path.exists() else []

    def append(self, fields: Mapping[str, object]) -> None:
        """Refuse.

        Raises:
            ProtocolError: always.
        """
        raise ProtocolError(f"{self.path} was opened for reading alone.")
