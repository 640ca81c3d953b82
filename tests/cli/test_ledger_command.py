"""`fedcc ledger` as a user types it."""

import json
from pathlib import Path
from typing import Any

import pytest
from privacy.ledgers import EVENT, NOW, charge, on_day, opened, write_ledger
from privacy.test_policy import POLICY, written

from fedcc.cli.main import main
from fedcc.privacy.accounting import three_epsilons

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def ledgers(tmp_path: Path) -> Path:
    """Two sites' ledgers; the second took part in a second run."""
    folder = tmp_path / "ledgers"
    write_ledger(folder / "site-1.jsonl", 3)
    write_ledger(folder / "site-2.jsonl", 3)
    ledger = opened(folder / "site-2.jsonl")
    ledger.reserve(charge(1, run="s", purpose="intent"), now=on_day(2))
    ledger.abort(charge(1, run="s", purpose="intent"), now=on_day(2))
    ledger.close()
    return folder


def printed(capsys: Capture, *arguments: str, code: int = 0) -> str:
    assert main(["ledger", *arguments]) == code
    return capsys.readouterr().out


def test_show_prints_three_observers_by_purpose_and_what_is_left(
    ledgers: Path, capsys: Capture
) -> None:
    text = printed(capsys, "show", str(ledgers), "--max-epsilon", "1")

    three = three_epsilons([EVENT] * 4, delta=1e-5)
    total = f"{three.claim:.4g}", f"{three.outsider:.4g}", f"{three.everyone_else:.4g}"
    assert [line for line in text.splitlines() if line.split()[2:] == list(total)]
    assert "site-2: 4 charged attempts in 2 runs" in text
    assert "epsilon per record at this site, delta 1e-05" in text
    assert "intent" in text and "all others collude" in text
    assert "cap, all purposes, lifetime:" in text and "room for one more run of" in text


def test_show_as_json_uses_the_names_of_the_summary(ledgers: Path, capsys: Capture) -> None:
    first, second = json.loads(printed(capsys, "show", str(ledgers), "--json"))

    three = three_epsilons([EVENT] * 4, delta=1e-5)
    assert (first["site"], first["attempts"]) == ("site-1", 3)
    assert second["epsilon"] == pytest.approx(three.claim)
    assert second["epsilon_outsider"] == pytest.approx(three.outsider)
    assert second["epsilon_if_all_others_collude"] == pytest.approx(three.everyone_else)
    assert set(second["purposes"]) == {"churn", "intent"}
    assert set(second) == set(
        "site ledger version delta units attempts runs epsilon epsilon_outsider "
        "epsilon_if_all_others_collude purposes caps".split()
    )


def test_show_holds_a_ledger_against_a_policy_file(
    ledgers: Path, capsys: Capture, tmp_path: Path
) -> None:
    policy = written(tmp_path, POLICY)

    [one] = json.loads(
        printed(capsys, "show", str(ledgers / "site-1.jsonl"), "--policy", str(policy), "--json")
    )

    limits = [(cap["observer"], cap["limit"]) for cap in one["caps"]]
    assert limits == [("epsilon", 8.0), ("epsilon_if_all_others_collude", 40.0)]
    assert all(0 < cap["spent"] < cap["limit"] and cap["room"] > 0 for cap in one["caps"])


def test_the_delta_of_a_run_folder_is_that_of_its_plan(tmp_path: Path, capsys: Capture) -> None:
    write_ledger(tmp_path / "run" / "ledger" / "site-1.jsonl", 1)
    (tmp_path / "run" / "plan.json").write_text('{"delta": 1e-7}')

    [one] = json.loads(printed(capsys, "show", str(tmp_path / "run"), "--json"))

    assert one["delta"] == 1e-7


def test_history_has_a_line_for_each_run_of_each_site(ledgers: Path, capsys: Capture) -> None:
    heads, *rows = printed(capsys, "history", str(ledgers)).splitlines()

    assert heads.split()[:4] == ["site", "run", "purpose", "unit"]
    assert [row.split()[:3] for row in rows] == [
        ["site-1", "r", "churn"],
        ["site-2", "r", "churn"],
        ["site-2", "s", "intent"],
    ]
    objects: list[dict[str, Any]] = json.loads(printed(capsys, "history", str(ledgers), "--json"))
    assert [(one["attempts"], one["void"]) for one in objects] == [(3, 0), (3, 0), (1, 1)]
    assert objects[2]["first"] == on_day(2).isoformat() > NOW.isoformat()
    assert objects[2]["epsilon_after"] > objects[1]["epsilon_after"]


