import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import networkx
import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fedcc.crypto.masks import (
    MaskEntry,
    add_mod,
    commitments_match,
    digest_chunks,
    expand,
    hash_chunks,
    pairwise_mask,
    remove_self_masks,
    seed_commitment,
    self_mask,
    subtract_mod,
    transcript_hash,
)
from fedcc.crypto.packing import pack
from fedcc.crypto.parameters import PLAIN_MODULUS, POLY_DEGREE
from fedcc.errors import ProtocolError

VECTORS = Path(__file__).parent / "vectors"
PUBLISHED = json.loads((VECTORS / "published.json").read_text())
EXPANDED = json.loads((VECTORS / "expand.json").read_text())["expand"]

COHORT = ("aveiro", "braga", "coimbra", "faro")
ENTRY = MaskEntry("run-1", 3, 1, COHORT, bytes(range(32)), 0)
SEED = hashlib.sha256(b"a seed").digest()

# Keys are fixed, so these tests do not flicker; the level says how rarely a sound key would fail.
LEVEL = 1e-4

OTHER_ENTRIES = {
    "run": replace(ENTRY, run="run-2"),
    "round": replace(ENTRY, round_number=4),
    "attempt": replace(ENTRY, attempt=2),
    "cohort": replace(ENTRY, cohort=COHORT[:3]),
    "order of the cohort": replace(ENTRY, cohort=COHORT[::-1]),
    "roster": replace(ENTRY, session=bytes(32)),
}


# Second sources: AES-CTR block by block from ECB, HKDF from HMAC, both in plain Python.


def counter_blocks(key: bytes, counter: int) -> Iterator[bytes]:
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    while True:
        yield encryptor.update(counter.to_bytes(16, "big"))
        counter += 1


def expand_by_hand(key: bytes, size: int) -> list[int]:
    numbers: list[int] = []
    for block in counter_blocks(key, 0):
        if len(numbers) >= size:
            break
        for half in (block[:8], block[8:]):
            number = int.from_bytes(half, "little") % 2**46
            if number < PLAIN_MODULUS:
                numbers.append(number)
    return numbers[:size]


