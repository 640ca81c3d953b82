"""Epochs of one-time entries: what is public binds, what is private is used once."""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from crypto.dealt import (
    SESSION,
    Dealt,
    fixed,
    fixed_entry,
    fixed_secrets,
    identity,
    names_of,
    open_all,
    play_epoch,
)

from fedcc.crypto import shamir
from fedcc.crypto.entries import (
    SELF,
    EntrySecrets,
    Epoch,
    EpochAdvert,
    EpochSecrets,
    commitment,
    epoch_binding,
    verify_adverts,
)
from fedcc.crypto.held_shares import HeldShares, recover
from fedcc.crypto.keys import ChannelKey, MaskKey, SiteKeys
from fedcc.errors import EnvelopeError, ProtocolError
from fedcc.rng import ByteSource

EPOCH = Epoch(SESSION, 2, 5, 3, 2, shared=True)
NAMES = names_of(3)
IDENTITIES = {site: identity(site).identity for site in NAMES}
SEED = fixed("a seed")

OTHER_EPOCHS = {
    "session": replace(EPOCH, session=bytes(32)),
    "number": replace(EPOCH, number=1),
    "first entry": replace(EPOCH, first_entry=4),
    "entries": replace(EPOCH, n_entries=4),
    "excess": replace(EPOCH, n_excess=1),
    "sharing": Epoch(SESSION, 2, 5, 3, 0, shared=False),
}


def adverts_of(epoch: Epoch = EPOCH) -> list[EpochAdvert]:
    return [fixed_secrets(site, epoch).advert(site, identity(site)) for site in NAMES]


def check(adverts: list[EpochAdvert], epoch: Epoch = EPOCH) -> None:
    verify_adverts(adverts, IDENTITIES, epoch)


def resigned(advert: EpochAdvert, parts: bytes, epoch: Epoch = EPOCH) -> EpochAdvert:
    """What a site that wants to cheat would sign."""
    altered = replace(advert, parts=parts)
    return replace(altered, signature=identity(advert.site).sign(altered.signed_bytes(epoch)))


# Epochs


def test_every_part_of_an_epoch_changes_its_digest() -> None:
    digests = {epoch.digest for epoch in (EPOCH, *OTHER_EPOCHS.values())}

    assert len(digests) == 1 + len(OTHER_EPOCHS)


@pytest.mark.parametrize(
    "change", [{"number": 0}, {"first_entry": 0}, {"n_entries": -1}, {"n_excess": -1}], ids=str
)
def test_an_epoch_with_impossible_numbers_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(ProtocolError, match="impossible"):
        replace(EPOCH, **change)


def test_excess_noise_without_sharing_is_refused() -> None:
    with pytest.raises(ProtocolError, match="shared"):
        replace(EPOCH, shared=False)


@pytest.mark.parametrize("number", [-1, 0, 4, 8])
def test_an_entry_outside_the_epoch_is_refused_wherever_it_is_named(number: int) -> None:
    advert, held = adverts_of()[0], HeldShares(EPOCH, 1)
    named: list[Callable[[], object]] = [
        lambda: EPOCH.index(number),
        lambda: advert.mask_key(EPOCH, number),
        lambda: advert.commitment(EPOCH, number, SELF),
        lambda: fixed_secrets("site-0", EPOCH).take(number),
        lambda: held.mask_key("site-0", number),
        lambda: held.seed("site-0", number, SELF),
    ]

    for naming in named:
        with pytest.raises(ProtocolError, match="no such entry"):
            naming()


# Adverts


@pytest.mark.parametrize("shared", [True, False])
def test_adverts_that_sites_sign_are_accepted_after_their_way(shared: bool) -> None:
    epoch = EPOCH if shared else OTHER_EPOCHS["sharing"]
    sent = [(advert.site, advert.to_bytes()) for advert in adverts_of(epoch)]

    check([EpochAdvert.from_bytes(site, content, epoch) for site, content in sent], epoch)


def test_an_advert_shows_the_public_half_of_every_secret_in_its_place() -> None:
    advert = fixed_secrets("site-1", EPOCH).advert("site-1", identity("site-1"))

    assert advert.channel == ChannelKey(fixed("channel", "site-1")).public
    for number in (5, 6, 7):
        entry = fixed_entry("site-1", number, 2)
        assert advert.mask_key(EPOCH, number) == MaskKey(entry.mask_key).public
        for part, seed in enumerate([entry.self_seed, *entry.excess_seeds]):
            made = commitment(EPOCH, number, "site-1", part, seed)
            assert advert.commitment(EPOCH, number, part) == made
    assert len(advert.to_bytes()) == 64 + 32 * (1 + 3 + 3 * 3)


