"""What a plan asks of a site whose network is limited, before anybody approves it."""

from fedcc.federation.closing import VERIFY_BYTES
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.traffic import forecast_traffic

KEY = "network.max_kilobytes_per_second"


def network_load(
    plan: RunPlan, site: str, kilobytes_per_second: float | None, timeout: float
) -> list[str]:
    """Return what a round moves at a limited site, and whether it may be lost for its slowness.

    Args:
        plan: of the run.
        site: one of the plan's.
        kilobytes_per_second: its limit, 10^3 bytes each; `None` for no limit and no words.
        timeout: seconds within which an aggregator wants each answer.
    """
    if kilobytes_per_second is None:
        return []
    traffic, rate = forecast_traffic(plan, plan.sites), 1000 * kilobytes_per_second
    load, verify = traffic.rounds[-1][site], traffic.verify[-1]
    each, more = load.up + load.down, verify.up + verify.down
    lines = [
        f"a round moves {each / 1000:.0f} kB here, at least {each / rate:.0f} s at {KEY}; when "
        f"this site verifies {more / 1000:.0f} kB more, at least {more / rate:.0f} s"
    ]
    largest = max(each, min(more, VERIFY_BYTES))
    if largest / rate > timeout:
        lines.append(
            f"WARNING: an exchange of {largest / 1000:.0f} kB takes {largest / rate:.0f} s at "
            f"{KEY}; a site that answers after {timeout:.0f} s counts as lost, and is charged"
        )
    return lines
