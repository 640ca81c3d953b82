"""Secret sharing: the field is that of AES, any threshold of shares suffice, fewer say nothing."""

import itertools
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from fedcc.crypto.shamir import combine, multiply, split


def by_hand(left: int, right: int) -> int:
    """Multiply as on paper: add shifted copies, reduce by x^8 + x^4 + x^3 + x + 1."""
    product = 0
    for bit in range(8):
        if right >> bit & 1:
            product ^= left << bit
    for bit in range(15, 7, -1):
        if product >> bit & 1:
            product ^= 0x11B << (bit - 8)
    return product


def test_products_are_those_of_fips_197() -> None:
    assert multiply(0x57, 0x83) == 0xC1  # section 4.2
    assert multiply(0x57, 0x13) == 0xFE  # section 4.2.1
    assert multiply(0x53, 0xCA) == 0x01  # inverses, section 5.1.1's S-box rests on them


def test_every_product_is_that_of_paper_and_pencil() -> None:
    for left, right in itertools.product(range(256), range(256)):
        assert multiply(left, right) == by_hand(left, right)


@given(
    secret=st.binary(max_size=40),
    places=st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))),
    order=st.randoms(use_true_random=False),
)
def test_any_threshold_of_shares_give_the_secret_back(secret, places, order) -> None:  # type: ignore[no-untyped-def]
    n_shares, threshold = places
    shares = dict(
        enumerate(split(secret, threshold=threshold, n_shares=n_shares, source=os.urandom), start=1)
    )
    chosen = order.sample(sorted(shares), threshold)

    assert combine({point: shares[point] for point in chosen}, threshold=threshold) == secret


def test_shares_of_a_known_polynomial_lie_on_it() -> None:
    # f(x) = 0x2A + 0x03 x + 0x80 x^2; the source gives the highest power first.
    drawn = bytes([0x80, 0x03])

    shares = split(b"\x2a", threshold=3, n_shares=255, source=lambda size: drawn[:size])

    for point, share in enumerate(shares, start=1):
        expected = 0x2A ^ by_hand(0x03, point) ^ by_hand(0x80, by_hand(point, point))
        assert share == bytes([expected])


def test_one_share_too_few_is_refused_and_says_nothing() -> None:
    secret = bytes(1)  # the worst secret to hide: always the same byte
    seen = np.zeros(256)
    for _ in range(8192):
        first, second, _ = split(secret, threshold=3, n_shares=3, source=os.urandom)
        with pytest.raises(ValueError, match="too few"):
            combine({1: first, 2: second}, threshold=3)
        # The third share that a guesser needs is as likely to be any byte.
        seen[combine({1: first, 2: second, 3: b"\x00"}, threshold=3)[0]] += 1

    assert chisquare(seen).pvalue > 1e-6  # uniform; a tie to the secret would give 0


def test_without_random_coefficients_two_shares_would_tell_the_secret() -> None:
    shares = split(b"\x2a", threshold=3, n_shares=3, source=bytes)

    assert set(shares) == {b"\x2a"}  # the twin: a source of zeros hides nothing


def test_an_altered_share_gives_another_secret() -> None:
    shares = dict(enumerate(split(b"secret", threshold=2, n_shares=3, source=os.urandom), start=1))
    shares[1] = bytes([shares[1][0] ^ 1]) + shares[1][1:]

    assert combine(shares, threshold=2) != b"secret"


@pytest.mark.parametrize(("threshold", "n_shares"), [(0, 3), (4, 3), (2, 256)])
def test_impossible_sharings_are_refused(threshold: int, n_shares: int) -> None:
    with pytest.raises(ValueError, match="cannot share"):
        split(b"x", threshold=threshold, n_shares=n_shares, source=os.urandom)


@pytest.mark.parametrize("shares", [{0: b"a", 1: b"b"}, {1: b"a", 256: b"b"}, {1: b"a", 2: b"bc"}])
def test_shares_that_cannot_belong_together_are_refused(shares: dict[int, bytes]) -> None:
    with pytest.raises(ValueError):
        combine(shares, threshold=2)
