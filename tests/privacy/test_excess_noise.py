"""Noise in parts: the claim holds for every number of lost sites, and nothing is wasted without.

Expected variances come from exact fractions and from the formulas of XNoise (Dordis), which know
no levels: a part for each dropped site.
"""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from fedcc.privacy.excess_noise import (
    NoiseComponents,
    noise_components,
    noise_levels,
    split_noise,
)

T = 7.3
COUNTS = [None, 0, 1, 2, 3, 5]


def parts(n: int, n_min: int, f: int, components: int | None = 3) -> NoiseComponents:
    return noise_components(
        total_variance=T, n_sites=n, min_sites=n_min, collusion=f, components=components
    )


def plans(most: int) -> list[tuple[int, int, int]]:
    """Every n, n_min and f with an honest survivor."""
    return [
        (n, n_min, f) for n in range(1, most + 1) for n_min in range(1, n + 1) for f in range(n_min)
    ]


def least_carried(found: NoiseComponents, n: int, f: int) -> float:
    """Least variance that honest survivors carry, over all numbers of lost sites."""
    return min((n - d - f) * found.kept(d) for d in range(found.levels[-1] + 1))


@pytest.mark.parametrize("components", COUNTS)
def test_honest_survivors_carry_the_claim_however_many_sites_are_lost(
    components: int | None,
) -> None:
    for n, n_min, f in plans(40):
        found = parts(n, n_min, f, components)

        assert found.levels[-1] == n - n_min
        for d in range(n - n_min + 1):
            kept = Fraction(found.kept(d)) * (n - d - f)
            assert kept >= Fraction(T) * (1 - Fraction(1, 10**14)), (n, n_min, f, d)


@pytest.mark.parametrize("components", COUNTS)
def test_no_number_of_lost_sites_is_worse_than_what_accounting_counts(
    components: int | None,
) -> None:
    # v_0 at n - d_0 sites, less c colluding ones: the outsider (c = 0) up to the claim (c = f).
    for n, n_min, f in plans(20):
        found = parts(n, n_min, f, components)
        sites, own = n - found.levels[0], found.variances[0]
        for d in range(n - n_min + 1):
            assert found.kept(d) >= own
            for c in range(f + 1):
                assert (n - d - c) * found.kept(d) >= (sites - c) * own * (1 - 1e-13)


def test_the_same_comparison_fails_where_opened_noise_is_counted() -> None:
    # The twins: all noise of a site counted at every site, and one part opened too many.
    found = parts(20, 14, 1)

    assert least_carried(found, 20, 1) < 19 * found.total * 0.75
    greedy = NoiseComponents(levels=found.levels, variances=(*found.variances[:-1], 0.0))
    assert least_carried(greedy, 20, 1) < T * 0.85


@pytest.mark.parametrize("components", COUNTS)
def test_the_parts_add_up_to_the_share_that_serves_the_fewest_survivors(
    components: int | None,
) -> None:
    for n, n_min, f in plans(40):
        found = parts(n, n_min, f, components)

        assert found.total == pytest.approx(T / (n_min - f), rel=1e-12)
        assert found.kept(n - n_min) == found.total
        assert found.opened(n - n_min) == ()


@pytest.mark.parametrize("components", [None, 1, 3])
def test_without_a_lost_site_exactly_the_noise_of_a_plan_for_all_sites_stays(
    components: int | None,
) -> None:
    for n, n_min, f in plans(40):
        found = parts(n, n_min, f, components)

        assert found.kept(0) == parts(n, n, f).total == T / (n - f)
        assert found.opened(0) == tuple(range(1, found.n_excess + 1))


def test_a_part_for_each_dropout_is_xnoise_to_the_letter() -> None:
    # Dordis: var n_k = sigma^2 C^2 [1 / (n - k - f) - 1 / (n - k + 1 - f)]; survivors n - D' open
    # n_k for k > D' and carry exactly sigma^2 C^2.
    n, n_min, f = 20, 14, 6
    found = parts(n, n_min, f, None)

    for k in range(1, n - n_min + 1):
        exact = Fraction(T) * (Fraction(1, n - k - f) - Fraction(1, n - k + 1 - f))
        assert found.variances[k] == pytest.approx(float(exact), rel=1e-14)
    for dropped in range(n - n_min + 1):
        assert found.opened(dropped) == tuple(range(dropped + 1, n - n_min + 1))
        assert (n - dropped - f) * found.kept(dropped) == pytest.approx(T, rel=1e-14)


