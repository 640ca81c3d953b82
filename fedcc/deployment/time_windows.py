"""When a site computes rounds: windows of the week, in the site's own time zone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


@dataclass(frozen=True, kw_only=True)
class Window:
    """Part of the days named; one that ends before it begins runs past midnight."""

    days: tuple[Day, ...]
    begin: str  # HH:MM
    end: str  # HH:MM, not inside any more

    def __post_init__(self) -> None:
        """Check days and times."""
        for name in ("begin", "end"):
            if not _TIME.fullmatch(getattr(self, name)):
                raise ValueError(f'{name} must be a time in quotes, from "00:00" to "23:59"')
        if self.begin == self.end:
            raise ValueError("begin and end are equal; leave the window out, or split it in two")
        if not self.days:
            raise ValueError("days must not be empty")

    def holds(self, local: datetime) -> bool:
        """Tell whether a local time lies inside."""
        begin, end = time.fromisoformat(self.begin), time.fromisoformat(self.end)
        at, today = local.time(), DAYS[local.weekday()]
        if begin < end:
            return today in self.days and begin <= at < end
        yesterday = DAYS[(local - timedelta(days=1)).weekday()]
        return (today in self.days and at >= begin) or (yesterday in self.days and at < end)


def zone_of(name: str) -> tzinfo:
    """Return a time zone by its IANA name; UTC needs no data base of zones.

    Raises:
        ValueError: if it is not known here.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"time_zone '{name[:60]}' is not known here; use a name such as Europe/Lisbon, and "
            "install the system's tzdata"
        ) from None


def is_open(windows: Sequence[Window], time_zone: str, now: datetime) -> bool:
    """Tell whether a site may compute now; without windows always.

    Args:
        windows: of the site's file.
        time_zone: IANA name that the windows are meant in.
        now: current time with a zone.
    """
    if now.utcoffset() is None:
        raise ValueError("now must have a time zone")
    local = now.astimezone(zone_of(time_zone))
    return not windows or any(window.holds(local) for window in windows)
