"""SECURITY.md: its table is what the code computes, and what it names exists."""

import re
from pathlib import Path

import numpy as np
import pytest
import tenseal
import tenseal.sealapi as seal

from fedcc.cli.main import build_parser
from fedcc.crypto.parameters import PLAIN_MODULUS, POLY_DEGREE
from fedcc.crypto.thresholds import threshold, tolerated_collusion_bound, tolerated_dropouts
from fedcc.privacy.accounting import epsilon_of_mu, mu_of_epsilon
from fedcc.privacy.excess_noise import noise_components

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "SECURITY.md").read_text()
SITES = (3, 4, 5, 10, 20, 100)
CLAIM, DELTA, COLLUSION = 1.0, 1e-5, 1  # what the table's caption says


def epsilon_seen(n: int, t: int, dropped: int, colluding: int) -> float:
    """Epsilon of a coalition that knows its own noise, where a coalition of f has the claim.

    In the way are n - d - c survivors, each with the variance that it keeps after d dropouts.
    """
    parts = noise_components(
        total_variance=1.0, n_sites=n, min_sites=t, collusion=COLLUSION, components=3
    )
    others = (n - dropped - colluding) * parts.kept(dropped)
    return epsilon_of_mu(mu_of_epsilon(CLAIM, DELTA) / others**0.5, DELTA)


def one_more_opens(n: int, t: int) -> str:
    """What the smallest coalition that is too large does to read one update."""
    too_many = tolerated_collusion_bound(n, t) + 1
    ways = []
    if too_many >= 2 * t - n:
        ways.append("have two survivor sets signed")
    if too_many >= t - 1:
        ways.append("be all but one of a sum")
    return " or ".join(ways)


def row(n: int) -> str:
    t = threshold(n, min_sites=1)
    lost, c = tolerated_dropouts(n, t), tolerated_collusion_bound(n, t)
    worst = max(epsilon_seen(n, t, dropped, c) for dropped in range(lost + 1))
    all_others = epsilon_seen(n, t, 0, n - 1)
    cells = (n, t, lost, c, t - c, f"{worst:.2f}", f"{all_others:.2f}", one_more_opens(n, t))
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


@pytest.mark.parametrize("n", SITES)
def test_the_table_says_what_the_code_computes(n: int) -> None:
    assert row(n) in PAGE.splitlines()


def test_a_row_with_another_number_would_be_noticed() -> None:
    rows = [line for line in PAGE.splitlines() if re.match(r"\| \d", line)]

    assert rows == [row(n) for n in SITES]  # and nothing else looks like a row


def test_coalitions_of_the_tolerated_size_have_the_claim_whoever_drops_out() -> None:
    for n in SITES:
        t = threshold(n, min_sites=1)
        for dropped in range(tolerated_dropouts(n, t) + 1):
            assert epsilon_seen(n, t, dropped, COLLUSION) <= CLAIM + 1e-9


def test_a_sum_of_128_ciphertexts_keeps_the_noise_budget_that_the_page_names() -> None:
    # Second source: SEAL's own measure of how far a ciphertext is from decrypting wrongly.
    context = tenseal.context(
        tenseal.SCHEME_TYPE.BFV,
        POLY_DEGREE,
        PLAIN_MODULUS,
        coeff_mod_bit_sizes=[60, 49],
        encryption_type=tenseal.ENCRYPTION_TYPE.SYMMETRIC,
        n_threads=1,
    )
    native, secret = context.seal_context().data, context.secret_key().data
    encryptor, adder = seal.Encryptor(native, secret), seal.Evaluator(native)
    rng, plain, total = np.random.default_rng(1), seal.Plaintext(), None
    for _ in range(128):
        slots = rng.integers(0, PLAIN_MODULUS, POLY_DEGREE).tolist()
        seal.BatchEncoder(native).encode(slots, plain)
        fresh = seal.Ciphertext()
        encryptor.encrypt_symmetric(plain, fresh)
        total = fresh if total is None else adder.add_inplace(total, fresh) or total

    assert "after 128 of them at least 4 of 9 bits" in PAGE
    assert seal.Decryptor(native, secret).invariant_noise_budget(fresh) >= 8  # varies by one
    assert seal.Decryptor(native, secret).invariant_noise_budget(total) >= 4


def test_every_file_that_the_page_names_exists() -> None:
    names = re.findall(r"`((?:fedcc|tests|simulations|notebooks|configs)/[\w./*-]+)`", PAGE)

    assert len(names) >= 5
    assert [name for name in names if not list(ROOT.glob(name))] == []


def test_every_command_that_the_page_names_exists(capsys: pytest.CaptureFixture[str]) -> None:
    words = re.findall(r"`fedcc ((?:keys)(?: roster)? [a-z]+)", PAGE)

    assert len(words) >= 4
    for command in words:
        with pytest.raises(SystemExit) as stopped:
            build_parser().parse_args([*command.split(), "--help"])
        assert stopped.value.code == 0
    assert "usage" in capsys.readouterr().out


def test_the_page_is_short_enough_to_read() -> None:
    assert len(PAGE.splitlines()) <= 200
