import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fedcc.crypto.keys import Advert, SiteKeys, roster_hash, verify_roster, verify_signature
from fedcc.errors import EnvelopeError, ProtocolError, RecordError

PUBLISHED = json.loads((Path(__file__).parent / "vectors" / "published.json").read_text())
RUN = "run-1"
NAMES = ("aveiro", "braga", "coimbra")
LABEL = "epoch-key|run-1|aveiro"
SECRET = b"an epoch key"

# RFC 7748, section 6.1: the all-zero result of these points must be refused; from the list of
# points of small order at cr.yp.to/ecdh.html.
LOW_ORDER_POINTS = [
    bytes(32),
    (1).to_bytes(32, "little"),
    (2**255 - 20).to_bytes(32, "little"),  # p - 1
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
]


@pytest.fixture(scope="module")
def keys() -> dict[str, SiteKeys]:
    return {name: SiteKeys.create() for name in NAMES}


@pytest.fixture(scope="module")
def adverts(keys) -> dict[str, Advert]:
    return {name: site.advert(name, RUN) for name, site in keys.items()}


@pytest.fixture(scope="module")
def trusted(keys) -> dict[str, bytes]:
    return {name: site.identity for name, site in keys.items()}


def published_keys(identity: bytes = bytes(32), mask: bytes = bytes(32)) -> SiteKeys:
    return SiteKeys(identity, bytes(range(32)), mask)


# Primitives against published vectors


def test_signatures_are_ed25519() -> None:
    vector = PUBLISHED["rfc8032_7_1_test_1"]
    site = published_keys(identity=bytes.fromhex(vector["private"]))

    assert site.identity.hex() == vector["public"]
    assert site.sign(b"").hex() == vector["signature"]


def test_mask_secrets_are_x25519() -> None:
    vector = PUBLISHED["rfc7748_6_1"]
    alice, bob = (
        published_keys(mask=bytes.fromhex(vector[name]))
        for name in ("alice_private", "bob_private")
    )

    assert alice.mask_secret(bob.advert("bob", RUN)).hex() == vector["shared"]


def test_both_ends_of_a_pair_have_one_mask_secret(keys, adverts) -> None:
    ahead = keys["aveiro"].mask_secret(adverts["braga"])

    assert ahead == keys["braga"].mask_secret(adverts["aveiro"])


def test_two_pairs_have_different_mask_secrets(keys, adverts) -> None:
    aveiro = keys["aveiro"]

    assert aveiro.mask_secret(adverts["braga"]) != aveiro.mask_secret(adverts["coimbra"])


def test_fresh_keys_are_never_the_same() -> None:
    assert SiteKeys.create().to_json() != SiteKeys.create().to_json()


# The sealed channel


def test_a_sealed_message_opens_at_its_receiver(keys, adverts) -> None:
    sealed = keys["braga"].seal(adverts["aveiro"], SECRET, LABEL)

    assert keys["aveiro"].open(adverts["braga"], sealed, LABEL) == SECRET


def test_a_dealer_can_seal_to_itself(keys, adverts) -> None:
    sealed = keys["aveiro"].seal(adverts["aveiro"], SECRET, LABEL)

    assert keys["aveiro"].open(adverts["aveiro"], sealed, LABEL) == SECRET


def test_a_sealed_message_hides_its_content(keys, adverts) -> None:
    first, second = (keys["braga"].seal(adverts["aveiro"], SECRET, LABEL) for _ in range(2))

    assert SECRET not in first
    assert first[:12] != second[:12]  # a nonce is never used twice under one key


Attempt = Callable[[dict[str, SiteKeys], dict[str, Advert], bytes], bytes]

WRONG_OPENINGS: dict[str, Attempt] = {
    "another receiver": lambda k, a, s: k["coimbra"].open(a["braga"], s, LABEL),
    "another sender": lambda k, a, s: k["aveiro"].open(a["coimbra"], s, LABEL),
    "back at its sender": lambda k, a, s: k["braga"].open(a["aveiro"], s, LABEL),
    "another label": lambda k, a, s: k["aveiro"].open(a["braga"], s, LABEL + "2"),
    "no label": lambda k, a, s: k["aveiro"].open(a["braga"], s, ""),
    "altered nonce": lambda k, a, s: k["aveiro"].open(a["braga"], flip(s, 0), LABEL),
    "altered content": lambda k, a, s: k["aveiro"].open(a["braga"], flip(s, 12), LABEL),
    "altered tag": lambda k, a, s: k["aveiro"].open(a["braga"], flip(s, -1), LABEL),
    "truncated": lambda k, a, s: k["aveiro"].open(a["braga"], s[:-1], LABEL),
    "trailing byte": lambda k, a, s: k["aveiro"].open(a["braga"], s + b"\0", LABEL),
    "only a nonce": lambda k, a, s: k["aveiro"].open(a["braga"], s[:12], LABEL),
    "half a nonce": lambda k, a, s: k["aveiro"].open(a["braga"], s[:6], LABEL),
    "empty": lambda k, a, s: k["aveiro"].open(a["braga"], b"", LABEL),
    "a peer with a short key": lambda k, a, s: k["aveiro"].open(
        replace(a["braga"], channel=b"short"), s, LABEL
    ),
    "a peer with a key of low order": lambda k, a, s: k["aveiro"].open(
        replace(a["braga"], channel=bytes(32)), s, LABEL
    ),
}


