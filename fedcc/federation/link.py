"""The aggregator's end of the wire: parcels out, checked replies in, every value logged."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from flwr.app import Message
from flwr.serverapp import Grid

from fedcc.errors import ProtocolError
from fedcc.federation.messages import Exchange, Parcel, WireLog, advert_from_json, check_reply

GRACE_SECONDS = 15.0  # for sites that come a little later, or were lost and may be back


@dataclass
class Traffic:
    """Bytes of an attempt."""

    up: int = 0
    down: int = 0


@runtime_checkable
class PassingGrid(Protocol):
    """A grid that passes each reply on when it comes; Flower's own return all at the end."""

    def receive_each(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        """Send messages and yield the replies that come in time."""


class Link:
    """Sends parcels over a Flower grid and logs every value that comes back."""

    def __init__(self, grid: Grid, wire: WireLog, timeout: float) -> None:
        """Use a grid with one time-out for every exchange."""
        self._grid, self._wire, self._timeout = grid, wire, timeout
        self.traffic = Traffic()

    def exchange(
        self,
        kind: Exchange,
        round_number: int,
        requests: Mapping[int, tuple[str, Parcel]],
        patience: float = math.inf,
    ) -> dict[str, Parcel]:
        """Send one request to each node and return the sound replies by site; see `each_reply`."""
        return dict(self.each_reply(kind, round_number, requests, patience))

    def each_reply(
        self,
        kind: Exchange,
        round_number: int,
        requests: Mapping[int, tuple[str, Parcel]],
        patience: float = math.inf,
    ) -> Iterator[tuple[str, Parcel]]:
        """Send one request to each node; yield site and reply of each sound one, as they come.

        Args:
            kind: which exchange.
            round_number: for the wire log; 0 before the first round.
            requests: node id to site name and request.
            patience: seconds after which a reply counts as none, if they are fewer than those of
                every exchange.
        """
        timeout = min(self._timeout, patience)
        messages: list[Message] = []
        sites: dict[str | None, str] = {}
        for node, (_, parcel) in requests.items():
            message = Message(
                parcel.to_record(),
                node,
                f"query.{kind}",
                ttl=timeout,
                group_id=str(round_number),
            )
            messages.append(message)
            self.traffic.down += parcel.n_bytes
        grid = self._grid
        receive = grid.receive_each if isinstance(grid, PassingGrid) else grid.send_and_receive
        for reply in receive(messages, timeout=timeout):
            if not sites:  # messages have their ids now
                sites = {
                    message.metadata.message_id: requests[message.metadata.dst_node_id][0]
                    for message in messages
                }
            sender = sites.get(reply.metadata.reply_to_message_id)
            if sender is None or not reply.has_content():
                continue
            try:
                parcel = Parcel.from_record(reply.content)
                self._wire.note(_label(sender, parcel), round_number, kind, parcel)
                self.traffic.up += parcel.n_bytes
                check_reply(kind, parcel)
            except ProtocolError:
                continue  # counts as a dropout
            yield sender, parcel

    def wait_for_nodes(
        self, wanted: int, deadline_seconds: float, least: int | None = None
    ) -> list[int]:
        """Return all nodes once enough are there, or when the time is up.

        Args:
            wanted: how many end the wait at once.
            deadline_seconds: that it may take.
            least: how many end it soon (`GRACE_SECONDS` after so many were seen); `None` for none.
        """
        deadline = time.monotonic() + deadline_seconds
        hastened = False
        while True:
            nodes = list(self._grid.get_node_ids())
            now = time.monotonic()
            if least is not None and len(nodes) >= least and not hastened:
                deadline, hastened = min(deadline, now + GRACE_SECONDS), True
            if len(nodes) >= wanted or now >= deadline:
                return nodes
            time.sleep(0.1)


def _label(site: str, parcel: Parcel) -> str:
    """Return the site's name for the wire log; before it joined, only its advert tells it."""
    try:
        return advert_from_json(parcel.text("advert")).site
    except ProtocolError:
        return site
