"""`fedcc plan` as a user types it: output, exit codes, and that nothing is written."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import CANARY

from fedcc.cli.main import main
from fedcc.federation import forecast_record
from fedcc.hash_chain import HashChain


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], calls: Path
) -> Command:
    """Run a command on the small generated set, in an empty folder, with a home of its own."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def run(name: str, *arguments: str) -> Done:
        capfd.readouterr()
        small = ("data=calls", "sites=3", "rounds=3", "--config-dir", str(calls))
        try:
            code = main([name, *small, *arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return Done(code, out, err)

    return run


def top_level_keys(documented: str) -> list[str]:
    """The keys that a docstring lists as `key, key {inner, inner}, …`."""
    text = documented[documented.index("`schema_version") + 1 : documented.index("notes`") + 5]
    innermost = re.compile(r"\([^()]*\)|\{[^{}]*\}|\[[^\[\]]*\]")
    while innermost.search(text):
        text = innermost.sub("", text)
    return [part.split()[0] for part in text.split(",")]


def content(folder: Path) -> dict[str, tuple[int, bytes | None]]:
    """Every path below a folder with its time of change and its bytes."""
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in sorted(folder.rglob("*"))
    }


def test_the_table_says_what_a_run_costs_in_words(command: Command) -> None:
    done = command("plan")

    assert done.code == 0 and done.err == ""
    for text in (
        "would run                   yes",
        "epsilon 1, delta 1e-05, per customer at one site",
        "outsider",
        "retries",
        "bytes of the run",
        "an estimate from below, measured now",
        "unknown: no completed run of this plan in runs",
        "no row was opened",
        "site-3",
    ):
        assert text in done.out


def test_json_holds_every_documented_key_in_its_order(command: Command) -> None:
    done = command("plan", "--json")

    record = json.loads(done.out)
    assert list(record) == top_level_keys(forecast_record.__doc__ or "")
    assert list(record) == list(json.loads(command("plan", "--json", "privacy=none").out))


def test_nothing_is_written_locked_or_charged(
    command: Command, calls: Path, tmp_path: Path
) -> None:
    shared = f"ledger.dir={tmp_path / 'ledgers'}"
    assert command("simulate", shared, "privacy.epsilon=0.5").code == 0
    before = content(tmp_path), content(calls)

    for extra in ((), ("--rows",), ("--json",), ("ledger.dir=nowhere",), ("run.dir=new",)):
        assert command("plan", shared, *extra).code == 0

    assert (content(tmp_path), content(calls)) == before


def test_a_text_task_leaves_no_cache_of_vectors(command: Command, tmp_path: Path) -> None:
    before = content(tmp_path)

    done = command("plan", "task=intent", "data=generated", "encoder=hashing", "--rows")

    assert done.code == 0
    assert content(tmp_path) == before


def test_a_ledger_that_another_run_holds_can_be_looked_at(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "ledgers" / "site-1.jsonl"
    with HashChain(path, sync=True):
        assert command("plan", f"ledger.dir={path.parent}").code == 0


def test_a_spent_ledger_is_exit_4_and_names_site_and_reason(
    command: Command, tmp_path: Path
) -> None:
    shared = f"ledger.dir={tmp_path / 'ledgers'}"
    command("simulate", shared)

    done = command("plan", shared)

    assert done.code == 4
    assert "no, exit code 4" in done.out and "NO, budget" in done.out
    assert done.err.startswith("fedcc: ") and "is spent" in done.err
    record = json.loads(command("plan", shared, "--json").out)
    assert record["exit_code"] == 4 and not record["would_run"]
    assert [site["takes_part"] for site in record["sites"]] == [False] * 3


def test_sites_that_agree_share_a_line_and_a_refusal_stands_below(
    command: Command, tmp_path: Path
) -> None:
    settings = ("sites=5", "privacy.min_sites=3", f"ledger.dir={tmp_path / 'ledgers'}")
    command("simulate", *settings)
    for path in (tmp_path / "ledgers").iterdir():
        if path.stem != "site-2":
            path.unlink()

    done = command("plan", *settings)

    assert done.code == 0
    assert "site-3 to site-5" in done.out and "site-2 refuses: " in done.out
    assert "the run goes on without site-2: 4 sites are enough" in done.out


def test_a_sweep_is_refused(command: Command) -> None:
    done = command("plan", "seed=1,2")

    assert done.code == 2 and "one run a call" in done.err


def test_a_broken_ledger_is_exit_6_and_names_the_line(command: Command, tmp_path: Path) -> None:
    shared = f"ledger.dir={tmp_path / 'ledgers'}"
    command("simulate", shared)
    path = tmp_path / "ledgers" / "site-2.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"attempt":1', b'"attempt":9', 1))

    done = command("plan", shared)

    assert done.code == 6
    assert "site-2.jsonl, line" in done.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_ledger_that_may_not_be_read_is_exit_2(command: Command, tmp_path: Path) -> None:
    (tmp_path / "ledgers").mkdir(mode=0)

    assert command("plan", f"ledger.dir={tmp_path / 'ledgers'}").code == 2


def test_a_folder_in_place_of_a_ledger_is_exit_2(command: Command, tmp_path: Path) -> None:
    (tmp_path / "ledgers" / "site-1.jsonl").mkdir(parents=True)

    done = command("plan", f"ledger.dir={tmp_path / 'ledgers'}")

    assert done.code == 2
    assert "ledger.dir" in done.err and "site-1.jsonl" in done.err


def test_a_mistyped_key_is_exit_2_with_the_nearest_one(command: Command) -> None:
    done = command("plan", "privacy.epsilom=1")

    assert done.code == 2 and done.out == ""
    assert "privacy.epsilon" in done.err


def test_opened_rows_show_counts_and_label_shares_and_no_cell(command: Command) -> None:
    done = command("plan", "--rows")

    assert done.code == 0
    for text in ("redactions", "stays", "consent basis: public_dataset", "%"):
        assert text in done.out
    assert CANARY not in done.out + done.err


def test_unsafe_choices_are_named(command: Command) -> None:
    done = command("plan", "crypto=none", "seed=1")

    assert "UNSAFE" in done.out and "crypto_none" in done.out and "outsiders_only" in done.out
    assert "seeded" in done.out
    assert "reads single updates" in done.out


def test_without_noise_no_epsilon_is_printed(command: Command) -> None:
    done = command("plan", "privacy=none")

    assert done.code == 0
    assert "none: no noise, no guarantee" in done.out


def test_the_help_shows_examples_and_exit_codes(command: Command) -> None:
    done = command("plan", "--help")

    assert done.code == 0
    assert "fedcc plan ledger.dir=ledgers" in done.out and "exit codes" in done.out
