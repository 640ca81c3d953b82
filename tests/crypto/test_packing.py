from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcc.crypto.packing import pack, slot_count, unpack
from fedcc.crypto.parameters import PACKED_MODULUS, PLAIN_MODULUS

LANE_BITS = {2: 23, 3: 15}  # widths of the reference, for 46 bits
PACKED_LANE_BITS = {2: 21, 3: 14}  # and for the 42 bits of packed CKKS
LANES = sorted(LANE_BITS)
# The first four lie on either side of where products no longer fit 64 bits.
FAR = (1 << 37, (1 << 38) - 1, 1 << 38, -(1 << 39), np.iinfo(np.int64).max, np.iinfo(np.int64).min)
values_of_a_site = st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=13)
lane_counts = st.sampled_from(LANES)


def slots_by_hand(values: Sequence[int], lanes: int) -> list[int]:
    """The definition, in Python's unbounded integers."""
    padded = [*values, *[0] * (-len(values) % lanes)]
    cells = [padded[start : start + lanes] for start in range(0, len(padded), lanes)]
    width = LANE_BITS[lanes]
    return [sum(q << (width * j) for j, q in enumerate(cell)) % PLAIN_MODULUS for cell in cells]


def totals_by_hand(slots: Sequence[int], n_values: int, lanes: int) -> list[int]:
    """The signed digits in base 2^width, lowest first, in Python's unbounded integers."""
    base, totals = 1 << LANE_BITS[lanes], []
    for slot in slots:
        rest = slot - PLAIN_MODULUS if slot > PLAIN_MODULUS // 2 else slot
        for _ in range(lanes):
            digit = (rest + base // 2) % base - base // 2
            totals.append(digit)
            rest = (rest - digit) // base
    return totals[:n_values]


def sum_mod(uploads: Sequence[np.ndarray]) -> np.ndarray:
    """The sum mod t as the aggregate holds it, without fedcc's own modular arithmetic."""
    columns = zip(*(upload.tolist() for upload in uploads), strict=True)
    return np.array([sum(column) % PLAIN_MODULUS for column in columns], dtype=np.uint64)


def edge(lanes: int) -> int:
    return (1 << (LANE_BITS[lanes] - 1)) - 1


@given(values=values_of_a_site, lanes=lane_counts)
def test_a_slot_is_the_sum_of_its_shifted_values_mod_t(values: list[int], lanes: int) -> None:
    slots = pack(np.array(values, dtype=np.int64), lanes)

    assert slots.tolist() == slots_by_hand(values, lanes)


@given(slots=st.lists(st.integers(0, PLAIN_MODULUS - 1), max_size=9), lanes=lane_counts)
def test_any_slot_decodes_to_its_signed_digits(slots: list[int], lanes: int) -> None:
    n_values = len(slots) * lanes

    decoded = unpack(np.array(slots, dtype=np.uint64), n_values, lanes)

    assert decoded.tolist() == totals_by_hand(slots, n_values, lanes)


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("sites", [3, 10, 100])
def test_the_sum_of_packed_uploads_is_exact(sites: int, lanes: int) -> None:
    rng = np.random.default_rng(sites * lanes)
    largest = edge(lanes) // sites
    updates = rng.integers(-largest, largest + 1, size=(sites, 1001))

    total = sum_mod([pack(update, lanes) for update in updates])

    np.testing.assert_array_equal(unpack(total, 1001, lanes), updates.sum(axis=0))


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("sign", [1, -1])
def test_totals_at_the_edge_of_every_lane_are_exact(lanes: int, sign: int) -> None:
    values = np.full(3 * lanes, sign * edge(lanes))

    assert unpack(pack(values, lanes), values.size, lanes).tolist() == values.tolist()


@pytest.mark.parametrize("lanes", LANES)
def test_a_total_one_beyond_the_edge_is_not_exact(lanes: int) -> None:
    values = np.full(lanes, edge(lanes) + 1)

    assert unpack(pack(values, lanes), values.size, lanes).tolist() != values.tolist()


@pytest.mark.parametrize("lanes", LANES)
def test_neighbours_of_opposite_sign_at_the_edge_do_not_disturb_each_other(lanes: int) -> None:
    values = np.array([edge(lanes), -edge(lanes)] * lanes)

    assert unpack(pack(values, lanes), values.size, lanes).tolist() == values.tolist()


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("constant", [-1, 0, 1])
def test_constant_updates_of_100_sites_are_exact(lanes: int, constant: int) -> None:
    update = np.full(50, constant)

    total = sum_mod([pack(update, lanes)] * 100)

    assert unpack(total, 50, lanes).tolist() == [100 * constant] * 50


@given(
    sites=st.integers(2, 6),
    lanes=lane_counts,
    numbers=st.data(),
)
def test_single_values_may_leave_their_lane_as_long_as_the_total_stays(
    sites: int, lanes: int, numbers: st.DataObject
) -> None:
    draw = st.lists(st.integers(-(1 << 36), 1 << 36), min_size=5, max_size=5)
    total = numbers.draw(st.lists(st.integers(-edge(lanes), edge(lanes)), min_size=5, max_size=5))
    updates = [np.array(numbers.draw(draw)) for _ in range(sites - 1)]
    updates.append(np.array(total) - sum(updates))  # the last one brings the total back

    slots = sum_mod([pack(update, lanes) for update in updates])

    assert unpack(slots, 5, lanes).tolist() == total


@given(
    left=st.lists(st.integers(-(1 << 37), 1 << 37), min_size=7, max_size=7),
    right=st.lists(st.integers(-(1 << 37), 1 << 37), min_size=7, max_size=7),
    lanes=lane_counts,
)
def test_an_overflow_depends_on_the_total_alone(
    left: list[int], right: list[int], lanes: int
) -> None:
    # What the privacy proof needs (F4): wrapping is a function of the sum, so post-processing.
    summed = sum_mod([pack(np.array(left), lanes), pack(np.array(right), lanes)])

    together = pack(np.array(left) + np.array(right), lanes)

    assert summed.tolist() == together.tolist()


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7])
def test_odd_lengths_come_back_whole(lanes: int, size: int) -> None:
    values = np.arange(size) - 3

    slots = pack(values, lanes)

    assert slots.size == slot_count(size, lanes)
    assert unpack(slots, size, lanes).tolist() == values.tolist()


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("value", FAR)
def test_a_value_far_outside_its_lane_is_reduced_mod_t_and_nothing_fails(
    lanes: int, value: int
) -> None:
    width = {2: 23, 3: 15}[lanes]

    slots = pack(np.array([5, value], dtype=np.int64), lanes)

    # Python's own integers, which never overflow.
    assert slots.tolist() == [(5 + (int(value) << width)) % PLAIN_MODULUS]


@given(values=values_of_a_site, lanes=lane_counts)
def test_a_slot_of_packed_ckks_has_its_own_modulus_and_widths(
    values: list[int], lanes: int
) -> None:
    slots = pack(np.array(values, dtype=np.int64), lanes, "ckks_packed")

    padded, width = [*values, *[0] * (-len(values) % lanes)], PACKED_LANE_BITS[lanes]
    cells = [padded[start : start + lanes] for start in range(0, len(padded), lanes)]
    by_hand = [sum(q << (width * j) for j, q in enumerate(cell)) % (1 << 42) for cell in cells]
    assert slots.tolist() == by_hand
    assert PACKED_MODULUS == 1 << 42


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("sign", [-1, 1])
def test_packed_ckks_holds_the_edge_of_every_lane_and_not_one_more(lanes: int, sign: int) -> None:
    top = (1 << (PACKED_LANE_BITS[lanes] - 1)) - 1
    fits, beyond = np.full(lanes, sign * top), np.full(lanes, top + 1)

    decoded = [
        unpack(pack(values, lanes, "ckks_packed"), lanes, lanes, "ckks_packed").tolist()
        for values in (fits, beyond)
    ]

    assert decoded[0] == fits.tolist()
    assert decoded[1] != beyond.tolist()
