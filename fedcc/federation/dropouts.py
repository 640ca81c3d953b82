"""Dropouts that a simulation plays: which message a site misses."""

from collections.abc import Sequence

from flwr.app import Message

from fedcc.federation.messages import ROUND, Parcel
from fedcc.federation.settings import Dropout


def plays_dropout(drops: Sequence[Dropout], index: int, message: Message) -> bool:
    """Tell whether site `index` (from 0) is to miss a message."""
    if not drops:
        return False
    fields = Parcel.from_record(message.content).fields
    kind = message.metadata.message_type.removeprefix("query.")
    return any(
        drop.site == index + 1
        and drop.round == fields.get("round")
        and (kind not in ROUND or ROUND.index(kind) >= ROUND.index(drop.step))
        and (drop.attempts is None or int(str(fields.get("attempt"))) <= drop.attempts)
        for drop in drops
    )
