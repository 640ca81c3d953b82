"""Encrypted sums: a whole round of fedcc beside NVFlare's homomorphic encryption, and a pad alone.

Same updates, same machine, one thread of work at a time; every role is a process of its own. Of
fedcc the aggregator, the sites and all messages of a real round are measured, with envelopes,
signatures, masks, self masks and openings; of NVFlare its own encryptor, aggregator and decryptor
with their default parameters. Bytes are whole messages. Seconds are processor seconds (wall clock
in brackets), best of the repeats; the machine may be busy. Memory is growth above loaded libraries.

NVFlare lives in a virtual environment of its own:

    python -m venv nvflare
    nvflare/bin/pip install 'nvflare==2.9.*' tenseal==0.3.18 numpy
    python simulations/benchmarks/he_vs_nvflare.py --peer-python nvflare/bin/python

`encrypt` and `decrypt` are means over the sites; `verify` is the site that adds the uploads again,
spread over all; `aggregate` is the aggregator's whole round. The rest of a round (`training and
noise`, `noise taken off`, `disk`) has no counterpart at the peer and stands below the table.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "he_vs_nvflare.txt"
EPOCH = 20  # rounds for which one-time keys are dealt in one go, see configs/crypto/bfv.yaml
STEPS = ("encrypt", "verify", "aggregate", "decrypt")
COLUMNS = ("up B/param", "down B/param", *(f"{step} s" for step in STEPS))
COLUMNS += ("site MB", "aggregator MB", "error")
BARS = {"encrypt": 3.0, "aggregate": 8.0, "decrypt": 2.0}  # times faster than the peer
MEMORY_BAR = 3.0
BYTES = {(100_000, 2): 4.35, (1_000_000, 2): 4.1, (100_000, 3): 3.05, (1_000_000, 3): 2.8}

Row = dict[str, Any]


def child(python: str, script: str, *words: str) -> Row:
    """Run one part in a process of its own and return its readings."""
    done = subprocess.run([python, "-W", "ignore", str(HERE / script), *words], capture_output=True)
    if done.returncode:
        sys.exit(f"{script} {' '.join(words)} failed:\n{done.stderr.decode()[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def fedcc_round(folder: str, parameters: int, sites: int, **choice: Any) -> Row:
    """Run one round of fedcc, or the set-up of an epoch."""
    options = {"folder": folder, "parameters": parameters, "sites": sites}
    options |= {"crypto": "bfv", "lanes": 2, "rounds": 1, **choice}
    found = child(sys.executable, "_he_round.py", json.dumps(options))
    if found.get("wrong") and options["crypto"] == "bfv":
        sys.exit(f"{found['wrong']} coordinates were opened wrongly: {options}")
    size = found["parameters"]
    found["up B/param"] = sum(v for k, v in found["up"].items() if k != "setup") / size
    found["down B/param"] = sum(v for k, v in found["down"].items() if k != "setup") / size
    found["error"] = "exact" if options["crypto"] == "bfv" else "float"
    return found


def nvflare_round(python: str, folder: str, parameters: int, sites: int, tensors: int) -> Row:
    """Run NVFlare's four roles on the updates that a round of fedcc left in the folder."""
    words = (folder, str(tensors), str(sites))
    roles = ("provision", "encrypt", "aggregate", "decrypt")
    parts = {role: child(python, "_he_peer.py", role, *words) for role in roles}
    up = sum((Path(folder) / f"upload-{index}").stat().st_size for index in range(sites)) / sites
    row: Row = {"up B/param": up / parameters, "error": f"{parts['decrypt']['error']:.0e}"}
    row["down B/param"] = (Path(folder) / "download").stat().st_size / parameters
    for clock in ("wall", "cpu"):
        row[clock] = {step: parts[step][clock][step] for step in roles[1:]}
        row[clock]["encrypt"] /= sites
    site = max(parts["encrypt"]["MB"], parts["decrypt"]["MB"])
    return row | {"MB": {"site": site, "aggregator": parts["aggregate"]["MB"]}}


