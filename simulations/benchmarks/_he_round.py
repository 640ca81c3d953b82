"""One round of a real federation, metered: the part of he_vs_nvflare.py that is fedcc.

Aggregator, sites and messages are those of production; nothing of the protocol is repeated here.
Every site is a process of its own and works alone while the others wait. Each message crosses as
protobuf and its whole length counts. `SET_ASIDE` counts apart.
"""

import json
import multiprocessing
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# First: switches off Flower's telemetry.
from fedcc.federation import flower_compat  # isort: split

import numpy as np
import torch
from _meter import Meter
from flwr.app import Context, Message
from flwr.proto.message_pb2 import Message as MessageProto

from fedcc import config
from fedcc.errors import Interrupted
from fedcc.federation import opening, site_round
from fedcc.federation.aggregation import RoundStore
from fedcc.federation.client_app import build_client_app
from fedcc.federation.grid import FIRST_NODE, InProcessGrid
from fedcc.federation.messages import ROUND
from fedcc.federation.prepared import PreparedRun, prepare_new
from fedcc.federation.progress import silent
from fedcc.federation.reply_schedule import ReplySchedule
from fedcc.federation.server_app import AggregatorRecord, build_server_app
from fedcc.federation.settings import simulation_settings
from fedcc.federation.simulation import utc_now
from fedcc.federation.site_opening import open_site
from fedcc.federation.site_parts import AppliedNote, UploadNote, Watch
from fedcc.privacy.ledger import Ledger

OUTPUTS = 31  # intents of the generated world; a linear head has as many weights a feature
ROWS_PER_SITE = 60  # about half of the generated ones consent and are not test rows
OPENING = "finish"  # a run of one round opens its sum in the last exchange
TRAINING, TAKEN_OFF, DISK = "training and noise", "noise taken off", "disk"
SET_ASIDE: tuple[tuple[Any, str, str], ...] = (
    (site_round, "starting_point", TRAINING),  # the model before the first step
    (site_round, "private_sum", TRAINING),
    (site_round, "noised_update", TRAINING),  # gradients, noise in parts, rounding
    (site_round, "apply_sum", TRAINING),  # the step of the model
    (opening, "opened_noise", TAKEN_OFF),  # parts of the noise that were not needed
    (site_round, "save_state", DISK),
    (Ledger, "reserve", DISK),
    (Ledger, "settle", DISK),
    (RoundStore, "start_epoch", DISK),
    (RoundStore, "start_attempt", DISK),
    (RoundStore, "close_round", DISK),
)


def start_meter(label: str) -> Meter:
    """Return a meter of this process that sets aside what is no encryption."""
    meter = Meter(label)
    for owner, name, part in SET_ASIDE:
        meter.set_aside(owner, name, part)
    return meter


def _written(message: Message) -> bytes:
    content: bytes = flower_compat.message_to_proto(message).SerializeToString()
    return content


def _read(content: bytes) -> Message:
    return flower_compat.message_from_proto(MessageProto.FromString(content))


def serve_site(run: PreparedRun, index: int, wire: Connection, folder: Path) -> None:
    """Be one site until no further exchange is named; then send the readings."""
    watch = Watch()
    site = open_site(run, index, watch, utc_now)
    app = build_client_app({index: site}, ReplySchedule(seconds=None))
    context = flower_compat.new_context(FIRST_NODE + index, {"partition-id": index})
    meter = start_meter("waiting")

    def keep_update(note: UploadNote) -> None:
        np.save(folder / f"update-{index}.npy", note.update)

    def keep_opened(note: AppliedNote) -> None:
        with meter.aside("check"):
            np.save(folder / f"opened-{index}.npy", note.gradient_sum + note.opened_noise)

    watch.on_upload, watch.on_applied = keep_update, keep_opened
    while exchange := wire.recv_bytes().decode():
        content = [wire.recv_bytes()]
        with meter.at(exchange):
            reply = _written(app(_read(content.pop()), context))
        wire.send_bytes(reply)
        del reply
    wire.send(meter.readings() | {"refused": [str(error) for error in watch.refusals]})
    site.close()


class SiteProcesses:
    """Stands where the sites' app stands in a simulation; every site is a forked process."""

    def __init__(self, run: PreparedRun, folder: Path) -> None:
        """Start all sites, then the aggregator's meter."""
        fork = multiprocessing.get_context("fork")
        self.up: Counter[str] = Counter()
        self.down: Counter[str] = Counter()
        self._wires: list[Connection] = []
        self._processes = []
        for index in range(len(run.plan.sites)):
            here, there = fork.Pipe()
            arguments = (run, index, there, folder)
            self._processes.append(fork.Process(target=serve_site, args=arguments, daemon=True))
            self._processes[-1].start()
            self._wires.append(here)
        self.meter = start_meter("setup")

    def __call__(self, message: Message, context: Context) -> Message:
        """Carry one message to its site and the reply back."""
        exchange = message.metadata.message_type.removeprefix("query.")
        self.meter.switch(exchange)
        request = _written(message)
        wire = self._wires[int(context.node_config["partition-id"])]
        with self.meter.at("waiting"):
            wire.send_bytes(exchange.encode())
            wire.send_bytes(request)
            reply = wire.recv_bytes()
        self.down[exchange] += len(request)
        self.up[exchange] += len(reply)
        return _read(reply)

    def end(self) -> list[dict[str, Any]]:
        """Stop every site and return its readings."""
        for wire in self._wires:
            wire.send_bytes(b"")
        found = [wire.recv() for wire in self._wires]
        for process in self._processes:
            process.join()
        return found


