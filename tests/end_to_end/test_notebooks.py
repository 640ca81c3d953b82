"""The notebooks: committed without outputs, and every cell runs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ABSOLUTE = re.compile(r"""(?:^|[\s"'(=])(?:/[A-Za-z_][\w.-]*/|~/|[A-Z]:\\)""")
SECONDS = 240  # of one cell, on a machine with much else to do
SAYS = {  # what the cells of each notebook print, among much else
    "01_first_run": (
        "completed with exit code 0",
        "Interrupted - exit code 130",
        "attempts charged: 8",
    ),
    "02_privacy_frontier": (
        "cells that failed: 0",
        "started again: nothing was computed",
        "0 points; federation, epsilon",
        "a hundred trials at epsilon 1",
    ),
    "03_what_the_server_saw": (
        "default - completed with exit code 0",
        "protections switched off: none",
        "not uniform",
    ),
}


def leftovers(notebook: dict[str, Any]) -> list[str]:
    """What a notebook holds that only its last execution can have put there."""
    found = []
    for number, cell in enumerate(notebook["cells"], 1):
        if cell.get("outputs") or cell.get("execution_count") is not None:
            found.append(f"cell {number} holds outputs")
        if ABSOLUTE.search("".join(cell["source"])):
            found.append(f"cell {number} names an absolute path")
    return found


def execute(notebook: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run all cells in a kernel of this interpreter and return the notebook with outputs."""
    nbclient = pytest.importorskip("nbclient", reason="running notebooks needs nbclient")
    nbformat = pytest.importorskip("nbformat", reason="running notebooks needs nbformat")
    pytest.importorskip("ipykernel", reason="running notebooks needs ipykernel")
    node = nbformat.reads(json.dumps(notebook), as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    client = nbclient.NotebookClient(
        node, timeout=SECONDS, kernel_name="python3", resources=resources
    )
    return dict(client.execute())


def printed(notebook: dict[str, Any]) -> str:
    """All text that the cells printed."""
    outputs = [out for cell in notebook["cells"] for out in cell.get("outputs", [])]
    return "".join(out.get("text", "") for out in outputs)


def small(*cells: str) -> dict[str, Any]:
    """A notebook of a few code cells."""
    made = [
        {
            "cell_type": "code",
            "id": f"c{number}",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": source,
        }
        for number, source in enumerate(cells)
    ]
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": made}


def test_every_notebook_has_something_to_say() -> None:
    assert [path.stem for path in NOTEBOOKS] == list(SAYS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_holds_no_outputs_and_no_absolute_paths(path: Path) -> None:
    assert leftovers(json.loads(path.read_text())) == []


def test_outputs_counts_and_absolute_paths_would_be_noticed() -> None:
    ran, counted, named = small("1"), small("1"), small("open('/home/me/calls.csv')")
    ran["cells"][0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "1"}]
    counted["cells"][0]["execution_count"] = 3

    assert leftovers(ran) == leftovers(counted) == ["cell 1 holds outputs"]
    assert leftovers(named) == ["cell 1 names an absolute path"]


@pytest.mark.scripts
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(path: Path, tmp_path: Path) -> None:
    notebook = execute(json.loads(path.read_text()), tmp_path)

    text = printed(notebook)
    assert [words for words in SAYS[path.stem] if words not in text] == []
    assert list(tmp_path.iterdir()) == []  # files go to the notebook's own temporary folder


def test_a_cell_that_raises_would_be_noticed(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="running notebooks needs nbclient")

    with pytest.raises(nbclient.exceptions.CellExecutionError, match="ZeroDivisionError"):
        execute(small("1 / 0"), tmp_path)


def test_code_that_shows_a_utility_or_a_sentence_calls_it_synthetic() -> None:
    showing = []
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text())["cells"]
        texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        showing += [text for text in texts if "utility" in text or "texts[guess" in text]

    assert len(showing) >= 3
    assert [text for text in showing if "synthetic" not in text] == []