def test_no_other_variances_leave_less_noise_at_any_level() -> None:
    # Second source: a linear programme that minimises what stays, level by level, given the claim.
    n, n_min, f = 20, 14, 3
    found = parts(n, n_min, f)

    for upto in range(len(found.levels)):
        weights = [1.0 if part <= upto else 0.0 for part in range(len(found.levels))]
        claims = [
            [-(n - d - f) if part <= level else 0.0 for part in range(len(found.levels))]
            for level, d in enumerate(found.levels)
        ]
        least = linprog(weights, A_ub=claims, b_ub=[-T] * len(claims)).fun
        assert found.kept(found.levels[upto]) == pytest.approx(least, rel=1e-9)


def test_every_site_needed_means_one_part_and_nothing_to_open() -> None:
    found = parts(5, 5, 1)

    assert (found.levels, found.n_excess, found.variances) == ((0,), 0, (T / 4,))
    assert found.opened(0) == ()


def test_without_parts_all_noise_stays_whoever_is_lost() -> None:
    found = parts(20, 14, 1, 0)

    assert (found.levels, found.variances) == ((6,), (T / 13,))
    assert [found.kept(d) for d in range(7)] == [T / 13] * 7


@pytest.mark.parametrize(
    ("lost", "levels"),
    [
        (0, (0,)),
        (1, (0, 1)),
        (3, (0, 1, 2, 3)),
        (4, (0, 1, 2, 4)),
        (6, (0, 1, 2, 6)),
        (9, (0, 1, 3, 9)),
        (42, (0, 1, 6, 42)),
    ],
)
def test_three_levels_are_one_the_root_and_all_that_may_be_lost(
    lost: int, levels: tuple[int, ...]
) -> None:
    assert noise_levels(n_sites=128, min_sites=128 - lost, components=3) == levels


@given(lost=st.integers(0, 60), components=st.integers(1, 60))
def test_there_are_as_many_levels_as_wanted_and_each_is_above_the_one_before(
    lost: int, components: int
) -> None:
    levels = noise_levels(n_sites=64, min_sites=64 - lost, components=components)

    assert len(levels) == min(components, lost) + 1
    assert (levels[0], levels[-1]) == (0, lost)
    assert list(levels) == sorted(set(levels))


@pytest.mark.parametrize("dropped", [-1, 7])
def test_more_lost_sites_than_the_noise_serves_are_refused(dropped: int) -> None:
    found = parts(20, 14, 1)

    with pytest.raises(ValueError, match="from 0 to 6"):
        found.opened(dropped)
    with pytest.raises(ValueError, match="from 0 to 6"):
        found.kept(dropped)


@pytest.mark.parametrize("levels", [(), (-1, 2), (0, 0), (0, 2, 1)])
def test_levels_that_do_not_rise_are_refused(levels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="levels must rise"):
        split_noise(total_variance=T, n_sites=20, collusion=1, levels=levels)


@pytest.mark.parametrize(
    "changes",
    [
        {"min_sites": 0},
        {"min_sites": 21},
        {"collusion": 14},
        {"collusion": -1},
        {"components": -1},
        {"total_variance": -1.0},
        {"total_variance": math.inf},
        {"total_variance": math.nan},
    ],
)
def test_noise_that_means_nothing_is_refused(changes: dict[str, float]) -> None:
    values = {"total_variance": T, "n_sites": 20, "min_sites": 14, "collusion": 1}

    with pytest.raises(ValueError):
        noise_components(**{**values, "components": 3, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("variances", [(1.0,), (1.0, -1.0), (1.0, math.nan)])
def test_parts_that_are_no_variances_are_refused(variances: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="variances"):
        NoiseComponents(levels=(0, 1), variances=variances)
