"""The parts that run under Flower's own engines, each on its own."""

import fcntl
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import CANARY, processes_in
from flwr.app import Context, Message, RecordDict

from fedcc import config
from fedcc.errors import BudgetExceeded, ConfigError, EnvelopeError, FedccError, TooFewSites
from fedcc.federation import flower_compat, flower_runtime, simulation
from fedcc.federation import link as link_module
from fedcc.federation.closed_round import ClosedRound
from fedcc.federation.engines import alive, launch, sites_app
from fedcc.federation.engines.aggregator_app import server_app
from fedcc.federation.engines.aggregator_files import AggregatorFiles, Outcome
from fedcc.federation.engines.processes import Processes
from fedcc.federation.engines.prompt_grid import PromptGrid
from fedcc.federation.engines.sightings import Sightings, named_error
from fedcc.federation.engines.site_process import SiteProcess
from fedcc.federation.grid import InProcessGrid
from fedcc.federation.link import GRACE_SECONDS, Link
from fedcc.federation.messages import Parcel
from fedcc.federation.settings import simulation_settings
from fedcc.federation.simulation import RunResult
from fedcc.federation.site_parts import AppliedNote, SiteSeconds, UploadNote
from fedcc.federation.strategy import RoundRecord
from fedcc.models.update import ModelState

Run = Callable[..., RunResult]
RECORD = RoundRecord(2, 1, True, ("site-1", "site-3"), 0.25, 100, 50)


# What sites show.


@pytest.fixture
def sightings(tmp_path: Path) -> Sightings:
    shown = Sightings(tmp_path / "sightings")
    shown.begin()
    return shown


def test_an_upload_is_shown_as_it_was_and_once(sightings: Sightings) -> None:
    vectors = (np.array([0.1, -2.0]), np.array([1.5, 1e-300]), np.array([3, -(2**62)]))
    watch = sightings.watch()
    assert watch.on_upload is not None

    watch.on_upload(UploadNote("site-a-b", 3, 2, *vectors))

    [note] = sightings.take_uploads()
    assert (note.site, note.round_number, note.attempt) == ("site-a-b", 3, 2)
    for shown, given in zip((note.share, note.noised, note.update), vectors, strict=True):
        np.testing.assert_array_equal(shown, given)
        assert shown.dtype == given.dtype
    assert sightings.take_uploads() == []


def test_an_applied_round_is_shown_by_any_site_and_once(sightings: Sightings) -> None:
    state = ModelState(np.array([1.0]), np.array([2.0]), np.array([3.0]), 4, 7)
    closed = ClosedRound(
        epoch=1,
        entry=8,
        round_number=7,
        attempt=2,
        cohort=("site-1", "site-2"),
        aggregate=[b"big"],
        uploads={},
        commitments={},
        signatures={},
        verification=b"",
        seeds={},
        mask_keys={},
        excess={},
    )
    on_applied = sightings.watch().on_applied
    assert on_applied is not None

    for site in ("site-2", "site-1"):
        on_applied(AppliedNote(site, closed, np.array([0.125]), np.array([0.5]), state))

    assert sightings.applied_rounds() == [7]
    note = sightings.take_applied(7)
    shown, model = note.closed, note.state
    assert (note.site, shown.attempt, shown.cohort) == ("site-1", 2, closed.cohort)
    assert (note.gradient_sum.tolist(), note.opened_noise.tolist()) == ([0.125], [0.5])
    assert (model.tail_sum.tolist(), model.tail_count, model.rounds_applied) == ([3.0], 4, 7)
    assert sightings.applied_rounds() == []


def test_refusals_keep_their_class_and_order(sightings: Sightings) -> None:
    sightings.show_refusal("site-2", 1, BudgetExceeded("spent"))
    time.sleep(0.01)
    sightings.show_refusal("site-1", 1, EnvelopeError("altered"))

    refusals = sightings.take_refusals()

    assert [(type(r), str(r)) for r in refusals] == [
        (BudgetExceeded, "spent"),
        (EnvelopeError, "altered"),
    ]
    assert sightings.take_refusals() == []


