"""What somebody at the aggregator overhears in a simulated run: every message and its reply.

Attacks and notebooks listen here. Nothing of this takes part in the protocol, and nothing is kept
that the aggregator does not have.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flwr.app import Message

from fedcc.federation.messages import Parcel


@dataclass(frozen=True)
class Overheard:
    """One message to a site and what came back, unread and unchecked."""

    site: str
    exchange: str
    sent: Parcel
    reply: Parcel


Listener = Callable[[Overheard], None]


def overhear(
    listener: Listener | None, sites: Sequence[str], first_node: int
) -> Callable[[Message, Message], None]:
    """Return what a grid calls with each message and its reply.

    Args:
        listener: gets everything but replies without content; `None` for nobody.
        sites: names of the sites, in the order of their nodes.
        first_node: Flower's node of the first site.
    """

    def note(message: Message, reply: Message) -> None:
        if listener is not None and reply.has_content():
            listener(
                Overheard(
                    sites[message.metadata.dst_node_id - first_node],
                    message.metadata.message_type.removeprefix("query."),
                    Parcel.from_record(message.content),
                    Parcel.from_record(reply.content),
                )
            )

    return note
