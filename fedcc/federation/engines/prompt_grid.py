"""A grid that looks for replies sooner than the one it wraps.

The grid of Flower's deployment looks every 3 seconds, which is most of the time of an exchange
on one machine. What is sent and what is received stays the same.
"""

import time
from collections.abc import Callable, Iterable, Sequence

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from fedcc.federation.flower_compat import Run


def _nobody_asks(node: int) -> None:
    return None


class PromptGrid(Grid):
    """Another grid, with its own waiting."""

    def __init__(
        self, grid: Grid, poll: float, on_lost: Callable[[int], None] = _nobody_asks
    ) -> None:
        """Wrap `grid`.

        Args:
            grid: that carries the messages.
            poll: seconds between two looks for replies.
            on_lost: called with a node from which an error came instead of a reply.
        """
        self._grid, self._poll, self._on_lost = grid, poll, on_lost

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
        listed = list(messages)
        waiting = {i for i in self.push_messages(listed) if i}
        node_of = {each.metadata.message_id: each.metadata.dst_node_id for each in listed}
        deadline = None if timeout is None else time.monotonic() + timeout
        replies: list[Message] = []
        while waiting and (deadline is None or time.monotonic() <= deadline):
            came = list(self.pull_messages(waiting))
            replies += came
            for reply in came:
                if reply.has_error():  # its own sender is not the node
                    self._on_lost(node_of.get(reply.metadata.reply_to_message_id, 0))
            waiting -= {reply.metadata.reply_to_message_id for reply in came}
            if waiting and not came:
                time.sleep(self._poll)
        return replies
