"""What one exchange costs: a request to every site and all replies, with a trivial client.

The same ServerApp and ClientApp run on fedcc's in-process grid (plain, and isolated: each message
passes through protobuf) and on Flower's own Ray engine, in turns, each run in its own process. The
messages are fedcc's parcels: `query.upload`, small fields and one chunk of 33 kB each way. The goal
is at most 5 ms an exchange in process with 10 sites. Nothing leaves the machine; Linux only.

    pip install -c constraints.txt -e '.[ray]'
    python simulations/benchmarks/exchange_overhead.py [--sites 10 --exchanges 50 --skip-ray]

`start s` (with imports) and `engine s` (from handing over the apps) end with the first exchange,
best of repeats; best and median ms cover all later ones; `peak MB` is the process tree's top PSS.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile
from typing import Any

# First: switches off Flower's telemetry.
from fedcc.federation import flower_compat  # isort: split

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from fedcc.federation.grid import InProcessGrid
from fedcc.federation.messages import Parcel, check_reply

IN_PROCESS, ISOLATED, RAY = "in process", "in process, isolated", "Flower on Ray"
TIMEOUT = 120.0  # seconds; Ray's start is part of the first exchange
CHUNK = os.urandom(33_000)
REQUEST = Parcel({"round": 2, "attempt": 1, "cohort": "[]", "closed": "[]"}, {"aggregate": [CHUNK]})
REPLY = Parcel({"header": b"h" * 400, "signature": b"s" * 64}, {"update": [CHUNK]})


def run_engine(engine: str, sites: int, exchanges: int) -> list[float]:
    """Run the apps on one engine; returns when they were handed over and each exchange's end."""
    client, server, times = ClientApp(), ServerApp(), [time.monotonic()]

    @client.query("upload")
    def answer(message: Message, context: Context) -> Message:
        Parcel.from_record(message.content)
        return Message(REPLY.to_record(), reply_to=message)

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        while len(nodes := list(grid.get_node_ids())) < sites:
            time.sleep(0.01)
        for _ in range(1 + exchanges):
            messages = [Message(REQUEST.to_record(), node, "query.upload") for node in nodes]
            replies = list(grid.send_and_receive(messages, timeout=TIMEOUT))
            for reply in replies:
                check_reply("upload", Parcel.from_record(reply.content))
            times.append(time.monotonic())
            if len(replies) != sites:
                raise RuntimeError(f"{len(replies)} of {sites} sites answered")
        time.sleep(1.0)  # stay for a last sample of the memory

    if engine == RAY:
        from flwr.simulation import run_simulation  # deprecated, but takes the same app objects

        # One core a site: as many Ray actors as the machine has cores.
        run_simulation(server, client, sites, backend_config={"client_resources": {"num_cpus": 1}})
    else:
        grid = InProcessGrid(client, sites, isolate=engine == ISOLATED)
        server(grid, flower_compat.new_context(flower_compat.AGGREGATOR_NODE, {}))
    return times


def tree_pss_mb(root: int) -> float:
    """Return the memory of a process and all its descendants in MB."""
    parents, kilobytes, tree = {}, 0, {root}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # a process that has just ended
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
    while grown := {child for child, parent in parents.items() if parent in tree} - tree:
        tree |= grown
    for process in tree:
        with suppress(OSError, IndexError):
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
            kilobytes += int(rollup.split("Pss:")[1].split()[0])
    return kilobytes / 1024


def measure(engine: str, args: argparse.Namespace) -> dict[str, Any]:
    """Run one engine in a child process and watch its memory."""
    numbers = f"--sites={args.sites}", f"--exchanges={args.exchanges}"
    command = [sys.executable, "-Wignore", __file__, f"--engine={engine}", *numbers]
    quiet = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}  # Ray's own telemetry
    peak, started = 0.0, time.monotonic()
    with TemporaryFile("w+") as output:
        child = subprocess.Popen(command, env=quiet, stdout=output)
        while child.poll() is None:
            peak = max(peak, tree_pss_mb(child.pid))
            time.sleep(0.25)
        output.seek(0)
        if child.returncode:
            sys.exit(f"{engine} failed; see the messages above")
        return {"started": started, "times": json.load(output), "peak MB": peak}


def summarise(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Return the figures of one engine's repeats, by their headings."""
    ms = [1000 * (b - a) for run in runs for a, b in pairwise(run["times"][1:])]
    start = min(run["times"][1] - run["started"] for run in runs)
    engine = min(run["times"][1] - run["times"][0] for run in runs)
    figures = {"start s": start, "engine s": engine, "best ms": min(ms), "median ms": median(ms)}
    return {**figures, "peak MB": max(run["peak MB"] for run in runs)}


def main() -> None:
    """Measure and print; ends with exit code 2 if Ray is wanted but missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, default in (("--sites", 10), ("--exchanges", 50), ("--repeat", 3)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--skip-ray", action="store_true", help="only the in-process grid")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.engine:
        print(json.dumps(run_engine(args.engine, args.sites, args.exchanges)))
        return
    if not args.skip_ray and importlib.util.find_spec("ray") is None:
        parser.error("no Ray: pip install -c constraints.txt -e '.[ray]', or use --skip-ray")
    engines = (IN_PROCESS, ISOLATED) if args.skip_ray else (IN_PROCESS, ISOLATED, RAY)
    turns = [{engine: measure(engine, args) for engine in engines} for _ in range(args.repeat)]
    rows = {engine: summarise([turn[engine] for turn in turns]) for engine in engines}
    title = f"{args.sites} sites, {args.repeat} x {args.exchanges} exchanges"
    base = rows[IN_PROCESS]
    if args.json:
        print(json.dumps({title: rows}))
        return
    print(f"{title:32}", *(f"{name:>10}" for name in base))
    for engine, row in rows.items():
        print(f"{engine:32}", *(f"{value:10.4g}" for value in row.values()))
        print(f"{'  : in process':32}", *(f"{row[name] / base[name]:9.1f}x" for name in base))


if __name__ == "__main__":
    main()
