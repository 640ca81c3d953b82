import pytest
import tenseal.sealapi as seal

from fedcc.crypto.parameters import (
    ENCRYPTED,
    MASKED,
    MAX_EPOCH_ROUNDS,
    MODULI,
    PLAIN_MODULUS,
    POLY_DEGREE,
    PRIMES,
    CryptoSettings,
    ciphertext_bytes,
    lane_bits,
    lane_capacity,
    parameter_fingerprint,
    parameter_line,
    slots_per_chunk,
)

# homomorphicencryption.org security standard (2018), table 1: N = 4096, ternary secret, 128 bits.
MAX_MODULUS_BITS = 109


def test_the_plain_modulus_is_the_batching_prime_that_seal_picks() -> None:
    assert PLAIN_MODULUS == seal.PlainModulus.Batching(POLY_DEGREE, 46).value()


def test_the_plain_modulus_lets_every_coefficient_be_a_slot() -> None:
    # Batching needs a 2N-th root of unity mod t (SEAL manual, "CRT batching").
    assert PLAIN_MODULUS % (2 * POLY_DEGREE) == 1


CHAINS = {"bfv": [60, 49], "ckks_packed": [60, 49], "ckks": [54, 55]}


@pytest.mark.parametrize("scheme", ENCRYPTED)
def test_the_primes_are_those_that_seal_picks(scheme: str) -> None:
    picked = seal.CoeffModulus.Create(POLY_DEGREE, CHAINS[scheme])

    assert PRIMES[scheme] == tuple(prime.value() for prime in picked)


@pytest.mark.parametrize("scheme", ENCRYPTED)
def test_the_modulus_stays_within_128_bit_security(scheme: str) -> None:
    data, special = PRIMES[scheme]

    assert (data * special).bit_length() <= MAX_MODULUS_BITS


@pytest.mark.parametrize("lanes", [2, 3])
@pytest.mark.parametrize("scheme", MASKED)
def test_packed_totals_below_capacity_never_reach_half_the_modulus(scheme: str, lanes: int) -> None:
    top = lane_capacity(scheme, lanes) - 1

    largest = sum(top << (lane_bits(scheme, lanes) * lane) for lane in range(lanes))

    assert largest < MODULI[scheme] / 2


def test_the_lines_of_two_schemes_differ_and_name_every_number() -> None:
    lines = {parameter_line(scheme) for scheme in ENCRYPTED}

    assert len(lines) == 3
    for scheme in ENCRYPTED:
        numbers = [POLY_DEGREE, *PRIMES[scheme]]
        assert all(str(number).encode() in parameter_line(scheme) for number in numbers)


def test_each_scheme_has_a_fingerprint_of_its_own() -> None:
    prints = [parameter_fingerprint(scheme) for scheme in (*ENCRYPTED, "none")]

    assert len(set(prints)) == 4


def test_an_unseeded_upload_takes_as_many_bytes_as_the_aggregate() -> None:
    for scheme in MASKED:
        unseeded = ciphertext_bytes(scheme, aggregate=False, seeded=False)
        assert unseeded == ciphertext_bytes(scheme, aggregate=True)


def test_an_upload_takes_half_the_bytes_of_its_aggregate() -> None:
    upload, _ = ciphertext_bytes("bfv", aggregate=False)
    aggregate, _ = ciphertext_bytes("bfv", aggregate=True)

    assert upload == aggregate // 2 + 64  # one polynomial of two, and a Blake2xb seed of 64 bytes


@pytest.mark.parametrize("scheme", MASKED)
@pytest.mark.parametrize(("lanes", "in_the_reference"), [(2, 4.03), (3, 2.68)])
def test_bytes_a_parameter_are_those_of_the_reference(
    scheme: str, lanes: int, in_the_reference: float
) -> None:
    upload, _ = ciphertext_bytes(scheme, aggregate=False)

    assert upload / (lanes * slots_per_chunk(scheme)) <= in_the_reference + 0.005


def settings(scheme: str, grid_steps: int | None = None, rotate_every: int = 20) -> CryptoSettings:
    return CryptoSettings(
        scheme=scheme,
        lanes=2,
        unseeded=False,
        grid_steps=grid_steps,
        neighbours=None,
        rotate_every=rotate_every,
    )


def test_a_grid_of_no_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="grid_steps"):
        settings("bfv", grid_steps=0)


@pytest.mark.parametrize(
    ("scheme", "masked"),
    [("bfv", True), ("ckks_packed", True), ("ckks", False), ("none", False)],
)
def test_only_exact_sums_are_masked(scheme: str, masked: bool) -> None:
    assert settings(scheme).masked is masked


@pytest.mark.parametrize("rounds", [0, MAX_EPOCH_ROUNDS + 1])
def test_an_epoch_of_no_rounds_or_too_many_is_refused(rounds: int) -> None:
    with pytest.raises(ValueError, match="rotate_every must be 1 to 50"):
        settings("bfv", rotate_every=rounds)
