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
from fedcc.crypto.envelopes import seal_upload
from fedcc.crypto.keys import SiteKeys
from fedcc.crypto.masks import SEED_BYTES, MaskEntry, hash_chunks
from fedcc.federation.closed_round import ClosedRound, closed_parcel
from fedcc.federation.messages import Parcel, advert_to_json, hex_map, roster_to_json
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.update_cipher import chunk_bytes, chunk_count, expected_upload

SIGNATURE = bytes(64)
HASH = bytes(32)


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
    setup: Mapping[str, Load]
    rounds: tuple[Mapping[str, Load], ...]  # the first round brings no aggregate down
    finish: Mapping[str, Load]  # the last aggregate

    def in_rounds(self, site: str) -> Load:
        """Return what a site sends and receives in all rounds."""
        return sum((loads[site] for loads in self.rounds), Load(0, 0))

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
    by_digits: dict[tuple[int, int], Mapping[str, Load]] = {}
    for number in range(1, plan.rounds + 1):
        # A round's number enters as text alone, so rounds of equal length take equal bytes.
        digits = (len(str(number)), len(str(number - 1)) if number > 1 else 0)
        if digits not in by_digits:
            by_digits[digits] = _round_loads(plan, cohort, keys, number)
        rounds.append(by_digits[digits])
    last = closed_parcel([_closed(plan, cohort, plan.rounds)], {})
    done = Parcel({"rounds_applied": plan.rounds})
    return Traffic(
        upload_bytes=chunk_count(plan) * chunk_bytes(plan, aggregate=False)[0],
        setup=_setup_loads(plan, cohort, keys),
        rounds=tuple(rounds),
        finish=dict.fromkeys(cohort, Load(done.n_bytes, last.n_bytes)),
    )


def _setup_loads(
    plan: RunPlan, cohort: tuple[str, ...], keys: Mapping[str, SiteKeys]
) -> dict[str, Load]:
    """Return what joining, dealing the key and beginning take."""
    adverts = {site: keys[site].advert(site, plan.run) for site in plan.sites}
    roster = tuple(adverts.values())
    common = {"plan": plan.to_json(), "roster": roster_to_json(roster)}
    key_name, sealed = "none", b""
    dealt = Load(0, 0)
    dealer = plan.sites[0]
    if plan.scheme != "none":
        key = contexts.create_epoch_key(plan.scheme)
        key_name = contexts.key_id(key)
        label = json.dumps(["epoch-key", HASH.hex(), dealer])
        sealed = keys[dealer].seal(adverts[dealer], key, label)
        reply = Parcel(
            {"parameters": contexts.parameter_bytes(key), "key_id": key_name},
            {"sealed_keys": [sealed] * len(plan.sites)},
        )
        dealt = Load(reply.n_bytes, Parcel(common).n_bytes)
    begin = Parcel({**common, "key_id": key_name, "sealed_key": sealed})
    begun = Load(Parcel({"key_id": key_name}).n_bytes, begin.n_bytes)
    loads = {}
    for site in cohort:
        reply = Parcel({"advert": advert_to_json(adverts[site]), "rounds_applied": 0})
        joined = Load(reply.n_bytes, Parcel({"run": plan.run}).n_bytes)
        loads[site] = joined + begun + (dealt if site == dealer else Load(0, 0))
    return loads


def _round_loads(
    plan: RunPlan, cohort: tuple[str, ...], keys: Mapping[str, SiteKeys], number: int
) -> dict[str, Load]:
    """Return the three exchanges of one round."""
    place: dict[str, str | int | bytes] = {"round": number, "attempt": 1}
    missing = [_closed(plan, cohort, number - 1)] if number > 1 else []
    upload = closed_parcel(missing, {**place, "cohort": json.dumps(cohort)})
    hashes = json.dumps([chunk.hex() for chunk in hash_chunks(_aggregate(plan))])
    sign = Parcel(
        {
            **place,
            "survivors": json.dumps(cohort),
            "commitments": hex_map(dict.fromkeys(cohort, HASH)),
            "aggregate_sha256": hashes,
        }
    )
    unmask = Parcel({**place, "signatures": hex_map(dict.fromkeys(cohort, SIGNATURE))})
    down = upload.n_bytes + sign.n_bytes + unmask.n_bytes
    return {site: Load(_bytes_up(plan, cohort, keys[site], site, number), down) for site in cohort}


def _bytes_up(
    plan: RunPlan, cohort: tuple[str, ...], keys: SiteKeys, site: str, number: int
) -> int:
    """Return the bytes of a site's upload, signature and seed."""
    entry = MaskEntry(plan.run, number, 1, cohort, HASH, plan.neighbours)
    key_name = "none" if plan.scheme == "none" else HASH.hex()
    low, _ = chunk_bytes(plan, aggregate=False)
    envelope = seal_upload(
        keys,
        expected_upload(plan, site, entry, key_name),
        [bytes(low)] * chunk_count(plan),
        seed_commitment=HASH,
        rounds_applied=number - 1,
    )
    fields = {"header": envelope.header, "signature": envelope.signature}
    seed = Parcel({"seed": bytes(SEED_BYTES) if plan.masked else b""})
    signature = Parcel({"signature": SIGNATURE})
    upload = Parcel(fields, {"update": envelope.chunks})
    return upload.n_bytes + signature.n_bytes + seed.n_bytes


def _aggregate(plan: RunPlan) -> list[bytes]:
    low, _ = chunk_bytes(plan, aggregate=True)
    return [bytes(low)] * chunk_count(plan)


def _closed(plan: RunPlan, cohort: tuple[str, ...], number: int) -> ClosedRound:
    """Return a closed round of the right size."""
    seed = bytes(SEED_BYTES) if plan.masked else b""
    return ClosedRound(
        round_number=number,
        attempt=1,
        cohort=cohort,
        aggregate=_aggregate(plan),
        commitments=dict.fromkeys(cohort, HASH),
        signatures=dict.fromkeys(cohort, SIGNATURE),
        seeds=dict.fromkeys(cohort, seed),
    )
