"""Sites that vanish at any step: the exact sum of the survivors, or nothing at all."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import read_lines
from cryptography.exceptions import InvalidTag
from federation.house import Builder, House

from fedcc.crypto.envelopes import Envelope, Header
from fedcc.crypto.masks import MaskEntry, hash_chunks
from fedcc.errors import EnvelopeError
from fedcc.federation import closing
from fedcc.federation.attempt import Attempt
from fedcc.federation.closed_round import ClosedRound, closed_parcels, closed_rounds
from fedcc.federation.kept_uploads import KeptUploads
from fedcc.federation.messages import Exchange, Parcel
from fedcc.federation.site_parts import AppliedNote, UploadNote

STEPS: tuple[Exchange, ...] = ("upload", "sign", "verify", "unmask", "recover")


@pytest.fixture
def house(tmp_path: Path, calls: Path) -> Iterator[Builder]:
    builder = Builder(tmp_path, calls)
    yield builder
    builder.close()


def watched(h: House) -> tuple[dict[str, UploadNote], list[AppliedNote]]:
    """Collect what sites upload and what they decode."""
    uploads: dict[str, UploadNote] = {}
    applied: list[AppliedNote] = []
    for site in h.sites.values():
        site.watch.on_upload = lambda note: uploads.__setitem__(note.site, note)
        site.watch.on_applied = applied.append
    return uploads, applied


def lose(h: House, sites: tuple[str, ...], step: Exchange) -> None:
    """Let sites vanish when they are asked for a step of the round."""
    gone = STEPS.index(step)
    h.link.is_lost = lambda kind, site: (
        site in sites and kind in STEPS and STEPS.index(kind) >= gone
    )


def attempt(h: House) -> ClosedRound | None:
    return Attempt(h.link, h.aggregator, h.entry()).run()  # type: ignore[arg-type]


def decoded(h: House, closed: ClosedRound, applied: list[AppliedNote]) -> np.ndarray:
    """Let every site apply a closed round; return the integers that all of them decoded."""
    for site in h.sites:
        h.finish(site, closed)
    steps = h.plan.steps_per_unit
    sums = [np.rint((note.gradient_sum + note.opened_noise) * steps) for note in applied]
    assert len(sums) == len(h.sites)
    assert all(np.array_equal(total, sums[0]) for total in sums)
    return sums[0].astype(np.int64)


@pytest.mark.parametrize("step", STEPS[:4])
@pytest.mark.parametrize(("n_sites", "dropped"), [(4, 1), (5, 1), (10, 1), (10, 3), (30, 9)])
def test_the_sum_of_the_survivors_is_exact_whenever_sites_vanish(
    house: Builder, n_sites: int, dropped: int, step: Exchange
) -> None:
    h = house(n_sites=n_sites)
    uploads, applied = watched(h)
    gone = tuple(list(h.sites)[1 : 1 + dropped])
    lose(h, gone, step)

    closed = attempt(h)

    assert closed is not None, h.link.refusals
    left = [site for site in h.sites if step != "upload" or site not in gone]
    assert list(closed.survivors) == left
    expected = np.sum([uploads[site].update for site in left], axis=0)
    np.testing.assert_array_equal(decoded(h, closed, applied), expected)


def test_sites_may_vanish_at_different_steps_even_while_seeds_are_recovered(house: Builder) -> None:
    h = house(n_sites=10)
    uploads, applied = watched(h)
    first_missed = {"site-2": "upload", "site-5": "unmask", "site-7": "recover"}
    h.link.is_lost = lambda kind, site: (
        kind in STEPS
        and site in first_missed
        and STEPS.index(kind) >= STEPS.index(first_missed[site])  # type: ignore[arg-type]
    )

    closed = attempt(h)

    assert closed is not None, h.link.refusals
    assert "recover" in {kind for kind, _, _ in h.link.replies}
    left = [site for site in h.sites if site != "site-2"]
    expected = np.sum([uploads[site].update for site in left], axis=0)
    np.testing.assert_array_equal(decoded(h, closed, applied), expected)


@pytest.mark.parametrize("step", ["upload", "sign", "unmask"])
@pytest.mark.parametrize(("n_sites", "dropped"), [(3, 1), (5, 2), (10, 4)])
def test_below_the_threshold_an_attempt_is_void_and_opens_nothing(
    house: Builder, n_sites: int, dropped: int, step: Exchange
) -> None:
    h = house(n_sites=n_sites)
    lose(h, tuple(list(h.sites)[:dropped]), step)

    assert attempt(h) is None

    opened = [(kind, site) for kind, site, _ in h.link.replies if kind in ("unmask", "recover")]
    if step != "unmask":
        assert not opened  # not one seed, not one share
    else:
        # Fewer than the threshold opened their own; the seeds of the others stay closed.
        assert len({site for kind, site in opened if kind == "unmask"}) == n_sites - dropped
        assert n_sites - dropped < h.plan.threshold


def test_what_an_attempt_below_the_threshold_leaves_is_still_masked(house: Builder) -> None:
    # The aggregator has all uploads, three of five seeds, the HE key (a colluding site's) and the
    # shares of three sites. It lacks two self masks: the sum stays uniform mod t.
    from fedcc.crypto.contexts import SiteCipher
    from fedcc.crypto.masks import masks_of_survivors, subtract_mod
    from fedcc.crypto.packing import unpack
    from fedcc.federation.update_cipher import slots_of

    h = house(n_sites=5)
    uploads, _ = watched(h)
    lose(h, ("site-1", "site-2"), "unmask")
    entry, size = h.entry(), slots_of(h.plan)
    tried = Attempt(h.link, h.aggregator, entry)  # type: ignore[arg-type]
    assert tried.run() is None

    seeds = {s: r.raw("seed") for kind, s, r in h.link.replies if kind == "unmask"}
    decrypted = SiteCipher("bfv", h.key).decrypt(tried.aggregate, size).astype(np.uint64)
    known = masks_of_survivors(replace_cohort(entry, seeds), seeds, {}, size)
    values = unpack(subtract_mod(decrypted, known), h.plan.n_parameters, h.plan.lanes)

    true = np.sum([note.update for note in uploads.values()], axis=0)
    assert len(seeds) == 3
    assert np.abs(values - true).max() > 100_000  # far from it: a lane spans 8 million


def replace_cohort(entry, seeds):  # type: ignore[no-untyped-def]
    """Return an entry whose pair masks cancel, as they do in the sum of all."""
    return entry if len(entry.cohort) == len(seeds) else _OnlySelf(entry, tuple(seeds))


class _OnlySelf:
    """The place of an entry with other survivors: `info` is that of the entry itself."""

    def __init__(self, entry, sites):  # type: ignore[no-untyped-def]
        self.session, self.cohort, self.info = entry.session, sites, entry.info
        self.peers = lambda site: ()


def test_a_site_that_hands_over_a_wrong_share_does_not_stop_the_recovery(house: Builder) -> None:
    h = house(n_sites=10)
    uploads, applied = watched(h)
    lose(h, ("site-4",), "upload")

    def corrupt(kind: Exchange, site: str, reply: Parcel) -> Parcel:
        if kind == "unmask" and site == "site-2":
            return Parcel({**reply.fields, "shares": b"\x01" * 32})
        return reply

    h.link.altered = corrupt
    closed = attempt(h)

    assert closed is not None
    left = [site for site in h.sites if site != "site-4"]
    expected = np.sum([uploads[site].update for site in left], axis=0)
    np.testing.assert_array_equal(decoded(h, closed, applied), expected)


def test_a_site_that_opens_a_wrong_seed_is_recovered_by_the_others(house: Builder) -> None:
    h = house(n_sites=5)
    uploads, applied = watched(h)

    def lie(kind: Exchange, site: str, reply: Parcel) -> Parcel:
        if kind == "unmask" and site == "site-2":
            return Parcel({**reply.fields, "seed": bytes(32)})
        return reply

    h.link.altered = lie
    closed = attempt(h)

    assert closed is not None
    expected = np.sum([note.update for note in uploads.values()], axis=0)
    np.testing.assert_array_equal(decoded(h, closed, applied), expected)


@pytest.mark.parametrize(
    ("exchange", "name"), [("upload", "update"), ("unmask", "shares"), ("recover", "shares")]
)
def test_a_reply_whose_part_is_of_the_wrong_kind_counts_as_a_dropout(
    house: Builder, exchange: Exchange, name: str
) -> None:
    h = house(n_sites=10)
    lose(h, ("site-4",), "unmask" if exchange == "recover" else "upload")

    def swap(kind: Exchange, site: str, reply: Parcel) -> Parcel:
        if (kind, site) != (exchange, "site-2"):
            return reply
        fields = {key: value for key, value in reply.fields.items() if key != name}
        if name in reply.fields:  # the contract admits the name; only the kind is another one
            return Parcel(fields, {**reply.chunks, name: [b"x"]})
        return Parcel({**fields, name: b"x"})

    h.link.altered = swap
    closed = attempt(h)

    assert closed is not None
    assert ("site-2" in closed.survivors) == (exchange != "upload")


@pytest.mark.parametrize(("exchange", "name"), [("share", "shares"), ("advertise", "advert")])
def test_an_epoch_goes_on_without_a_site_that_sends_the_wrong_kind(
    house: Builder, exchange: Exchange, name: str
) -> None:
    h = house(n_sites=5)
    parts = {
        "share": Parcel({"shares": b"x"}),
        "advertise": Parcel({"rounds_applied": 0}, {"advert": [b"x"]}),
    }
    h.link.altered = lambda kind, site, reply: (
        parts[kind] if (kind, site) == (exchange, "site-2") else reply
    )

    h.begin_epoch()

    assert "site-2" not in h.aggregator.present
    assert len(h.aggregator.present) == 4


def test_a_late_upload_of_a_dropped_site_stays_closed(house: Builder) -> None:
    # Its mask key was recovered, so all its pair masks are known; its self mask is not.
    from fedcc.crypto.contexts import SiteCipher
    from fedcc.crypto.keys import MaskKey
    from fedcc.crypto.masks import pairwise_mask, subtract_mod
    from fedcc.crypto.packing import unpack
    from fedcc.federation.update_cipher import slots_of

    h = house(n_sites=5)
    uploads, _ = watched(h)
    lose(h, ("site-2",), "upload")
    entry, size = h.entry(), slots_of(h.plan)
    closed = attempt(h)
    assert closed is not None and set(closed.mask_keys) == {"site-2"}
    late = h.upload("site-2", entry).chunks["update"]

    record = h.aggregator.epoch
    key = MaskKey(closed.mask_keys["site-2"])
    secrets = {
        peer: key.secret_with(record.by_site[peer].mask_key(record.epoch, entry.number))
        for peer in entry.peers("site-2")
    }
    pairs = pairwise_mask("site-2", secrets, entry, size)
    slots = SiteCipher("bfv", h.key).decrypt(late, size).astype(np.uint64)
    values = unpack(subtract_mod(slots, pairs), h.plan.n_parameters, h.plan.lanes)

    assert np.abs(values - uploads["site-2"].update).max() > 100_000
    # The twin: with the self seed, which no survivor gives of a dropout, it would be read exactly.
    attempt_of_site = h.sites["site-2"]._attempt
    assert attempt_of_site is not None
    from fedcc.crypto.masks import self_mask

    own = self_mask(attempt_of_site.secrets.self_seed, "site-2", entry, size)
    opened = unpack(
        subtract_mod(subtract_mod(slots, pairs), own), h.plan.n_parameters, h.plan.lanes
    )
    np.testing.assert_array_equal(opened, uploads["site-2"].update)


@pytest.mark.parametrize("step", STEPS[:4])
def test_the_ledger_charges_whoever_uploaded_and_nobody_else(
    house: Builder, tmp_path: Path, step: Exchange
) -> None:
    h = house(n_sites=5)
    lose(h, ("site-2",), step)

    assert attempt(h) is not None

    for site in h.sites:
        lines = read_lines(tmp_path / "ledger" / f"{site}.jsonl")
        kinds = [line["kind"] for line in lines if line["kind"] != "format"]
        uploaded = site != "site-2" or step != "upload"
        assert kinds == (["reserve", "settle"] if uploaded else [])


# Excess noise.


@pytest.mark.parametrize("dropped", [0, 1, 2, 3])
def test_the_sum_keeps_the_noise_of_its_level_and_no_more(house: Builder, dropped: int) -> None:
    h = house("privacy.reserved_retries=0", "rounds=20", n_sites=10, max_epsilon=8.0)
    uploads, applied = watched(h)
    lose(h, tuple(list(h.sites)[:dropped]), "upload")
    noise: list[float] = []
    for round_number in range(1, 21):
        entry = h.entry(round_number, 1)
        closed = Attempt(h.link, h.aggregator, entry).run()  # type: ignore[arg-type]
        assert closed is not None
        h.finish("site-10", closed)
        kept = sum(uploads[site].share for site in closed.survivors) - applied[-1].opened_noise
        noise.extend(kept)
        for site in closed.survivors[:-1]:
            h.finish(site, closed)

    # 20 rounds of 5 coordinates: the standard error of the variance is 14 %.
    level = h.plan.noise_components.kept(dropped) * (10 - dropped)
    assert np.var(noise) == pytest.approx(level, rel=0.6)
    total = h.plan.own_variance * (10 - dropped)
    assert dropped == 3 or level < 0.95 * total


def test_with_nobody_lost_the_sum_is_that_of_a_plan_that_may_lose_nobody(
    house: Builder, tmp_path: Path
) -> None:
    survives, complete = house.plan(n_sites=5), house.plan("privacy.min_sites=5", n_sites=5)

    assert survives.min_sites == 4 and complete.noise_components.n_excess == 0
    assert survives.noise_components.kept(0) == pytest.approx(complete.own_variance, rel=1e-12)
    assert survives.noise_multiplier == complete.noise_multiplier
    assert survives.learning_rate == complete.learning_rate


def test_an_opened_part_that_was_not_committed_to_is_refused(house: Builder) -> None:
    import dataclasses

    h = house(n_sites=5)
    closed = attempt(h)
    assert closed is not None and hash_chunks(closed.aggregate)
    swapped = {**closed.excess, "site-1": closed.excess["site-2"]}

    with pytest.raises(EnvelopeError, match="committed"):
        h.finish("site-3", dataclasses.replace(closed, excess=swapped))


def test_uploads_go_to_the_verifier_in_messages_of_bounded_size(
    house: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "VERIFY_BYTES", 1)  # less than one upload
    h = house(n_sites=4)
    _, applied = watched(h)

    closed = attempt(h)

    assert closed is not None
    sent = [request for kind, _, request in h.link.requests if kind == "verify"]
    assert [tuple(json.loads(request.text("headers"))) for request in sent] == [
        (site,) for site in closed.survivors
    ]
    assert decoded(h, closed, applied).any()


def test_a_verifier_that_is_lost_between_two_parts_is_replaced(
    house: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "VERIFY_BYTES", 1)
    h = house(n_sites=5)
    asked: list[str] = []

    def is_lost(kind: Exchange, site: str) -> bool:
        asked.extend([site] if kind == "verify" else [])
        return kind == "verify" and site == asked[0] and len(asked) > 2

    h.link.is_lost = is_lost

    closed = attempt(h)

    assert closed is not None
    assert len(set(asked)) == 2
    assert len(asked) == 3 + 5


# Memory.


def test_an_upload_is_added_before_the_next_one_is_received(
    house: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    h = house(n_sites=5)
    added: list[str] = []
    seen: list[int] = []
    take = h.aggregator.take_upload

    def noted(site: str, entry: MaskEntry, reply: Parcel) -> tuple[Header, Envelope]:
        added.append(site)
        return take(site, entry, reply)

    def asked(kind: Exchange, site: str) -> bool:
        if kind == "upload":
            seen.append(len(added))
        return False

    monkeypatch.setattr(h.aggregator, "take_upload", noted)
    h.link.is_lost = asked

    assert attempt(h) is not None
    assert seen == [0, 1, 2, 3, 4]


def test_uploads_on_disk_are_verified_as_those_in_memory(
    house: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    h = house(n_sites=4)
    _, applied = watched(h)
    monkeypatch.setattr(
        h.aggregator.store, "room_for_uploads", lambda: KeptUploads(house.folder, in_memory=1)
    )

    closed = attempt(h)

    assert closed is not None and closed.verification
    decoded(h, closed, applied)


def test_an_upload_that_changed_on_disk_is_not_opened(
    house: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    h = house(n_sites=4)
    kept = KeptUploads(house.folder, in_memory=1)
    monkeypatch.setattr(h.aggregator.store, "room_for_uploads", lambda: kept)

    def spoil(kind: Exchange, site: str) -> bool:
        if kind == "sign":
            kept._file.seek(100)
            kept._file.write(b"other")
        return False

    h.link.is_lost = spoil

    with pytest.raises(InvalidTag):
        attempt(h)
    assert not [kind for kind, _, _ in h.link.requests if kind == "unmask"]


def test_sites_that_miss_the_same_rounds_are_sent_one_and_the_same_request(house: Builder) -> None:
    first = attempt(house(n_sites=4))
    assert first is not None
    second = dataclasses.replace(first, round_number=2)
    missing = {"site-1": [first], "site-2": [first, second], "site-3": [first], "site-4": []}

    requests = closed_parcels(missing, {"round": 3})

    assert requests["site-1"] is requests["site-3"]
    assert {site: closed_rounds(request) for site, request in requests.items()} == missing
