import gc
import os

import numpy as np
import pytest
import tenseal
import tenseal.sealapi as seal
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from fedcc.crypto.contexts import (
    AggregatorCipher,
    SiteCipher,
    check_seed_compression,
    create_epoch_key,
    key_id,
    parameter_bytes,
)
from fedcc.crypto.packing import pack, slot_count, unpack
from fedcc.crypto.parameters import (
    CKKS_SCALE,
    LANE_BITS,
    PLAIN_MODULUS,
    POLY_DEGREE,
    ciphertext_bytes,
    slots_per_chunk,
)
from fedcc.errors import EnvelopeError

SITES = [3, 10, 100]


def random_slots(seed: int, size: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, PLAIN_MODULUS, size, dtype=np.uint64)


# Sums


@pytest.mark.parametrize("lanes", sorted(LANE_BITS))
@pytest.mark.parametrize("sites", SITES)
def test_the_encrypted_sum_is_the_integer_sum(bfv, sites: int, lanes: int) -> None:
    n_values = 1001
    largest = ((1 << (LANE_BITS[lanes] - 1)) - 1) // sites
    updates = np.random.default_rng(sites).integers(-largest, largest + 1, size=(sites, n_values))

    aggregate = bfv.aggregator.add([bfv.site.encrypt(pack(update, lanes)) for update in updates])

    slots = bfv.site.decrypt(aggregate, slot_count(n_values, lanes))
    np.testing.assert_array_equal(unpack(slots, n_values, lanes), updates.sum(axis=0))


@pytest.mark.parametrize("sites", SITES)
def test_the_encrypted_sum_wraps_mod_t_and_nothing_else(bfv, sites: int) -> None:
    uploads = [random_slots(site, 300) for site in range(sites)]

    aggregate = bfv.aggregator.add([bfv.site.encrypt(slots) for slots in uploads])

    by_hand = [sum(column) % PLAIN_MODULUS for column in zip(*map(list, uploads), strict=True)]
    assert bfv.site.decrypt(aggregate, 300).tolist() == [int(number) for number in by_hand]


def test_a_hundred_times_the_same_noise_still_decrypts(bfv) -> None:
    # Independent noise grows with the root of the number of sites; equal noise with the number.
    slots = random_slots(0, POLY_DEGREE)
    upload = bfv.site.encrypt(slots)

    aggregate = bfv.aggregator.add([upload] * 100)

    expected = [int(slot) * 100 % PLAIN_MODULUS for slot in slots]
    assert bfv.site.decrypt(aggregate, POLY_DEGREE).tolist() == expected


@pytest.mark.parametrize("size", [1, POLY_DEGREE - 1, POLY_DEGREE, POLY_DEGREE + 1])
def test_sums_are_exact_around_the_length_of_a_chunk(bfv, size: int) -> None:
    left, right = random_slots(1, size) // np.uint64(2), random_slots(2, size) // np.uint64(2)

    aggregate = bfv.aggregator.add([bfv.site.encrypt(left), bfv.site.encrypt(right)])

    np.testing.assert_array_equal(bfv.site.decrypt(aggregate, size), left + right)


def ckks_error_bound(sites: int) -> float:
    """The largest error of a float sum, derived.

    After SEAL switches down from the special prime a fresh ciphertext carries rounding errors of
    variance 1/12 in both polynomials, the second times a ternary secret of N coefficients: standard
    deviation sqrt((1 + 2N/3)/12) a coefficient. A slot sums N of them with cosines: times
    sqrt(N/2), over the scale. The secret's own size at a slot makes the tail exponential,
    exp(-sqrt(2) x): 21 deviations leave less than 1e-9 for a chunk.
    """
    coefficient = np.sqrt((1 + 2 * POLY_DEGREE / 3) / 12)
    return float(21 * np.sqrt(sites) * coefficient * np.sqrt(POLY_DEGREE / 2) / CKKS_SCALE)


@pytest.mark.parametrize("sites", SITES)
def test_the_float_sum_stays_within_its_derived_error(ckks, sites: int) -> None:
    updates = np.random.default_rng(sites).uniform(-5, 5, size=(sites, 2500))

    aggregate = ckks.aggregator.add([ckks.site.encrypt(update) for update in updates])

    error = np.abs(ckks.site.decrypt(aggregate, 2500) - updates.sum(axis=0)).max()
    assert error < ckks_error_bound(sites)


