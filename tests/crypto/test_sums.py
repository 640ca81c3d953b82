"""Masked sums through the real ciphers, against integers that never wrap."""

import numpy as np
import pytest
import tenseal.sealapi as seal

from fedcc.crypto.contexts import AggregatorCipher, SiteCipher, secret_polynomial
from fedcc.crypto.masks import add_mod, expand, subtract_mod
from fedcc.crypto.packing import pack, slot_count, unpack
from fedcc.crypto.parameters import MASKED, MODULI, POLY_DEGREE, PRIMES, lane_capacity
from fedcc.crypto.seal_streams import Ciphertexts, seal_context, secret_key
from fedcc.errors import EnvelopeError

SITES = [3, 10, 100, 128]
N_VALUES = 1001  # fills no lane and no chunk


@pytest.fixture(params=MASKED)
def masked(request: pytest.FixtureRequest):
    return request.getfixturevalue(request.param)


def masks_that_cancel(sites: int, size: int, modulus: int) -> list[np.ndarray]:
    """Return uniform masks whose sum is 0: all but one are drawn, the last one is the rest."""
    masks = [expand(site.to_bytes(32, "big"), size, modulus=modulus) for site in range(sites - 1)]
    rest = np.zeros(size, dtype=np.uint64)
    for mask in masks:
        rest = subtract_mod(rest, mask, modulus=modulus)
    return [*masks, rest]


def summed(parties, slots: list[np.ndarray], size: int) -> np.ndarray:
    """Mask, encrypt, add and decrypt packed slots."""
    modulus = MODULI[parties.scheme]
    masks = masks_that_cancel(len(slots), slots[0].size, modulus)
    uploads = [
        parties.site.encrypt(add_mod(own, mask, modulus=modulus))
        for own, mask in zip(slots, masks, strict=True)
    ]
    return parties.site.decrypt(parties.aggregator.add(uploads), size)