def overrides(options: dict[str, Any], folder: str) -> list[str]:
    """Return the settings of a run whose model has at least the wanted number of parameters."""
    rows = max(600, ROWS_PER_SITE * options["sites"])
    return [
        f"run.dir={folder}/run",
        f"sites={options['sites']}",
        f"rounds={options['rounds']}",
        f"crypto={options['crypto']}",
        f"crypto.lanes={options['lanes']}",
        f"data.source.rows={rows}",
        f"data.public_rows={rows // 2}",
        f"encoder.dimension={-(-options['parameters'] // OUTPUTS)}",
        *("task=intent", "training=full_batch", "data.partition=iid", "data.min_rows=5"),
        *("encoder=hashing", "encoder.centre=none", "cache=none"),
        *("seed=1", "federation.timeout_seconds=3600"),
    ]


def run_once(options: dict[str, Any]) -> dict[str, Any]:
    """Run one round, or of a longer run the set-up alone, and return all readings."""
    vectors = Path(options["folder"])
    with tempfile.TemporaryDirectory() as folder:
        values = config.compose("simulate", overrides(options, folder))
        run = prepare_new(simulation_settings(values), values, utc_now, silent)
        _ = run.site_keys  # created before the sites part, or each would make its own
        server = build_server_app(
            run.plan,
            run.settings.federation,
            store_folder=run.folder.aggregator_store,
            wire_file=run.folder.wire,
            record=AggregatorRecord(),
            should_stop=lambda: run.plan.rounds > 1,
        )
        processes = SiteProcesses(run, vectors)
        grid = InProcessGrid(processes, len(run.plan.sites))  # type: ignore[arg-type]
        with suppress(Interrupted):  # that is how a run ends after its set-up
            server(grid, flower_compat.new_context(0, {}))
        aggregator = processes.meter.readings()
        sites = processes.end()
    if refused := [site["refused"] for site in sites if site["refused"]]:
        raise RuntimeError(f"a site refused: {refused[0]}")
    found = _readings(aggregator, sites, processes) | {"parameters": run.plan.n_parameters}
    return found | ({"wrong": _wrong(vectors, run)} if run.plan.rounds == 1 else {})


def _wrong(folder: Path, run: PreparedRun) -> int:
    """Return how many coordinates some site opened wrongly; write the vectors for the peer."""
    steps, total, wrong = run.plan.steps_per_unit, np.int64(0), 0
    for index in range(len(run.plan.sites)):
        update = np.load(folder / f"update-{index}.npy")
        np.save(folder / f"vector-{index}.npy", (update / steps).astype(np.float32))
        total = total + update
    for index in range(len(run.plan.sites)):
        opened = np.load(folder / f"opened-{index}.npy")
        wrong += int(np.count_nonzero(np.rint(opened * steps) != total))
    return wrong


def _readings(
    aggregator: dict[str, Any], sites: list[dict[str, Any]], wire: SiteProcesses
) -> dict[str, Any]:
    """Return the means over the sites, and what the aggregator did as a whole."""
    n_sites, setup = len(sites), set(wire.up) - {*ROUND, OPENING}
    peaks = {"site": max(site["MB"] for site in sites), "aggregator": aggregator["MB"]}
    found: dict[str, Any] = {"sites": n_sites, "MB": peaks}
    for clock in ("wall", "cpu"):
        spent: Counter[str] = Counter()
        for site in sites:
            spent.update({key: value / n_sites for key, value in site[clock].items()})
        adding = Counter(aggregator[clock])
        found[clock] = {
            "encrypt": sum(spent[kind] for kind in ROUND if kind != "verify"),
            "verify": spent["verify"],  # one site adds all uploads again; mean over the sites
            # The sum is written once, as the peer does; a network sends it to every site.
            "aggregate": sum(adding[kind] for kind in ROUND) + adding[OPENING] / n_sites,
            "decrypt": spent[OPENING],
            **{part: spent[part] for part in (TRAINING, TAKEN_OFF, DISK)},
            "setup of a site": sum(spent[kind] for kind in setup),
            "setup of the aggregator": sum(adding[kind] for kind in ("setup", *setup)),
        }
    for way, counted in (("up", wire.up), ("down", wire.down)):
        parts = {kind: counted[kind] / n_sites for kind in (*ROUND, OPENING)}
        found[way] = parts | {"setup": sum(counted[kind] for kind in setup) / n_sites}
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(run_once(json.loads(sys.argv[1]))))
