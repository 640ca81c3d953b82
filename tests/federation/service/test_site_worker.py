"""What a real site answers before any training: approval, hours, data; one code for all else."""

import dataclasses
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict

from fedcc import config
from fedcc.crypto.key_file import Identity, KeyFile, read_key
from fedcc.deployment.site_file import SiteHome
from fedcc.errors import ConfigError, FedccError, PolicyViolation, ProtocolError
from fedcc.federation import flower_compat
from fedcc.federation.messages import Parcel
from fedcc.federation.plans.desk import Desk
from fedcc.federation.reply_schedule import ReplySchedule
from fedcc.federation.service import site_worker
from fedcc.federation.service.settings import service_settings
from fedcc.federation.service.site_rows import load_rows
from fedcc.federation.service.site_worker import SiteWorker

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "simulations"))
from _drill import Drill  # noqa: E402
from _installation import change  # noqa: E402

SITE = "site-1"
FLOWER_RUN = 1


@pytest.fixture
def drill(tmp_path: Path) -> Drill:
    return Drill.prepare(tmp_path / "drill", n_sites=3, rounds=2)


def home_of(drill: Drill) -> SiteHome:
    return SiteHome.open(drill.made.site(SITE))


def identity_of(drill: Drill, site: str = SITE) -> Identity:
    home = SiteHome.open(drill.made.site(site))
    return read_key(home.identity).unlock(KeyFile((home.file.parent / "unlock.key").read_bytes()))


