import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import networkx
import numpy as np
import pytest
from crypto.by_hand import expand_by_hand, hkdf_by_hand
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fedcc.crypto.masks import (
    MaskEntry,
    add_mod,
    digest_chunks,
    dropped_pairs,
    expand,
    hash_chunks,
    key_stream,
    masks_of_survivors,
    pairwise_mask,
    self_mask,
    subtract_mod,
    transcript_hash,
)
from fedcc.crypto.packing import pack
from fedcc.crypto.parameters import PLAIN_MODULUS, POLY_DEGREE
from fedcc.errors import ProtocolError

VECTORS = Path(__file__).parents[1] / "vectors"
EXPANDED = json.loads((VECTORS / "expand.json").read_text())["expand"]

COHORT = ("aveiro", "braga", "coimbra", "faro")
ENTRY = MaskEntry("run-1", 4, 3, 1, COHORT, bytes(range(32)), 0)
SEED = hashlib.sha256(b"a seed").digest()

# Keys are fixed, so these tests do not flicker; the level says how rarely a sound key would fail.
LEVEL = 1e-4

OTHER_ENTRIES = {
    "run": replace(ENTRY, run="run-2"),
    "number": replace(ENTRY, number=5),
    "round": replace(ENTRY, round_number=4),
    "attempt": replace(ENTRY, attempt=2),
    "cohort": replace(ENTRY, cohort=COHORT[:3]),
    "order of the cohort": replace(ENTRY, cohort=COHORT[::-1]),
    "epoch": replace(ENTRY, session=bytes(32)),
    "neighbours": replace(ENTRY, neighbours=2),
}


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


def test_a_key_stream_goes_on_where_it_stopped() -> None:
    whole, pieces = key_stream(SEED), key_stream(SEED)

    assert whole(100) == pieces(1) + pieces(0) + pieces(62) + pieces(37)


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
    (replace(ENTRY, number=1, round_number=12), replace(ENTRY, number=11, round_number=2)),
    (replace(ENTRY, number=3, round_number=4), ENTRY),
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


# Masks that the sum over the survivors still carries; with real keys in test_dropouts.py


def seeds_of(sites: Sequence[str]) -> dict[str, bytes]:
    return {site: hashlib.sha256(site.encode()).digest() for site in sites}


def masked_sum(survivors: Sequence[str], slots: np.ndarray) -> np.ndarray:
    """What is on the sum of the survivors' uploads, each of which masked with the whole cohort."""
    pads = masks_of(ENTRY, slots.size)
    seeds = seeds_of(survivors)
    masks = [self_mask(seeds[site], site, ENTRY, slots.size) for site in survivors]
    total = total_mod([slots, *masks, *(pads[site] for site in survivors)])
    return np.array(total, dtype=np.uint64)


def recovered(survivors: Sequence[str]) -> dict[tuple[str, str], bytes]:
    return {(d, s): secrets_of(d, COHORT)[s] for d, s in dropped_pairs(ENTRY, survivors)}


@pytest.mark.parametrize("survivors", [COHORT, COHORT[1:], COHORT[:1], ("braga", "faro")])
def test_masks_of_the_survivors_are_what_their_sum_carries(survivors: Sequence[str]) -> None:
    masked = masked_sum(survivors, np.arange(4))

    masks = masks_of_survivors(ENTRY, seeds_of(survivors), recovered(survivors), 4)

    assert subtract_mod(masked, masks).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("wrong", ["seed", "pair", "pair turned round"])
def test_one_wrong_seed_or_secret_leaves_the_sum_closed(wrong: str) -> None:
    survivors = COHORT[1:]
    seeds, pairs = seeds_of(survivors), recovered(survivors)
    if wrong == "seed":
        seeds["faro"] = SEED
    elif wrong == "pair":
        pairs["aveiro", "faro"] = SEED
    else:
        turned = pairs["aveiro", "faro"], pairs["aveiro", "braga"]
        pairs["aveiro", "braga"], pairs["aveiro", "faro"] = turned

    masks = masks_of_survivors(ENTRY, seeds, pairs, 100)

    assert np.all(subtract_mod(masked_sum(survivors, np.zeros(100, dtype=int)), masks) != 0)


def test_the_secret_of_a_dropped_pair_may_not_be_missing() -> None:
    pairs = recovered(COHORT[1:])
    del pairs["aveiro", "coimbra"]

    with pytest.raises(ValueError, match="aveiro and coimbra"):
        masks_of_survivors(ENTRY, seeds_of(COHORT[1:]), pairs, 1)


def test_a_survivor_outside_the_cohort_is_refused() -> None:
    # Passed over, it would be missing in what the others sign; added, the sum would stay closed.
    strangers = seeds_of((*COHORT, "porto"))

    with pytest.raises(ProtocolError, match="cohort"):
        masks_of_survivors(ENTRY, strangers, {}, 1)
    with pytest.raises(ProtocolError, match="cohort"):
        transcript_hash(ENTRY, HASHES, strangers, strangers)


