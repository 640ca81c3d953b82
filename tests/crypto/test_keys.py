import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from crypto.by_hand import hkdf_by_hand, public_by_hand, x25519_by_hand
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcc.crypto.keys import (
    Advert,
    ChannelKey,
    MaskKey,
    SiteKeys,
    roster_hash,
    verify_roster,
    verify_signature,
)
from fedcc.errors import EnvelopeError, ProtocolError, RecordError

PUBLISHED = json.loads((Path(__file__).parents[1] / "vectors" / "published.json").read_text())
RUN = "run-1"
NAMES = ("aveiro", "braga", "coimbra")
LABEL = "shares|epoch 1|aveiro"
SECRET = b"a share"

# RFC 7748, section 6.1: the all-zero result of these points must be refused; from the list of
# points of small order at cr.yp.to/ecdh.html.
LOW_ORDER_POINTS = [
    bytes(32),
    (1).to_bytes(32, "little"),
    (2**255 - 20).to_bytes(32, "little"),  # p - 1
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
]


keys_of_32_bytes = st.binary(min_size=32, max_size=32)


@pytest.fixture(scope="module")
def keys() -> dict[str, SiteKeys]:
    return {name: SiteKeys.create() for name in NAMES}


@pytest.fixture(scope="module")
def adverts(keys) -> dict[str, Advert]:
    return {name: site.advert(name, RUN) for name, site in keys.items()}


@pytest.fixture(scope="module")
def trusted(keys) -> dict[str, bytes]:
    return {name: site.identity for name, site in keys.items()}


@pytest.fixture(scope="module")
def channels() -> dict[str, ChannelKey]:
    return {name: ChannelKey.create() for name in NAMES}


# Primitives against published vectors


def test_signatures_are_ed25519() -> None:
    vector = PUBLISHED["rfc8032_7_1_test_1"]
    site = SiteKeys(bytes.fromhex(vector["private"]))

    assert site.identity.hex() == vector["public"]
    assert site.sign(b"").hex() == vector["signature"]


def test_mask_secrets_are_x25519() -> None:
    vector = PUBLISHED["rfc7748_6_1"]
    alice, bob = (MaskKey(bytes.fromhex(vector[f"{name}_private"])) for name in ("alice", "bob"))

    assert alice.secret_with(bob.public).hex() == vector["shared"]
    assert bob.secret_with(alice.public).hex() == vector["shared"]


@given(private=keys_of_32_bytes, peer=keys_of_32_bytes)
@settings(deadline=None, max_examples=20)
def test_mask_secrets_are_those_of_the_ladder_by_hand(private: bytes, peer: bytes) -> None:
    key, other = MaskKey(private), MaskKey(peer)

    assert key.public == public_by_hand(private)
    assert key.secret_with(other.public) == x25519_by_hand(private, public_by_hand(peer))


@pytest.mark.parametrize("raw", [b"", bytes(31), bytes(33)], ids=len)
def test_a_mask_key_of_another_length_is_refused(raw: bytes) -> None:
    with pytest.raises(EnvelopeError, match="^a private key cannot be used$"):
        MaskKey(raw)


def test_a_channel_key_is_hkdf_of_the_secret_and_all_names(channels) -> None:
    # Second source: HKDF from HMAC, X25519 by the ladder, the info written out.
    private, peer = bytes(range(32)), channels["braga"].public
    public = public_by_hand(private)
    info = f'["fedcc/channel/v2", "{public.hex()}", "{peer.hex()}", "{LABEL}"]'.encode()
    key = hkdf_by_hand(x25519_by_hand(private, peer), bytes(32), info)

    sealed = ChannelKey(private).seal(peer, SECRET, LABEL)

    assert AESGCM(key).decrypt(sealed[:12], sealed[12:], LABEL.encode()) == SECRET


def test_two_pairs_have_different_mask_secrets() -> None:
    aveiro, braga, coimbra = (MaskKey(bytes([i]) * 32) for i in range(3))

    assert aveiro.secret_with(braga.public) != aveiro.secret_with(coimbra.public)


def test_fresh_keys_are_never_the_same() -> None:
    assert SiteKeys.create().to_json() != SiteKeys.create().to_json()
    assert ChannelKey.create().public != ChannelKey.create().public


# The sealed channel


def test_a_sealed_message_opens_at_its_receiver(channels) -> None:
    sealed = channels["braga"].seal(channels["aveiro"].public, SECRET, LABEL)

    assert channels["aveiro"].open(channels["braga"].public, sealed, LABEL) == SECRET