def test_verify_names_the_first_bad_line_and_ends_with_six(ledgers: Path, capsys: Capture) -> None:
    assert printed(capsys, "verify", str(ledgers)).count(": whole") == 2
    bad = ledgers / "site-2.jsonl"
    bad.write_text(bad.read_text().replace('"purpose":"intent"', '"purpose":"churns"', 1))

    text = printed(capsys, "verify", str(ledgers), code=6)

    assert "site-1.jsonl: whole" in text
    assert "site-2.jsonl, line 8" in text
    [good, broken] = json.loads(printed(capsys, "verify", str(ledgers), "--json", code=6))
    assert good["fault"] is None and "line 8" in broken["fault"]


def test_show_of_a_broken_ledger_ends_with_six_and_one_line(ledgers: Path, capsys: Capture) -> None:
    (ledgers / "site-1.head").unlink()

    assert main(["ledger", "show", str(ledgers)]) == 6

    out, err = capsys.readouterr()
    assert out == ""
    assert "head is missing" in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "nowhere"],
        ["history", "."],
        ["show", "LEDGERS", "--max-epsilon", "0"],
        ["show", "LEDGERS", "--max-epsilon", "nan"],
        ["show", "LEDGERS", "--delta", "2"],
        ["show", "LEDGERS", "--policy", "nowhere.yaml"],
        ["show", "LEDGERS", "--figure", "no/such/folder/a.svg"],
    ],
)
def test_wrong_usage_ends_with_two_and_writes_nothing(
    ledgers: Path,
    capsys: Capture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")

    code = main(["ledger", *[str(ledgers) if a == "LEDGERS" else a for a in arguments]])

    assert code == 2
    assert capsys.readouterr().err.startswith("fedcc: ")
    assert not list((tmp_path / "empty").iterdir())


def test_policy_prints_the_reference_which_is_itself_a_policy_file(
    tmp_path: Path, capsys: Capture
) -> None:
    reference = printed(capsys, "policy")
    assert "# Every key of a site's policy" in reference

    text = printed(capsys, "policy", str(written(tmp_path, reference)))

    assert "a policy for churn, intent, delta 1e-05" in text
    assert "all purposes, any 90 days: epsilon 3, if all others collude not capped" in text
    values = json.loads(printed(capsys, "policy", "--json"))
    assert values["caps"][0]["epsilon"] == 8.0


def test_a_policy_file_with_a_mistyped_key_ends_with_two(tmp_path: Path, capsys: Capture) -> None:
    path = written(tmp_path, POLICY.replace("min_sites", "min_site"))

    assert main(["ledger", "policy", str(path)]) == 2

    assert "unknown key 'min_site'. Did you mean 'min_sites'?" in capsys.readouterr().err


def test_help_has_examples(capsys: Capture) -> None:
    for part in ([], ["show"], ["history"], ["verify"], ["policy"]):
        with pytest.raises(SystemExit) as stop:
            main(["ledger", *part, "--help"])
        assert stop.value.code == 0
        assert "fedcc ledger show runs/first" in capsys.readouterr().out


def test_the_figure_shows_three_observers_and_the_cap(
    ledgers: Path, capsys: Capture, tmp_path: Path
) -> None:
    figure = tmp_path / "spent.svg"

    printed(
        capsys,
        "show",
        str(ledgers / "site-1.jsonl"),
        "--max-epsilon",
        "2",
        "--figure",
        str(figure),
    )

    svg = figure.read_text()
    assert svg.startswith("<svg")
    for words in ("everyone else colludes", "the claim", "outsider", "cap on the claim: 2"):
        assert words in svg
    assert "per record at a site" in svg
    assert "more alike" not in svg


def test_a_figure_of_sites_that_differ_draws_each(
    ledgers: Path, capsys: Capture, tmp_path: Path
) -> None:
    printed(capsys, "show", str(ledgers), "--figure", str(tmp_path / "a.svg"))

    svg = (tmp_path / "a.svg").read_text()

    assert "the claim, by site" in svg
    assert "site-1:" in svg and "site-2:" in svg
