"""`fedcc ledger`: what sites have spent, run by run, and whether their ledgers are whole."""

import argparse
import dataclasses
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedcc import config
from fedcc.errors import ConfigError, ProtocolError

if TYPE_CHECKING:
    from fedcc.privacy.accounting import ThreeEpsilons
    from fedcc.privacy.caps import Cap
    from fedcc.privacy.statement import Statement

EXAMPLES = """\
examples:
  fedcc ledger show runs/first                          epsilon spent per site and purpose
  fedcc ledger show ledgers --max-epsilon 8             what is left of a lifetime budget
  fedcc ledger show ledgers/site-2.jsonl --policy site.yaml --figure spent.svg
  fedcc ledger history ledgers --json                   one object per run and site
  fedcc ledger verify runs/first ledgers                chain, head and every line
  fedcc ledger policy > site.yaml                       every key of a policy, explained, to edit
  fedcc ledger policy site.yaml                         check a policy file; then try it:
  fedcc simulate site.policy=site.yaml

PATH is a run folder, a folder of ledgers (what ledger.dir= named) or a ledger file. Nothing is
locked or written but --figure. Epsilon is per protection unit at that site, over all its runs.
Three observers: the claim (up to the tolerated collusion), an outsider with the model, and all
others colluding. Delta is --delta, or the policy's, or that of the run folder, or the default.
Exit codes: 0 ok, 2 usage, 6 a ledger is not what was written (the first bad line is named).
"""
_HEADINGS = ("claim", "outsider", "all others collude")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its parts to the parser."""
    parser = commands.add_parser(
        "ledger",
        help="show and verify what sites have spent",
        description="Read privacy ledgers: what was spent on a site's customers.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = parser.add_subparsers(metavar="PART", required=True)
    for name, words, run in (
        ("show", "epsilon spent per site and purpose, and what caps leave", run_show),
        ("history", "one line per run", run_history),
        ("verify", "check chain, head and every line", run_verify),
    ):
        part = parts.add_parser(
            name,
            help=words,
            description=f"{words[0].upper()}{words[1:]}.",
            epilog=EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        part.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="see below")
        if name != "verify":
            part.add_argument("--delta", type=float, metavar="D", help="of every epsilon")
            part.add_argument("--policy", type=Path, metavar="FILE", help="a site's policy")
        if name == "show":
            part.add_argument("--max-epsilon", type=float, metavar="E", help="a lifetime cap")
            part.add_argument("--figure", type=Path, metavar="SVG", help="draw the burn-down")
        part.add_argument("--json", action="store_true", help="print JSON instead of text")
        part.add_argument("--debug", action="store_true", help="show tracebacks")
        part.set_defaults(run_command=run)
    _add_policy_parser(parts)


def _add_policy_parser(parts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    part = parts.add_parser(
        "policy",
        help="print every key of a site's policy, or check a policy file",
        description="Print the commented reference of a site's policy, or check a file.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    part.add_argument("file", type=Path, nargs="?", metavar="FILE", help="default: the reference")
    part.add_argument("--json", action="store_true", help="print the policy as JSON")
    part.add_argument("--debug", action="store_true", help="show tracebacks")
    part.set_defaults(run_command=run_policy)


def run_policy(args: argparse.Namespace) -> int:
    """Print the reference, or what a policy file admits."""
    from fedcc.privacy.policy import load_policy

    path = args.file or config.config_root() / "site_policy" / "_reference.yaml"
    if args.file is None and not args.json:
        print(path.read_text(encoding="utf-8"), end="")
        return 0
    policy = load_policy(path)
    if args.json:
        print(json.dumps(dataclasses.asdict(policy), indent=2))
    else:
        print(f"{path}: a policy for {', '.join(policy.purposes)}, delta {policy.delta:g}")
        for cap in policy.caps:
            limits = (cap.epsilon, cap.epsilon_if_all_others_collude)
            claim, alone = ("not capped" if limit is None else f"{limit:g}" for limit in limits)
            print(f"  {cap.label}: epsilon {claim}, if all others collude {alone}")
    return 0


def run_show(args: argparse.Namespace) -> int:
    """Print what is spent and left; draw it where asked to."""
    found = _statements(args, args.max_epsilon)
    if args.figure is not None:
        _write_figure(args.figure, found)
    if args.json:
        print(json.dumps([_shown(one) for one in found], indent=2))
    else:
        print("\n".join(line for one in found for line in _lines(one)))
    return 0


def run_history(args: argparse.Namespace) -> int:
    """Print one line per run and site."""
    found = _statements(args, None)
    rows = [(one, run) for one in found for run in one.runs]
    if args.json:
        objects = [
            {
                "site": one.site,
                "run": run.run,
                "purpose": run.purpose,
                "unit": run.unit,
                "first": run.first.isoformat(),
                "last": run.last.isoformat(),
                "rounds": run.rounds,
                "attempts": run.attempts,
                "settled": run.settled,
                "void": run.void,
                "delta": one.delta,
                **_epsilons(run.cost),
                "epsilon_after": _finite(run.epsilon_after),
            }
            for one, run in rows
        ]
        print(json.dumps(objects, indent=2))
        return 0
    heads = ("site", "run", "purpose", "unit", "from", "to", "attempts", "void", "claim", "after")
    table = [
        (
            one.site,
            run.run,
            run.purpose,
            run.unit,
            f"{run.first:%Y-%m-%d %H:%M}",
            f"{run.last:%Y-%m-%d %H:%M}",
            str(run.attempts),
            str(run.void),
            f"{run.cost.claim:.4g}",
            f"{run.epsilon_after:.4g}",
        )
        for one, run in rows
    ]
    print("\n".join(_columns([heads, *table])))
    return 0


def run_verify(args: argparse.Namespace) -> int:
    """Print what is wrong with each ledger; exit code 6 if anything is."""
    from fedcc.privacy.statement import faults, ledger_files

    found = faults(file for path in args.paths for file in ledger_files(path))
    if args.json:
        print(json.dumps([{"ledger": str(path), "fault": fault} for path, fault in found.items()]))
    else:
        for path, fault in found.items():
            print(f"{path}: whole" if fault is None else f"BROKEN {fault}")
    return ProtocolError.exit_code if any(found.values()) else 0


def _statements(args: argparse.Namespace, max_epsilon: float | None) -> "list[Statement]":
    from fedcc.privacy.caps import lifetime_cap
    from fedcc.privacy.policy import load_policy
    from fedcc.privacy.statement import draw_up, ledger_files

    policy = load_policy(args.policy) if args.policy is not None else None
    caps: tuple[Cap, ...] = policy.caps if policy is not None else ()
    if max_epsilon is not None:
        if not 0 < max_epsilon < math.inf:
            raise ConfigError(f"--max-epsilon must be a number > 0, got {max_epsilon:g}.")
        caps = (*caps, lifetime_cap(max_epsilon))
    if args.delta is not None and not 0 < args.delta < 1:
        raise ConfigError(f"--delta must be inside (0, 1), got {args.delta:g}.")
    given = args.delta or (policy.delta if policy is not None else None)
    now = datetime.now(UTC)
    return [
        draw_up(file, caps, given or _delta_of(path), now)
        for path in args.paths
        for file in ledger_files(path)
    ]


def _delta_of(path: Path) -> float:
    """Return the delta of a run folder's plan, or the default of `configs/`."""
    try:
        return float(json.loads((path / "plan.json").read_text())["delta"])
    except (OSError, ValueError, KeyError, TypeError):
        preset = config.read_yaml(config.config_root() / "privacy" / "_base.yaml")
        return float(preset["delta"])


