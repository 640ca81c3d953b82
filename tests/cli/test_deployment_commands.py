"""`fedcc aggregator`, `fedcc site` and `fedcc run`, as their operators type them, from nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedcc.cli.main import main

Run = Callable[..., Any]
SITES = {"lisbon": "north", "porto": "east", "madrid": "south"}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in an empty folder; return what it printed, or its error if `code` is not 0."""
    monkeypatch.chdir(tmp_path)
    Path("key").write_bytes(bytes(range(32)))
    Path("key").chmod(0o600)

    def command(*words: str, code: int = 0) -> Any:
        as_json = ["--json"] if code == 0 else []
        assert main([*words, *as_json]) == code, capsys.readouterr().err
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return json.loads(printed.out) if code == 0 else printed.err

    return command


def provision(run: Run) -> str:
    """Set up an aggregator and three sites; return the admin's fingerprint."""
    words = (
        "aggregator init hub --consortium telco --admin boss --host fed.example.org --also 10.0.0.5"
    )
    mark = run(*words.split(), "--key-file", "key")["admin_fingerprint"]
    for site, organisation in SITES.items():
        made = run("site", "init", site, "--name", site, "--key-file", "key")
        known = ["--organisation", organisation, "--fingerprint", made["fingerprint"]]
        run("aggregator", "admit", "hub", made["request"], *known, "--key-file", "key")
    for site in SITES:
        bundle = f"hub/bundles/{site}.bundle.json"
        run("site", "install", site, bundle, "--admin-fingerprint", mark)
    return str(mark)


def submit(run: Run, calls: Path, *overrides: str) -> Any:
    words = ["run", "submit", "hub", "--owner", "north", "--reason", "test", "--key-file", "key"]
    return run(*words, "--config-dir", str(calls), "data=calls", "rounds=2", *overrides)


def name_the_data(site: str, calls: Path) -> None:
    file = Path(site) / "site.yaml"
    text = file.read_text().replace(
        "data: []", f"data: [{{name: calls, path: null, config_dir: {calls}}}]"
    )
    file.write_text(text.replace("allow_public_dataset: false", "allow_public_dataset: true"))


def test_from_nothing_to_an_approved_and_withdrawn_plan(run: Run, calls: Path) -> None:
    provision(run)
    name_the_data("lisbon", calls)
    plan = submit(run, calls)

    (on_desk,) = run("site", "plans", "lisbon", "--take", plan["plan"])
    assert on_desk["state"] == "waits for a decision" and on_desk["refusal"] is None
    digits = plan["sha256"][:10]
    key = ("--key-file", "key")
    assert run("site", "approve", "lisbon", digits, *key)["action"] == "approve"
    run("site", "withdraw", "lisbon", digits, "--reason", "complaint", *key)
    assert run("site", "plans", "lisbon")[0]["state"] == "withdrawn"

    error = run("site", "approve", "lisbon", digits, *key, code=6)
    assert "decided on once" in error


def test_a_plan_that_the_policy_refuses_ends_with_5_and_a_veto_is_final(
    run: Run, calls: Path
) -> None:
    provision(run)
    name_the_data("lisbon", calls)
    plan = submit(run, calls, "privacy.delta=1e-4")
    (on_desk,) = run("site", "plans", "lisbon", "--take", plan["plan"])
    digits, key = plan["sha256"][:8], ("--key-file", "key")

    assert on_desk["refusal_exit_code"] == 5
    assert "delta" in run("site", "approve", "lisbon", digits, *key, code=5)
    run("site", "veto", "lisbon", digits, "--reason", "too weak", *key)
    assert "vetoed" in run("site", "approve", "lisbon", digits, *key, code=6)


