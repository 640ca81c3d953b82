"""The protocol's derivations against known answers that fedcc had no part in."""

import json
from pathlib import Path

import pytest
from crypto.by_hand import (
    combine_by_hand,
    counter_blocks,
    hkdf_by_hand,
    product_by_hand,
    protocol_vectors,
    public_by_hand,
    x25519_by_hand,
)

from fedcc.crypto import shamir
from fedcc.crypto.entries import Epoch, EpochAdvert, commitment, epoch_binding
from fedcc.crypto.keys import MaskKey
from fedcc.crypto.masks import MaskEntry, derive, pairwise_mask, self_mask, transcript_hash

VECTORS = Path(__file__).parents[1] / "vectors"
PUBLISHED = json.loads((VECTORS / "published.json").read_text())
RECORDED = json.loads((VECTORS / "protocol.json").read_text())
EPOCH, PADS, SHARES = RECORDED["epoch"], RECORDED["pads"], RECORDED["shares"]


def unhex(values: dict[str, str]) -> dict[str, bytes]:
    return {name: bytes.fromhex(value) for name, value in values.items()}


# The second sources against published vectors


def test_the_recorded_answers_are_those_of_the_second_sources() -> None:
    assert json.loads(json.dumps(protocol_vectors())) == RECORDED


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


def test_the_ladder_by_hand_matches_rfc_7748() -> None:
    vector = {name: bytes.fromhex(v) for name, v in PUBLISHED["rfc7748_6_1"].items() if v.isalnum()}

    shared = x25519_by_hand(vector["alice_private"], public_by_hand(vector["bob_private"]))

    assert shared == vector["shared"]


def test_products_by_hand_match_fips_197() -> None:
    assert product_by_hand(0x57, 0x83) == 0xC1  # section 4.2
    assert product_by_hand(0x57, 0x13) == 0xFE  # section 4.2.1


# fedcc against the recorded answers


def recorded_epoch() -> Epoch:
    counts = (EPOCH["number"], EPOCH["first_entry"], EPOCH["n_entries"], EPOCH["n_excess"])
    return Epoch(bytes.fromhex(EPOCH["session"]), *counts, shared=True)


def recorded_entry() -> MaskEntry:
    place = (PADS["run"], PADS["number"], PADS["round"], PADS["attempt"], tuple(PADS["cohort"]))
    return MaskEntry(*place, bytes.fromhex(PADS["session"]), neighbours=0)


def test_the_place_of_an_epoch_has_its_known_hash() -> None:
    assert recorded_epoch().digest.hex() == EPOCH["digest"]


@pytest.mark.parametrize("known", EPOCH["commitments"], ids=lambda k: f"{k['site']}-{k['part']}")
def test_a_commitment_has_its_known_value(known: dict[str, object]) -> None:
    seed = bytes.fromhex(str(known["seed"]))

    made = commitment(recorded_epoch(), known["number"], known["site"], known["part"], seed)

    assert made.hex() == known["commitment"]


@pytest.mark.parametrize("known", EPOCH["adverts"], ids=lambda known: known["site"])
def test_an_advert_signs_the_known_bytes(known: dict[str, str]) -> None:
    advert = EpochAdvert(known["site"], bytes.fromhex(known["parts"]), b"")

    assert advert.signed_bytes(recorded_epoch()).hex() == known["signed"]


def test_the_binding_of_an_epoch_has_its_known_value() -> None:
    adverts = [
        EpochAdvert(a["site"], bytes.fromhex(a["parts"]), bytes.fromhex(a["signature"]))
        for a in EPOCH["adverts"]
    ]

    assert epoch_binding(recorded_epoch(), adverts, EPOCH["key_id"]).hex() == EPOCH["binding"]


def test_mask_keys_have_their_known_public_keys_and_secret() -> None:
    aveiro, evora = (MaskKey(bytes.fromhex(private)) for private in PADS["private"])

    assert [aveiro.public.hex(), evora.public.hex()] == PADS["public"]
    assert aveiro.secret_with(evora.public).hex() == PADS["pair_secret"]
    assert evora.secret_with(aveiro.public).hex() == PADS["pair_secret"]


@pytest.mark.parametrize("kind", ["pair", "self"])
def test_keys_of_pads_have_their_known_values(kind: str) -> None:
    entry = recorded_entry()
    names = {"pair": ("aveiro", "évora"), "self": ("évora",)}[kind]
    secret = bytes.fromhex(PADS["pair_secret"] if kind == "pair" else PADS["self_seed"])

    info = entry.info(kind, *names)

    assert info.decode() == PADS[f"{kind}_info"]
    assert derive(secret, entry.session, info).hex() == PADS[f"{kind}_key"]


@pytest.mark.parametrize(("site", "peer"), [("aveiro", "évora"), ("évora", "aveiro")])
def test_pairwise_masks_have_their_known_values(site: str, peer: str) -> None:
    secrets = unhex({peer: PADS["pair_secret"], "faro": PADS["secret_with_faro"]})

    mask = pairwise_mask(site, secrets, recorded_entry(), 6)

    assert mask.tolist() == PADS[f"mask_of_{site.replace('é', 'e')}"]


def test_a_self_mask_has_its_known_values() -> None:
    mask = self_mask(bytes.fromhex(PADS["self_seed"]), "évora", recorded_entry(), 6)

    assert mask.tolist() == PADS["self_pad"]


def test_a_transcript_has_its_known_hash() -> None:
    known = PADS["transcript"]
    chunks = [bytes.fromhex(chunk) for chunk in known["chunk_hashes"]]

    made = transcript_hash(
        recorded_entry(), chunks, unhex(known["uploads"]), unhex(known["commitments"])
    )

    assert made.hex() == known["hash"]


def test_shares_have_their_known_values() -> None:
    secret, drawn = bytes.fromhex(SHARES["secret"]), bytes.fromhex(SHARES["drawn"])

    shares = shamir.split(
        secret, threshold=SHARES["threshold"], n_shares=255, source=lambda size: drawn[:size]
    )

    assert {p: shares[int(p) - 1].hex() for p in SHARES["shares"]} == SHARES["shares"]


def test_known_shares_give_the_known_secret_back_by_both_computations() -> None:
    shares = {int(point): bytes.fromhex(share) for point, share in SHARES["shares"].items()}
    some = dict(list(shares.items())[-SHARES["threshold"] :])

    assert shamir.combine(some, threshold=4).hex() == SHARES["secret"]
    assert combine_by_hand(some).hex() == SHARES["secret"]
