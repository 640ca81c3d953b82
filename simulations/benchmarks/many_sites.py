"""Seconds and memory of a round by number of sites, in one process, with the whole protocol.

    python simulations/benchmarks/many_sites.py [--sizes 10,30,100:all 100,300,1000:16]

A size list `K,K,…:N` runs churn on generated customers (synthetic) with K sites, each masking with
N neighbours (`all`: every other site). Every run has a process of its own; what is measured is the
mean round after the first, the start-up, and the peak memory of the process. The slope is the
exponent p of cost ~ sites^p between the first and the last size of a list.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "many_sites.txt"
ROWS_PER_SITE = 40  # generated; about 57 % of them consent to training and are not test rows
ONE_RUN = """
import json, resource, sys
import fedcc
result = fedcc.simulate(json.loads(sys.argv[1]))
if result.error is not None:
    raise result.error
lines = [json.loads(line) for line in (result.run_dir / "metrics.jsonl").read_text().splitlines()]
print(json.dumps({
    "round": sum(line["seconds"] for line in lines[1:]) / len(lines[1:]),
    "start": result.summary["timing"]["total_seconds"] - sum(line["seconds"] for line in lines),
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "up": result.summary["crypto"]["upload_bytes_total"] / len(lines),
}))
"""


def measure(sites: int, neighbours: str, rounds: int) -> dict[str, float]:
    """Run one federation in a process of its own."""
    rows = max(3000, ROWS_PER_SITE * sites)
    with tempfile.TemporaryDirectory() as folder:
        overrides = [
            "data=generated_customers",
            f"data.source.rows={rows}",
            f"data.public_rows={int(0.57 * rows)}",
            "data.partition=iid",
            "data.min_rows=5",
            f"sites={sites}",
            f"rounds={rounds}",
            f"crypto.neighbours={'null' if neighbours == 'all' else neighbours}",
            "federation.timeout_seconds=3600",
            "privacy.delta=1e-6",
            f"run.dir={folder}/run",
        ]
        command = [sys.executable, "-c", ONE_RUN, json.dumps(overrides)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Parse, measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=["10,30,100:all", "100,300,1000:16"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    lines = [
        f"$ python simulations/benchmarks/many_sites.py --sizes {' '.join(args.sizes)} "
        f"--rounds {args.rounds}",
        "",
        "| sites | neighbours | seconds a round | start and end, s | peak MB | MB up a round |",
        "|---|---|---|---|---|---|",
    ]
    print("\n".join(lines[2:]), flush=True)
    slopes = []
    for group in args.sizes:
        sizes, neighbours = group.split(":")
        found = {}
        for sites in map(int, sizes.split(",")):
            found[sites] = run = measure(sites, neighbours, args.rounds)
            lines.append(
                f"| {sites} | {neighbours} | {run['round']:.2f} | {run['start']:.1f} "
                f"| {run['peak']:.0f} | {run['up'] / 1e6:.1f} |"
            )
            print(lines[-1], flush=True)
        first, last = min(found), max(found)
        if first < last:
            scale = math.log(last / first)
            slope = math.log(found[last]["round"] / found[first]["round"]) / scale
            extra = (found[last]["peak"] - found[first]["peak"]) / (last - first)
            slopes.append(
                f"neighbours {neighbours}, {first} to {last} sites: a round costs "
                f"sites^{slope:.2f}, {extra:.2f} MB more per site"
            )
    load = f"load average {os.getloadavg()[0]:.1f} at the end"
    lines += ["", *slopes, load]
    print("\n".join(["", *slopes, load]))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
