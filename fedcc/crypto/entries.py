"""One-time entries: keys and seeds for one attempt each, dealt for an epoch, used once, dropped.

An epoch is a block of attempts. At its start every site makes, for each attempt to come, a mask
key, a self-mask seed and seeds of excess noise, advertises the public key and commitments to the
seeds, and shares all of them (Shamir) with the sites of the epoch over a channel key that is never
shared itself. What is recovered of one entry therefore opens nothing of any other, and nothing of
what travelled over the channels. Private parts live in memory alone: a site that restarts has lost
them, takes no further part in the epoch and cannot use a pad twice. The channel key is dropped when
the first entry is taken: as long as it lived, recorded messages would open again, and with them the
shares of entries that were used and dropped. Python cannot promise that no copy stays in memory.

Source: Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine Learning",
2017 (two key pairs, both kinds of shares).
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from fedcc.crypto import shamir
from fedcc.crypto.keys import ChannelKey, MaskKey, SiteKeys, verify_signature
from fedcc.crypto.masks import SEED_BYTES
from fedcc.errors import ProtocolError
from fedcc.rng import ByteSource

PART_BYTES = 32  # bytes of every key, seed, commitment and share
_SIGNATURE = 64
SELF = 0  # part of an entry that holds the self-mask seed; excess seeds are parts 1, 2, …


@dataclass(frozen=True)
class Epoch:
    """The public place of an epoch; it enters every signature and commitment of it.

    Raises:
        ProtocolError: for numbers that no epoch has.
    """

    session: bytes  # hash of roster and plan
    number: int  # from 1, rising within a run
    first_entry: int  # number of the first entry; numbers run through the whole run
    n_entries: int
    n_excess: int  # seeds of excess noise per entry
    shared: bool  # whether entries are shared, so that dropouts can be recovered

    def __post_init__(self) -> None:
        """Check the numbers."""
        if min(self.number, self.first_entry) < 1 or min(self.n_entries, self.n_excess) < 0:
            raise ProtocolError("an epoch has impossible numbers")
        if self.n_excess and not self.shared:
            raise ProtocolError("excess noise needs shared entries")

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of all parts."""
        place = (self.number, self.first_entry, self.n_entries, self.n_excess, self.shared)
        return hashlib.sha256(
            json.dumps(["fedcc/epoch/v1", self.session.hex(), *place]).encode()
        ).digest()

    @property
    def n_mask_keys(self) -> int:
        """Mask keys that a site advertises.

        Without recovery no mask key is ever opened, so one serves the epoch: the number of the
        entry is in the derivation of every pad.
        """
        return self.n_entries if self.shared else 1

    @property
    def advert_bytes(self) -> int:
        """Length of the public parts that one site advertises."""
        commitments = (1 + self.n_excess) * self.n_entries if self.shared else 0
        return PART_BYTES * (1 + self.n_mask_keys + commitments)

    @property
    def share_bytes(self) -> int:
        """Length of the shares that one site deals to another."""
        return self.n_entries * (2 + self.n_excess) * PART_BYTES if self.shared else 0

    def index(self, number: int) -> int:
        """Return the place of an entry in the epoch.

        Raises:
            ProtocolError: if the epoch has no such entry.
        """
        if not self.first_entry <= number < self.first_entry + self.n_entries:
            raise ProtocolError("the epoch has no such entry")
        return number - self.first_entry

    def label(self, kind: str, sender: str, receiver: str) -> str:
        """Return what is bound into a sealed message of this epoch."""
        return json.dumps([kind, self.digest.hex(), sender, receiver])


def commitment(epoch: Epoch, number: int, site: str, part: int, seed: bytes) -> bytes:
    """Return the hash by which a site commits to a seed of one entry.

    Args:
        epoch: of the entry.
        number: of the entry.
        site: that commits.
        part: `SELF`, or the index of an excess component from 1.
        seed: 32 random bytes, which is why the hash hides them.
    """
    place = json.dumps(["fedcc/commitment/v1", epoch.digest.hex(), number, site, part])
    return hashlib.sha256(place.encode() + seed).digest()


