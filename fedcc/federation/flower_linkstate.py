"""Messages that a SuperLink has lost, told as soon as it can know; private names of flwr 1.41.

Flower reports a message as lost only if the aggregator happens to ask while its node is offline.
Three things escape it, each for minutes:

* A node that dies while the parts of its reply are on their way. Flower hands the reply over as
  soon as it is announced; who asked then waits for parts that never come until the push session
  expires (180 s), and hears of no other node meanwhile.
* A node that dies and is back before the aggregator asks. Whatever its predecessor had taken stays
  open until the message's own time is up.
* An answer to a pull that breaks off on its way. The message counts as delivered and never was.

Here a reply is handed over once all of it is there; what a node had taken is lost when the node
goes, or comes again; and what a node took and never confirmed is given to it again, which it asks
for only after it has confirmed or dropped whatever came before.
"""

from fedcc.federation import flower_compat  # isort: split

from flwr.app import Message
from flwr.server.superlink.linkstate import in_memory_linkstate, linkstate_factory
from flwr.server.superlink.linkstate.in_memory_linkstate import InMemoryLinkState
from flwr.server.superlink.linkstate.utils import create_message_error_unavailable_res_message
from flwr.supercore.object_store import NoObjectInStoreError, ObjectStore
from flwr.superlink.federation import FederationManager

__all__ = ["PromptLinkState", "flower_compat", "use_prompt_link_state"]


class PromptLinkState(InMemoryLinkState):
    """Flower's state in memory, which knows at once what is lost."""

    def __init__(self, federation_manager: FederationManager, object_store: ObjectStore) -> None:
        """Begin empty."""
        super().__init__(federation_manager, object_store)
        self._lost: set[str] = set()  # messages without an answer, of which nobody was told yet

    def activate_node(self, node_id: int, heartbeat_interval: float) -> bool:
        """Take a node for there; whatever its predecessor had taken is lost."""
        with self.lock:
            came = super().activate_node(node_id, heartbeat_interval)
            if came:
                self._lose(node_id)
            return came

    def deactivate_node(self, node_id: int) -> bool:
        """Take a node for gone; whatever it had taken is lost."""
        with self.lock:
            went = super().deactivate_node(node_id)
            if went:
                self._lose(node_id)
            return went

    def get_message_ins(
        self, node_id: int, limit: int | None, *, run_id: int | None = None
    ) -> list[Message]:
        """Return what a node has to answer; what it took and never confirmed comes again."""
        with self.lock:
            for message_id, message in self.message_ins_store.items():
                if message.metadata.dst_node_id == node_id and self._was_taken(message_id):
                    if not self._is_answered(message_id) and self._is_unconfirmed(message_id):
                        message.metadata.delivered_at = ""
            return list(super().get_message_ins(node_id, limit, run_id=run_id))

    def get_message_res(self, message_ids: set[str], run_id: int) -> list[Message]:
        """Return the replies of which every part is there, and an error for what is lost."""
        with self.lock:
            lost = {each for each in message_ids & self._lost if self._run_of(each) == run_id}
            errors = [self._error(each) for each in sorted(lost)]
            there = {each for each in message_ids - lost if not self._is_on_its_way(each)}
            return [*errors, *super().get_message_res(there, run_id)]

    def delete_messages(self, message_ins_ids: set[str]) -> None:
        """Forget messages and their replies."""
        with self.lock:
            self._lost.difference_update(message_ins_ids)
            super().delete_messages(message_ins_ids)

    def _lose(self, node_id: int) -> None:
        for message_id, message in self.message_ins_store.items():
            if message.metadata.dst_node_id != node_id or not self._was_taken(message_id):
                continue
            if not self._is_answered(message_id) or self._is_partial(message_id):
                self._lost.add(message_id)

    def _error(self, message_id: str) -> Message:
        """Return Flower's own error of a node that is not available, once."""
        self._lost.discard(message_id)
        asked = self.message_ins_store[message_id].metadata
        error = create_message_error_unavailable_res_message(asked, "node_unavail")
        self._store_generated_message(error)
        # Whatever of a reply came, or still comes, belongs to nothing.
        self.delete_messages({message_id})
        return error

    def _run_of(self, message_id: str) -> int:
        return int(self.message_ins_store[message_id].metadata.run_id)

    def _was_taken(self, message_id: str) -> bool:
        return self.message_ins_store[message_id].metadata.delivered_at != ""

    def _is_answered(self, message_id: str) -> bool:
        return message_id in self.message_ins_id_to_message_res_id

    def _is_unconfirmed(self, message_id: str) -> bool:
        """Tell whether the parts of a message are still kept for its node to fetch."""
        try:
            self.object_store.get_object_tree(message_id)
        except NoObjectInStoreError:
            return False
        return True

    def _is_partial(self, message_id: str) -> bool:
        """Tell whether parts of a reply are missing."""
        reply = self.message_ins_id_to_message_res_id.get(message_id)
        return reply is not None and reply in self._object_push_session_by_root

    def _is_on_its_way(self, message_id: str) -> bool:
        """Tell whether a reply has begun to come, in time, from a node that is there.

        Where the node is not there or the message's time is up, Flower itself says so.
        """
        if not self._is_partial(message_id):
            return False
        asked = self.message_ins_store[message_id].metadata
        node, now = self.nodes.get(asked.dst_node_id), vars(in_memory_linkstate)["now"]()
        is_there = node is not None and (node.online_until or 0.0) >= now.timestamp()
        return bool(is_there and asked.created_at + asked.ttl > now.timestamp())


def use_prompt_link_state() -> None:
    """Let every SuperLink of this process keep its state in memory like this.

    Raises:
        RuntimeError: if this is not the version of Flower that fedcc is pinned to.
    """
    if not issubclass(vars(linkstate_factory)["InMemoryLinkState"], InMemoryLinkState):
        raise RuntimeError("this version of Flower is not the one that fedcc is pinned to")
    vars(linkstate_factory)["InMemoryLinkState"] = PromptLinkState
