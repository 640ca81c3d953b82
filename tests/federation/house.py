"""Four sites (or more) and an aggregator in memory, whose messages a test can lose or alter."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fedcc import config
from fedcc.crypto.keys import SiteKeys
from fedcc.crypto.masks import MaskEntry, hash_chunks
from fedcc.data.tabular_features import TabularEncoding
from fedcc.errors import FedccError
from fedcc.federation.aggregation import Aggregator, RoundStore
from fedcc.federation.attempt import Attempt
from fedcc.federation.closed_round import ClosedRound, closed_parcel
from fedcc.federation.closing import VERIFIED, verifiers
from fedcc.federation.epoch_setup import begin_epoch, set_up
from fedcc.federation.link import Traffic
from fedcc.federation.messages import Exchange, Parcel, check_reply, hex_map
from fedcc.federation.planning import make_plan
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.settings import simulation_settings
from fedcc.federation.site_parts import SiteFiles, Watch
from fedcc.federation.site_policy import SitePolicy
from fedcc.federation.site_round import Site
from fedcc.privacy.caps import lifetime_cap
from fedcc.privacy.policy import PrivacyPolicy
from fedcc.tasks.task import Examples

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
NAMES = ("site-1", "site-2", "site-3", "site-4")
# Four numbers and the constant: five features.
RECIPE = TabularEncoding(tuple((f"number-{i}", 0.0, 1.0) for i in range(4)), (), 0)

POLICY = PrivacyPolicy(
    version=1,
    purposes=("churn",),
    caps=(),
    delta=1e-5,
    units=("customer",),
    max_interactions=5,
    sites_per_customer=1,
    noise_modes=("shared",),
    schemes=("bfv",),
    min_sites=3,
    min_collusion=1,
    max_rounds=20,
    max_attempts=30,
    metrics=(),
)


@dataclass
class LocalLink:
    """Carries parcels to sites in memory; keeps what was refused and every reply that came."""

    sites: Mapping[str, Site]
    is_lost: Callable[[Exchange, str], bool] = lambda kind, site: False
    altered: Callable[[Exchange, str, Parcel], Parcel] = lambda kind, site, reply: reply
    refusals: list[tuple[Exchange, str, FedccError]] = field(default_factory=list)
    requests: list[tuple[Exchange, str, Parcel]] = field(default_factory=list)
    replies: list[tuple[Exchange, str, Parcel]] = field(default_factory=list)
    patience: list[tuple[Exchange, float]] = field(default_factory=list)
    traffic: Traffic = field(default_factory=Traffic)

    def exchange(
        self,
        kind: Exchange,
        round_number: int,
        requests: Mapping[int, tuple[str, Parcel]],
        patience: float = math.inf,
    ) -> dict[str, Parcel]:
        """Answer as `Link.exchange` does, over Flower's own records."""
        return dict(self.each_reply(kind, round_number, requests, patience))

    def each_reply(
        self,
        kind: Exchange,
        round_number: int,
        requests: Mapping[int, tuple[str, Parcel]],
        patience: float = math.inf,
    ) -> Iterator[tuple[str, Parcel]]:
        """Answer as `Link.each_reply` does: a site is asked when what came before was taken."""
        self.patience.append((kind, patience))
        names = list(self.sites)
        for node, (label, parcel) in requests.items():
            site = names[node]
            request = Parcel.from_record(parcel.to_record())
            self.requests.append((kind, site, request))
            if self.is_lost(kind, site):
                continue
            try:
                reply = self.sites[site].answer(kind, request)
            except FedccError as error:
                self.refusals.append((kind, site, error))
                continue
            self.replies.append((kind, site, reply))
            reply = self.altered(kind, site, Parcel.from_record(reply.to_record()))
            check_reply(kind, reply)
            yield label, reply

    def dealers(self) -> list[str]:
        """Return who was asked for an HE key, in order."""
        return [site for kind, site, _ in self.requests if kind == "deal"]

    def wait_for_nodes(
        self, wanted: int, deadline_seconds: float, least: int | None = None
    ) -> list[int]:
        """Return all nodes."""
        return list(range(len(self.sites)))