def test_dropped_pairs_are_those_that_masked_with_each_other() -> None:
    along_a_ring = ring(5, 2)  # s0 masks with s4 and s1

    assert dropped_pairs(along_a_ring, ("s1", "s2", "s3")) == [("s0", "s1"), ("s4", "s3")]
    assert set(dropped_pairs(ENTRY, ("braga", "faro"))) == {
        (dropped, peer) for dropped in ("aveiro", "coimbra") for peer in ("braga", "faro")
    }
    assert dropped_pairs(ENTRY, COHORT) == []


# What an upload gives away


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


# The transcript; commitments are in test_entries.py


HASHES = [hashlib.sha256(bytes([i])).digest() for i in range(3)]
UPLOADS = {site: hashlib.sha256(f"header of {site}".encode()).digest() for site in COHORT}
COMMITMENTS = {site: hashlib.sha256(f"seed of {site}".encode()).digest() for site in COHORT}


def swapped(values: Mapping[str, bytes]) -> dict[str, bytes]:
    return {**values, "faro": values["braga"], "braga": values["faro"]}


def without(values: Mapping[str, bytes], site: str) -> dict[str, bytes]:
    return {name: value for name, value in values.items() if name != site}


def test_the_transcript_is_the_same_for_the_same_inputs() -> None:
    turned = [dict(reversed(part.items())) for part in (UPLOADS, COMMITMENTS)]

    # The order of a mapping says nothing.
    assert transcript_hash(ENTRY, HASHES, UPLOADS, COMMITMENTS) == transcript_hash(
        ENTRY, HASHES, *turned
    )


def test_the_transcript_changes_with_every_input() -> None:
    entries = [ENTRY, *OTHER_ENTRIES.values(), replace(ENTRY, cohort=(*COHORT, "porto"))]
    chunks = [HASHES[:2], HASHES[::-1], [*HASHES, bytes(32)], []]
    parts = [
        (UPLOADS | {"faro": bytes(32)}, COMMITMENTS),
        (UPLOADS, COMMITMENTS | {"faro": bytes(32)}),
        (swapped(UPLOADS), COMMITMENTS),
        (UPLOADS, swapped(COMMITMENTS)),
        (swapped(UPLOADS), swapped(COMMITMENTS)),
        (COMMITMENTS, UPLOADS),
    ]
    known = COHORT[:3]  # the survivors that every entry knows
    few = [{site: part[site] for site in known} for part in (UPLOADS, COMMITMENTS)]

    transcripts = [
        *(transcript_hash(entry, HASHES, *few) for entry in entries),
        *(transcript_hash(ENTRY, hashes, UPLOADS, COMMITMENTS) for hashes in chunks),
        *(transcript_hash(ENTRY, HASHES, *part) for part in [(UPLOADS, COMMITMENTS), *parts]),
    ]

    assert len(set(transcripts)) == len(transcripts)


def test_every_survivor_set_has_a_transcript_of_its_own() -> None:
    sets = [
        {site for place, site in enumerate(COHORT) if chosen >> place & 1}
        for chosen in range(2 ** len(COHORT))
    ]

    transcripts = {
        transcript_hash(ENTRY, HASHES, {site: UPLOADS[site] for site in survivors}, COMMITMENTS)
        for survivors in sets
    }

    assert len(transcripts) == len(sets)


def test_a_commitment_of_a_dropped_site_is_no_part_of_the_transcript() -> None:
    survivors = without(UPLOADS, "faro")

    left = transcript_hash(ENTRY, HASHES, survivors, COMMITMENTS)

    assert left == transcript_hash(ENTRY, HASHES, survivors, without(COMMITMENTS, "faro"))


def test_a_survivor_without_a_commitment_is_refused() -> None:
    with pytest.raises(ProtocolError, match="commitment"):
        transcript_hash(ENTRY, HASHES, UPLOADS, without(COMMITMENTS, "faro"))


def test_bytes_cannot_move_between_the_parts_of_a_transcript() -> None:
    # All of these have the same concatenation of chunk hashes, header hash and commitment.
    stream = bytes(range(128))
    entry = replace(ENTRY, cohort=("aveiro",))
    cuts = [(0, 32, 64, 96), (0, 64, 96), (0, 32, 32, 64, 96), (0, 31, 64, 96), (0, 96), (0, 32)]
    cuts += [(0, 32, 64, 95), (0, 64), (0, 128), (0, 0)]

    transcripts = {
        transcript_hash(
            entry,
            [stream[a:b] for a, b in pairwise(cut[:-1])],
            {"aveiro": stream[cut[-2] : cut[-1]]},
            {"aveiro": stream[cut[-1] :]},
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
