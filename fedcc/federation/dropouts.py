"""Dropouts that a simulation plays: which message a site misses."""

from collections.abc import Sequence

from flwr.app import Message

from fedcc.federation.messages import Parcel
from fedcc.federation.settings import Dropout


def plays_dropout(drops: Sequence[Dropout], index: int, message: Message) -> bool:
    """Tell whether site `index` (from 0) is to miss a message."""
    if not drops:
        return False
    fields = Parcel.from_record(message.content).fields
    return any(
        drop.site == index + 1
        and drop.round == fields.get("round")
        and (drop.attempts is None or int(str(fields.get("attempt"))) <= drop.attempts)
        for drop in drops
    )
