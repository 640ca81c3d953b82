"""A grid that looks for replies sooner than the one it wraps, and passes each on when it comes.

The grid of Flower's deployment looks every 3 seconds, which is most of the time of an exchange
on one machine, and returns all replies at the end, which takes memory for all of them. What is sent
and what is received stays the same.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from fedcc.federation.flower_compat import Run

AT_ONCE = 8  # nodes whose replies are held at the same time


def _nobody_asks(node: int) -> None:
    return None


def _nobody_looks() -> None:
    return None


class PromptGrid(Grid):
    """Another grid, with its own waiting."""

    def __init__(
        self,
        grid: Grid,
        poll: float,
        on_lost: Callable[[int], None] = _nobody_asks,
        on_look: Callable[[], None] = _nobody_looks,
    ) -> None:
        """Wrap `grid`.

        Args:
            grid: that carries the messages.
            poll: seconds between two looks for replies.
            on_lost: called with a node from which an error came instead of a reply.
            on_look: called before each look for replies: a caller that goes on is not stuck.
        """
        self._grid, self._poll, self._on_lost, self._on_look = grid, poll, on_lost, on_look

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
        return list(self.receive_each(messages, timeout=timeout))

    def receive_each(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        """Send messages and yield each reply that comes in time."""
        listed = list(messages)
        # As a dictionary: ids stay in the order in which they were sent.
        waiting = dict.fromkeys(i for i in self.push_messages(listed) if i)
        node_of = {each.metadata.message_id: each.metadata.dst_node_id for each in listed}
        deadline = None if timeout is None else time.monotonic() + timeout
        while waiting and (deadline is None or time.monotonic() <= deadline):
            before, left = len(waiting), iter(list(waiting))
            while some := list(islice(left, AT_ONCE)):
                self._on_look()
                for reply in self.pull_messages(some):
                    asked = reply.metadata.reply_to_message_id
                    waiting.pop(asked, None)
                    if reply.has_error():  # its own sender is not the node
                        self._on_lost(node_of.get(asked, 0))
                    yield reply
            if len(waiting) == before:
                time.sleep(self._poll)