@dataclass(frozen=True)
class EpochAdvert:
    """What a site shows of its epoch; everything is public.

    `parts` is the channel key, then the mask keys, then for each entry the commitments to its
    self-mask seed and its excess seeds, 32 bytes each.
    """

    site: str
    parts: bytes
    signature: bytes  # by the identity, over epoch, site and parts

    def to_bytes(self) -> bytes:
        """Return signature and parts, as they travel."""
        return self.signature + self.parts

    @classmethod
    def from_bytes(cls, site: str, content: bytes, epoch: Epoch) -> "EpochAdvert":
        """Read an advert; its signature is checked by `verify_adverts`.

        Raises:
            ProtocolError: if it has not the length that the epoch prescribes.
        """
        if len(content) != _SIGNATURE + epoch.advert_bytes:
            raise ProtocolError("an advert of an epoch has the wrong length")
        return cls(site, content[_SIGNATURE:], content[:_SIGNATURE])

    def signed_bytes(self, epoch: Epoch) -> bytes:
        """Return what the signature covers."""
        place = json.dumps(["fedcc/epoch-advert/v1", epoch.digest.hex(), self.site])
        return place.encode() + hashlib.sha256(self.parts).digest()

    @property
    def channel(self) -> bytes:
        """X25519 public key of the channel."""
        return self._part(0)

    def mask_key(self, epoch: Epoch, number: int) -> bytes:
        """Return the X25519 public mask key of one entry."""
        index = epoch.index(number)
        return self._part(1 + (index if epoch.shared else 0))

    def commitment(self, epoch: Epoch, number: int, part: int) -> bytes:
        """Return the commitment to one seed of one entry.

        Raises:
            ProtocolError: if there is none.
        """
        if not epoch.shared or not 0 <= part <= epoch.n_excess:
            raise ProtocolError("the epoch has no such commitment")
        per_entry = 1 + epoch.n_excess
        return self._part(1 + epoch.n_mask_keys + per_entry * epoch.index(number) + part)

    def keys(self, epoch: Epoch) -> list[bytes]:
        """Return the channel key and all mask keys."""
        return [self._part(index) for index in range(1 + epoch.n_mask_keys)]

    def _part(self, index: int) -> bytes:
        return self.parts[PART_BYTES * index : PART_BYTES * (index + 1)]


def verify_adverts(
    adverts: Sequence[EpochAdvert], identities: Mapping[str, bytes], epoch: Epoch
) -> None:
    """Check the adverts of an epoch against the identities of the roster.

    Raises:
        ProtocolError: for a repeated or unknown site, a length that is not the epoch's, or a site
            that shows one key in two places: what is recovered of one entry would open another,
            or the channel.
        EnvelopeError: if a signature does not match.
    """
    names = [advert.site for advert in adverts]
    if len(set(names)) != len(names) or not set(names) <= set(identities):
        raise ProtocolError("the adverts of an epoch name a site twice, or a stranger")
    for advert in adverts:
        if len(advert.parts) != epoch.advert_bytes:
            raise ProtocolError("an advert of an epoch has the wrong length")
        signed = advert.signed_bytes(epoch)
        verify_signature(identities[advert.site], advert.signature, signed)
        if len(set(advert.keys(epoch))) != 1 + epoch.n_mask_keys:
            raise ProtocolError("an advert of an epoch shows one key in two places")


def epoch_binding(epoch: Epoch, adverts: Sequence[EpochAdvert], key_id: str) -> bytes:
    """Return the hash of an epoch's place, all its adverts and the name of its HE key.

    It is the salt of every pad of the epoch and enters every header and transcript, so sites that
    were shown different adverts or keys can neither cancel masks nor co-sign.
    """
    digest = hashlib.sha256(json.dumps(["fedcc/binding/v1", epoch.digest.hex(), key_id]).encode())
    for advert in adverts:
        digest.update(hashlib.sha256(advert.signed_bytes(epoch) + advert.signature).digest())
    return digest.digest()


@dataclass(frozen=True)
class EntrySecrets:
    """The private parts of one entry at one site; they do not show when printed."""

    mask_key: bytes = field(repr=False)  # X25519
    self_seed: bytes = field(repr=False)
    excess_seeds: tuple[bytes, ...] = field(repr=False)

    def to_bytes(self) -> bytes:
        """Return mask key, self-mask seed and excess seeds, as they are shared."""
        return b"".join((self.mask_key, self.self_seed, *self.excess_seeds))

    def part(self, part: int) -> bytes:
        """Return the self-mask seed (`SELF`) or an excess seed (from 1).

        Raises:
            ProtocolError: if there is none.
        """
        if not SELF <= part <= len(self.excess_seeds):
            raise ProtocolError("an entry has no such seed")
        return self.self_seed if part == SELF else self.excess_seeds[part - 1]


