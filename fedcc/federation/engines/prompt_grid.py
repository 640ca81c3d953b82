"""A grid that looks for replies sooner than the one it wraps.

The grid of Flower's deployment looks every 3 seconds, which is most of the time of an exchange
on one machine. What is sent and what is received stays the same.
"""

import time
from collections.abc import Iterable, Sequence

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from fedcc.federation.flower_compat import Run


class PromptGrid(Grid):
    """Another grid, with its own waiting."""

    def __init__(self, grid: Grid, poll: float) -> None:
        """Wrap `grid` and look for replies every `poll` seconds."""
        self._grid, self._poll = grid, poll

    def set_run(self, run: Run) -> None:
        """Set Flower's record of the run."""
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        """Flower's record of the run."""
        return self._grid.run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Create a message (part of Flower's interface)."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of all connected nodes."""
        return self._grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages and return their ids."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that are there."""
        return self._grid.pull_messages(message_ids)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Sequence[Message]:
        """Send messages and return the replies that came in time."""
        waiting = {i for i in self.push_messages(list(messages)) if i}
        deadline = None if timeout is None else time.monotonic() + timeout
        replies: list[Message] = []
        while waiting and (deadline is None or time.monotonic() <= deadline):
            came = list(self.pull_messages(waiting))
            replies += came
            waiting -= {reply.metadata.reply_to_message_id for reply in came}
            if waiting and not came:
                time.sleep(self._poll)
        return replies
