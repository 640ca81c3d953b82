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

from fedcc.crypto.contexts import AggregatorCipher, SiteCipher
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


def test_nothing_reachable_from_the_server_app_or_the_aggregator_holds_a_key(
    run_calls: Run, watched: dict[str, Any]
) -> None:
    result = run_calls()

    secrets = [p.read_bytes() for p in (result.run_dir / "secrets").glob("*.epoch-key")]
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


def test_a_process_given_all_received_bytes_and_the_store_cannot_decrypt(
    run_calls: Run, watched: dict[str, Any], tmp_path: Path
) -> None:
    result = run_calls()
    received = tmp_path / "received"
    received.mkdir()
    blobs: list[bytes] = []
    for parcel in watched["received"]:
        blobs += [v if isinstance(v, bytes) else str(v).encode() for v in parcel.fields.values()]
        blobs += [chunk for chunks in parcel.chunks.values() for chunk in chunks]
    store = result.run_dir / "checkpoints" / "aggregator"
    blobs += [path.read_bytes() for path in store.iterdir()]
    for index, blob in enumerate(blobs):
        (received / f"{index:05d}").write_bytes(blob)
    attack = f"""
import pathlib, tenseal, tenseal.sealapi as seal
opened = tried = 0
blobs = [p.read_bytes() for p in sorted(pathlib.Path({str(received)!r}).iterdir())]
[parameters] = [b for b in blobs if 60 < len(b) < 120 and b[:1] == b"\\n"][:1]
for blob in blobs:
    # Every blob, and every hex text inside one, might be a context with a secret key.
    candidates = [blob]
    try:
        candidates.append(bytes.fromhex(blob.decode()))
    except ValueError:
        pass
    for candidate in candidates:
        tried += 1
        try:
            context = tenseal.context_from(candidate, n_threads=1)
            opened += context.is_private()
        except Exception:
            pass
context = tenseal.context_from(parameters, n_threads=1)
try:
    context.decryptor()
    opened += 1
except Exception:
    pass
try:
    seal.Decryptor(context.seal_context().data, seal.SecretKey())
    opened += 1
except Exception:
    pass
print(tried, opened)
"""

    printed = subprocess.run(
        [sys.executable, "-c", attack], capture_output=True, text=True, check=True
    ).stdout

    tried, opened = map(int, printed.split())
    assert tried >= len(blobs) > 40
    assert opened == 0


def test_the_same_attack_succeeds_with_a_site_s_key(run_calls: Run, tmp_path: Path) -> None:
    # The twin: were an epoch key among the bytes, the attack would open it.
    result = run_calls()
    key = (result.run_dir / "secrets" / "site-1.epoch-key").read_bytes()
    code = "import sys, tenseal; print(tenseal.context_from(sys.stdin.buffer.read()).is_private())"

    printed = subprocess.run([sys.executable, "-c", code], input=key, capture_output=True).stdout

    assert printed.strip() == b"True"


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
