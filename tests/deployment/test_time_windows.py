"""Windows of the week in which a site computes."""

from datetime import UTC, datetime

import pytest

from fedcc.deployment.time_windows import Window, is_open

NIGHTS = Window(days=("mon", "fri"), begin="22:00", end="06:00")
MORNING = Window(days=("wed",), begin="08:00", end="09:30")


# 2026-11-23 is a Monday (`cal 11 2026`).
@pytest.mark.parametrize(
    ("day", "clock", "inside"),
    [
        (23, "21:59", False),
        (23, "22:00", True),
        (24, "05:59", True),  # Monday's window, on Tuesday
        (24, "06:00", False),
        (24, "23:00", False),
        (28, "03:00", True),  # Friday's window, on Saturday
        (23, "03:00", False),  # Sunday has no window
        (25, "08:00", True),
        (25, "09:30", False),
    ],
)
def test_a_time_is_inside_a_window_or_not(day: int, clock: str, inside: bool) -> None:
    now = datetime.fromisoformat(f"2026-11-{day}T{clock}:00+00:00")

    assert is_open((NIGHTS, MORNING), "UTC", now) is inside


def test_windows_are_meant_in_the_sites_own_zone() -> None:
    now = datetime(2026, 11, 25, 7, 30, tzinfo=UTC)  # half past eight in Madrid

    assert is_open((MORNING,), "Europe/Madrid", now)
    assert not is_open((MORNING,), "UTC", now)


def test_without_windows_it_is_always_time() -> None:
    assert is_open((), "UTC", datetime(2026, 11, 22, tzinfo=UTC))


def test_a_clock_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        is_open((), "UTC", datetime(2026, 11, 22))


@pytest.mark.parametrize(
    ("begin", "end"), [("8:00", "09:00"), ("24:00", "06:00"), ("08:00", "08:00")]
)
def test_a_window_without_sense_is_refused(begin: str, end: str) -> None:
    with pytest.raises(ValueError):
        Window(days=("mon",), begin=begin, end=end)
