"""What a ledger says in numbers."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from privacy.ledgers import DELTA, EVENT, NOW, cap, charge, on_day, opened, write_ledger

from fedcc.errors import ConfigError, ProtocolError
from fedcc.privacy.accounting import epsilon_of_mu, three_epsilons
from fedcc.privacy.statement import draw_up, faults, ledger_files


def test_a_statement_tells_observers_purposes_and_runs_apart(tmp_path: Path) -> None:
    path = tmp_path / "site-1.jsonl"
    ledger = opened(path)
    for number in (1, 2):
        ledger.reserve(charge(number), now=on_day(number))
        ledger.settle(charge(number), now=on_day(number))
    ledger.reserve(charge(1, run="s", purpose="intent"), now=on_day(5))
    ledger.abort(charge(1, run="s", purpose="intent"), now=on_day(5))
    ledger.close()

    found = draw_up(path, (), DELTA, NOW)

    # Closed form: one step has mu D / sqrt((n_min - f) v), and mu^2 adds.
    one = 0.4**2 / (19 * 4.7)
    assert found.total.claim == pytest.approx(epsilon_of_mu(math.sqrt(3 * one), DELTA))
    assert found.total == three_epsilons([EVENT] * 3, delta=DELTA)
    assert found.purposes["churn"] == three_epsilons([EVENT] * 2, delta=DELTA)
    first, second = found.runs
    assert (first.run, first.attempts, first.settled, first.void) == ("r", 2, 2, 0)
    assert (second.purpose, second.settled, second.void) == ("intent", 0, 1)
    assert first.first == on_day(1) and first.last == on_day(2)
    assert first.epsilon_after < second.epsilon_after == found.total.claim
    assert [point.claim for point in found.curve] == sorted(point.claim for point in found.curve)


def test_what_is_left_of_a_window_depends_on_the_clock_and_of_a_lifetime_does_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.jsonl"
    write_ledger(path, 3)
    caps = cap(1.0, days=30), cap(1.0)

    now, later = (draw_up(path, caps, DELTA, on_day(day)).caps for day in (0, 31))

    assert now[0].spent == now[1].spent == later[1].spent > 0
    assert later[0].spent == 0 and later[0].room == pytest.approx(1.0)
    assert now[0].room < 1.0


def test_a_ledger_that_holds_a_release_without_noise_has_no_guarantee_left(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "a.jsonl")
    bare = replace(EVENT, mechanism="none", own_variance=0.0)
    ledger.reserve(replace(charge(), event=bare), now=NOW)
    ledger.close()

    found = draw_up(tmp_path / "a.jsonl", [cap(8.0)], DELTA, NOW)

    assert found.total.claim == math.inf
    assert (found.caps[0].spent, found.caps[0].room) == (math.inf, 0.0)


def test_units_that_differ_are_all_named(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "a.jsonl")
    ledger.reserve(charge(1), now=NOW)
    ledger.reserve(replace(charge(2), event=replace(EVENT, unit="customer")), now=NOW)
    ledger.close()

    assert draw_up(tmp_path / "a.jsonl", (), DELTA, NOW).units == ("customer", "record")


def test_a_run_folder_a_folder_and_a_file_name_their_ledgers_in_order(tmp_path: Path) -> None:
    for name in ("site-10", "site-2", "site-1"):
        write_ledger(tmp_path / "run" / "ledger" / f"{name}.jsonl", 1)
    (tmp_path / "run" / "metrics.jsonl").write_text("{}\n")

    names = [path.stem for path in ledger_files(tmp_path / "run")]

    assert names == ["site-1", "site-2", "site-10"]
    assert ledger_files(tmp_path / "run" / "ledger") == ledger_files(tmp_path / "run")
    assert len(ledger_files(tmp_path / "run" / "ledger" / "site-1.jsonl")) == 1


@pytest.mark.parametrize("name", ["nowhere", "empty", "run"])
def test_a_path_without_ledgers_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "plan.json").write_text("{}")  # a run whose ledgers lie elsewhere
    (tmp_path / "run" / "metrics.jsonl").write_text("{}\n")

    with pytest.raises(ConfigError, match=f"{name}: no ledger here"):
        ledger_files(tmp_path / name)


def test_only_the_broken_ledger_is_faulted(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    write_ledger(good, 2)
    write_ledger(bad, 2)
    bad.write_text(bad.read_text().replace("4.7", "9.4", 1))

    found = faults([good, bad])

    assert found[good] is None
    assert "bad.jsonl, line 2" in str(found[bad])
    with pytest.raises(ProtocolError):
        draw_up(bad, (), DELTA, NOW)


def test_a_deleted_ledger_is_faulted_by_the_head_it_left(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_ledger(tmp_path / f"{name}.jsonl", 2)
    (tmp_path / "a.jsonl").unlink()

    found = faults(ledger_files(tmp_path))

    assert "line 1: the ledger was cut off here" in str(found[tmp_path / "a.jsonl"])
    assert found[tmp_path / "b.jsonl"] is None


def test_a_statement_can_be_drawn_up_while_the_ledger_is_open(tmp_path: Path) -> None:
    write_ledger(tmp_path / "a.jsonl", 2, close=False)

    assert draw_up(tmp_path / "a.jsonl", (), DELTA, NOW).attempts == 2
