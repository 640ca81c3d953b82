"""Sites against an aggregator that lies: each test plays the attacker and gets nothing."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import read_lines

from fedcc import config
from fedcc.crypto.contexts import SiteCipher
from fedcc.crypto.keys import SiteKeys
from fedcc.crypto.masks import MaskEntry, hash_chunks
from fedcc.crypto.packing import slot_count, unpack
from fedcc.data.tabular_features import TabularEncoding
from fedcc.errors import (
    BudgetExceeded,
    EnvelopeError,
    PolicyViolation,
    ProtocolError,
)
from fedcc.federation.aggregation import Aggregator, RoundStore
from fedcc.federation.closed_round import ClosedRound, closed_parcel
from fedcc.federation.messages import (
    Parcel,
    advert_from_json,
    hex_map,
    roster_to_json,
)
from fedcc.federation.planning import make_plan
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.settings import simulation_settings
from fedcc.federation.site_parts import SiteFiles, UploadNote, Watch
from fedcc.federation.site_policy import SitePolicy
from fedcc.federation.site_round import Site
from fedcc.federation.update_cipher import AggregateSum
from fedcc.privacy.caps import lifetime_cap
from fedcc.privacy.policy import PrivacyPolicy
from fedcc.tasks.task import Examples

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
NAMES = ("site-1", "site-2", "site-3", "site-4")
# Four numbers and the constant: five features.
RECIPE = TabularEncoding(tuple((f"number-{i}", 0.0, 1.0) for i in range(4)), (), 0)


@dataclass
class House:
    """Four sites and everything that an aggregator holds."""

    plan: RunPlan
    sites: dict[str, Site]
    aggregator: Aggregator
    roster: str
    begin: dict[str, Parcel]

    def entry(self, round_number: int = 1, attempt: int = 1, cohort: Any = NAMES) -> MaskEntry:
        return self.aggregator.entry(round_number, attempt, tuple(cohort))

    def upload(
        self, site: str, entry: MaskEntry, closed: list[ClosedRound] | None = None
    ) -> Parcel:
        place: dict[str, str | int | bytes] = {
            "round": entry.round_number,
            "attempt": entry.attempt,
            "cohort": json.dumps(entry.cohort),
        }
        return self.sites[site].answer("upload", closed_parcel(closed or [], place))

    def uploads(
        self, entry: MaskEntry, closed: list[ClosedRound] | None = None
    ) -> dict[str, Parcel]:
        return {site: self.upload(site, entry, closed) for site in entry.cohort}

    def commitments(self, entry: MaskEntry, replies: dict[str, Parcel]) -> dict[str, bytes]:
        found = {}
        for site, reply in replies.items():
            header, _ = self.aggregator.take_upload(site, entry, reply)
            found[site] = bytes.fromhex(header.seed_commitment)
        return found

    def aggregate(self, replies: dict[str, Parcel]) -> list[bytes]:
        return self.aggregator.adder.add([reply.chunks["update"] for reply in replies.values()])

    def sign_request(
        self, entry: MaskEntry, aggregate: list[bytes], commitments: dict[str, bytes]
    ) -> Parcel:
        return Parcel(
            {
                "round": entry.round_number,
                "attempt": entry.attempt,
                "survivors": json.dumps(entry.cohort),
                "commitments": hex_map(commitments),
                "aggregate_sha256": json.dumps([h.hex() for h in hash_chunks(aggregate)]),
            }
        )

    def signatures(self, entry: MaskEntry, request: Parcel) -> dict[str, bytes]:
        return {s: self.sites[s].answer("sign", request).raw("signature") for s in entry.cohort}

    def unmask_request(self, entry: MaskEntry, signatures: dict[str, bytes]) -> Parcel:
        return Parcel(
            {
                "round": entry.round_number,
                "attempt": entry.attempt,
                "signatures": hex_map(signatures),
            }
        )

    def close(self, entry: MaskEntry, closed: list[ClosedRound] | None = None) -> ClosedRound:
        """Play one honest round."""
        replies = self.uploads(entry, closed)
        commitments, aggregate = self.commitments(entry, replies), self.aggregate(replies)
        signatures = self.signatures(entry, self.sign_request(entry, aggregate, commitments))
        request = self.unmask_request(entry, signatures)
        seeds = {s: self.sites[s].answer("unmask", request).raw("seed") for s in entry.cohort}
        return ClosedRound(
            entry.round_number,
            entry.attempt,
            entry.cohort,
            aggregate,
            commitments,
            signatures,
            seeds,
        )

    def finish(self, site: str, closed: ClosedRound) -> Parcel:
        return self.sites[site].answer("finish", closed_parcel([closed], {}))


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


def with_cap(epsilon: float) -> PrivacyPolicy:
    return replace(POLICY, caps=(lifetime_cap(epsilon),))


Build = Callable[..., House]


@pytest.fixture
def house(tmp_path: Path, calls: Path) -> Any:
    """Return a builder of houses; keyword arguments change the plan."""
    opened: list[Site] = []

    def build(
        *overrides: str,
        max_epsilon: float | None = 1.0,
        approve: Callable[[RunPlan], set[str]] = lambda plan: {plan.sha256},
        begin_at: tuple[str, ...] = NAMES,
        **changes: object,
    ) -> House:
        values = config.compose(
            "simulate", ["data=calls", "sites=4", "rounds=3", "crypto.lanes=2", *overrides], calls
        )
        settings = simulation_settings(values)
        plan = make_plan(settings, RECIPE, 1, run="run", public_seed=1)
        own_data = plan.data_sha256
        plan = replace(plan, **changes)  # type: ignore[arg-type]
        keys = {name: SiteKeys.create() for name in NAMES}
        policy = SitePolicy(
            privacy=POLICY if max_epsilon is None else with_cap(max_epsilon),
            approved_plans=frozenset(approve(plan)),
            data_sha256=own_data,
            trusted={name: key.identity for name, key in keys.items()},
        )
        sites = {}
        for index, name in enumerate(NAMES):
            sites[name] = site_at(tmp_path, name, policy, keys[name], index)
            opened.append(sites[name])
        return begun(plan, sites, tmp_path, begin_at)

    yield build
    for site in opened:
        site.close()


def site_at(folder: Path, name: str, policy: SitePolicy, keys: SiteKeys, index: int) -> Site:
    rng = np.random.default_rng(index)
    features = (rng.normal(size=(40, 5)) / 3).astype(np.float32)
    files = SiteFiles(
        ledger=folder / "ledger" / f"{name}.jsonl",
        audit=folder / "audit" / f"{name}.jsonl",
        checkpoint=folder / f"{name}.safetensors",
        keys=folder / f"{name}.keys",
        epoch_key=folder / f"{name}.epoch",
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
        seed=None,
        watch=Watch(),
    )


def begun(plan: RunPlan, sites: dict[str, Site], folder: Path, begin_at: tuple[str, ...]) -> House:
    adverts = tuple(
        advert_from_json(site.answer("join", Parcel({"run": plan.run})).text("advert"))
        for site in sites.values()
    )
    roster = roster_to_json(adverts)
    common: dict[str, str | int | bytes] = {"plan": plan.to_json(), "roster": roster}
    dealt = sites["site-1"].answer("deal", Parcel(common))
    begin = {}
    for name, sealed in zip(sites, dealt.chunks["sealed_keys"], strict=True):
        fields = {**common, "key_id": dealt.text("key_id"), "sealed_key": sealed}
        begin[name] = Parcel(fields)
        if name in begin_at:
            sites[name].answer("begin", begin[name])
    aggregator = Aggregator(
        plan=plan,
        store=RoundStore(folder / "store"),
        roster=adverts,
        nodes={name: index for index, name in enumerate(sites)},
        key_id=dealt.text("key_id"),
        adder=AggregateSum(plan, dealt.raw("parameters")),
        applied=dict.fromkeys(sites, 0),
        present=set(sites),
    )
    return House(plan, sites, aggregator, roster, begin)


def test_an_honest_round_closes_and_every_site_takes_the_same_step(house: Build) -> None:
    h = house()
    closed = h.close(h.entry())

    for site in NAMES:
        h.finish(site, closed)

    states = [h.sites[site].state for site in NAMES]
    assert all(np.array_equal(s.parameters, states[0].parameters) for s in states if s)
    assert states[0] is not None and states[0].rounds_applied == 1


# What the aggregator can read with a site's epoch key in hand.


def test_one_upload_opened_with_the_real_epoch_key_is_noise_mod_t(house: Build) -> None:
    h = house()
    reply = h.upload("site-2", h.entry())
    key = h.sites["site-1"]._members.epoch_key or b""

    slots = SiteCipher("bfv", key).decrypt(reply.chunks["update"], 4096)
    values = unpack(slots.astype(np.uint64)[: slot_count(5, 2)], 5, 2)

    # Under masks a lane is uniform over 23 bits, sd 2.4 million; noise alone has a tenth of that.
    share_sd = np.sqrt(h.plan.own_variance) * h.plan.steps_per_unit
    others = [
        unpack(
            SiteCipher("bfv", key)
            .decrypt(h.upload("site-2", h.entry(1, attempt)).chunks["update"], 4096)
            .astype(np.uint64)[: slot_count(5, 2)],
            5,
            2,
        )
        for attempt in range(2, 6)
    ]
    spread = np.std(np.concatenate([values, *others]))
    assert spread > 1_000_000 > 4 * share_sd


def test_a_sum_with_one_upload_missing_stays_closed(house: Build) -> None:
    h = house()
    entry = h.entry()
    replies = h.uploads(entry)
    partial = {site: replies[site] for site in NAMES[:3]}
    key = h.sites["site-1"]._members.epoch_key or b""

    slots = SiteCipher("bfv", key).decrypt(h.aggregate(partial), 3).astype(np.uint64)

    assert np.abs(unpack(slots, 5, 2)).max() > 1_000_000


def test_every_upload_carries_the_noise_that_the_ledger_charges(house: Build) -> None:
    h = house("rounds=12", max_epsilon=8.0)
    notes: list[UploadNote] = []
    for site in h.sites.values():
        site.watch.on_upload = notes.append
    for attempt in range(1, 13):
        h.uploads(h.entry(1, attempt))

    residues = []
    for note in notes:
        running, state = h.sites[note.site]._run()
        noiseless = running.sums.sum_at(state.parameters)
        residues.append(note.update / h.plan.steps_per_unit - noiseless)

    # 4 sites x 12 attempts x 5 coordinates: the standard error of the sd is 4.6 %.
    charged = h.sites["site-1"].ledger.events[0].own_variance
    assert np.std(residues) == pytest.approx(np.sqrt(charged), rel=0.2)


# Signing and opening.


def test_a_second_survivor_set_in_the_same_attempt_is_not_signed(house: Build) -> None:
    h = house("privacy.min_sites=3")
    entry = h.entry()
    replies = h.uploads(entry)
    commitments = h.commitments(entry, replies)
    subset = replace(entry, cohort=NAMES[:3])
    partial = {site: replies[site] for site in NAMES[:3]}
    request = h.sign_request(subset, h.aggregate(partial), {s: commitments[s] for s in NAMES[:3]})

    with pytest.raises(ProtocolError, match="survivors"):
        h.sites["site-1"].answer("sign", request)


def test_an_attempt_is_signed_once(house: Build) -> None:
    h = house()
    entry = h.entry()
    replies = h.uploads(entry)
    request = h.sign_request(entry, h.aggregate(replies), h.commitments(entry, replies))
    h.sites["site-1"].answer("sign", request)

    with pytest.raises(ProtocolError, match="signed before"):
        h.sites["site-1"].answer("sign", request)


def test_different_aggregates_for_different_sites_open_no_seed(house: Build) -> None:
    h = house()
    entry = h.entry()
    replies = h.uploads(entry)
    commitments, aggregate = h.commitments(entry, replies), h.aggregate(replies)
    other = h.aggregate({**replies, "again": replies["site-1"]})
    signatures = {
        site: h.sites[site]
        .answer(
            "sign", h.sign_request(entry, other if site == "site-4" else aggregate, commitments)
        )
        .raw("signature")
        for site in NAMES
    }

    for site in NAMES:
        with pytest.raises(EnvelopeError):
            h.sites[site].answer("unmask", h.unmask_request(entry, signatures))


def test_a_seed_is_not_opened_without_every_signature(house: Build) -> None:
    h = house()
    entry = h.entry()
    replies = h.uploads(entry)
    request = h.sign_request(entry, h.aggregate(replies), h.commitments(entry, replies))
    signatures = h.signatures(entry, request)
    missing = {s: v for s, v in signatures.items() if s != "site-3"}
    forged = {**signatures, "site-3": bytes(64)}

    for wrong in (missing, forged, {**signatures, "site-9": bytes(64)}):
        with pytest.raises(EnvelopeError):
            h.sites["site-1"].answer("unmask", h.unmask_request(entry, wrong))


@pytest.mark.parametrize(("forger", "refusing"), [("site-2", "site-1"), ("site-3", "site-4")])
def test_along_a_ring_each_site_checks_the_signatures_of_its_peers(
    house: Build, forger: str, refusing: str
) -> None:
    h = house("crypto.neighbours=2")
    entry = h.entry()
    assert forger in entry.peers(refusing) and len(entry.peers(refusing)) == 2
    replies = h.uploads(entry)
    request = h.sign_request(entry, h.aggregate(replies), h.commitments(entry, replies))
    forged = {**h.signatures(entry, request), forger: bytes(64)}

    with pytest.raises(EnvelopeError):
        h.sites[refusing].answer("unmask", h.unmask_request(entry, forged))


def test_a_seed_is_not_opened_before_the_site_signed(house: Build) -> None:
    h = house()
    entry = h.entry()
    h.uploads(entry)

    with pytest.raises(ProtocolError, match="not signed"):
        h.sites["site-1"].answer("unmask", h.unmask_request(entry, {}))


def test_the_seed_of_a_void_attempt_is_never_opened(house: Build) -> None:
    h = house()
    first = h.entry(1, 1)
    replies = h.uploads(first)
    request = h.sign_request(first, h.aggregate(replies), h.commitments(first, replies))
    signatures = h.signatures(first, request)
    h.uploads(h.entry(1, 2))

    with pytest.raises(ProtocolError, match="no such attempt"):
        h.sites["site-1"].answer("unmask", h.unmask_request(first, signatures))


def test_an_altered_commitment_is_not_signed(house: Build) -> None:
    h = house()
    entry = h.entry()
    replies = h.uploads(entry)
    commitments = {**h.commitments(entry, replies), "site-1": bytes(32)}

    with pytest.raises(EnvelopeError, match="commitment"):
        h.sites["site-1"].answer("sign", h.sign_request(entry, h.aggregate(replies), commitments))


# Replays and cohorts.


def test_an_entry_is_not_uploaded_twice_so_no_pad_is_used_twice(house: Build) -> None:
    h = house("privacy.min_sites=3")
    h.upload("site-1", h.entry())

    with pytest.raises(ProtocolError, match="used before"):
        h.upload("site-1", h.entry())
    with pytest.raises(ProtocolError, match="used before"):
        h.upload("site-1", h.entry(cohort=NAMES[:3]))


@pytest.mark.parametrize(
    "cohort",
    [NAMES[:2], ("site-1", "site-2", "stranger"), ("site-2", "site-3", "site-4")],
    ids=["too few", "stranger", "without the site"],
)
def test_a_cohort_that_the_plan_does_not_admit_gets_no_upload_and_no_charge(
    house: Build, cohort: tuple[str, ...]
) -> None:
    h = house("privacy.min_sites=3")

    with pytest.raises(ProtocolError):
        h.upload("site-1", h.entry(cohort=cohort))

    assert h.sites["site-1"].ledger.events == ()


def test_a_cohort_that_names_a_site_twice_is_refused(house: Build) -> None:
    h = house("privacy.min_sites=3")

    with pytest.raises(ProtocolError, match="twice"):
        h.upload("site-1", h.entry(cohort=("site-1", "site-2", "site-2")))


@pytest.mark.parametrize("round_number", [0, 2, 4])
def test_a_round_out_of_order_is_refused(house: Build, round_number: int) -> None:
    h = house()

    with pytest.raises(ProtocolError, match="round"):
        h.upload("site-1", h.entry(round_number))


def test_one_upload_replayed_as_the_aggregate_is_refused(house: Build) -> None:
    h = house()
    closed = h.close(h.entry())
    single = h.upload("site-1", h.entry(2, 1), [closed]).chunks["update"]

    with pytest.raises(EnvelopeError):
        h.finish("site-2", replace(closed, aggregate=single))


# Closed rounds.


@pytest.mark.parametrize("field", ["aggregate", "commitments", "signatures", "seeds"])
def test_a_closed_round_with_anything_altered_is_not_applied(house: Build, field: str) -> None:
    h = house()
    closed = h.close(h.entry())
    changes: dict[str, Any] = {
        "aggregate": [closed.aggregate[0][:-1] + bytes([closed.aggregate[0][-1] ^ 1])],
        "commitments": {**closed.commitments, "site-2": bytes(32)},
        "signatures": {**closed.signatures, "site-2": bytes(64)},
        "seeds": {**closed.seeds, "site-2": bytes(32)},
    }

    with pytest.raises(EnvelopeError):
        h.finish("site-1", replace(closed, **{field: changes[field]}))

    state = h.sites["site-1"].state
    assert state is not None and state.rounds_applied == 0


@pytest.mark.parametrize(
    "changes", [{"round_number": 2}, {"attempt": 2}, {"cohort": NAMES[:3]}, {"cohort": NAMES[::-1]}]
)
def test_a_closed_round_of_another_place_is_not_applied(
    house: Build, changes: dict[str, Any]
) -> None:
    h = house("privacy.min_sites=3")
    closed = replace(h.close(h.entry()), **changes)

    with pytest.raises(ProtocolError):
        h.finish("site-1", closed)


def test_a_closed_round_is_applied_once(house: Build) -> None:
    h = house()
    closed = h.close(h.entry())
    h.finish("site-1", closed)
    first = h.sites["site-1"].state

    h.finish("site-1", closed)

    assert h.sites["site-1"].state is first


# Plans and rosters.


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("purpose", "marketing"),
        ("data_sha256", "0" * 64),
        ("delta", 1e-3),
        ("min_sites", 2),
        ("min_sites", 9),
        ("tolerated_collusion", 0),
        ("sensitivity", 0.1),
        ("own_variance", 0.001),
        ("mechanism", "none"),
        ("sample_rate", 0.5),
        ("sample_rate", 0.0),
        ("max_grad_norm", 5.0),
        ("n_parameters", 6),
        ("noise", "local"),
        ("noise", "none"),
        ("scheme", "none"),
        ("scheme", "ckks"),
        ("unit", "record"),
        ("max_interactions", 6),
        ("max_interactions", 0),
        ("max_sites_per_customer", 0),
        ("tolerated_collusion", 3),
        ("steps_per_unit", 1e12),
        ("steps_per_unit", 0.1),
        ("box", 1e9),
        ("box", 0.0),
        ("lanes", 3),
        ("max_attempts", 2),
        ("neighbours", 1),
        ("neighbours", 3),
        ("learning_rate", float("inf")),
        ("learning_rate", float("nan")),
        ("sites", ("site-1", "site-2", "site-3")),
    ],
)
def test_a_plan_weaker_in_one_field_is_refused_even_if_it_was_approved(
    house: Build, field: str, value: object
) -> None:
    with pytest.raises(PolicyViolation, match="not admitted|does not fit"):
        house(**{field: value})


@pytest.mark.parametrize(
    "mechanism", ["gaussian_share", "gaussian_alone", "sampled_gaussian_alone"]
)
def test_a_sampled_plan_with_shared_noise_is_refused_whatever_mechanism_it_names(
    house: Build, mechanism: str
) -> None:
    with pytest.raises(PolicyViolation, match="sample_rate"):
        house(sample_rate=0.1, mechanism=mechanism)


def test_a_plan_that_nobody_approved_is_refused_however_sound_it_is(house: Build) -> None:
    with pytest.raises(PolicyViolation, match="hash"):
        house(approve=lambda plan: {replace(plan, learning_rate=1.0).sha256})


def test_sites_that_were_shown_different_plans_open_nothing(house: Build, tmp_path: Path) -> None:
    # A plan with a thousandth of the noise for all but the victim would strip the victim of the
    # others' shares. Both plans are approved here, so only the binding of the session is left.
    def quiet(plan: RunPlan) -> RunPlan:
        return replace(
            plan,
            max_grad_norm=plan.max_grad_norm / 1000,
            sensitivity=plan.sensitivity / 1000,
            own_variance=plan.own_variance / 1e6,
            steps_per_unit=plan.steps_per_unit * 1000,
            box=plan.box / 1000,
        )

    h = house(approve=lambda plan: {plan.sha256, quiet(plan).sha256}, begin_at=("site-1",))
    for name in NAMES[1:]:
        fields = {**h.begin["site-1"].fields, "plan": quiet(h.plan).to_json()}
        with pytest.raises(EnvelopeError):
            # Not even the epoch key opens: it was sealed within the other session.
            sealed = {**fields, "sealed_key": h.begin[name].raw("sealed_key")}
            h.sites[name].answer("begin", Parcel(sealed))


def test_a_plan_that_the_ledger_cannot_pay_for_is_refused_before_anything_is_spent(
    house: Build,
) -> None:
    with pytest.raises(BudgetExceeded):
        house(max_epsilon=0.5)


def test_another_plan_or_roster_within_the_run_is_refused_even_after_a_restart(
    house: Build, tmp_path: Path
) -> None:
    def other(plan: RunPlan) -> RunPlan:
        return replace(plan, learning_rate=1.0)

    h = house(approve=lambda plan: {plan.sha256, other(plan).sha256})
    again = Parcel({**h.begin["site-2"].fields, "plan": other(h.plan).to_json()})
    site = h.sites["site-2"]

    with pytest.raises(ProtocolError, match="changed within a run"):
        site.answer("begin", again)

    site.close()
    restarted = site_at(tmp_path, "site-2", site._policy, site._members.keys, 1)
    with pytest.raises(ProtocolError, match="changed within a run"):
        restarted.answer("begin", again)
    restarted.close()

    shorter = roster_to_json(h.aggregator.roster[:3])
    with pytest.raises(ProtocolError, match="roster"):
        h.sites["site-3"].answer("begin", Parcel({**h.begin["site-3"].fields, "roster": shorter}))


def test_only_the_first_site_of_the_roster_deals_a_key(house: Build) -> None:
    h = house()

    with pytest.raises(ProtocolError, match="deal"):
        h.sites["site-2"].answer("deal", h.begin["site-2"])


def test_a_site_takes_part_in_no_more_attempts_than_the_plan_has(house: Build) -> None:
    h = house(max_epsilon=8.0)  # the lifetime budget would allow many more
    for attempt in range(1, h.plan.max_attempts + 1):
        h.upload("site-1", h.entry(1, attempt))

    with pytest.raises(BudgetExceeded, match="attempt"):
        h.upload("site-1", h.entry(1, h.plan.max_attempts + 1))

    assert len(h.sites["site-1"].ledger.events) == h.plan.max_attempts


@pytest.mark.parametrize("constant", [1 << 20, 1 << 21, 1 << 44, (1 << 45) + (1 << 21)])
def test_a_constant_added_to_the_aggregate_without_a_key_is_no_oracle(
    house: Build, constant: int
) -> None:
    # BFV is malleable: whoever holds the parameters can add a plaintext. If a weight could be blown
    # up to infinity, 0 * inf at a site would tell whether some row has a zero in that column.
    import tenseal.sealapi as seal

    from fedcc.crypto.seal_streams import Ciphertexts, seal_context

    h = house()
    entry = h.entry()
    replies = h.uploads(entry)
    context, wire, plain = seal_context("bfv"), Ciphertexts("bfv"), seal.Plaintext()
    seal.BatchEncoder(context).encode([constant] * 4096, plain)
    total = wire.load(h.aggregate(replies)[0], seeded=False)
    seal.Evaluator(context).add_plain_inplace(total, plain)
    altered = [wire.dump(total)]
    commitments = h.commitments(entry, replies)
    signatures = h.signatures(entry, h.sign_request(entry, altered, commitments))
    request = h.unmask_request(entry, signatures)
    seeds = {s: h.sites[s].answer("unmask", request).raw("seed") for s in NAMES}
    closed = ClosedRound(1, 1, NAMES, altered, commitments, signatures, seeds)

    refused = []
    for site in NAMES:
        try:
            h.finish(site, closed)
            h.upload(site, h.entry(2))  # whatever was applied, the next step is computed
        except EnvelopeError as error:
            assert str(error) == "an aggregate was refused"
            refused.append(site)

    assert refused in ([], list(NAMES))  # all alike: nothing depends on a site's rows


def test_a_sum_beyond_every_honest_one_is_refused(house: Build) -> None:
    h = house()
    closed = h.close(h.entry())
    site = h.sites["site-1"]
    running, _ = site._run()
    tight = replace(running.plan, box=running.plan.box / 1e6, own_variance=1e-12)
    site._running = replace(running, plan=tight)

    with pytest.raises(EnvelopeError, match="aggregate was refused"):
        h.finish("site-1", closed)


def test_a_roster_with_a_key_of_the_aggregator_is_refused(house: Build, tmp_path: Path) -> None:
    h = house()
    mallory = SiteKeys.create().advert("site-4", h.plan.run)
    forged = roster_to_json((*h.aggregator.roster[:3], mallory))
    common = {"plan": h.plan.to_json(), "roster": forged}

    with pytest.raises(EnvelopeError, match="identity"):
        h.sites["site-1"].answer("deal", Parcel(common))


def test_one_identity_under_two_names_is_refused(house: Build) -> None:
    from fedcc.crypto.keys import verify_roster

    keys = SiteKeys.create()
    roster = [keys.advert("site-1", "run"), keys.advert("site-2", "run")]

    with pytest.raises(ProtocolError, match="share one identity"):
        verify_roster(roster, dict.fromkeys(("site-1", "site-2"), keys.identity), "run")


def test_an_epoch_key_other_than_the_named_one_is_refused(house: Build) -> None:
    h = house()
    fields = {**h.begin["site-2"].fields, "key_id": "0" * 32}

    with pytest.raises(EnvelopeError, match="named"):
        h.sites["site-2"].answer("begin", Parcel(fields))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"round": 1},
        {"round": "1", "attempt": 1, "cohort": "[]", "closed": "[]"},
        {"round": 1, "attempt": 1, "cohort": "{", "closed": "[]"},
        {"round": 1, "attempt": 1, "cohort": "[]", "closed": "not json"},
        {"round": 1, "attempt": 1, "cohort": "[]", "closed": '["{}"]'},
        {"round": -1, "attempt": 1, "cohort": "[]", "closed": "[]"},
        {"round": 1, "attempt": 1, "cohort": "[" * 100_000, "closed": "[]"},
        {"round": 1, "attempt": 1, "cohort": "[]", "closed": "[" * 100_000},
    ],
    ids=range(9),
)
def test_a_malformed_request_is_refused_as_such(house: Build, fields: dict[str, Any]) -> None:
    h = house()

    with pytest.raises(ProtocolError):
        h.sites["site-1"].answer("upload", Parcel(fields))


# What the aggregator refuses.


def test_an_upload_of_another_round_site_or_signature_is_refused(house: Build) -> None:
    h = house()
    entry = h.entry()
    replies = h.uploads(entry)

    for site, place, reply in [
        ("site-2", entry, replies["site-1"]),
        ("site-1", h.entry(2), replies["site-1"]),
        ("site-1", h.entry(1, 2), replies["site-1"]),
        (
            "site-1",
            entry,
            Parcel({**replies["site-1"].fields, "signature": bytes(64)}, replies["site-1"].chunks),
        ),
        ("site-1", entry, Parcel(replies["site-1"].fields, {"update": [b"x" * 32972]})),
        ("site-1", entry, Parcel(replies["site-1"].fields, {"update": []})),
    ]:
        with pytest.raises(EnvelopeError):
            h.aggregator.take_upload(site, place, reply)


def test_the_ledger_shows_every_attempt_and_which_were_void(house: Build, tmp_path: Path) -> None:
    h = house()
    h.uploads(h.entry(1, 1))
    h.close(h.entry(1, 2))

    lines = read_lines(tmp_path / "ledger" / "site-1.jsonl")

    assert lines[0]["kind"] == "format"
    kinds = [(line["kind"], line["attempt"]) for line in lines[1:]]
    assert kinds == [
        ("reserve", 1),
        ("settle", 1),
        ("abort", 1),
        ("reserve", 2),
        ("settle", 2),
    ]
