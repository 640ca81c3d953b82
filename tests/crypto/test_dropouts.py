"""The masks of any set of survivors come off exactly, with keys and shares as sites deal them."""

import itertools

import numpy as np
import pytest
from crypto.dealt import Dealt, play_epoch, slots_of, usual_threshold

from fedcc.crypto.masks import masks_of_survivors, subtract_mod
from fedcc.crypto.parameters import PLAIN_MODULUS

SIZE = 12


def sum_of(rows: np.ndarray) -> list[int]:
    """The second source: integers of Python, of any size."""
    return [sum(column) % PLAIN_MODULUS for column in rows.T.tolist()]


def close(dealt: Dealt, number: int, survivors: list[str], neighbours: int) -> tuple[list, list]:
    """Play one attempt up to the opened sum; return it and the sum that should be there."""
    entry = dealt.entry(number, neighbours=neighbours)
    slots = slots_of(len(dealt.names), SIZE, seed=number, modulus=PLAIN_MODULUS)
    # Everybody masks and uploads; who drops out does so afterwards, when all have masked with it.
    uploads = {s: dealt.upload(s, entry, row) for s, row in zip(dealt.names, slots, strict=True)}
    rows = np.array([uploads[site][0] for site in survivors])
    seeds = {site: uploads[site][1].self_seed for site in survivors}
    pairs = dealt.recover_pairs(entry, survivors)
    masks = masks_of_survivors(entry, seeds, pairs, SIZE)
    opened = subtract_mod(np.array(sum_of(rows), dtype=np.uint64), masks)
    return opened.tolist(), sum_of(slots[[dealt.names.index(site) for site in survivors]])


@pytest.mark.parametrize(
    ("n_sites", "neighbours"), [(3, 0), (5, 0), (10, 0), (30, 0), (5, 2), (10, 4), (30, 10)]
)
def test_the_sum_of_any_admitted_number_of_survivors_opens_exactly(
    n_sites: int, neighbours: int
) -> None:
    most = n_sites - usual_threshold(n_sites)
    dealt = play_epoch(n_sites, n_entries=most + 1)

    for n_dropped in range(most + 1):
        order = np.random.default_rng(n_dropped).permutation(n_sites)
        survivors = [dealt.names[i] for i in sorted(order[n_dropped:])]
        opened, expected = close(dealt, 1 + n_dropped, survivors, neighbours)
        assert opened == expected


@pytest.mark.parametrize("neighbours", [0, 2])
def test_every_site_may_be_the_one_that_drops_out(neighbours: int) -> None:
    dealt = play_epoch(5, n_entries=5)

    for number, dropped in enumerate(dealt.names, start=1):
        survivors = [site for site in dealt.names if site != dropped]
        opened, expected = close(dealt, number, survivors, neighbours)
        assert opened == expected


def test_neighbours_on_the_ring_may_drop_out_side_by_side() -> None:
    dealt = play_epoch(10, n_entries=10)  # with 4 neighbours, 3 in a row leave it connected

    for number, first in enumerate(range(10), start=1):
        gone = {dealt.names[(first + step) % 10] for step in range(3)}
        survivors = [site for site in dealt.names if site not in gone]
        opened, expected = close(dealt, number, survivors, 4)
        assert opened == expected


def test_any_threshold_of_survivors_recover_the_same_keys_and_seeds() -> None:
    dealt = play_epoch(5, n_entries=1, n_excess=2)
    own = dealt.secrets["site-0"].take(1)

    for by in itertools.combinations(dealt.names, dealt.threshold):
        assert dealt.recover_mask_key("site-0", 1, by) == own.mask_key
        assert dealt.recover_seed("site-0", 1, by) == own.self_seed
        assert dealt.recover_seed("site-0", 1, by, 2) == own.excess_seeds[1]


@pytest.mark.parametrize("n_sites", [3, 5, 10, 30])
def test_one_survivor_below_the_threshold_recovers_nothing(n_sites: int) -> None:
    dealt = play_epoch(n_sites, n_entries=1)
    few = dealt.names[1 : dealt.threshold]
    assert len(few) == dealt.threshold - 1

    assert dealt.recover_mask_key("site-0", 1, few) is None
    assert dealt.recover_seed("site-0", 1, few) is None


def test_without_the_recovered_masks_the_sum_stays_closed() -> None:
    # The twin: survivors that only open their own seeds leave the masks with the dropped site on.
    dealt = play_epoch(5, n_entries=1)
    entry, survivors = dealt.entry(1), dealt.names[1:]
    zeros = np.zeros(100, dtype=np.uint64)
    uploads = {site: dealt.upload(site, entry, zeros) for site in survivors}
    seeds = {site: taken.self_seed for site, (_, taken) in uploads.items()}
    total = np.array(sum_of(np.array([u for u, _ in uploads.values()])), dtype=np.uint64)
    as_if_nobody_dropped = {pair: bytes(32) for pair in dealt.recover_pairs(entry, survivors)}

    masks = masks_of_survivors(entry, seeds, as_if_nobody_dropped, 100)

    assert np.all(subtract_mod(total, masks) != 0)