@dataclass
class House:
    """Sites and everything that an aggregator holds."""

    plan: RunPlan
    sites: dict[str, Site]
    aggregator: Aggregator
    link: LocalLink
    _numbers: dict[tuple[int, int], int] = field(default_factory=dict)

    @property
    def key(self) -> bytes:
        """The HE key of the epoch, which every site holds and the aggregator does not."""
        record = next(iter(self.sites.values())).epochs.record
        return record.key if record is not None else b""

    def entry(
        self, round_number: int = 1, attempt: int = 1, cohort: Iterable[str] | None = None
    ) -> MaskEntry:
        """Return the entry of an attempt; each new attempt has the next number."""
        place, epoch = (round_number, attempt), self.aggregator.epoch.epoch
        number = self._numbers.setdefault(place, epoch.first_entry + len(self._numbers))
        return self.aggregator.epoch.entry(
            self.plan,
            number=number,
            round_number=round_number,
            attempt=attempt,
            cohort=tuple(cohort if cohort is not None else self.sites),
        )

    def begin_epoch(self) -> None:
        """Begin a new epoch with fresh entries."""
        self.aggregator.store.attempts_used += len(self._numbers)
        self._numbers.clear()
        answering = set(self.sites)
        begin_epoch(self.link, self.aggregator, answering=answering)  # type: ignore[arg-type]

    def upload(
        self, site: str, entry: MaskEntry, closed: list[ClosedRound] | None = None
    ) -> Parcel:
        """Ask one site for an upload."""
        place: dict[str, str | int | bytes] = {
            "round": entry.round_number,
            "attempt": entry.attempt,
            "entry": entry.number,
            "cohort": json.dumps(entry.cohort),
        }
        return self.sites[site].answer("upload", closed_parcel(closed or [], place))

    def uploads(
        self, entry: MaskEntry, closed: list[ClosedRound] | None = None
    ) -> dict[str, Parcel]:
        """Ask the whole cohort for uploads."""
        return {site: self.upload(site, entry, closed) for site in entry.cohort}

    def commitments(self, entry: MaskEntry, replies: Mapping[str, Parcel]) -> dict[str, bytes]:
        """Check uploads as the aggregator does; return the seed commitments."""
        found = {}
        for site, reply in replies.items():
            header, _ = self.aggregator.take_upload(site, entry, reply)
            found[site] = bytes.fromhex(header.seed_commitment)
        return found

    def aggregate(self, replies: Mapping[str, Parcel]) -> list[bytes]:
        """Add uploads."""
        return self.aggregator.adder.add([reply.chunks["update"] for reply in replies.values()])

    def sign_request(
        self,
        entry: MaskEntry,
        replies: Mapping[str, Parcel],
        aggregate: list[bytes] | None = None,
        **changed: object,
    ) -> Parcel:
        """Return the request to sign these survivors and their sum, or another one."""
        total = self.aggregate(replies) if aggregate is None else aggregate
        hashes = {s: hashlib.sha256(r.raw("header")).digest() for s, r in replies.items()}
        fields = {
            "round": entry.round_number,
            "attempt": entry.attempt,
            "uploads": hex_map(hashes),
            "commitments": hex_map(self.commitments(entry, replies)),
            "aggregate_sha256": json.dumps([h.hex() for h in hash_chunks(total)]),
        }
        return Parcel({**fields, **changed})  # type: ignore[dict-item]

    def sign(self, request: Parcel, sites: Iterable[str]) -> dict[str, bytes]:
        """Let sites sign."""
        return {s: self.sites[s].answer("sign", request).raw("signature") for s in sites}

    def verify_request(self, entry: MaskEntry, replies: Mapping[str, Parcel]) -> Parcel:
        """Return the request to add the uploads again."""
        return Parcel(
            {
                "round": entry.round_number,
                "attempt": entry.attempt,
                "headers": hex_map({s: r.raw("header") for s, r in replies.items()}),
                "signatures": hex_map({s: r.raw("signature") for s, r in replies.items()}),
            },
            {"uploads": [chunk for reply in replies.values() for chunk in reply.chunks["update"]]},
        )

    def verified(self, entry: MaskEntry, replies: Mapping[str, Parcel]) -> bytes:
        """Let the site that the transcript chooses verify."""
        attempt = self.sites[next(iter(replies))]._attempt
        assert attempt is not None and attempt.transcript is not None
        [verifier] = verifiers(attempt.transcript, tuple(replies), 0)
        reply = self.sites[verifier].answer("verify", self.verify_request(entry, replies))
        return reply.raw("signature")

    def forged_verification(self, site: str, transcript: bytes) -> bytes:
        """Return what a site that colludes would sign without looking."""
        return self.sites[site]._keys.sign(VERIFIED + transcript)

    def unmask_request(
        self, entry: MaskEntry, signatures: Mapping[str, bytes], verification: bytes
    ) -> Parcel:
        """Return the request to open seeds."""
        return Parcel(
            {
                "round": entry.round_number,
                "attempt": entry.attempt,
                "signatures": hex_map(signatures),
                "verification": verification,
            }
        )

    def signed(
        self, entry: MaskEntry, survivors: Iterable[str] | None = None
    ) -> tuple[dict[str, Parcel], dict[str, bytes], bytes]:
        """Play an attempt up to the point where seeds may be opened."""
        replies = self.uploads(entry)
        left = {s: replies[s] for s in (survivors if survivors is not None else entry.cohort)}
        signatures = self.sign(self.sign_request(entry, left), left)
        return left, signatures, self.verified(entry, left)

    def close(self, entry: MaskEntry, closed: list[ClosedRound] | None = None) -> ClosedRound:
        """Play one honest attempt with the aggregator's own code."""
        if closed:
            for site in entry.cohort:
                self.finish(site, closed[-1])
        done = Attempt(self.link, self.aggregator, entry).run()  # type: ignore[arg-type]
        assert done is not None, self.link.refusals
        return done

    def finish(self, site: str, closed: ClosedRound) -> Parcel:
        """Hand a closed round to a site."""
        return self.sites[site].answer("finish", closed_parcel([closed], {}))


