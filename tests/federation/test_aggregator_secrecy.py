"""The aggregator holds no key: not in its objects, not in what it received, not in its folder."""

import gc
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest
from conftest import read_lines

from fedcc.crypto.contexts import AggregatorCipher, SiteCipher, key_id
from fedcc.crypto.keys import SiteKeys
from fedcc.federation import link, simulation, strategy
from fedcc.federation.grid import InProcessGrid
from fedcc.federation.membership import Membership
from fedcc.federation.messages import Parcel
from fedcc.federation.simulation import RunResult
from fedcc.federation.site_round import Site
from fedcc.federation.update_cipher import UpdateCipher

Run = Callable[..., RunResult]
KEY_HOLDERS = (SiteCipher, SiteKeys, Membership, Site, UpdateCipher)


def reachable(start: object) -> list[object]:
    """Return every object reachable from `start`, except through modules and types.

    A function's globals are its module, so functions are entered through closures, defaults and
    attributes alone.
    """
    seen: dict[int, object] = {}
    todo = [start]
    while todo:
        item = todo.pop()
        if id(item) in seen or isinstance(item, ModuleType | type):
            continue
        seen[id(item)] = item
        if isinstance(item, FunctionType):
            cells = item.__closure__ or ()
            for cell in cells:
                todo.append(cell.cell_contents)
            todo += [item.__defaults__, item.__kwdefaults__, item.__dict__]
        else:
            todo += gc.get_referents(item)
    return list(seen.values())


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Keep the ServerApp, the aggregator and every byte that reached it."""
    kept: dict[str, Any] = {"received": [], "secrets": []}
    build, set_up, answer = simulation.build_server_app, strategy.set_up, link.check_reply
    read = Parcel.from_record

    def keep_app(*args: Any, **options: Any) -> Any:
        kept["app"] = build(*args, **options)
        return kept["app"]

    def keep_aggregator(*args: Any) -> Any:
        kept["aggregator"] = set_up(*args)
        return kept["aggregator"]

    def keep_reply(kind: Any, parcel: Parcel) -> None:
        kept["received"].append(parcel)
        answer(kind, parcel)

    monkeypatch.setattr(simulation, "build_server_app", keep_app)
    monkeypatch.setattr(strategy, "set_up", keep_aggregator)
    monkeypatch.setattr(link, "check_reply", keep_reply)
    assert read is not None
    return kept


def epoch_keys(result: RunResult) -> list[bytes]:
    """Return the HE keys that the sites of a run keep, each once."""
    records = (result.run_dir / "secrets").glob("*.epochs/epoch-*.json")
    return sorted({bytes.fromhex(json.loads(path.read_text())["key"]) for path in records})


def test_nothing_reachable_from_the_server_app_or_the_aggregator_holds_a_key(
    run_calls: Run, watched: dict[str, Any]
) -> None:
    result = run_calls()

    secrets = epoch_keys(result)
    assert len(secrets) == 1 and len(secrets[0]) == 48
    for start in (watched["app"], watched["aggregator"]):
        objects = reachable(start)
        assert len(objects) > 20
        assert not [o for o in objects if isinstance(o, (*KEY_HOLDERS, InProcessGrid))]
        raw = [o for o in objects if isinstance(o, bytes)]
        assert not [o for o in raw if any(secret in o for secret in secrets)]


def test_the_walk_would_find_a_key_that_is_there(run_calls: Run, watched: dict[str, Any]) -> None:
    run_calls()
    watched["app"].planted = SiteKeys.create()

    assert [o for o in reachable(watched["app"]) if isinstance(o, SiteKeys)]


def test_the_aggregator_s_cipher_has_no_decryptor_and_no_secret_key(
    run_calls: Run, watched: dict[str, Any]
) -> None:
    run_calls()

    adders = [o for o in reachable(watched["aggregator"]) if isinstance(o, AggregatorCipher)]

    assert len(adders) == 1
    assert not [name for name in dir(adders[0]) if "crypt" in name.lower()]


# Tries every stretch of every blob, and of every hex text, as the secret part of an epoch key or as
# a whole one, and holds it against the key's public name; then a context of TenSEAL in each.
ATTACK = """
import pathlib, sys, tenseal
from fedcc.crypto.contexts import create_epoch_key, key_id
blobs = [p.read_bytes() for p in sorted(pathlib.Path(sys.argv[1]).iterdir())]
tag = create_epoch_key('bfv')[:16]
tried = opened = 0
for blob in blobs:
    candidates = [blob]
    try:
        candidates.append(bytes.fromhex(blob.decode()))
    except ValueError:
        pass
    for candidate in candidates:
        starts = range(len(candidate) - 31 if len(candidate) < 4096 else 0)
        keys = [tag + candidate[i : i + 32] for i in starts]
        place = candidate.find(tag)
        keys += [candidate[place : place + 48]] if place >= 0 else []
        opened += sum(key_id(key) == sys.argv[2] for key in keys)
        tried += len(keys)
        try:
            opened += tenseal.context_from(candidate, n_threads=1).is_private()
        except Exception:
            pass
