"""A fixed schedule for a site's answers, so that the time they take tells nothing about its rows.

How long an update takes depends on how many rows a site has, or drew. With a schedule the answer to
an `upload`, a refusal too, leaves at the next full multiple of `seconds` after its request; a site
that needs more than one is noted in its own log. Simulations run without a schedule by default.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from fedcc.federation.messages import Exchange

SCHEDULED: tuple[Exchange, ...] = ("upload",)  # the one exchange that computes on rows


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
        if self.seconds is None or exchange not in SCHEDULED:
            return 0
        periods = max(1, math.ceil((self.clock() - started) / self.seconds))
        while (left := started + periods * self.seconds - self.clock()) > 0:
            self.sleep(left)
        return periods - 1
