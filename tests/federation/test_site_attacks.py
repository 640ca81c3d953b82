"""Sites against an aggregator that lies: each test plays the attacker and gets nothing."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import read_lines
from federation.house import NAMES, Builder, House, site_at

from fedcc.crypto.contexts import SiteCipher
from fedcc.crypto.keys import SiteKeys
from fedcc.crypto.masks import MaskEntry
from fedcc.crypto.packing import slot_count, unpack
from fedcc.errors import (
    BudgetExceeded,
    EnvelopeError,
    PolicyViolation,
    ProtocolError,
    TooFewSites,
)
from fedcc.federation.closed_round import ClosedRound, closed_parcel
from fedcc.federation.closing import verifiers
from fedcc.federation.messages import Parcel, hex_map, roster_to_json
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.site_parts import UploadNote
from fedcc.federation.site_round import Site

Build = Builder


@pytest.fixture
def house(tmp_path: Path, calls: Path) -> Iterator[Builder]:
    """Return a builder of houses; keyword arguments change the plan."""
    builder = Builder(tmp_path, calls)
    yield builder
    builder.close()


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
    key = h.key

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
    key = h.key

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
    [charged] = set(h.sites["site-1"].ledger.events)
    assert np.std(residues) == pytest.approx(np.sqrt(h.plan.own_variance), rel=0.2)
    # Of that, what is never opened is charged, at four sites instead of three survivors.
    assert charged.own_variance == pytest.approx(h.plan.own_variance * 2 / 3)
    assert (charged.noise_sites, charged.min_sites) == (4, 3)


# Signing and opening.


def test_a_second_survivor_set_in_the_same_attempt_is_not_signed(house: Build) -> None:
    h = house()
    entry = h.entry()
    replies = h.uploads(entry)
    h.sites["site-1"].answer("sign", h.sign_request(entry, replies))
    subset = {site: replies[site] for site in NAMES[:3]}

    with pytest.raises(ProtocolError, match="signed before"):
        h.sites["site-1"].answer("sign", h.sign_request(entry, subset))


def test_fewer_survivors_than_the_threshold_are_not_signed(house: Build) -> None:
    h = house()
    entry = h.entry()
    replies = h.uploads(entry)
    two = {site: replies[site] for site in NAMES[:2]}

    with pytest.raises(ProtocolError, match="too few"):
        h.sites["site-1"].answer("sign", h.sign_request(entry, two))


def test_a_survivor_set_without_this_site_or_with_another_upload_of_it_is_not_signed(
    house: Build,
) -> None:
    h = house()
    entry = h.entry()
    replies = h.uploads(entry)
    others = {site: replies[site] for site in NAMES[1:]}
    request = h.sign_request(entry, replies)
    hashes = json.loads(request.text("uploads"))
    hashes["site-1"] = "00" * 32

    for wrong in (
        h.sign_request(entry, others),
        h.sign_request(entry, replies, uploads=json.dumps(hashes)),
    ):
        with pytest.raises(EnvelopeError, match="altered or left out"):
            h.sites["site-1"].answer("sign", wrong)


def test_a_stranger_among_the_survivors_is_not_signed(house: Build) -> None:
    h = house()
    entry = h.entry()
    replies = h.uploads(entry)
    request = h.sign_request(entry, replies)
    for field in ("uploads", "commitments"):
        named = {**json.loads(request.text(field)), "stranger": "00" * 32}
        with pytest.raises(ProtocolError, match="cohort"):
            h.sites["site-1"].answer(
                "sign", h.sign_request(entry, replies, **{field: json.dumps(named)})
            )


def test_different_aggregates_for_different_sites_open_no_seed(house: Build) -> None:
    h = house("privacy.min_sites=4")
    entry = h.entry()
    replies = h.uploads(entry)
    other = h.aggregate({**replies, "again": replies["site-1"]})
    request, forged = h.sign_request(entry, replies), h.sign_request(entry, replies, other)
    signatures = {**h.sign(request, NAMES[:3]), **h.sign(forged, ("site-4",))}
    attempt = h.sites["site-1"]._attempt
    assert attempt is not None and attempt.transcript is not None
    [verifier] = verifiers(attempt.transcript, NAMES, 0)
    verification = h.forged_verification(verifier, attempt.transcript)

    for site in NAMES:
        with pytest.raises(EnvelopeError):
            h.sites[site].answer("unmask", h.unmask_request(entry, signatures, verification))


def test_the_majority_opens_its_own_aggregate_and_the_site_that_was_shown_another_opens_nothing(
    house: Build,
) -> None:
    h = house()  # three of four suffice
    entry = h.entry()
    replies = h.uploads(entry)
    other = h.aggregate({**replies, "again": replies["site-1"]})
    majority = h.sign(h.sign_request(entry, replies), NAMES[:3])
    alone = h.sign(h.sign_request(entry, replies, other), ("site-4",))
    attempt = h.sites["site-1"]._attempt
    assert attempt is not None and attempt.transcript is not None
    [verifier] = verifiers(attempt.transcript, NAMES, 0)
    verification = h.forged_verification(verifier, attempt.transcript)
    request = h.unmask_request(entry, majority, verification)
    assert all(h.sites[site].answer("unmask", request).raw("seed") for site in NAMES[:3])

    for signatures in (alone, {**majority, **alone}, majority):
        with pytest.raises(EnvelopeError):
            request = h.unmask_request(entry, signatures, verification)
            h.sites["site-4"].answer("unmask", request)


def test_a_seed_is_not_opened_without_enough_signatures(house: Build) -> None:
    h = house()
    entry = h.entry()
    _, signatures, verification = h.signed(entry)
    few = {site: signatures[site] for site in NAMES[:2]}
    forged = {**signatures, "site-3": bytes(64)}

    for wrong in (few, forged, {**signatures, "site-9": bytes(64)}):
        with pytest.raises(EnvelopeError):
            h.sites["site-1"].answer("unmask", h.unmask_request(entry, wrong, verification))


def test_a_seed_is_not_opened_without_the_verifier(house: Build) -> None:
    h = house("privacy.min_sites=4")
    entry = h.entry()
    _, signatures, verification = h.signed(entry)
    attempt = h.sites["site-1"]._attempt
    assert attempt is not None and attempt.transcript is not None
    by_each = {s: h.forged_verification(s, attempt.transcript) for s in NAMES}
    others = [made for made in by_each.values() if made != verification]

    assert len(others) == 3
    for wrong in (b"", bytes(64), *others):
        with pytest.raises(EnvelopeError, match="verifier"):
            h.sites["site-1"].answer("unmask", h.unmask_request(entry, signatures, wrong))


def test_a_wrong_aggregate_that_all_signed_is_not_verified(house: Build) -> None:
    # The malleability of BFV: an aggregator without a key can add anything to a sum. Signatures
    # alone would not notice.
    h = house()
    entry = h.entry()
    replies = h.uploads(entry)
    other = h.aggregate({**replies, "again": replies["site-1"]})
    h.sign(h.sign_request(entry, replies, other), NAMES)

    for site in NAMES:
        with pytest.raises(EnvelopeError, match="not the sum"):
            h.sites[site].answer("verify", h.verify_request(entry, replies))


def test_a_verifier_takes_only_the_uploads_that_were_signed_for(house: Build) -> None:
    h = house()
    entry = h.entry()
    replies = h.uploads(entry)
    h.sign(h.sign_request(entry, replies), NAMES)
    request = h.verify_request(entry, replies)
    chunks = request.chunks["uploads"]
    second = len(chunks) // len(NAMES)  # the first chunk of the second site
    altered = chunks[second][:-1] + bytes([chunks[second][-1] ^ 1])
    headers = {**json.loads(request.text("headers"))}
    missing = json.dumps({site: headers[site] for site in NAMES[1:]})

    for wrong in (
        Parcel(request.fields, {"uploads": [*chunks[:second], altered, *chunks[second + 1 :]]}),
        Parcel(request.fields, {"uploads": [*chunks[second:], *chunks[:second]]}),
        Parcel(request.fields, {"uploads": chunks[:-1]}),
        Parcel(request.fields, {"uploads": [*chunks, chunks[-1]]}),
        Parcel(request.fields, {"uploads": []}),
        Parcel({**request.fields, "headers": missing}, request.chunks),
        Parcel(
            {**request.fields, "signatures": hex_map(dict.fromkeys(NAMES, bytes(64)))},
            request.chunks,
        ),
    ):
        with pytest.raises(EnvelopeError):
            h.sites["site-1"].answer("verify", wrong)


def batches_of(request: Parcel, *groups: tuple[str, ...]) -> list[Parcel]:
    """Return a request to verify in parts."""
    headers, signatures = (json.loads(request.text(n)) for n in ("headers", "signatures"))
    chunks, size = request.chunks["uploads"], len(request.chunks["uploads"]) // len(headers)
    own = {site: chunks[i * size : (i + 1) * size] for i, site in enumerate(headers)}
    return [
        Parcel(
            {
                **request.fields,
                "headers": json.dumps({site: headers[site] for site in group}),
                "signatures": json.dumps({site: signatures[site] for site in group}),
            },
            {"uploads": [chunk for site in group for chunk in own[site]]},
        )
        for group in groups
    ]


def test_uploads_may_be_verified_in_parts(house: Build) -> None:
    h = house()
    entry = h.entry()
    replies = h.uploads(entry)
    h.sign(h.sign_request(entry, replies), NAMES)
    request = h.verify_request(entry, replies)
    site, whole = h.sites["site-1"], h.sites["site-1"].answer("verify", request)

    parts = batches_of(request, NAMES[:1], NAMES[1:2], NAMES[2:])
    answers = [site.answer("verify", part).raw("signature") for part in parts]

    assert answers == [b"", b"", whole.raw("signature")]
    first, second, rest = parts
    again = [site.answer("verify", part).raw("signature") for part in (first, first, second, rest)]
    assert again == [b"", b"", b"", whole.raw("signature")]  # the first part begins anew


def test_parts_that_leave_out_or_repeat_an_upload_are_refused(house: Build) -> None:
    h = house()
    entry = h.entry()
    replies = h.uploads(entry)
    # What an aggregator would send that added one upload twice, and another not at all.
    wrong = {**replies, NAMES[0]: replies[NAMES[1]]}
    h.sign(h.sign_request(entry, replies, h.aggregate(wrong)), NAMES)
    request = h.verify_request(entry, replies)
    first, second, rest, none = batches_of(request, NAMES[:1], NAMES[1:2], NAMES[2:], NAMES[:0])
    site = h.sites["site-1"]

    assert site.answer("verify", first).raw("signature") == b""
    for odd in (first, second, second), (first, rest), (first, none, rest):
        *before, last = odd
        for part in before:
            assert site.answer("verify", part).raw("signature") == b""
        with pytest.raises(EnvelopeError, match="missing, or there twice"):
            site.answer("verify", last)
    for part in (first, second):
        site.answer("verify", part)
    with pytest.raises(EnvelopeError, match="not the sum"):
        site.answer("verify", rest)


def test_seeds_are_not_opened_before_the_site_signed(house: Build) -> None:
    h = house()
    entry = h.entry()
    replies = h.uploads(entry)

    with pytest.raises(ProtocolError, match="not signed"):
        h.sites["site-1"].answer("unmask", h.unmask_request(entry, {}, b""))
    with pytest.raises(ProtocolError, match="not signed"):
        h.sites["site-1"].answer("verify", h.verify_request(entry, replies))


def test_seeds_are_opened_once(house: Build) -> None:
    h = house()
    entry = h.entry()
    _, signatures, verification = h.signed(entry)
    request = h.unmask_request(entry, signatures, verification)
    h.sites["site-1"].answer("unmask", request)

    with pytest.raises(ProtocolError, match="opened before"):
        h.sites["site-1"].answer("unmask", request)


def test_the_seed_of_a_void_attempt_is_never_opened(house: Build) -> None:
    h = house()
    first = h.entry(1, 1)
    _, signatures, verification = h.signed(first)
    h.uploads(h.entry(1, 2))

    with pytest.raises(ProtocolError, match="no such attempt"):
        h.sites["site-1"].answer("unmask", h.unmask_request(first, signatures, verification))


@pytest.mark.parametrize("victim", ["site-1", "site-2"])
def test_an_altered_commitment_is_not_signed(house: Build, victim: str) -> None:
    h = house()
    entry = h.entry()
    replies = h.uploads(entry)
    committed = {**h.commitments(entry, replies), victim: bytes(32)}
    request = h.sign_request(entry, replies, commitments=hex_map(committed))

    with pytest.raises(EnvelopeError, match="commitment"):
        h.sites["site-1"].answer("sign", request)


# Dropouts: what a site gives of a survivor and of one that is gone.


def recover_request(entry: Any, missing: list[str]) -> Parcel:
    place = {"round": entry.round_number, "attempt": entry.attempt}
    return Parcel({**place, "missing": json.dumps(missing)})


def test_a_site_never_gives_both_kinds_of_shares_of_one_site(house: Build) -> None:
    h = house()
    entry = h.entry()
    _, signatures, verification = h.signed(entry, NAMES[:3])
    opened = h.sites["site-1"].answer("unmask", h.unmask_request(entry, signatures, verification))
    held = h.sites["site-1"].epochs.held
    assert held is not None

    # Of the dropout the share of its mask key, and of nobody else.
    assert opened.raw("shares") == held.mask_key("site-4", entry.number)
    with pytest.raises(ProtocolError, match="only the seeds of survivors"):
        h.sites["site-1"].answer("recover", recover_request(entry, ["site-4"]))
    survivor = h.sites["site-1"].answer("recover", recover_request(entry, ["site-2"]))
    assert survivor.raw("shares")[:32] == held.seed("site-2", entry.number, 0)


def test_no_share_is_given_before_an_attempt_is_opened(house: Build) -> None:
    h = house()
    entry = h.entry()
    h.signed(entry)

    with pytest.raises(ProtocolError, match="not opened"):
        h.sites["site-1"].answer("recover", recover_request(entry, ["site-2"]))


def test_shares_of_an_earlier_attempt_are_gone(house: Build) -> None:
    h = house()
    first = h.entry(1, 1)
    _, signatures, verification = h.signed(first)
    h.sites["site-1"].answer("unmask", h.unmask_request(first, signatures, verification))
    held = h.sites["site-1"].epochs.held
    assert held is not None and any(held.seed("site-2", first.number, 0))
    h.uploads(h.entry(1, 2))

    assert not any(held.seed("site-2", first.number, 0))
    with pytest.raises(ProtocolError, match="no such attempt"):
        h.sites["site-1"].answer("recover", recover_request(first, ["site-2"]))


# Replays and cohorts.


def test_an_entry_is_not_used_twice_so_no_pad_is(house: Build) -> None:
    h = house()
    first, second = h.entry(1, 1), h.entry(1, 2)
    h.upload("site-1", second)

    for again in (
        second,  # the very same
        replace(second, cohort=NAMES[:3]),  # another cohort
        replace(second, attempt=3),  # under another name
        first,  # one that was skipped
    ):
        with pytest.raises(ProtocolError, match="used before"):
            h.upload("site-1", again)


@pytest.mark.parametrize(
    "cohort",
    [NAMES[:2], ("site-1", "site-2", "site-3", "stranger"), ("site-2", "site-3", "site-4")],
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


def test_two_uploads_passed_off_as_the_aggregate_by_everybody_else_are_implausible(
    house: Build,
) -> None:
    # Even if all sites but one colluded, verifier included, the masks hold: the honest site would
    # decode noise mod t. A lane of it looks plausible with a chance of about 1 / 4, five do with
    # 1 / 1,000, and so in three attempts with 1 / 1,000,000,000.
    h = house("privacy.reserved_retries=2")
    refused = 0
    for number in range(1, 4):
        entry = h.entry(1, number)
        replies = h.uploads(entry)
        twice = h.aggregate({"a": replies["site-2"], "b": replies["site-3"]})
        closed = colluded(h, entry, replies, twice)
        try:
            h.finish("site-1", closed)
        except EnvelopeError as error:
            assert str(error) == "an aggregate was refused"
            refused += 1

    assert refused


def colluded(
    h: House, entry: MaskEntry, replies: dict[str, Parcel], aggregate: list[bytes]
) -> ClosedRound:
    """Close an attempt with any aggregate; the verifier that the transcript chooses colludes."""
    signatures = h.sign(h.sign_request(entry, replies, aggregate), NAMES)
    attempt = h.sites["site-1"]._attempt
    assert attempt is not None and attempt.transcript is not None
    [verifier] = verifiers(attempt.transcript, NAMES, 0)
    verification = h.forged_verification(verifier, attempt.transcript)
    request = h.unmask_request(entry, signatures, verification)
    opened = {site: h.sites[site].answer("unmask", request) for site in NAMES}
    return ClosedRound(
        epoch=1,
        entry=entry.number,
        round_number=entry.round_number,
        attempt=entry.attempt,
        cohort=NAMES,
        aggregate=aggregate,
        uploads={s: hashlib.sha256(r.raw("header")).digest() for s, r in replies.items()},
        commitments=h.commitments(entry, replies),
        signatures=signatures,
        verification=verification,
        seeds={s: reply.raw("seed") for s, reply in opened.items()},
        mask_keys={},
        excess={s: reply.raw("excess") for s, reply in opened.items()},
    )


# Closed rounds.


@pytest.mark.parametrize(
    "field",
    [
        "aggregate",
        "uploads",
        "commitments",
        "signatures",
        "verification",
        "seeds",
        "excess",
        "mask_keys",
    ],
)
def test_a_closed_round_with_anything_altered_is_not_applied(house: Build, field: str) -> None:
    h = house()
    closed = h.close(h.entry())
    assert closed.excess["site-2"]  # four sites, three suffice: one part of the noise is opened
    changes: dict[str, Any] = {
        "uploads": {**closed.uploads, "site-2": bytes(32)},
        "verification": bytes(64),
        "excess": {**closed.excess, "site-2": bytes(32)},
        "mask_keys": {"site-2": bytes(32)},
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
    "changes",
    [
        {"round_number": 2},
        {"attempt": 2},
        {"entry": 2},
        {"epoch": 2},
        {"cohort": NAMES[:3]},
        {"cohort": NAMES[::-1]},
    ],
)
def test_a_closed_round_of_another_place_is_not_applied(
    house: Build, changes: dict[str, Any]
) -> None:
    h = house()
    closed = replace(h.close(h.entry()), **changes)

    with pytest.raises((ProtocolError, EnvelopeError)):
        h.finish("site-1", closed)

    state = h.sites["site-1"].state
    assert state is not None and state.rounds_applied == 0


def test_the_signatures_of_one_survivor_set_close_no_other(house: Build) -> None:
    h = house()
    closed = h.close(h.entry())
    three = {
        name: {s: v for s, v in getattr(closed, name).items() if s != "site-4"}
        for name in ("uploads", "commitments", "signatures", "seeds", "excess")
    }

    with pytest.raises(EnvelopeError):
        h.finish("site-1", replace(closed, **three))


def test_two_signatures_are_too_few_for_a_closed_round(house: Build) -> None:
    h = house()
    closed = h.close(h.entry())
    few = {site: closed.signatures[site] for site in NAMES[:2]}

    with pytest.raises(EnvelopeError, match="too few"):
        h.finish("site-1", replace(closed, signatures=few))


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
        ("noise_levels", (0,)),
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
        ("noise_levels", (0, 2)),
        ("noise_levels", (0, 0, 1)),
        ("rotate_every", 0),
        ("rotate_every", 1000),
    ],
)
def test_a_plan_weaker_in_one_field_is_refused_even_if_it_was_approved(
    house: Build, field: str, value: object
) -> None:
    plan = house.plan()
    weaker = replace(plan, **{field: value})  # type: ignore[arg-type]
    sites = house.sites_of(plan, approved={weaker.sha256})

    with pytest.raises(PolicyViolation, match="not admitted|does not fit"):
        advertise(sites, weaker, "site-1")


@pytest.mark.parametrize(
    "mechanism", ["gaussian_share", "gaussian_alone", "sampled_gaussian_alone"]
)
def test_a_sampled_plan_with_shared_noise_is_refused_whatever_mechanism_it_names(
    house: Build, mechanism: str
) -> None:
    with pytest.raises(PolicyViolation, match="sample_rate"):
        house(sample_rate=0.1, mechanism=mechanism)


def test_a_plan_that_nobody_approved_is_refused_however_sound_it_is(house: Build) -> None:
    plan = house.plan()
    sites = house.sites_of(plan, approved={replace(plan, learning_rate=1.0).sha256})

    with pytest.raises(PolicyViolation, match="hash"):
        advertise(sites, plan, "site-1")


def roster_of(sites: dict[str, Site], plan: RunPlan) -> str:
    join = Parcel({"run": plan.run})
    adverts = (site.answer("join", join).text("advert") for site in sites.values())
    return f"[{', '.join(adverts)}]"


def advertise(
    sites: dict[str, Site], plan: RunPlan, name: str, roster: str | None = None, epoch: int = 1
) -> Parcel:
    fields: dict[str, str | int | bytes] = {
        "plan": plan.to_json(),
        "roster": roster if roster is not None else roster_of(sites, plan),
        "epoch": epoch,
        "first_entry": 1,
    }
    return sites[name].answer("advertise", closed_parcel([], fields))


def quiet(plan: RunPlan) -> RunPlan:
    """Return the plan with a thousandth of the noise."""
    return replace(
        plan,
        max_grad_norm=plan.max_grad_norm / 1000,
        sensitivity=plan.sensitivity / 1000,
        own_variance=plan.own_variance / 1e6,
        steps_per_unit=plan.steps_per_unit * 1000,
        box=plan.box / 1000,
    )


def test_sites_that_were_shown_different_plans_open_nothing(house: Build) -> None:
    # A plan with a thousandth of the noise for all but the victim would strip the victim of the
    # others' shares. Both plans are approved here, so only the binding of the session is left.
    plan = house.plan()
    sites = house.sites_of(plan, approved={plan.sha256, quiet(plan).sha256})
    adverts = {
        name: advertise(sites, plan if name == "site-1" else quiet(plan), name).raw("advert")
        for name in NAMES
    }

    for name in NAMES:  # nobody deals a share to a site of another session
        with pytest.raises(EnvelopeError):
            sites[name].answer("share", Parcel({"adverts": hex_map(adverts)}))


def test_a_plan_that_the_ledger_cannot_pay_for_is_refused_before_anything_is_spent(
    house: Build,
) -> None:
    with pytest.raises(BudgetExceeded):
        house(max_epsilon=0.5)


def test_another_plan_or_roster_within_the_run_is_refused_even_after_a_restart(
    house: Build, tmp_path: Path
) -> None:
    plan = house.plan()
    other = replace(plan, learning_rate=1.0)
    sites = house.sites_of(plan, approved={plan.sha256, other.sha256})
    advertise(sites, plan, "site-2")
    site = sites["site-2"]

    with pytest.raises(ProtocolError, match="changed within a run"):
        advertise(sites, other, "site-2")

    site.close()
    restarted = site_at(tmp_path, "site-2", site._policy, site._keys, 1)
    with pytest.raises(ProtocolError, match="changed within a run"):
        advertise({**sites, "site-2": restarted}, other, "site-2")
    restarted.close()

    roster = json.dumps(json.loads(roster_of(sites, plan))[:3])
    with pytest.raises(ProtocolError, match="roster"):
        advertise(sites, plan, "site-3", roster)


# Epochs.


def test_only_a_dealer_of_an_epoch_deals_a_key(house: Build) -> None:
    h = house("privacy.min_sites=3")  # of 4: one may stand in
    dealers = h.aggregator.epoch.dealers(h.plan)
    others = [name for name in NAMES if name not in dealers]

    assert len(dealers) == len(others) == 2
    for name in others:
        with pytest.raises(ProtocolError, match="deal"):
            h.sites[name].answer("deal", Parcel())


@pytest.mark.parametrize(
    "reply",
    [
        None,
        Parcel({"key_id": b"x", "parameters": b"x"}, {"sealed_keys": [b"x"] * 4}),
        Parcel({"key_id": "x", "parameters": b"x"}, {"sealed_keys": [b"x"] * 4}),
        Parcel({"key_id": "x", "parameters": b"x", "sealed_keys": b"x"}),
        Parcel({"key_id": "x", "parameters": b"x"}, {"sealed_keys": [b"x"] * 3}),
    ],
)
def test_another_site_stands_in_for_a_dealer_that_fails(house: Build, reply: Parcel | None) -> None:
    h = house("privacy.min_sites=3")
    h.begin_epoch()
    first = h.link.dealers()[-1]
    h.link.is_lost = lambda kind, site: reply is None and kind == "deal" and site == failing
    h.link.altered = lambda kind, site, sound: (
        reply if reply is not None and kind == "deal" and site == failing else sound
    )
    failing = NAMES[(NAMES.index(first) + 1) % len(NAMES)]  # whose turn comes next

    h.begin_epoch()

    assert h.link.dealers()[-2:] == [failing, NAMES[(NAMES.index(failing) + 1) % len(NAMES)]]
    assert h.aggregator.present == set(NAMES)
    closed = h.close(h.entry())
    for site in NAMES:
        h.finish(site, closed)


def test_without_any_dealer_no_epoch_begins(house: Build) -> None:
    h = house("privacy.min_sites=3")
    h.link.is_lost = lambda kind, site: kind == "deal"

    with pytest.raises(TooFewSites, match="did not deal"):
        h.begin_epoch()


def test_a_key_of_a_site_whose_turn_it_is_not_is_refused(house: Build) -> None:
    h = house("privacy.min_sites=3")
    h.link.is_lost = lambda kind, site: (kind, site) == ("begin", "site-1")
    h.begin_epoch()
    requests = {site: r for kind, site, r in h.link.requests if kind == "begin"}
    request, site = requests["site-1"], h.sites["site-1"]
    other = next(name for name in NAMES if name not in h.aggregator.epoch.dealers(h.plan))

    with pytest.raises(ProtocolError, match="turn"):
        site.answer("begin", Parcel({**request.fields, "dealer": other}, request.chunks))
    site.answer("begin", request)


def test_each_epoch_has_another_dealer_and_another_key(house: Build) -> None:
    h = house()
    dealers, keys = [], []
    for _ in range(3):
        dealers.append(h.aggregator.epoch.dealers(h.plan)[0])
        keys.append(h.aggregator.epoch.key_id)
        h.begin_epoch()

    assert len(set(dealers)) == len(set(keys)) == 3


def test_an_epoch_of_an_earlier_number_is_refused(house: Build) -> None:
    h = house()
    h.begin_epoch()

    for epoch in (1, 2):
        with pytest.raises(ProtocolError, match="there before"):
            advertise(h.sites, h.plan, "site-1", epoch=epoch)


def test_secrets_of_an_epoch_die_with_a_restart_and_no_pad_comes_twice(
    house: Build, tmp_path: Path
) -> None:
    h = house()
    h.upload("site-1", h.entry())
    site = h.sites["site-1"]
    site.close()
    h.sites["site-1"] = restarted = site_at(tmp_path, "site-1", site._policy, site._keys, 0)
    house.opened.append(restarted)

    for attempt in (1, 2):
        with pytest.raises(ProtocolError, match="begun|no part in the epoch"):
            h.upload("site-1", h.entry(1, attempt))
    held = [path.read_bytes() for path in (tmp_path / "site-1.epochs").iterdir()]
    secrets = site.epochs._secrets
    assert secrets is not None and held
    for number in range(2, 5):
        entry = secrets.take(number)
        for secret in (entry.mask_key, entry.self_seed, *entry.excess_seeds):
            assert all(secret.hex().encode() not in content for content in held)


def test_a_site_shares_its_entries_once_in_an_epoch(house: Build) -> None:
    # Shares of one secret to two different sets of sites would leave the threshold to neither.
    h = house()
    shared = next(request for kind, _, request in h.link.requests if kind == "share")

    with pytest.raises(ProtocolError, match="before"):
        h.sites["site-1"].answer("share", shared)


def test_adverts_with_one_byte_altered_or_a_stranger_are_not_shared_with(house: Build) -> None:
    plan = house.plan()
    sites = house.sites_of(plan)
    adverts = {name: advertise(sites, plan, name).raw("advert") for name in NAMES}
    flipped = adverts["site-3"][:-1] + bytes([adverts["site-3"][-1] ^ 1])

    for wrong in (
        {**adverts, "site-3": flipped},
        {**adverts, "site-3": adverts["site-2"]},
        {**adverts, "site-9": adverts["site-3"]},
        {name: adverts[name] for name in NAMES[:2]},
        {name: adverts[name] for name in NAMES[1:]},
        {name: adverts[name] for name in NAMES[::-1]},
        {**adverts, "site-1": flipped},
    ):
        with pytest.raises((ProtocolError, EnvelopeError)):
            sites["site-1"].answer("share", Parcel({"adverts": hex_map(wrong)}))
    assert sites["site-1"].answer("share", Parcel({"adverts": hex_map(adverts)})).chunks


def test_sites_that_were_shown_different_adverts_do_not_sign_alike(house: Build) -> None:
    h = house()
    records = [site.epochs.record for site in h.sites.values()]
    assert len({record.binding for record in records if record is not None}) == 1
    record = records[0]
    assert record is not None
    changed = replace(record.adverts[3], signature=bytes(64))

    other = replace(record, adverts=(*record.adverts[:3], changed))

    assert other.binding != record.binding  # the salt of every pad and part of every transcript


def test_a_site_takes_part_in_no_more_attempts_than_the_plan_has(house: Build) -> None:
    h = house(max_epsilon=8.0)  # the lifetime budget would allow many more
    for attempt in range(1, h.plan.max_attempts + 1):
        h.upload("site-1", h.entry(1, attempt))
    h.begin_epoch()  # with fresh entries

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
    # The verifier would stop it; here the one that the transcript chooses colludes.
    closed = colluded(h, entry, replies, altered)

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


def test_a_roster_with_a_key_of_the_aggregator_is_refused(house: Build) -> None:
    plan = house.plan()
    sites = house.sites_of(plan)
    mallory = SiteKeys.create().advert("site-4", plan.run)
    forged = json.loads(roster_of(sites, plan))[:3] + json.loads(roster_to_json((mallory,)))

    with pytest.raises(EnvelopeError, match="identity"):
        advertise(sites, plan, "site-1", json.dumps(forged))


def test_one_identity_under_two_names_is_refused(house: Build) -> None:
    from fedcc.crypto.keys import verify_roster

    keys = SiteKeys.create()
    roster = [keys.advert("site-1", "run"), keys.advert("site-2", "run")]

    with pytest.raises(ProtocolError, match="share one identity"):
        verify_roster(roster, dict.fromkeys(("site-1", "site-2"), keys.identity), "run")


def test_an_epoch_key_other_than_the_named_one_is_refused(house: Build) -> None:
    h = house()
    begin = next(r for kind, site, r in h.link.requests if (kind, site) == ("begin", "site-2"))
    other = next(r for kind, site, r in h.link.requests if (kind, site) == ("begin", "site-3"))

    for wrong in (
        {**begin.fields, "key_id": "0" * 64},
        {**begin.fields, "sealed_key": other.raw("sealed_key")},
        {**begin.fields, "sealed_key": b""},
    ):
        with pytest.raises(EnvelopeError):
            h.sites["site-2"].answer("begin", Parcel(wrong, begin.chunks))


def test_shares_that_do_not_open_are_left_out_and_the_site_still_begins(
    house: Build, tmp_path: Path
) -> None:
    h = house()
    begin = next(r for kind, site, r in h.link.requests if (kind, site) == ("begin", "site-2"))
    shares = list(begin.chunks["shares"])
    shares[2] = shares[2][:-1] + bytes([shares[2][-1] ^ 1])

    h.sites["site-2"].answer("begin", Parcel(begin.fields, {"shares": shares}))

    held = h.sites["site-2"].epochs.held
    assert held is not None and held.dealers == {"site-1", "site-2", "site-4"}
    notes = read_lines(tmp_path / "audit" / "site-2.jsonl")
    assert [n["subject"][:20] for n in notes if n["action"] == "lacking"] == [
        "the shares of site-3"
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"round": 1},
        {"round": "1", "attempt": 1, "cohort": "[]", "closed": "[]"},
        {"round": 1, "attempt": 1, "entry": 1, "cohort": "{", "closed": "[]"},
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
