"""Bytes that each site will send and receive, known before anything is sent.

Every message of a run is built here with the code that builds it in the run, from the plan and
throwaway keys, with zeros where ciphertexts will be. All sizes follow from the plan, so the rounds
are exact to the byte; in the set-up the HE key's own encoding differs by a few bytes from key to
key. Counted is what the run itself counts (`Parcel.n_bytes`), without the framing of Flower.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from fedcc.crypto import contexts
from fedcc.crypto.envelopes import Envelope, seal_upload
from fedcc.crypto.keys import Advert, SiteKeys
from fedcc.crypto.masks import SEED_BYTES, MaskEntry, hash_chunks
from fedcc.federation.closed_round import ClosedRound, closed_parcel
from fedcc.federation.closing import opened_parts, verify_batches
from fedcc.federation.epoch_record import planned_epoch
from fedcc.federation.messages import Parcel, advert_to_json, hex_map, roster_to_json
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.update_cipher import chunk_bytes, chunk_count, expected_upload

SIGNATURE = bytes(64)
HASH = bytes(32)
SEAL_BYTES = 28  # nonce and tag of AES-GCM


@dataclass(frozen=True)
class Load:
    """Bytes that one site sends (`up`) and receives (`down`)."""

    up: int
    down: int

    def __add__(self, other: "Load") -> "Load":
        """Return both together."""
        return Load(self.up + other.up, self.down + other.down)


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """A run in which no attempt is void, by site of the cohort."""

    upload_bytes: int  # ciphertext chunks alone, of one site and round
    setup: Mapping[str, Load]  # joining, and every epoch
    verify: tuple[Load, ...]  # on top, of one site of each round, which the transcript chooses
    rounds: tuple[Mapping[str, Load], ...]  # the first round brings no aggregate down
    finish: Mapping[str, Load]  # the last aggregate

    @property
    def all_rounds(self) -> Load:
        """What all sites send and receive in all rounds."""
        loads = [load for by_site in self.rounds for load in by_site.values()]
        return sum((*loads, *self.verify), Load(0, 0))

    def in_rounds(self, site: str) -> Load:
        """Return what a site sends and receives in all rounds.

        It verifies as often as every other site, on average.
        """
        verify, sites = sum(self.verify, Load(0, 0)), len(self.rounds[0])
        share = Load(verify.up // sites, verify.down // sites)
        return sum((loads[site] for loads in self.rounds), share)

    def whole(self, site: str) -> Load:
        """Return what a site sends and receives from the first message to the last."""
        return self.setup[site] + self.in_rounds(site) + self.finish[site]


def forecast_traffic(plan: RunPlan, cohort: tuple[str, ...]) -> Traffic:
    """Return the traffic of a whole run.

    Args:
        plan: of the run.
        cohort: the sites that take part, in the order of the plan.
    """
    keys = {site: SiteKeys.create() for site in plan.sites}
    rounds: list[Mapping[str, Load]] = []
    verify: list[Load] = []
    by_digits: dict[tuple[int, int], tuple[Mapping[str, Load], Load]] = {}
    for number in range(1, plan.rounds + 1):
        # A round's number enters as text alone, so rounds of equal length take equal bytes.
        digits = (len(str(number)), len(str(number - 1)) if number > 1 else 0)
        if digits not in by_digits:
            by_digits[digits] = (
                _round_loads(plan, cohort, keys, number),
                _verify_load(plan, cohort, keys, number),
            )
        rounds.append(by_digits[digits][0])
        verify.append(by_digits[digits][1])
    last = closed_parcel([_closed(plan, cohort, plan.rounds)], {})
    done = Parcel({"rounds_applied": plan.rounds})
    return Traffic(
        upload_bytes=chunk_count(plan) * chunk_bytes(plan, aggregate=False)[0],
        setup=_setup_loads(plan, cohort, keys),
        verify=tuple(verify),
        rounds=tuple(rounds),
        finish=dict.fromkeys(cohort, Load(done.n_bytes, last.n_bytes)),
    )


def _setup_loads(
    plan: RunPlan, cohort: tuple[str, ...], keys: Mapping[str, SiteKeys]
) -> dict[str, Load]:
    """Return what joining and all epochs take."""
    join = Load(0, Parcel({"run": plan.run}).n_bytes)
    roster = tuple(keys[site].advert(site, plan.run) for site in plan.sites)
    loads = {}
    for site, advert in zip(plan.sites, roster, strict=True):
        reply = Parcel({"advert": advert_to_json(advert), "rounds_applied": 0, "epoch": 0})
        loads[site] = join + Load(reply.n_bytes, 0)
    for number, first in enumerate(range(1, plan.rounds + 1, plan.rotate_every), start=1):
        for site, load in _epoch_loads(plan, roster, number, first).items():
            loads[site] += load
    return {site: loads[site] for site in cohort}


def _epoch_loads(
    plan: RunPlan, roster: tuple[Advert, ...], number: int, first: int
) -> dict[str, Load]:
    """Return what setting up one epoch takes; closed rounds that it carries count to the rounds."""
    left = plan.rounds - first + 1
    epoch = planned_epoch(plan, HASH, number=number, first_entry=first, rounds_left=left)
    place: dict[str, str | int | bytes] = {"epoch": number, "first_entry": first}
    plan_and_roster = {"plan": plan.to_json(), "roster": roster_to_json(roster)}
    advert = SIGNATURE + bytes(epoch.advert_bytes)
    advertise = Load(
        Parcel({"advert": advert, "rounds_applied": first - 1}).n_bytes,
        closed_parcel([], {**plan_and_roster, **place}).n_bytes,
    )
    share = bytes(epoch.share_bytes + SEAL_BYTES) if epoch.shared else b""
    shares = Parcel({}, {"shares": [share] * len(plan.sites)})
    adverts = Parcel({"adverts": hex_map(dict.fromkeys(plan.sites, advert))})
    key = contexts.create_epoch_key(plan.scheme) if plan.scheme != "none" else b""
    key_name = contexts.key_id(key) if key else "none"
    sealed = bytes(len(key) + SEAL_BYTES) if key else b""
    dealer = plan.sites[number % len(plan.sites)] if key else ""
    begin_fields: dict[str, str | int | bytes] = {
        "key_id": key_name,
        "dealer": dealer,
        "sealed_key": sealed,
    }
    begin = Parcel(begin_fields, dict(shares.chunks))
    load = advertise + Load(shares.n_bytes, adverts.n_bytes)
    load += Load(Parcel({"key_id": key_name}).n_bytes, begin.n_bytes)
    loads = dict.fromkeys(plan.sites, load)
    if key:
        dealt: dict[str, str | int | bytes] = {
            "parameters": contexts.parameter_bytes(key),
            "key_id": key_name,
        }
        reply = Parcel(dealt, {"sealed_keys": [sealed] * len(plan.sites)})
        loads[dealer] += Load(reply.n_bytes, 0)
    return loads


def _round_loads(
    plan: RunPlan, cohort: tuple[str, ...], keys: Mapping[str, SiteKeys], number: int
) -> dict[str, Load]:
    """Return the exchanges of one round, but for verification."""
    place: dict[str, str | int | bytes] = {"round": number, "attempt": 1}
    missing = [_closed(plan, cohort, number - 1)] if number > 1 else []
    upload = closed_parcel(missing, {**place, "entry": number, "cohort": json.dumps(cohort)})
    hashes = json.dumps([chunk.hex() for chunk in hash_chunks(_aggregate(plan))])
    sign = Parcel(
        {
            **place,
            "uploads": hex_map(dict.fromkeys(cohort, HASH)),
            "commitments": hex_map(dict.fromkeys(cohort, HASH)),
            "aggregate_sha256": hashes,
        }
    )
    unmask = Parcel(
        {
            **place,
            "signatures": hex_map(dict.fromkeys(cohort, SIGNATURE)),
            "verification": SIGNATURE if plan.recovers else b"",
        }
    )
    down = upload.n_bytes + sign.n_bytes + unmask.n_bytes
    return {site: Load(_bytes_up(plan, cohort, keys[site], site, number), down) for site in cohort}


def _verify_load(
    plan: RunPlan, cohort: tuple[str, ...], keys: Mapping[str, SiteKeys], number: int
) -> Load:
    """Return what one site, whom the transcript chooses, takes on to verify a round."""
    if not plan.recovers:
        return Load(0, 0)
    load = Load(0, 0)
    for batch in verify_batches(plan, cohort):
        uploads = {site: _upload(plan, cohort, keys[site], site, number) for site in batch}
        request = Parcel(
            {
                "round": number,
                "attempt": 1,
                "headers": hex_map({site: upload.header for site, upload in uploads.items()}),
                "signatures": hex_map({site: up.signature for site, up in uploads.items()}),
            },
            {"uploads": [chunk for upload in uploads.values() for chunk in upload.chunks]},
        )
        signature = SIGNATURE if batch[-1] == cohort[-1] else b""
        load += Load(Parcel({"signature": signature}).n_bytes, request.n_bytes)
    return load


def _upload(
    plan: RunPlan, cohort: tuple[str, ...], keys: SiteKeys, site: str, number: int
) -> Envelope:
    """Return an upload of the right size."""
    entry = MaskEntry(plan.run, number, number, 1, cohort, HASH, plan.neighbours)
    key_name = "none" if plan.scheme == "none" else HASH.hex()
    low, _ = chunk_bytes(plan, aggregate=False)
    return seal_upload(
        keys,
        expected_upload(plan, site, entry, key_name),
        [bytes(low)] * chunk_count(plan),
        seed_commitment=HASH,
        rounds_applied=number - 1,
    )


def _bytes_up(
    plan: RunPlan, cohort: tuple[str, ...], keys: SiteKeys, site: str, number: int
) -> int:
    """Return the bytes of a site's upload, signature and seeds."""
    envelope = _upload(plan, cohort, keys, site, number)
    fields = {"header": envelope.header, "signature": envelope.signature}
    seed = bytes(SEED_BYTES) if plan.masked else b""
    opened = Parcel({"seed": seed, "excess": _excess(plan, cohort), "shares": b""})
    signature = Parcel({"signature": SIGNATURE})
    upload = Parcel(fields, {"update": envelope.chunks})
    return upload.n_bytes + signature.n_bytes + opened.n_bytes


def _excess(plan: RunPlan, cohort: tuple[str, ...]) -> bytes:
    return bytes(SEED_BYTES * len(opened_parts(plan, cohort)))


def _aggregate(plan: RunPlan) -> list[bytes]:
    low, _ = chunk_bytes(plan, aggregate=True)
    return [bytes(low)] * chunk_count(plan)


def _closed(plan: RunPlan, cohort: tuple[str, ...], number: int) -> ClosedRound:
    """Return a closed round of the right size."""
    seed = bytes(SEED_BYTES) if plan.masked else b""
    return ClosedRound(
        epoch=1 + (number - 1) // plan.rotate_every,
        entry=number,
        round_number=number,
        attempt=1,
        cohort=cohort,
        aggregate=_aggregate(plan),
        uploads=dict.fromkeys(cohort, HASH),
        commitments=dict.fromkeys(cohort, HASH),
        signatures=dict.fromkeys(cohort, SIGNATURE),
        verification=SIGNATURE if plan.recovers else b"",
        seeds=dict.fromkeys(cohort, seed),
        mask_keys={},
        excess=dict.fromkeys(cohort, _excess(plan, cohort)),
    )
