"""Which runs an aggregator takes up."""

import itertools
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedcc.deployment.aggregator_file import AggregatorHome
from fedcc.errors import FedccError, ProtocolError, TooFewSites
from fedcc.federation.plans.signed_plan import SignedPlan, read_plan
from fedcc.federation.service import run_queue
from fedcc.federation.service.concluding import Verdicts
from fedcc.federation.service.places import Places
from fedcc.federation.service.run_queue import (
    QueuedRun,
    _Attempted,
    queued_runs,
    unreleased_runs,
)
from fedcc.federation.service.settings import service_settings

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "simulations"))
from _drill import Drill  # noqa: E402


@pytest.fixture
def drill(tmp_path: Path) -> Drill:
    return Drill.prepare(tmp_path / "drill", n_sites=3, rounds=2)


def queue(drill: Drill) -> tuple[list[QueuedRun], list[tuple[Path, FedccError]]]:
    refused: list[tuple[Path, FedccError]] = []
    found = queued_runs(
        AggregatorHome.open(drill.made.hub), lambda path, error: refused.append((path, error))
    )
    return found, refused


def test_a_submitted_run_is_taken_up_until_it_has_an_outcome(drill: Drill) -> None:
    [run], refused = queue(drill)
    assert (run.plan, refused) == (drill.signed.plan, [])

    run.folder.mkdir(parents=True)
    assert len(queue(drill)[0]) == 1  # begun, and not ended: it is resumed

    run.outcome.write_text(json.dumps({"outcome": "completed"}))
    assert queue(drill) == ([], [])


def test_a_plan_that_was_altered_is_refused_and_the_others_are_carried_out(drill: Drill) -> None:
    plans = drill.made.hub / "plans"
    [good] = plans.glob("*.plan.json")
    rogue = plans / "rogue.plan.json"
    rogue.write_bytes(good.read_bytes().replace(b'"rounds": 2', b'"rounds": 9'))
    assert rogue.read_bytes() != good.read_bytes()

    found, refused = queue(drill)

    assert [run.plan for run in found] == [drill.signed.plan]
    assert [(path, error.exit_code) for path, error in refused] == [(rogue, 6)]