def worker_of(drill: Drill, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> SiteWorker:
    settings = dataclasses.replace(service_settings(), load_seconds=0.01)
    return SiteWorker(home_of(drill), identity_of(drill), settings, now)


def ask(worker: SiteWorker, exchange: str, flower_run: int = FLOWER_RUN, **fields: Any) -> Parcel:
    flower_compat.enter_run()
    message = Message(Parcel(fields).to_record(), 1000, f"query.{exchange}", group_id="1")
    flower_compat.set_message_id(message, "1")
    context = Context(flower_run, 1000, {}, RecordDict(), {})
    return Parcel.from_record(worker.answer(message, context).content)


def refusals(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if line["event"] == "refused"]


def test_a_site_joins_a_run_whose_plan_was_approved_and_nothing_is_charged(drill: Drill) -> None:
    worker = worker_of(drill)

    reply = ask(worker, "join", run=drill.signed.plan.run)
    worker.close()

    assert reply.number("rounds_applied") == 0
    assert SITE in reply.text("advert")
    assert drill.charges(SITE) == []


@dataclass
class Held:
    """A clock on which reading rows takes long, and the seconds that answers were held."""

    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    def schedule(self, seconds: float) -> ReplySchedule:
        return ReplySchedule(seconds=seconds, clock=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@pytest.mark.parametrize("is_sound", [True, False])
def test_how_long_a_site_reads_its_rows_does_not_show(
    drill: Drill, monkeypatch: pytest.MonkeyPatch, is_sound: bool
) -> None:
    worker, held = worker_of(drill), Held()
    worker._schedule, worker._loading = held.schedule(0.5), held.schedule(5.0)

    def slow(*arguments: Any) -> Any:
        held.now += 3.2
        if not is_sound:
            raise ConfigError("a row of Maria Silva cannot be read")
        return load_rows(*arguments)

    monkeypatch.setattr(site_worker, "load_rows", slow)
    reply = ask(worker, "join", run=drill.signed.plan.run)
    ask(worker, "join", run=drill.signed.plan.run if is_sound else "0" * 16)
    worker.close()

    assert ("refused" in reply.fields) is not is_sound
    assert held.waits == [pytest.approx(1.8)]  # the first answer alone; the other read no rows


def test_a_refused_verdict_waits_as_a_verdict_does(drill: Drill) -> None:
    worker, held = worker_of(drill), Held()
    worker._schedule = held.schedule(0.5)

    assert "refused" in ask(worker, "verdict").fields

    assert held.waits == [0.5]


def test_a_run_without_a_plan_gets_one_code_and_the_reason_stays_here(
    drill: Drill, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = ask(worker_of(drill), "join", run="stranger")

    assert reply.fields == {"refused": "unavailable"}
    [line] = refusals(capsys)
    assert (line["error"], line["site"]) == ("PolicyViolation", SITE)


def test_a_plan_that_waits_for_a_decision_is_not_begun(
    drill: Drill, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ["task=churn", "data=calls", "rounds=2"]
    waiting = drill.made.submit(wanted, drill.root, approving=["site-2"])
    content = (drill.made.hub / "plans" / f"{waiting.plan.run}.plan.json").read_bytes()
    Desk(home_of(drill)).take_content(content, "the plan")

    reply = ask(worker_of(drill), "join", run=waiting.plan.run)

    assert reply.fields == {"refused": "unavailable"}
    assert "waits for a decision" in refusals(capsys)[0]["reason"]


def test_a_withdrawn_approval_counts_from_the_next_message_on(
    drill: Drill, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = worker_of(drill)
    assert "advert" in ask(worker, "join", run=drill.signed.plan.run).fields

    now = datetime.now(UTC)
    Desk(home_of(drill)).decide(
        "withdraw", drill.signed, identity_of(drill), by="operator", reason="stop", now=now
    )
    reply = ask(worker, "upload", round=1, attempt=1, entry=1, cohort="[]")
    worker.close()

    assert reply.fields == {"refused": "unavailable"}
    assert "withdrawn" in refusals(capsys)[0]["reason"]
    assert drill.charges(SITE) == []


def test_a_standing_approval_lets_a_plan_begin_and_signs_for_it(drill: Drill) -> None:
    rule = {
        "name": "nightly",
        "tasks": ["churn"],
        "owners": ["example"],
        "max_epsilon": 5.0,
        "max_epsilon_if_all_others_collude": 500.0,
        "max_rounds": 10,
        "min_sites": 3,
        "only_changed": ["run", "rounds", "max_attempts"],
        "min_days_between": 0.00001,
        "until": "2100-01-01",
    }
    change(drill.made.site(SITE) / "site.yaml", {"standing_approvals": [rule]})
    wanted = ["task=churn", "data=calls", "rounds=2"]
    waiting = drill.made.submit(wanted, drill.root, approving=["site-2"])
    content = (drill.made.hub / "plans" / f"{waiting.plan.run}.plan.json").read_bytes()
    Desk(home_of(drill)).take_content(content, "the plan")
    worker = worker_of(drill, lambda: datetime(2100, 1, 1, tzinfo=UTC))

    # On the last day of the rule the plan itself holds no longer.
    assert ask(worker, "join", run=waiting.plan.run).fields == {"refused": "unavailable"}
    worker = worker_of(drill)
    assert "advert" in ask(worker, "join", run=waiting.plan.run).fields
    worker.close()
    assert Desk(home_of(drill)).view.decisions[-1].by == "rule nightly"


def test_no_round_is_begun_outside_the_sites_hours(
    drill: Drill, capsys: pytest.CaptureFixture[str]
) -> None:
    file = drill.made.site(SITE) / "site.yaml"
    window = {"days": ["mon"], "begin": "22:00", "end": "23:00"}
    change(file, {"network": {**config.read_yaml(file)["network"], "windows": [window]}})
    thursday = datetime(2026, 11, 26, 12, tzinfo=UTC)

    reply = ask(worker_of(drill, lambda: thursday), "join", run=drill.signed.plan.run)

    assert reply.fields == {"refused": "unavailable"}
    assert "network.windows" in refusals(capsys)[0]["reason"]


def test_a_message_of_another_flower_run_than_the_one_that_was_joined_is_refused(
    drill: Drill, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = worker_of(drill)
    ask(worker, "join", run=drill.signed.plan.run)

    reply = ask(worker, "share", flower_run=2, adverts="{}")
    worker.close()

    assert reply.fields == {"refused": "unavailable"}
    assert refusals(capsys)[0]["error"] == "ProtocolError"


def test_a_refusal_names_the_run_that_was_asked_for_and_is_logged_now_and_then_only(
    drill: Drill, capsys: pytest.CaptureFixture[str]
) -> None:
    """A plan that waits for its operator is asked for again and again."""
    now = [datetime.now(UTC)]
    worker = worker_of(drill, lambda: now[0])
    ask(worker, "join", run=drill.signed.plan.run)
    for _ in range(5):
        ask(worker, "join", run="c0ffee")
    ask(worker, "join", run="../../etc")  # no name of a run: it is not repeated
    told = refusals(capsys)
    assert [line["run"] for line in told] == ["c0ffee", drill.signed.plan.run]
    assert all("no plan of the run" in line["reason"] for line in told[:1])

    now[0] += timedelta(minutes=11)
    ask(worker, "join", run="c0ffee")
    worker.close()
    assert [line["run"] for line in refusals(capsys)] == ["c0ffee"]


def test_a_site_whose_key_is_not_in_the_roster_does_not_start(drill: Drill) -> None:
    with pytest.raises(ProtocolError, match="does not hold this site's key"):
        SiteWorker(home_of(drill), identity_of(drill, "site-2"), service_settings())


def test_public_data_sets_are_refused_unless_the_site_admits_them(drill: Drill) -> None:
    change(drill.made.site(SITE) / "site.yaml", {"allow_public_dataset": False})

    with pytest.raises(PolicyViolation, match="allow_public_dataset"):
        load_rows(home_of(drill), drill.signed, datetime.now(UTC))


@pytest.mark.parametrize("word", ["out_of_bounds: clamp", "name: calls"])
def test_data_that_the_plan_does_not_name_by_its_hash_is_not_opened(
    drill: Drill, word: str
) -> None:
    yaml = drill.root / "data" / "calls.yaml"
    other = {"out_of_bounds: clamp": "out_of_bounds: error", "name: calls": "name: others"}[word]
    assert word in yaml.read_text()
    yaml.write_text(yaml.read_text().replace(word, other))

    with pytest.raises(FedccError):
        load_rows(home_of(drill), drill.signed, datetime.now(UTC))


def test_every_row_of_the_sites_own_file_trains_where_the_test_rows_are_the_others_file(
    drill: Drill,
) -> None:
    rows = load_rows(home_of(drill), drill.signed, datetime.now(UTC))

    assert not (drill.root / "test.csv").exists()
    assert len(rows.examples) == 150  # made-up customers with one row each


def test_which_rows_of_a_customer_train_is_the_same_after_a_restart_and_known_to_nobody(
    drill: Drill,
) -> None:
    path = drill.root / f"{SITE}.csv"
    head, *lines = path.read_text().splitlines()
    repeated = [line.replace(line.split(",")[0], "one", 1) for line in lines]
    path.write_text("\n".join([head, *repeated]) + "\n")

    first = load_rows(home_of(drill), drill.signed, datetime.now(UTC)).examples
    again = load_rows(home_of(drill), drill.signed, datetime.now(UTC)).examples
    secret = home_of(drill).state / "rows.secret"
    mode = secret.stat().st_mode & 0o777
    secret.unlink()
    others = load_rows(home_of(drill), drill.signed, datetime.now(UTC)).examples

    assert len(first) == drill.signed.plan.max_interactions
    np.testing.assert_array_equal(first.features, again.features)
    assert not np.array_equal(first.features, others.features)
    assert mode == 0o600


def test_a_test_before_release_on_rows_that_are_not_set_aside_is_refused_before_training(
    drill: Drill,
) -> None:
    wanted = {"minimum_accuracy": 0.6, "epsilon": 0.5}
    change(drill.made.site(SITE) / "site.yaml", {"release": wanted})

    with pytest.raises(ConfigError, match="sets no rows of this site aside"):
        load_rows(home_of(drill), drill.signed, datetime.now(UTC))


def test_a_plan_that_expired_between_approval_and_start_is_refused_and_opens_no_data(
    drill: Drill, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = worker_of(drill, lambda: datetime.now(UTC) + timedelta(days=2))  # it held for one

    reply = ask(worker, "join", run=drill.signed.plan.run)
    worker.close()

    assert reply.fields == {"refused": "unavailable"}
    [refused] = refusals(capsys)
    assert (refused["error"], ProtocolError.exit_code) == ("ProtocolError", 6)
    assert "holds from" in refused["reason"]
    assert not (home_of(drill).state / "runs").exists()


def test_a_plan_that_expires_after_a_site_joined_and_before_the_run_began_is_refused_too(
    drill: Drill,
) -> None:
    worker = worker_of(drill)
    assert "advert" in ask(worker, "join", run=drill.signed.plan.run).fields
    worker.close()

    later = worker_of(drill, lambda: datetime.now(UTC) + timedelta(days=2))
    reply = ask(later, "join", run=drill.signed.plan.run)
    later.close()

    assert reply.fields == {"refused": "unavailable"}