def pad_round(folder: str, sites: int, lanes: int, ours: Row) -> Row:
    """Run the pad on the updates of the folder; everything but the payload is as in `ours`."""
    found = child(
        sys.executable,
        "_he_pad.py",
        json.dumps({"folder": folder, "sites": sites, "lanes": lanes}),
    )
    small = sum(ours["up"][kind] for kind in ("sign", "verify", "unmask", "recover", "finish"))
    found["up B/param"] = (found["upload"] + small) / ours["parameters"]
    found["down B/param"] = found["download"] / ours["parameters"]
    found["cpu"]["encrypt"], found["wall"]["encrypt"] = (
        found[clock]["encrypt"] / sites for clock in ("cpu", "wall")
    )
    return found | {"MB": None, "error": "wrong" if found["wrong"] else "exact"}


def best(runs: Sequence[Row]) -> Row:
    """Return the first run with the least of each of its seconds and peaks over the repeats."""
    row = dict(runs[0])
    for part in ("wall", "cpu", "MB"):
        if row[part] is not None:
            row[part] = {key: min(run[part][key] for run in runs) for key in row[part]}
    return row


def cells(name: str, row: Row) -> str:
    """Return one line of the table."""
    seconds = [
        f"{row['cpu'][s]:.3f} ({row['wall'][s]:.3f})" if s in row["cpu"] else "-" for s in STEPS
    ]
    peaks = [f"{row['MB'][who]:.0f}" if row["MB"] else "-" for who in ("site", "aggregator")]
    sizes = [f"{row['up B/param']:.3f}", f"{row['down B/param']:.2f}"]
    return "| " + " | ".join([name, *sizes, *seconds, *peaks, row["error"]]) + " |"


def compare(args: argparse.Namespace, parameters: int) -> dict[str, Row]:
    """Measure every method in turns; return its best figures."""
    runs: dict[str, list[Row]] = {}
    for _ in range(args.repeat):
        with tempfile.TemporaryDirectory() as folder:
            for lanes in (2, 3):
                ours = fedcc_round(folder, parameters, args.sites, lanes=lanes)
                turn = {f"fedcc, {lanes} lanes": ours}
                turn[f"pad only, {lanes} lanes"] = pad_round(folder, args.sites, lanes, ours)
                size = ours["parameters"]
                for tensors in (6, 1) if lanes == 2 and args.peer_python else ():
                    peer = nvflare_round(args.peer_python, folder, size, args.sites, tensors)
                    turn[f"NVFlare, {tensors} tensor{'s' * (tensors > 1)}"] = peer
                for name, row in turn.items():
                    runs.setdefault(name, []).append(row)
            textbook = fedcc_round(folder, parameters, args.sites, crypto="ckks")
            runs.setdefault("fedcc, plain float CKKS, no masks", []).append(textbook)
    return {name: best(found) for name, found in runs.items()}


def verdicts(parameters: int, rows: dict[str, Row]) -> list[str]:
    """Return the goals, and by how much each of NVFlare's figures exceeds those of fedcc."""
    goals = [f"{step} >= {bar:g}x" for step, bar in BARS.items()]
    goals += [f"memory of {who} >= {MEMORY_BAR:g}x" for who in ("site", "aggregator")]
    lines = ["| lanes | bytes up | to | " + " | ".join(goals) + " |", "|---" * 8 + "|"]
    for lanes in (2, 3):
        ours, bar = rows[f"fedcc, {lanes} lanes"], BYTES.get((parameters, lanes), math.inf)
        sent = f"{ours['up B/param']:.3f} <= {bar:g}{_mark(ours['up B/param'] <= bar)}"
        for name in [name for name in rows if name.startswith("NVFlare")]:
            peer, found = rows[name], []
            for step, wanted in BARS.items():
                cpu, wall = (peer[c][step] / ours[c][step] for c in ("cpu", "wall"))
                found.append(f"{cpu:.1f} ({wall:.1f}){_mark(min(cpu, wall) >= wanted)}")
            for who in ("site", "aggregator"):
                ratio = peer["MB"][who] / ours["MB"][who]
                found.append(f"{ratio:.1f}{_mark(ratio >= MEMORY_BAR)}")
            lines.append(f"| {lanes} | {sent} | {name} | {' | '.join(found)} |")
    return lines


