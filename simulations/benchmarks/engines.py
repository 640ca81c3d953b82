"""What a round costs on each engine: the same run, to the bit the same model, three ways to run it.

`fedcc simulate` trains the default churn model with a fixed seed, encryption and shared noise, each
time in its own process: in process, on Flower's Ray engine, and on Flower's SuperLink with one
SuperNode and one resident process a site (loopback). `s/round` is what the aggregator measured;
`around s` is the rest of the command: imports, data, starting and ending processes, report.
`peak MB` is the process tree's top PSS. Engines differ in waiting and processes, not in work, so
the difference to the first row is overhead. Nothing leaves the machine; Linux only.

    pip install -c constraints.txt -e '.[demo,ray]'
    python simulations/benchmarks/engines.py [--rounds 10 --repeat 2 --skip superlink]

The SuperLink is left out above `--superlink-sites` sites: it needs two processes a site.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from exchange_overhead import tree_pss_mb

ENGINES = ("inprocess", "ray", "superlink")


def measure(engine: str, sites: int, rounds: int, more: list[str]) -> dict[str, Any]:
    """Run one engine in a process of its own; returns its figures and its model's hash."""
    with TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        settings = [f"engine={engine}", f"sites={sites}", f"rounds={rounds}", "seed=1"]
        command = [sys.executable, "-m", "fedcc", "simulate", "--json", *settings, *more]
        started, peak = time.monotonic(), 0.0
        with (Path(folder) / "output").open("w+") as output:
            child = subprocess.Popen([*command, f"run.dir={run}"], stdout=output)
            while child.poll() is None:
                peak = max(peak, tree_pss_mb(child.pid))
                time.sleep(0.5)
        total = time.monotonic() - started
        if child.returncode:
            sys.exit(f"{engine} with {sites} sites failed; see the messages above")
        lines = (run / "metrics.jsonl").read_text().splitlines()
        seconds = [float(json.loads(line)["seconds"]) for line in lines]
        model = hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()
    return {"seconds": seconds, "around": total - sum(seconds), "peak": peak, "model": model}


def figures(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Return the row of one engine; the best values are the least disturbed ones."""
    seconds = [second for run in runs for second in run["seconds"]]
    return {
        "best s/round": min(seconds),
        "median s/round": median(seconds),
        "around s": min(run["around"] for run in runs),
        "peak MB": max(run["peak"] for run in runs),
    }


def compare(sites: int, args: argparse.Namespace) -> None:
    """Measure all engines in turns with one number of sites and print their table."""
    engines = [name for name in ENGINES if name not in args.skip]
    if sites > args.superlink_sites:
        engines = [name for name in engines if name != "superlink"]
    before = os.getloadavg()[0]
    turns = [
        {name: measure(name, sites, args.rounds, args.settings) for name in engines}
        for _ in range(args.repeat)
    ]
    load = f"load {before:.1f} to {os.getloadavg()[0]:.1f}"
    models = {turn[name]["model"] for turn in turns for name in engines}
    rows = {name: figures([turn[name] for turn in turns]) for name in engines}
    base = rows[engines[0]]
    title = f"{sites} sites, {args.repeat} x {args.rounds} rounds"
    print(f"{title:32}", *(f"{name:>15}" for name in base))
    for name, row in rows.items():
        print(f"{name:32}", *(f"{value:15.4g}" for value in row.values()))
        ratio = f"  : {engines[0]}"
        print(f"{ratio:32}", *(f"{row[key] / base[key]:14.1f}x" for key in base))
    same = "the same model to the bit" if len(models) == 1 else f"{len(models)} DIFFERENT models"
    print(f"{same}; {load}\n", flush=True)


def main() -> None:
    """Measure and print; settings of `fedcc simulate` may follow the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="of fedcc simulate")
    parser.add_argument("--sites", type=int, nargs="+", default=[3, 10])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--superlink-sites", type=int, default=3, help="at most")
    parser.add_argument("--skip", nargs="*", choices=ENGINES[1:], default=[])
    args = parser.parse_args()
    for sites in args.sites:
        compare(sites, args)


if __name__ == "__main__":
    main()