@pytest.mark.parametrize("name", ["Path", "os", "ValueError", "__doc__", ""])
def test_an_unknown_name_is_no_class_of_ours(name: str) -> None:
    assert type(named_error(name, "text")) is FedccError


def test_seconds_are_the_last_ones_shown(sightings: Sightings) -> None:
    assert sightings.seconds("site-1") == SiteSeconds()

    for seconds in (SiteSeconds(1.0, 2.0), SiteSeconds(3.0, 4.0)):
        sightings.show_seconds("site-1", seconds)

    assert sightings.seconds("site-1") == SiteSeconds(3.0, 4.0)


def test_a_second_process_for_sites_is_noticed(sightings: Sightings) -> None:
    assert sightings.claim(11)
    assert sightings.claim(11)

    assert not sightings.claim(12)


# What the aggregator leaves.


def test_records_and_outcome_come_back_as_they_were(tmp_path: Path) -> None:
    files = AggregatorFiles(tmp_path)
    files.begin()
    assert not files.started
    assert files.outcome() is None

    files.note_record(RECORD)
    files.write_outcome(Outcome(TooFewSites("2 of 3"), 0.5))

    assert files.records() == [RECORD]
    outcome = files.outcome()
    assert outcome is not None and isinstance(outcome.error, TooFewSites)
    assert (str(outcome.error), outcome.seconds_adding) == ("2 of 3", 0.5)


def test_a_record_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    files = AggregatorFiles(tmp_path)
    files.begin()
    files.note_record(RECORD)
    path = tmp_path / "session" / "records.jsonl"

    path.write_text(path.read_text() + '{"round_number": 3, "att')

    assert files.records() == [RECORD]


def test_a_new_session_begins_without_the_old_one_s_stop(tmp_path: Path) -> None:
    files = AggregatorFiles(tmp_path)
    files.begin()
    files.ask_to_stop()
    assert files.should_stop()

    files.begin()

    assert not files.should_stop()


# A site's process, without Flower's engine around it.


