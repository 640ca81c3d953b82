"""Sites of an installation that are lost and come back: what it costs, and how the run ends."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from federation.service.workers import Workers

from fedcc.errors import TooFewSites
from fedcc.federation import strategy
from fedcc.federation.messages import Exchange

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "simulations"))
from _drill import Drill  # noqa: E402

SITES = ("site-1", "site-2", "site-3", "site-4")
LOST = ("site-3", "site-4")  # with them too few are left
ROUNDS = 3


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Workers:
    root = tmp_path_factory.mktemp("lost") / "prepared"
    return Workers(Drill.prepare(root, n_sites=4, rounds=ROUNDS))


@pytest.fixture
def workers(prepared: Workers, tmp_path: Path) -> Iterator[Workers]:
    made = prepared.copied(tmp_path / "copy")
    assert made.drill.signed.plan.min_sites == 3
    yield made
    made.close()


def lose(workers: Workers) -> None:
    """Let two sites be killed in the middle of the second round."""
    seen: list[Exchange] = []

    def is_lost(kind: Exchange, site: str) -> bool:
        seen.append(kind)
        return site in LOST and "unmask" in seen and seen[-1] != "unmask"

    workers.is_lost = is_lost


def restart(workers: Workers) -> None:
    for site in LOST:
        workers.restart(site)
    workers.is_lost = lambda kind, site: False


def test_sites_that_are_away_for_a_moment_cost_one_attempt_and_no_more(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a service is started again: its node is gone for some seconds."""
    monkeypatch.setattr(strategy, "LOOK_SECONDS", 0.01)
    looks: list[str] = []

    def is_away(site: str) -> bool:
        is_lost = workers.is_lost("join", site)
        if is_lost and site == LOST[0]:
            looks.append(site)
            if len(looks) == 20:
                restart(workers)
        return is_lost

    lose(workers)
    workers.is_away = is_away

    records = workers.train()

    assert len(looks) == 20
    assert [(one.round_number, one.closed) for one in records] == [
        (1, True),
        (2, False),
        (2, True),
        (3, True),
    ]
    assert workers.conclude() == set(SITES)


def test_sites_that_stay_away_pause_the_run_and_nothing_more_is_charged(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strategy, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(strategy, "GRACE_SECONDS", 0.2)
    lose(workers)
    workers.is_away = lambda site: workers.is_lost("join", site)
    with pytest.raises(TooFewSites, match=r"site-1, site-2\), the plan needs 3"):
        workers.train()
    charged = workers.drill.charges("site-1")
    assert charged == [(1, 1), (2, 1)]

    for _ in range(3):  # resumed again and again while they are away
        with pytest.raises(TooFewSites):
            workers.train()
    assert workers.drill.charges("site-1") == charged

    restart(workers)
    workers.is_away = lambda site: False
    assert [one.closed for one in workers.train()] == [True, True]
    assert workers.conclude() == set(SITES)


def spent(workers: Workers) -> None:
    """Use every retry up in the second round, so that the third cannot be reached."""
    seen: list[Exchange] = []

    def is_lost(kind: Exchange, site: str) -> bool:
        seen.append(kind)
        return site in LOST and kind == "sign" and "unmask" in seen

    workers.is_lost = is_lost
    with pytest.raises(TooFewSites, match="retries are used up"):
        workers.train()
    workers.is_lost = lambda kind, site: False


@pytest.mark.parametrize("restarted", [(), SITES])
def test_a_run_without_retries_left_ends_a_round_early_and_its_model_is_released(
    workers: Workers, restarted: tuple[str, ...]
) -> None:
    spent(workers)

    assert [(one.round_number, one.closed) for one in workers.train()] == [(2, True)]
    for site in restarted:
        workers.restart(site)

    assert workers.conclude() == set(SITES)
    assert len(set(workers.drill.models().values())) == 1


def test_a_site_that_was_away_at_such_an_end_gets_the_model_from_the_others(
    workers: Workers,
) -> None:
    spent(workers)
    seen: list[Exchange] = []

    def is_lost(kind: Exchange, site: str) -> bool:
        seen.append(kind)
        return site == SITES[3] and "unmask" in seen

    workers.is_lost = is_lost
    workers.train()
    assert workers.conclude() == set(SITES[:3])

    workers.restart(SITES[3])
    workers.is_lost = lambda kind, site: False

    assert workers.conclude() == set(SITES)
    assert len(set(workers.drill.models().values())) == 1


def test_a_model_in_the_middle_of_a_run_is_neither_judged_nor_released(workers: Workers) -> None:
    workers.train(until=2)

    assert workers.conclude() == frozenset()
    assert workers.drill.models() == {}
    assert not list(workers.site_folder("site-1").glob("candidate*"))
