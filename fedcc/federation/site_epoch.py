"""A site's part in an epoch: it advertises, shares, takes the HE key, and keeps what it must.

The private parts of the one-time entries, and the shares of the other sites' entries, live in this
object alone. A restart loses them, so no pad can be used twice; the site takes part again from the
next epoch on. Records of epochs are kept on disk until their rounds are applied.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from fedcc.crypto import contexts
from fedcc.crypto.entries import EntrySecrets, Epoch, EpochAdvert, EpochSecrets, verify_adverts
from fedcc.crypto.held_shares import HeldShares
from fedcc.crypto.keys import SiteKeys
from fedcc.errors import EnvelopeError, ProtocolError
from fedcc.federation.epoch_record import EpochRecord
from fedcc.federation.messages import Parcel, bytes_map
from fedcc.federation.run_plan import RunPlan
from fedcc.rng import ByteSource
from fedcc.training.checkpoints import write_whole

_FILE = re.compile(r"epoch-(\d{6})\.json")


class SiteEpochs:
    """The epochs of one run at one site."""

    def __init__(self, site: str, keys: SiteKeys, folder: Path) -> None:
        """Name the folder of the records; nothing is touched.

        Args:
            site: whose epochs.
            keys: its identity.
            folder: of the records, the site's own secrets.
        """
        self._site, self._keys, self._folder = site, keys, folder
        self._secrets: EpochSecrets | None = None
        self._own = b""  # this site's advert, as it travels
        self._adverts: tuple[EpochAdvert, ...] = ()
        self._dealt_key = b""
        self.record: EpochRecord | None = None  # of the epoch that has begun
        self.held: HeldShares | None = None

    @property
    def number(self) -> int:
        """The epoch in which this site can take part; 0 if there is none."""
        return self.record.epoch.number if self.record is not None else 0

    def advertise(self, epoch: Epoch, excess_source: Callable[[int], ByteSource]) -> bytes:
        """Make fresh secrets and return their public parts; an epoch that was begun ends here.

        Raises:
            ProtocolError: if an epoch of that number was there before.
        """
        if epoch.number <= max(self._numbers(), default=0):
            raise ProtocolError("an epoch of this number was there before")
        self.record, self.held, self._adverts, self._dealt_key = None, None, (), b""
        self._secrets = EpochSecrets.create(epoch, excess_source)
        self._own = self._secrets.advert(self._site, self._keys).to_bytes()
        return self._own

    def share(self, adverts: str, identities: Mapping[str, bytes], plan: RunPlan) -> list[bytes]:
        """Check all adverts and return this site's shares, sealed to each member in their order.

        Args:
            adverts: of all members, as they travel.
            identities: of the roster.
            plan: of the run.

        Raises:
            ProtocolError: if members are unknown, too few or unordered, this site is not among
                them, or it shared before.
            EnvelopeError: if a signature does not match.
        """
        secrets = self._fresh()
        if self._adverts:
            raise ProtocolError("this site has shared its entries of the epoch before")
        epoch = secrets.epoch
        found = _verified(adverts, tuple(identities.items()), epoch)
        pending = EpochRecord(epoch, found, "pending")
        pending.check_members(plan)
        own = pending.by_site.get(self._site)
        if own is None or own.to_bytes() != self._own:
            raise ProtocolError("this site's advert is not among those of the epoch")
        self._adverts = found
        return secrets.deal(self._site, found, pending.threshold(plan) if epoch.shared else 1)

    def deal(self, plan: RunPlan) -> Parcel:
        """Make the HE key of the epoch and seal it to every member.

        Raises:
            ProtocolError: if it is not this site's turn, or there is no encryption.
        """
        secrets, pending = self._pending()
        if self._site not in pending.dealers(plan) or plan.scheme == "none":
            raise ProtocolError("this site does not deal a key in this epoch")
        if not self._dealt_key:
            self._dealt_key = contexts.create_epoch_key(plan.scheme)
        key = self._dealt_key
        sealed = [
            secrets.channel.seal(
                advert.channel, key, secrets.epoch.label("epoch-key", self._site, advert.site)
            )
            for advert in self._adverts
        ]
        # Public: parameters and name of the key. The key itself is sealed to each site.
        parameters, key_name = contexts.parameter_bytes(key), contexts.key_id(key)
        return Parcel({"parameters": parameters, "key_id": key_name}, {"sealed_keys": sealed})

    def begin(self, request: Parcel, plan: RunPlan) -> None:
        """Take the HE key and the shares of the other members; the record is on disk afterwards.

        Shares of a site that do not open are left out: should that site drop out, fewer remain to
        recover its masks.

        Raises:
            EnvelopeError: if the key does not open, or is not the one that was named to all.
            ProtocolError: if there is not one sealed message for each member, or the dealer is not
                one of this epoch.
        """
        secrets, pending = self._pending()
        key_name, shares = request.text("key_id"), request.chunks.get("shares", [])
        key = b""
        if plan.scheme != "none":
            if request.text("dealer") not in pending.dealers(plan):
                raise ProtocolError("it is not this site's turn to deal a key")
            dealer = pending.by_site[request.text("dealer")]
            label = secrets.epoch.label("epoch-key", dealer.site, self._site)
            key = secrets.channel.open(dealer.channel, request.raw("sealed_key"), label)
            if contexts.key_id(key) != key_name:
                raise EnvelopeError("the epoch key is not the one that was named")
        elif key_name != "none":
            raise EnvelopeError("the epoch key is not the one that was named")
        held = HeldShares(secrets.epoch, pending.point(self._site))
        if secrets.epoch.shared:
            if len(shares) != len(self._adverts):
                raise ProtocolError("there must be one sealed message of shares for each member")
            for advert, sealed in zip(self._adverts, shares, strict=True):
                label = secrets.epoch.label("shares", advert.site, self._site)
                try:
                    held.take(advert.site, secrets.channel.open(advert.channel, sealed, label))
                except EnvelopeError:
                    continue
        record = EpochRecord(secrets.epoch, self._adverts, key_name, key)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        write_whole(self._file(secrets.epoch.number), record.to_bytes(), mode=0o600)
        self.record, self.held = record, held

    def lacking(self) -> list[str]:
        """Return the members whose shares this site does not hold."""
        if self.record is None or self.held is None or not self.record.epoch.shared:
            return []
        return [site for site in self.record.members if site not in self.held.dealers]

    def take(self, number: int) -> EntrySecrets:
        """Return the secrets of an entry, once; it and all before it are gone afterwards.

        Raises:
            ProtocolError: if the entry was used, skipped or never there.
        """
        if self.record is None or self.held is None:
            raise ProtocolError("this site has no part in the epoch")
        taken = self._fresh().take(number)
        self.held.erase_before(number)
        return taken

    def record_of(self, number: int, identities: Mapping[str, bytes]) -> EpochRecord:
        """Return the record of an epoch, this one's or an earlier one's from disk.

        Raises:
            ProtocolError: if this site had no part in it, or all its rounds were applied.
            RecordError: if its file is damaged.
        """
        if self.record is not None and self.record.epoch.number == number:
            return self.record
        path = self._file(number)
        if not path.exists():
            raise ProtocolError("this site had no part in the epoch of a closed round")
        return EpochRecord.from_bytes(path.read_bytes(), path.name, identities)

    def forget_before(self, number: int) -> None:
        """Remove the records, with their keys, of all epochs below a number."""
        for old in self._numbers():
            if old < number:
                self._file(old).unlink(missing_ok=True)

    def _fresh(self) -> EpochSecrets:
        if self._secrets is None:
            raise ProtocolError("no epoch was advertised")
        return self._secrets

    def _pending(self) -> tuple[EpochSecrets, EpochRecord]:
        secrets = self._fresh()
        if not self._adverts:
            raise ProtocolError("the entries of the epoch were not shared")
        return secrets, EpochRecord(secrets.epoch, self._adverts, "pending")

    def _file(self, number: int) -> Path:
        return self._folder / f"epoch-{number:06d}.json"

    def _numbers(self) -> list[int]:
        found = [_FILE.fullmatch(path.name) for path in self._folder.glob("epoch-*.json")]
        return [int(match[1]) for match in found if match is not None]


@lru_cache(maxsize=1)
def _verified(
    adverts: str, identities: tuple[tuple[str, bytes], ...], epoch: Epoch
) -> tuple[EpochAdvert, ...]:
    """Return adverts whose signatures match; the sites of one process check the same ones once.

    Raises:
        ProtocolError: if they have another shape, or name a stranger or a site twice.
        EnvelopeError: if a signature does not match.
    """
    parts = bytes_map(adverts).items()
    found = tuple(EpochAdvert.from_bytes(site, content, epoch) for site, content in parts)
    verify_adverts(found, dict(identities), epoch)
    return found