def test_an_advert_shows_nothing_private() -> None:
    sent = adverts_of()[1].to_bytes()

    for number in (5, 6, 7):
        entry = fixed_entry("site-1", number, 2)
        for private in (entry.mask_key, entry.self_seed, *entry.excess_seeds):
            assert private not in sent


@pytest.mark.parametrize("change", [1, -1, 32, -32])
def test_an_advert_of_another_length_is_refused(change: int) -> None:
    content = adverts_of()[1].to_bytes()
    altered = content + bytes(change) if change > 0 else content[:change]

    with pytest.raises(ProtocolError, match="length"):
        EpochAdvert.from_bytes("site-1", altered, EPOCH)


@pytest.mark.parametrize("change", [1, -1, 32, -32])
def test_a_signed_advert_of_another_length_is_refused(change: int) -> None:
    first, second, third = adverts_of()
    parts = second.parts + bytes(change) if change > 0 else second.parts[:change]

    with pytest.raises(ProtocolError, match="length"):
        check([first, resigned(second, parts), third])


def test_every_byte_of_an_advert_is_signed() -> None:
    first, second, third = adverts_of()
    for place in range(len(second.parts)):
        parts = bytearray(second.parts)
        parts[place] ^= 1
        with pytest.raises(EnvelopeError):
            check([first, replace(second, parts=bytes(parts)), third])


@pytest.mark.parametrize("place", [0, 1, 3, 4, 11])
def test_bytes_cannot_move_between_the_fields_of_an_advert(place: int) -> None:
    first, second, third = adverts_of()
    fields = [second.parts[start : start + 32] for start in range(0, len(second.parts), 32)]
    fields[place], fields[place + 1] = fields[place + 1], fields[place]

    with pytest.raises(EnvelopeError):
        check([first, replace(second, parts=b"".join(fields)), third])


@pytest.mark.parametrize("other", OTHER_EPOCHS.values(), ids=OTHER_EPOCHS)
def test_a_stale_advert_is_refused(other: Epoch) -> None:
    with pytest.raises(ProtocolError):
        check(adverts_of(other))


def test_a_site_named_twice_is_refused() -> None:
    adverts = adverts_of()

    with pytest.raises(ProtocolError, match="twice"):
        check([*adverts, adverts[0]])


def test_a_stranger_is_refused() -> None:
    stranger = fixed_secrets("porto", EPOCH).advert("porto", identity("porto"))

    with pytest.raises(ProtocolError, match="stranger"):
        check([*adverts_of(), stranger])


def test_a_stranger_under_the_name_of_a_site_is_refused() -> None:
    first, _, third = adverts_of()
    impostor = fixed_secrets("site-1", EPOCH).advert("site-1", SiteKeys.create())

    with pytest.raises(EnvelopeError):
        check([first, impostor, third])


def test_a_site_cannot_pass_off_the_advert_of_another_as_its_own() -> None:
    first, second, _ = adverts_of()

    with pytest.raises(EnvelopeError):
        check([first, second, replace(second, site="site-2")])


@pytest.mark.parametrize("places", [(0, 1), (0, 3), (1, 2), (1, 3)])
def test_a_key_that_an_advert_shows_in_two_places_is_refused(places: tuple[int, int]) -> None:
    # Signed by its site: one key for channel and masks (F2), or for two entries (F1).
    first, second, third = adverts_of()
    fields = [second.parts[start : start + 32] for start in range(0, len(second.parts), 32)]
    fields[places[1]] = fields[places[0]]

    with pytest.raises(ProtocolError, match="one key in two places"):
        check([first, resigned(second, b"".join(fields)), third])


def test_a_commitment_that_the_epoch_does_not_have_is_refused() -> None:
    advert = adverts_of()[0]
    unshared = OTHER_EPOCHS["sharing"]

    for epoch, part in [(EPOCH, -1), (EPOCH, 3), (unshared, SELF)]:
        with pytest.raises(ProtocolError, match="no such commitment"):
            advert.commitment(epoch, 5, part)


# Commitments


