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
    secret_polynomial,
)
from fedcc.crypto.parameters import (
    ENCRYPTED,
    PLAIN_MODULUS,
    POLY_DEGREE,
    PRIMES,
    SCALES,
    ciphertext_bytes,
    parameter_line,
    slots_per_chunk,
)
from fedcc.crypto.seal_streams import seal_context, secret_key
from fedcc.errors import EnvelopeError

SITES = [3, 10, 100]


def random_slots(seed: int, size: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, PLAIN_MODULUS, size, dtype=np.uint64)


# Sums


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
    return float(21 * np.sqrt(sites) * coefficient * np.sqrt(POLY_DEGREE / 2) / SCALES["ckks"])


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


def test_the_aggregators_parameters_are_public_constants(parties) -> None:
    # The same for every key, so they can hold nothing of a key.
    assert parties.parameters == parameter_line(parties.scheme)
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


def test_the_aggregator_refuses_the_epoch_key(parties) -> None:
    with pytest.raises(EnvelopeError, match="HE parameters"):
        AggregatorCipher(parties.epoch_key)


def tenseal_context(chain: list[int], *, secret: bool) -> bytes:
    context = tenseal.context(
        tenseal.SCHEME_TYPE.BFV, POLY_DEGREE, PLAIN_MODULUS, coeff_mod_bit_sizes=chain
    )
    return context.serialize(
        save_public_key=False,
        save_secret_key=secret,
        save_galois_keys=False,
        save_relin_keys=False,
    )


@pytest.mark.parametrize("secret", [False, True])
def test_the_aggregator_does_not_parse_a_context_even_of_its_own_parameters(secret: bool) -> None:
    with pytest.raises(EnvelopeError, match="HE parameters"):
        AggregatorCipher(tenseal_context([60, 49], secret=secret))


@pytest.mark.parametrize(
    "change", [b"", b"\0", b" "], ids=["one byte short", "a zero more", "a blank more"]
)
def test_the_aggregator_refuses_anything_but_the_exact_parameters(parties, change: bytes) -> None:
    altered = parties.parameters + change if change else parties.parameters[:-1]

    with pytest.raises(EnvelopeError, match="HE parameters"):
        AggregatorCipher(altered)


@pytest.mark.parametrize("content", [b"", b"\0" * 76, bytes(range(76)), bytes(1 << 20)])
def test_the_aggregator_refuses_bytes_that_are_no_parameters(content: bytes) -> None:
    with pytest.raises(EnvelopeError, match="HE parameters"):
        AggregatorCipher(content)


# What a site loads


def test_a_site_refuses_parameters_for_a_key(parties) -> None:
    with pytest.raises(EnvelopeError, match="epoch key"):
        SiteCipher(parties.scheme, parties.parameters)


def test_a_site_refuses_the_key_of_another_scheme() -> None:
    for scheme in ENCRYPTED:
        for other in set(ENCRYPTED) - {scheme}:
            with pytest.raises(EnvelopeError, match="epoch key"):
                SiteCipher(scheme, create_epoch_key(other))


@pytest.mark.parametrize("content", [b"", b"\0" * 48, b"not a key", bytes(62_000)])
def test_a_site_refuses_bytes_that_are_no_key(parties, content: bytes) -> None:
    with pytest.raises(EnvelopeError, match="epoch key"):
        SiteCipher(parties.scheme, content)


def test_a_site_does_not_parse_a_context_that_a_dealer_sends() -> None:
    with pytest.raises(EnvelopeError, match="epoch key"):
        SiteCipher("bfv", tenseal_context([60, 49], secret=True))


@pytest.mark.parametrize("change", [-1, 1])
def test_a_site_refuses_a_key_of_another_length(parties, change: int) -> None:
    altered = parties.epoch_key + b"\0" if change > 0 else parties.epoch_key[:-1]

    with pytest.raises(EnvelopeError, match="epoch key"):
        SiteCipher(parties.scheme, altered)