def test_the_second_plan_is_shown_by_what_changed(
    run: Run, calls: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    provision(run)
    name_the_data("lisbon", calls)
    first = submit(run, calls)
    run("site", "plans", "lisbon", "--take", first["plan"])
    run("site", "approve", "lisbon", first["sha256"][:8], "--key-file", "key")
    second = submit(run, calls, "rounds=3")
    main(["site", "plans", "lisbon", "--take", second["plan"]])

    shown = capsys.readouterr().out
    assert "changes since the last approved plan of this task:" in shown
    assert "  - rounds: 2 -> 3 (more is computed and charged)" in shown


def test_a_plan_of_another_consortium_is_not_even_put_on_the_desk(
    run: Run, calls: Path, tmp_path: Path
) -> None:
    provision(run)
    plan = submit(run, calls)
    Path("hub").rename("old-hub")
    for site in SITES:
        Path(site).rename(f"old-{site}")
    provision(run)

    stolen = str(tmp_path / "old-hub" / "plans" / Path(plan["plan"]).name)
    assert "fingerprint" in run("site", "plans", "lisbon", "--take", stolen, code=6)
    assert run("site", "plans", "lisbon") == []


def test_without_a_fingerprint_a_request_is_shown_and_not_admitted(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run(*"aggregator init hub --consortium telco --admin boss --host h --key-file key".split())
    made = run("site", "init", "lisbon", "--name", "lisbon", "--key-file", "key")

    assert main(["aggregator", "admit", "hub", made["request"], "--key-file", "key"]) == 2

    printed = capsys.readouterr()
    assert made["fingerprint"] in printed.out and "nothing was admitted" in printed.err
    assert not list(Path("hub/nodes").glob("*"))


def test_rotation_revocation_and_renewal_are_one_command_each(run: Run) -> None:
    provision(run)
    key = ("--key-file", "key")
    rotated = run("site", "rotate", "lisbon", *key)
    run("aggregator", "admit", "hub", rotated["request"], *key)
    done = run("site", "install", "lisbon", "hub/bundles/lisbon.bundle.json")
    assert done["rotated"] and not done["first"]

    left = run("aggregator", "revoke", "hub", "porto", *key)
    assert set(left["sites"]) == {"lisbon", "madrid"}
    assert (
        "porto" not in run("site", "install", "madrid", "hub/bundles/madrid.bundle.json")["sites"]
    )
    assert run("aggregator", "renew", "hub", *key)["valid_until"]


def test_a_wrong_admin_fingerprint_installs_nothing(run: Run) -> None:
    run(*"aggregator init hub --consortium telco --admin boss --host h --key-file key".split())
    made = run("site", "init", "lisbon", "--name", "lisbon", "--key-file", "key")
    known = ["--organisation", "north", "--fingerprint", made["fingerprint"]]
    run("aggregator", "admit", "hub", made["request"], *known, "--key-file", "key")

    bundle = "hub/bundles/lisbon.bundle.json"
    wrong = made["fingerprint"]  # a fingerprint, but not the admin's
    run("site", "install", "lisbon", bundle, "--admin-fingerprint", wrong, code=6)
    run("site", "install", "lisbon", bundle, code=2)
    assert not Path("lisbon/site.yaml").exists()


def test_the_doctor_passes_an_aggregator_and_names_what_is_missing_at_a_site(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    provision(run)
    found = run("doctor", "aggregator", "hub")
    assert found["exit_code"] == 0
    assert all(check["passed"] for check in found["checks"])

    code = main(["doctor", "site", "lisbon"])
    printed = capsys.readouterr().out.splitlines()

    assert code == 2  # the first check that fails: no data is named yet
    failed = [line for line in printed if line.startswith("FAILED")]
    assert failed[0].split()[1] == "data" and "names no data set" in failed[0]
    assert any(line.startswith("PASSED  decisions") for line in printed)
    assert printed[-1].endswith(f"{len(failed)} failed")


def test_the_unit_of_a_site_is_written(run: Run, tmp_path: Path) -> None:
    provision(run)

    assert main(["site", "systemd", "lisbon", "--user", "fedcc", "--out", str(tmp_path)]) == 0

    [unit] = tmp_path.glob("*.service")
    text = unit.read_text()
    for line in ("Type=notify", "User=fedcc", "NoNewPrivileges=yes", "ProtectSystem=strict"):
        assert f"\n{line}\n" in text
    for key in ("WatchdogSec=", "MemoryMax=", "CPUQuota=", "ReadWritePaths="):
        assert f"\n{key}" in text
    assert "site run" in text
