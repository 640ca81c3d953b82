"""Which rows are kept of a customer: at most m, at random, and never because of somebody else."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from fedcc.data.customers import KEY_BYTES, kept_interactions

KEY = bytes(range(KEY_BYTES))
ids = st.lists(st.sampled_from(["ann", "bob", "cy", "dee", ""]), max_size=60)


@given(names=ids, most=st.integers(1, 6))
def test_at_most_m_rows_of_each_customer_are_kept_and_no_more_are_lost(
    names: list[str], most: int
) -> None:
    kept = kept_interactions(names, most, KEY)

    counts = Counter(names)
    assert Counter(names[row] for row in kept) == {
        name: min(count, most) for name, count in counts.items() if name
    }
    assert (np.diff(kept) > 0).all()


@given(names=ids, most=st.integers(1, 4), leaver=st.sampled_from(["ann", "bob"]))
def test_what_is_kept_of_others_does_not_change_when_a_customer_leaves(
    names: list[str], most: int, leaver: str
) -> None:
    rest = [row for row, name in enumerate(names) if name != leaver]

    whole = [row for row in kept_interactions(names, most, KEY) if names[row] != leaver]
    part = kept_interactions([names[row] for row in rest], most, KEY)

    assert whole == [rest[row] for row in part]


def test_one_shared_order_would_let_a_customer_change_what_is_kept_of_others() -> None:
    # The twin: one generator for all customers, drawn from in order of appearance.
    def shared(names: list[str]) -> list[int]:
        rng = np.random.default_rng(0)
        found: list[int] = []
        for name in dict.fromkeys(names):
            own = [row for row, other in enumerate(names) if other == name]
            found += rng.permutation(own)[:2].tolist()
        return sorted(found)

    names = ["ann"] * 4 + ["bob"] * 8

    assert [row for row in shared(names) if row >= 4] != [4 + row for row in shared(names[4:])]


def test_the_choice_is_the_same_again_with_the_key_and_another_one_without_it() -> None:
    names = ["ann"] * 40

    first = kept_interactions(names, 5, KEY)

    np.testing.assert_array_equal(kept_interactions(names, 5, KEY), first)
    assert kept_interactions(names, 5, bytes(KEY_BYTES)).tolist() != first.tolist()


def test_every_row_of_a_customer_is_as_likely_to_be_kept() -> None:
    keys = [number.to_bytes(KEY_BYTES, "big") for number in range(2000)]
    counts = Counter(
        row for key in keys for row in kept_interactions(["ann"] * 10, 3, key).tolist()
    )

    # 6,000 rows over ten places; drawn without return, so the statistic is on the small side.
    assert chisquare([counts[row] for row in range(10)]).pvalue > 1e-4


def test_rows_without_an_id_are_not_kept() -> None:
    assert kept_interactions(["", "ann", ""], 5, KEY).tolist() == [1]


@pytest.mark.parametrize(("most", "key"), [(0, KEY), (5, b""), (5, b"short")])
def test_no_row_and_no_key_are_refused(most: int, key: bytes) -> None:
    with pytest.raises(ValueError, match="key of 32 bytes"):
        kept_interactions(["ann"], most, key)
