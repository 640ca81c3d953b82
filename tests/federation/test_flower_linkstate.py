"""A message that nobody will answer is reported at once, whenever the aggregator asks.

Time is played: nothing here waits. Each case runs on Flower's own state too, where the message
stays open; that is why there is another one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from flwr.app import Message
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.server.superlink.linkstate import in_memory_linkstate
from flwr.server.superlink.linkstate.in_memory_linkstate import InMemoryLinkState
from flwr.supercore.constant import NOOP_FEDERATION_ID, TaskType
from flwr.supercore.corestate import in_memory_corestate
from flwr.supercore.date import now as real_now
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.object_store.in_memory_object_store import InMemoryObjectStore
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.federation.noop_federation_manager import NoOpFederationManager

from fedcc.federation import flower_superlink
from fedcc.federation.flower_compat import enter_run
from fedcc.federation.flower_linkstate import PromptLinkState
from fedcc.federation.messages import Parcel

OWNER = "owner"
HEARTBEAT = 6.0
TTL = 120.0


@dataclass
class Clock:
    """A clock that moves when it is told to."""

    ahead: float = 0.0

    def __call__(self) -> datetime:
        return real_now() + timedelta(seconds=self.ahead)


@dataclass
class Link:
    """A SuperLink's state with one node that is there, and a clock."""

    state: InMemoryLinkState
    clock: Clock
    run: int
    node: int
    replies: list[Message] = field(default_factory=list)
    _rest: tuple[str, str, bytes] = ("", "", b"")

    def ask(self) -> str:
        """Let the aggregator send the node a message with two parts; return its id."""
        content = Parcel({"round": 1}, {"aggregate": [b"12345678"]}).to_record()
        TaskIdentity.run_id, TaskIdentity.node_id = self.run, 1
        message = Message(content, self.node, "query.upload", ttl=TTL)
        return self._push(message)

    def take(self) -> Message | None:
        """Let the node ask for work."""
        found = self.state.get_message_ins(self.node, limit=1)
        return found[0] if found else None

    def confirm(self, message: Message) -> None:
        """Let the node confirm that it has all of a message, as Flower's handler does."""
        self.state.object_store.delete(message.metadata.message_id)

    def answer(self, message: Message, *, whole: bool = True) -> None:
        """Let the node answer; or die before the parts of its answer are pushed."""
        TaskIdentity.node_id = self.node
        self._push(Message(Parcel({"signature": b"s"}).to_record(), reply_to=message), whole)

    def _push(self, message: Message, whole: bool = True) -> str:
        message.metadata.__dict__["_message_id"] = message.object_id
        session = self.state.start_session(self.run)
        tree = get_object_tree(message)
        bare = message_from_proto(message_to_proto(message))
        stored, missing = self.state.store_message_and_object_tree(bare, tree, session)
        assert stored
        parts = get_all_nested_objects(message)
        for part in missing if whole else missing[:-1]:
            assert self.state.store_object(self.run, session, part, parts[part].deflate())
        self._rest = (session, missing[-1], parts[missing[-1]].deflate())
        return str(message.metadata.message_id)

    def push_the_rest(self) -> None:
        """Push the part that `answer` left out."""
        session, part, content = self._rest
        assert self.state.store_object(self.run, session, part, content)

    def look(self, message_id: str) -> str:
        """Let the aggregator look for the reply: `none`, `lost` or `reply`."""
        found = self.state.get_message_res({message_id}, self.run)
        self.replies += found
        self.state.delete_messages({each.metadata.reply_to_message_id for each in found})
        return "none" if not found else "lost" if found[0].has_error() else "reply"

    def parts_are_there(self) -> bool:
        """Tell whether every part of the last reply could be fetched now."""
        tree = self.state.object_store.get_object_tree(self.replies[-1].metadata.message_id)
        ids, left = [], [tree]
        while left:
            ids.append(left[0].object_id)
            left = [*left[1:], *left[0].children]
        return all(self.state.object_store.get(each) for each in ids)


def link_of(kind: type[InMemoryLinkState], patch: pytest.MonkeyPatch) -> Link:
    clock = Clock()
    patch.setattr(in_memory_linkstate, "now", clock)
    patch.setattr(in_memory_corestate, "now", clock)
    enter_run()
    state = kind(NoOpFederationManager(), InMemoryObjectStore())
    node = state.create_node(OWNER, OWNER, b"key", HEARTBEAT)
    run = state.create_run(
        None, None, None, {}, NOOP_FEDERATION_ID, None, None, TaskType.SERVER_APP
    )
    link = Link(state, clock, run, node)
    assert state.activate_node(node, HEARTBEAT)
    return link


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> Iterator[Link]:
    yield link_of(PromptLinkState, monkeypatch)
    enter_run()


