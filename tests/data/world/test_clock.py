"""Local times against the zone database of the standard library, a second source."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from fedcc.data.world.clock import local_texts, minute_of, offsets
from fedcc.data.world.places import CENTRES

ZONES = {
    "leeds": "Europe/London",
    "glasgow": "Europe/London",
    "cardiff": "Europe/London",
    "cork": "Europe/Dublin",
    "sacramento": "America/Los_Angeles",
    "austin": "America/Chicago",
    "albany": "America/New_York",
    "madrid": "Europe/Madrid",
    "malaga": "Europe/Madrid",
    "porto": "Europe/Lisbon",
    "recife": "America/Recife",
    "leipzig": "Europe/Berlin",
    "cologne": "Europe/Berlin",
}


@pytest.mark.parametrize("index", range(len(CENTRES)), ids=[centre.name for centre in CENTRES])
def test_local_times_are_those_of_the_zone_database(index: int) -> None:
    zone = ZoneInfo(ZONES[CENTRES[index].name])
    # Every 37th hour over all years that are generated, and every minute around two changes.
    hours = np.arange(minute_of("2015-06-01T00:00"), minute_of("2026-01-01T00:00"), 37 * 60 + 1)
    changes = [minute_of("2025-03-08T00:00"), minute_of("2025-10-25T00:00")]
    minutes = np.concatenate([hours, *(start + np.arange(3 * 1440) for start in changes)])

    texts = local_texts(minutes, np.full(len(minutes), index), np.full(len(minutes), 7))

    for minute, text in zip(minutes.tolist(), texts, strict=True):
        instant = datetime.fromtimestamp(60 * minute + 7, UTC)
        assert text == instant.astimezone(zone).isoformat()


def test_each_time_takes_the_rule_of_its_own_centre() -> None:
    names = [centre.name for centre in CENTRES]
    where = np.array([names.index("madrid"), names.index("austin"), names.index("recife")])
    july = np.full(3, minute_of("2025-07-01T12:00"))

    assert offsets(july, where).tolist() == [120, -300, -180]
