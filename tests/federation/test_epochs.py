"""Epochs: whatever a run may come to, each (round, attempt) has one entry in one epoch."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcc.federation.epochs import Epoch, epoch_of, epochs_of


@st.composite
def runs(draw: st.DrawFn) -> dict[str, int]:
    rounds = draw(st.integers(1, 120))
    retries = draw(st.integers(0, 6))
    every = draw(st.integers(1, 50))
    return {"rounds": rounds, "max_attempts": rounds + retries, "rotate_every": every}


def test_a_run_of_five_rounds_and_one_retry_in_blocks_of_two() -> None:
    found = epochs_of(rounds=5, max_attempts=6, rotate_every=2)

    assert found == (
        Epoch(number=1, first_round=1, last_round=2, entries=((1, 1), (1, 2), (2, 1), (2, 2))),
        Epoch(number=2, first_round=3, last_round=4, entries=((3, 1), (3, 2), (4, 1), (4, 2))),
        Epoch(number=3, first_round=5, last_round=5, entries=((5, 1), (5, 2))),
    )


@given(run=runs(), failures=st.lists(st.booleans(), max_size=200))
def test_every_attempt_that_a_run_comes_to_lies_in_exactly_one_epoch(
    run: dict[str, int], failures: list[bool]
) -> None:
    # The second source: a run is played as the aggregator plays it, a void attempt at a time.
    epochs = epochs_of(**run)
    held = Counter(entry for epoch in epochs for entry in epoch.entries)
    retries, fails = run["max_attempts"] - run["rounds"], iter(failures)

    for round_number in range(1, run["rounds"] + 1):
        attempt = 1
        while True:
            assert held[(round_number, attempt)] == 1
            assert (round_number, attempt) in epoch_of(epochs, round_number).entries
            if not (next(fails, False) and retries):
                break
            retries, attempt = retries - 1, attempt + 1


@given(run=runs())
def test_epochs_follow_each_other_without_gap_and_none_is_longer_than_asked(
    run: dict[str, int],
) -> None:
    epochs = epochs_of(**run)

    assert epochs[0].first_round == 1 and epochs[-1].last_round == run["rounds"]
    assert [epoch.number for epoch in epochs] == list(range(1, len(epochs) + 1))
    assert all(b.first_round == a.last_round + 1 for a, b in pairwise(epochs))
    assert all(len(epoch.rounds) == run["rotate_every"] for epoch in epochs[:-1])
    assert 1 <= len(epochs[-1].rounds) <= run["rotate_every"]


@given(run=runs())
def test_no_entry_is_dealt_for_an_attempt_that_cannot_occur(run: dict[str, int]) -> None:
    # Twin: of the attempts one past the retries, and of rounds past the last, there is no entry.
    most = run["max_attempts"] - run["rounds"] + 1

    entries = [entry for epoch in epochs_of(**run) for entry in epoch.entries]

    assert len(set(entries)) == len(entries) == run["rounds"] * most
    assert max(attempt for _, attempt in entries) == most
    assert {number for number, _ in entries} == set(range(1, run["rounds"] + 1))


@pytest.mark.parametrize("round_number", [0, 6])
def test_a_round_outside_the_run_belongs_to_no_epoch(round_number: int) -> None:
    with pytest.raises(ValueError, match=f"round {round_number} is none"):
        epoch_of(epochs_of(rounds=5, max_attempts=6, rotate_every=2), round_number)


@pytest.mark.parametrize(
    ("rounds", "max_attempts", "rotate_every"), [(0, 1, 1), (1, 1, 0), (3, 2, 1)]
)
def test_numbers_that_name_no_run_are_refused(
    rounds: int, max_attempts: int, rotate_every: int
) -> None:
    with pytest.raises(ValueError, match="must"):
        epochs_of(rounds=rounds, max_attempts=max_attempts, rotate_every=rotate_every)
