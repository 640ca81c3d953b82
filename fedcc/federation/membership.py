"""A site's place in a run: its keys, the roster it trusts, and the HE epoch key.

The roster is accepted only if every identity is the one agreed out of band, and it stays the same
for the whole run. The epoch key is dealt by one site, sealed to each other, and named by an HMAC
under itself.
"""

from collections.abc import Mapping
from pathlib import Path

from fedcc.crypto import contexts
from fedcc.crypto.keys import Advert, SiteKeys, roster_hash, verify_roster, verify_signature
from fedcc.crypto.masks import MaskEntry
from fedcc.crypto.parameters import Scheme
from fedcc.errors import EnvelopeError, ProtocolError
from fedcc.federation.messages import Parcel
from fedcc.training.checkpoints import write_whole


class Membership:
    """Keys and roster of one site."""

    def __init__(
        self, site: str, keys: SiteKeys, epoch_key: Path, trusted: Mapping[str, bytes]
    ) -> None:
        """Take up an epoch key that an earlier part of the run left on disk."""
        self.site, self.keys = site, keys
        self._trusted = trusted
        self._file = epoch_key
        self.epoch_key = epoch_key.read_bytes() if epoch_key.exists() else None
        self.roster: tuple[Advert, ...] = ()
        self.roster_hash = b""
        self._run = ""

    def take_roster(self, roster: tuple[Advert, ...], run: str) -> None:
        """Accept the roster of a run, once.

        Raises:
            ProtocolError: if it lacks this site or differs from what was accepted before.
            EnvelopeError: if an identity or signature does not match.
        """
        verify_roster(roster, self._trusted, run)
        if self.site not in [advert.site for advert in roster]:
            raise ProtocolError("the roster does not name this site")
        if self.roster and (self._run, self.roster) != (run, roster):
            raise ProtocolError("the roster changed within a run")
        self._run, self.roster, self.roster_hash = run, roster, roster_hash(roster, run)

    def deal(self, scheme: Scheme) -> Parcel:
        """Make the epoch key, unless there is one, and seal it to every site of the roster."""
        if self.epoch_key is None:
            self._keep(contexts.create_epoch_key(scheme))
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
        if self.epoch_key is None:
            self._keep(self.keys.open(self.roster[0], sealed, self._label(self.site)))
        if self.key_name != named:
            raise EnvelopeError("the epoch key is not the one that was named")

    def _label(self, receiver: str) -> str:
        return f"epoch-key|{self._run}|{self.roster_hash.hex()}|{receiver}"

    def _keep(self, key: bytes) -> None:
        self.epoch_key = key
        write_whole(self._file, key, mode=0o600)

    @property
    def key_name(self) -> str:
        """Public name of the epoch key; `none` without encryption."""
        return "none" if self.epoch_key is None else contexts.key_id(self.epoch_key)

    def mask_secrets(self) -> dict[str, bytes]:
        """Return the X25519 secret with every other site."""
        peers = [peer for peer in self.roster if peer.site != self.site]
        return {peer.site: self.keys.mask_secret(peer) for peer in peers}

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
        """Check that every site of the cohort signed one transcript.

        Raises:
            EnvelopeError: if a signature is missing, too many or wrong.
        """
        identities = {advert.site: advert.identity for advert in self.roster}
        if set(signatures) != set(entry.cohort):
            raise EnvelopeError("not every survivor signed")
        for site in entry.cohort:
            verify_signature(identities[site], signatures[site], transcript)
