"""`fedcc attack`: try to break the claim of a finished run."""

import argparse
import json
from pathlib import Path
from typing import Any

from fedcc import config
from fedcc.cli.display import Display

EXAMPLES = """\
examples:
  fedcc attack runs/first                           every attack that fits the run
  fedcc attack runs/first --only canaries           claimed against empirical epsilon alone
  fedcc attack runs/first --only canaries canaries.repeats=50   small models need many replays
  fedcc attack runs/first --only membership membership.shadows=64
  fedcc attack runs/first --json --out audits       attack.json and attack.svg in audits/

attacks:
  canaries    replays of the run's plan with rows of nobody, each in by a coin, through the real
              clip, noise, rounding, encryption and sum. Two numbers for each observer: a tight
              estimate that assumes a Gaussian channel, with its lower bound, and a bound from one
              run that assumes nothing (Steinke, Nasr, Jagielski 2023). Linear heads, full batches.
  membership  likelihood ratios on real records with shadow models (Carlini et al. 2022), at the
              run's epsilon and without privacy.
  inversion   the sentences behind an upload, without protection and as the aggregator saw it;
              task=intent, linear heads.

keys (defaults in configs/attack.yaml): level seed canaries.count canaries.repeats
  membership.records membership.shadows membership.rounds inversion.sentences

"noise" is the spread of the canaries' scores over that of the accounted noise; "(true claim)" is
what the bound beside it gives on average where the claim is exactly true.

A bound above its claim is marked REFUTED. Each test alone is wrong with the chance `level`, so one
of twenty sound runs is marked, too: repeat before you conclude. That no bound exceeds a claim
proves nothing. Replays charge nothing to the run's ledgers and release nothing.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "attack",
        help="try to break the claim of a finished run",
        description="Attack a finished run and write attack.json and attack.svg into its folder.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings, see below")
    parser.add_argument("--only", metavar="LIST", help="canaries, membership, inversion")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the report")
    parser.add_argument("--json", action="store_true", help="print attack.json instead of a table")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.set_defaults(run_command=run_attack)


def run_attack(args: argparse.Namespace) -> int:
    """Attack the run and print what was found."""
    from fedcc.attacks.settings import attack_settings
    from fedcc.attacks.whole_attack import FIGURE, REPORT, attack_run, parts_named

    only = None if args.only is None else parts_named(args.only)
    settings = attack_settings(config.compose("attack", args.overrides))
    with Display(quiet=args.json) as display:
        report = attack_run(args.run, settings, only=only, out=args.out, progress=display.show)
    if args.json:
        print(json.dumps(report, indent=2))
        return 0
    for line in report_lines(report):
        print(line)
    folder = args.run if args.out is None else args.out
    print(f"report     {folder / REPORT}, {folder / FIGURE}")
    return 0


def report_lines(report: dict[str, Any]) -> list[str]:
    """Return the table of an attack."""
    lines = []
    if report["canaries"] is not None:
        lines += _canary_lines(report["canaries"])
    if report["membership"] is not None:
        lines += _membership_lines(report["membership"])
    if report["inversion"] is not None:
        lines += _inversion_lines(report["inversion"])
    lines += [f"left out   {part}: {reason}" for part, reason in report["left_out"].items()]
    return lines


def _canary_lines(found: dict[str, Any]) -> list[str]:
    lines = [
        f"canaries   {found['canaries']} in {found['replays']} replay(s), each filling "
        f"{found['strength']:.1%} of the clip; bounds at level {found['level']:g}",
        f"{'observer':15s}{'claimed':>9s}{'noise':>8s}{'estimate':>10s}{'bound':>8s}"
        f"{'(true claim)':>14s}"
        f"{'one run':>9s}{'(true claim)':>14s}",
    ]
    for name, one in found["observers"].items():
        channel = one["channel"]
        lines.append(
            f"{name:15s}{_number(one['claimed']):>9s}{one['noise_found']:>8.1%}"
            f"{_number(channel['epsilon']):>10s}"
            f"{_number(channel['epsilon_lower']):>8s}{_number(one['channel_expected_lower']):>14s}"
            f"{_number(one['one_run']['epsilon_lower']):>9s}{_number(one['one_run_expected']):>14s}"
            + ("  REFUTED" if one["refuted"] else "")
        )
    return lines


def _membership_lines(found: dict[str, Any]) -> list[str]:
    models = f"{found['shadows']} models of {found['rounds']} steps"
    lines = [f"membership {found['records']} records, {models}"]
    for name, rates in (
        (f"epsilon {_number(found['epsilon'])}", found["private"]),
        ("no privacy", found["without_privacy"]),
    ):
        if rates is None:
            continue
        parts = [f"AUC {rates['auc']:.3f} +- {rates['auc_error']:.3f}"]
        parts += [
            f"TPR {at['found']['share']:.2%} [{at['found']['low']:.2%}, {at['found']['high']:.2%}] "
            f"at FPR {at['false_alarms']['share']:.2%} (wanted {at['wanted']:.1%})"
            for at in rates["at"]
        ]
        lines.append(f"{name:15s}" + "; ".join(parts))
    return lines


def _inversion_lines(found: dict[str, Any]) -> list[str]:
    return [
        f"inversion  {found['plain_share']:.1%} of a site's {found['sentences']} sentences named "
        f"among {found['candidates']} from a plain upload,",
        f"           {found['seen_share']:.1%} from what the aggregator saw; blindly "
        f"{found['blind_share']:.1%} (chance of as many: {found['seen']['chance']:.2g})",
    ]


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