@pytest.fixture(scope="session")
def lock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lock that is held until this process ends: letting it go would end this process."""
    path = tmp_path_factory.mktemp("lock") / "alive"
    fcntl.flock(os.open(path, os.O_CREAT | os.O_RDWR), fcntl.LOCK_EX)
    return path


@dataclass
class Desk:
    """Sends messages to the sites of a run folder."""

    run: Path
    run_config: dict[str, str | bool] = field(default_factory=dict)

    def ask(self, exchange: str, fields: dict[str, str | int], index: int = 0) -> Message:
        flower_compat.enter_run()
        message = Message(Parcel(fields).to_record(), 1000, f"query.{exchange}")
        context = Context(1, 1000, {"partition-id": index}, RecordDict(), dict(self.run_config))
        return sites_app.client_app()(message, context)


@pytest.fixture
def desk(run_calls: Run, lock: Path, monkeypatch: pytest.MonkeyPatch) -> Iterable[Desk]:
    """A run folder whose sites have keys and no model yet."""

    def stop(*arguments: object, **settings: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(simulation, "run_in_process", stop)
        result = run_calls("federation.drop=[{site: 1, round: 2}]")
    Sightings(result.run_dir / "secrets" / "sightings").begin()
    run = result.run_dir
    yield Desk(run, {"fedcc-run": str(run), "fedcc-resumed": False, "fedcc-lock": str(lock)})
    for site in sites_app._only_process(run, False, lock)._sites.values():
        site.close()


def test_a_site_s_reason_is_shown_to_the_simulator_and_leaves_as_one_code(desk: Desk) -> None:
    reply = desk.ask("advertise", {"plan": "{}", "roster": "[]"})

    assert Parcel.from_record(reply.content) == Parcel({"refused": "unavailable"})
    [refusal] = Sightings(desk.run / "secrets" / "sightings").take_refusals()
    assert isinstance(refusal, ConfigError)
    assert "plan" in str(refusal)


def test_a_site_answers_to_its_own_name_and_stays_open_between_messages(desk: Desk) -> None:
    replies = [desk.ask("join", {"run": "r"}, index) for index in (1, 1, 2)]

    adverts = [json.loads(Parcel.from_record(r.content).text("advert"))[0] for r in replies]
    assert adverts == ["site-2", "site-2", "site-3"]


def test_a_dropout_is_played_for_its_site_and_round_alone(desk: Desk) -> None:
    played = desk.ask("join", {"run": "r", "round": 2, "attempt": 1})
    others = [
        desk.ask("join", {"run": "r", "round": 1, "attempt": 1}),
        desk.ask("join", {"run": "r", "round": 2, "attempt": 1}, index=1),
    ]

    assert Parcel.from_record(played.content) == Parcel({"refused": "unavailable"})
    assert all("advert" in Parcel.from_record(reply.content).fields for reply in others)


def test_a_resumed_process_plays_no_dropout(desk: Desk) -> None:
    process = SiteProcess(desk.run, resumed=True)
    flower_compat.enter_run()
    message = Message(Parcel({"run": "r", "round": 2}).to_record(), 1000, "query.join")

    reply = process.answer(message, Context(1, 1000, {"partition-id": 0}, RecordDict(), {}))

    for site in process._sites.values():
        site.close()
    assert "advert" in Parcel.from_record(reply.content).fields


def test_a_folder_that_is_no_run_is_one_code_without_text(lock: Path, tmp_path: Path) -> None:
    place = tmp_path / CANARY
    place.mkdir()
    keys = {"fedcc-run": str(place), "fedcc-resumed": False, "fedcc-lock": str(lock)}

    reply = Desk(place, keys).ask("join", {"run": "r"})

    assert Parcel.from_record(reply.content) == Parcel({"refused": "unavailable"})


# The aggregator's app.


def test_the_aggregator_s_app_needs_no_secret_of_a_site_and_returns_its_error_by_class(
    desk: Desk, lock: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "aggregator"
    copy.mkdir()
    for name in ("plan.json", "config.yaml"):
        text = (desk.run / name).read_text()
        text = text.replace("join_timeout_seconds: 60.0", "join_timeout_seconds: 0.1")
        (copy / name).write_text(text)
    files = AggregatorFiles(copy / "checkpoints" / "aggregator")
    files.begin()
    run_config = {"fedcc-run": str(copy), "fedcc-poll-seconds": 0.1}
    context = Context(1, 0, {}, RecordDict(), run_config | {"fedcc-lock": str(lock)})
    grid = InProcessGrid(sites_app.client_app(), 0)

    server_app()(grid, context)

    outcome = files.outcome()
    assert outcome is not None and isinstance(outcome.error, TooFewSites)
    assert "0 of 3 sites joined" in str(outcome.error)


# Waiting, starting and ending.


class SlowGrid(InProcessGrid):
    """Gives each reply at the second look."""

    looks = 0

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        self.looks += 1
        return [] if self.looks % 2 else super().pull_messages(list(message_ids)[:1])


def exchange(grid: PromptGrid, timeout: float) -> Sequence[Message]:
    request = Parcel({"round": 1}).to_record()
    messages = [Message(request, node, "query.join") for node in grid.get_node_ids()]
    return grid.send_and_receive(messages, timeout=timeout)


def test_a_prompt_grid_waits_until_every_reply_is_there() -> None:
    grid = PromptGrid(SlowGrid(sites_app.client_app(), 3), poll=0.001)

    assert len(exchange(grid, timeout=5.0)) == 3


def test_a_prompt_grid_returns_what_is_there_when_the_time_is_up() -> None:
    silent = InProcessGrid(sites_app.client_app(), 2, offline=lambda index, message: index == 1)
    started = time.monotonic()

    replies = exchange(PromptGrid(silent, poll=0.01), timeout=0.2)

    assert len(replies) == 1
    assert 0.2 <= time.monotonic() - started < 2.0


def test_a_caller_is_told_of_every_look_for_replies_so_that_waiting_is_not_being_stuck() -> None:
    silent = InProcessGrid(sites_app.client_app(), 2, offline=lambda index, message: index == 1)
    looks: list[float] = []

    def look() -> None:
        looks.append(time.monotonic())

    exchange(PromptGrid(silent, poll=0.01, on_look=look), timeout=0.2)

    assert len(looks) >= 5
    assert looks[-1] - looks[0] > 0.1


def test_a_reply_is_passed_on_while_others_are_awaited() -> None:
    silent = InProcessGrid(sites_app.client_app(), 2, offline=lambda index, message: index == 1)
    grid = PromptGrid(silent, poll=0.01)
    request = Parcel({"round": 1}).to_record()
    messages = [Message(request, node, "query.join") for node in grid.get_node_ids()]
    started = time.monotonic()

    first = next(grid.receive_each(messages, timeout=60.0))

    assert first.metadata.reply_to_message_id == messages[0].metadata.message_id
    assert time.monotonic() - started < 30.0


def test_replies_of_few_nodes_are_held_at_a_time() -> None:
    asked: list[int] = []

    class Counting(InProcessGrid):
        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            asked.append(len(list(message_ids)))
            return super().pull_messages(message_ids)

    replies = exchange(PromptGrid(Counting(sites_app.client_app(), 20), poll=0.01), timeout=5.0)

    assert len(replies) == 20
    assert asked == [8, 8, 4]


class Online:
    """A grid whose nodes come one a second, by its own clock."""

    def __init__(self) -> None:
        self.now = 0.0

    def get_node_ids(self) -> list[int]:
        return list(range(min(3, int(self.now))))


@pytest.mark.parametrize(
    ("wanted", "least", "until"), [(3, None, 3.0), (4, None, 60.0), (4, 2, 2.0 + GRACE_SECONDS)]
)
def test_a_wait_for_nodes_ends_soon_after_the_least_are_there(
    wanted: int, least: int | None, until: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = Online()
    clock = SimpleNamespace(
        monotonic=lambda: grid.now,
        sleep=lambda seconds: setattr(grid, "now", grid.now + seconds),
    )
    monkeypatch.setattr(link_module, "time", clock)
    link = Link(grid, None, 1.0)  # type: ignore[arg-type]

    link.wait_for_nodes(wanted, 60.0, least)

    assert grid.now == pytest.approx(until, abs=0.2)


@pytest.mark.parametrize(("patience", "seconds"), [(math.inf, 60.0), (15.0, 15.0), (90.0, 60.0)])
def test_patience_shortens_the_time_of_an_exchange_and_its_messages(
    patience: float, seconds: float
) -> None:
    sent: list[tuple[float, float | None]] = []

    class Deaf:
        def send_and_receive(
            self, messages: Iterable[Message], *, timeout: float | None = None
        ) -> list[Message]:
            sent.extend((message.metadata.ttl, timeout) for message in messages)
            return []

    flower_compat.enter_run()
    link = Link(Deaf(), None, 60.0)  # type: ignore[arg-type]

    assert link.exchange("join", 1, {7: ("site-1", Parcel({}))}, patience) == {}
    assert sent == [(seconds, seconds)]


DETACHED = """
import os, subprocess, sys, time
code = "import time; time.sleep(60)"
subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
subprocess.Popen([sys.executable, "-c", code], env={}, start_new_session=True)
orphan = [sys.executable, "-c", "import subprocess, sys; subprocess.Popen([sys.executable, '-c', "
          "'import time; time.sleep(60)'])"]