def hkdf_by_hand(secret: bytes, salt: bytes, info: bytes, size: int = 32) -> bytes:
    pseudorandom_key = hmac.digest(salt, secret, "sha256")
    block, output = b"", b""
    for counter in range(1, -(-size // 32) + 1):
        block = hmac.digest(pseudorandom_key, block + info + bytes([counter]), "sha256")
        output += block
    return output[:size]


def secrets_of(site: str, cohort: Sequence[str]) -> dict[str, bytes]:
    """One secret per pair, the same at both ends, as X25519 gives."""
    pairs = {peer: json.dumps(sorted((site, peer))) for peer in cohort if peer != site}
    return {peer: hashlib.sha256(pair.encode()).digest() for peer, pair in pairs.items()}


def masks_of(entry: MaskEntry, size: int) -> dict[str, np.ndarray]:
    cohort = entry.cohort
    return {site: pairwise_mask(site, secrets_of(site, cohort), entry, size) for site in cohort}


def total_mod(vectors: Sequence[np.ndarray]) -> list[int]:
    columns = zip(*(vector.tolist() for vector in vectors), strict=True)
    return [sum(column) % PLAIN_MODULUS for column in columns]


def p_value_of_uniformity(slots: np.ndarray, bins: int = 64) -> float:
    counts = np.bincount((slots.astype(object) * bins // PLAIN_MODULUS).astype(int), minlength=bins)
    return float(stats.chisquare(counts).pvalue)


def test_the_block_by_block_computation_matches_nist() -> None:
    vector = PUBLISHED["sp800_38a_f_5_5"]
    plaintext = bytes.fromhex(vector["plaintext"])
    blocks = counter_blocks(bytes.fromhex(vector["key"]), int(vector["counter"], 16))

    stream = b"".join(next(blocks) for _ in range(4))

    ciphertext = bytes(a ^ b for a, b in zip(stream, plaintext, strict=True))
    assert ciphertext.hex() == vector["ciphertext"]


def test_hkdf_by_hand_matches_rfc_5869() -> None:
    vector = PUBLISHED["rfc5869_a_1"]
    secret, salt, info = (bytes.fromhex(vector[name]) for name in ("ikm", "salt", "info"))

    assert hkdf_by_hand(secret, salt, info, 42).hex() == vector["okm"]


# expand()


@pytest.mark.parametrize("vector", EXPANDED, ids=lambda vector: vector["key"][:8])
def test_expand_gives_the_known_answers(vector: Mapping[str, object]) -> None:
    start, values = vector["start"], vector["values"]

    numbers = expand(bytes.fromhex(vector["key"]), start + len(values))

    assert numbers[start:].tolist() == values


@given(key=st.binary(min_size=32, max_size=32), size=st.integers(0, 40))
def test_expand_is_aes_256_ctr_from_counter_zero(key: bytes, size: int) -> None:
    assert expand(key, size).tolist() == expand_by_hand(key, size)


@given(sizes=st.tuples(st.integers(0, 700), st.integers(0, 700)))
def test_a_longer_expansion_continues_a_shorter_one(sizes: tuple[int, int]) -> None:
    # The key of the last vector, where a rejected word lies at position 672.
    key = bytes.fromhex(EXPANDED[-1]["key"])
    short, long = sorted(sizes)

    assert expand(key, long)[:short].tolist() == expand(key, short).tolist()


def test_expand_is_uniform_over_the_plain_modulus() -> None:
    assert p_value_of_uniformity(expand(SEED, 1 << 17)) > LEVEL


def test_the_low_bits_of_expand_are_uniform() -> None:
    counts = np.bincount(expand(SEED, 1 << 17) % 256, minlength=256)

    assert stats.chisquare(counts).pvalue > LEVEL


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33])
def test_expand_refuses_a_key_of_another_length(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        expand(bytes(size), 1)


# Arithmetic mod t

ELEMENTS = st.one_of(
    st.integers(0, PLAIN_MODULUS - 1), st.sampled_from([0, 1, PLAIN_MODULUS - 2, PLAIN_MODULUS - 1])
)


@given(left=ELEMENTS, right=ELEMENTS)
def test_addition_mod_t_matches_python_integers(left: int, right: int) -> None:
    total = add_mod(np.array([left], dtype=np.uint64), np.array([right], dtype=np.uint64))

    assert total.tolist() == [(left + right) % PLAIN_MODULUS]


@given(left=ELEMENTS, right=ELEMENTS)
def test_subtraction_mod_t_matches_python_integers(left: int, right: int) -> None:
    rest = subtract_mod(np.array([left], dtype=np.uint64), np.array([right], dtype=np.uint64))

    assert rest.tolist() == [(left - right) % PLAIN_MODULUS]


# Pairwise masks

cohorts = st.lists(st.text(max_size=4), min_size=2, max_size=7, unique=True).map(tuple)


def test_a_pair_key_is_hkdf_of_the_shared_secret_and_the_entry() -> None:
    entry = replace(ENTRY, cohort=("aveiro", "braga"))
    secret = secrets_of("aveiro", entry.cohort)["braga"]
    key = hkdf_by_hand(secret, entry.session, entry.info("pair", "aveiro", "braga"))

    mask = pairwise_mask("aveiro", {"braga": secret}, entry, 20)

    assert mask.tolist() == expand_by_hand(key, 20)


@settings(deadline=None)
@given(cohort=cohorts)
def test_pairwise_masks_cancel_over_any_cohort(cohort: tuple[str, ...]) -> None:
    masks = masks_of(replace(ENTRY, cohort=cohort), 5)

    assert total_mod(list(masks.values())) == [0] * 5


@settings(deadline=None)
@given(cohort=cohorts, missing=st.integers(0, 6))
def test_pairwise_masks_do_not_cancel_without_one_upload(
    cohort: tuple[str, ...], missing: int
) -> None:
    masks = masks_of(replace(ENTRY, cohort=cohort), 5)
    del masks[cohort[missing % len(cohort)]]

    assert 0 not in total_mod(list(masks.values()))


@pytest.mark.parametrize("other", OTHER_ENTRIES.values(), ids=OTHER_ENTRIES)
def test_a_pairwise_mask_is_never_used_for_another_entry(other: MaskEntry) -> None:
    pads = [pairwise_mask("braga", secrets_of("braga", COHORT), e, 100) for e in (ENTRY, other)]

    assert not np.any(pads[0] == pads[1])


def test_two_pairs_with_one_secret_still_have_different_masks() -> None:
    # A site that advertises another's public key does not make two pads equal.
    secrets = dict.fromkeys(("braga", "coimbra"), SEED)
    pads = [
        pairwise_mask("aveiro", secrets, replace(ENTRY, cohort=("aveiro", peer)), 100)
        for peer in secrets
    ]

    assert not np.any(pads[0] == pads[1])


def test_a_missing_shared_secret_is_refused() -> None:
    secrets = secrets_of("aveiro", COHORT)
    del secrets["faro"]

    with pytest.raises(ValueError, match="faro"):
        pairwise_mask("aveiro", secrets, ENTRY, 1)


def test_a_site_outside_the_cohort_gets_no_mask() -> None:
    with pytest.raises(ValueError, match="porto"):
        pairwise_mask("porto", secrets_of("porto", COHORT), ENTRY, 1)


def test_a_cohort_that_names_a_site_twice_is_refused() -> None:
    # Alone with itself a site would upload without any pairwise mask.
    with pytest.raises(ProtocolError, match="twice"):
        replace(ENTRY, cohort=("aveiro", "aveiro", "aveiro"))


AMBIGUOUS = [
    (replace(ENTRY, cohort=("a|b", "c")), replace(ENTRY, cohort=("a", "b|c"))),
    (replace(ENTRY, cohort=("a", "b")), replace(ENTRY, cohort=('a", "b',))),
    (replace(ENTRY, run="r|1", round_number=2), replace(ENTRY, run="r", round_number=12)),
    (replace(ENTRY, run='r", 1'), replace(ENTRY, run="r")),
    (replace(ENTRY, round_number=1, attempt=12), replace(ENTRY, round_number=11, attempt=2)),
]


@pytest.mark.parametrize(("left", "right"), AMBIGUOUS)
def test_no_choice_of_names_makes_two_entries_share_a_key(
    left: MaskEntry, right: MaskEntry
) -> None:
    assert left.info("pair", "a", "b") != right.info("pair", "a", "b")


@given(left=st.lists(st.text(), max_size=3), right=st.lists(st.text(), max_size=3))
def test_different_names_never_share_a_key(left: list[str], right: list[str]) -> None:
    assert (ENTRY.info("pair", *left) == ENTRY.info("pair", *right)) == (left == right)


# Self masks and what an upload gives away


def test_a_self_mask_is_hkdf_of_the_seed_and_the_entry() -> None:
    key = hkdf_by_hand(SEED, ENTRY.session, ENTRY.info("self", "braga"))

    assert self_mask(SEED, "braga", ENTRY, 20).tolist() == expand_by_hand(key, 20)


@pytest.mark.parametrize("other", OTHER_ENTRIES.values(), ids=OTHER_ENTRIES)
def test_a_self_mask_is_never_used_for_another_entry(other: MaskEntry) -> None:
    pads = [self_mask(SEED, "braga", entry, 100) for entry in (ENTRY, other)]

    assert not np.any(pads[0] == pads[1])


def test_self_masks_of_two_sites_with_one_seed_differ() -> None:
    pads = [self_mask(SEED, site, ENTRY, 100) for site in ("braga", "faro")]

    assert not np.any(pads[0] == pads[1])


def test_removing_all_self_masks_leaves_the_sum() -> None:
    seeds = {site: hashlib.sha256(site.encode()).digest() for site in COHORT}
    masks = [self_mask(seeds[site], site, ENTRY, 4) for site in COHORT]
    masked = np.array(total_mod([np.arange(4), *masks]), dtype=np.uint64)

    assert remove_self_masks(masked, seeds, ENTRY).tolist() == [0, 1, 2, 3]


def test_one_wrong_seed_leaves_the_sum_closed() -> None:
    seeds = {site: hashlib.sha256(site.encode()).digest() for site in COHORT}
    masks = [self_mask(seeds[site], site, ENTRY, 100) for site in COHORT]
    masked = np.array(total_mod([np.zeros(100, dtype=int), *masks]), dtype=np.uint64)
    seeds["faro"] = SEED

    assert np.all(remove_self_masks(masked, seeds, ENTRY) != 0)


UPDATES = {
    "zeros": np.zeros(2 * 8 * POLY_DEGREE, dtype=np.int64),
    "largest": np.full(2 * 8 * POLY_DEGREE, (1 << 22) - 1),
    "most negative": np.full(2 * 8 * POLY_DEGREE, 1 - (1 << 22)),
    "ramp": np.arange(-8 * POLY_DEGREE, 8 * POLY_DEGREE),
}


def slots_seen_by_a_key_holder(bfv, update: np.ndarray, *, masked: bool) -> np.ndarray:
    """Encrypt an upload and open it with the real epoch key."""
    slots = pack(update, 2)
    if masked:
        pads = pairwise_mask("braga", secrets_of("braga", COHORT), ENTRY, slots.size)
        slots = add_mod(add_mod(slots, pads), self_mask(SEED, "braga", ENTRY, slots.size))
    return bfv.site.decrypt(bfv.site.encrypt(slots), slots.size)


@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES)
def test_a_masked_upload_is_uniform_even_to_a_holder_of_the_epoch_key(bfv, update) -> None:
    seen = slots_seen_by_a_key_holder(bfv, update, masked=True)

    assert p_value_of_uniformity(seen) > LEVEL


def test_an_unmasked_upload_is_far_from_uniform(bfv) -> None:
    seen = slots_seen_by_a_key_holder(bfv, UPDATES["zeros"], masked=False)

    assert p_value_of_uniformity(seen) < 1e-100


def test_opposite_updates_cannot_be_told_apart_behind_their_masks(bfv) -> None:
    # Each behind masks of its own, as in two rounds; two-sample test over 32 cells of a slot.
    seen = []
    for seed, name in ((b"left", "largest"), (b"right", "most negative")):
        slots = pack(UPDATES[name], 2)
        masked = add_mod(slots, self_mask(seed.ljust(32), "braga", ENTRY, slots.size))
        seen.append(bfv.site.decrypt(bfv.site.encrypt(masked), slots.size))

    assert stats.ks_2samp(*seen).pvalue > LEVEL


def test_neighbouring_slots_of_a_masked_constant_are_uncorrelated(bfv) -> None:
    seen = slots_seen_by_a_key_holder(bfv, UPDATES["largest"], masked=True).astype(float)

    # The correlation of n independent pairs has standard deviation 1/sqrt(n); 5 of them.
    assert abs(np.corrcoef(seen[:-1], seen[1:])[0, 1]) < 5 / np.sqrt(seen.size)


# Commitments and the transcript


def committed() -> tuple[dict[str, bytes], dict[str, bytes]]:
    seeds = {site: hashlib.sha256(site.encode()).digest() for site in COHORT}
    return seeds, {site: seed_commitment(seeds[site], site, ENTRY) for site in COHORT}


def test_the_seeds_that_were_committed_to_are_accepted() -> None:
    seeds, commitments = committed()

    assert commitments_match(seeds, commitments, ENTRY)


@pytest.mark.parametrize("wrong", [SEED, b"", bytes(31)])
def test_another_seed_is_refused(wrong: bytes) -> None:
    seeds, commitments = committed()
    seeds["faro"] = wrong

    assert not commitments_match(seeds, commitments, ENTRY)


def test_two_sites_cannot_swap_their_seeds() -> None:
    seeds, commitments = committed()
    seeds["faro"], seeds["braga"] = seeds["braga"], seeds["faro"]

    assert not commitments_match(seeds, commitments, ENTRY)


@pytest.mark.parametrize("which", [0, 1])
def test_a_missing_seed_or_commitment_is_refused(which: int) -> None:
    both = committed()
    del both[which]["faro"]

    assert not commitments_match(*both, ENTRY)


@pytest.mark.parametrize("other", OTHER_ENTRIES.values(), ids=OTHER_ENTRIES)
def test_a_commitment_does_not_hold_for_another_entry(other: MaskEntry) -> None:
    assert seed_commitment(SEED, "braga", ENTRY) != seed_commitment(SEED, "braga", other)


def test_two_sites_with_one_seed_have_different_commitments() -> None:
    # Otherwise a site could copy the commitment of another.
    assert seed_commitment(SEED, "braga", ENTRY) != seed_commitment(SEED, "faro", ENTRY)


def test_a_commitment_does_not_show_the_seed() -> None:
    assert SEED not in seed_commitment(SEED, "braga", ENTRY)


HASHES = [hashlib.sha256(bytes([i])).digest() for i in range(3)]


def test_the_transcript_is_the_same_for_the_same_inputs() -> None:
    _, commitments = committed()

    turned = dict(reversed(commitments.items()))  # the order of a mapping says nothing

    assert transcript_hash(ENTRY, HASHES, commitments) == transcript_hash(ENTRY, HASHES, turned)


def test_the_transcript_changes_with_every_input() -> None:
    _, commitments = committed()
    swapped = commitments | {"faro": commitments["braga"], "braga": commitments["faro"]}
    transcripts = [
        transcript_hash(ENTRY, HASHES, commitments),
        *(transcript_hash(entry, HASHES, commitments) for entry in OTHER_ENTRIES.values()),
        transcript_hash(ENTRY, HASHES[:2], commitments),
        transcript_hash(ENTRY, HASHES[::-1], commitments),
        transcript_hash(ENTRY, [*HASHES, bytes(32)], commitments),
        transcript_hash(ENTRY, HASHES, commitments | {"faro": bytes(32)}),
        transcript_hash(ENTRY, HASHES, swapped),
    ]

    assert len(set(transcripts)) == len(transcripts)


def test_bytes_cannot_move_between_the_parts_of_a_transcript() -> None:
    # All of these have the same concatenation of chunk hashes and commitments.
    stream = bytes(range(96))
    entry = replace(ENTRY, cohort=("aveiro",))
    cuts = [(0, 32, 64), (0, 64), (0, 32, 32, 64), (0, 31, 64), (0, 96), (0,)]

    transcripts = {
        transcript_hash(
            entry, [stream[a:b] for a, b in pairwise(cut)], {"aveiro": stream[cut[-1] :]}
        )
        for cut in cuts
    }

    assert len(transcripts) == len(cuts)


def test_chunk_hashes_are_plain_sha_256() -> None:
    assert hash_chunks([b"", b"abc"]) == [
        # FIPS 180-2, appendix B.1, and the hash of nothing.
        bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        bytes.fromhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ]


def test_bytes_cannot_move_between_the_chunks_of_a_digest() -> None:
    cuts = [[b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"abc", b""], [b"", b"abc"]]

    assert len({digest_chunks(chunks) for chunks in cuts}) == len(cuts)


# Masks along a ring


def ring(size: int, neighbours: int) -> MaskEntry:
    return replace(ENTRY, cohort=tuple(f"s{i}" for i in range(size)), neighbours=neighbours)


@pytest.mark.parametrize(("size", "neighbours"), [(5, 2), (9, 4), (12, 6), (6, 4), (4, 4), (3, 2)])
def test_masks_along_a_ring_cancel_in_the_sum(size: int, neighbours: int) -> None:
    masks = masks_of(ring(size, neighbours), 40)

    assert total_mod(list(masks.values())) == [0] * 40


@pytest.mark.parametrize(("size", "neighbours"), [(9, 2), (9, 4), (12, 6), (20, 8)])
def test_the_ring_stays_connected_when_fewer_sites_than_neighbours_are_taken_out(
    size: int, neighbours: int
) -> None:
    entry = ring(size, neighbours)
    graph = networkx.Graph((site, peer) for site in entry.cohort for peer in entry.peers(site))

    # The second source: networkx computes vertex connectivity by maximum flow (Menger's theorem).
    assert networkx.node_connectivity(graph) == neighbours
    assert {degree for _, degree in graph.degree} == {neighbours}


def test_as_many_colluding_sites_as_neighbours_cut_a_site_off() -> None:
    # The twin, and the reason why a plan needs more neighbours than tolerated colluding sites.
    entry = ring(9, 2)
    masks = masks_of(entry, 8)
    secrets = secrets_of("s4", entry.cohort)
    known = pairwise_mask("s4", {peer: secrets[peer] for peer in ("s3", "s5")}, entry, 8)

    np.testing.assert_array_equal(masks["s4"], known)


def test_peers_are_mutual_and_all_others_where_the_cohort_is_small() -> None:
    entry = ring(9, 4)

    assert entry.peers("s0") == ("s7", "s8", "s1", "s2")
    assert all(site in entry.peers(peer) for site in entry.cohort for peer in entry.peers(site))
    assert set(ring(5, 4).peers("s0")) == {"s1", "s2", "s3", "s4"}
    assert set(ring(9, 0).peers("s0")) == {f"s{i}" for i in range(1, 9)}


@pytest.mark.parametrize("neighbours", [-2, 1, 3])
def test_an_odd_or_negative_number_of_neighbours_is_refused(neighbours: int) -> None:
    with pytest.raises(ProtocolError, match="even"):
        ring(9, neighbours)


def test_another_number_of_neighbours_gives_other_pads() -> None:
    few, more = masks_of(ring(9, 2), 8), masks_of(ring(9, 4), 8)

    assert not np.array_equal(few["s0"], more["s0"])
