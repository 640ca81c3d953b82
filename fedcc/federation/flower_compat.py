"""Every private or unstable name of Flower that fedcc touches; pinned to flwr 1.41.

Importing this module first also switches off Flower's telemetry and update check.
"""

import logging
import os

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"

from flwr.app import Context, Message, RecordDict  # noqa: E402
from flwr.common.serde import message_from_proto, message_to_proto  # noqa: E402
from flwr.supercore.run import Run  # noqa: E402
from flwr.supercore.task_identity import TaskIdentity  # noqa: E402

__all__ = ["Run", "empty_run", "enter_run", "new_context", "set_message_id", "through_the_wire"]

logging.getLogger("flwr").setLevel(logging.ERROR)

RUN_ID = 1
AGGREGATOR_NODE = 1


def enter_run() -> None:
    """Set the process-wide identity without which Flower builds no message."""
    TaskIdentity.task_id = 1
    TaskIdentity.run_id = RUN_ID
    TaskIdentity.node_id = AGGREGATOR_NODE


def empty_run() -> Run:
    """Return Flower's record of a run."""
    return Run.create_empty(RUN_ID)


def new_context(node_id: int, node_config: dict[str, str | int]) -> Context:
    """Return a fresh context for one node."""
    return Context(RUN_ID, node_id, dict(node_config), RecordDict(), {})


def set_message_id(message: Message, message_id: str) -> None:
    """Give a message the id that its reply will refer to."""
    message.metadata.__dict__["_message_id"] = message_id


def through_the_wire(message: Message) -> Message:
    """Return the message as it would arrive: serialised to protobuf and read back."""
    return message_from_proto(message_to_proto(message))
