"""The drills' own check of sums: one integer too many, or a site that added nothing, is found."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "simulations"))
from _sums import wrong_sum  # noqa: E402

STEPS = 1000.0
PARTS = {"lisbon": [5, -7], "porto": [1, 2], "faro": [100, 3]}


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    """A round of two survivors, with a third upload that is in no sum."""
    for site, values in PARTS.items():
        np.savez(tmp_path / f"added.2.1.{site}.npz", values=np.array(values, dtype=np.int64))
    apply(tmp_path, [6, -5])
    return tmp_path


def apply(
    folder: Path, total: list[float], survivors: tuple[str, ...] = ("lisbon", "porto")
) -> None:
    values = np.array(total) / STEPS
    np.savez(folder / "applied.2.1.porto.npz", values=values, survivors=list(survivors))


def test_the_sum_of_the_survivors_is_right(seen: Path) -> None:
    assert wrong_sum(seen, STEPS) == ""


@pytest.mark.parametrize("total", [[7, -5], [6, -6], [106, -2], [6.4, -5], [np.nan, -5]])
def test_any_other_sum_is_wrong(seen: Path, total: list[float]) -> None:
    apply(seen, total)

    assert wrong_sum(seen, STEPS) == "round 2: porto applied a wrong sum"


def test_a_survivor_that_added_nothing_is_named(seen: Path) -> None:
    (seen / "added.2.1.lisbon.npz").unlink()

    assert wrong_sum(seen, STEPS) == "round 2: lisbon is in the sum and added nothing"


def test_where_nothing_was_seen_nothing_is_called_right(tmp_path: Path) -> None:
    assert wrong_sum(tmp_path, STEPS) == "no sum was seen"
