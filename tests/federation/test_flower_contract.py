"""The private names of Flower that fedcc relies on are in one place, and mean what they meant."""

import ast
import inspect
import time
from base64 import b64encode
from dataclasses import replace
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP384R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from fastapi import FastAPI
from flwr.common import constant
from flwr.proto.message_pb2 import PullObjectRequest, PullObjectResponse, PushObjectRequest
from flwr.server.superlink.linkstate.in_memory_linkstate import InMemoryLinkState
from flwr.supercore import heartbeat
from flwr.supercore.date import now
from flwr.supercore.inflatable import inflatable_utils
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message
from flwr.supercore.retry import http_retry
from flwr.superlink.config_loader import SuperLinkLifespanConfig
from flwr.supernode import fleet_http_connection, start_client_internal
from flwr.supernode import main as runtime_main
from flwr.supernode.fleet_http_client import FleetHttpClient

from fedcc.federation import (
    flower_compat,
    flower_layers,
    flower_runs,
    flower_superlink,
    flower_supernode,
)
from fedcc.federation.service.settings import service_settings

FEDERATION = Path(flower_compat.__file__).parent
LISTENERS = flower_superlink.Listeners(
    host="127.0.0.1",
    port=1,
    certificate=Path("/none"),
    key=Path("/none"),
    control_port=2,
    secret=b"secret",
)
PUBLIC = ("flwr.app", "flwr.clientapp", "flwr.serverapp")


def private_imports(path: Path) -> set[str]:
    """Return the modules of Flower below its public ones that a file imports."""
    tree = ast.parse(path.read_text())
    names = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    return {name for name in names if name.split(".")[0] == "flwr" and name not in PUBLIC}


def test_private_names_of_flower_are_used_in_modules_called_flower_only() -> None:
    users = {path.name for path in FEDERATION.rglob("*.py") if private_imports(path)}

    assert {name for name in users if not name.startswith("flower_")} == set()
    assert "flower_superlink.py" in users  # the search does find them


def test_this_is_the_version_of_flower_that_the_private_names_belong_to() -> None:
    assert version("flwr").startswith("1.41.")


def test_flower_still_has_the_waits_that_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    assert constant.HEARTBEAT_DEFAULT_INTERVAL == 30
    assert constant.HEARTBEAT_PATIENCE == 2  # a lost site shows after two heartbeats
    assert fleet_http_connection.HEARTBEAT_DEFAULT_INTERVAL == 30
    assert "time.sleep(3)" in inspect.getsource(start_client_internal.start_client_internal)


def test_every_switch_of_the_superlink_is_set_knowingly() -> None:
    config = flower_superlink._lifespan(LISTENERS)

    assert isinstance(config, SuperLinkLifespanConfig)
    assert config.enable_supernode_auth and not config.runtime_dependency_install
    assert (config.isolation, config.host) == ("process", "127.0.0.1")
    assert config.superexec_auth_secret == b"secret"


def test_the_layers_that_translate_and_authenticate_are_kept() -> None:
    kept = {
        str(layer.cls.__name__)
        for layer in flower_superlink.superlink_app(LISTENERS).user_middleware
    }

    assert {"NodeAuthMiddleware", "ProtobufTranslationMiddleware"} <= kept
    assert "ControlAuthenticationMiddleware" in kept
    assert not kept & flower_superlink.IDLE_LAYERS


def test_every_layer_that_is_kept_passes_whole_messages_on() -> None:
    for layer in flower_superlink.superlink_app(LISTENERS).user_middleware:
        assert issubclass(layer.cls, flower_layers._Whole)  # type: ignore[arg-type]


def streaming_routes(app: FastAPI) -> set[str]:
    """Return the paths of an application whose handlers may answer with a stream."""
    found, left = set(), list(app.routes)
    while left:
        route = left.pop()
        left += getattr(getattr(route, "original_router", None), "routes", [])
        handler = getattr(route, "endpoint", None)
        if handler is not None and "treamingResponse" in inspect.getsource(inspect.unwrap(handler)):
            found.add(str(getattr(route, "path", "")))
    return found


def test_no_route_that_takes_whole_messages_streams() -> None:
    for app in (flower_superlink.superlink_app(LISTENERS), runtime_main.create_app()):
        streams = streaming_routes(app)

        assert streams, "the search finds those that do"
        assert not {path for path in streams if flower_layers.is_whole(path)}


def test_flowers_waits_are_cut_to_those_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (fleet_http_connection, "HEARTBEAT_DEFAULT_INTERVAL"),
        (heartbeat, "HEARTBEAT_DEFAULT_INTERVAL"),
        (heartbeat, "HEARTBEAT_CALL_TIMEOUT"),
        (heartbeat, "exponential"),
        (http_retry, "MAX_RETRY_DELAY"),
    ):
        monkeypatch.setattr(module, name, vars(module)[name])
    settings = service_settings()

    flower_supernode.hasten(node_settings(settings.heartbeat_seconds))

    assert fleet_http_connection.HEARTBEAT_DEFAULT_INTERVAL == settings.heartbeat_seconds
    assert heartbeat.HEARTBEAT_DEFAULT_INTERVAL == settings.heartbeat_seconds
    # A lost site shows after two heartbeats, within the 15 s that are promised.
    assert constant.HEARTBEAT_PATIENCE * settings.heartbeat_seconds < 15
    assert settings.heartbeat_seconds >= flower_superlink.LEAST_HEARTBEAT
    waits = vars(heartbeat)["exponential"](max_delay=100)
    next(waits)
    assert max(next(waits) for _ in range(20)) <= flower_supernode.RETRY_SECONDS
    waits = vars(http_retry)["make_simple_http_retry_invoker"]().wait_gen_factory()
    next(waits)
    assert max(next(waits) for _ in range(20)) <= flower_supernode.RETRY_SECONDS


