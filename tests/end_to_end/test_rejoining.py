"""Real processes: a run is resumed without a site, which gets the model when all is over."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "simulations"))
from _drill import Drill  # noqa: E402

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]
LOST = "site-4"


def test_a_run_goes_on_without_a_site_after_a_restart_and_gives_it_the_model_when_it_is_back(
    tmp_path: Path,
) -> None:
    drill = Drill.prepare(tmp_path / "drill", n_sites=4, rounds=3)
    drill.start_all()
    try:
        drill.wait(lambda: len(drill.attempts()) >= 1, "the first round closes")
        drill.kill(LOST)
        drill.kill("hub")
        drill.start("hub")
        # The quorum of three sites trains on, and releases.
        drill.wait(drill.outcome, "the run ends without the lost site")
        drill.wait(lambda: len(drill.models()) == 3, "the others use the model")
        drill.start(LOST)
        drill.wait(lambda: len(drill.models()) == 4, "the lost site has the model too")
    finally:
        drill.close()

    assert drill.outcome() == "completed"
    assert len(set(drill.models().values())) == 1
    for site in drill.made.sites:
        charges = drill.charges(site)
        assert len(charges) == len(set(charges))
        assert drill.uploads_seen(site) <= set(charges)


def test_an_ordinary_restart_of_one_of_three_sites_costs_one_attempt_at_most(
    tmp_path: Path,
) -> None:
    """With three sites every one is needed: the others wait, and are charged for nothing."""
    drill = Drill.prepare(tmp_path / "drill", n_sites=3, rounds=6)
    drill.start_all()
    try:
        drill.wait(lambda: len(drill.attempts()) >= 2, "two rounds close")
        service = drill.services.pop("site-2")
        service.terminate()
        service.wait(30)
        drill.start("site-2")
        drill.wait(drill.outcome, "the run ends")
        drill.wait(lambda: len(drill.models()) == 3, "every site uses the model")
    finally:
        drill.close()

    assert drill.outcome() == "completed"
    closed = [line["closed"] for line in drill.attempts()]
    assert sum(closed) == 6 and len(closed) <= 7
    assert len(set(drill.models().values())) == 1
    assert len(drill.charges("site-1")) == len(closed)
