"""Local wall-clock times with their zone offset, for whole columns at once.

Summer time follows two public rules and no zone database, so that a generated row is the same on
every machine. Europe: last Sunday of March to last Sunday of October, at 01:00 UTC (Directive
2000/84/EC). America: second Sunday of March to first Sunday of November, at 02:00 local time
(Energy Policy Act of 2005, section 110). Both hold for all years that are generated (2015 on).
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from fedcc.data.world.places import CENTRES

Minutes = NDArray[np.int64]
"""Minutes since 1970-01-01 00:00 UTC."""

FIRST_YEAR, LAST_YEAR = 2015, 2026


def minute_of(text: str) -> int:
    """Return the UTC minute of a date and time like `2025-01-01T00:00`."""
    return int(np.datetime64(text, "m").astype(np.int64))


def _sunday(year: int, month: int, last: bool, nth: int = 1) -> int:
    """Return the day number (since 1970-01-01) of the nth or of the last Sunday of a month."""
    first = np.datetime64(f"{year}-{month:02d}", "D").astype(np.int64)
    # 1970-01-04 was a Sunday.
    start = int(first + (3 - first) % 7)
    if not last:
        return start + 7 * (nth - 1)
    days = int((np.datetime64(f"{year}-{month:02d}", "M") + 1).astype("datetime64[D]").astype(int))
    return max(day for day in range(start, days, 7))


@cache
def _summers(centre: int) -> NDArray[np.int64]:
    """Return start and end of summer time by year as UTC minutes, shape `(years * 2,)`, sorted."""
    place = CENTRES[centre]
    bounds = []
    for year in range(FIRST_YEAR, LAST_YEAR + 1):
        if place.clock == "europe":
            bounds += [_sunday(year, month, True) * 1440 + 60 for month in (3, 10)]
        elif place.clock == "america":
            start = _sunday(year, 3, False, 2) * 1440 + 120 - place.utc_minutes
            end = _sunday(year, 11, False, 1) * 1440 + 120 - place.utc_minutes - 60
            bounds += [start, end]
    return np.array(bounds, dtype=np.int64)


def offsets(utc: Minutes, centre: NDArray[np.int64]) -> Minutes:
    """Return the offset from UTC in minutes at each time and centre, shape `(n,)`."""
    result = np.empty(len(utc), dtype=np.int64)
    for index, place in enumerate(CENTRES):
        here = np.flatnonzero(centre == index)
        if len(here) == 0:
            continue
        result[here] = place.utc_minutes
        if place.clock != "none":
            summer = np.searchsorted(_summers(index), utc[here], side="right") % 2
            result[here] += 60 * summer
    return result


@cache
def _zone_text(offset: int) -> str:
    sign = "-" if offset < 0 else "+"
    return f"{sign}{abs(offset) // 60:02d}:{abs(offset) % 60:02d}"


def local_texts(utc: Minutes, centre: NDArray[np.int64], second: NDArray[np.int64]) -> list[str]:
    """Return times as ISO 8601 text in the centre's local time with its offset."""
    offset = offsets(utc, centre)
    local = ((utc + offset) * 60 + second).astype("datetime64[s]")
    texts = np.datetime_as_string(local).tolist()
    return [text + _zone_text(zone) for text, zone in zip(texts, offset.tolist(), strict=True)]