def flip(content: bytes, index: int) -> bytes:
    altered = bytearray(content)
    altered[index] ^= 1
    return bytes(altered)


@pytest.mark.parametrize("attempt", WRONG_OPENINGS.values(), ids=WRONG_OPENINGS)
def test_a_sealed_message_opens_nowhere_else_and_says_nothing(keys, adverts, attempt) -> None:
    sealed = keys["braga"].seal(adverts["aveiro"], SECRET, LABEL)

    with pytest.raises(EnvelopeError) as refusal:
        attempt(keys, adverts, sealed)

    assert str(refusal.value) == "a sealed message does not open"
    assert refusal.value.__suppress_context__  # nor does the traceback say more


def test_channel_and_mask_keys_are_separate(adverts) -> None:
    public = [key for advert in adverts.values() for key in (advert.channel, advert.mask)]

    assert len(set(public)) == len(public)


def test_a_recovered_mask_key_does_not_open_the_channel(keys, adverts) -> None:
    # privacy_proofs F2: a site declared dropped gives up its mask key. Whoever has it, and every
    # public key, tries it as the channel key, on what the site received and on what it sent.
    _, _, mask = (bytes.fromhex(part) for part in json.loads(keys["braga"].to_json()).values())
    thief = SiteKeys(bytes(32), channel=mask, mask=mask)
    received = keys["aveiro"].seal(adverts["braga"], SECRET, LABEL)
    sent = keys["braga"].seal(adverts["aveiro"], SECRET, LABEL)

    for sealed in (received, sent):
        with pytest.raises(EnvelopeError):
            thief.open(adverts["aveiro"], sealed, LABEL)


def test_the_channel_key_itself_would_open_it(keys, adverts) -> None:
    _, channel, _ = (bytes.fromhex(part) for part in json.loads(keys["braga"].to_json()).values())
    thief = SiteKeys(bytes(32), channel=channel, mask=bytes(32))
    received = keys["aveiro"].seal(adverts["braga"], SECRET, LABEL)

    assert thief.open(adverts["aveiro"], received, LABEL) == SECRET


@pytest.mark.parametrize("point", [*LOW_ORDER_POINTS, b"", bytes(31), bytes(33)], ids=range(7))
def test_a_public_key_that_gives_no_secret_is_refused(keys, adverts, point: bytes) -> None:
    with pytest.raises(EnvelopeError, match="cannot be used"):
        keys["aveiro"].mask_secret(replace(adverts["braga"], mask=point))
    with pytest.raises(EnvelopeError, match="cannot be used"):
        keys["aveiro"].seal(replace(adverts["braga"], channel=point), SECRET, LABEL)


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
    b'{"identity": "00", "channel": "00", "mask": "00"}',
    b'{"identity": 1, "channel": 2, "mask": 3}',
    b'{"identity": "secret", "channel": "secret", "mask": "secret"}',
]


@pytest.mark.parametrize("content", BAD_FILES, ids=range(len(BAD_FILES)))
def test_a_damaged_secrets_file_is_named_and_not_quoted(content: bytes) -> None:
    with pytest.raises(RecordError, match=r"^keys\.json does not hold the keys of a site\.$"):
        SiteKeys.from_json(content, "keys.json")


def test_private_keys_do_not_show_when_printed(keys) -> None:
    printed = repr(keys["aveiro"])

    for part in json.loads(keys["aveiro"].to_json()).values():
        assert part not in printed


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


@pytest.mark.parametrize("field", ["site", "identity", "channel", "mask", "signature"])
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


def test_swapped_channel_and_mask_keys_are_refused(adverts, trusted) -> None:
    braga = adverts["braga"]
    swapped = replace(braga, channel=braga.mask, mask=braga.channel)

    with pytest.raises(EnvelopeError):
        verify_roster([swapped], trusted, RUN)


def test_bytes_cannot_move_between_the_keys_of_an_advert(adverts, trusted) -> None:
    braga = adverts["braga"]
    moved = replace(braga, channel=braga.channel + braga.mask[:1], mask=braga.mask[1:])

    with pytest.raises(EnvelopeError):
        verify_roster([moved], trusted, RUN)


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
    fields = ("site", "identity", "channel", "mask", "signature")
    altered = [replace(roster[1], **{f: getattr(other, f)}) for f in fields if f != "site"]
    altered.append(replace(roster[1], site="porto"))
    rosters = [roster, *([roster[0], advert, roster[2]] for advert in altered)]
    hashes = [roster_hash(r, RUN) for r in (*rosters, roster[::-1], roster[:2], [])]

    assert len({*hashes, roster_hash(roster, "run-2")}) == len(hashes) + 1