@pytest.fixture
def stock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Link]:
    yield link_of(InMemoryLinkState, monkeypatch)
    enter_run()


def taken(link: Link) -> tuple[str, Message]:
    """Return a message that the node has, with its id."""
    asked = link.ask()
    message = link.take()
    assert message is not None and message.metadata.message_id == asked
    link.confirm(message)
    return asked, message


def die_and_come_back(link: Link) -> None:
    """Let the node die, and its successor come while nobody looks."""
    link.clock.ahead += 2 * HEARTBEAT + 1
    assert link.state.activate_node(link.node, HEARTBEAT)


def test_a_message_whose_node_died_and_came_back_unseen_is_lost_at_once(link: Link) -> None:
    asked, _ = taken(link)
    assert link.look(asked) == "none"

    die_and_come_back(link)

    assert link.look(asked) == "lost"


def test_flowers_own_state_waits_for_it_until_its_time_is_up(stock: Link) -> None:
    asked, _ = taken(stock)

    die_and_come_back(stock)

    assert stock.look(asked) == "none"
    stock.clock.ahead = TTL + 1
    assert stock.look(asked) == "lost"


def test_so_is_one_whose_node_signed_off_and_on_again_unseen(link: Link, stock: Link) -> None:
    for each, expected in ((link, "lost"), (stock, "none")):
        asked, _ = taken(each)
        assert each.state.deactivate_node(each.node)
        assert each.state.activate_node(each.node, HEARTBEAT)

        assert each.look(asked) == expected


def test_a_reply_is_handed_over_once_every_part_of_it_is_there(link: Link) -> None:
    asked, message = taken(link)
    link.answer(message, whole=False)
    assert link.look(asked) == "none"

    link.push_the_rest()

    assert link.look(asked) == "reply"
    assert link.parts_are_there()


def test_flowers_own_state_hands_over_a_reply_whose_parts_never_come(stock: Link) -> None:
    # Who got it then asks for the missing part until the session ends: 180 s, for all sites.
    asked, message = taken(stock)

    stock.answer(message, whole=False)

    assert stock.look(asked) == "reply"
    assert not stock.parts_are_there()
    assert in_memory_corestate.OBJECT_PUSH_SESSION_TTL_SECONDS == 180


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_reply_of_which_a_part_never_came_is_lost_with_its_node(
    link: Link, comes_back: bool
) -> None:
    asked, message = taken(link)
    link.answer(message, whole=False)

    link.clock.ahead += 2 * HEARTBEAT + 1
    if comes_back:
        assert link.state.activate_node(link.node, HEARTBEAT)

    assert link.look(asked) == "lost"


def test_what_a_node_never_took_waits_for_its_successor(link: Link) -> None:
    asked = link.ask()

    die_and_come_back(link)

    assert link.look(asked) == "none"
    message = link.take()
    assert message is not None
    link.confirm(message)
    link.answer(message)
    assert link.look(asked) == "reply"


def test_what_a_node_took_and_never_confirmed_is_given_to_it_again(link: Link, stock: Link) -> None:
    for each, again in ((link, True), (stock, False)):
        asked = each.ask()
        assert each.take() is not None  # the answer to this question broke off on its way

        message = each.take()

        assert (message is not None and message.metadata.message_id == asked) == again


def test_what_a_node_confirmed_is_not_given_to_it_twice(link: Link) -> None:
    taken(link)

    assert link.take() is None


def test_a_lost_message_is_told_once_and_a_late_reply_to_it_goes_nowhere(link: Link) -> None:
    asked, message = taken(link)
    die_and_come_back(link)
    assert link.look(asked) == "lost"

    with pytest.raises(AssertionError):
        link.answer(message)  # not stored

    assert link.state.num_message_ins() == link.state.num_message_res() == 0


def test_messages_of_other_nodes_are_not_lost_with_a_node(link: Link) -> None:
    other = link.state.create_node(OWNER, OWNER, b"other key", HEARTBEAT)
    assert link.state.activate_node(other, HEARTBEAT)
    asked, _ = taken(link)

    assert link.state.deactivate_node(other)
    assert link.state.activate_node(other, HEARTBEAT)

    assert link.look(asked) == "none"


def test_the_superlink_on_premise_keeps_its_state_like_this() -> None:
    from federation.test_flower_contract import LISTENERS

    app = flower_superlink.superlink_app(LISTENERS)

    assert isinstance(app.state.linkstate_factory.state(), PromptLinkState)
