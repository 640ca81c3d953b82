"""The ledger's file: its versions, its head, and every way in which a byte of it can be wrong."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from privacy.ledgers import DELTA, EVENT, NOW, cap, charge, opened, write_ledger

from fedcc.errors import BudgetExceeded, ProtocolError
from fedcc.privacy.accounting import epsilon
from fedcc.privacy.ledger import read_ledger
from fedcc.privacy.ledger_head import SLOT_BYTES, head_path

# Written by fedcc 0.2.0 before ledgers had a version; 6 charges in 2 runs, epsilon 0.70925288.
OLD = Path(__file__).parents[1] / "vectors" / "ledger_version_1.jsonl"
OLD_EPSILON = 0.7092528787090303  # as that code printed it
# Written by fedcc before events said over how many sites their noise is shared; 6 charges, 2 runs.
SECOND = OLD.with_name("ledger_version_2.jsonl")
SECOND_EPSILONS = {  # as that code printed them
    "outsider": 0.6052455205934644,
    "claim": 0.7320299441108513,
    "everyone_else": 1.2027002972453398,
}


def rewritten(path: Path, change: Callable[[list[dict[str, object]]], None]) -> None:
    """Change the entries of a ledger and forge the chain anew, as an editor with a script could."""
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    change(entries)
    previous = "0" * 64
    lines = []
    for entry in entries:
        body = {key: value for key, value in entry.items() if key != "hash"}
        body["previous_hash"] = previous
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        previous = hashlib.sha256(text.encode()).hexdigest()
        lines.append(json.dumps({**body, "hash": previous}, separators=(",", ":")))
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return Path(shutil.copy(OLD, tmp_path / "lisbon.jsonl"))


@pytest.fixture
def second(tmp_path: Path) -> Path:
    shutil.copy(head_path(SECOND), tmp_path / "porto.head")
    return Path(shutil.copy(SECOND, tmp_path / "porto.jsonl"))


# Versions.


def test_a_new_ledger_says_its_version_in_its_first_line(tmp_path: Path) -> None:
    opened(tmp_path / "a.jsonl").close()

    first = json.loads((tmp_path / "a.jsonl").read_text().splitlines()[0])

    assert (first["kind"], first["version"]) == ("format", 3)


def test_a_line_holds_everything_that_was_charged(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "a.jsonl")
    ledger.reserve(charge(7), now=NOW)

    line = json.loads((tmp_path / "a.jsonl").read_text().splitlines()[1])

    event = "mechanism sensitivity grid own_variance min_sites noise_sites tolerated_collusion"
    assert set(line["event"]) == {*event.split(), "sample_rate", "unit"}
    rest = "kind event run round attempt purpose planned_sites session time previous_hash hash"
    assert set(line) == set(rest.split())
    assert (line["round"], line["planned_sites"], line["session"]) == (7, 20, "5e55")


def test_a_ledger_of_version_1_opens_verifies_and_keeps_counting(old: Path) -> None:
    assert read_ledger(old).version == 1
    ledger = opened(old)
    assert ledger.epsilon() == pytest.approx(OLD_EPSILON, abs=1e-9)
    ledger.reserve(charge(1), now=NOW)
    ledger.close()

    again = opened(old)

    assert len(again.events) == 7
    assert again.epsilon() == pytest.approx(epsilon(again.events, delta=DELTA), abs=1e-9)
    assert again.epsilon() > OLD_EPSILON
    assert old.read_bytes().startswith(OLD.read_bytes())  # not a byte of it was rewritten
    assert read_ledger(old).version == 3


def test_the_charges_of_version_1_count_against_a_cap(old: Path) -> None:
    ledger = opened(old, cap(OLD_EPSILON))

    with pytest.raises(BudgetExceeded, match="lisbon"):
        ledger.reserve(charge(1), now=NOW)


def test_an_attempt_of_version_1_cannot_be_reserved_again(old: Path) -> None:
    used = charge(1, run="5d0a9c4be1f27733")

    with pytest.raises(ProtocolError, match="used before"):
        opened(old).reserve(used, now=NOW)


def test_a_version_1_ledger_cut_off_after_its_migration_is_found(old: Path) -> None:
    opened(old).close()
    old.write_bytes(OLD.read_bytes())

    with pytest.raises(ProtocolError, match="line 13: the ledger was cut off"):
        opened(old)


def test_a_crash_between_format_line_and_head_of_a_migration_is_mended(old: Path) -> None:
    opened(old).close()
    head_path(old).unlink()  # the format line is on disk, the head never was

    assert len(opened(old).events) == 6
    assert head_path(old).exists()


def test_a_ledger_of_version_2_means_what_it_meant_and_keeps_counting(second: Path) -> None:
    assert read_ledger(second).version == 2
    ledger = opened(second)
    for observer, spent in SECOND_EPSILONS.items():
        assert ledger.epsilon(observer) == pytest.approx(spent, abs=1e-9)  # type: ignore[arg-type]
    assert [event.noise_sites for event in ledger.events] == [4, 4, 4, 3, 3, 3]
    parts = replace(EVENT, own_variance=2.0, min_sites=4, noise_sites=5)
    ledger.reserve(replace(charge(1), event=parts), now=NOW)
    ledger.close()

    again = opened(second)

    assert again.events[-1] == parts and len(again.events) == 7
    assert again.epsilon() == pytest.approx(epsilon(again.events, delta=DELTA), abs=1e-9)
    assert second.read_bytes().startswith(SECOND.read_bytes())  # not a byte of it was rewritten
    assert read_ledger(second).version == 3


def test_the_charges_of_version_2_count_against_a_cap(second: Path) -> None:
    ledger = opened(second, cap(SECOND_EPSILONS["claim"]))

    with pytest.raises(BudgetExceeded, match="porto"):
        ledger.reserve(charge(1), now=NOW)


def test_a_version_2_ledger_cut_off_after_its_migration_is_found(second: Path) -> None:
    opened(second).close()
    second.write_bytes(SECOND.read_bytes())

    with pytest.raises(ProtocolError, match="line 14: the ledger was cut off"):
        opened(second)


def test_a_migrated_version_2_ledger_without_its_head_is_refused(second: Path) -> None:
    opened(second).close()
    head_path(second).unlink()

    with pytest.raises(ProtocolError, match="head is missing"):
        opened(second)


def test_a_line_of_version_2_that_names_what_only_version_3_knows_is_refused(second: Path) -> None:
    # Read as version 3 it would claim noise that was never planned for so many sites.
    rewritten(second, lambda entries: entries[1]["event"].update(noise_sites=20))  # type: ignore[attr-defined]
    head_path(second).unlink()

    with pytest.raises(ProtocolError, match="line 2: not a line"):
        read_ledger(second)


def test_a_version_does_not_fall(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_ledger(path, 1)
    back = {"kind": "format", "version": 2, "time": NOW.isoformat()}
    rewritten(path, lambda entries: entries.append(back))
    head_path(path).unlink()

    with pytest.raises(ProtocolError, match="line 4: not a line"):
        read_ledger(path)


def test_a_newer_version_is_refused_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_ledger(path, 1)
    rewritten(path, lambda entries: entries[0].update(version=4))
    head_path(path).unlink()

    for read in (opened, read_ledger):
        with pytest.raises(ProtocolError, match="line 1: ledger format 4 is newer.*Update fedcc"):
            read(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kind", "refund"),
        ("kind", "settle"),
        ("event", None),
        ("event", {**EVENT.as_dict(), "sampler": "x"}),
        ("event", {k: v for k, v in EVENT.as_dict().items() if k != "noise_sites"}),
        ("event", {**EVENT.as_dict(), "noise_sites": 19}),
        ("event", {**EVENT.as_dict(), "mechanism": "laplace"}),
        ("round", "1"),
        ("time", "yesterday"),
        ("time", "2026-05-01T12:00:00"),
        ("run", 5),
    ],
)
def test_a_line_that_cannot_be_accounted_for_is_named(
    tmp_path: Path, key: str, value: object
) -> None:
    path = tmp_path / "a.jsonl"
    write_ledger(path, 1)
    rewritten(path, lambda entries: entries[1].update({key: value}))
    head_path(path).unlink()

    with pytest.raises(ProtocolError, match="line 2"):
        opened(path)


# The head.


def test_a_charge_cut_off_the_end_is_found_and_its_line_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_ledger(path, 3, close=False)
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 7  # format, then reserve and settle three times
    path.write_bytes(b"".join(lines[:5]))

    with pytest.raises(ProtocolError, match="line 6: the ledger was cut off here.*6 lines"):
        read_ledger(path)


def test_the_same_cut_goes_unnoticed_without_the_head(tmp_path: Path) -> None:
    # The twin, and the limit that the head's docstring states: who deletes both is not found.
    path = tmp_path / "a.jsonl"
    write_ledger(path, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0])
    head_path(path).unlink()

    assert read_ledger(path).charges == ()


def test_a_missing_head_beside_charges_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_ledger(path)
    head_path(path).unlink()

    with pytest.raises(ProtocolError, match="head is missing"):
        opened(path)


def test_a_deleted_ledger_beside_its_head_is_not_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_ledger(path)
    path.unlink()

    with pytest.raises(ProtocolError, match="line 1: the ledger was cut off"):
        opened(path)


def test_another_whole_ledger_in_its_place_is_refused(tmp_path: Path) -> None:
    write_ledger(tmp_path / "a.jsonl", 3)
    other = opened(tmp_path / "b.jsonl")
    for number in range(1, 9):
        other.reserve(charge(number, run="other"), now=NOW)
    other.close()
    shutil.copy(tmp_path / "b.jsonl", tmp_path / "a.jsonl")

    with pytest.raises(ProtocolError, match="line 7: this is not the line that the head names"):
        opened(tmp_path / "a.jsonl")


@pytest.mark.parametrize("torn", [1, 40, SLOT_BYTES - 1])
def test_a_torn_slot_falls_back_to_the_charge_before(tmp_path: Path, torn: int) -> None:
    # A power cut while the newest slot is written: the ledger's line is on disk, and counts.
    path = tmp_path / "a.jsonl"
    write_ledger(path, 2, close=False)
    head = head_path(path)
    content = bytearray(head.read_bytes())
    slots = [content[:SLOT_BYTES].split(), content[SLOT_BYTES:].split()]
    newer = max((0, 1), key=lambda slot: int(slots[slot][0]))
    content[newer * SLOT_BYTES : newer * SLOT_BYTES + torn] = b"?" * torn
    head.write_bytes(content)

    assert len(read_ledger(path).charges) == 2
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:1]))
    with pytest.raises(ProtocolError, match="line 2: the ledger was cut off"):
        read_ledger(path)


def test_a_refused_ledger_is_left_byte_for_byte_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_ledger(path)
    path.write_bytes(path.read_bytes()[:-5])
    before = path.read_bytes(), head_path(path).read_bytes()

    with pytest.raises(ProtocolError):
        opened(path)

    assert (path.read_bytes(), head_path(path).read_bytes()) == before


# Every byte.


def test_after_a_crash_no_cut_within_the_last_two_lines_loses_a_charge(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_ledger(path, 2, close=False)
    whole, head = path.read_bytes(), head_path(path).read_bytes()
    lines = whole.splitlines(keepends=True)
    reserve_ends, start = len(whole) - len(lines[-1]), len(whole) - len(lines[-1] + lines[-2])
    copy = tmp_path / "copy.jsonl"
    head_path(copy).write_bytes(head)

    for length in range(start, len(whole) + 1):
        copy.write_bytes(whole[:length])
        if length < reserve_ends:
            with pytest.raises(ProtocolError, match="line 4: the ledger was cut off"):
                read_ledger(copy)
        else:  # only a note that carries no charge is lost
            assert len(read_ledger(copy).charges) == 2


def test_after_an_orderly_end_every_cut_is_found_and_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_ledger(path, 2)
    whole = path.read_bytes()

    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        line = whole[:length].count(b"\n") + 1
        with pytest.raises(ProtocolError, match=rf"line {line}: the ledger was cut off"):
            read_ledger(path)


def test_every_byte_of_the_last_two_lines_replaced_by_any_class_of_byte_is_named(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.jsonl"
    write_ledger(path, 2)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    start = len(whole) - len(lines[-1] + lines[-2])

    for position in range(start, len(whole)):
        for new in (whole[position] ^ 1, whole[position] ^ 0x20, 0x20, 0x0A, 0x0D, 0x65, 0x00):
            if new == whole[position]:
                continue
            path.write_bytes(whole[:position] + bytes([new]) + whole[position + 1 :])
            with pytest.raises(ProtocolError, match=r"line \d+: "):
                read_ledger(path)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "a.jsonl"
    write_ledger(path, 4)
    return path


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_one_byte_altered_deleted_inserted_or_moved_anywhere_is_named(
    sound: Path, data: st.DataObject
) -> None:
    whole = sound.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    byte = bytes([data.draw(st.integers(0, 255))])
    before, after = whole[:position], whole[position + 1 :]
    wrong = data.draw(
        st.sampled_from(
            [
                before + byte + after,
                before + after,
                before + byte + whole[position:],
                before + after[:1] + whole[position : position + 1] + after[1:],
                before + whole[position : position + 1] * 2 + after,
            ]
        )
    )
    if wrong == whole:
        return
    copy = sound.with_name("copy.jsonl")
    copy.write_bytes(wrong)
    head_path(copy).write_bytes(head_path(sound).read_bytes())

    with pytest.raises(ProtocolError, match=r"line \d+: "):
        read_ledger(copy)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_one_line_deleted_repeated_or_moved_anywhere_is_named(
    sound: Path, data: st.DataObject
) -> None:
    lines = sound.read_bytes().splitlines(keepends=True)
    index = data.draw(st.integers(0, len(lines) - 1))
    place = data.draw(st.integers(0, len(lines)))
    rest = lines[:index] + lines[index + 1 :]
    wrong = data.draw(
        st.sampled_from(
            [
                rest,
                lines[:place] + [lines[index]] + lines[place:],
                rest[:place] + [lines[index]] + rest[place:],
            ]
        )
    )
    if wrong == lines:
        return
    copy = sound.with_name("copy.jsonl")
    copy.write_bytes(b"".join(wrong))
    head_path(copy).write_bytes(head_path(sound).read_bytes())

    with pytest.raises(ProtocolError, match=r"line \d+: "):
        read_ledger(copy)