def with_cap(epsilon: float) -> PrivacyPolicy:
    """Return the policy with a lifetime cap."""
    return replace(POLICY, caps=(lifetime_cap(epsilon),))


def site_at(
    folder: Path, name: str, policy: SitePolicy, keys: SiteKeys, index: int, seed: int | None = None
) -> Site:
    """Return a site with forty made-up rows of twenty customers."""
    rng = np.random.default_rng(index)
    features = (rng.normal(size=(40, 5)) / 3).astype(np.float32)
    files = SiteFiles(
        ledger=folder / "ledger" / f"{name}.jsonl",
        audit=folder / "audit" / f"{name}.jsonl",
        checkpoint=folder / f"{name}.safetensors",
        keys=folder / f"{name}.keys",
        epochs=folder / f"{name}.epochs",
        binding=folder / f"{name}.session",
    )
    examples = Examples(features, rng.integers(0, 2, 40), np.arange(40) // 2)
    return Site(
        name,
        files,
        examples,
        RECIPE,
        policy,
        keys=keys,
        now=lambda: NOW,
        seed=seed,
        watch=Watch(),
    )


@dataclass
class Builder:
    """Builds houses in one folder and closes their sites afterwards."""

    folder: Path
    calls: Path
    opened: list[Site] = field(default_factory=list)

    def plan(self, *overrides: str, n_sites: int = 4) -> RunPlan:
        """Return the plan of the settings."""
        given = ["data=calls", f"sites={n_sites}", "rounds=3", "crypto.lanes=2", *overrides]
        settings = simulation_settings(config.compose("simulate", given, self.calls))
        return make_plan(settings, RECIPE, 1, run="run", public_seed=1)

    def sites_of(
        self,
        plan: RunPlan,
        *,
        max_epsilon: float | None = 1.0,
        approved: Iterable[str] | None = None,
        data_sha256: str | None = None,
    ) -> dict[str, Site]:
        """Open the sites of a plan; nothing has been sent to them."""
        keys = {name: SiteKeys.create() for name in plan.sites}
        privacy = POLICY if max_epsilon is None else with_cap(max_epsilon)
        policy = SitePolicy(
            privacy=dataclasses.replace(privacy, min_sites=min(3, plan.min_sites)),
            approved_plans=frozenset(approved or {plan.sha256}),
            data_sha256=data_sha256 or plan.data_sha256,
            trusted={name: key.identity for name, key in keys.items()},
        )
        sites = {}
        for index, name in enumerate(plan.sites):
            sites[name] = site_at(self.folder, name, policy, keys[name], index)
            self.opened.append(sites[name])
        return sites

    def __call__(self, *overrides: str, n_sites: int = 4, **changes: Any) -> House:
        """Return a house whose first epoch has begun.

        `max_epsilon` caps the ledgers; other keyword arguments change fields of the plan that the
        sites' operators approved all the same.
        """
        max_epsilon = changes.pop("max_epsilon", 1.0)
        plan = self.plan(*overrides, n_sites=n_sites)
        own_data = plan.data_sha256
        plan = replace(plan, **changes)
        opened = self.sites_of(plan, max_epsilon=max_epsilon, data_sha256=own_data)
        link = LocalLink(opened)
        store = RoundStore(self.folder / "store")
        try:
            aggregator = set_up(link, plan, store, 0)  # type: ignore[arg-type]
        except FedccError:
            if link.refusals:
                raise link.refusals[0][2] from None
            raise
        return House(plan, opened, aggregator, link)

    def close(self) -> None:
        """Close every site."""
        for site in self.opened:
            site.close()
