"""An aggregator and four sites as real processes: what the network can reach, faults, and charges.

One installation is started once. Strangers try it first, then a site and the aggregator are killed
while a run goes on; the tests look at what was left behind.
"""

import fcntl
import http.client
import json
import os
import pickle
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from flwr.app import Message
from flwr.serverapp import Grid, ServerApp

from fedcc.cli.main import main
from fedcc.deployment.site_file import SiteHome
from fedcc.errors import EnvelopeError, ProtocolError
from fedcc.federation import flower_runs
from fedcc.federation.flower_supernode import NodeSettings, sign_off
from fedcc.federation.messages import Parcel
from fedcc.federation.prediction import marks
from fedcc.federation.service.places import Places

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "simulations"))
from _drill import Drill  # noqa: E402
from _installation import install  # noqa: E402

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(600),
]  # four sites start, and two services are killed
ROUNDS = 14  # so many that a killed site is back before the last of them
LOST = "site-4"

HOSTILE = """
import pathlib
pathlib.Path({marker!r}).write_text("hostile code ran")
app = None
"""


@dataclass
class Play:
    """What was seen while the installation ran."""

    drill: Drill
    marker: Path
    hostile_replies: list[object] = field(default_factory=list)
    public_routes: dict[str, int] = field(default_factory=dict)
    plaintext: str = ""
    large: int = 0
    ready: dict[str, int] = field(default_factory=dict)
    stranger: str = ""
    other_authority: str = ""
    second_service: int = 0
    environment: bytes = b""
    dropped_key: str = ""
    strangers: dict[str, tuple[int, str]] = field(default_factory=dict)  # exit codes and words
    listening: set[str] = field(default_factory=set)


def status(url: str, context: ssl.SSLContext | None, data: bytes | None = None) -> int:
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(urllib.request.Request(url, data=data), timeout=20) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def declare(address: str, context: ssl.SSLContext, length: int) -> int:
    """Say that so many bytes will follow, send none; return the status of the answer."""
    host, _, port = address.rpartition(":")
    line = http.client.HTTPSConnection(host, int(port), context=context, timeout=20)
    try:
        line.putrequest("POST", "/v1/fleet/push-object")
        line.putheader("Content-Length", str(length))
        line.endheaders()
        return line.getresponse().status
    finally:
        line.close()


def node(drill: Drill, **changes: Any) -> NodeSettings:
    """Return the settings of the first site's node, or those of an attacker."""
    home = SiteHome.open(drill.made.site("site-1"))
    dialled = home.values.aggregator
    values: dict[str, Any] = {
        "address": f"{dialled.host}:{dialled.port}",
        "ca": home.ca,
        "key": home.node_key,
        "port": 1,
        "secret_file": Path("/none"),
        "poll": 0.1,
        "heartbeat": 2.0,
        "proxy": None,
        "bytes_per_second": None,
    }
    return NodeSettings(**{**values, **changes})


def other_consortium(folder: Path) -> Path:
    """Return the folder of a site of another consortium, with its own authority and key."""
    data = {"site-1": {"name": "calls", "path": "/none", "config_dir": None}}
    made = install(folder, ["site-1"], host="127.0.0.1", port=1, data=data, health_ports={})
    return made.site("site-1")


