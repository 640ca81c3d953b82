"""What a site or the aggregator must know of an epoch to check its rounds.

All but the HE key, which sites alone have, is public. A record outlives its epoch at a site until
every round that was closed in it is applied, also over a restart. The private parts of entries are
no part of it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from fedcc.crypto.entries import Epoch, EpochAdvert, epoch_binding, verify_adverts
from fedcc.crypto.masks import MaskEntry
from fedcc.crypto.thresholds import threshold
from fedcc.errors import ProtocolError, RecordError
from fedcc.federation.run_plan import RunPlan


def planned_epoch(
    plan: RunPlan, session: bytes, *, number: int, first_entry: int, rounds_left: int
) -> Epoch:
    """Return the public place of the next epoch; sites and aggregator derive the same.

    Args:
        plan: of the run.
        session: hash of roster and plan.
        number: of the epoch.
        first_entry: number of its first entry, one more than the attempts of the run so far.
        rounds_left: rounds from the next one to the end of the run.
    """
    entries = min(plan.rotate_every, rounds_left) + plan.max_attempts - plan.rounds
    return Epoch(
        session=session,
        number=number,
        first_entry=first_entry,
        n_entries=entries,
        n_excess=plan.noise_components.n_excess if plan.recovers else 0,
        shared=plan.recovers,
    )


@dataclass(frozen=True)
class EpochRecord:
    """An epoch, its members with their adverts, and the HE key where it is known."""

    epoch: Epoch
    adverts: tuple[EpochAdvert, ...]
    key_id: str
    key: bytes = b""  # at sites alone; the aggregator has none

    @cached_property
    def members(self) -> tuple[str, ...]:
        """Sites that dealt shares and hold them, in the order of the plan."""
        return tuple(advert.site for advert in self.adverts)

    @cached_property
    def by_site(self) -> Mapping[str, EpochAdvert]:
        """Advert of each member."""
        return {advert.site: advert for advert in self.adverts}

    @cached_property
    def binding(self) -> bytes:
        """Hash of place, adverts and key name."""
        return epoch_binding(self.epoch, self.adverts, self.key_id)

    def dealers(self, plan: RunPlan) -> tuple[str, ...]:
        """Return the members that may make the HE key, the first choice first.

        Each epoch begins with another one. As many may stand in for it as the plan can lose; that
        helps nobody, since every member holds the key anyway.
        """
        first = self.epoch.number % len(self.members)
        turned = (*self.members[first:], *self.members[:first])
        return turned[: 1 + len(plan.sites) - plan.min_sites]

    def point(self, site: str) -> int:
        """Return where a member's shares lie on every polynomial."""
        return 1 + self.members.index(site)

    def entry(
        self,
        plan: RunPlan,
        *,
        number: int,
        round_number: int,
        attempt: int,
        cohort: tuple[str, ...],
    ) -> MaskEntry:
        """Return the one-time place of an attempt.

        Raises:
            ProtocolError: if the epoch has no such entry.
        """
        self.epoch.index(number)
        return MaskEntry(
            plan.run, number, round_number, attempt, cohort, self.binding, plan.neighbours
        )

    def threshold(self, plan: RunPlan) -> int:
        """Return the shares that give a secret back: t of the members of the epoch."""
        return threshold(len(self.members), plan.min_sites)

    def needed(self, plan: RunPlan, cohort: Sequence[str]) -> int:
        """Return how many of a cohort must survive, and sign, so that its sum may be opened."""
        if plan.recovers:
            return self.threshold(plan)
        return len(cohort) if plan.masked else plan.min_sites

    def check_members(self, plan: RunPlan) -> None:
        """Refuse an epoch of strangers, of too few sites, or out of the order of the plan.

        Raises:
            ProtocolError: if so.
        """
        in_order = [site for site in plan.sites if site in self.by_site]
        if list(self.members) != in_order or len(in_order) < plan.min_sites:
            raise ProtocolError("the members of an epoch are unknown, unordered or too few")

    def to_bytes(self) -> bytes:
        """Return the record for the site's own secrets."""
        epoch = self.epoch
        values = {
            "session": epoch.session.hex(),
            "number": epoch.number,
            "first_entry": epoch.first_entry,
            "n_entries": epoch.n_entries,
            "n_excess": epoch.n_excess,
            "shared": epoch.shared,
            "adverts": {advert.site: advert.to_bytes().hex() for advert in self.adverts},
            "key_id": self.key_id,
            "key": self.key.hex(),
        }
        return json.dumps(values).encode()

    @classmethod
    def from_bytes(
        cls, content: bytes, source: str, identities: Mapping[str, bytes]
    ) -> "EpochRecord":
        """Read a record from the site's own secrets.

        Raises:
            RecordError: names the file and nothing of its content.
        """
        try:
            values = json.loads(content)
            epoch = Epoch(
                session=bytes.fromhex(values["session"]),
                number=int(values["number"]),
                first_entry=int(values["first_entry"]),
                n_entries=int(values["n_entries"]),
                n_excess=int(values["n_excess"]),
                shared=bool(values["shared"]),
            )
            adverts = tuple(
                EpochAdvert.from_bytes(site, bytes.fromhex(text), epoch)
                for site, text in values["adverts"].items()
            )
            verify_adverts(adverts, identities, epoch)
            return cls(epoch, adverts, str(values["key_id"]), bytes.fromhex(values["key"]))
        except (ValueError, KeyError, TypeError, AttributeError, ProtocolError, RecursionError):
            raise RecordError(f"{source} does not hold the record of an epoch.") from None