def test_two_keys_differ_in_all_their_secret_bytes() -> None:
    first, second = create_epoch_key("bfv"), create_epoch_key("bfv")

    assert first[:16] == second[:16]
    assert len(set(zip(first[16:], second[16:], strict=True))) == 32
    assert sum(a == b for a, b in zip(first[16:], second[16:], strict=True)) < 8


def test_the_secret_polynomial_is_uniform_over_minus_one_zero_and_one() -> None:
    # Second source: Pearson's test with two degrees of freedom, 1 - F(27.6) = 1e-6.
    ternary = np.concatenate([secret_polynomial(create_epoch_key("bfv")) for _ in range(10)])

    values, counts = np.unique(ternary, return_counts=True)

    assert values.tolist() == [-1, 0, 1]
    assert ((counts - ternary.size / 3) ** 2).sum() / (ternary.size / 3) < 27.6


def test_one_key_always_gives_one_secret_polynomial(parties) -> None:
    again = secret_polynomial(bytes(parties.epoch_key))

    np.testing.assert_array_equal(secret_polynomial(parties.epoch_key), again)


def test_keys_of_two_schemes_with_equal_secret_bytes_are_unrelated() -> None:
    secret = bytes(range(32))

    exact, packed = (
        secret_polynomial(name.encode().ljust(16, b"\0") + secret)
        for name in ("bfv", "ckks_packed")
    )

    # Independent ternary numbers agree in a third of the places; sd of the share 0.0074.
    assert abs(np.mean(exact == packed) - 1 / 3) < 6 * 0.0074


def test_seal_decrypts_with_exactly_the_polynomial_that_was_drawn(bfv) -> None:
    """Decrypt by hand, with Python's integers: c0 + c1 s = floor(q m / t) + e (mod q, x^N + 1).

    Second source: Fan and Vercauteren, "Somewhat Practical Fully Homomorphic Encryption", 2012.
    """
    [chunk] = bfv.aggregator.add([bfv.site.encrypt(np.zeros(POLY_DEGREE))])
    words = [int(word) for word in np.frombuffer(chunk, dtype="<u8")]
    head, tail = words[:POLY_DEGREE], words[POLY_DEGREE:]
    secret = [int(number) for number in secret_polynomial(bfv.epoch_key)]
    prime = PRIMES["bfv"][0]

    for place in (0, 1, 2047, POLY_DEGREE - 1):
        product = sum(tail[i] * secret[place - i] for i in range(place + 1))
        product -= sum(tail[i] * secret[POLY_DEGREE + place - i] for i in range(place + 1, 4096))
        noise = (head[place] + product + prime // 2) % prime - prime // 2

        assert abs(noise) <= 21  # SEAL draws it as the difference of 21 bits and 21 bits


def test_a_derived_key_leaves_the_noise_budget_of_seals_own_keys(bfv) -> None:
    context = seal_context("bfv")

    def budget(secret: "seal.SecretKey") -> int:
        plain, ciphertext = seal.Plaintext(), seal.Ciphertext()
        seal.BatchEncoder(context).encode([PLAIN_MODULUS - 1] * POLY_DEGREE, plain)
        seal.Encryptor(context, secret).encrypt_symmetric(plain, ciphertext)
        return seal.Decryptor(context, secret).invariant_noise_budget(ciphertext)

    derived = secret_key("bfv", secret_polynomial(bfv.epoch_key))

    assert abs(budget(derived) - budget(seal.KeyGenerator(context).secret_key())) <= 1


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


def test_a_transparent_sum_is_refused(ckks) -> None:
    [chunk] = ckks.site.encrypt(np.ones(5))
    [prime, _] = PRIMES["ckks"]
    words = [int.from_bytes(chunk[i : i + 7], "little") for i in range(0, len(chunk), 7)]
    opposite = b"".join((-word % prime).to_bytes(7, "little") for word in words)
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
