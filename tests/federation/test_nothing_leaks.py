"""What depends on private rows and is not noised stays at the site: one test for each known leak.

Neighbours here are two data sets that differ by one customer, or in everything but the schema.
"""

import csv
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CALLS_YAML, SMALL, read_lines
from flwr.app import Message

from fedcc import config
from fedcc.errors import BudgetExceeded, ConfigError, PolicyViolation, RecordError
from fedcc.federation import flower_compat, link, simulation
from fedcc.federation.client_app import build_client_app
from fedcc.federation.messages import SITE_FIELDS, Parcel
from fedcc.federation.reply_schedule import ReplySchedule
from fedcc.federation.settings import simulation_settings
from fedcc.federation.simulation import RunResult

Run = Callable[..., RunResult]
Sent = list[tuple[str, Parcel]]  # exchange and reply, in order of arrival

# Fresh in every run, whatever the data: keys, names of runs and sessions, commitments, hashes of
# ciphertexts, signatures.
FRESH = {
    "advert", "key_id", "parameters", "signature", "seed", "header", "run", "session",
    "seed_commitment", "payload_sha256", "cohort_hash",
}  # fmt: skip


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """Keep every reply that reaches the aggregator."""
    kept: Sent = []
    check = link.check_reply

    def keep(kind: Any, parcel: Parcel) -> None:
        kept.append((kind, parcel))
        check(kind, parcel)

    monkeypatch.setattr(link, "check_reply", keep)
    return kept


