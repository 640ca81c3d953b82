"""What a site does between its upload and the end of an attempt: sign, verify, unmask, recover.

It signs one survivor set and one aggregate per attempt. It opens seeds only when the threshold of
survivors signed the very same and the verifying site found the aggregate to be the sum of the
signed uploads. Of any one site it gives either shares of the self-mask seed (survivors) or of the
mask key (dropouts), never both, because it signs one survivor set only.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedcc.crypto import contexts
from fedcc.crypto.contexts import RunningSum
from fedcc.crypto.entries import SELF, EntrySecrets
from fedcc.crypto.envelopes import Envelope, open_upload
from fedcc.crypto.held_shares import HeldShares
from fedcc.crypto.keys import SiteKeys
from fedcc.crypto.masks import MaskEntry, hash_chunks, transcript_hash
from fedcc.errors import EnvelopeError, ProtocolError
from fedcc.federation.closing import VERIFIED, check_cohort, check_proof, opened_parts
from fedcc.federation.epoch_record import EpochRecord
from fedcc.federation.messages import Parcel, bytes_map, hex_list, names
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.update_cipher import AggregateSum, PlainSum, chunk_count, expected_upload
from fedcc.privacy.ledger import Charge


def asked_entry(
    request: Parcel, plan: RunPlan, record: EpochRecord, site: str, rounds_applied: int
) -> MaskEntry:
    """Return the entry that a request for an upload names, if a site can take part in it.

    Raises:
        ProtocolError: if the cohort, the round or the entry does not fit.
    """
    round_number, cohort = request.number("round"), names(request.text("cohort"))
    check_cohort(cohort, record, plan)
    if site not in cohort or round_number > plan.rounds:
        raise ProtocolError("this site is not of the cohort, or the round is not planned")
    if round_number != rounds_applied + 1:
        raise ProtocolError(f"round {round_number} does not follow {rounds_applied}")
    return record.entry(
        plan,
        number=request.number("entry"),
        round_number=round_number,
        attempt=request.number("attempt"),
        cohort=cohort,
    )


@dataclass
class OpenAttempt:
    """An attempt for which this site has uploaded."""

    entry: MaskEntry
    charge: Charge
    secrets: EntrySecrets
    header_hash: bytes
    survivors: tuple[str, ...] = ()
    transcript: bytes | None = None  # set once signed
    aggregate_hashes: tuple[bytes, ...] = ()
    uploads: Mapping[str, bytes] | None = None
    commitments: Mapping[str, bytes] | None = None
    added: int = 0  # survivors whose uploads this site has added again
    total: RunningSum | PlainSum | None = None  # of those uploads
    opened: bool = False


@dataclass(frozen=True)
class AttemptPart:
    """A site's answers within one open attempt; built anew for each message."""

    site: str
    plan: RunPlan
    record: EpochRecord
    held: HeldShares
    keys: SiteKeys
    identities: Mapping[str, bytes]
    attempt: OpenAttempt

    def sign(self, request: Parcel) -> Parcel:
        """Sign survivors and aggregate, once.

        Raises:
            ProtocolError: if they are not admissible, or the attempt was signed before.
            EnvelopeError: if this site's own part was altered.
        """
        attempt, entry = self.attempt, self.attempt.entry
        uploads = bytes_map(request.text("uploads"))
        commitments = bytes_map(request.text("commitments"))
        if attempt.transcript is not None:
            raise ProtocolError("this attempt was signed before")
        survivors = tuple(site for site in entry.cohort if site in uploads)
        if set(uploads) != set(survivors) or set(commitments) != set(survivors):
            raise ProtocolError("the survivors are not of the cohort of this attempt")
        if len(survivors) < self.record.needed(self.plan, entry.cohort):
            raise ProtocolError("too few sites survived")
        if uploads.get(self.site) != attempt.header_hash:
            raise EnvelopeError("this site's upload was altered or left out")
        if self.record.epoch.shared and any(
            commitments[site] != self._commitment(site, SELF) for site in survivors
        ):
            raise EnvelopeError("a seed commitment is not the one of the epoch")
        hashes = hex_list(request.text("aggregate_sha256"))
        attempt.survivors, attempt.aggregate_hashes = survivors, tuple(hashes)
        attempt.uploads, attempt.commitments = uploads, commitments
        attempt.transcript = transcript_hash(entry, hashes, uploads, commitments)
        return Parcel({"signature": self.keys.sign(attempt.transcript)})

    def verify(self, request: Parcel) -> Parcel:
        """Add the signed uploads again and confirm the aggregate, if it is their sum.

        They come in one message or several, in the order of the survivors; the first begins anew.
        Until the last is there, the answer is empty.

        Raises:
            ProtocolError: if this site has not signed.
            EnvelopeError: if an upload is not the signed one, or the sum is another.
        """
        transcript, attempt = self._signed(), self.attempt
        signatures = bytes_map(request.text("signatures"))
        headers = bytes_map(request.text("headers"))
        if attempt.survivors[0] in headers or attempt.total is None:
            # Parameters of its own key: nothing but signed coefficients is taken from the request.
            adder = AggregateSum(self.plan, contexts.parameter_bytes(self.record.key))
            attempt.total, attempt.added = adder.start(), 0
        chunks, size = request.parts("uploads"), chunk_count(self.plan)
        wanted = attempt.survivors[attempt.added : attempt.added + len(headers)]
        if tuple(headers) != wanted or len(chunks) != size * len(headers):
            raise EnvelopeError("an upload is missing, or there twice")
        for place, site in enumerate(headers):
            own = chunks[place * size : (place + 1) * size]
            envelope = Envelope(headers[site], signatures.get(site, b""), own)
            attempt.total.take(self._checked_upload(site, envelope))
            attempt.added += 1
        if attempt.added < len(attempt.survivors):
            return Parcel({"signature": b""})
        total, attempt.total = attempt.total.chunks(), None
        if tuple(hash_chunks(total)) != attempt.aggregate_hashes:
            raise EnvelopeError("the aggregate is not the sum of the signed uploads")
        return Parcel({"signature": self.keys.sign(VERIFIED + transcript)})

    def _checked_upload(self, site: str, envelope: Envelope) -> list[bytes]:
        signed = self.attempt.uploads or {}
        if hashlib.sha256(envelope.header).digest() != signed[site]:
            raise EnvelopeError("an upload is not the one that was signed for")
        expected = expected_upload(self.plan, site, self.attempt.entry, self.record.key_id)
        open_upload(envelope, self.identities[site], expected)
        return envelope.chunks

    def unmask(self, request: Parcel) -> Parcel:
        """Open this site's seeds and give its shares of the dropouts' mask keys, once.

        Raises:
            ProtocolError: if the attempt is not signed, or was opened before.
            EnvelopeError: if too few survivors signed, or no verifier confirmed.
        """
        transcript, attempt = self._signed(), self.attempt
        if attempt.opened:
            raise ProtocolError("this attempt was opened before")
        check_proof(
            self.record,
            self.plan,
            attempt.entry,
            attempt.survivors,
            transcript,
            bytes_map(request.text("signatures")),
            request.raw("verification"),
            self.identities,
            site=self.site,
        )
        attempt.opened = True
        if not self.plan.masked:
            return Parcel({"seed": b"", "excess": b"", "shares": b""})
        opened = opened_parts(self.plan, attempt.survivors)
        dropped = [site for site in attempt.entry.cohort if site not in attempt.survivors]
        shares = [self.held.mask_key(site, attempt.entry.number) for site in dropped]
        return Parcel(
            {
                "seed": attempt.secrets.self_seed,
                "excess": b"".join(attempt.secrets.part(part) for part in opened),
                "shares": _joined(shares),
            }
        )

    def recover(self, request: Parcel) -> Parcel:
        """Give shares of the seeds of survivors that vanished before they opened them.

        Raises:
            ProtocolError: if this attempt was not opened, or a site is no survivor: of dropouts
                the mask keys were given.
        """
        attempt, missing = self.attempt, names(request.text("missing"))
        if not attempt.opened or not self.record.epoch.shared:
            raise ProtocolError("this attempt was not opened")
        if not set(missing) <= set(attempt.survivors):
            raise ProtocolError("only the seeds of survivors are opened")
        parts = (SELF, *opened_parts(self.plan, attempt.survivors))
        number = attempt.entry.number
        return Parcel(
            {"shares": _joined([self.held.seed(s, number, p) for s in missing for p in parts])}
        )

    def _signed(self) -> bytes:
        if self.attempt.transcript is None:
            raise ProtocolError("this attempt is not signed")
        return self.attempt.transcript

    def _commitment(self, site: str, part: int) -> bytes:
        epoch = self.record.epoch
        return self.record.by_site[site].commitment(epoch, self.attempt.entry.number, part)


def _joined(shares: Sequence[bytes]) -> bytes:
    """Join shares of 32 bytes; a missing one is zeros, which no commitment will hold against."""
    return b"".join(share or bytes(32) for share in shares)
