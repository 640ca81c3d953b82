"""A full disk is found before anything is charged, and leaves no half line behind."""

import dataclasses
import errno
import json
import sys
from pathlib import Path

import pytest
from flwr.app import Context, Message, RecordDict

from fedcc.crypto.key_file import KeyFile, read_key
from fedcc.deployment.aggregator_file import AggregatorHome
from fedcc.deployment.site_file import SiteHome
from fedcc.errors import ConfigError, Interrupted
from fedcc.federation import flower_compat
from fedcc.federation.messages import Parcel, WireLog
from fedcc.federation.service import room
from fedcc.federation.service.places import Places
from fedcc.federation.service.room import is_full, lacks_room
from fedcc.federation.service.run_queue import QueuedRun, _Attempted
from fedcc.federation.service.settings import service_settings
from fedcc.federation.service.site_worker import SiteWorker
from fedcc.training.checkpoints import cut_unfinished_line

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "simulations"))
from _drill import Drill  # noqa: E402

NOBODY_HAS = 1e12  # megabytes


def test_a_disk_with_room_is_not_complained_about_and_one_without_is_named(tmp_path: Path) -> None:
    assert lacks_room(tmp_path, 0.001) == ""
    assert str(tmp_path) in lacks_room(tmp_path, NOBODY_HAS)


def test_a_full_disk_and_a_full_quota_are_told_from_other_errors() -> None:
    assert is_full(OSError(errno.ENOSPC, "")) and is_full(OSError(errno.EDQUOT, ""))
    assert not is_full(ConnectionResetError(errno.ECONNRESET, ""))


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every disk is full: the free bytes are those that the system tells of a full one."""
    usage = room.shutil.disk_usage("/")._replace(free=0)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: usage)


def test_a_site_whose_disk_is_full_charges_nothing(
    tmp_path: Path, full: None, capsys: pytest.CaptureFixture[str]
) -> None:
    drill = Drill.prepare(tmp_path / "drill", n_sites=3, rounds=2)
    home = SiteHome.open(drill.made.site("site-1"))
    key = KeyFile((home.file.parent / "unlock.key").read_bytes())
    worker = SiteWorker(home, read_key(home.identity).unlock(key), service_settings())
    flower_compat.enter_run()
    content = Parcel({"run": drill.signed.plan.run}).to_record()
    message = Message(content, 1000, "query.join", group_id="1")
    flower_compat.set_message_id(message, "1")

    reply = worker.answer(message, Context(1, 1000, {}, RecordDict(), {}))

    assert Parcel.from_record(reply.content).text("refused") == "unavailable"
    assert not home.ledger.exists()
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["error"] == ConfigError.__name__ and "MB free" in line["reason"]


def test_an_aggregator_whose_disk_is_full_begins_no_attempt_and_the_run_has_no_outcome(
    tmp_path: Path, full: None, capsys: pytest.CaptureFixture[str]
) -> None:
    drill = Drill.prepare(tmp_path / "drill", n_sites=3, rounds=2)
    home = AggregatorHome.open(drill.made.hub)
    run = QueuedRun(drill.signed, home.state / "runs" / drill.signed.plan.run)
    settings = dataclasses.replace(service_settings(), retry_seconds=0.01)
    places = Places.prepare(home.state)

    # No SuperLink is there: it is not even asked.
    _Attempted(home, places, settings, None, run).carry_out()  # type: ignore[arg-type]

    assert not run.outcome.exists()
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["event"], line["outcome"]) == ("run_ends", Interrupted.outcome)
    assert "MB free" in line["reason"]


def test_half_a_line_is_cut_off_and_whole_lines_stay(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    cut_unfinished_line(path)  # none is there
    assert not path.exists()

    path.write_text('{"a": 1}\n{"b": 2}\n{"c"')
    cut_unfinished_line(path)

    assert path.read_text() == '{"a": 1}\n{"b": 2}\n'


def test_the_wire_log_goes_on_after_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "wire.jsonl"
    path.write_text('{"site": "lisbon"}\n{"site": "por')

    wire = WireLog(path, update_kind="ciphertext")
    wire.note("porto", 1, "join", Parcel({"rounds_applied": 0}))
    wire.close()

    assert [json.loads(line)["site"] for line in path.read_text().splitlines()] == [
        "lisbon",
        "porto",
    ]
