"""A fixed schedule for a site's answers, so that the time they take tells nothing about its rows.

How long an update takes depends on how many rows a site has, or drew. With a schedule the answer to
an `upload`, or to the test of a model before its release, a refusal too, leaves at the next full
multiple of `seconds` after its request; a site that needs more than one is noted in its own log.
Simulations run without a schedule by default. A site on premise reads its rows when a run's first
message comes; that answer has a longer period of its own.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from fedcc.federation.messages import Exchange

SCHEDULED: tuple[Exchange, ...] = ("upload", "verdict")  # compute on rows


@dataclass(frozen=True, kw_only=True)
class ReplySchedule:
    """When answers leave."""

    seconds: float | None  # `None` for at once
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def wait(self, exchange: Exchange, started: float) -> int:
        """Wait until the answer may leave.

        Args:
            exchange: of the request; only `SCHEDULED` ones wait.
            started: reading of `clock` when the request came.

        Returns:
            How many full periods the answer came too late; 0 when it kept the schedule.
        """
        return self.hold(started) if exchange in SCHEDULED else 0

    def hold(self, started: float) -> int:
        """Wait until an answer of any exchange may leave; see `wait`."""
        if self.seconds is None:
            return 0
        periods = max(1, math.ceil((self.clock() - started) / self.seconds))
        while (left := started + periods * self.seconds - self.clock()) > 0:
            self.sleep(left)
        return periods - 1