subprocess.Popen(orphan).wait()
print("ready", flush=True)
time.sleep(60)
"""


def test_every_process_is_ended_also_detached_and_orphaned_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "log"
    with Processes({**os.environ, "FLWR_HOME": str(tmp_path)}, log) as processes:
        processes.start("a daemon", [sys.executable, "-c", DETACHED])
        deadline = time.monotonic() + 20
        while "ready" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.02)
        during = len(processes_in(tmp_path))
    after = len(processes_in(tmp_path))

    assert (during, after) == (4, 0)


def test_a_process_that_ends_is_named_with_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Processes({**os.environ, "FLWR_HOME": str(tmp_path)}, log) as processes:
        processes.start("the link", [sys.executable, "-c", "print('secret'); exit(3)"])
        with pytest.raises(TooFewSites, match="the link ended with code 3") as caught:
            while True:
                processes.check()
                time.sleep(0.01)

    assert str(log) in str(caught.value)
    assert "secret" not in str(caught.value)
    assert oct(log.stat().st_mode)[-3:] == "600"


def test_a_command_that_is_done_is_no_failure(tmp_path: Path) -> None:
    with Processes({**os.environ, "FLWR_HOME": str(tmp_path)}, tmp_path / "log") as processes:
        processes.start("a command", [sys.executable, "-c", "print('done')"], lasting=False)
        deadline = time.monotonic() + 20
        while "done" not in processes.log.read_text() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.1)

        processes.check()  # raises for a lasting process that ended, see the test above

        assert "done" in processes.log.read_text()


def test_a_process_ends_when_the_lock_is_let_go(tmp_path: Path) -> None:
    lock = tmp_path / "let-go"
    code = (
        "import sys, time; from pathlib import Path\n"
        "from fedcc.federation.engines.alive import end_with_holder\n"
        "end_with_holder(Path(sys.argv[1])); print('watching', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(lock)]
    with alive.hold(lock):
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert child.stdout is not None and child.stdout.readline() == b"watching\n"
        time.sleep(0.2)
        assert child.poll() is None

    assert child.wait(10) == 1


def test_the_processes_reach_nothing_but_loopback_and_call_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("RAY_ADDRESS", "cluster.example:6379")

    environment = launch.environment(tmp_path)

    assert not {"HTTPS_PROXY", "RAY_ADDRESS"} & environment.keys()
    for switch in ("FLWR_TELEMETRY_ENABLED", "RAY_USAGE_STATS_ENABLED"):
        assert environment[switch] == "0"
    assert environment["FLWR_DISABLE_UPDATE_CHECK"] == "1"
    assert environment["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] == "1"


def test_the_bundle_holds_three_lines_of_ours_and_any_path_survives_it(tmp_path: Path) -> None:
    import tomllib

    run = '/tmp/a "b" \\ é'

    bundle = launch.write_bundle(tmp_path, {"fedcc-run": run, "fedcc-resumed": False}, 8000)

    project = tomllib.loads((bundle / "pyproject.toml").read_text())
    assert project["tool"]["flwr"]["app"]["config"] == {"fedcc-run": run, "fedcc-resumed": False}
    assert project["project"]["dependencies"] == []
    assert len((bundle / "fedcc_run" / "server.py").read_text().splitlines()) == 3


def test_a_missing_package_names_the_extra(run_calls: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(ConfigError, match=r"fedcc\[ray\]"):
        launch.check_engine("ray")

    launch.check_engine("superlink")


@pytest.mark.parametrize("key", ["start_timeout_seconds", "poll_seconds"])
@pytest.mark.parametrize("value", ["0", "null"])
def test_an_engine_needs_its_times(calls: Path, key: str, value: str) -> None:
    overrides = ["data=calls", "engine=superlink", f"engine.{key}={value}"]

    with pytest.raises(ConfigError, match=key):
        simulation_settings(config.compose("simulate", overrides, calls))


def test_a_pull_is_tried_again_sooner() -> None:
    from flwr.supercore.inflatable import inflatable_utils

    before = inflatable_utils.pull_objects.__kwdefaults__["initial_backoff"]
    try:
        flower_runtime.retry_pulls_sooner(0.125)

        assert inflatable_utils.pull_objects.__kwdefaults__["initial_backoff"] == 0.125
    finally:
        flower_runtime.retry_pulls_sooner(before)
