"""Faults at random times on real processes: what becomes of the run, and how soon it goes on.

    python simulations/drills/onpremise_faults.py [--drills 13] [--sites 4] [--rounds 8] [--seed 0]

One aggregator and its sites run with `fedcc aggregator run` and `fedcc site run` over TLS, each in
a network namespace of its own where that is allowed. In each drill a run is submitted and one fault
happens at a random moment of it: a site, its node, its resident process, the aggregator, its
SuperLink or its process of runs is killed, a site's network is cut and joined again, a site is
frozen for a while, a disk is full for a while, a clock is two hours off, the server's certificate
expires until the admin renews it, or a site's training raises an exception. A service that was
killed whole is started again as systemd would do; nothing else is done by hand. Afterwards every
sum that a site applied must be that of what its survivors added, to the last integer; every site
must hold the same model to the bit, its ledger one charge for each upload, every service must still
run, and nothing of the exception's text may be at the aggregator.
"""

import argparse
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from _drill import Drill, site_names  # noqa: E402
from _faults import FAULTS, prepared  # noqa: E402
from _namespaces import namespaces  # noqa: E402
from _site_hooks import SECRET_TEXT  # noqa: E402
from _sums import wrong_sum  # noqa: E402

RESULTS = Path(__file__).parent.parent / "results"


def noticed(drill: Drill, site: str, struck: datetime) -> float | None:
    """Return the seconds until the aggregator noticed that a site was lost, if it did."""
    for line in drill.log("hub"):
        if line["event"] == "lost" and line["site"] == site:
            seconds = (datetime.fromisoformat(line["time"]) - struck).total_seconds()
            if seconds > 0:
                return seconds
    return None


def play(drill: Drill, fault: str, site: str, delay: float) -> tuple[datetime, float, float, int]:
    """Play one fault in a run that goes on.

    Returns:
        When it struck; seconds from then to the next round that closed, and to the next one with
        all sites (or the end of the run); how many attempts were void.
    """
    n_sites = len(drill.made.sites)
    drill.wait(lambda: len(drill.attempts()) >= 1, "the first round closes")
    time.sleep(delay)
    before, struck, when = len(drill.attempts()), time.monotonic(), datetime.now(UTC)
    FAULTS[fault](drill, site)

    def closed(least: int) -> bool:
        after = drill.attempts()[before:]
        # An attempt that was under way when the fault came says nothing.
        return any(line["closed"] and len(line["cohort"]) >= least for line in after[1:])

    drill.wait(lambda: closed(1) or drill.outcome(), "a round closes after the fault")
    first = time.monotonic() - struck
    drill.wait(lambda: closed(n_sites) or drill.outcome(), "all sites take part again")
    everybody = time.monotonic() - struck
    drill.wait(drill.outcome, "the run ends")
    return when, first, everybody, sum(not line["closed"] for line in drill.attempts())


def check(drill: Drill) -> str:
    """Return what is wrong after a run, or an empty text."""
    if drill.outcome() != "completed":
        return f"outcome {drill.outcome()}"
    try:
        n_sites = len(drill.made.sites)
        drill.wait(lambda: len(drill.models()) == n_sites, "every site writes its model", 60.0)
    except TimeoutError as error:
        return str(error)
    time.sleep(2.0)
    if len(set(drill.models().values())) != 1:
        return "different models"
    if wrong := wrong_sum(drill.seen, drill.signed.plan.steps_per_unit):
        return wrong
    for site in drill.made.sites:
        charges = drill.charges(site)
        if len(charges) != len(set(charges)):
            return f"{site}: charged twice"
        if not drill.uploads_seen(site) <= set(charges):
            return f"{site}: an upload was not charged"
    ended = [name for name, service in drill.services.items() if service.poll() is not None]
    if ended:
        return f"{', '.join(ended)}: needs a person"
    for path in [drill.root / "hub.log", *(drill.made.hub / "state").rglob("*")]:
        if path.is_file() and SECRET_TEXT.encode() in path.read_bytes():
            return f"an exception's text is in {path.name}"
    return ""


def play_all(
    drill: Drill, faults: Sequence[str], args: argparse.Namespace, lines: list[str]
) -> int:
    """Play faults one after another, each in a run of its own; return how many ended badly."""
    failed, rng = 0, random.Random(args.seed)
    drill.start_all()
    try:
        for number, fault in enumerate(faults):
            site, delay = rng.choice(drill.made.sites), rng.uniform(0.0, 3.0)
            site = drill.made.sites[-1] if "clock" in fault else site
            if number:
                drill.submit(args.rounds)
            try:
                struck, first, everybody, void = play(drill, fault, site, delay)
                wrong, seconds = check(drill), noticed(drill, site, struck)
            except TimeoutError as error:
                first = everybody = float("nan")
                void, wrong, seconds = 0, str(error), None
            failed += bool(wrong)
            seen = "" if seconds is None else f"{seconds:.1f}"
            lines.append(
                f"| {fault} | {site} | {seen} | {first:.1f} | {everybody:.1f} | {void} | "
                f"{len(drill.models())} of {args.sites} | {wrong or 'ok'} |"
            )
            print(lines[-1], flush=True)
    finally:
        drill.close()
    return failed


def by_fault(lines: Sequence[str]) -> list[str]:
    """Return a table of median and worst times of each fault, from the lines of the drills."""
    times: dict[str, list[list[float]]] = {}
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 8 and cells[0] in FAULTS:
            seen = times.setdefault(cells[0], [[], [], []])
            for column, cell in zip(seen, cells[2:5], strict=True):
                column += [float(cell)] if cell else []
    table = [
        "| fault | drills | noticed, s | next round, s | all sites, s |",
        "|---|---|---|---|---|",
    ]
    for fault, columns in times.items():
        found = [f"{statistics.median(c):.1f} ({max(c):.1f})" if c else "" for c in columns]
        table.append(f"| {fault} | {len(columns[1])} | {' | '.join(found)} |")
    return ["Median (worst) of each fault:", "", *table]


def main() -> None:
    """Run the drills and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--drills", type=int, help="default: each fault once")
    parser.add_argument("--sites", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--seed", type=int, help="of order, moments and victims; drawn by default")
    parser.add_argument("--out", type=Path, default=RESULTS / "onpremise_faults.txt")
    args = parser.parse_args()
    if args.seed is None:
        args.seed = random.SystemRandom().randrange(1 << 16)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # services and namespaces end too
    lines = [f"$ python simulations/drills/onpremise_faults.py {' '.join(sys.argv[1:])}".strip()]
    lines += ["", f"seed {args.seed}"]
    lines += [
        "",
        "| fault | at | noticed, s | next round, s | all sites, s | void | models at | verdict |",
    ]
    lines += ["|---|---|---|---|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    names = ("hub", *site_names(args.sites))
    with tempfile.TemporaryDirectory() as folder, namespaces(names) as places:
        drill = Drill.prepare(Path(folder) / "drill", args.sites, args.rounds, places)
        with prepared(drill) as allowed:
            faults = [fault for fault in args.faults if allowed.allows(fault)]
            random.Random(args.seed).shuffle(faults)
            played = [faults[i % len(faults)] for i in range(args.drills or len(faults))]
            failed = play_all(drill, played, args, lines)
    closing = [
        "",
        f"{len(played) - failed} of {len(played)} drills ended well",
        "",
        *by_fault(lines),
    ]
    print("\n".join(closing))
    lines += closing
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
