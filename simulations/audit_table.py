"""Claimed against empirical epsilon on BANKING77: sound runs, planted bugs, membership, inversion.

    python simulations/audit_table.py --root /path/to/data

A run is attacked `--seeds` times with fresh noise, canaries and coins; the level of each test (5 %)
and the number of guesses are fixed beforehand. The table says how often the Gaussian-channel bound
exceeds a true claim (about 1 in 20 is right), how near it comes, and what a bound from one run
without assumptions gives. Then the same audit on runs into which a bug was planted, at three sites;
the claim held against is that of an outsider, who knows nobody's noise. Few rounds keep it short:
noise is calibrated to the whole run, so epsilon is the same.
"""

import tempfile
from argparse import Namespace
from pathlib import Path

import numpy as np
from _planted_bugs import BUGS
from _tables import RESULTS, Table, command_of, scenario_parser

import fedcc
from fedcc.attacks.canary_audit import CanaryAudit, ObserverResult, audit_with_canaries
from fedcc.attacks.leakage import invert_uploads
from fedcc.attacks.membership import infer_membership
from fedcc.attacks.settings import CanarySettings, InversionSettings, MembershipSettings
from fedcc.federation.replay import FinishedRun, open_finished
from fedcc.privacy.accounting import Observer

NAME = "audit_table"
LEVEL = 0.05


def finished(args: Namespace, folder: str, epsilon: str, sites: int) -> FinishedRun:
    """Run once and read the run back."""
    path = Path(folder) / f"run-{epsilon}-{sites}"
    overrides = ["task=intent", "data=banking77", f"data.path={args.root / 'banking77'}"]
    overrides += [f"sites={sites}", f"rounds={args.rounds}", f"privacy.epsilon={epsilon}"]
    overrides += ["privacy.reserved_retries=0", "run.report=false", "seed=1", f"run.dir={path}"]
    result = fedcc.simulate([*overrides, *args.overrides])
    if result.error is not None:
        raise result.error
    return open_finished(path)


def audits(run: FinishedRun, canaries: int, seeds: int) -> list[CanaryAudit]:
    """Attack a run once a seed."""
    settings = CanarySettings(count=canaries, repeats=1)
    return [audit_with_canaries(run, settings, level=LEVEL, seed=seed) for seed in range(seeds)]


def add_row(table: Table, name: str, who: Observer, found: list[CanaryAudit]) -> None:
    """Add what some audits found against one observer."""
    results: list[ObserverResult] = [audit.observers[who] for audit in found]
    lower = np.array([result.channel.epsilon_lower for result in results])
    claimed = results[0].claimed
    table.add(
        name,
        who,
        f"{claimed:.3f}",
        f"{found[0].canaries}",
        f"{np.mean([result.noise_found for result in results]):.1%}",
        f"{np.mean([result.channel.epsilon for result in results]):.3f}",
        f"{lower.mean():.3f}",
        f"{lower.min():.3f} .. {lower.max():.3f}",
        f"{int((lower > claimed).sum())} of {len(lower)}",
        f"{np.mean([result.one_run.epsilon_lower for result in results]):.2f}",
        f"{results[0].one_run_expected:.2f}",
    )


def other_attacks(args: Namespace, run: FinishedRun, epsilon: float) -> list[str]:
    """Return what membership inference and inversion find."""
    settings = MembershipSettings(records=1000, shadows=args.shadows, rounds=300)
    found = infer_membership(run, settings, epsilon=epsilon, level=LEVEL, seed=1)
    notes = []
    for name, rates in ((f"epsilon {epsilon:g}", found.private), ("", found.without_privacy)):
        if rates is None:
            continue
        parts = [f"AUC {rates.auc:.3f} +- {rates.auc_error:.3f}"]
        parts += [
            f"TPR {at.found.share:.2%} [{at.found.low:.2%}, {at.found.high:.2%}] at FPR "
            f"{at.false_alarms.share:.2%} (wanted {at.wanted:.1%})"
            for at in rates.at
        ]
        notes.append(f"membership, {name or 'no privacy'}: " + ", ".join(parts))
    leak = invert_uploads(run, InversionSettings(sentences=16), seed=1)
    notes.append(
        f"inversion, 16 sentences a site among {leak.candidates}: {leak.plain.share:.1%} from "
        f"plain uploads, {leak.seen.share:.1%} from what the aggregator saw, blindly "
        f"{leak.blind_share:.1%}"
    )
    return notes


def main() -> None:
    """Parse, measure, print and write."""
    parser = scenario_parser(__doc__ or "")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--sites", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--canaries", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--bug-seeds", type=int, default=5)
    parser.add_argument("--shadows", type=int, default=24)
    args = parser.parse_args()
    columns = [
        "run",
        "observer",
        "claimed",
        "canaries",
        "noise",
        "estimate",
        "lower bound",
        "range",
    ]
    table = Table(command_of(NAME, args), [*columns, "above", "one run", "of a true claim"])
    with tempfile.TemporaryDirectory() as folder:
        for epsilon in ("1", "4", "8"):
            run = finished(args, folder, epsilon, args.sites)
            add_row(table, "sound", "claim", audits(run, args.canaries, args.seeds))
            if epsilon == "1":
                notes = other_attacks(args, run, 1.0)
        for epsilon in ("1", "4"):
            run = finished(args, folder, epsilon, 3)
            add_row(table, "sound", "outsider", audits(run, args.canaries, args.bug_seeds))
            for name, plant in BUGS.items():
                with plant():
                    found = audits(run, args.canaries, args.bug_seeds)
                add_row(table, name, "outsider", found)
        with BUGS["noise off"]():
            found = audits(run, 1000, 1)
        add_row(table, "noise off", "outsider", found)
    closing = "Bounds hold with 95 % in each test: one in twenty sound audits lies above its claim."
    table.write((args.out or RESULTS) / f"{NAME}.txt", [closing, *notes])


if __name__ == "__main__":
    main()
