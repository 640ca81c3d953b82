"""What a plan asks of a limited network is told before it is approved."""

from pathlib import Path

import pytest
from deployment.installation import NOW, Installation
from federation.plans.consortium import desk_of, equip, send

from fedcc.federation.plans.network_load import network_load
from fedcc.federation.plans.signed_plan import SignedPlan
from fedcc.federation.traffic import forecast_traffic


def test_without_a_limit_nothing_is_said(signed: SignedPlan) -> None:
    assert network_load(signed.plan, "lisbon", None, 120.0) == []


def test_a_limit_that_leaves_time_enough_is_told_in_seconds(signed: SignedPlan) -> None:
    load = forecast_traffic(signed.plan, signed.plan.sites).rounds[-1]["lisbon"]

    [line] = network_load(signed.plan, "lisbon", 100.0, 120.0)

    assert f"{(load.up + load.down) / 1000:.0f} kB here" in line
    assert f"at least {(load.up + load.down) / 100_000:.0f} s at" in line


@pytest.mark.parametrize(("factor", "warned"), [(1.01, True), (0.99, False)])
def test_a_limit_at_which_a_site_would_be_lost_is_warned_of(
    signed: SignedPlan, factor: float, warned: bool
) -> None:
    traffic = forecast_traffic(signed.plan, signed.plan.sites)
    load, verify = traffic.rounds[-1]["lisbon"], traffic.verify[-1]
    largest = max(load.up + load.down, verify.up + verify.down)  # a small plan: one message

    lines = network_load(signed.plan, "lisbon", largest / 1000 / 120.0 / factor, 120.0)

    assert any("WARNING" in line for line in lines) == warned


def test_the_desk_shows_it_while_a_plan_waits(
    made: Installation, signed: SignedPlan, calls: Path
) -> None:
    file = made.home("lisbon").file
    limited = "max_kilobytes_per_second: 0.5"
    file.write_text(file.read_text().replace("max_kilobytes_per_second: null", limited))
    send(made, signed)

    shown = desk_of(made).look(signed, NOW).network

    assert len(shown) == 2 and "counts as lost" in shown[1]
    equip(made, calls, tasks="tasks: [intent]")  # it cannot be approved: nothing to weigh
    assert desk_of(made).look(signed, NOW).network == ()
