"""A site's place in a run: its keys, the roster it trusts, and the HE epoch key.

The roster is accepted only if every identity is the one agreed out of band, and it stays the same
for the whole run. The epoch key is dealt by one site, sealed to each other, and named by an HMAC
under itself.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from fedcc.crypto import contexts
from fedcc.crypto.keys import Advert, SiteKeys, roster_hash, verify_roster, verify_signature
from fedcc.crypto.masks import MaskEntry
from fedcc.errors import EnvelopeError, ProtocolError
from fedcc.federation.messages import Parcel
from fedcc.federation.run_plan import RunPlan
from fedcc.training.checkpoints import write_whole


class Membership:
    """Keys and roster of one site."""

    def __init__(
        self,
        site: str,
        keys: SiteKeys,
        epoch_key: Path,
        binding: Path,
        trusted: Mapping[str, bytes],
    ) -> None:
        """Take up what an earlier part of the run left on disk.

        Args:
            site: whose membership.
            keys: its private keys.
            epoch_key: file of the HE key.
            binding: file that ties this site's state to one session, see `take_session`.
            trusted: identity key of each site, agreed out of band.
        """
        self.site, self.keys = site, keys
        self._trusted = trusted
        self._file, self._binding = epoch_key, binding
        self.epoch_key = epoch_key.read_bytes() if epoch_key.exists() else None
        self.roster: tuple[Advert, ...] = ()
        self.session = b""
        self._secrets: dict[str, bytes] = {}

    def take_session(self, roster: tuple[Advert, ...], plan: RunPlan) -> None:
        """Accept the roster and the plan of a run, once and for good.

        The session hash covers both. It enters every mask key, transcript and header, so sites
        that were shown different plans or rosters can neither cancel masks nor co-sign. It is kept
        on disk: after a restart nothing else is accepted with this site's keys and model.

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

    def deal(self, plan: RunPlan) -> Parcel:
        """Make the epoch key, unless there is one, and seal it to every site of the roster.

        Raises:
            ProtocolError: if this site is not the first of the roster, or there is no encryption.
        """
        if self.roster[0].site != self.site or plan.scheme == "none":
            raise ProtocolError("this site does not deal a key in this run")
        if self.epoch_key is None:
            self._keep(contexts.create_epoch_key(plan.scheme))
        key = self.epoch_key or b""
        sealed = [self.keys.seal(peer, key, self._label(peer.site)) for peer in self.roster]
        # Public: parameters and name of the key. The key itself is sealed to each site.
        parameters, key_name = contexts.parameter_bytes(key), contexts.key_id(key)
        return Parcel({"parameters": parameters, "key_id": key_name}, {"sealed_keys": sealed})

    def open_epoch_key(self, sealed: bytes, named: str) -> None:
        """Take the epoch key that the roster's first site dealt.

        Raises:
            EnvelopeError: if it does not open, or is not the key that was named to all.
        """
        key = self.epoch_key
        if key is None:
            key = self.keys.open(self.roster[0], sealed, self._label(self.site))
        if contexts.key_id(key) != named:
            raise EnvelopeError("the epoch key is not the one that was named")
        if self.epoch_key is None:
            self._keep(key)

    def _label(self, receiver: str) -> str:
        return json.dumps(["epoch-key", self.session.hex(), receiver])

    def _keep(self, key: bytes) -> None:
        self.epoch_key = key
        write_whole(self._file, key, mode=0o600)

    @property
    def key_name(self) -> str:
        """Public name of the epoch key; `none` without encryption."""
        return "none" if self.epoch_key is None else contexts.key_id(self.epoch_key)

    def mask_secrets(self, peers: Iterable[str]) -> dict[str, bytes]:
        """Return the X25519 secret with each peer; every one is computed once."""
        missing = set(peers) - set(self._secrets)
        for advert in self.roster:
            if advert.site in missing:
                self._secrets[advert.site] = self.keys.mask_secret(advert)
        return self._secrets

    def check_cohort(self, cohort: tuple[str, ...], min_sites: int) -> None:
        """Refuse a cohort that holds strangers or too few sites.

        Raises:
            ProtocolError: if so.
        """
        known = {advert.site for advert in self.roster}
        if not set(cohort) <= known or len(cohort) < min_sites:
            raise ProtocolError("the cohort is unknown or too small")

    def check_signatures(
        self, entry: MaskEntry, transcript: bytes, signatures: Mapping[str, bytes]
    ) -> None:
        """Check that this site and all its peers signed one transcript, and nobody is missing.

        Each honest site checks its own peers; the peers of honest sites connect all of them, so
        they all signed the same. A site that missed the round has no peers in it and checks all.

        Raises:
            EnvelopeError: if a signature is missing, too many or wrong.
        """
        identities = {advert.site: advert.identity for advert in self.roster}
        if set(signatures) != set(entry.cohort):
            raise EnvelopeError("not every survivor signed")
        took_part = self.site in entry.cohort
        checked = (self.site, *entry.peers(self.site)) if took_part else entry.cohort
        for site in checked:
            verify_signature(identities[site], signatures[site], transcript)


def session_hash(roster: tuple[Advert, ...], plan: RunPlan) -> bytes:
    """Return the hash of a run's roster and plan together."""
    parts = ["fedcc/session/v1", roster_hash(roster, plan.run).hex(), plan.sha256]
    return hashlib.sha256(json.dumps(parts).encode()).digest()
