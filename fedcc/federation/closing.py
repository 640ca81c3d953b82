"""What makes a closed round right: who took part, who signed, who verified, what was opened.

A site asks all of it of every closed round before it decrypts anything; in the last exchanges of an
attempt it asks the parts that concern them. Nothing here decrypts.
"""

from collections.abc import Mapping, Sequence

from fedcc.crypto.entries import SELF, commitment
from fedcc.crypto.keys import MaskKey, verify_signature
from fedcc.crypto.masks import SEED_BYTES, MaskEntry, hash_chunks, transcript_hash
from fedcc.errors import EnvelopeError, ProtocolError
from fedcc.federation.closed_round import ClosedRound
from fedcc.federation.epoch_record import EpochRecord
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.update_cipher import chunk_bytes, chunk_count

_WRONG = "a seed or key is not the one that was committed to"
VERIFIED = b"fedcc/verified/v1|"  # what the verifier signs, before the transcript
VERIFY_BYTES = 8 << 20  # of uploads in one message: bounds the memory of both ends


def verifiers(transcript: bytes, survivors: Sequence[str], spare: int) -> tuple[str, ...]:
    """Return the sites that may verify an aggregate, the first choice first.

    The transcript chooses. Where a site may vanish another may stand in for it, so an aggregator
    has as many tries to find a colluding verifier; privacy does not rest on the verifier.

    Args:
        transcript: that survivors signed.
        survivors: of the attempt.
        spare: how many may stand in.
    """
    start = int.from_bytes(transcript, "big") % len(survivors)
    turned = (*survivors[start:], *survivors[:start])
    return turned[: 1 + spare]


def verify_batches(plan: RunPlan, survivors: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the survivors in the groups whose uploads go to the verifier in one message each."""
    upload = chunk_count(plan) * chunk_bytes(plan, aggregate=False)[1]
    size = max(1, VERIFY_BYTES // upload)
    return [tuple(survivors[i : i + size]) for i in range(0, len(survivors), size)]


def check_proof(
    record: EpochRecord,
    plan: RunPlan,
    entry: MaskEntry,
    survivors: Sequence[str],
    transcript: bytes,
    signatures: Mapping[str, bytes],
    verification: bytes,
    identities: Mapping[str, bytes],
    *,
    site: str,
) -> None:
    """Check that enough survivors signed one transcript, and that a verifier confirmed it.

    Along a ring without recovery everybody must sign, and each honest site checks its own peers;
    the peers of honest sites connect all of them, so they all signed the same.

    Raises:
        EnvelopeError: if a signature is missing, too many or wrong.
    """
    if len(signatures) < record.needed(plan, entry.cohort) or not set(signatures) <= set(survivors):
        raise EnvelopeError("too few survivors signed, or somebody else")
    ring = plan.masked and not plan.recovers and site in entry.cohort
    checked = (site, *entry.peers(site)) if ring else tuple(signatures)
    for name in checked:
        verify_signature(identities[name], signatures[name], transcript)
    if not plan.recovers:
        return
    spare = len(entry.cohort) - record.needed(plan, entry.cohort)
    for name in verifiers(transcript, survivors, spare):
        try:
            verify_signature(identities[name], verification, VERIFIED + transcript)
        except EnvelopeError:
            continue
        return
    raise EnvelopeError("no verifier confirmed the aggregate")


def check_cohort(cohort: tuple[str, ...], record: EpochRecord, plan: RunPlan) -> None:
    """Refuse a cohort of strangers to the epoch, or one that is too small to survive.

    Raises:
        ProtocolError: if so.
    """
    enough = max(plan.min_sites, record.needed(plan, cohort))
    if not set(cohort) <= set(record.members) or len(cohort) < enough:
        raise ProtocolError("the cohort is unknown or too small")


def check_closed(
    closed: ClosedRound,
    record: EpochRecord,
    plan: RunPlan,
    identities: Mapping[str, bytes],
    *,
    site: str,
) -> MaskEntry:
    """Return the entry of a closed round whose proof and openings are all right.

    Raises:
        ProtocolError: if the epoch, the entry or the cohort is not one of the plan.
        EnvelopeError: if anything that was signed, committed to or opened is wrong.
    """
    check_cohort(closed.cohort, record, plan)
    entry = record.entry(
        plan,
        number=closed.entry,
        round_number=closed.round_number,
        attempt=closed.attempt,
        cohort=closed.cohort,
    )
    survivors = closed.survivors
    if set(closed.uploads) != set(survivors) or set(closed.commitments) != set(survivors):
        raise EnvelopeError("a closed round lacks an upload or a commitment")
    hashes = hash_chunks(closed.aggregate)
    transcript = transcript_hash(entry, hashes, closed.uploads, closed.commitments)
    check_proof(
        record,
        plan,
        entry,
        survivors,
        transcript,
        closed.signatures,
        closed.verification,
        identities,
        site=site,
    )
    check_openings(closed, record, plan)
    return entry


def opened_parts(plan: RunPlan, survivors: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers of the excess parts that are opened with these survivors."""
    if not plan.recovers:
        return ()
    return plan.noise_components.opened(len(plan.sites) - len(survivors))


def check_openings(closed: ClosedRound, record: EpochRecord, plan: RunPlan) -> None:
    """Check every opened seed and recovered key against what was committed to.

    Raises:
        EnvelopeError: if one is missing, wrong or not to be opened.
    """
    survivors = set(closed.survivors)
    dropped = set(closed.cohort) - survivors
    if not plan.masked:
        return
    parts = opened_parts(plan, closed.survivors)
    sized = all(len(joined) == SEED_BYTES * len(parts) for joined in closed.excess.values())
    if (
        set(closed.seeds) != survivors
        or set(closed.commitments) != survivors
        or set(closed.excess) != survivors
        or set(closed.mask_keys) != dropped
        or not sized
    ):
        raise EnvelopeError(_WRONG)
    for site in survivors:
        committed = closed.commitments[site]
        if not is_committed(record, closed.entry, site, SELF, closed.seeds[site], committed):
            raise EnvelopeError(_WRONG)
        for part, seed in zip(parts, split_seeds(closed.excess[site]), strict=True):
            if not is_committed(record, closed.entry, site, part, seed):
                raise EnvelopeError(_WRONG)
    for site, key in closed.mask_keys.items():
        if not is_mask_key(record, closed.entry, site, key):
            raise EnvelopeError(_WRONG)


def is_committed(
    record: EpochRecord,
    number: int,
    site: str,
    part: int,
    seed: bytes,
    committed: bytes | None = None,
) -> bool:
    """Tell whether a seed is the one that a site committed to.

    Args:
        record: of the epoch.
        number: of the entry.
        site: whose seed.
        part: `SELF`, or the number of an excess part.
        seed: 32 bytes.
        committed: the commitment of the upload, where the epoch has none.
    """
    epoch = record.epoch
    if epoch.shared:
        committed = record.by_site[site].commitment(epoch, number, part)
    return len(seed) == SEED_BYTES and commitment(epoch, number, site, part, seed) == committed


def is_mask_key(record: EpochRecord, number: int, site: str, key: bytes) -> bool:
    """Tell whether a recovered mask key is the private one of what a site advertised."""
    wanted = record.by_site[site].mask_key(record.epoch, number)
    return len(key) == 32 and MaskKey(key).public == wanted


def split_seeds(joined: bytes) -> list[bytes]:
    """Return seeds of 32 bytes each."""
    return [joined[i : i + SEED_BYTES] for i in range(0, len(joined), SEED_BYTES)]
