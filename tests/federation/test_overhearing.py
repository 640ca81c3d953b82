"""A listener gets what the aggregator gets, and only where one process plays everybody."""

from collections.abc import Callable

import pytest
from conftest import read_lines

from fedcc.federation.overhearing import Overheard
from fedcc.federation.simulation import RunResult

Run = Callable[..., RunResult]


def test_a_listener_hears_every_byte_that_the_wire_log_counts(run_calls: Run) -> None:
    heard: list[Overheard] = []

    result = run_calls(listener=heard.append)

    lines = read_lines(result.run_dir / "wire.jsonl")
    assert sum(one.reply.n_bytes for one in heard) == sum(line["bytes"] for line in lines)
    assert {one.site for one in heard} == {line["site"] for line in lines}
    assert {one.exchange for one in heard} == {line["field"].split(".")[0] for line in lines}


def test_listening_changes_nothing(run_calls: Run) -> None:
    alone = run_calls("seed=1", folder="alone")

    watched = run_calls("seed=1", folder="watched", listener=lambda one: None)

    model = [(r.run_dir / "model.safetensors").read_bytes() for r in (alone, watched)]
    assert model[0] == model[1]


def test_a_site_that_misses_a_message_is_not_heard(run_calls: Run) -> None:
    heard: list[Overheard] = []
    missed = "federation.drop=[{site: 2, round: 2, attempts: 1}]"

    run_calls(missed, "rounds=2", "privacy.min_sites=3", listener=heard.append)

    first = [
        one.site
        for one in heard
        if one.exchange == "upload"
        and (one.sent.number("round"), one.sent.number("attempt")) == (2, 1)
    ]
    assert "site-1" in first
    assert "site-2" not in first


def test_several_processes_cannot_be_overheard(run_calls: Run) -> None:
    with pytest.raises(ValueError, match="inprocess"):
        run_calls("engine=ray", listener=lambda one: None)