@pytest.fixture
def run_on(calls: Path, tmp_path: Path, sent: Sent) -> Callable[..., tuple[RunResult, Sent]]:
    """Run on the rows of the generated set that `change` returns; give back what was sent."""
    header, *rows = list(csv.reader((calls / "calls.csv").open()))

    def run(
        name: str, change: Callable[[list[list[str]]], list[list[str]]], *overrides: str
    ) -> tuple[RunResult, Sent]:
        folder = tmp_path / name
        (folder / "data").mkdir(parents=True)
        with (folder / "calls.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *change([list(row) for row in rows])])
        # The path does not enter the schema's hash; the rest of the YAML is the same.
        yaml = CALLS_YAML.replace("PATH", str(folder / "calls.csv"))
        (folder / "data" / "calls.yaml").write_text(yaml)
        where = [*SMALL, f"run.dir={folder / 'run'}", "data.partition=natural", *overrides]
        values = config.compose("simulate", where, folder)
        sent.clear()
        result = simulation.simulate(simulation_settings(values), values)
        assert result.error is None
        return result, list(sent)

    return run


def everything(rows: list[list[str]]) -> list[list[str]]:
    return rows


def without_one(rows: list[list[str]]) -> list[list[str]]:
    """The neighbour: one customer, who is in the training split, is gone."""
    return rows[1:]


def another_world(rows: list[list[str]]) -> list[list[str]]:
    """Half the customers, none of whom leaves, calls more than twice or stays beyond a year."""
    for row in rows:
        row[3], row[4], row[5] = str(int(row[3]) % 12), str(int(row[4]) % 3), "stays"
    return rows[::2]


def plain_view(sent: Sent) -> list[object]:
    """Everything that arrived, with only what is fresh in every run taken out."""
    view: list[object] = []
    for kind, parcel in sent:
        fields = {name: value for name, value in parcel.fields.items() if name not in FRESH}
        head = json.loads(parcel.raw("header")) if "header" in parcel.fields else {}
        head = {name: value for name, value in head.items() if name not in FRESH}
        chunks = {name: len(parts) for name, parts in parcel.chunks.items()}
        view.append((kind, sorted(parcel.fields), fields, head, chunks))
    return view


@pytest.mark.parametrize("change", [without_one, another_world])
@pytest.mark.parametrize(
    "overrides", [[], ["privacy.noise=local", "privacy.sample_rate=0.3"]], ids=["full", "sampled"]
)
def test_neighbouring_data_send_the_same_but_for_ciphertexts_and_keys(
    run_on: Any, change: Any, overrides: list[str]
) -> None:
    first, here = run_on("here", everything, *overrides)
    second, there = run_on("there", change, *overrides)

    assert first.summary["data"]["rows"] != second.summary["data"]["rows"]
    assert plain_view(here) == plain_view(there)
    assert len(here) > 30


def test_a_row_count_in_a_header_would_be_seen(run_on: Any) -> None:
    # The twin: what a careless site might add.
    _, here = run_on("here", everything)
    first, there = run_on("there", without_one)

    kind, parcel = next(item for item in there if item[0] == "upload")
    header = {**json.loads(parcel.raw("header")), "rows": first.summary["data"]["rows"]}
    there[there.index((kind, parcel))] = (
        kind,
        Parcel({**parcel.fields, "header": json.dumps(header).encode()}, parcel.chunks),
    )

    assert plain_view(here) != plain_view(there)


@pytest.mark.parametrize("change", [without_one, another_world])
def test_the_plan_and_the_model_card_say_nothing_of_the_rows(run_on: Any, change: Any) -> None:
    # Normaliser, classes, bounds, step size, grid and noise come from the YAML and the settings.
    folders = [run_on(name, rows)[0].run_dir for name, rows in (("a", everything), ("b", change))]

    plans = [json.loads((folder / "plan.json").read_text()) for folder in folders]
    for plan in plans:
        del plan["run"], plan["public_seed"]
    assert plans[0] == plans[1]
    cards = [json.loads((folder / "model.json").read_text()) for folder in folders]
    assert cards[0] == cards[1]
    assert cards[0]["labels"] == ["stays", "leaves"]


def test_heads_of_audit_log_and_ledger_stay_at_the_site(run_on: Any) -> None:
    result, here = run_on("here", everything)

    heads = [
        str(line["hash"])
        for kind in ("audit", "ledger")
        for file in (result.run_dir / kind).glob("*.jsonl")
        for line in read_lines(file)
    ]
    blob = b"".join(
        value if isinstance(value, bytes) else str(value).encode()
        for _, parcel in here
        for value in parcel.fields.values()
    ) + b"".join(chunk for _, p in here for chunks in p.chunks.values() for chunk in chunks)

    assert len(heads) > 20
    assert not [head for head in heads if head.encode() in blob or bytes.fromhex(head) in blob]
    assert next(p for k, p in here if k == "begin").text("key_id").encode() in blob  # it would show


def test_no_metric_and_no_count_has_a_place_on_the_wire(run_on: Any) -> None:
    result, here = run_on("here", everything)

    kinds = {line["kind"] for line in read_lines(result.run_dir / "wire.jsonl")}
    assert kinds == {"ciphertext", "public"}
    numbers = {
        name
        for _, parcel in here
        for name, value in parcel.fields.items()
        if isinstance(value, int)
    }
    # Public: every site applies the same rounds, and is in the same epoch.
    assert numbers == {"rounds_applied", "epoch"}
    assert {name for fields in SITE_FIELDS.values() for name in fields} == {
        "advert", "rounds_applied", "parameters", "key_id", "sealed_keys", "header", "signature",
        "update", "seed", "epoch", "shares", "excess", "request", "channel", "sealed_state",
        "verdict", "released",
    }  # fmt: skip


# Refusals.


class FakeSite:
    """Stands for a site that fails in a given way; keeps what it would log."""

    def __init__(self, failure: Exception | None, compute: Callable[[], None] = lambda: None):
        self.name, self._failure, self._compute = "site-1", failure, compute
        self.log: list[str] = []

    def answer(self, exchange: str, request: Parcel) -> Parcel:
        self._compute()
        if self._failure is not None:
            raise self._failure
        return Parcel({"signature": b"s"})

    def refuse(self, exchange: str, error: Exception) -> None:
        self.log.append(str(error))

    def note_overrun(self, exchange: str, periods: int) -> None:
        self.log.append(f"{exchange} overrun {periods}")


def ask(site: FakeSite, schedule: ReplySchedule, exchange: str = "upload") -> Parcel:
    flower_compat.enter_run()
    app = build_client_app({0: site}, schedule)  # type: ignore[dict-item]
    message = Message(Parcel({"round": 1}).to_record(), 1, f"query.{exchange}")
    return Parcel.from_record(
        app(message, flower_compat.new_context(1, {"partition-id": 0})).content
    )


@pytest.mark.parametrize(
    "failure",
    [
        RecordError("row 17: no consent"),
        PolicyViolation("a label code lies outside the plan's classes."),
        BudgetExceeded("epsilon 0.9 of 1 is spent"),
        ConfigError("fewer than 20 rows"),
        OSError(28, "No space left on device"),
        ValueError("the gradient sum holds NaN"),
        MemoryError("1,000,000 rows"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_every_refusal_is_one_code_whatever_the_data_did(failure: Exception) -> None:
    site = FakeSite(failure)

    reply = ask(site, ReplySchedule(seconds=None))

    assert reply == Parcel({"refused": "unavailable"})
    assert len(site.log) == 1  # the reason stays in the site's own log


# When replies leave.


class Clock:
    """Seconds that pass by computing and sleeping only."""

    def __init__(self) -> None:
        self.now, self.naps = 100.0, [0.0][:0]

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds

    def compute(self, seconds: float) -> Callable[[], None]:
        def busy() -> None:
            self.now += seconds

        return busy


@pytest.mark.parametrize("failure", [None, RecordError("row 17")], ids=["update", "refusal"])
@pytest.mark.parametrize("busy", [0.0, 0.3, 1.9999])
def test_an_update_or_a_refusal_leaves_on_schedule_however_long_it_took(
    busy: float, failure: Exception | None
) -> None:
    clock = Clock()
    site = FakeSite(failure, clock.compute(busy))

    ask(site, ReplySchedule(seconds=2.0, clock=clock, sleep=clock.sleep))

    assert clock.now == pytest.approx(102.0)
    assert not [line for line in site.log if "overrun" in line]


def test_an_answer_that_takes_too_long_leaves_at_the_next_period_and_is_noted_locally() -> None:
    clock = Clock()
    site = FakeSite(None, clock.compute(4.1))

    reply = ask(site, ReplySchedule(seconds=2.0, clock=clock, sleep=clock.sleep))

    assert clock.now == pytest.approx(106.0)
    assert site.log == ["upload overrun 2"]
    assert reply == Parcel({"signature": b"s"})  # nothing of it on the wire


def test_without_a_schedule_the_time_of_an_answer_tells_how_long_it_took() -> None:
    # The twin.
    clock = Clock()
    site = FakeSite(None, clock.compute(0.3))

    ask(site, ReplySchedule(seconds=None, clock=clock, sleep=clock.sleep))

    assert clock.now == pytest.approx(100.3)


def test_only_the_exchange_that_computes_on_rows_waits() -> None:
    clock = Clock()

    ask(FakeSite(None), ReplySchedule(seconds=2.0, clock=clock, sleep=clock.sleep), "sign")

    assert clock.naps == []


def test_a_run_keeps_the_schedule_and_notes_no_overrun(run_calls: Run) -> None:
    result = run_calls("rounds=2", "federation.reply_seconds=0.4")

    # Three sites in one process, one after another.
    assert result.error is None
    assert result.summary["timing"]["seconds_per_round"] >= 1.2
    for file in (result.run_dir / "audit").iterdir():
        assert "overrun" not in file.read_text()


@pytest.mark.parametrize("seconds", ["0", "-1", "120", "60"])
def test_a_schedule_that_no_reply_could_keep_is_refused(run_calls: Run, seconds: str) -> None:
    with pytest.raises(ConfigError, match="reply_seconds"):
        run_calls(f"federation.reply_seconds={seconds}")


# Randomness.


@pytest.fixture
def fixed_globals() -> Iterator[Callable[[], tuple[object, ...]]]:
    """Seed every global generator; return a reader of their states."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002

    def seed_and_read() -> tuple[object, ...]:
        state = np.random.get_state()  # noqa: NPY002
        return random.getstate(), state[1].tobytes(), state[2:], torch.get_rng_state().tolist()

    yield seed_and_read
    random.setstate(before[0])
    np.random.set_state(before[1])  # noqa: NPY002
    torch.set_rng_state(before[2])


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_a_run_neither_reads_nor_moves_a_global_generator(
    run_calls: Run, fixed_globals: Callable[[], tuple[object, ...]], model: str
) -> None:
    models = []
    for folder in ("a", "b"):
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)
        before = fixed_globals()
        sampling = ["privacy.noise=local", "privacy.sample_rate=0.5"]
        result = run_calls(f"model={model}", *sampling, folder=folder)
        assert fixed_globals() == before
        models.append((result.run_dir / "model.safetensors").read_bytes())

    # The same global seeds and other noise: it came from the operating system.
    assert models[0] != models[1]