def test_a_dealer_can_seal_to_itself(channels) -> None:
    aveiro = channels["aveiro"]

    assert aveiro.open(aveiro.public, aveiro.seal(aveiro.public, SECRET, LABEL), LABEL) == SECRET


def test_a_sealed_message_hides_its_content(channels) -> None:
    public = channels["aveiro"].public
    first, second = (channels["braga"].seal(public, SECRET, LABEL) for _ in range(2))

    assert SECRET not in first
    assert first[:12] != second[:12]  # a nonce is never used twice under one key


Attempt = Callable[[dict[str, ChannelKey], dict[str, bytes], bytes], bytes]

WRONG_OPENINGS: dict[str, Attempt] = {
    "another receiver": lambda c, p, s: c["coimbra"].open(p["braga"], s, LABEL),
    "another sender": lambda c, p, s: c["aveiro"].open(p["coimbra"], s, LABEL),
    "back at its sender": lambda c, p, s: c["braga"].open(p["aveiro"], s, LABEL),
    "as if from itself": lambda c, p, s: c["aveiro"].open(p["aveiro"], s, LABEL),
    "another label": lambda c, p, s: c["aveiro"].open(p["braga"], s, LABEL + "2"),
    "no label": lambda c, p, s: c["aveiro"].open(p["braga"], s, ""),
    "altered nonce": lambda c, p, s: c["aveiro"].open(p["braga"], flip(s, 0), LABEL),
    "altered content": lambda c, p, s: c["aveiro"].open(p["braga"], flip(s, 12), LABEL),
    "altered tag": lambda c, p, s: c["aveiro"].open(p["braga"], flip(s, -1), LABEL),
    "truncated": lambda c, p, s: c["aveiro"].open(p["braga"], s[:-1], LABEL),
    "trailing byte": lambda c, p, s: c["aveiro"].open(p["braga"], s + b"\0", LABEL),
    "only a nonce": lambda c, p, s: c["aveiro"].open(p["braga"], s[:12], LABEL),
    "half a nonce": lambda c, p, s: c["aveiro"].open(p["braga"], s[:6], LABEL),
    "nine bytes": lambda c, p, s: c["aveiro"].open(p["braga"], s[:9], LABEL),
    "empty": lambda c, p, s: c["aveiro"].open(p["braga"], b"", LABEL),
    "a peer with a short key": lambda c, p, s: c["aveiro"].open(b"short", s, LABEL),
    "a peer with a key of low order": lambda c, p, s: c["aveiro"].open(bytes(32), s, LABEL),
}


def flip(content: bytes, index: int) -> bytes:
    altered = bytearray(content)
    altered[index] ^= 1
    return bytes(altered)


@pytest.mark.parametrize("attempt", WRONG_OPENINGS.values(), ids=WRONG_OPENINGS)
def test_a_sealed_message_opens_nowhere_else_and_says_nothing(channels, attempt) -> None:
    public = {name: channel.public for name, channel in channels.items()}
    sealed = channels["braga"].seal(public["aveiro"], SECRET, LABEL)

    with pytest.raises(EnvelopeError) as refusal:
        attempt(channels, public, sealed)

    assert str(refusal.value) == "a sealed message does not open"
    assert refusal.value.__suppress_context__  # nor does the traceback say more


@pytest.mark.parametrize("point", [*LOW_ORDER_POINTS, b"", bytes(31), bytes(33)], ids=range(7))
def test_a_public_key_that_gives_no_secret_is_refused(channels, point: bytes) -> None:
    with pytest.raises(EnvelopeError, match="cannot be used"):
        MaskKey(bytes(range(32))).secret_with(point)
    with pytest.raises(EnvelopeError, match="cannot be used"):
        channels["aveiro"].seal(point, SECRET, LABEL)


# The site's own secrets file


def test_keys_come_back_from_their_file(keys) -> None:
    content = keys["aveiro"].to_json()

    assert SiteKeys.from_json(content, "keys.json").to_json() == content


BAD_FILES = [
    b"",
    b"\xff",
    b"[]",
    b"3",
    b"{}",
    b"[" * 100_000,
    b'{"identity": "00"}',
    b'{"identity": 1}',
    b'{"identity": "secret"}',
    b'{"channel": "' + b"00" * 32 + b'"}',
]


@pytest.mark.parametrize("content", BAD_FILES, ids=range(len(BAD_FILES)))
def test_a_damaged_secrets_file_is_named_and_not_quoted(content: bytes) -> None:
    with pytest.raises(RecordError, match=r"^keys\.json does not hold the keys of a site\.$"):
        SiteKeys.from_json(content, "keys.json")


