"""Thresholds of the masked sum: against a table worked out by hand, and against the attacker."""

from itertools import product

import pytest

from fedcc.crypto.thresholds import (
    least_threshold,
    threshold,
    tolerated_collusion_bound,
    tolerated_dropouts,
)

# n: t, c, dropouts. Worked out by hand from c <= min(2t-n-1, t-2), t = floor(2n/3) + 1.
WORKED_OUT = {
    3: (3, 1, 0),
    4: (3, 1, 1),
    5: (4, 2, 1),
    6: (5, 3, 1),
    7: (5, 2, 2),
    10: (7, 3, 3),
    20: (14, 7, 6),
    30: (21, 11, 9),
    100: (67, 33, 33),
    128: (86, 43, 42),
}
# Who an honest site signs for, once per attempt: set A, set B, or nobody.
A, B, NOBODY = 0, 1, 2


def opens_a_single_update(n: int, t: int, coalition: int) -> bool:
    """Play every choice of the honest sites; True if one of them lets the coalition win.

    Independent of the formula: it counts signatures and addends of each play.
    """
    for signed in product((A, B, NOBODY), repeat=n - coalition):
        signatures = {which: signed.count(which) + coalition for which in (A, B)}
        if all(count >= t for count in signatures.values()):
            return True  # its self-mask seed from one set, its mask key from the other
        if signatures[A] >= t and signed.count(A) == 1:
            return True  # the sum minus the coalition's own addends
    return False


@pytest.mark.parametrize("n", WORKED_OUT)
def test_threshold_collusion_and_dropouts_are_those_of_the_table(n: int) -> None:
    t = threshold(n, min_sites=1)

    assert (t, tolerated_collusion_bound(n, t), tolerated_dropouts(n, t)) == WORKED_OUT[n]


@pytest.mark.parametrize(
    "n, t", [(n, t) for n in range(3, 9) for t in range(2 * n // 3 + 1, n + 1)]
)
def test_the_bound_is_the_largest_coalition_that_wins_no_play(n: int, t: int) -> None:
    bound = tolerated_collusion_bound(n, t)

    assert bound >= 1
    assert not opens_a_single_update(n, t, bound)
    assert opens_a_single_update(n, t, bound + 1)


def test_the_signature_condition_alone_would_leave_one_honest_site() -> None:
    n, t = 3, 3
    too_many = 2 * t - n - 1

    assert too_many == 2
    assert opens_a_single_update(n, t, too_many)


@pytest.mark.parametrize("n", [3, 4, 5, 10, 100])
def test_a_majority_threshold_would_tolerate_no_coalition(n: int) -> None:
    with pytest.raises(ValueError, match="threshold"):
        tolerated_collusion_bound(n, n // 2 + 1 if n > 4 else 2)


def test_a_plan_that_demands_more_sites_raises_the_threshold() -> None:
    assert threshold(10, min_sites=9) == 9
    assert tolerated_collusion_bound(10, 9) == 7
    assert tolerated_dropouts(10, 9) == 1


@pytest.mark.parametrize("n, min_sites", [(2, 1), (0, 0), (10, 0), (10, 11)])
def test_impossible_numbers_of_sites_are_refused(n: int, min_sites: int) -> None:
    with pytest.raises(ValueError):
        threshold(n, min_sites)


def test_two_sites_have_no_threshold() -> None:
    with pytest.raises(ValueError, match="at least 3 sites"):
        least_threshold(2)


@pytest.mark.parametrize("t", [6, 11])
def test_a_threshold_outside_its_range_is_refused(t: int) -> None:
    with pytest.raises(ValueError, match=r"7\.\.10"):
        tolerated_dropouts(10, t)