def _finite(value: float) -> float | None:
    """Return `None` for what JSON cannot hold: no guarantee."""
    return value if math.isfinite(value) else None


def _epsilons(three: "ThreeEpsilons") -> dict[str, float | None]:
    """Return the three epsilons under the names of `summary.json`."""
    return {
        "epsilon": _finite(three.claim),
        "epsilon_outsider": _finite(three.outsider),
        "epsilon_if_all_others_collude": _finite(three.everyone_else),
    }


def _shown(one: "Statement") -> dict[str, Any]:
    """Return a statement as plain values."""
    return {
        "site": one.site,
        "ledger": str(one.path),
        "version": one.version,
        "delta": one.delta,
        "units": list(one.units),
        "attempts": one.attempts,
        "runs": len(one.runs),
        **_epsilons(one.total),
        "purposes": {name: _epsilons(three) for name, three in one.purposes.items()},
        "caps": [
            {
                "cap": cap.label,
                "observer": cap.observer,
                "limit": cap.limit,
                "spent": _finite(cap.spent),
                "room": cap.room,
            }
            for cap in one.caps
        ],
    }


def _lines(one: "Statement") -> list[str]:
    """Return a statement as lines of text."""
    unit = " and ".join(one.units) or "unit"
    runs = "1 run" if len(one.runs) == 1 else f"{len(one.runs)} runs"
    lines = [
        f"{one.site}: {one.attempts} charged attempts in {runs} ({one.path})",
        f"  epsilon per {unit} at this site, delta {one.delta:g}",
    ]
    rows = [("", *_HEADINGS), *((name, *_texts(three)) for name, three in one.purposes.items())]
    lines += [f"  {line}" for line in _columns([*rows, ("all purposes", *_texts(one.total))])]
    if len(one.units) > 1:
        lines.append("  units differ: the sum holds for the weakest of them, one record")
    for cap in one.caps:
        who = "" if cap.observer == "epsilon" else " if all others collude"
        if cap.room is None:
            left = f"{max(cap.limit - cap.spent, 0):.4g} below it, sampled steps among them"
        else:
            left = f"room for one more run of {cap.room:.4g}" if cap.room > 0 else "nothing is left"
        lines.append(f"  cap, {cap.label}: {cap.spent:.4g} of {cap.limit:g} spent{who}; {left}")
    return [*lines, ""]


def _texts(three: "ThreeEpsilons") -> tuple[str, str, str]:
    return f"{three.claim:.4g}", f"{three.outsider:.4g}", f"{three.everyone_else:.4g}"


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Return rows of cells as aligned lines."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _write_figure(path: Path, found: "list[Statement]") -> None:
    from fedcc.governance.ledger_figure import ledger_burn_down

    by_path = {f"{one.site} ({one.path.parent})": one for one in found}
    if len({one.site for one in found}) == len(found):
        by_path = {one.site: one for one in found}
    curves = {
        name: {
            "epsilon": [point.claim for point in one.curve],
            "epsilon_outsider": [point.outsider for point in one.curve],
            "epsilon_if_all_others_collude": [point.everyone_else for point in one.curve],
        }
        for name, one in by_path.items()
    }
    whole = [
        (cap.label, cap.limit)
        for cap in found[0].caps
        if cap.observer == "epsilon" and cap.label == "all purposes, lifetime"
    ]
    units = sorted({unit for one in found for unit in one.units})
    svg = ledger_burn_down(
        curves, whole, unit=" or ".join(units) or "unit", delta=max(one.delta for one in found)
    )
    try:
        path.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--figure {path} cannot be written: {error.strerror}.") from None
