"""Attackers with all that they would hold, and the flawed designs in which they would succeed.

The aggregator relays everything, names who dropped out, keeps every upload (with the HE key of a
colluding site it has the masked slots), and works with c sites, which give it all they have. F1, F2
and S4 are those of the design's proofs: recovered keys reach no other entry and no channel, and
nobody gets both kinds of shares of one site. Each attack has a twin with one protection taken away,
in which the same steps read the update exactly.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from crypto.by_hand import hkdf_by_hand
from crypto.dealt import Dealt, fixed, fixed_entry, identity, play_epoch
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scipy import stats

from fedcc.crypto.entries import EntrySecrets, EpochSecrets, verify_adverts
from fedcc.crypto.held_shares import HeldShares, recover
from fedcc.crypto.keys import ChannelKey, MaskKey
from fedcc.crypto.masks import MaskEntry, Slots, pairwise_mask, self_mask, subtract_mod
from fedcc.crypto.parameters import PLAIN_MODULUS
from fedcc.errors import ProtocolError

SIZE = 1 << 14
UPDATE = np.arange(SIZE, dtype=np.uint64)  # far from uniform, and known, so that any trace shows
VICTIM, HONEST, COLLUDING = "site-0", ("site-1", "site-2"), ("site-3", "site-4")
LEVEL = 1e-4  # keys are fixed: a test does not flicker; so rarely would a sound pad fail


def is_closed(seen: Slots) -> bool:
    """Whether what is seen is uniform and goes with the update in nothing."""
    cells = np.bincount((seen.astype(object) * 64 // PLAIN_MODULUS).astype(int), minlength=64)
    # The correlation of n independent pairs has standard deviation 1/sqrt(n); 5 of them.
    apart = abs(np.corrcoef(seen.astype(float), UPDATE.astype(float))[0, 1]) < 5 / np.sqrt(SIZE)
    return bool(stats.chisquare(cells).pvalue > LEVEL and apart)


def stripped(
    upload: Slots, entry: MaskEntry, pads: Mapping[str, bytes], seed: bytes | None
) -> Slots:
    """Take off what an attacker believes to be the masks of the victim's upload."""
    rest = subtract_mod(upload, pairwise_mask(VICTIM, pads, entry, SIZE))
    return rest if seed is None else subtract_mod(rest, self_mask(seed, VICTIM, entry, SIZE))


def uploads(dealt: Dealt, number: int) -> tuple[MaskEntry, Slots, dict[str, EntrySecrets]]:
    """Let all sites use an entry up; return the victim's upload and all secrets of the entry."""
    entry = dealt.entry(number)
    made = {site: dealt.upload(site, entry, UPDATE) for site in dealt.names}
    return entry, made[VICTIM][0], {site: taken for site, (_, taken) in made.items()}


def pads_of_colluding(
    dealt: Dealt, number: int, used: Mapping[str, EntrySecrets]
) -> dict[str, bytes]:
    public = dealt.mask_keys(number)[VICTIM]
    return {site: MaskKey(used[site].mask_key).secret_with(public) for site in COLLUDING}


def pads_by(key: bytes, public: Mapping[str, bytes]) -> dict[str, bytes]:
    """The secrets that a recovered mask key gives with public keys."""
    return {peer: MaskKey(key).secret_with(public[peer]) for peer in (*HONEST, *COLLUDING)}


