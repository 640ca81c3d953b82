"""A Flower grid that runs the ClientApp of every site in this process, one after another.

The same ServerApp and ClientApp run under Flower's own grids; only this class differs. A site that
raises becomes an error reply, a reply that comes after the time-out is thrown away.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from fedcc.federation import flower_compat

FIRST_NODE = 1000

Offline = Callable[[int, Message], bool]
"""Tells whether node index (from 0) misses a message."""


def _never_offline(index: int, message: Message) -> bool:
    return False


def _no_exchange(message: Message) -> None:
    return None


def _nobody_listens(message: Message, reply: Message) -> None:
    return None


class InProcessGrid(Grid):
    """Delivers messages to sites of this process."""

    def __init__(
        self,
        client_app: ClientApp,
        n_nodes: int,
        *,
        offline: Offline = _never_offline,
        after_exchange: Callable[[Message], None] = _no_exchange,
        overhear: Callable[[Message, Message], None] = _nobody_listens,
        isolate: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create one context per node.

        Args:
            client_app: the sites' app; finds its site by `node_config["partition-id"]`.
            n_nodes: number of sites.
            offline: plays dropouts.
            after_exchange: called with the first message of an exchange once all replies are in;
                a simulation's progress hangs here, outside the protocol.
            overhear: called with each message and its reply; attacks listen here.
            isolate: pass every message through protobuf, as a network would.
            clock: seconds, for the time-out.
        """
        flower_compat.enter_run()
        self._app = client_app
        self._run = flower_compat.empty_run()
        self._offline = offline
        self._after_exchange = after_exchange
        self._overhear = overhear
        self._isolate = isolate
        self._clock = clock
        self._replies: dict[str, Message] = {}
        self._contexts: dict[int, Context] = {
            FIRST_NODE + index: flower_compat.new_context(
                FIRST_NODE + index, {"partition-id": index, "num-partitions": n_nodes}
            )
            for index in range(n_nodes)
        }

    def set_run(self, run: flower_compat.Run) -> None:
        """Set Flower's record of the run."""
        self._run = run

    @property
    def run(self) -> flower_compat.Run:
        """Flower's record of the run."""
        return self._run

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

    def get_node_ids(self) -> list[int]:
        """Return the ids of all nodes."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Deliver messages at once and keep the replies."""
        listed = list(messages)
        ids = [_named(message) for message in listed]
        for message, message_id in zip(listed, ids, strict=True):
            self._deliver(message, message_id, None)
        return ids

    def _deliver(self, message: Message, message_id: str, deadline: float | None) -> None:
        node = message.metadata.dst_node_id
        if self._offline(node - FIRST_NODE, message):
            return
        if self._isolate:
            message = flower_compat.through_the_wire(message)
        try:
            reply = self._app(message, self._contexts[node])
        except Exception as error:  # one failing site is an error reply, its text stays there
            reply = Message(Error(code=0, reason=type(error).__name__), reply_to=message)
        if self._isolate and reply.has_content():
            reply = flower_compat.through_the_wire(reply)
        if deadline is None or self._clock() <= deadline:
            self._replies[message_id] = reply
            self._overhear(message, reply)

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies that are there."""
        return [self._replies.pop(i) for i in message_ids if i in self._replies]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Sequence[Message]:
        """Deliver messages and return the replies that came in time."""
        return list(self.receive_each(messages, timeout=timeout))

    def receive_each(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        """Deliver messages one after another and yield each reply that came in time."""
        listed = list(messages)
        deadline = None if timeout is None else self._clock() + timeout
        ids = [_named(message) for message in listed]
        for message, message_id in zip(listed, ids, strict=True):
            self._deliver(message, message_id, deadline)
            yield from self.pull_messages([message_id])
        if listed:
            self._after_exchange(listed[0])


def _named(message: Message) -> str:
    """Give a message its id, and return it."""
    message_id = str(uuid.uuid4())
    flower_compat.set_message_id(message, message_id)
    return message_id
