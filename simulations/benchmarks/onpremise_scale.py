"""Seconds of a round and memory of the aggregator, by number of real sites, beside stock Flower.

    python simulations/benchmarks/onpremise_scale.py [--sites 3 10] [--rounds 5] [--categories 50]

Every site is a service of its own on this machine, with TLS and node keys. fedcc trains its small
churn model with everything on (`fedcc aggregator run`, `fedcc site run`). Stock Flower (its own
SuperLink with SQLite, SuperNodes and `flwr run`, all with their own settings) averages a vector of
as many float32 by FedAvg; its sites add a constant. Memory is the most that the aggregator's
processes held together (proportional set size, sampled), in rounds; the slope is what each further
site adds. `--categories` widens the model.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from _drill import SPEC, Drill  # noqa: E402
from _memory import Memory  # noqa: E402
from _stock_flower import stock_flower  # noqa: E402

RESULTS = Path(__file__).parent.parent / "results"
AT_ONCE = 3  # sites that start together; more would only wait for the processor

CLIENT = """\
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
app = ClientApp()
@app.train()
def train(message, context):
    [values] = message.content["arrays"].to_numpy_ndarrays()
    content = RecordDict({"arrays": ArrayRecord([values + 1]),
                          "metrics": MetricRecord({"num-examples": 1})})
    return Message(content, reply_to=message)
"""
SERVER = """\
import json, pathlib, time
import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
app = ServerApp()
ended, answered = [], []
class Timed(FedAvg):
    def aggregate_train(self, server_round, replies):
        replies = list(replies)
        answered.append(sum(reply.has_content() for reply in replies))
        found = super().aggregate_train(server_round, replies)
        ended.append(time.perf_counter())
        return found
@app.main()
def main(grid, context):
    while len(list(grid.get_node_ids())) < SITES: time.sleep(0.2)
    strategy = Timed(fraction_evaluate=0.0, min_train_nodes=SITES, min_available_nodes=SITES)
    began = time.perf_counter()
    note = {"answered": answered}
    try:
        found = strategy.start(grid, ArrayRecord([np.zeros(SIZE, np.float32)]), num_rounds=ROUNDS)
        [values] = found.arrays.to_numpy_ndarrays()
        note["right"] = bool(np.allclose(values, ROUNDS))  # each site's constant is in each mean
    except Exception as error:
        note["error"] = f"{type(error).__name__}: {error}"
    note["seconds"] = [b - a for a, b in zip([began, *ended], ended)]
    pathlib.Path(RESULT + ".new").write_text(json.dumps(note))
    pathlib.Path(RESULT + ".new").rename(RESULT)
"""


def fedcc_rounds(drill: Drill) -> tuple[list[float], float]:
    """Return seconds of each round and megabytes of fedcc's aggregator."""
    drill.start("hub")
    try:
        for first in range(0, len(drill.made.sites), AT_ONCE):
            started = drill.made.sites[first : first + AT_ONCE]
            for site in started:
                drill.start(site)
            for site in started:
                drill.wait(lambda site=site: _is_ready(drill, site), f"{site} is ready")
        drill.wait(drill.attempts, "a round closes", 600.0)
        memory = Memory(drill.services["hub"].pid)
        drill.wait(drill.outcome, "the run ends", 1200.0)
        held = memory.close()
        if drill.outcome() != "completed":
            raise SystemExit(f"fedcc's run ended as {drill.outcome()}")
        return [float(line["seconds"]) for line in drill.attempts()[1:]], held
    finally:
        drill.close()


def _is_ready(drill: Drill, name: str) -> bool:
    return [line["event"] for line in drill.log(name)].count("ready") > 1


def stock_rounds(drill: Drill, rounds: int) -> tuple[list[float], float]:
    """Return seconds of each round and megabytes of Flower's own SuperLink and server app."""
    result = drill.root / "seconds.json"
    words = {
        "SITES": str(len(drill.made.sites)),
        "SIZE": str(drill.signed.plan.n_parameters),
        "ROUNDS": str(rounds),
        "RESULT": repr(str(result)),
    }
    server = SERVER
    for word, value in words.items():
        server = server.replace(word, value)
    with stock_flower(drill) as stock:
        time.sleep(5.0)
        memory = Memory(stock.superlink.pid)
        stock.run("mean", {"server": server, "client": CLIENT})
        drill.wait(result.exists, "Flower's own run ends", 300.0 + 120.0 * rounds)
        held = memory.close()
    note = json.loads(result.read_text())
    if note.get("right") is not True:
        print(f"Flower's own run: {note}", file=sys.stderr, flush=True)
    return [float(one) for one in note["seconds"]][1:], held


def widen(categories: int) -> None:
    """Give the made-up data a column of so many categories, so that the model is larger."""
    values = [f"c{number}" for number in range(categories)]
    SPEC["columns"]["kind"] = {
        "role": "feature",
        "kind": "category",
        "values": values,
        "missing": "c0",
    }


def main() -> None:
    """Measure both at every size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, nargs="+", default=[3, 10])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--categories", type=int, default=50)
    parser.add_argument("--out", type=Path, default=RESULTS / "onpremise_scale.txt")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    widen(args.categories)
    script = "simulations/benchmarks/onpremise_scale.py"
    lines = [f"$ python {script} {' '.join(sys.argv[1:])}".strip(), ""]
    lines += ["| sites | of | parameters | rounds | s a round, median | most | peak MB |"]
    lines += ["|---|---|---|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    held: dict[str, dict[int, float]] = {"fedcc": {}, "stock Flower 1.41": {}}
    for sites in args.sites:
        with tempfile.TemporaryDirectory() as folder:
            drill = Drill.prepare(Path(folder) / "scale", sites, args.rounds)
            for name in held:
                stock = name != "fedcc"
                seconds, megabytes = (
                    stock_rounds(drill, args.rounds) if stock else fedcc_rounds(drill)
                )
                held[name][sites] = megabytes
                times = f"{statistics.median(seconds):.2f} | {max(seconds):.2f}" if seconds else "|"
                lines.append(
                    f"| {sites} | {name} | {drill.signed.plan.n_parameters} | {len(seconds) + 1} "
                    f"| {times} | {megabytes:.0f} |"
                )
                print(lines[-1], flush=True)
    lines.append("")
    first, last = min(args.sites), max(args.sites)
    for name, by_sites in held.items():
        if first < last:
            slope = (by_sites[last] - by_sites[first]) / (last - first)
            lines.append(f"{name}: {slope:+.2f} MB of the aggregator for each further site")
    lines.append(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores at the end")
    print("\n".join(lines[-4:]))
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
