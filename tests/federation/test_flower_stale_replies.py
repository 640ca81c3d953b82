"""A node answers the message that it took last, also after one that it could not confirm."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from flwr.app import Message
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.run import Run, RunNotRunningException
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode import start_client_internal
from flwr.supernode.nodestate import NodeStateFactory

from fedcc.federation.flower_compat import enter_run
from fedcc.federation.flower_supernode import forget_stale_replies
from fedcc.federation.messages import Parcel

RUN, NODE = 5, 7


def nothing() -> None:
    """Nothing happens meanwhile."""


@dataclass
class Node:
    """Flower's node between a SuperLink that is played here and a site that is, too."""

    sent: list[int] = field(default_factory=list)  # rounds of the messages that were answered

    def __post_init__(self) -> None:
        factory = NodeStateFactory(ObjectStoreFactory())
        self.state, self.store = factory.state(), factory.objectstore_factory.store()
        self.state.store_run(Run.create_empty(RUN))
        self.rounds: dict[str, int] = {}

    def message(self, number: int) -> Message:
        """Return the message of a round."""
        TaskIdentity.run_id, TaskIdentity.node_id = RUN, 1
        message = Message(Parcel({"round": number}).to_record(), NODE, "query.upload")
        message.metadata.__dict__["_message_id"] = message.object_id
        self.rounds[message.metadata.message_id] = number
        return message

    def pull(self, number: int, confirm: Callable[[], None] = nothing) -> int | None:
        """Take the message of a round; the site answers before it is confirmed."""
        message = self.message(number)
        parts = {each: part.deflate() for each, part in get_all_nested_objects(message).items()}
        bare = message_from_proto(message_to_proto(message))

        def confirmed(run: int, message_id: str) -> None:
            self.site_answers(message)
            confirm()

        pulled: Any = vars(start_client_internal)["_pull_and_store_message"](
            state=self.state,
            object_store=self.store,
            node_config={},
            receive=lambda: (bare, get_object_tree(message)),
            get_run=lambda run: Run.create_empty(run),
            get_fab=lambda fab, run: pytest.fail("no bundle is needed"),
            pull_object=lambda run, part: parts[part],
            confirm_message_received=confirmed,
            trusted_entities={},
        )
        return None if pulled is None else int(pulled)

    def site_answers(self, message: Message) -> None:
        """Let the site answer."""
        TaskIdentity.node_id = NODE
        reply = Message(Parcel({"signature": b"s"}).to_record(), reply_to=message)
        vars(start_client_internal)["_insert_message"](reply, self.state, self.store)

    def push(self) -> None:
        """Send what there is to send."""

        def send(reply: Message, tree: Any, seconds: float) -> tuple[set[str], str]:
            self.sent.append(self.rounds[reply.metadata.reply_to_message_id])
            return set(), ""

        vars(start_client_internal)["_push_messages"](
            state=self.state,
            object_store=self.store,
            send=send,
            push_object=lambda run, session, part, content: None,
        )


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    name = "_pull_and_store_message"
    monkeypatch.setattr(start_client_internal, name, vars(start_client_internal)[name])
    enter_run()
    return Node()


def superlink_was_started_again() -> None:
    raise RunNotRunningException


def lose_one(node: Node) -> None:
    """Answer a round, lose the SuperLink before the next can be confirmed, and go on."""
    assert node.pull(1) == RUN
    node.push()
    assert node.pull(2, superlink_was_started_again) is None
    assert node.pull(3) == RUN
    node.push()


def test_the_reply_to_a_message_that_was_never_confirmed_is_forgotten(node: Node) -> None:
    forget_stale_replies()

    lose_one(node)

    assert node.sent == [1, 3]


def test_flowers_own_node_sends_it_instead_of_the_next(node: Node) -> None:
    """The twin. Flower sends all it has, so its reply to round 3 only leaves if it is there."""
    lose_one(node)

    assert node.sent[:2] == [1, 2]


def test_a_node_without_trouble_answers_every_message_once(node: Node) -> None:
    forget_stale_replies()

    for number in range(1, 4):
        assert node.pull(number) == RUN
        node.push()

    assert node.sent == [1, 2, 3]
