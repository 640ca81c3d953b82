import pytest
import tenseal.sealapi as seal

from fedcc.crypto.parameters import (
    BFV_CHAIN,
    CKKS_CHAIN,
    LANE_BITS,
    MAX_EPOCH_ROUNDS,
    PLAIN_MODULUS,
    POLY_DEGREE,
    CryptoSettings,
    ciphertext_bytes,
    slots_per_chunk,
)

# homomorphicencryption.org security standard (2018), table 1: N = 4096, ternary secret, 128 bits.
MAX_MODULUS_BITS = 109


def test_the_plain_modulus_is_the_batching_prime_that_seal_picks() -> None:
    assert PLAIN_MODULUS == seal.PlainModulus.Batching(POLY_DEGREE, 46).value()


def test_the_plain_modulus_lets_every_coefficient_be_a_slot() -> None:
    # Batching needs a 2N-th root of unity mod t (SEAL manual, "CRT batching").
    assert PLAIN_MODULUS % (2 * POLY_DEGREE) == 1


@pytest.mark.parametrize("chain", [BFV_CHAIN, CKKS_CHAIN])
def test_the_modulus_stays_within_128_bit_security(chain: tuple[int, ...]) -> None:
    assert sum(chain) <= MAX_MODULUS_BITS


@pytest.mark.parametrize("lanes", LANE_BITS)
def test_packed_totals_below_capacity_never_reach_half_the_plain_modulus(lanes: int) -> None:
    capacity = CryptoSettings(
        scheme="bfv", lanes=lanes, grid_steps=None, neighbours=None, rotate_every=20
    ).capacity

    largest = sum((capacity - 1) << (LANE_BITS[lanes] * lane) for lane in range(lanes))

    assert largest <= PLAIN_MODULUS // 2


def test_an_upload_takes_half_the_bytes_of_its_aggregate() -> None:
    upload, _ = ciphertext_bytes("bfv", aggregate=False)
    aggregate, _ = ciphertext_bytes("bfv", aggregate=True)

    assert upload == aggregate // 2 + 64  # one polynomial of two, and a Blake2xb seed of 64 bytes


def test_two_lanes_take_about_four_bytes_a_parameter() -> None:
    upload, _ = ciphertext_bytes("bfv", aggregate=False)

    assert upload / (2 * slots_per_chunk("bfv")) == pytest.approx(4.0, abs=0.01)


def test_a_grid_of_no_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="grid_steps"):
        CryptoSettings(scheme="bfv", lanes=2, grid_steps=0, neighbours=None, rotate_every=20)


@pytest.mark.parametrize(("scheme", "masked"), [("bfv", True), ("ckks", False), ("none", False)])
def test_only_exact_sums_are_masked(scheme: str, masked: bool) -> None:
    assert (
        CryptoSettings(
            scheme=scheme, lanes=2, grid_steps=None, neighbours=None, rotate_every=20
        ).masked
        is masked
    )


@pytest.mark.parametrize("rounds", [0, MAX_EPOCH_ROUNDS + 1])
def test_an_epoch_of_no_rounds_or_too_many_is_refused(rounds: int) -> None:
    with pytest.raises(ValueError, match="rotate_every must be 1 to 50"):
        CryptoSettings(scheme="bfv", lanes=2, grid_steps=None, neighbours=None, rotate_every=rounds)