def test_an_update_behind_no_mask_is_seen() -> None:
    assert not is_closed(UPDATE)
    assert not is_closed(UPDATE * np.uint64(PLAIN_MODULUS // SIZE))  # uniform, but in order


def test_whoever_holds_all_masks_of_an_upload_reads_it() -> None:
    dealt = play_epoch(5, n_entries=1)
    entry, upload, used = uploads(dealt, 1)
    pads = pads_by(used[VICTIM].mask_key, dealt.mask_keys(1))

    np.testing.assert_array_equal(stripped(upload, entry, pads, used[VICTIM].self_seed), UPDATE)


# F1: what is recovered of one entry, against every other entry of the epoch

SPENT = 2  # the entry of which everything was recovered
OTHERS = (1, 3, 4)


def one_mask_key_for_all(site: str, number: int, n_excess: int) -> EntrySecrets:
    """The flawed design: keys once per epoch, seeds per entry."""
    own = fixed_entry(site, number, n_excess)
    return EntrySecrets(fixed("mask", site), own.self_seed, own.excess_seeds)


def one_entry_for_all(site: str, number: int, n_excess: int) -> EntrySecrets:
    """The other flawed design: keys and seeds once per epoch."""
    return fixed_entry(site, 1, n_excess)


def attack_other_entries(dealt: Dealt) -> Iterator[tuple[str, Slots]]:
    """Play entries 1 to 4, recover all of entry 2, try it on the victim's uploads in the others.

    The victim survives in the others, so its seeds of these are public, too.
    """
    played = {number: uploads(dealt, number) for number in range(1, 5)}
    key = dealt.recover_mask_key(VICTIM, SPENT, dealt.names)
    assert key is not None
    seed = dealt.recover_seed(VICTIM, SPENT, dealt.names)
    for number in OTHERS:
        entry, upload, used = played[number]
        known = pads_of_colluding(dealt, number, used)
        tries = {
            "with the keys of that entry": pads_by(key, dealt.mask_keys(number)),
            "with the keys of the spent entry": pads_by(key, dealt.mask_keys(SPENT)),
            "with the spent keys of the others": {
                peer: MaskKey(secrets.mask_key).secret_with(dealt.mask_keys(number)[VICTIM])
                for peer, secrets in played[SPENT][2].items()
                if peer != VICTIM
            },
        }
        for name, pads in tries.items():
            for opened in (used[VICTIM].self_seed, seed):
                yield f"entry {number} {name}", stripped(upload, entry, {**pads, **known}, opened)
        # The pads of the spent entry themselves, taken off the upload of another.
        spent_entry, _, spent = played[SPENT]
        pads = pads_by(key, dealt.mask_keys(SPENT))
        yield (
            f"entry {number}, old pads",
            stripped(upload, spent_entry, pads, spent[VICTIM].self_seed),
        )


def test_all_that_is_recovered_of_one_entry_opens_no_other() -> None:
    dealt = play_epoch(5, n_entries=4)

    for name, seen in attack_other_entries(dealt):
        assert is_closed(seen), name


def test_shares_of_one_entry_give_no_key_or_seed_of_another() -> None:
    dealt = play_epoch(5, n_entries=4)
    for number in OTHERS:
        public = dealt.mask_keys(number)[VICTIM]
        shares = dealt.shares(VICTIM, SPENT, None, dealt.names)

        assert recover(shares, dealt.threshold, lambda k, p=public: MaskKey(k).public == p) is None


def test_with_one_mask_key_for_all_entries_the_other_rounds_open() -> None:
    dealt = play_epoch(5, n_entries=4, entry=one_mask_key_for_all, verified=False)

    opened = {n for n, seen in attack_other_entries(dealt) if np.array_equal(seen, UPDATE)}

    assert {f"entry {number} with the keys of that entry" for number in OTHERS} <= opened


@pytest.mark.parametrize("flawed", [one_mask_key_for_all, one_entry_for_all])
def test_sites_refuse_adverts_with_one_key_for_all_entries(flawed) -> None:
    dealt = play_epoch(5, n_entries=4, entry=flawed, verified=False)
    identities = {site: identity(site).identity for site in dealt.names}

    with pytest.raises(ProtocolError, match="one key in two places"):
        verify_adverts(list(dealt.adverts.values()), identities, dealt.epoch)


def test_with_one_seed_for_all_entries_a_dropped_upload_opens() -> None:
    # Round 2 opens b; in round 3 the victim is called dropped, which opens s: both masks are gone.
    dealt = play_epoch(5, n_entries=4, entry=one_entry_for_all, verified=False)
    opened_before = dealt.recover_seed(VICTIM, SPENT, dealt.names)
    entry, upload, _ = uploads(dealt, 3)
    key = dealt.recover_mask_key(VICTIM, 3, dealt.names[1:])

    seen = stripped(upload, entry, pads_by(key or b"", dealt.mask_keys(3)), opened_before)

    np.testing.assert_array_equal(seen, UPDATE)


# F2: recovered mask keys against the channel


def channel_of_the_mask_key(_: str, entries: Sequence[EntrySecrets]) -> ChannelKey:
    """The flawed design: one pair of keys for masks and channel."""
    return ChannelKey(entries[0].mask_key)


def opened_relay(dealt: Dealt, sender: str, receiver: str, private: bytes) -> bytes | None:
    """Try a private key as that of the victim's channel, on what it sent or received.

    Both ends of a channel have one secret, so a key of the sender opens, too; HKDF by hand, for
    `ChannelKey.open` is for receivers alone.
    """
    channels = [dealt.adverts[site].channel for site in (sender, receiver)]
    secret = MaskKey(private).secret_with(channels[1 if sender == VICTIM else 0])
    label = dealt.epoch.label("shares", sender, receiver)
    info = json.dumps(["fedcc/channel/v2", *(key.hex() for key in channels), label]).encode()
    sealed = dealt.relayed[sender, receiver]
    try:
        key = AESGCM(hkdf_by_hand(secret, bytes(32), info))
        return key.decrypt(sealed[:12], sealed[12:], label.encode())
    except InvalidTag:
        return None


def opened_relays(dealt: Dealt, keys: Collection[bytes]) -> dict[tuple[str, str], bytes]:
    """Try private keys on everything that the victim sent or received."""
    return {
        relay: content
        for key in keys
        for relay in dealt.relayed
        if VICTIM in relay and (content := opened_relay(dealt, *relay, key)) is not None
    }


def secrets_from_relays(dealt: Dealt, relays: Mapping[tuple[str, str], bytes]) -> Dealt:
    """Put what the victim dealt, as opened by an attacker, in the place of what sites hold."""
    held = {}
    for (sender, receiver), content in relays.items():
        if sender == VICTIM:
            held[receiver] = HeldShares(dealt.epoch, dealt.names.index(receiver) + 1)
            held[receiver].take(VICTIM, content)
    return replace(dealt, held=held)


def test_recovered_mask_keys_open_nothing_that_was_sealed() -> None:
    # The victim was called dropped in every entry, so all its mask keys are known.
    dealt = play_epoch(5, n_entries=4)
    keys = [dealt.recover_mask_key(VICTIM, n, dealt.names[1:]) or b"" for n in range(1, 5)]
    seeds = [fixed_entry(VICTIM, n, 0).self_seed for n in range(1, 5)]

    assert opened_relays(dealt, [*keys, *seeds]) == {}


def test_the_key_of_the_channel_would_open_all_of_it() -> None:
    dealt = play_epoch(5, n_entries=1)

    relays = opened_relays(dealt, [fixed("channel", VICTIM)])

    assert len(relays) == 9  # 5 sent, 5 received, of which one is both


def test_with_one_key_for_channel_and_masks_a_dropped_upload_opens() -> None:
    dealt = play_epoch(5, n_entries=2, channel=channel_of_the_mask_key, verified=False)
    entry, upload, _ = uploads(dealt, 1)
    key = dealt.recover_mask_key(VICTIM, 1, dealt.names[1:]) or b""

    stolen = secrets_from_relays(dealt, opened_relays(dealt, [key]))
    seed = stolen.recover_seed(VICTIM, 1, dealt.names)
    seen = stripped(upload, entry, pads_by(key, dealt.mask_keys(1)), seed)

    np.testing.assert_array_equal(seen, UPDATE)


def test_sites_refuse_an_advert_with_one_key_for_channel_and_masks() -> None:
    dealt = play_epoch(5, n_entries=2, channel=channel_of_the_mask_key, verified=False)
    identities = {site: identity(site).identity for site in dealt.names}

    with pytest.raises(ProtocolError, match="one key in two places"):
        verify_adverts(list(dealt.adverts.values()), identities, dealt.epoch)


# Late uploads, and both kinds of shares


def test_a_late_upload_of_a_dropped_site_stays_closed_by_its_self_mask() -> None:
    dealt = play_epoch(5, n_entries=1)
    entry, late, used = uploads(dealt, 1)
    key = dealt.recover_mask_key(VICTIM, 1, dealt.names[1:]) or b""
    shares = dealt.shares(VICTIM, 1, 0, COLLUDING)  # what the colluding sites hold of b

    assert recover(shares, dealt.threshold, lambda _: True) is None
    seen = stripped(late, entry, pads_by(key, dealt.mask_keys(1)), None)
    assert is_closed(seen)
    assert used[VICTIM].mask_key == key


def test_an_upload_with_its_self_mask_opened_stays_closed_by_one_honest_pair() -> None:
    # All others but one are with the aggregator; what is left are the masks with that one.
    dealt = play_epoch(5, n_entries=1)
    entry, upload, used = uploads(dealt, 1)
    public = dealt.mask_keys(1)[VICTIM]
    known = {s: MaskKey(used[s].mask_key).secret_with(public) for s in dealt.names[2:]}

    seen = stripped(upload, entry, {**known, HONEST[0]: bytes(32)}, used[VICTIM].self_seed)

    assert is_closed(seen)


def test_both_kinds_of_shares_for_one_site_would_open_its_upload() -> None:
    # Why a site never gives both: with s and b there is no mask left.
    dealt = play_epoch(5, n_entries=1)
    entry, upload, _ = uploads(dealt, 1)
    key = dealt.recover_mask_key(VICTIM, 1, dealt.names[1:]) or b""
    seed = dealt.recover_seed(VICTIM, 1, dealt.names[1:])

    seen = stripped(upload, entry, pads_by(key, dealt.mask_keys(1)), seed)

    np.testing.assert_array_equal(seen, UPDATE)


# n, threshold and tolerated collusion from the table of S4, not from a formula of this project.
S4_TABLE = [(3, 3, 1), (4, 3, 1), (5, 4, 2), (6, 5, 3), (7, 5, 2), (10, 7, 3)]


def split_honest_sites(
    dealt: Dealt, n_colluding: int
) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Tell some honest sites that the victim dropped out and the others that it survived.

    Colluding sites give both kinds. The victim gives its own shares to those for whom it survived.
    """
    colluding = dealt.names[len(dealt.names) - n_colluding :]
    honest = dealt.names[1 : len(dealt.names) - n_colluding]
    for cut in range(len(honest) + 1):
        given_s, given_b = honest[:cut], (VICTIM, *honest[cut:])
        yield (
            dealt.recover_mask_key(VICTIM, 1, (*given_s, *colluding)),
            dealt.recover_seed(VICTIM, 1, (*given_b, *colluding)),
        )


@pytest.mark.parametrize(("n_sites", "threshold", "n_colluding"), S4_TABLE)
def test_no_split_of_the_honest_sites_gives_both_kinds_of_shares(
    n_sites: int, threshold: int, n_colluding: int
) -> None:
    dealt = play_epoch(n_sites, n_entries=1, threshold=threshold)

    for key, seed in split_honest_sites(dealt, n_colluding):
        assert key is None or seed is None


@pytest.mark.parametrize(
    ("n_sites", "threshold", "too_many"),
    # 2t - n colluding sites are one too many, wherever at least two honest sites are left.
    [(4, 3, 2), (5, 4, 3), (7, 5, 3), (10, 7, 4)],
)
def test_one_colluding_site_more_and_a_split_gives_both(
    n_sites: int, threshold: int, too_many: int
) -> None:
    dealt = play_epoch(n_sites, n_entries=1, threshold=threshold)

    both = [
        key is not None and seed is not None for key, seed in split_honest_sites(dealt, too_many)
    ]

    assert any(both)


# A site that is seized in the middle of an epoch


def live_secrets(secrets: EpochSecrets, held: HeldShares) -> list[bytes]:
    """Every private part that the site's objects still hold."""
    entries = secrets._entries.values()
    live = [part for entry in entries for part in (entry.mask_key, entry.self_seed)]
    if secrets._channel is not None:
        live.append(secrets._channel._private.private_bytes_raw())
    shares = [bytes(part) for part in held._of.values()]
    return live + [s[at : at + 32] for s in shares for at in range(0, len(s), 32) if any(s)]


def seize(dealt: Dealt) -> tuple[bytes | None, list[bytes]]:
    """Use what the victim holds after entry 1 on all that was relayed; look for its mask key."""
    live = live_secrets(dealt.secrets[VICTIM], dealt.held[VICTIM])
    stolen = secrets_from_relays(dealt, opened_relays(dealt, live))
    return stolen.recover_mask_key(VICTIM, 1, list(stolen.held)), live


def test_a_site_seized_after_an_entry_has_nothing_that_opens_it() -> None:
    dealt = play_epoch(5, n_entries=2)
    entry, upload, used = uploads(dealt, 1)
    dealt.held[VICTIM].erase_before(2)

    key, live = seize(dealt)

    assert key is None
    assert used[VICTIM].mask_key not in live and used[VICTIM].self_seed not in live
    # Its seed of the entry is public by now, and its next mask key was in memory.
    pads = pads_by(fixed_entry(VICTIM, 2, 0).mask_key, dealt.mask_keys(1))
    assert is_closed(stripped(upload, entry, pads, used[VICTIM].self_seed))


def test_with_a_channel_key_that_lives_on_the_used_entry_opens_again() -> None:
    # The shares that the site itself dealt were recorded on their way; its channel opens them.
    dealt = play_epoch(5, n_entries=2)
    entry, upload, used = uploads(dealt, 1)
    dealt.held[VICTIM].erase_before(2)
    dealt.secrets[VICTIM]._channel = ChannelKey(fixed("channel", VICTIM))

    key, _ = seize(dealt)
    seen = stripped(upload, entry, pads_by(key or b"", dealt.mask_keys(1)), used[VICTIM].self_seed)

    np.testing.assert_array_equal(seen, UPDATE)
