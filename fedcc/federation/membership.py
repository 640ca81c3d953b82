"""A site's place in a run: its identity, the roster it trusts, and the one plan it accepted.

The roster is accepted only if every identity is the one agreed out of band, and it stays the same
for the whole run.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from fedcc.crypto.keys import Advert, SiteKeys, roster_hash, verify_roster
from fedcc.errors import ProtocolError
from fedcc.federation.run_plan import RunPlan
from fedcc.training.checkpoints import write_whole


class Membership:
    """Identity and roster of one site."""

    def __init__(
        self, site: str, keys: SiteKeys, binding: Path, trusted: Mapping[str, bytes]
    ) -> None:
        """Hold what does not change.

        Args:
            site: whose membership.
            keys: its private keys.
            binding: file that ties this site's state to one session, see `take_session`.
            trusted: identity key of each site, agreed out of band.
        """
        self.site, self.keys = site, keys
        self._trusted, self._binding = trusted, binding
        self.roster: tuple[Advert, ...] = ()
        self.session = b""

    def take_session(self, roster: tuple[Advert, ...], plan: RunPlan) -> None:
        """Accept the roster and the plan of a run, once and for good.

        The session hash covers both. It enters every epoch, mask key, transcript and header, so
        sites that were shown different plans or rosters can neither cancel masks nor co-sign. It
        is kept on disk: after a restart nothing else is accepted with this site's keys and model.

        Raises:
            ProtocolError: if the roster is not that of the plan, or the session is another one.
            EnvelopeError: if an identity or signature does not match.
        """
        verify_roster(roster, self._trusted, plan.run)
        if [advert.site for advert in roster] != list(plan.sites) or self.site not in plan.sites:
            raise ProtocolError("the roster is not that of the plan")
        session = session_hash(roster, plan)
        place = json.dumps({"run": plan.run, "session": session.hex()})
        if self._binding.exists():
            if self._binding.read_text() != place:
                raise ProtocolError("the plan or the roster changed within a run")
        else:
            write_whole(self._binding, place.encode(), mode=0o600)
        self.roster, self.session = roster, session

    @property
    def identities(self) -> dict[str, bytes]:
        """Identity key of each site of the roster."""
        return {advert.site: advert.identity for advert in self.roster}


def session_hash(roster: tuple[Advert, ...], plan: RunPlan) -> bytes:
    """Return the hash of a run's roster and plan together."""
    parts = ["fedcc/session/v1", roster_hash(roster, plan.run).hex(), plan.sha256]
    return hashlib.sha256(json.dumps(parts).encode()).digest()
