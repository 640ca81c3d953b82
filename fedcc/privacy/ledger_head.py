"""The head file beside a ledger: how many lines there must be at least, and the hash of the last.

A hash chain cannot tell that whole lines were cut off its end. The head can: it is written (and
fsynced) after each charge is on disk, so it never names a line that is not. It lies in two slots
that take turns; a write that a power cut tears leaves the slot of the charge before.

What it protects: a charge cut off the ledger's end, by a restored backup, a damaged file system or
an editor, is found and its line named. What it does not: it holds no secret, so whoever changes
both files alike, or deletes both, is not found; nor are notes after the last charge (settle,
abort), which carry no charge, unless the ledger was closed in order.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedcc.errors import ProtocolError
from fedcc.hash_chain import sync_folder

SLOT_BYTES = 4096  # a slot of its own block: a torn write of one cannot touch the other
_REMEDY = (
    "Restore the ledger and its head from the same backup, or begin a new ledger whose caps are "
    "lowered by what was spent; charges are missing here."
)


@dataclass(frozen=True)
class Mark:
    """A line that the ledger must hold: its number from 1 and its hash."""

    line: int
    line_hash: str

    def to_slot(self) -> bytes:
        """Return the bytes of one slot, padded and with a check of their own."""
        body = f"{self.line} {self.line_hash}"
        return f"{body} {_digest(body)}\n".encode().ljust(SLOT_BYTES - 1) + b"\n"

    @classmethod
    def from_slot(cls, slot: bytes) -> "Mark | None":
        """Read a slot back; `None` if it is not, byte for byte, one that `to_slot` wrote."""
        words = slot.split()
        if len(words) != 3 or not words[0].isdigit() or len(words[0]) > 12 or words[0] == b"0":
            return None
        mark = cls(int(words[0]), words[1].decode("ascii", "replace"))
        return mark if mark.to_slot() == slot else None


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def head_path(ledger: Path) -> Path:
    """Return the head file of a ledger."""
    return ledger.with_suffix(".head")


def read_marks(path: Path) -> tuple[Mark | None, Mark | None]:
    """Return both slots of a head file; a missing, torn or empty one is `None`."""
    raw = path.read_bytes() if path.exists() else b""
    return (
        Mark.from_slot(raw[:SLOT_BYTES]),
        Mark.from_slot(raw[SLOT_BYTES : 2 * SLOT_BYTES]),
    )


def newest(marks: Sequence[Mark | None]) -> Mark | None:
    """Return the mark that goes furthest."""
    found = [mark for mark in marks if mark is not None]
    return max(found, key=lambda mark: mark.line, default=None)


def check_mark(ledger: Path, mark: Mark | None, hashes: Sequence[str], *, head_due: bool) -> None:
    """Refuse a ledger that does not hold the marked line.

    Args:
        ledger: the file, for the message.
        mark: of its head, or `None` if no slot of it can be read.
        hashes: of the ledger's whole lines, in order.
        head_due: whether the ledger holds a charge that a head must have been written before.

    Raises:
        ProtocolError: names the missing lines, or the line that is another one.
    """
    if mark is None:
        if head_due:
            raise ProtocolError(
                f"{head_path(ledger)}: the head is missing or cannot be read, and the ledger "
                f"beside it holds charges. {_REMEDY}"
            )
        return
    if mark.line > len(hashes):
        raise ProtocolError(
            f"{ledger}, line {len(hashes) + 1}: the ledger was cut off here; its head says that "
            f"{mark.line} lines were written. {_REMEDY}"
        )
    if hashes[mark.line - 1] != mark.line_hash:
        raise ProtocolError(
            f"{ledger}, line {mark.line}: this is not the line that the head names; the ledger or "
            f"its head was replaced. {_REMEDY}"
        )


class LedgerHead:
    """The open head file of a ledger that this process has locked."""

    def __init__(self, path: Path) -> None:
        """Open or create the file (mode 0600)."""
        self.path = path
        self._fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            sync_folder(path.parent)
            self._marks = list(read_marks(path))
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def mark(self) -> Mark | None:
        """The newest mark."""
        return newest(self._marks)

    def advance(self, mark: Mark) -> None:
        """Write a newer mark over the older slot, on disk before this returns.

        Raises:
            OSError: if it cannot be written; the other slot still holds the mark before.
        """
        # The slot of the newest mark stays; of two alike, either may go.
        slot = 0 if self._marks[1] is not None and self._marks[1] == self.mark else 1
        content = mark.to_slot()
        if os.pwrite(self._fd, content, slot * SLOT_BYTES) != len(content):
            raise OSError(28, "no space left", str(self.path))
        os.fsync(self._fd)
        self._marks[slot] = mark

    def close(self) -> None:
        """Release the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
