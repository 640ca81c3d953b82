"""What an installation logs: one JSON object a line, of fields that are listed here.

A log may be read by people who may not see a customer's data, so what is not listed is not logged:
a child's own output and every foreign exception's text go to a private file instead.
"""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO, get_args

from fedcc.federation.messages import Exchange

Value = str | int | float

EVENTS = frozenset(
    (
        "started",  # a process
        "ended",
        "restart",
        "reloaded",  # certificate and key
        "ready",
        "not_ready",
        "stopping",
        "nodes",  # the SuperLink knows these many
        "run_begins",
        "lost",  # a site, while its reply was awaited
        "round",
        "run_ends",
        "refused",  # by this site
        "answered",  # an exchange, by this site
        "dropped",  # a task whose reply is no longer taken, by this site
        "closed_hours",
        "model",  # is complete
        "released",  # was a model, by enough sites
        "stuck",
        "waits",  # for a clock, or for a certificate to be renewed
    )
)
NUMBERS = frozenset(
    "round attempt rounds sites survivors bytes_up bytes_down seconds code pid count".split()
)
TEXTS = frozenset("process consortium site run exchange outcome error reason".split())
LONGEST = 300


def line(event: str, fields: Mapping[str, Value], now: datetime) -> str:
    """Return one line of the log.

    Raises:
        ValueError: if the event or a field is not one that may be logged.
    """
    if event not in EVENTS:
        raise ValueError(f"no such event: {event}")
    for name, value in fields.items():
        is_number = isinstance(value, int | float) and name in NUMBERS
        is_text = isinstance(value, str) and name in TEXTS and len(value) <= LONGEST
        if not is_number and not is_text:
            raise ValueError(f"{name} may not be logged, or not like this")
    head = {"time": now.isoformat(timespec="milliseconds"), "event": event}
    return json.dumps({**head, **fields}, ensure_ascii=True)


def emit(event: str, fields: Mapping[str, Value], stream: TextIO | None = None) -> None:
    """Write one line; a text that is too long is cut."""
    cut = {
        name: value[:LONGEST] if isinstance(value, str) else value for name, value in fields.items()
    }
    print(line(event, cut, datetime.now(UTC)), file=stream or sys.stdout, flush=True)


def parse(text: str) -> dict[str, Value] | None:
    """Return the content of a line that `emit` wrote, or `None` for any other line."""
    try:
        values = json.loads(text)
        event, when = values.pop("event"), values.pop("time")
        line(event, values, datetime.fromisoformat(when))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return {"event": event, **values}


def is_exchange(name: str) -> bool:
    """Tell whether a text is the name of an exchange."""
    return name in get_args(Exchange)