def test_a_commitment_is_bound_to_epoch_entry_site_part_and_seed() -> None:
    made = [
        commitment(EPOCH, 5, "site-1", SELF, SEED),
        *(commitment(other, 5, "site-1", SELF, SEED) for other in OTHER_EPOCHS.values()),
        commitment(EPOCH, 6, "site-1", SELF, SEED),
        commitment(EPOCH, 5, "site-2", SELF, SEED),
        commitment(EPOCH, 5, "site-1", 1, SEED),
        commitment(EPOCH, 5, "site-1", SELF, bytes(32)),
        commitment(EPOCH, 5, "site-1", SELF, SEED[:-1]),
        commitment(EPOCH, 5, "site-1", SELF, b""),
    ]

    assert len(set(made)) == len(made)


@pytest.mark.parametrize("moved", ['", 1]', '", 0]site-1'])
def test_no_choice_of_names_or_seeds_makes_two_commitments_equal(moved: str) -> None:
    # The seed follows the place without a length; the place must say itself where it ends.
    site = "site-1" + moved

    assert commitment(EPOCH, 5, site, SELF, SEED) != commitment(
        EPOCH, 5, "site-1", SELF, moved.encode() + SEED
    )


def test_a_commitment_does_not_show_the_seed() -> None:
    made = commitment(EPOCH, 5, "site-1", SELF, SEED)

    assert SEED not in made and made != SEED


# The binding of an epoch


def test_the_binding_changes_with_every_input_and_the_key() -> None:
    first, second, third = adverts_of()
    other = EpochSecrets.create(EPOCH).advert("site-1", identity("site-1"))
    bindings = [
        epoch_binding(EPOCH, [first, second, third], "key"),
        *(epoch_binding(epoch, [first, second, third], "key") for epoch in OTHER_EPOCHS.values()),
        epoch_binding(EPOCH, [first, second, third], "other"),
        epoch_binding(EPOCH, [first, third, second], "key"),
        epoch_binding(EPOCH, [first, second], "key"),
        epoch_binding(EPOCH, [first, second, third, third], "key"),
        epoch_binding(EPOCH, [], "key"),
        epoch_binding(EPOCH, [first, other, third], "key"),
        *(
            epoch_binding(EPOCH, [first, replace(second, **change), third], "key")
            for change in (
                {"site": "site-2"},
                {"signature": bytes(64)},
                {"parts": bytes(len(second.parts))},
            )
        ),
    ]

    assert len(set(bindings)) == len(bindings)


# Secrets are fresh and used once


def test_every_secret_of_an_epoch_is_fresh() -> None:
    made = [EpochSecrets.create(EPOCH) for _ in range(2)]

    channels = {secrets.channel.public for secrets in made}
    drawn = [
        private
        for secrets in made
        for number in (5, 6, 7)
        for taken in [secrets.take(number)]
        for private in (taken.mask_key, taken.self_seed, *taken.excess_seeds)
    ]

    assert len(channels) == 2
    assert len(set(drawn)) == len(drawn) == 2 * 3 * 4


def test_only_excess_seeds_come_from_the_source_that_is_handed_in() -> None:
    # A seeded simulation repeats its noise; keys and masks are never repeated.
    def source(number: int) -> ByteSource:
        return lambda size: bytes([number]) * size

    left, right = (EpochSecrets.create(EPOCH, source) for _ in range(2))

    for number in (5, 6, 7):  # each entry has a source of its own
        one, other = left.take(number), right.take(number)
        assert one.excess_seeds == other.excess_seeds == (bytes([number]) * 32,) * 2
        assert one.mask_key != other.mask_key
        assert one.self_seed != other.self_seed


def test_an_entry_is_taken_once_and_never_again() -> None:
    secrets = fixed_secrets("site-0", EPOCH)

    assert secrets.take(5) == fixed_entry("site-0", 5, 2)
    with pytest.raises(ProtocolError, match="used before"):
        secrets.take(5)
    assert secrets.take(6) == fixed_entry("site-0", 6, 2)


def test_entries_before_the_one_taken_are_dropped() -> None:
    secrets = fixed_secrets("site-0", EPOCH)
    secrets.take(7)

    for number in (5, 6, 7):
        with pytest.raises(ProtocolError, match="used before"):
            secrets.take(number)


def test_once_an_entry_is_taken_nothing_is_advertised_dealt_or_opened() -> None:
    secrets, adverts = fixed_secrets("site-0", EPOCH), adverts_of()
    secrets.take(5)

    for late in (
        lambda: secrets.advert("site-0", identity("site-0")),
        lambda: secrets.deal("site-0", adverts, 3),
        lambda: secrets.channel,
    ):
        with pytest.raises(ProtocolError, match="closed"):
            late()


