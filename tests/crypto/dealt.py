"""One epoch as its sites play it with the crypto core; keys are fixed, shares are not."""

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

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
from fedcc.crypto.masks import MaskEntry, Slots, add_mod, dropped_pairs, pairwise_mask, self_mask

SESSION = bytes(range(32))
RUN = "run-1"


def fixed(*names: object) -> bytes:
    return hashlib.sha256(repr(names).encode()).digest()


def names_of(n_sites: int) -> tuple[str, ...]:
    return tuple(f"site-{index}" for index in range(n_sites))


def usual_threshold(n_sites: int) -> int:
    return 2 * n_sites // 3 + 1


def identity(site: str) -> SiteKeys:
    return SiteKeys(fixed("identity", site))


def fixed_entry(site: str, number: int, n_excess: int) -> EntrySecrets:
    excess = tuple(fixed("excess", site, number, part) for part in range(n_excess))
    return EntrySecrets(fixed("mask", site, number), fixed("self", site, number), excess)


def fixed_channel(site: str, _: Sequence[EntrySecrets]) -> ChannelKey:
    return ChannelKey(fixed("channel", site))


def fixed_secrets(
    site: str,
    epoch: Epoch,
    entry: Callable[[str, int, int], EntrySecrets] = fixed_entry,
    channel: Callable[[str, Sequence[EntrySecrets]], ChannelKey] = fixed_channel,
) -> EpochSecrets:
    """Return secrets as `EpochSecrets.create` does; flawed designs hand in other makers."""
    entries = [
        entry(site, epoch.first_entry + index, epoch.n_excess) for index in range(epoch.n_entries)
    ]
    return EpochSecrets(epoch, entries, channel(site, entries))


@dataclass
class Dealt:
    """An epoch after all shares were delivered, and everything that the aggregator relayed."""

    epoch: Epoch
    threshold: int
    secrets: dict[str, EpochSecrets]
    adverts: dict[str, EpochAdvert]
    relayed: dict[tuple[str, str], bytes]  # (sender, receiver) -> sealed shares
    held: dict[str, HeldShares] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.adverts)

    def entry(self, number: int, *, neighbours: int = 0) -> MaskEntry:
        binding = epoch_binding(self.epoch, list(self.adverts.values()), "key")
        return MaskEntry(RUN, number, number, 1, self.names, binding, neighbours)

    def mask_keys(self, number: int) -> dict[str, bytes]:
        return {s: advert.mask_key(self.epoch, number) for s, advert in self.adverts.items()}

    def upload(self, site: str, entry: MaskEntry, slots: Slots) -> tuple[Slots, EntrySecrets]:
        """Use an entry up as a site does: mask, then drop what came before."""
        taken = self.secrets[site].take(entry.number)
        own, public = MaskKey(taken.mask_key), self.mask_keys(entry.number)
        pads = {peer: own.secret_with(public[peer]) for peer in entry.peers(site)}
        masked = add_mod(slots, pairwise_mask(site, pads, entry, slots.size))
        return add_mod(masked, self_mask(taken.self_seed, site, entry, slots.size)), taken

    def shares(self, of: str, number: int, part: int | None, by: Collection[str]) -> dict:
        """Return the shares that sites hold of a seed, or (`None`) of a mask key."""
        held = [self.held[site] for site in by]
        return {
            h.point: h.mask_key(of, number) if part is None else h.seed(of, number, part)
            for h in held
        }

    def recover_mask_key(self, of: str, number: int, by: Collection[str]) -> bytes | None:
        public = self.mask_keys(number)[of]
        shares = self.shares(of, number, None, by)
        return recover(shares, self.threshold, lambda raw: MaskKey(raw).public == public)

    def recover_seed(
        self, of: str, number: int, by: Collection[str], part: int = SELF
    ) -> bytes | None:
        committed = self.adverts[of].commitment(self.epoch, number, part)
        shares = self.shares(of, number, part, by)
        return recover(
            shares,
            self.threshold,
            lambda seed: commitment(self.epoch, number, of, part, seed) == committed,
        )

    def recover_pairs(
        self, entry: MaskEntry, survivors: Collection[str]
    ) -> dict[tuple[str, str], bytes]:
        """Return the secrets of dropped sites with survivors, from the survivors' shares."""
        public, pairs = self.mask_keys(entry.number), {}
        keys: dict[str, MaskKey] = {}
        for dropped, survivor in dropped_pairs(entry, survivors):
            if dropped not in keys:
                raw = self.recover_mask_key(dropped, entry.number, survivors)
                keys[dropped] = MaskKey(raw or b"")
            pairs[dropped, survivor] = keys[dropped].secret_with(public[survivor])
        return pairs


def play_epoch(
    n_sites: int,
    *,
    n_entries: int = 2,
    n_excess: int = 0,
    threshold: int | None = None,
    entry: Callable[[str, int, int], EntrySecrets] = fixed_entry,
    channel: Callable[[str, Sequence[EntrySecrets]], ChannelKey] = fixed_channel,
    verified: bool = True,
) -> Dealt:
    """Advertise, check, deal, relay and open the shares of one epoch."""
    epoch = Epoch(SESSION, 1, 1, n_entries, n_excess, shared=True)
    names, needed = names_of(n_sites), threshold or usual_threshold(n_sites)
    secrets = {site: fixed_secrets(site, epoch, entry, channel) for site in names}
    adverts = {site: made.advert(site, identity(site)) for site, made in secrets.items()}
    if verified:
        verify_adverts(list(adverts.values()), {s: identity(s).identity for s in names}, epoch)
    relayed = {
        (sender, receiver): sealed
        for sender in names
        for receiver, sealed in zip(
            names, secrets[sender].deal(sender, list(adverts.values()), needed), strict=True
        )
    }
    dealt = Dealt(epoch, needed, secrets, adverts, relayed)
    dealt.held = {site: open_all(dealt, site) for site in names}
    return dealt


def open_all(dealt: Dealt, site: str) -> HeldShares:
    held = HeldShares(dealt.epoch, dealt.names.index(site) + 1)
    for sender in dealt.names:
        label = dealt.epoch.label("shares", sender, site)
        channel = dealt.secrets[site].channel
        sealed = dealt.relayed[sender, site]
        held.take(sender, channel.open(dealt.adverts[sender].channel, sealed, label))
    return held


def slots_of(n_sites: int, size: int, *, seed: int, modulus: int) -> np.ndarray:
    """Return random slots over the whole range, with its ends among them, shape (sites, size)."""
    slots = np.random.default_rng(seed).integers(0, modulus, (n_sites, size), dtype=np.uint64)
    slots[:, 0], slots[:, 1] = 0, modulus - 1
    return slots