def test_a_sum_of_two_keys_does_not_decrypt_to_the_sum(bfv) -> None:
    stranger = SiteCipher("bfv", create_epoch_key("bfv"))
    ones = np.ones(POLY_DEGREE, dtype=np.uint64)

    aggregate = bfv.aggregator.add([bfv.site.encrypt(ones), stranger.encrypt(ones)])

    for cipher in (bfv.site, stranger):
        assert 2 not in cipher.decrypt(aggregate, POLY_DEGREE)


def test_another_key_reads_nothing_from_an_upload(bfv) -> None:
    stranger = SiteCipher("bfv", create_epoch_key("bfv"))
    upload = bfv.site.encrypt(np.ones(POLY_DEGREE, dtype=np.uint64))

    assert 1 not in stranger.decrypt(upload, POLY_DEGREE)


def test_two_uploads_of_one_update_are_unlike(parties) -> None:
    values = np.ones(10)

    assert parties.site.encrypt(values) != parties.site.encrypt(values)


def test_the_unused_end_of_a_chunk_is_random(bfv) -> None:
    ends = [bfv.site.decrypt(bfv.site.encrypt(np.zeros(1)), POLY_DEGREE)[1:] for _ in range(2)]

    assert not np.any(ends[0] == ends[1])


@pytest.mark.parametrize("slot", [-1, PLAIN_MODULUS, 1 << 62])
def test_a_slot_outside_the_plain_modulus_is_refused(bfv, slot: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        bfv.site.encrypt(np.array([0, slot]))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_float_that_ckks_cannot_hold_is_refused(ckks, value: float) -> None:
    with pytest.raises(ValueError):
        ckks.site.encrypt(np.array([value]))


# Lengths


@pytest.mark.parametrize("chunks", [1, 3])
def test_an_upload_has_the_promised_length(parties, chunks: int) -> None:
    low, high = ciphertext_bytes(parties.scheme, aggregate=False)

    upload = parties.site.encrypt(np.zeros(chunks * slots_per_chunk(parties.scheme)))

    assert len(upload) == chunks
    assert all(low <= len(chunk) <= high for chunk in upload)


@pytest.mark.parametrize("sites", [1, 3])
def test_an_aggregate_has_the_promised_length(parties, sites: int) -> None:
    low, high = ciphertext_bytes(parties.scheme, aggregate=True)

    [chunk] = parties.aggregator.add([parties.site.encrypt(np.ones(5))] * sites)

    assert low <= len(chunk) <= high


def test_this_build_of_tenseal_writes_seeds() -> None:
    check_seed_compression()


# What the aggregator has


def test_the_aggregators_parameters_are_under_100_bytes(parties) -> None:
    assert len(parties.parameters) < 100


def test_the_aggregators_parameters_hold_no_key(parties) -> None:
    context = tenseal.context_from(parties.parameters)

    assert not context.is_private()
    assert not context.has_secret_key()


@pytest.mark.parametrize("secret", ["secret_key", "decryptor"])
def test_nothing_that_decrypts_can_be_had_from_the_parameters(parties, secret: str) -> None:
    context = tenseal.context_from(parties.parameters)

    with pytest.raises(ValueError):
        getattr(context, secret)()


@pytest.mark.parametrize("secret", ["secret_key", "decryptor"])
def test_the_epoch_key_does_decrypt(parties, secret: str) -> None:
    context = tenseal.context_from(parties.epoch_key)

    assert context.is_private()
    assert getattr(context, secret)() is not None


def test_parameters_are_the_same_for_every_key(parties) -> None:
    # So they can hold nothing of a key.
    assert parameter_bytes(create_epoch_key(parties.scheme)) == parties.parameters


def test_nothing_reachable_from_the_aggregator_is_a_key(parties) -> None:
    keys = (seal.SecretKey, seal.PublicKey, seal.Decryptor, seal.Encryptor, seal.KeyGenerator)
    keys = (*keys, tenseal.Context)  # one of these could make a decryptor
    found, todo = [], [parties.aggregator]
    while todo:
        thing = todo.pop()
        found.append(thing)
        todo.extend(vars(thing).values() if hasattr(thing, "__dict__") else ())

    assert not [thing for thing in found if isinstance(thing, keys)]


def context_bytes(**keys: bool) -> bytes:
    """Serialise a context of the textbook scheme, which can hold every kind of key."""
    context = tenseal.context_from(create_epoch_key("ckks"))
    if keys.get("save_relin_keys"):
        context.generate_relin_keys()
    kinds = ("save_public_key", "save_secret_key", "save_galois_keys", "save_relin_keys")
    return context.serialize(**(dict.fromkeys(kinds, False) | keys))


@pytest.mark.parametrize("key", ["save_public_key", "save_secret_key", "save_relin_keys"])
def test_the_aggregator_refuses_parameters_that_hold_a_key(key: str) -> None:
    with pytest.raises(EnvelopeError, match="hold a key"):
        AggregatorCipher(context_bytes(**{key: True}))


def test_the_aggregator_takes_the_same_parameters_without_a_key() -> None:
    AggregatorCipher(context_bytes())


def test_the_aggregator_refuses_the_epoch_key(parties) -> None:
    with pytest.raises(EnvelopeError, match="hold a key"):
        AggregatorCipher(parties.epoch_key)


def other_parameters(degree: int, chain: list[int], modulus: int | None) -> bytes:
    if modulus is None:
        context = tenseal.context(tenseal.SCHEME_TYPE.CKKS, degree, coeff_mod_bit_sizes=chain)
    else:
        context = tenseal.context(
            tenseal.SCHEME_TYPE.BFV, degree, modulus, coeff_mod_bit_sizes=chain
        )
    return context.serialize(
        save_public_key=False, save_secret_key=False, save_galois_keys=False, save_relin_keys=False
    )


OTHER_PARAMETERS = {
    "smaller t": (4096, [60, 49], 1032193),
    "other chain": (4096, [54, 55], PLAIN_MODULUS),
    "larger degree": (8192, [60, 60], PLAIN_MODULUS),
    "other CKKS chain": (4096, [60, 49], None),
}


@pytest.mark.parametrize("other", OTHER_PARAMETERS.values(), ids=OTHER_PARAMETERS)
def test_the_aggregator_refuses_the_parameters_of_another_profile(other) -> None:
    with pytest.raises(EnvelopeError):
        AggregatorCipher(other_parameters(*other))


@pytest.mark.parametrize("content", [b"", b"\0" * 90, bytes(range(90))])
def test_the_aggregator_refuses_bytes_that_are_no_parameters(content: bytes) -> None:
    with pytest.raises(EnvelopeError):
        AggregatorCipher(content)


def test_the_aggregator_refuses_truncated_parameters(parties) -> None:
    with pytest.raises(EnvelopeError):
        AggregatorCipher(parties.parameters[:-1])


@pytest.mark.parametrize("extra", [b"\0", b"\xa2\x06\x03key"], ids=["a byte", "a protobuf field"])
def test_the_aggregator_refuses_more_than_parameters(parties, extra: bytes) -> None:
    with pytest.raises(EnvelopeError):
        AggregatorCipher(parties.parameters + extra)


# What a site loads


def test_a_site_refuses_parameters_without_a_secret_key(parties) -> None:
    with pytest.raises(EnvelopeError, match="epoch key"):
        SiteCipher(parties.scheme, parties.parameters)


def test_a_site_refuses_the_key_of_another_scheme(bfv, ckks) -> None:
    for scheme, other in (("bfv", ckks), ("ckks", bfv)):
        with pytest.raises(EnvelopeError, match="epoch key"):
            SiteCipher(scheme, other.epoch_key)


def test_a_site_refuses_a_secret_key_of_another_profile() -> None:
    context = tenseal.context(tenseal.SCHEME_TYPE.BFV, 4096, 1032193, coeff_mod_bit_sizes=[60, 49])

    with pytest.raises(EnvelopeError, match="epoch key"):
        SiteCipher("bfv", context.serialize(save_secret_key=True))


@pytest.mark.parametrize("content", [b"", b"\0" * 90, b"not a context"])
def test_a_site_refuses_bytes_that_are_no_key(parties, content: bytes) -> None:
    with pytest.raises(EnvelopeError, match="epoch key"):
        SiteCipher(parties.scheme, content)


def test_an_epoch_key_holds_no_galois_or_relinearisation_keys(parties) -> None:
    context = tenseal.context_from(parties.epoch_key)

    assert not context.has_galois_keys()
    assert not context.has_relin_keys()


def test_relinearisation_keys_would_be_seen() -> None:
    assert tenseal.context_from(context_bytes(save_relin_keys=True)).has_relin_keys()


@pytest.mark.parametrize(("scheme", "keys"), [("bfv", 1), ("ckks", 3)])
def test_an_epoch_key_is_no_longer_than_its_keys(scheme: str, keys: int) -> None:
    # A secret key is one polynomial over both primes, a public key two; 64 bits a coefficient.
    polynomial = 2 * POLY_DEGREE * 8

    assert len(create_epoch_key(scheme)) < keys * polynomial + 1024


def test_a_key_id_is_an_hmac_under_the_key(parties) -> None:
    # Second source: HMAC of the cryptography package.
    code = HMAC(parties.epoch_key, SHA256())
    code.update(b"fedcc/key-id/v1")

    assert key_id(parties.epoch_key) == code.finalize().hex()


def test_two_keys_have_two_ids(parties) -> None:
    assert key_id(create_epoch_key(parties.scheme)) != key_id(parties.epoch_key)


# Refused ciphertexts; hostile bytes in bulk are in test_hostile_ciphertexts.py


def test_a_ciphertext_of_zeros_is_refused(parties) -> None:
    low, _ = ciphertext_bytes(parties.scheme, aggregate=True)

    with pytest.raises(EnvelopeError):
        parties.site.decrypt([bytes(low)], 1)


def test_a_transparent_ciphertext_is_refused(parties) -> None:
    # The second polynomial is 0, so the first one is the message in clear.
    [chunk] = parties.aggregator.add([parties.site.encrypt(np.ones(5))])
    half = len(chunk) // 2

    with pytest.raises(EnvelopeError):
        parties.site.decrypt([chunk[:half] + bytes(half)], 1)


def negated(ckks, chunk: bytes) -> bytes:
    """Return the ciphertext that adds up to nothing with this one."""
    parms = tenseal.context_from(ckks.parameters).seal_context().data.first_context_data().parms()
    [prime] = [modulus.value() for modulus in parms.coeff_modulus()]
    words = [int.from_bytes(chunk[i : i + 7], "little") for i in range(0, len(chunk), 7)]
    return b"".join((-word % prime).to_bytes(7, "little") for word in words)


def test_a_transparent_sum_is_refused(ckks) -> None:
    [chunk] = ckks.site.encrypt(np.ones(5))
    opposite = negated(ckks, chunk)
    ckks.aggregator.check([opposite])  # sound on its own

    with pytest.raises(EnvelopeError):
        ckks.aggregator.add([[chunk], [opposite]])


def test_an_unseeded_upload_is_refused_by_the_aggregator(bfv) -> None:
    # It could be chosen as minus the sum of the others.
    unseeded = bfv.aggregator.add([bfv.site.encrypt(np.ones(5))])

    with pytest.raises(EnvelopeError):
        bfv.aggregator.check(unseeded)


def test_a_coefficient_beyond_the_modulus_is_refused(bfv) -> None:
    [chunk] = bfv.site.encrypt(np.ones(5))

    with pytest.raises(EnvelopeError):
        bfv.aggregator.check([chunk[:7] + b"\xff" + chunk[8:]])


@pytest.mark.parametrize("chunks", [[], [b""]])
def test_decrypting_nothing_is_refused(parties, chunks: list[bytes]) -> None:
    with pytest.raises(EnvelopeError):
        parties.site.decrypt(chunks, 0)


def test_an_aggregate_with_a_missing_chunk_is_refused(parties) -> None:
    size = slots_per_chunk(parties.scheme) + 1
    upload = parties.site.encrypt(np.ones(size))

    with pytest.raises(EnvelopeError):
        parties.site.decrypt(upload[:1], size)


def test_uploads_of_unequal_length_are_a_mistake_of_the_caller(parties) -> None:
    short, long = (parties.site.encrypt(np.ones(n)) for n in (1, POLY_DEGREE + 1))

    with pytest.raises(ValueError):
        parties.aggregator.add([short, long])


def test_ciphers_leave_no_open_files_behind(parties) -> None:
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(5):
        site = SiteCipher(parties.scheme, parties.epoch_key)
        aggregator = AggregatorCipher(parties.parameters)
        aggregator.add([site.encrypt(np.ones(1))])
    del site, aggregator
    gc.collect()

    assert len(os.listdir("/proc/self/fd")) == before