def test_private_keys_do_not_show_when_printed() -> None:
    private = bytes(range(32))

    for key in (SiteKeys(private), MaskKey(private), ChannelKey(private)):
        for printed in (repr(key), str(key), f"{key}"):
            assert private.hex() not in printed
            assert repr(private) not in printed


# Signatures and the roster


def test_a_signature_holds_for_its_message(keys) -> None:
    signature = keys["aveiro"].sign(b"message")

    verify_signature(keys["aveiro"].identity, signature, b"message")


BAD_SIGNATURES = {
    "another message": lambda i, s: (i, s, b"other"),
    "altered": lambda i, s: (i, flip(s, 0), b"message"),
    "truncated": lambda i, s: (i, s[:-1], b"message"),
    "empty": lambda i, s: (i, b"", b"message"),
    "another identity": lambda i, s: (SiteKeys.create().identity, s, b"message"),
    "a short identity": lambda i, s: (i[:-1], s, b"message"),
    "no identity": lambda i, s: (b"", s, b"message"),
}


@pytest.mark.parametrize("change", BAD_SIGNATURES.values(), ids=BAD_SIGNATURES)
def test_a_wrong_signature_is_refused_with_the_same_words(keys, change) -> None:
    signature = keys["aveiro"].sign(b"message")

    with pytest.raises(EnvelopeError, match="^a signature does not match$"):
        verify_signature(*change(keys["aveiro"].identity, signature))


def test_the_agreed_roster_is_accepted(adverts, trusted) -> None:
    verify_roster(list(adverts.values()), trusted, RUN)


@pytest.mark.parametrize("field", ["site", "identity", "signature"])
def test_an_advert_altered_in_one_field_is_refused(keys, adverts, trusted, field: str) -> None:
    stranger = SiteKeys.create().advert("porto", RUN)
    altered = replace(adverts["braga"], **{field: getattr(stranger, field)})

    with pytest.raises(EnvelopeError):
        verify_roster([adverts["aveiro"], altered, adverts["coimbra"]], trusted, RUN)


def test_an_unknown_site_is_refused(adverts, trusted) -> None:
    stranger = SiteKeys.create().advert("porto", RUN)

    with pytest.raises(ProtocolError):
        verify_roster([*adverts.values(), stranger], trusted, RUN)


def test_a_stranger_under_a_known_name_is_refused(adverts, trusted) -> None:
    impostor = SiteKeys.create().advert("braga", RUN)

    with pytest.raises(EnvelopeError, match="identity"):
        verify_roster([adverts["aveiro"], impostor, adverts["coimbra"]], trusted, RUN)


def test_a_site_cannot_take_the_name_of_another(keys, adverts, trusted) -> None:
    impostor = keys["coimbra"].advert("braga", RUN)

    with pytest.raises(EnvelopeError, match="identity"):
        verify_roster([adverts["aveiro"], impostor], trusted, RUN)


def test_a_repeated_site_is_refused(adverts, trusted) -> None:
    with pytest.raises(ProtocolError, match="twice"):
        verify_roster([*adverts.values(), adverts["braga"]], trusted, RUN)


def test_two_sites_of_one_identity_are_refused(keys, adverts) -> None:
    twin = keys["braga"].advert("coimbra", RUN)
    trusted = {"braga": keys["braga"].identity, "coimbra": keys["braga"].identity}

    with pytest.raises(ProtocolError, match="one identity"):
        verify_roster([adverts["braga"], twin], trusted, RUN)


def test_an_advert_of_another_run_is_refused(adverts, trusted) -> None:
    with pytest.raises(EnvelopeError):
        verify_roster(list(adverts.values()), trusted, "run-2")


def test_no_choice_of_names_moves_an_advert_to_another_run(keys) -> None:
    site = keys["braga"]
    trusted = {"b|c": site.identity, "c": site.identity}

    with pytest.raises(EnvelopeError):
        verify_roster([replace(site.advert("b|c", "a"), site="c")], trusted, "a|b")


def test_the_roster_hash_changes_with_every_key(keys, adverts) -> None:
    roster = list(adverts.values())
    other = SiteKeys.create().advert("braga", RUN)
    fields = ("identity", "signature")
    altered = [replace(roster[1], **{f: getattr(other, f)}) for f in fields]
    altered.append(replace(roster[1], site="porto"))
    rosters = [roster, *([roster[0], advert, roster[2]] for advert in altered)]
    hashes = [roster_hash(r, RUN) for r in (*rosters, roster[::-1], roster[:2], [])]

    assert len({*hashes, roster_hash(roster, "run-2")}) == len(hashes) + 1