UPDATES = {
    "random": lambda rng, sites, edge: rng.integers(-(edge // sites), edge // sites + 1, sites),
    "constant": lambda rng, sites, edge: np.full(sites, -1),
    "largest total": lambda rng, sites, edge: _parts(edge, sites),
    "smallest total": lambda rng, sites, edge: _parts(-edge, sites),
    "far outside, total inside": lambda rng, sites, edge: _parts(edge, sites) + _opposed(sites),
}


def _parts(total: int, sites: int) -> np.ndarray:
    parts = np.full(sites, int(total / sites))
    parts[0] += total - parts.sum()
    return parts


def _opposed(sites: int) -> np.ndarray:
    far = np.zeros(sites, dtype=np.int64)
    far[0], far[1] = 1 << 50, -(1 << 50)
    return far


@pytest.mark.parametrize("kind", UPDATES)
@pytest.mark.parametrize("lanes", [2, 3])
@pytest.mark.parametrize("sites", SITES)
def test_the_decrypted_sum_is_the_integer_sum(masked, sites: int, lanes: int, kind: str) -> None:
    rng = np.random.default_rng(sites)
    edge = lane_capacity(masked.scheme, lanes) - 1
    updates = np.stack([UPDATES[kind](rng, sites, edge) for _ in range(N_VALUES)], axis=1)

    slots = summed(
        masked,
        [pack(update, lanes, masked.scheme) for update in updates],
        slot_count(N_VALUES, lanes),
    )

    totals = unpack(slots, N_VALUES, lanes, masked.scheme)
    np.testing.assert_array_equal(totals, updates.sum(axis=0))


@pytest.mark.parametrize("lanes", [2, 3])
def test_a_total_one_past_the_edge_of_its_lane_is_not_the_sum(masked, lanes: int) -> None:
    edge = lane_capacity(masked.scheme, lanes)
    updates = [np.full(9, number) for number in (edge, 1, -1)]

    slots = summed(masked, [pack(u, lanes, masked.scheme) for u in updates], slot_count(9, lanes))

    assert edge not in unpack(slots, 9, lanes, masked.scheme)


@pytest.mark.parametrize("sites", SITES)
def test_sums_wrap_at_the_modulus_and_nowhere_else(masked, sites: int) -> None:
    modulus, rng = MODULI[masked.scheme], np.random.default_rng(sites)
    slots = [rng.integers(0, modulus, 300, dtype=np.uint64) for _ in range(sites)]
    slots[0][:2], slots[1][:2] = [modulus - 1, 0], [1, modulus - 1]

    total = summed(masked, slots, 300)

    by_hand = [sum(map(int, column)) % modulus for column in zip(*slots, strict=True)]
    assert [int(slot) for slot in total] == by_hand


@pytest.mark.parametrize("size", [1, POLY_DEGREE - 1, POLY_DEGREE, POLY_DEGREE + 1])
def test_sums_are_exact_around_the_length_of_a_chunk(masked, size: int) -> None:
    slots = [np.full(size, number, dtype=np.uint64) for number in (1, 2, 4)]

    assert set(summed(masked, slots, size).tolist()) == {7}


# Packed CKKS: how far from a half its noise stays, and what happens without the masks


def distances_from_whole_numbers(parties, sites: int) -> np.ndarray:
    """Return by how much decoded slots of one masked chunk miss the integers, before rounding."""
    rng = np.random.default_rng(sites)
    slots = [rng.integers(0, 1 << 42, POLY_DEGREE, dtype=np.uint64) for _ in range(sites)]
    [chunk] = parties.aggregator.add([parties.site.encrypt(own) for own in slots])
    # The ciphers let no approximate number out, so this opens the sum with SEAL itself.
    context = seal_context("ckks_packed")
    secret = secret_key("ckks_packed", secret_polynomial(parties.epoch_key))
    plain = seal.Plaintext()
    total = Ciphertexts("ckks_packed").load(chunk, seeded=False)
    seal.Decryptor(context, secret).decrypt(total, plain)
    pairs = np.array(seal.CKKSEncoder(context).decode_complex(plain))
    numbers = np.concatenate([pairs.real, pairs.imag])
    by_hand = sum((own.astype(np.int64) + (1 << 41)) % (1 << 42) - (1 << 41) for own in slots)
    return numbers - by_hand


@pytest.mark.parametrize("sites", [10, 100, 128])
def test_rounding_keeps_30_deviations_from_a_half_and_follows_theory(
    ckks_packed, sites: int
) -> None:
    distances = distances_from_whole_numbers(ckks_packed, sites)

    # Each coefficient of a fresh symmetric ciphertext carries SEAL's noise (21 bits minus 21 bits:
    # variance 21/2) and the encoder's rounding (1/12). A slot sums N of them with cosines: times
    # sqrt(N/2), over the scale. Coefficients of 2^52 in float64 are off by up to half a unit in
    # each of the transform's 12 steps, there and back: at most 12/6 more variance.
    least, most = (
        np.sqrt(sites * (21 / 2 + 1 / 12 + more) * POLY_DEGREE / 2) / 2.0**17 for more in (0, 2)
    )
    # 4096 draws: the measured deviation is within 6 / sqrt(2 * 4096) = 7 % of the true one.
    assert 0.93 * least < distances.std() < 1.07 * most
    assert 0.5 / distances.std() > 30


def test_without_masks_equal_slots_wrap_and_the_sum_is_lost(ckks_packed) -> None:
    # All of a constant lies in one coefficient, which is larger than half the modulus at 100 sites.
    slots = np.full(POLY_DEGREE, 1 << 40, dtype=np.uint64)
    aggregate = ckks_packed.aggregator.add([ckks_packed.site.encrypt(slots)] * 100)

    try:
        found = ckks_packed.site.decrypt(aggregate, POLY_DEGREE)
    except EnvelopeError:
        return  # noticed, which is as good

    assert (100 << 40) % (1 << 42) not in found


def test_with_masks_the_same_equal_slots_are_summed_exactly(ckks_packed) -> None:
    slots = [np.full(POLY_DEGREE, 1 << 40, dtype=np.uint64)] * 100

    assert set(summed(ckks_packed, slots, POLY_DEGREE).tolist()) == {(100 << 40) % (1 << 42)}


# One upload in the hands of somebody who has the epoch key

BINS = 256
CHI_SQUARE_LIMIT = 384.6  # chi-square quantile of 255 degrees of freedom at 1 - 3e-7 (5 sigma)


def one_upload_decrypted(parties, update: np.ndarray, *, with_mask: bool) -> np.ndarray:
    modulus = MODULI[parties.scheme]
    slots = pack(update, 2, parties.scheme)
    if with_mask:
        mask = expand(np.random.default_rng(5).bytes(32), slots.size, modulus=modulus)
        slots = add_mod(slots, mask, modulus=modulus)
    return parties.site.decrypt(parties.site.encrypt(slots), slots.size).astype(np.uint64)


def chi_square(slots: np.ndarray, modulus: int) -> float:
    counts = np.bincount((slots.astype(float) * BINS / modulus).astype(int), minlength=BINS)
    expected = slots.size / BINS
    return float(((counts - expected) ** 2).sum() / expected)


def update_of(size: int) -> np.ndarray:
    return np.rint(np.random.default_rng(3).normal(0, 30_000, size)).astype(np.int64)


def test_a_single_masked_upload_is_uniform_even_to_a_key_holder(masked) -> None:
    slots = one_upload_decrypted(masked, update_of(4 * POLY_DEGREE), with_mask=True)

    assert chi_square(slots, MODULI[masked.scheme]) < CHI_SQUARE_LIMIT


def test_without_its_mask_an_upload_is_far_from_uniform(masked) -> None:
    slots = one_upload_decrypted(masked, update_of(4 * POLY_DEGREE), with_mask=False)

    assert chi_square(slots, MODULI[masked.scheme]) > 10 * CHI_SQUARE_LIMIT


def correlation(parties, *, with_mask: bool) -> float:
    """Return how what a key holder unpacks of one upload correlates with the update."""
    update = update_of(4 * POLY_DEGREE)
    slots = one_upload_decrypted(parties, update, with_mask=with_mask)
    return float(np.corrcoef(unpack(slots, update.size, 2, parties.scheme), update)[0, 1])


def test_a_single_masked_upload_carries_nothing_of_the_update(masked) -> None:
    # Of 16384 independent pairs the correlation has sd 1 / 128.
    assert abs(correlation(masked, with_mask=True)) < 6 / 128


def test_without_its_mask_an_upload_is_the_update(masked) -> None:
    assert correlation(masked, with_mask=False) > 0.9


# Unseeded uploads: only where the plan admits them, for then a site chooses its second polynomial


def unseeded(parties) -> tuple[SiteCipher, AggregatorCipher]:
    site = SiteCipher(parties.scheme, parties.epoch_key, seeded=False)
    return site, AggregatorCipher(parties.parameters, seeded=False)


def polynomials(chunk: bytes) -> list[list[int]]:
    words = [int(word) for word in np.frombuffer(chunk, dtype="<u8")]
    return [words[:POLY_DEGREE], words[POLY_DEGREE:]]


def chunk_of(first: list[int], second: list[int]) -> bytes:
    return np.array(first + second, dtype="<u8").tobytes()


def test_unseeded_uploads_have_the_same_exact_sum(masked) -> None:
    site, aggregator = unseeded(masked)
    modulus = MODULI[masked.scheme]
    slots = [expand(bytes([n]) * 32, POLY_DEGREE, modulus=modulus) for n in range(3)]

    total = site.decrypt(aggregator.add([site.encrypt(own) for own in slots]), POLY_DEGREE)

    expected = add_mod(add_mod(slots[0], slots[1], modulus=modulus), slots[2], modulus=modulus)
    np.testing.assert_array_equal(total, expected)


def test_an_aggregator_takes_only_the_form_that_the_plan_names(masked) -> None:
    site, aggregator = unseeded(masked)
    slots = np.zeros(5, dtype=np.uint64)

    for chunks, other in (
        (masked.site.encrypt(slots), aggregator),
        (site.encrypt(slots), masked.aggregator),
    ):
        with pytest.raises(EnvelopeError):
            other.check(chunks)


@pytest.fixture
def rushed(masked):
    """Two honest unseeded uploads, and one that takes back the second polynomial of both."""
    site, _ = unseeded(masked)
    slots = [expand(bytes([n]) * 32, POLY_DEGREE, modulus=MODULI[masked.scheme]) for n in range(3)]
    honest = [site.encrypt(own)[0] for own in slots[:2]]
    prime, _ = PRIMES[masked.scheme]
    seconds = [polynomials(chunk)[1] for chunk in honest]
    wanted = [-sum(column) % prime for column in zip(*seconds, strict=True)]
    rush = chunk_of(polynomials(site.encrypt(slots[2])[0])[0], wanted)
    return masked, honest, rush


def test_a_site_that_takes_back_the_others_second_polynomials_is_refused(rushed) -> None:
    parties, honest, rush = rushed
    _, aggregator = unseeded(parties)
    aggregator.check([rush])  # sound on its own

    with pytest.raises(EnvelopeError):
        aggregator.add([[honest[0]], [honest[1]], [rush]])


def test_a_site_does_not_open_such_a_sum_whatever_the_aggregator_did(rushed) -> None:
    parties, honest, rush = rushed
    site, _ = unseeded(parties)
    prime, _ = PRIMES[parties.scheme]
    firsts = [polynomials(chunk)[0] for chunk in (*honest, rush)]
    added = [sum(column) % prime for column in zip(*firsts, strict=True)]

    with pytest.raises(EnvelopeError):
        site.decrypt([chunk_of(added, [0] * POLY_DEGREE)], POLY_DEGREE)
