"""Forecast bytes are those of a real run: exact in rounds, within 1 % in the set-up."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import read_lines

from fedcc.federation.messages import SETUP, Parcel
from fedcc.federation.run_folder import RunFolder
from fedcc.federation.simulation import RunResult
from fedcc.federation.traffic import Traffic, forecast_traffic

Run = Callable[..., RunResult]

PLANS = {
    "default": (),
    "three lanes": ("crypto.lanes=3",),
    "ring of masks": ("sites=6", "crypto.neighbours=4"),
    "textbook ckks": ("crypto=ckks",),
    "no encryption": ("crypto=none",),
    "several chunks": ("model=mlp", "model.hidden=1500"),
    "numbers of two digits": ("sites=11", "rounds=11"),
}


def traffic_of(run_dir: Path) -> Traffic:
    plan = RunFolder(run_dir, None).read_plan()
    return forecast_traffic(plan, plan.sites)


@pytest.mark.parametrize("overrides", PLANS.values(), ids=PLANS)
def test_every_round_takes_the_bytes_that_were_forecast(
    run_calls: Run, overrides: tuple[str, ...]
) -> None:
    run = run_calls(*overrides)

    traffic = traffic_of(run.run_dir)

    lines = read_lines(run.run_dir / "metrics.jsonl")
    rounds = list(zip(traffic.rounds, traffic.verify, strict=True))
    assert [line["bytes_up"] for line in lines] == [
        sum(load.up for load in loads.values()) + verify.up for loads, verify in rounds
    ]
    assert [line["bytes_down"] for line in lines] == [
        sum(load.down for load in loads.values()) + verify.down for loads, verify in rounds
    ]


def test_a_site_sends_what_the_wire_log_says(run_calls: Run) -> None:
    run = run_calls()

    traffic = traffic_of(run.run_dir)

    wire = read_lines(run.run_dir / "wire.jsonl")
    for site in ("site-1", "site-3"):  # the one that deals the key, and one that does not
        mine = [line for line in wire if line["site"] == site]
        setup = sum(line["bytes"] for line in mine if line["field"].split(".")[0] in SETUP)
        assert traffic.setup[site].up == pytest.approx(setup, rel=0.01)
        assert traffic.whole(site).up == pytest.approx(sum(ln["bytes"] for ln in mine), rel=0.01)


def test_all_messages_of_a_run_together_take_what_was_forecast(
    run_calls: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    original = Parcel.to_record

    def counted(parcel: Parcel) -> object:
        sent.append(parcel.n_bytes)
        return original(parcel)

    monkeypatch.setattr(Parcel, "to_record", counted)
    run = run_calls()

    traffic = traffic_of(run.run_dir)

    loads = [traffic.whole(site) for site in ("site-1", "site-2", "site-3")]
    assert sum(load.up + load.down for load in loads) == pytest.approx(sum(sent), rel=0.01)


def test_the_forecast_of_another_plan_does_not_fit(run_calls: Run) -> None:
    run = run_calls("crypto=ckks")

    other = traffic_of(run_calls(folder="other").run_dir)

    up = read_lines(run.run_dir / "metrics.jsonl")[0]["bytes_up"]
    assert abs(sum(load.up for load in other.rounds[0].values()) - up) > 0.1 * up