def run_stranger(drill: Drill, site: Path, *, trusts_us: bool) -> tuple[int, str]:
    """Run a site of another consortium against this aggregator; return exit code and output."""
    dialled = node(drill).address.rpartition(":")
    values = yaml.safe_load((site / "site.yaml").read_text())
    values["aggregator"] |= {"host": dialled[0], "port": int(dialled[2])}
    (site / "site.yaml").write_text(yaml.safe_dump(values))
    if trusts_us:
        shutil.copy(node(drill).ca, site / "ca.pem")
    command = [sys.executable, "-m", "fedcc", "site", "run", str(site)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return ended.returncode, ended.stdout + ended.stderr


def look_from_outside(play: Play) -> None:
    """Ask the public listener for what it must not give."""
    drill = play.drill
    home = SiteHome.open(drill.made.site("site-1"))
    address = node(drill).address
    context = ssl.create_default_context(cafile=str(home.ca))
    for path in ("control/start-run", "control/register-node", "runtime/acquire-task"):
        play.public_routes[path] = status(f"https://{address}/v1/{path}", context, b"")
    play.large = declare(address, context, 10**6)
    try:
        play.plaintext = str(status(f"http://{address}/v1/fleet/pull-messages", None, b""))
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        play.plaintext = type(reason).__name__
    other = other_consortium(drill.root / "other")
    try:
        sign_off(node(drill, key=other / "node.key"))
    except ProtocolError as error:
        play.stranger = str(error)
    stranger = drill.made.hub / "nodes" / "mallory.pub"
    shutil.copy(other.parent / "hub" / "nodes" / "site-1.pub", stranger)
    time.sleep(3.0)  # a running SuperLink looks every second
    try:
        sign_off(node(drill, key=other / "node.key"))
    except ProtocolError as error:
        play.dropped_key = str(error)
    stranger.unlink()
    try:
        sign_off(node(drill, ca=other / "ca.pem"))
    except EnvelopeError as error:
        play.other_authority = str(error)
    for what in ("authority", "key"):
        play.strangers[what] = run_stranger(drill, other, trusts_us=what == "key")
    play.second_service = main(["site", "run", str(drill.made.site("site-1"))])
    for name in ("aggregator", *drill.made.sites):
        folder = drill.made.hub if name == "aggregator" else drill.made.site(name)
        file = folder / ("aggregator.yaml" if name == "aggregator" else "site.yaml")
        port = yaml.safe_load(file.read_text())["health"]["port"]
        play.ready[name] = status(f"http://127.0.0.1:{port}/readyz", None)


def send_hostile_bundle(play: Play, patch: pytest.MonkeyPatch) -> None:
    """Ship code to every site, as somebody can who holds the aggregator's machine."""
    hub = play.drill.made.hub
    places = Places(hub / "state" / "running")
    bundle = {
        **flower_runs.BUNDLE,
        "installed.py": HOSTILE.format(marker=str(play.marker)).encode(),
    }
    patch.setattr(flower_runs, "BUNDLE", bundle)
    app = ServerApp()

    @app.main()
    def attack(grid: Grid, context: Any) -> None:
        content = Parcel({"run": "hostile"}).to_record()
        messages = [Message(content, number, "query.join") for number in grid.get_node_ids()]
        for reply in grid.send_and_receive(messages, timeout=60.0):
            play.hostile_replies.append(dict(Parcel.from_record(reply.content).fields))

    with flower_runs.SuperLink(places.port(), places.secret.read_bytes()) as link:
        run = link.start_run()
        link.carry_out(run, app, poll=0.05, wait=30.0, on_lost=lambda number: None)
    patch.undo()


def listening_at(processes: set[int]) -> set[str]:
    """Return the addresses at which processes listen, as the system writes them."""
    open_files = {
        os.readlink(file)
        for number in processes
        for file in Path(f"/proc/{number}/fd").iterdir()
        if file.is_symlink()
    }
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in open_files:  # 0A: it listens
                found.add(words[1].partition(":")[0])
    return found


def run_play(root: Path) -> Play:
    """Start everything, try what strangers try, kill a site and the aggregator, and stop."""
    drill = Drill.prepare(root, n_sites=4, rounds=ROUNDS)
    plans = drill.made.hub / "plans"
    held = plans.rename(plans.with_name("plans-held"))
    found = Play(drill, root / "hostile-code-ran")
    drill.start_all()
    try:
        drill.wait(
            lambda: all(
                sum(line["event"] == "ready" for line in drill.log(name)) > 1
                for name in ("hub", *drill.made.sites)
            ),
            "everything is ready",
        )
        with pytest.MonkeyPatch.context() as patch:
            send_hostile_bundle(found, patch)
        look_from_outside(found)
        numbers = drill.processes("site-1").values()
        found.environment = b"".join(
            Path(f"/proc/{number}/{name}").read_bytes()
            for number in numbers
            for name in ("environ", "cmdline")
        )
        found.listening = listening_at(set(numbers))
        held.rename(plans)
        drill.wait(lambda: len(drill.attempts()) >= 2, "two rounds closed")
        drill.kill(LOST)
        drill.wait(lambda: len(drill.attempts()[-1]["cohort"]) == 3, "a round without the lost")
        drill.start(LOST)
        drill.wait(lambda: len(drill.attempts()[-1]["cohort"]) == 4, "a round with all again")
        drill.kill("hub")
        drill.start("hub")
        drill.wait(drill.outcome, "the run ends")
        drill.wait(lambda: len(drill.models()) == 4, "every site has written its model")
    finally:
        drill.close()
    return found


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Play:
    """What was seen in the one play that all processes of pytest share."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    kept = shared / "on-premise.pickle"
    with (shared / "on-premise.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            kept.write_bytes(pickle.dumps(run_play(shared / "on-premise")))
    return pickle.loads(kept.read_bytes())  # type: ignore[no-any-return]


def test_a_hostile_bundle_is_delivered_and_not_run(play: Play) -> None:
    assert not play.marker.exists()
    # The installed code answered: it knows of no such run.
    assert play.hostile_replies == [{"refused": "unavailable"}] * 4


def test_the_hostile_code_would_have_run_if_anybody_had_imported_it(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    exec(compile(HOSTILE.format(marker=str(marker)), "bundle", "exec"), {})

    assert marker.exists()


def test_control_routes_are_not_reachable_from_the_network(play: Play) -> None:
    assert set(play.public_routes.values()) == {404}


def test_a_large_body_of_a_stranger_is_refused_before_it_is_read(play: Play) -> None:
    assert play.large == 413


def test_a_plaintext_connection_gets_no_answer(play: Play) -> None:
    assert play.plaintext in ("RemoteDisconnected", "ConnectionResetError", "BrokenPipeError")


def test_a_node_with_a_key_that_was_not_admitted_is_refused(play: Play) -> None:
    assert "not admitted" in play.stranger


def test_a_key_that_was_dropped_into_a_running_aggregators_folder_is_not_admitted(
    play: Play,
) -> None:
    assert "not admitted" in play.dropped_key


@pytest.mark.parametrize(
    ("what", "words"),
    [("key", "not admitted"), ("authority", "does not prove to be the aggregator")],
)
def test_a_site_of_another_consortium_ends_with_exit_code_6(
    play: Play, what: str, words: str
) -> None:
    code, said = play.strangers[what]

    assert code == 6
    assert words in said


def test_a_site_listens_on_loopback_only(play: Play) -> None:
    assert play.listening == {"0100007F"}  # 127.0.0.1, as the kernel writes it


def test_both_sides_write_metrics(play: Play) -> None:
    for folder in (play.drill.made.hub, *map(play.drill.made.site, play.drill.made.sites)):
        text = (folder / "metrics.prom").read_text()

        assert "# TYPE fedcc_ready gauge" in text
        assert "\nfedcc_restarts_total 0" in text


def test_every_line_about_a_round_names_run_round_and_site(play: Play) -> None:
    run = play.drill.signed.plan.run
    rounds = [line for line in play.drill.log("hub") if line["event"] == "round"]
    assert [line["run"] for line in rounds] == [run] * len(rounds)
    assert {line["round"] for line in rounds} == set(range(1, ROUNDS + 1))

    for site in play.drill.made.sites:
        answered = [line for line in play.drill.log(site) if line["event"] == "answered"]
        assert {line["run"] for line in answered} == {run}
        assert {line["site"] for line in answered} == {site}
        assert all(isinstance(line["round"], int) for line in answered)


def test_a_server_with_another_authoritys_certificate_is_not_spoken_to(play: Play) -> None:
    assert "does not prove to be the aggregator" in play.other_authority


def test_a_server_that_speaks_no_tls_is_not_spoken_to(play: Play) -> None:
    received = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                received.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(EnvelopeError):
            sign_off(node(play.drill, address=f"127.0.0.1:{server.getsockname()[1]}"))

    assert received[0][:1] == b"\x16"  # a TLS handshake record (RFC 8446, 5.1), no request


def test_a_second_service_of_a_folder_is_refused_with_exit_code_2(play: Play) -> None:
    assert play.second_service == 2


def test_everything_was_ready_before_the_run(play: Play) -> None:
    assert set(play.ready.values()) == {200}


def test_no_process_has_the_private_key_in_its_environment_or_command(play: Play) -> None:
    from fedcc.crypto.key_file import KeyFile, read_key

    home = SiteHome.open(play.drill.made.site("site-1"))
    key = KeyFile((home.file.parent / "unlock.key").read_bytes())
    private = read_key(home.identity).unlock(key).private

    assert len(play.environment) > 0
    assert private.hex().encode() not in play.environment
    assert private not in play.environment


def test_the_run_goes_on_without_a_killed_site_with_it_again_and_past_a_killed_aggregator(
    play: Play,
) -> None:
    closed = [line for line in play.drill.attempts() if line["closed"]]

    assert play.drill.outcome() == "completed"
    assert [line["round_number"] for line in closed] == list(range(1, ROUNDS + 1))
    assert {len(line["cohort"]) for line in closed} == {3, 4}
    assert len(closed[-1]["cohort"]) == 4


def test_every_site_ends_with_the_same_model_to_the_bit(play: Play) -> None:
    models = play.drill.models()

    assert set(models) == set(play.drill.made.sites)
    assert len(set(models.values())) == 1


def test_a_model_of_public_data_is_marked_at_every_site(play: Play) -> None:
    run = play.drill.signed.plan.run
    for site in play.drill.made.sites:
        assert marks(play.drill.made.site(site) / "state" / "runs" / run) == ["public_dataset"]


@pytest.mark.parametrize("site", ["site-1", "site-2", "site-3", "site-4"])
def test_every_upload_was_charged_exactly_once(play: Play, site: str) -> None:
    charges = play.drill.charges(site)
    uploads = play.drill.uploads_seen(site)

    assert len(charges) == len(set(charges))
    # A charge without an upload is possible (killed in between), an upload without one never.
    assert uploads <= set(charges)
    # How many rounds a lost site misses is a matter of speed.
    assert len(uploads) >= (1 if site == LOST else ROUNDS)


def test_what_the_aggregator_received_was_charged_at_its_site(play: Play) -> None:
    received: dict[str, set[int]] = {}
    for line in (play.drill.folder / "wire.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry["field"] == "upload.update.0":
            received.setdefault(entry["site"], set()).add(entry["round"])

    assert set(received) == set(play.drill.made.sites)
    for site, rounds in received.items():
        assert rounds <= {number for number, _ in play.drill.charges(site)}


def test_no_row_and_no_customer_is_in_any_log(play: Play) -> None:
    logs = b"".join(path.read_bytes() for path in play.drill.root.glob("*.log"))

    assert b"site-1-0" not in logs and b"site-1-149" not in logs
    for line in logs.splitlines():
        if line.startswith(b"fedcc:"):
            continue
        assert json.loads(line)["event"]


def test_nothing_of_an_update_is_on_the_aggregators_disk_in_flowers_hands(play: Play) -> None:
    state = play.drill.made.hub / "state"
    names = {path.suffix for path in state.rglob("*") if path.is_file()}

    assert ".db" not in names
    assert os.listdir(state / "running" / "flower") in ([], ["config.toml"])
