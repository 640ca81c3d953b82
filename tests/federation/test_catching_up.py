"""Sites that were away come back to the very model; nobody in between reads or changes it."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from federation.house import Builder, House, LocalLink

from fedcc.errors import EnvelopeError, FedccError, ProtocolError, TooFewSites
from fedcc.federation.aggregation import RoundStore
from fedcc.federation.catching_up import catch_up, run_fields
from fedcc.federation.epoch_setup import begin_epoch, set_up
from fedcc.federation.link import GRACE_SECONDS
from fedcc.federation.messages import Exchange, Parcel, bytes_map, hex_map
from fedcc.federation.site_round import Site
from fedcc.federation.strategy import RoundRecord, run_rounds
from fedcc.training.checkpoints import load_state, state_bytes, state_of

LOST = "site-4"
Change = Callable[[Parcel], Parcel]


@pytest.fixture
def house(tmp_path: Path, calls: Path) -> Iterator[Builder]:
    builder = Builder(tmp_path, calls)
    yield builder
    builder.close()


def run(h: House, until: int | None = None) -> list[RoundRecord]:
    """Run the rounds that are left, or up to one of them."""
    records: list[RoundRecord] = []

    def stop() -> bool:
        return until is not None and h.aggregator.store.last_closed >= until

    try:
        run_rounds(h.link, h.aggregator, records.append, stop)  # type: ignore[arg-type]
    except FedccError:
        if until is None:
            raise
    return records


def resume(h: House, away: tuple[str, ...] = ()) -> None:
    """Restart the aggregator while some sites are away."""
    h.link.is_lost = lambda kind, site: site in away
    store = RoundStore(h.aggregator.store._folder)
    h.aggregator = set_up(h.link, h.plan, store, 0)  # type: ignore[arg-type]


def models(h: House) -> set[bytes]:
    found = [site.state for site in h.sites.values()]
    assert None not in found
    return {state_bytes(state) for state in found if state is not None}


def miss_an_epoch(h: House) -> None:
    """Let the lost site miss rounds that were closed in an epoch without it."""
    run(h, until=1)
    h.link.is_lost = lambda kind, site: site == LOST
    run(h, until=2)
    begin_epoch(h.link, h.aggregator, answering=set(h.sites) - {LOST})  # type: ignore[arg-type]
    run(h, until=3)
    assert h.aggregator.store.last_closed == 3
    # What is due at the start of the next epoch: the others apply the round that was closed last.
    h.link.is_lost = lambda kind, site: False


# Resuming.


def test_a_run_is_resumed_without_a_site_that_the_plan_can_do_without(house: Builder) -> None:
    h = house("rounds=3")
    run(h, until=1)

    resume(h, away=(LOST,))
    records = run(h)

    assert [record.cohort for record in records] == [("site-1", "site-2", "site-3")] * 2
    assert {s.state.rounds_applied for s in h.sites.values() if s.state and s.name != LOST} == {3}


def test_a_site_that_was_away_when_a_run_was_resumed_rejoins_and_ends_with_the_same_model(
    house: Builder,
) -> None:
    h = house("rounds=5")
    run(h, until=1)
    resume(h, away=(LOST,))
    run(h, until=3)
    assert h.link.refusals == []

    h.link.is_lost = lambda kind, site: False
    records = run(h)

    assert h.link.refusals == []
    assert [len(record.cohort) for record in records] == [4, 4]
    assert len(models(h)) == 1


def test_a_lost_site_that_hangs_is_not_waited_for_as_long_as_the_others(house: Builder) -> None:
    h = house("rounds=3")
    h.link.is_lost = lambda kind, site: site == LOST
    h.link.patience.clear()
    run(h)

    waited = {kind: {p for k, p in h.link.patience if k == kind} for kind in ("join", "sign")}
    assert waited == {"join": {GRACE_SECONDS}, "sign": {math.inf}}


def test_a_run_is_not_resumed_with_fewer_sites_than_the_plan_needs(house: Builder) -> None:
    h = house("rounds=3")
    run(h, until=1)

    with pytest.raises(TooFewSites, match="2 of 4 sites joined"):
        resume(h, away=("site-1", LOST))


def test_a_run_does_not_begin_without_a_site_of_its_roster(house: Builder) -> None:
    plan = house.plan()
    link = LocalLink(house.sites_of(plan), is_lost=lambda kind, site: site == LOST)

    with pytest.raises(TooFewSites, match="3 of 4 sites joined.*when a run begins"):
        set_up(link, plan, RoundStore(house.folder / "store"), 0)  # type: ignore[arg-type]


def test_a_stranger_cannot_take_the_place_of_a_site_that_is_away(house: Builder) -> None:
    from fedcc.crypto.keys import SiteKeys
    from fedcc.federation.messages import advert_to_json

    h = house("rounds=3")
    run(h, until=1)
    impostor = advert_to_json(SiteKeys.create().advert(LOST, h.plan.run))
    h.link.altered = lambda kind, site, reply: (
        Parcel({**reply.fields, "advert": impostor}) if (kind, site) == ("join", LOST) else reply
    )

    resume(h)
    records = run(h)

    assert LOST not in h.aggregator.nodes
    assert {record.cohort for record in records} == {("site-1", "site-2", "site-3")}


def test_the_last_site_that_was_away_gets_the_final_model_although_it_missed_the_end(
    house: Builder,
) -> None:
    h = house("rounds=3")
    run(h, until=1)
    resume(h, away=(LOST,))
    last: list[Exchange] = []

    def is_lost(kind: Exchange, site: str) -> bool:
        last.append(kind)
        return site == LOST and "finish" not in last  # back when the others finish

    h.link.is_lost = is_lost
    run(h)

    assert len(models(h)) == 1
    assert h.aggregator.store.holds == dict.fromkeys(h.sites, 3)


# Catching up, and who could disturb it.


def test_a_site_that_missed_an_epoch_gets_the_model_from_another_site(house: Builder) -> None:
    h = house("rounds=6")
    miss_an_epoch(h)
    state = h.sites[LOST].state
    assert state is not None and state.rounds_applied < 3

    records = run(h)

    assert h.link.refusals == []
    assert [len(record.cohort) for record in records] == [4, 4, 4]
    assert len(models(h)) == 1
    assert [site for kind, site, _ in h.link.replies if kind == "restore"] == [LOST]


def test_nothing_of_the_model_is_readable_on_the_way(house: Builder) -> None:
    h = house("rounds=6")
    miss_an_epoch(h)

    run(h, until=4)

    donor = h.sites["site-1"].state
    assert donor is not None
    vouched = [reply for kind, _, reply in h.link.replies if kind == "vouch"]
    passed_on = [request for kind, _, request in h.link.requests if kind == "restore"]
    sent = b"".join(b"".join(parcel.parts("sealed_state")) for parcel in [*vouched, *passed_on])
    assert len(sent) > len(state_bytes(donor))
    # Names of a checkpoint's tensors stand in clear in its first bytes.
    assert b"velocity" in state_bytes(donor) and b"velocity" not in sent
    assert all(set(parcel.fields) == {"channel"} for parcel in vouched)


def asked(h: House) -> tuple[list[Parcel], Parcel]:
    """Play a request up to the answer that goes to the site that is behind; do not deliver it."""
    h.link.is_lost = lambda kind, site: kind == "restore"
    catch_up(h.link, h.aggregator, {LOST})  # type: ignore[arg-type]
    h.link.is_lost = lambda kind, site: False
    replies = [reply for kind, _, reply in h.link.replies if kind == "vouch"]
    [answer] = [request for kind, _, request in h.link.requests if kind == "restore"][-1:]
    return replies, answer


def level(h: House) -> House:
    """Return a house in which all but one site hold round 3."""
    h.link.is_lost = lambda kind, site: site == LOST
    # The others apply what was closed.
    begin_epoch(h.link, h.aggregator, answering=set(h.sites) - {LOST})  # type: ignore[arg-type]
    h.link.is_lost = lambda kind, site: False
    return h


@pytest.fixture
def behind(house: Builder) -> House:
    h = house("rounds=6")
    miss_an_epoch(h)
    return level(h)


def test_an_honest_answer_is_taken_once_and_not_twice(behind: House) -> None:
    _, answer = asked(behind)
    site = behind.sites[LOST]

    assert site.answer("restore", answer).fields == {"rounds_applied": 3}
    with pytest.raises(ProtocolError, match="no model was asked for"):
        site.answer("restore", answer)

    assert len(models(behind)) == 1
    assert state_bytes(load_state(site._files.checkpoint)) in models(behind)


def held(site: Site) -> bytes:
    assert site.state is not None
    return state_bytes(site.state)


def flip(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def tampered_model(answer: Parcel) -> Parcel:
    sealed = list(answer.parts("sealed_state"))
    return Parcel(answer.fields, {"sealed_state": [flip(sealed[0], 200), *sealed[1:]]})


def one_voucher(answer: Parcel) -> Parcel:
    giver = answer.text("giver")
    channels = bytes_map(answer.text("channels"))
    return Parcel(
        {
            **answer.fields,
            "vouchers": json.dumps([giver]),
            "channels": hex_map({giver: channels[giver]}),
        },
        {"sealed_state": answer.parts("sealed_state")[:1]},
    )


def same_voucher_under_two_names(answer: Parcel) -> Parcel:
    listed = json.loads(answer.text("vouchers"))[:2]
    channels = bytes_map(answer.text("channels"))
    sealed = answer.parts("sealed_state")[0]
    return Parcel(
        {
            **answer.fields,
            "vouchers": json.dumps(listed),
            "channels": hex_map(dict.fromkeys(listed, channels[listed[0]])),
        },
        {"sealed_state": [sealed, sealed]},
    )


def other_round(answer: Parcel) -> Parcel:
    return Parcel({**answer.fields, "round": 4}, answer.chunks)


def strangers(answer: Parcel) -> Parcel:
    listed = [
        "stranger" if s != answer.text("giver") else s for s in json.loads(answer.text("vouchers"))
    ][:2]
    channels = list(bytes_map(answer.text("channels")).values())[:2]
    return Parcel(
        {
            **answer.fields,
            "vouchers": json.dumps(listed),
            "channels": hex_map(dict(zip(listed, channels, strict=True))),
        },
        {"sealed_state": answer.parts("sealed_state")[:2]},
    )


@pytest.mark.parametrize(
    "change", [tampered_model, one_voucher, same_voucher_under_two_names, other_round, strangers]
)
def test_an_altered_answer_is_refused_and_changes_nothing(behind: House, change: Change) -> None:
    _, answer = asked(behind)
    site = behind.sites[LOST]
    before = (held(site), site._files.checkpoint.exists())

    with pytest.raises(EnvelopeError):
        site.answer("restore", change(answer))

    assert (held(site), site._files.checkpoint.exists()) == before


def test_a_model_that_was_vouched_for_an_earlier_request_is_refused(behind: House) -> None:
    _, stale = asked(behind)
    asked(behind)  # the site asks again, with another key

    with pytest.raises(EnvelopeError):
        behind.sites[LOST].answer("restore", stale)


def test_a_model_that_is_not_ahead_of_the_sites_own_is_refused(behind: House) -> None:
    _, answer = asked(behind)
    site = behind.sites[LOST]
    assert site.state is not None
    site.state = replace(site.state, rounds_applied=3)

    with pytest.raises(ProtocolError, match="not ahead"):
        site.answer("restore", answer)


def test_a_giver_that_hands_over_another_model_than_the_others_vouch_for_is_not_believed(
    behind: House,
) -> None:
    giver = behind.sites["site-1"]
    assert giver.state is not None
    wrong = giver.state.parameters + 1.0
    giver.state = replace(giver.state, parameters=wrong)

    caught = catch_up(behind.link, behind.aggregator, {LOST})  # type: ignore[arg-type]

    assert caught == set()
    assert isinstance(behind.link.refusals[-1][2], EnvelopeError)
    state = behind.sites[LOST].state
    assert state is not None and state.rounds_applied < 3


def test_a_site_gives_its_model_to_a_site_of_the_roster_that_signed_and_to_nobody_else(
    behind: House,
) -> None:
    from fedcc.crypto.keys import ChannelKey, SiteKeys
    from fedcc.federation.vouching import _request

    giver = behind.sites["site-1"]
    session = giver._members.session
    channel, thief = ChannelKey.create().public, SiteKeys.create()
    own = thief.sign(_request(session, LOST, channel))
    stolen = bytes_map(json.dumps({LOST: (channel + own).hex()}))[LOST]
    base = {**run_fields(behind.aggregator), "round": 3, "gives": 1}

    with pytest.raises(EnvelopeError):
        giver.answer("vouch", Parcel({**base, "site": LOST, "request": stolen}))
    with pytest.raises(ProtocolError, match="another site of the roster"):
        giver.answer("vouch", Parcel({**base, "site": "stranger", "request": stolen}))
    with pytest.raises(ProtocolError, match="another site of the roster"):
        giver.answer("vouch", Parcel({**base, "site": "site-1", "request": stolen}))


def test_a_site_vouches_for_the_round_that_it_holds_only(behind: House) -> None:
    behind.aggregator.store.last_closed = 2  # an aggregator that wants an older model vouched for
    behind.aggregator.applied = dict.fromkeys(behind.sites, 2)

    catch_up(behind.link, behind.aggregator, {LOST})  # type: ignore[arg-type]

    assert {kind for kind, _, _ in behind.link.refusals} == {"vouch"}
    assert "restore" not in {kind for kind, _, _ in behind.link.requests}


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, 1e12])
def test_what_several_sites_sign_must_still_be_a_model(behind: House, spoilt: float) -> None:
    for name in ("site-1", "site-2", "site-3"):
        state = behind.sites[name].state
        assert state is not None
        behind.sites[name].state = replace(state, parameters=np.full_like(state.parameters, spoilt))

    catch_up(behind.link, behind.aggregator, {LOST})  # type: ignore[arg-type]

    assert "no model of this run" in str(behind.link.refusals[-1][2])


def test_a_site_that_lost_its_whole_folder_gets_the_model_and_goes_on(house: Builder) -> None:
    h = house("rounds=5")
    run(h, until=2)
    site = h.sites[LOST]
    site.state = None
    site._running = None
    site.epochs.record = None
    for path in site._files.epochs.glob("*"):
        path.unlink()
    site._files.checkpoint.unlink()

    resume(h)
    records = run(h)

    assert [len(record.cohort) for record in records] == [4, 4, 4]
    assert len(models(h)) == 1


def test_a_checkpoint_is_the_same_bytes_on_disk_and_on_the_way(behind: House) -> None:
    state = behind.sites["site-1"].state
    assert state is not None
    content = state_bytes(state)

    assert state_bytes(state_of(content, "test")) == content
    assert behind.sites["site-1"]._files.checkpoint.read_bytes() == content
