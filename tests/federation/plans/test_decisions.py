"""The record of decisions: signed, append-only, and cut nowhere without being noticed."""

import json
from pathlib import Path

import pytest
from conftest import read_lines
from deployment.installation import NOW, Installation
from federation.plans.consortium import approve, desk_of, identity, send

from fedcc.crypto.key_file import Identity
from fedcc.errors import ProtocolError
from fedcc.federation.plans.decisions import Decisions, read_decisions
from fedcc.federation.plans.signed_plan import SignedPlan
from fedcc.hash_chain import HashChain
from fedcc.privacy.ledger_head import head_path

OWN = Identity.create("site", "lisbon", NOW)
TRUSTED = {OWN.public}


def record(path: Path, who: Identity = OWN) -> Decisions:
    return Decisions(path, "lisbon", who, TRUSTED)


def decided(path: Path, *plans: SignedPlan) -> None:
    with record(path) as one:
        for signed in plans:
            one.decide("approve", signed, by="operator", reason="fine", now=NOW)


def read(path: Path) -> list[str]:
    return [one.run for one in read_decisions(path, "lisbon", TRUSTED)]


def test_decisions_are_read_back_by_anybody_who_knows_the_site(
    tmp_path: Path, signed: SignedPlan, another: SignedPlan
) -> None:
    decided(tmp_path / "d.jsonl", signed)
    decided(tmp_path / "d.jsonl", another)

    assert read(tmp_path / "d.jsonl") == [signed.plan.run, another.plan.run]


def test_lines_cut_off_the_end_are_noticed(
    tmp_path: Path, signed: SignedPlan, another: SignedPlan
) -> None:
    path = tmp_path / "d.jsonl"
    decided(path, signed, another)
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])

    with pytest.raises(ProtocolError, match="cut off"):
        read(path)
    with pytest.raises(ProtocolError, match="cut off"):
        record(path)


def test_a_record_without_its_head_is_not_trusted(
    tmp_path: Path, signed: SignedPlan, another: SignedPlan
) -> None:
    path = tmp_path / "d.jsonl"
    decided(path, signed, another)
    head_path(path).unlink()

    with pytest.raises(ProtocolError, match="missing"):
        read(path)


def test_a_crash_after_the_very_first_line_is_survived(tmp_path: Path, signed: SignedPlan) -> None:
    path = tmp_path / "d.jsonl"
    decided(path, signed)
    head_path(path).write_bytes(b"")  # as it is before its first mark

    assert read(path) == [signed.plan.run]


def test_an_altered_line_is_noticed(tmp_path: Path, signed: SignedPlan) -> None:
    path = tmp_path / "d.jsonl"
    decided(path, signed)
    path.write_bytes(path.read_bytes().replace(b"operator", b"somebody"))

    with pytest.raises(ProtocolError, match="line 1"):
        read(path)


def test_a_line_without_the_sites_signature_approves_nothing(
    tmp_path: Path, signed: SignedPlan
) -> None:
    """Whoever may write the file can extend the chain and its head, but cannot sign."""
    path = tmp_path / "d.jsonl"
    decided(path, signed)
    line = {k: v for k, v in read_lines(path)[0].items() if k not in ("hash", "previous_hash")}
    forged = tmp_path / "forged.jsonl"
    with_chain = HashChain(forged, sync=False)
    with_chain.append({**line, "run": "f" * 16})
    with_chain.close()
    head_path(forged).write_bytes(b"")

    with pytest.raises(ProtocolError, match="not signed by this site"):
        read(forged)


def test_a_strangers_identity_signs_nothing(tmp_path: Path, signed: SignedPlan) -> None:
    path = tmp_path / "d.jsonl"
    stranger = Identity.create("site", "lisbon", NOW)
    with Decisions(path, "lisbon", stranger, {stranger.public}) as one:
        one.decide("approve", signed, by="operator", reason="", now=NOW)

    with pytest.raises(ProtocolError, match="not signed by this site"):
        read(path)


def test_the_record_of_another_site_is_refused(tmp_path: Path, signed: SignedPlan) -> None:
    decided(tmp_path / "d.jsonl", signed)

    with pytest.raises(ProtocolError, match="not signed by this site"):
        read_decisions(tmp_path / "d.jsonl", "porto", TRUSTED)


def test_a_moved_line_is_refused_although_its_chain_is_made_anew(
    tmp_path: Path, signed: SignedPlan, another: SignedPlan
) -> None:
    path, moved = tmp_path / "d.jsonl", tmp_path / "moved.jsonl"
    decided(path, signed, another)
    chain = HashChain(moved, sync=False)
    second = {k: v for k, v in read_lines(path)[1].items() if k not in ("hash", "previous_hash")}
    chain.append(second)
    chain.close()
    head_path(moved).write_bytes(b"")

    with pytest.raises(ProtocolError, match="not signed by this site"):
        read(moved)


def test_decisions_made_before_a_rotation_still_count(
    made: Installation, signed: SignedPlan
) -> None:
    from deployment.installation import UNLOCKER

    from fedcc.deployment.aggregator_setup import admit
    from fedcc.deployment.requests import read_request
    from fedcc.deployment.site_setup import install, rotate_site

    send(made, signed)
    approve(made, signed)
    folder = made.sites["lisbon"]
    request = rotate_site(folder, identity(made), UNLOCKER, NOW).request
    admit(made.hub, made.admin, read_request(request), organisation=None, read_aloud=None, now=NOW)
    install(folder, made.bundle("lisbon"), read_aloud=None, unlock=None, now=NOW)

    assert desk_of(made).view.decisions[0].run == signed.plan.run


def test_a_second_process_cannot_decide_at_the_same_time(
    tmp_path: Path, signed: SignedPlan
) -> None:
    with record(tmp_path / "d.jsonl"), pytest.raises(ProtocolError, match="in use"):
        record(tmp_path / "d.jsonl")


def test_nothing_but_a_veto_or_an_approval_can_come_first(
    tmp_path: Path, signed: SignedPlan
) -> None:
    with record(tmp_path / "d.jsonl") as one:
        for action in ("withdraw", "end"):
            with pytest.raises(ProtocolError, match="waits for a decision"):
                one.decide(action, signed, by="operator", reason="", now=NOW)  # type: ignore[arg-type]
    assert json.dumps(read(tmp_path / "d.jsonl")) == "[]"