def _mark(holds: bool) -> str:
    return "" if holds else " MISSED"


def besides(name: str, row: Row) -> str:
    """Return what else a round costs, and the set-up of an epoch, in one sentence."""
    parts = ("training and noise", "noise taken off", "disk")
    spent = ", ".join(f"{part} {row['cpu'][part]:.3f} s" for part in parts)
    return f"{name}: besides, at each site: {spent} (processor)."


def curve(args: argparse.Namespace) -> list[str]:
    """Measure a round and the set-up of an epoch at several numbers of sites."""
    lines = [
        "| sites | up B/site | down B/site | site s | aggregator s | set-up up | set-up down |"
    ]
    lines[0] += " set-up site s | set-up aggregator s |"
    lines.append("|---" * 9 + "|")
    table: dict[int, list[float]] = {}
    for sites in args.curve:
        with tempfile.TemporaryDirectory() as folder:
            row = fedcc_round(folder, args.curve_parameters, sites)
            epoch = fedcc_round(folder, args.curve_parameters, sites, rounds=EPOCH)
        spent = row["cpu"]
        table[sites] = [
            row["up B/param"] * row["parameters"],
            row["down B/param"] * row["parameters"],
            spent["encrypt"] + spent["verify"] + spent["decrypt"],
            spent["aggregate"],
            epoch["up"]["setup"],
            epoch["down"]["setup"],
            epoch["cpu"]["setup of a site"],
            epoch["cpu"]["setup of the aggregator"],
        ]
        figures = [f"{value:,.0f}" if value > 100 else f"{value:.3f}" for value in table[sites]]
        lines.append("| " + " | ".join([str(sites), *figures]) + " |")
        print(lines[-1], flush=True)
    low, high = min(table), max(table)
    pairs = zip(table[low], table[high], strict=True)
    slopes = [f"{math.log(end / start) / math.log(high / low):.2f}" for start, end in pairs]
    return [*lines, "| sites^p, p = | " + " | ".join(slopes) + " |"]


def machine() -> str:
    """Return what the seconds were measured on."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, load average {load}."


def main() -> None:
    """Parse, measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", help="interpreter with NVFlare; without it, no peer")
    parser.add_argument("--parameters", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--sites", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--curve", type=int, nargs="*", default=[3, 10, 32, 100])
    parser.add_argument("--curve-parameters", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    words = [word for word in sys.argv[1:] if word != str(args.out)]
    chosen = [word for word in words if not word.startswith("--out")]
    lines = [f"$ python simulations/benchmarks/he_vs_nvflare.py {' '.join(chosen)}", machine()]
    for parameters in args.parameters:
        rows = compare(args, parameters)
        size = rows["fedcc, 2 lanes"]["parameters"]
        lines += ["", f"{size:,} parameters, {args.sites} sites, best of {args.repeat}", ""]
        lines += ["| | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
        lines += [cells(name, row) for name, row in rows.items()]
        lines += ["", *(besides(name, rows[name]) for name in rows if name.startswith("fedcc"))]
        lines += ["", *verdicts(parameters, rows), machine()]
        print("\n".join(lines), flush=True)
    if args.curve:
        title = f"By number of sites, {args.curve_parameters:,} parameters, 2 lanes; an epoch has"
        lines += ["", f"{title} {EPOCH} rounds and the reserved retries", ""]
        lines += [*curve(args), machine()]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