class EpochSecrets:
    """A site's private parts of one epoch; never written to disk."""

    def __init__(self, epoch: Epoch, entries: Sequence[EntrySecrets], channel: ChannelKey) -> None:
        """Hold what `create` made."""
        self.epoch = epoch
        self._channel: ChannelKey | None = channel
        self._entries = dict(enumerate(entries, start=epoch.first_entry))

    @classmethod
    def create(
        cls, epoch: Epoch, excess_source: Callable[[int], ByteSource] = lambda number: os.urandom
    ) -> "EpochSecrets":
        """Return fresh secrets from the operating system's generator.

        Args:
            epoch: for which.
            excess_source: gives, by the number of an entry, the source of its seeds of excess
                noise; a seeded one in repeatable simulations.
        """
        keys = [os.urandom(PART_BYTES) for _ in range(epoch.n_mask_keys)]
        entries = [
            EntrySecrets(
                keys[index if epoch.shared else 0],
                os.urandom(SEED_BYTES),
                _seeds(excess_source(epoch.first_entry + index), epoch.n_excess),
            )
            for index in range(epoch.n_entries)
        ]
        return cls(epoch, entries, ChannelKey.create())

    @property
    def channel(self) -> ChannelKey:
        """The key that seals and opens shares.

        Raises:
            ProtocolError: once an entry was taken; see the module's docstring.
        """
        if self._channel is None:
            raise ProtocolError("the channel of this epoch is closed")
        return self._channel

    def advert(self, site: str, keys: SiteKeys) -> EpochAdvert:
        """Return the signed public parts.

        Raises:
            ProtocolError: once an entry was taken.
        """
        epoch = self.epoch
        entries = [self._entries[number] for number in sorted(self._entries)]
        mask_keys = [MaskKey(entry.mask_key).public for entry in entries[: epoch.n_mask_keys]]
        if not mask_keys:  # an epoch without masks still has the place of one key
            mask_keys = [bytes(PART_BYTES)] * epoch.n_mask_keys
        commitments = [
            commitment(epoch, number, site, part, entry.part(part))
            for number, entry in sorted(self._entries.items())
            for part in range(1 + epoch.n_excess)
            if epoch.shared
        ]
        parts = b"".join((self.channel.public, *mask_keys, *commitments))
        unsigned = EpochAdvert(site, parts, b"")
        return EpochAdvert(site, parts, keys.sign(unsigned.signed_bytes(epoch)))

    def deal(self, site: str, adverts: Sequence[EpochAdvert], threshold: int) -> list[bytes]:
        """Return the shares of all entries, sealed to each site in the order of the adverts.

        Every byte is shared with its own random polynomial, so each key and seed is shared on its
        own. A site holds a share of its own secrets too, like everybody.

        Raises:
            ProtocolError: once an entry was taken; if this site's own advert is missing or not the
                one it made; or if the threshold is above the number of sites, or not above half
                of it, so that two sets of sites could open both kinds of shares.
        """
        if self.channel.public not in [a.channel for a in adverts if a.site == site]:
            raise ProtocolError("the adverts of an epoch lack this site's own")
        if not self.epoch.shared:
            return [b""] * len(adverts)
        if not len(adverts) < 2 * threshold <= 2 * len(adverts):
            raise ProtocolError("the threshold of an epoch does not fit its number of sites")
        secret = b"".join(self._entries[n].to_bytes() for n in sorted(self._entries))
        shares = shamir.split(secret, threshold=threshold, n_shares=len(adverts), source=os.urandom)
        return [
            self.channel.seal(
                receiver.channel, share, self.epoch.label("shares", site, receiver.site)
            )
            for receiver, share in zip(adverts, shares, strict=True)
        ]

    def take(self, number: int) -> EntrySecrets:
        """Return the secrets of an entry, once; earlier ones and the channel are dropped.

        Raises:
            ProtocolError: if the entry was used, skipped or never there.
        """
        self.epoch.index(number)
        if number not in self._entries:
            raise ProtocolError("this entry was used before")
        taken, self._channel = self._entries[number], None
        self._entries = {n: entry for n, entry in self._entries.items() if n > number}
        return taken


def _seeds(source: ByteSource, count: int) -> tuple[bytes, ...]:
    return tuple(source(SEED_BYTES) for _ in range(count))
