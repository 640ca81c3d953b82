"""What an installation takes over many rounds: memory and open files of each process, disk.

    python simulations/drills/onpremise_soak.py [--sites 3] [--rounds 200] [--marks 6]

One run on real services with TLS, on made-up data. At a few rounds every process is measured
(proportional set size), and every folder that grows. A service that is meant to run for months
must not grow with its rounds, but for its records: ledger, audit log, metrics and logs.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from _drill import Drill  # noqa: E402
from _memory import megabytes, open_files  # noqa: E402

RESULTS = Path(__file__).parent.parent / "results"
SETTLED = 10  # rounds before the first look


def taken(drill: Drill) -> dict[str, float]:
    """Return what is held now; of sites the mean."""
    found: dict[str, list[float]] = {}
    for name in ("hub", *drill.made.sites):
        part = "aggregator" if name == "hub" else "site"
        processes = {"service": drill.services[name].pid, **drill.processes(name)}
        for kind, number in processes.items():
            found.setdefault(f"{part}: {kind}, MB", []).append(megabytes(number))
            found.setdefault(f"{part}: {kind}, open files", []).append(open_files(number))
        folder = drill.made.hub if name == "hub" else drill.made.site(name)
        found.setdefault(f"{part}: disk, kB", []).append(_kilobytes(folder))
        log = drill.root / f"{name}.log"
        found.setdefault(f"{part}: log, kB", []).append(log.stat().st_size / 1000)
    return {what: sum(values) / len(values) for what, values in found.items()}


def _kilobytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1000


def table(marks: Mapping[int, Mapping[str, float]]) -> list[str]:
    """Return one line for each thing that was measured."""
    rounds = list(marks)
    if len(rounds) < 3:
        return [f"after round {number}: {dict(marks[number])}" for number in rounds]
    nan = float("nan")  # of a process that was just started again
    lines = ["| " + " | ".join(["after round", *map(str, rounds), "for 100 rounds"]) + " |"]
    lines.append("|---" * (len(rounds) + 2) + "|")
    first, last = marks[rounds[0]], marks[rounds[-1]]
    for what in first:
        values = [f"{marks[number].get(what, nan):.0f}" for number in rounds]
        # From the middle on: what is filled once, as caches are, is full by then.
        middle = rounds[len(rounds) // 2]
        rise = (last.get(what, nan) - marks[middle].get(what, nan)) / (rounds[-1] - middle) * 100
        lines.append("| " + " | ".join([what, *values, f"{rise:+.1f}"]) + " |")
    return lines


def main() -> None:
    """Run, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sites", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--marks", type=int, default=6)
    parser.add_argument("--out", type=Path, default=RESULTS / "onpremise_soak.txt")
    args = parser.parse_args()
    if args.rounds < SETTLED + args.marks or args.marks < 3:
        parser.error(f"--marks must be at least 3, and --rounds {SETTLED} more than --marks")
    step = (args.rounds - 1 - SETTLED) / (args.marks - 1)
    wanted = [round(SETTLED + step * number) for number in range(args.marks)]
    marks: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        drill = Drill.prepare(Path(folder) / "soak", args.sites, args.rounds)
        drill.start_all()
        try:
            for number in wanted:
                drill.wait(
                    lambda number=number: len(drill.attempts()) >= number or drill.outcome(),
                    f"round {number} closes",
                    300.0 + 20.0 * args.rounds,
                )
                if drill.outcome() is not None:
                    break
                marks[len(drill.attempts())] = taken(drill)
                print(f"round {number} of {args.rounds}", file=sys.stderr, flush=True)
            drill.wait(drill.outcome, "the run ends", 600.0)
            ended = drill.outcome()
        finally:
            drill.close()
    lines = [f"$ python simulations/drills/onpremise_soak.py {' '.join(sys.argv[1:])}".strip(), ""]
    lines += [f"{args.sites} sites, {args.rounds} rounds: {ended}", "", *table(marks)]
    print("\n".join(lines))
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")
    sys.exit(0 if ended == "completed" else 1)


if __name__ == "__main__":
    main()