def test_a_plan_is_read_once_and_not_at_all_after_its_end(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is looked at several times a second, and plans stay in it for ever."""
    read: list[Path] = []

    def counted(path: Path, mark: str) -> SignedPlan:
        read.append(path)
        return read_plan(path, mark)

    monkeypatch.setattr(run_queue, "read_plan", counted)
    [run], _ = queue(drill)
    assert [queue(drill)[0] for _ in range(3)] == [[run]] * 3
    assert len(read) == 1

    [file] = (drill.made.hub / "plans").glob("*.plan.json")
    file.write_bytes(file.read_bytes() + b" ")  # changed: it is read and refused anew
    assert queue(drill)[0] == [] and len(read) == 2

    run.folder.mkdir(parents=True)
    run.outcome.write_text(json.dumps({"outcome": "completed"}))
    file.write_bytes(b"{}")
    assert queue(drill) == ([], []) and len(read) == 2


def test_a_plan_under_the_name_of_another_run_is_refused(drill: Drill) -> None:
    """Its outcome would not be looked for where it is written."""
    [file] = (drill.made.hub / "plans").glob("*.plan.json")
    copy = file.with_name("0000.plan.json")
    copy.write_bytes(file.read_bytes())

    found, refused = queue(drill)

    assert len(found) == 1
    assert [path for path, _ in refused] == [copy]


@pytest.mark.parametrize("content", ["ssh-ed25519 AAAA op@hub\n", "no key", ""])
def test_a_stray_file_among_the_node_keys_ends_no_run_when_a_site_is_lost(
    drill: Drill, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    home = AggregatorHome.open(drill.made.hub)
    (home.nodes / "id_ed25519.pub").write_text(content)
    [run], _ = queue(drill)
    session = _Attempted(home, None, service_settings(), None, run)  # type: ignore[arg-type]
    lost = run_queue._node_numbers(home)["site-2"]

    session._note_lost(lost)
    session._note_lost(12345)

    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["site"] == "site-2"


def test_a_list_of_nodes_that_cannot_be_trusted_ends_no_run_when_a_site_is_lost(
    drill: Drill,
) -> None:
    home = AggregatorHome.open(drill.made.hub)
    [run], _ = queue(drill)
    home.node_list.write_text("{}")

    _Attempted(home, None, service_settings(), None, run)._note_lost(1)  # type: ignore[arg-type]


def test_a_run_whose_sites_never_came_is_tried_more_and_more_seldom(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan may wait for its operators for days; one that has begun is resumed at once."""
    now = [100.0]
    monkeypatch.setattr(run_queue.time, "monotonic", lambda: now[0])
    settings = service_settings()
    waits = run_queue._Waits(settings)
    [run], _ = queue(drill)
    tried = []
    while now[0] < 100.0 + 3600.0:
        if waits.due([run]):
            tried.append(now[0])
            waits.note(run)
        now[0] += 0.5

    gaps = [after - before for before, after in itertools.pairwise(tried)]
    assert gaps[0] == settings.retry_seconds and gaps == sorted(gaps)
    assert gaps[-1] == settings.join_timeout_seconds

    (run.folder / "store").mkdir(parents=True)
    (run.folder / "store" / "roster.json").write_text("[]")
    now[0] += settings.join_timeout_seconds
    waits.note(run)
    assert waits.due([run]) == [run]


def test_a_plan_of_another_admin_is_refused(drill: Drill, tmp_path: Path) -> None:
    other = Drill.prepare(tmp_path / "other", n_sites=3, rounds=2)
    [stranger] = (other.made.hub / "plans").glob("*.plan.json")
    (drill.made.hub / "plans" / "stranger.plan.json").write_bytes(stranger.read_bytes())

    found, refused = queue(drill)

    assert len(found) == 1
    assert refused[0][1].exit_code == 6


def test_a_plan_that_was_never_begun_in_its_time_is_late_and_one_that_was_is_not(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Later":
            return cls(2100, 1, 1, tzinfo=UTC)

    [run], _ = queue(drill)
    assert not run.is_late

    monkeypatch.setattr("fedcc.federation.service.run_queue.datetime", Later)
    assert run.is_late

    run.folder.mkdir(parents=True)
    assert run.is_late  # taken up, but its sites never came together

    (run.folder / "store").mkdir()
    (run.folder / "store" / "roster.json").write_text("[]")
    assert not run.is_late


def test_a_plan_that_expires_between_approval_and_start_ends_as_a_breach_of_protocol(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Later":
            return cls(2100, 1, 1, tzinfo=UTC)

    monkeypatch.setattr("fedcc.federation.service.run_queue.datetime", Later)
    [run], _ = queue(drill)
    home = AggregatorHome.open(drill.made.hub)

    # Neither a SuperLink nor its places are touched: it is refused before anything begins.
    _Attempted(home, None, service_settings(), None, run).carry_out()  # type: ignore[arg-type]

    outcome = json.loads(run.outcome.read_text())
    assert (outcome["outcome"], ProtocolError.exit_code) == ("integrity", 6)
    assert f"valid until {drill.signed.valid_until}" in outcome["reason"]
    assert queue(drill)[0] == []


class DeafLink:
    """A SuperLink that starts runs and hands none over."""

    def start_run(self) -> int:
        return 1

    def carry_out(self, run: int, app: object, **arguments: object) -> None:
        raise TimeoutError("the SuperLink did not hand over the run")


def test_a_superlink_that_hands_no_run_over_ends_the_process_which_is_started_again(
    drill: Drill,
) -> None:
    """A pause, as for want of sites, would go on for ever with the same SuperLink."""
    [run], _ = queue(drill)
    home = AggregatorHome.open(drill.made.hub)
    home.state.mkdir(parents=True, exist_ok=True)
    places = Places.prepare(home.state)

    with pytest.raises(TooFewSites, match="SuperLink was lost"):
        _Attempted(home, places, service_settings(), DeafLink(), run).carry_out()  # type: ignore[arg-type]

    assert not run.outcome.exists()


def test_a_completed_run_is_concluded_until_every_site_uses_its_model(drill: Drill) -> None:
    home = AggregatorHome.open(drill.made.hub)
    [run], _ = queue(drill)
    assert unreleased_runs(home) == []  # not completed yet

    run.folder.mkdir(parents=True)
    run.outcome.write_text(json.dumps({"outcome": "completed"}))
    assert [one.plan for one in unreleased_runs(home)] == [run.plan]
    Verdicts(run.folder).note_released(["site-1", "site-2"])
    assert len(unreleased_runs(home)) == 1
    Verdicts(run.folder).note_released(["site-3"])
    assert unreleased_runs(home) == []


def test_the_model_of_a_run_that_failed_is_not_released(drill: Drill) -> None:
    [run], _ = queue(drill)
    run.folder.mkdir(parents=True)
    run.outcome.write_text(json.dumps({"outcome": "budget"}))

    assert unreleased_runs(AggregatorHome.open(drill.made.hub)) == []
