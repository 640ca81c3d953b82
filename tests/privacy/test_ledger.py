"""The ledger: charged before anything leaves, never refunded, never reused."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedcc.errors import BudgetExceeded, ProtocolError
from fedcc.privacy.accounting import PrivacyEvent, epsilon
from fedcc.privacy.caps import lifetime_cap
from fedcc.privacy.ledger import Charge, Ledger

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
EVENT = PrivacyEvent.gaussian(
    sensitivity=0.4, own_variance=4.7, min_sites=20, tolerated_collusion=1
)


def charge(round_number: int = 1, attempt: int = 1, run: str = "r") -> Charge:
    return Charge(
        event=EVENT,
        run=run,
        round_number=round_number,
        attempt=attempt,
        purpose="churn",
        planned_sites=20,
        session="5e55",
    )


def test_the_ledger_refuses_a_round_that_would_pass_the_budget(tmp_path: Path) -> None:
    budget = epsilon([EVENT], delta=1e-5)
    ledger = Ledger.open(
        tmp_path / "lisbon.jsonl", caps=[lifetime_cap(budget)], delta=1e-5, now=NOW
    )
    ledger.reserve(charge(1), now=NOW)

    with pytest.raises(BudgetExceeded, match="epsilon"):
        ledger.reserve(charge(2), now=NOW)

    assert ledger.events == (EVENT,)  # a refused round leaves no trace
    assert len((tmp_path / "lisbon.jsonl").read_text().splitlines()) == 2  # with the format


def test_spending_survives_closing_and_other_runs(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for run in ("first", "second"):
        ledger = Ledger.open(path, caps=(), delta=1e-5, now=NOW)
        ledger.reserve(charge(run=run), now=NOW)
        ledger.close()

    ledger = Ledger.open(path, caps=(), delta=1e-5, now=NOW)

    assert ledger.epsilon() == pytest.approx(epsilon([EVENT] * 2, delta=1e-5))


def test_void_and_unsettled_attempts_stay_charged(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "a.jsonl", caps=(), delta=1e-5, now=NOW)
    ledger.reserve(charge(1, 1), now=NOW)
    ledger.settle(charge(1, 1), now=NOW)
    ledger.abort(charge(1, 1), now=NOW)
    ledger.reserve(charge(1, 2), now=NOW)

    assert len(ledger.events) == 2


def test_nothing_is_settled_that_was_not_reserved(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "a.jsonl", caps=(), delta=1e-5, now=NOW)

    for note in (ledger.settle, ledger.abort):
        with pytest.raises(ProtocolError, match="never reserved"):
            note(charge(), now=NOW)


def test_an_entry_is_used_once_even_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    ledger = Ledger.open(path, caps=(), delta=1e-5, now=NOW)
    ledger.reserve(charge(3, 2), now=NOW)
    ledger.close()
    ledger = Ledger.open(path, caps=(), delta=1e-5, now=NOW)

    with pytest.raises(ProtocolError, match="used before"):
        ledger.reserve(charge(3, 2), now=NOW)


def test_a_step_without_noise_is_refused_by_any_budget(tmp_path: Path) -> None:
    bare = replace(charge(), event=replace(EVENT, mechanism="none", own_variance=0.0))
    ledger = Ledger.open(tmp_path / "a.jsonl", caps=[lifetime_cap(100.0)], delta=1e-5, now=NOW)

    with pytest.raises(BudgetExceeded):
        ledger.reserve(bare, now=NOW)


def test_a_private_run_is_refused_after_a_release_without_noise(tmp_path: Path) -> None:
    bare = replace(charge(), event=replace(EVENT, mechanism="none", own_variance=0.0))
    ledger = Ledger.open(tmp_path / "a.jsonl", caps=(), delta=1e-5, now=NOW)
    ledger.reserve(bare, now=NOW)
    ledger.close()
    ledger = Ledger.open(tmp_path / "a.jsonl", caps=[lifetime_cap(8.0)], delta=1e-5, now=NOW)

    with pytest.raises(BudgetExceeded):
        ledger.reserve(charge(2), now=NOW)


def test_an_edited_variance_is_found_when_the_ledger_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    ledger = Ledger.open(path, caps=(), delta=1e-5, now=NOW)
    ledger.reserve(charge(), now=NOW)
    ledger.close()
    path.write_text(path.read_text().replace("4.7", "9.7"))

    with pytest.raises(ProtocolError, match="line 2"):
        Ledger.open(path, caps=(), delta=1e-5, now=NOW)


def test_a_killed_process_never_loses_a_charge_that_it_announced(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    code = (
        "import pathlib, sys\nfrom datetime import UTC, datetime\n"
        "from fedcc.privacy.accounting import PrivacyEvent\n"
        "from fedcc.privacy.ledger import Charge, Ledger\n"
        "event = PrivacyEvent.gaussian(sensitivity=0.4, own_variance=4.7, min_sites=20,"
        " tolerated_collusion=1)\n"
        f"path, now = pathlib.Path({str(path)!r}), datetime.now(UTC)\n"
        "ledger = Ledger.open(path, caps=(), delta=1e-5, now=now)\n"
        "start = len(ledger.events)\n"
        "for number in range(start + 1, start + 100000):\n"
        "    charge = Charge(event=event, run='r', round_number=number, attempt=1,"
        " purpose='churn', planned_sites=20, session='5e55')\n"
        "    ledger.reserve(charge, now=datetime.now(UTC))\n"
        "    print(number, flush=True)\n"
    )
    for delay in (1, 40, 300):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        announced = 0
        for line in process.stdout:
            announced = int(line)
            if announced % delay == 0:
                os.kill(process.pid, signal.SIGKILL)
                break
        process.wait()

        ledger = Ledger.open(path, caps=(), delta=1e-5, now=NOW)
        assert len(ledger.events) >= announced
        ledger.close()


def test_a_ledger_read_alone_changes_nothing_and_charges_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    ledger = Ledger.open(path, caps=(), delta=1e-5, now=NOW)
    ledger.reserve(charge(), now=NOW)
    before = path.read_bytes()

    read = Ledger.read(path, caps=[lifetime_cap(ledger.epsilon())], delta=1e-5)

    assert read.epsilon() == ledger.epsilon()
    with pytest.raises(BudgetExceeded):
        read.check(EVENT, 1, purpose="churn", now=NOW)
    with pytest.raises(ProtocolError, match="reading alone"):
        Ledger.read(path, caps=(), delta=1e-5).reserve(charge(2), now=NOW)
    read.close()
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", [None, "nowhere.jsonl"])
def test_a_ledger_that_is_not_there_reads_as_an_empty_one_and_is_not_created(
    tmp_path: Path, name: str | None
) -> None:
    path = tmp_path / name if name is not None else None

    assert Ledger.read(path, caps=(), delta=1e-5).events == ()
    assert not list(tmp_path.iterdir())