print(tried, opened)
"""


def attack(blobs: list[bytes], name_of_key: str, folder: Path) -> tuple[int, int]:
    """Return how many keys a process tried that was given all these bytes, and how many fitted."""
    folder.mkdir()
    for index, blob in enumerate(blobs):
        (folder / f"{index:05d}").write_bytes(blob)
    command = [sys.executable, "-c", ATTACK, str(folder), name_of_key]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    tried, opened = map(int, printed.split())
    return tried, opened


def test_a_process_given_all_received_bytes_and_the_store_cannot_decrypt(
    run_calls: Run, watched: dict[str, Any], tmp_path: Path
) -> None:
    result = run_calls()
    blobs: list[bytes] = []
    for parcel in watched["received"]:
        blobs += [v if isinstance(v, bytes) else str(v).encode() for v in parcel.fields.values()]
        blobs += [chunk for chunks in parcel.chunks.values() for chunk in chunks]
    store = result.run_dir / "checkpoints" / "aggregator"
    blobs += [path.read_bytes() for path in store.iterdir()]
    [key] = epoch_keys(result)

    tried, opened = attack(blobs, key_id(key), tmp_path / "received")

    assert len(blobs) > 40
    assert tried > 1000
    assert opened == 0


def test_the_same_attack_succeeds_with_a_site_s_key_or_its_secret_part(
    run_calls: Run, tmp_path: Path
) -> None:
    # The twin: were an epoch key among the bytes, in whatever wrapping, the attack would tell.
    [key] = epoch_keys(run_calls())

    for number, blob in enumerate((key, b"x" * 9 + key[16:] + b"y", key.hex().encode())):
        _, opened = attack([blob], key_id(key), tmp_path / str(number))
        assert opened >= 1


def test_the_wire_log_names_every_value_and_byte_that_arrived(
    run_calls: Run, watched: dict[str, Any]
) -> None:
    result = run_calls(isolate=True)

    lines = read_lines(result.run_dir / "wire.jsonl")
    values = sum(
        len(p.fields) + sum(len(chunks) for chunks in p.chunks.values())
        for p in watched["received"]
    )
    assert len(lines) == values
    assert sum(line["bytes"] for line in lines) == sum(p.n_bytes for p in watched["received"])
    assert {line["kind"] for line in lines} == {"ciphertext", "public"}
    assert set(lines[0]) == {"site", "round", "field", "bytes", "kind"}


def test_no_row_count_and_no_metric_is_among_the_public_values(
    run_calls: Run, watched: dict[str, Any]
) -> None:
    result = run_calls()

    rows = result.summary["data"]["rows_per_site"]
    for parcel in watched["received"]:
        for value in parcel.fields.values():
            if isinstance(value, int):
                assert value not in rows
        if "header" in parcel.fields:
            header = json.loads(parcel.raw("header"))
            assert not [v for v in header.values() if v in rows]


def test_a_reply_with_a_field_outside_the_contract_counts_as_a_dropout() -> None:
    from fedcc.errors import ProtocolError
    from fedcc.federation.messages import check_reply

    with pytest.raises(ProtocolError):
        check_reply("sign", Parcel({"signature": b"x", "rows": 12}))
    with pytest.raises(ProtocolError):
        check_reply("upload", Parcel({"header": b"", "signature": b""}))
