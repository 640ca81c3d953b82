"""Seconds of an exchange on premise, TLS and node keys on, beside Flower as it comes.

    python simulations/benchmarks/onpremise_exchange.py [--sites 3] [--exchanges 8] [--rounds 5]

Both sides send one small question to every site and wait for all answers, with the same
certificate and node keys on one machine: `fedcc aggregator run` and `fedcc site run` here;
`flower-superlink` with its SQLite file, `flower-supernode` and `flwr run` with their own settings
there. The first exchange, which also ships the run, is left out. Then fedcc's own rounds follow:
upload, sign, verify and unmask of a small churn model with everything on.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flwr.app import Message
from flwr.serverapp import Grid, ServerApp

sys.path.insert(0, str(Path(__file__).parent.parent))
from _drill import Drill  # noqa: E402
from _stock_flower import stock_flower  # noqa: E402

from fedcc.federation.flower_runs import SuperLink  # noqa: E402
from fedcc.federation.messages import Parcel  # noqa: E402
from fedcc.federation.service.places import Places  # noqa: E402

RESULTS = Path(__file__).parent.parent / "results"

CLIENT = """\
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp
app = ClientApp()
@app.query("join")
def answer(message, context):
    reply = RecordDict({"fields": ConfigRecord({"refused": "unavailable"})})
    return Message(reply, reply_to=message)
"""
SERVER = """\
import json, pathlib, time
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp
app = ServerApp()
@app.main()
def main(grid, context):
    while len(list(grid.get_node_ids())) < SITES: time.sleep(0.2)
    seconds = []
    for number in range(EXCHANGES):
        began = time.perf_counter()
        content = RecordDict({"fields": ConfigRecord({"run": "echo"})})
        nodes = grid.get_node_ids()
        sent = [Message(content, n, "query.join", group_id=str(number)) for n in nodes]
        replies = list(grid.send_and_receive(sent, timeout=120))
        assert len(replies) == SITES and all(r.has_content() for r in replies)
        seconds.append(time.perf_counter() - began)
    pathlib.Path(RESULT).write_text(json.dumps(seconds))
"""


def here(drill: Drill, exchanges: int) -> list[float]:
    """Return the seconds of each exchange with fedcc's processes, which must be running."""
    seconds: list[float] = []
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Any) -> None:
        content = Parcel({"run": "echo"}).to_record()
        for _ in range(exchanges):
            began = time.perf_counter()
            sent = [Message(content, number, "query.join") for number in grid.get_node_ids()]
            replies = list(grid.send_and_receive(sent, timeout=120.0))
            assert len(replies) == len(drill.made.sites)
            seconds.append(time.perf_counter() - began)

    places = Places(drill.made.hub / "state" / "running")
    with SuperLink(places.port(), places.secret.read_bytes()) as link:
        run = link.start_run()
        link.carry_out(run, app, poll=0.02, wait=60.0, on_lost=lambda node: None)
    return seconds


def stock(drill: Drill, exchanges: int) -> list[float]:
    """Return the seconds of each exchange with Flower's own programs."""
    result = drill.root / "seconds.json"
    server = SERVER.replace("SITES", str(len(drill.made.sites)))
    server = server.replace("EXCHANGES", str(exchanges)).replace("RESULT", repr(str(result)))
    with stock_flower(drill) as flower:
        flower.run("echo", {"server": server, "client": CLIENT})
        drill.wait(result.exists, "Flower's own run ends", 60.0 + 40.0 * exchanges)
        time.sleep(0.5)
        return [float(value) for value in json.loads(result.read_text())]


def row(name: str, seconds: Sequence[float]) -> str:
    """Return one line of the table."""
    best, middle = min(seconds), statistics.median(seconds)
    return f"| {name} | {best:.2f} | {middle:.2f} | {max(seconds):.2f} |"


def main() -> None:
    """Measure both and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=3)
    parser.add_argument("--exchanges", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "onpremise_exchange.txt")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # services and namespaces end too
    script = "simulations/benchmarks/onpremise_exchange.py"
    lines = [f"$ python {script} {' '.join(sys.argv[1:])}".strip(), ""]
    lines.append(f"{args.sites} sites, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    lines += ["", "| seconds of | best | median | most |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        drill = Drill.prepare(Path(folder) / "bench", args.sites, args.rounds)
        plans = drill.made.hub / "plans"
        held = plans.rename(plans.with_name("plans-held"))
        drill.start_all()
        try:
            for name in ("hub", *drill.made.sites):
                drill.wait(
                    lambda name=name: [x["event"] for x in drill.log(name)].count("ready") > 1,
                    f"{name} is ready",
                )
            lines.append(row("an exchange, fedcc", here(drill, args.exchanges + 1)[1:]))
            print("\n".join(lines), flush=True)
            held.rename(plans)
            drill.wait(drill.outcome, "the run ends", 600.0)
            took = [float(line["seconds"]) for line in drill.attempts()]
            lines.append(row("a round of fedcc (4 exchanges)", took))
            print(lines[-1], flush=True)
        finally:
            drill.close()
        lines.append(row("an exchange, stock Flower 1.41", stock(drill, args.exchanges + 1)[1:]))
        print(lines[-1], flush=True)
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
