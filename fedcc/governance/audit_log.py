"""A site's audit log: who did what to which subject, hash-chained, one JSON line each.

It holds actions and counts, never rows and never a customer's content.
"""

from datetime import datetime
from pathlib import Path

from fedcc.hash_chain import HashChain


class AuditLog:
    """The open audit log of one actor."""

    def __init__(self, path: Path, actor: str) -> None:
        """Open or create the log.

        Raises:
            ProtocolError: if its chain is broken or it is in use.
        """
        self._chain = HashChain(path, sync=False)
        self._actor = actor

    def note(self, action: str, subject: str, *, now: datetime) -> None:
        """Append one entry."""
        self._chain.append(
            {"time": now.isoformat(), "actor": self._actor, "action": action, "subject": subject}
        )

    def close(self) -> None:
        """Release the file."""
        self._chain.close()