def node_settings(seconds: float) -> flower_supernode.NodeSettings:
    return flower_supernode.NodeSettings(
        address="hub:8443",
        ca=Path("/none"),
        key=Path("/none"),
        port=1,
        secret_file=Path("/none"),
        poll=0.02,
        heartbeat=seconds,
        proxy=None,
        bytes_per_second=None,
    )


def signed_head(key: EllipticCurvePrivateKey, at: datetime) -> dict[str, Any]:
    """The head that Flower's own client puts before a request."""
    stamp = at.isoformat()
    signature = sign_message(key, stamp.encode("ascii"))
    headers = {
        "flwr-public-key": b64encode(public_key_to_bytes(key.public_key())),
        "flwr-timestamp": stamp.encode(),
        "flwr-signature": b64encode(signature),
    }
    return {
        "type": "http",
        "method": "POST",
        "path": "/v1/fleet/push-object",
        "query_string": b"",
        "headers": [(name.encode(), value) for name, value in headers.items()],
    }


def test_a_requests_head_proves_who_sends_it_by_flowers_own_rule() -> None:
    app = flower_superlink.superlink_app(LISTENERS)
    nodes = flower_superlink.Nodes(app)
    ours, stranger = generate_private_key(SECP384R1()), generate_private_key(SECP384R1())
    nodes.admit({"lisbon": public_key_to_bytes(ours.public_key())})
    head = signed_head(ours, now())

    assert nodes.is_signed(head)
    assert not nodes.is_signed(signed_head(stranger, now()))
    assert not nodes.is_signed(signed_head(ours, now() - timedelta(minutes=10)))
    assert not nodes.is_signed({**head, "headers": []})
    assert not nodes.is_signed({**head, "headers": head["headers"][:2]})
    for name in range(3):  # each of the three belongs to one who is not admitted
        theirs = signed_head(stranger, now())["headers"]
        mixed = [theirs[i] if i == name else head["headers"][i] for i in range(3)]
        assert not nodes.is_signed({**head, "headers": mixed})
    nodes.admit({})
    assert not nodes.is_signed(signed_head(ours, now()))


def test_a_node_has_the_same_number_after_a_restart_and_a_strangers_key_has_none() -> None:
    def numbers(keys: dict[str, bytes]) -> dict[bytes, int]:
        app = flower_superlink.superlink_app(LISTENERS)
        nodes = flower_superlink.Nodes(app)
        nodes.admit(keys)
        state = app.state.linkstate_factory.state()
        assert isinstance(state, InMemoryLinkState)
        found = {key: state.get_node_id_by_public_key(key) for key in keys.values()}
        assert state.get_node_id_by_public_key(b"stranger") is None
        nodes.admit({})
        assert all(state.get_node_id_by_public_key(key) is None for key in keys.values())
        return found

    keys = {"lisbon": b"first key", "porto": b"second key"}

    assert numbers(keys) == numbers(keys)
    assert numbers(keys) == {key: flower_runs.node_number(key) for key in keys.values()}


def test_a_key_that_is_none_of_a_node_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    path.write_text("not a key")

    with pytest.raises(flower_supernode.ConfigError, match=r"keys\.node"):
        flower_supernode.private_key(path)


def test_a_limited_node_takes_its_time_for_what_it_sends_and_for_what_it_fetches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    for name in ("PullMessages", "PushObject", "PullObject", "ConfirmMessageReceived"):
        sent = PullObjectResponse(object_content=b"x" * 5000)
        monkeypatch.setattr(FleetHttpClient, name, lambda client, request, reply=sent: reply)
    monkeypatch.setattr(runtime_main, "create_app", None)
    monkeypatch.setattr(flower_supernode.time, "sleep", slept.append)
    node = replace(node_settings(6.0), bytes_per_second=1000.0)
    client: Any = object.__new__(FleetHttpClient)

    flower_supernode._watch(node, lambda: None)
    client.PushObject(PushObjectRequest(object_content=b"x" * 3000))
    client.PullObject(PullObjectRequest())
    client.PullMessages(PullObjectRequest())

    assert slept == [pytest.approx(3.0, abs=0.1), pytest.approx(5.0, abs=0.1)]


def test_a_limit_holds_for_objects_that_are_moved_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By Flower's own function, which sends two at a time."""
    monkeypatch.setattr(FleetHttpClient, "PushObject", lambda client, request: None)
    for name in ("PullMessages", "PullObject", "ConfirmMessageReceived"):
        monkeypatch.setattr(FleetHttpClient, name, None)
    monkeypatch.setattr(runtime_main, "create_app", None)
    flower_supernode._watch(replace(node_settings(6.0), bytes_per_second=10_000.0), lambda: None)
    client: Any = object.__new__(FleetHttpClient)
    began = time.monotonic()

    inflatable_utils.push_object_contents_from_iterable(
        [(str(number), b"x" * 1000) for number in range(6)],
        lambda name, content: client.PushObject(PushObjectRequest(object_content=content)),
    )

    assert time.monotonic() - began >= 0.6  # 6 kB at 10 kB/s