def test_secrets_do_not_show_when_printed() -> None:
    entry = EntrySecrets(SEED, SEED, (SEED, SEED))
    held = HeldShares(EPOCH, 1)
    held.take("site-1", SEED * (EPOCH.share_bytes // 32))
    secrets = EpochSecrets(EPOCH, [entry] * 3, ChannelKey(SEED))

    for private in (entry, secrets, held):
        assert SEED.hex() not in repr(private)
        assert repr(SEED)[2:-1] not in repr(private)


@pytest.mark.parametrize("part", [-2, -1, 3])
def test_a_seed_that_an_entry_does_not_have_is_refused(part: int) -> None:
    with pytest.raises(ProtocolError, match="no such seed"):
        fixed_entry("site-0", 5, 2).part(part)


# Dealing, opening, recovering


@pytest.mark.parametrize("n_sites", [3, 5, 10, 30])
def test_every_part_comes_back_from_a_threshold_of_shares(n_sites: int) -> None:
    dealt = play_epoch(n_sites, n_entries=2, n_excess=2)
    by = dealt.names[n_sites - dealt.threshold :]

    for number in (1, 2):
        own = dealt.secrets["site-0"].take(number)
        assert dealt.recover_mask_key("site-0", number, by) == own.mask_key
        for part in range(3):
            assert dealt.recover_seed("site-0", number, by, part) == own.part(part)


@pytest.mark.parametrize("n_sites", [3, 5, 10, 30])
def test_too_few_shares_give_nothing(n_sites: int) -> None:
    dealt = play_epoch(n_sites, n_entries=1, n_excess=1)
    by = dealt.names[: dealt.threshold - 1]

    assert dealt.recover_mask_key("site-0", 1, by) is None
    assert dealt.recover_seed("site-0", 1, by, 1) is None


@pytest.fixture(scope="module")
def dealt() -> Dealt:
    return play_epoch(5, n_entries=2, n_excess=1)  # threshold 4


@pytest.mark.parametrize("liar", range(5))
def test_a_wrong_share_is_survived_where_there_is_one_more(dealt: Dealt, liar: int) -> None:
    shares = dealt.shares("site-0", 1, None, dealt.names)
    public = dealt.adverts["site-0"].mask_key(dealt.epoch, 1)
    right = dealt.recover_mask_key("site-0", 1, dealt.names)
    shares[liar + 1] = b"\x01" * 32

    assert recover(shares, 4, lambda raw: MaskKey(raw).public == public) == right


def test_a_wrong_share_among_just_enough_gives_nothing_rather_than_a_wrong_key(
    dealt: Dealt,
) -> None:
    shares = dealt.shares("site-0", 1, None, dealt.names[:4])
    public = dealt.adverts["site-0"].mask_key(dealt.epoch, 1)
    shares[2] = b"\x01" * 32

    assert recover(shares, 4, lambda raw: MaskKey(raw).public == public) is None


@pytest.mark.parametrize("missing", [b"", b"\x01" * 31, b"\x01" * 33, bytes(32)])
def test_a_share_of_another_length_or_of_zeros_counts_as_missing(
    dealt: Dealt, missing: bytes
) -> None:
    shares = dealt.shares("site-0", 1, None, dealt.names)
    public = dealt.adverts["site-0"].mask_key(dealt.epoch, 1)
    shares[1] = missing

    assert recover(shares, 4, lambda raw: MaskKey(raw).public == public) is not None
    shares[2] = missing
    assert recover(shares, 4, lambda raw: MaskKey(raw).public == public) is None


def test_a_dealer_whose_shares_are_not_what_it_committed_to_is_found_out() -> None:
    # It advertises one entry and shares another; nobody takes the wrong seed for the right one.
    dealt = play_epoch(5, n_entries=1)
    false = [EntrySecrets(fixed("x"), fixed("y"), ())]
    liar = EpochSecrets(dealt.epoch, false, ChannelKey(fixed("channel", "site-0")))
    sealed = liar.deal("site-0", list(dealt.adverts.values()), dealt.threshold)
    for receiver, content in zip(dealt.names, sealed, strict=True):
        dealt.relayed["site-0", receiver] = content
    dealt.held = {site: open_all(dealt, site) for site in dealt.names}

    assert dealt.recover_mask_key("site-0", 1, dealt.names) is None
    assert dealt.recover_seed("site-0", 1, dealt.names) is None


def test_two_dealings_of_one_secret_do_not_add_up() -> None:
    # Shares of two polynomials with one constant, three of each where four are needed.
    first, second = (
        shamir.split(SEED, threshold=4, n_shares=6, source=os.urandom) for _ in range(2)
    )
    mixed = {1: first[0], 2: first[1], 3: first[2], 4: second[3], 5: second[4], 6: second[5]}

    assert recover(mixed, 4, SEED.__eq__) is None
    assert recover(dict(enumerate(first, start=1)), 4, SEED.__eq__) == SEED


WRONG_WAYS: dict[str, Callable[[Dealt, bytes], object]] = {
    "another receiver": lambda d, s: opened_as(d, s, "site-2", "site-0", "site-2"),
    "another receiver under the right label": lambda d, s: opened_as(
        d, s, "site-2", "site-0", "site-1"
    ),
    "another sender": lambda d, s: opened_as(d, s, "site-1", "site-2", "site-1"),
    "the sender itself": lambda d, s: opened_as(d, s, "site-0", "site-1", "site-0"),
    "another epoch": lambda d, s: d.secrets["site-1"].channel.open(
        d.adverts["site-0"].channel, s, replace(d.epoch, number=2).label("shares", *PLACE)
    ),
    "another kind": lambda d, s: d.secrets["site-1"].channel.open(
        d.adverts["site-0"].channel, s, d.epoch.label("epoch-key", *PLACE)
    ),
}
PLACE = ("site-0", "site-1")


def opened_as(dealt: Dealt, sealed: bytes, by: str, sender: str, receiver: str) -> bytes:
    label = dealt.epoch.label("shares", sender, receiver)
    return dealt.secrets[by].channel.open(dealt.adverts[sender].channel, sealed, label)


def test_a_label_names_kind_epoch_sender_and_receiver() -> None:
    # F2 of the proofs lists them; no choice of names makes two labels equal.
    ways = [("shares", "a", "b"), ("shares", "b", "a"), ("keys", "a", "b"), ("shares", "a", "c")]
    ways += [("shares", 'a", "b', ""), ("shares", "c", "b")]
    labels = {epoch.label(*way) for way in ways for epoch in (EPOCH, *OTHER_EPOCHS.values())}

    assert len(labels) == len(ways) * (1 + len(OTHER_EPOCHS))


def test_sealed_shares_open_at_their_receiver(dealt: Dealt) -> None:
    opened = opened_as(dealt, dealt.relayed[PLACE], "site-1", *PLACE)

    assert len(opened) == dealt.epoch.share_bytes


@pytest.mark.parametrize("way", WRONG_WAYS.values(), ids=WRONG_WAYS)
def test_sealed_shares_open_nowhere_else(dealt: Dealt, way) -> None:
    with pytest.raises(EnvelopeError, match="does not open"):
        way(dealt, dealt.relayed[PLACE])


def test_a_site_deals_only_where_its_own_advert_is_shown() -> None:
    # An advert of an earlier start of the site would make its peers seal to a key that is lost.
    first, second, third = adverts_of()
    secrets = fixed_secrets("site-0", EPOCH)
    earlier = EpochSecrets.create(EPOCH).advert("site-0", identity("site-0"))
    passed_off = replace(second, parts=first.parts)

    for shown in ([second, third], [earlier, second, third], [passed_off, third], []):
        with pytest.raises(ProtocolError, match="own"):
            secrets.deal("site-0", shown, 3)


@pytest.mark.parametrize(("n_sites", "threshold"), [(3, 4), (3, 1), (3, 0), (4, 2), (10, 5)])
def test_a_threshold_that_two_sets_of_sites_could_reach_is_refused(
    n_sites: int, threshold: int
) -> None:
    epoch = Epoch(SESSION, 1, 1, 1, 0, shared=True)
    secrets = {site: fixed_secrets(site, epoch) for site in names_of(n_sites)}
    adverts = [made.advert(site, identity(site)) for site, made in secrets.items()]

    with pytest.raises(ProtocolError, match="threshold"):
        secrets["site-0"].deal("site-0", adverts, threshold)


# Shares that are held


@pytest.mark.parametrize("change", [1, -1])
def test_shares_of_another_length_are_refused(change: int) -> None:
    with pytest.raises(EnvelopeError, match="length"):
        HeldShares(EPOCH, 1).take("site-1", bytes(EPOCH.share_bytes + change))


def test_a_site_that_sent_no_shares_has_none_to_give() -> None:
    held = HeldShares(EPOCH, 1)
    held.take("site-1", bytes(EPOCH.share_bytes))

    assert held.dealers == {"site-1"}
    assert held.mask_key("site-0", 5) == held.seed("site-0", 5, SELF) == b""


def held_numbers() -> HeldShares:
    """Shares whose bytes say where they lie: entry, then part."""
    held = HeldShares(EPOCH, 1)
    held.take("site-1", b"".join(bytes([16 * e + p]) * 32 for e in range(3) for p in range(4)))
    return held


@pytest.mark.parametrize("part", [-2, -1, 3, 4])
def test_no_part_of_an_entry_reaches_the_share_of_a_mask_key(part: int) -> None:
    # Part -1 lies where the entry's mask key is, part 3 where that of the next entry is.
    with pytest.raises(ProtocolError, match="no such seed"):
        held_numbers().seed("site-1", 5, part)


def test_each_share_lies_in_its_place() -> None:
    held = held_numbers()

    for entry, number in enumerate((5, 6, 7)):
        assert held.mask_key("site-1", number) == bytes([16 * entry]) * 32
        for part in range(3):
            assert held.seed("site-1", number, part) == bytes([16 * entry + 1 + part]) * 32


def test_erased_shares_are_overwritten_and_later_ones_stay() -> None:
    held = held_numbers()
    kept = held._of["site-1"]  # the memory itself, not a copy of it

    held.erase_before(7)

    assert bytes(kept[: 2 * 4 * 32]) == bytes(2 * 4 * 32)
    for number in (5, 6):
        assert held.mask_key("site-1", number) == held.seed("site-1", number, 1) == b""
    assert held.mask_key("site-1", 7) == bytes([32]) * 32


def test_erasing_everything_or_nothing_is_possible() -> None:
    held = held_numbers()

    held.erase_before(1)
    assert held.mask_key("site-1", 5) == bytes(32)
    assert held.seed("site-1", 5, SELF) == b"\x01" * 32
    held.erase_before(100)
    assert bytes(held._of["site-1"]) == bytes(EPOCH.share_bytes)
    held.erase_before(1)
    assert held.seed("site-1", 7, SELF) == b""


def test_shares_that_are_delivered_again_do_not_bring_erased_ones_back(dealt: Dealt) -> None:
    held = open_all(dealt, "site-1")
    again = opened_as(dealt, dealt.relayed[PLACE], "site-1", *PLACE)
    held.erase_before(2)

    with pytest.raises(ProtocolError, match="twice"):
        held.take("site-0", again)
    assert held.mask_key("site-0", 1) == b""


# Epochs without sharing


def test_without_sharing_one_mask_key_serves_the_epoch_and_nothing_is_dealt() -> None:
    epoch = Epoch(SESSION, 1, 1, 3, 0, shared=False)
    secrets = EpochSecrets.create(epoch)
    others = [EpochSecrets.create(epoch).advert(site, identity(site)) for site in NAMES[1:]]
    advert = secrets.advert("site-0", identity("site-0"))
    check([advert, *others], epoch)

    assert secrets.deal("site-0", [advert, *others], 3) == [b""] * 3
    assert epoch.share_bytes == 0
    assert len(advert.parts) == 64
    taken = [secrets.take(number) for number in (1, 2, 3)]
    assert {entry.mask_key for entry in taken} == {taken[0].mask_key}
    assert len({entry.self_seed for entry in taken}) == 3
    for number in (1, 2, 3):
        assert advert.mask_key(epoch, number) == MaskKey(taken[0].mask_key).public


def test_an_epoch_without_entries_still_has_a_channel() -> None:
    epoch = Epoch(SESSION, 1, 1, 0, 0, shared=False)
    adverts = [EpochSecrets.create(epoch).advert(site, identity(site)) for site in NAMES]

    check(adverts, epoch)

    assert len({advert.channel for advert in adverts}) == 3
    with pytest.raises(ProtocolError, match="no such entry"):
        adverts[0].mask_key(epoch, 1)


def test_an_unshared_entry_is_taken_once_too() -> None:
    secrets = EpochSecrets.create(Epoch(SESSION, 1, 1, 3, 0, shared=False))
    secrets.take(2)

    for number in (1, 2):
        with pytest.raises(ProtocolError, match="used before"):
            secrets.take(number)
