"""One attempt at the aggregator: upload, sign, verify, unmask, and recover what is missing.

A site that vanishes costs nothing while the threshold of survivors remains: the sum of the others
is opened from the uploads that are there. Below the threshold nothing of the attempt can be opened.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from fedcc.crypto.entries import SELF
from fedcc.crypto.held_shares import recover
from fedcc.crypto.keys import verify_signature
from fedcc.crypto.masks import MaskEntry, hash_chunks, transcript_hash
from fedcc.errors import EnvelopeError, FedccError, ProtocolError
from fedcc.federation.aggregation import Aggregator
from fedcc.federation.closed_round import ClosedRound, closed_parcels
from fedcc.federation.closing import (
    VERIFIED,
    is_committed,
    is_mask_key,
    opened_parts,
    verifiers,
    verify_batches,
)
from fedcc.federation.kept_uploads import KeptUploads
from fedcc.federation.link import Link
from fedcc.federation.messages import Exchange, Parcel, hex_map

SHARE = 32  # bytes of a share


@dataclass
class Attempt:
    """What the aggregator holds of an attempt that is under way."""

    link: Link
    aggregator: Aggregator
    entry: MaskEntry
    uploads: dict[str, bytes] = field(default_factory=dict)  # hash of each header
    commitments: dict[str, bytes] = field(default_factory=dict)
    aggregate: list[bytes] = field(default_factory=list)
    transcript: bytes = b""
    signatures: dict[str, bytes] = field(default_factory=dict)
    verification: bytes = b""
    answered: tuple[str, ...] = ()  # the sites that answered last

    def run(self) -> ClosedRound | None:
        """Run the exchanges; return the closed round, or `None` if the attempt is void."""
        with self.aggregator.store.room_for_uploads() as kept:
            if not (self._collect(kept) and self._sign() and self._verify(kept)):
                return None
        return self._open()

    @property
    def survivors(self) -> tuple[str, ...]:
        """The sites whose uploads are in the sum."""
        return self._in_order(self.uploads)

    @property
    def _needed(self) -> int:
        aggregator = self.aggregator
        return aggregator.epoch.needed(aggregator.plan, self.entry.cohort)

    def _in_order(self, sites: Sequence[str] | Mapping[str, object]) -> tuple[str, ...]:
        return tuple(site for site in self.entry.cohort if site in sites)

    def _place(self) -> dict[str, str | int | bytes]:
        return {"round": self.entry.round_number, "attempt": self.entry.attempt}

    def _ask(self, kind: Exchange, parcels: Mapping[str, Parcel]) -> dict[str, Parcel]:
        return dict(self._replies(kind, parcels))

    def _replies(
        self, kind: Exchange, parcels: Mapping[str, Parcel]
    ) -> Iterator[tuple[str, Parcel]]:
        nodes = self.aggregator.nodes
        requests = {nodes[site]: (site, parcel) for site, parcel in parcels.items()}
        return self.link.each_reply(kind, self.entry.round_number, requests)

    def _collect(self, kept: KeptUploads) -> bool:
        """Collect and add uploads, each when it comes; a refused one counts as a dropout."""
        entry, aggregator = self.entry, self.aggregator
        total = aggregator.adder.start()
        fields = {**self._place(), "entry": entry.number, "cohort": json.dumps(entry.cohort)}
        missing = {site: aggregator.missing_rounds(site) for site in entry.cohort}
        for site, reply in self._replies("upload", closed_parcels(missing, fields)):
            try:
                header, envelope = aggregator.take_upload(site, entry, reply)
                started = time.perf_counter()
                total.take(envelope.chunks)
                aggregator.seconds_adding += time.perf_counter() - started
            except (EnvelopeError, ProtocolError):
                continue
            if aggregator.plan.recovers:
                kept.keep(site, envelope)
            self.uploads[site] = hashlib.sha256(envelope.header).digest()
            self.commitments[site] = bytes.fromhex(header.seed_commitment)
        self.answered = self.survivors
        if len(self.survivors) < self._needed:
            return False
        self.aggregate = total.chunks()
        return True

    def _sign(self) -> bool:
        """Let the survivors sign who they are and what their sum is."""
        hashes = hash_chunks(self.aggregate)
        uploads = {site: self.uploads[site] for site in self.survivors}
        commitments = {site: self.commitments[site] for site in self.survivors}
        self.transcript = transcript_hash(self.entry, hashes, uploads, commitments)
        request = Parcel(
            {
                **self._place(),
                "uploads": hex_map(uploads),
                "commitments": hex_map(commitments),
                "aggregate_sha256": json.dumps([chunk_hash.hex() for chunk_hash in hashes]),
            }
        )
        for site, reply in self._ask("sign", dict.fromkeys(self.survivors, request)).items():
            if self._is_signed(site, reply, self.transcript):
                self.signatures[site] = reply.raw("signature")
        self.answered = self._in_order(self.signatures)
        return len(self.signatures) >= self._needed

    def _is_signed(self, site: str, reply: Parcel, message: bytes) -> bool:
        try:
            verify_signature(self.aggregator.identities[site], reply.raw("signature"), message)
        except FedccError:
            return False
        return True

    def _verify(self, kept: KeptUploads) -> bool:
        """Let a site that the transcript chooses add the uploads again."""
        if not self.aggregator.plan.recovers:
            return True
        survivors, spare = self.survivors, len(self.entry.cohort) - self._needed
        for site in verifiers(self.transcript, survivors, spare):
            reply = self._added_again(site, kept)
            if reply is not None and self._is_signed(site, reply, VERIFIED + self.transcript):
                self.verification = reply.raw("signature")
                return True
        return False

    def _added_again(self, verifier: str, kept: KeptUploads) -> Parcel | None:
        """Send a site all uploads, and return its answer to the last of them."""
        reply = None
        for batch in verify_batches(self.aggregator.plan, self.survivors):
            uploads = {site: kept.get(site) for site in batch}
            request = Parcel(
                {
                    **self._place(),
                    "headers": hex_map({site: up.header for site, up in uploads.items()}),
                    "signatures": hex_map({site: up.signature for site, up in uploads.items()}),
                },
                {"uploads": [chunk for upload in uploads.values() for chunk in upload.chunks]},
            )
            reply = self._ask("verify", {verifier: request}).get(verifier)
            if reply is None:
                return None
        return reply

    def _open(self) -> ClosedRound | None:
        """Collect seeds, recover what is missing, and close the round if all is there."""
        request = Parcel(
            {
                **self._place(),
                "signatures": hex_map(self.signatures),
                "verification": self.verification,
            }
        )
        survivors = self.survivors
        replies = self._ask("unmask", dict.fromkeys(survivors, request))
        seeds, excess, sound = {}, {}, {}
        for site, reply in replies.items():
            try:
                parts = (reply.raw("seed"), reply.raw("excess"), reply.raw("shares"))
            except ProtocolError:
                continue
            if self._are_committed(site, parts[0], parts[1]):
                seeds[site], excess[site], sound[site] = parts
        self.answered = self._in_order(seeds)
        missing = [site for site in survivors if site not in seeds]
        if missing:
            found = self._recover_seeds(missing)
            if found is None:
                return None
            for site, parts_of_site in found.items():
                seeds[site], excess[site] = parts_of_site[0], b"".join(parts_of_site[1:])
        keys = self._recover_mask_keys(sound)
        if keys is None:
            return None
        return self._closed(seeds, excess, keys)

    def _are_committed(self, site: str, seed: bytes, excess: bytes) -> bool:
        plan, record = self.aggregator.plan, self.aggregator.epoch
        if not plan.masked:
            return True
        parts = opened_parts(plan, self.survivors)
        if len(excess) != SHARE * len(parts):
            return False
        number, committed = self.entry.number, self.commitments[site]
        return is_committed(record, number, site, SELF, seed, committed) and all(
            is_committed(record, number, site, part, excess[SHARE * i : SHARE * (i + 1)])
            for i, part in enumerate(parts)
        )

    def _recover_seeds(self, missing: list[str]) -> dict[str, list[bytes]] | None:
        """Recover the seeds of survivors that vanished after they signed; self mask first."""
        plan, record, number = self.aggregator.plan, self.aggregator.epoch, self.entry.number
        if not plan.recovers:
            return None
        request = Parcel({**self._place(), "missing": json.dumps(missing)})
        replies = self._ask("recover", dict.fromkeys(self.answered, request))
        parts = (SELF, *opened_parts(plan, self.survivors))
        wanted = [(site, part) for site in missing for part in parts]
        columns = self._columns(
            {s: r.fields.get("shares") for s, r in replies.items()}, len(wanted)
        )
        found: dict[str, list[bytes]] = {site: [] for site in missing}
        for (site, part), shares in zip(wanted, columns, strict=True):
            is_right = partial(is_committed, record, number, site, part)
            seed = recover(shares, record.threshold(plan), is_right)
            if seed is None:
                return None
            found[site].append(seed)
        return found

    def _recover_mask_keys(self, shares_of: Mapping[str, object]) -> dict[str, bytes] | None:
        """Recover the mask key of each site of the cohort that dropped out."""
        plan, record, number = self.aggregator.plan, self.aggregator.epoch, self.entry.number
        dropped = [site for site in self.entry.cohort if site not in self.survivors]
        if not dropped or not plan.masked:
            return {}
        keys = {}
        columns = self._columns(shares_of, len(dropped))
        for site, shares in zip(dropped, columns, strict=True):
            is_right = partial(is_mask_key, record, number, site)
            key = recover(shares, record.threshold(plan), is_right)
            if key is None:
                return None
            keys[site] = key
        return keys

    def _columns(self, replies: Mapping[str, object], count: int) -> list[dict[int, bytes]]:
        """Return, for each wanted secret, the shares by their points; replies hold one of each."""
        record = self.aggregator.epoch
        sound = {
            record.point(site): joined
            for site, joined in replies.items()
            if isinstance(joined, bytes) and len(joined) == SHARE * count
        }
        return [
            {point: joined[SHARE * i : SHARE * (i + 1)] for point, joined in sound.items()}
            for i in range(count)
        ]

    def _closed(
        self, seeds: Mapping[str, bytes], excess: Mapping[str, bytes], keys: Mapping[str, bytes]
    ) -> ClosedRound:
        survivors = self.survivors
        return ClosedRound(
            epoch=self.aggregator.epoch.epoch.number,
            entry=self.entry.number,
            round_number=self.entry.round_number,
            attempt=self.entry.attempt,
            cohort=self.entry.cohort,
            aggregate=self.aggregate,
            uploads={site: self.uploads[site] for site in survivors},
            commitments={site: self.commitments[site] for site in survivors},
            signatures={site: self.signatures[site] for site in self._in_order(self.signatures)},
            verification=self.verification,
            seeds={site: seeds[site] for site in survivors},
            mask_keys=keys,
            excess={site: excess[site] for site in survivors},
        )
