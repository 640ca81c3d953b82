"""`fedcc plan`: what a run would cost and who would refuse it, before anything is spent."""

import argparse
import json
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fedcc
from fedcc import config
from fedcc.cli.data import map_lines
from fedcc.cli.display import metric_label, size
from fedcc.errors import ConfigError
from fedcc.governance.unit_words import unit_words

if TYPE_CHECKING:
    from fedcc.federation.forecast import Forecast

EXAMPLES = """\
examples:
  fedcc plan                                         the default run: churn, 5 sites, epsilon 1
  fedcc plan sites=20 privacy=balanced               20 sites, epsilon 3
  fedcc plan ledger.dir=ledgers                      what each site spent, and who would refuse
  fedcc plan task=intent data=banking77 sites=20     no weights and no rows are opened
  fedcc plan --rows --config-dir mine data=calls     also opens the data and counts the gates
  fedcc plan --runs experiments privacy.epsilon=2    accuracy of earlier runs of the same plan
  fedcc plan --json rounds=40                        keys: see fedcc/federation/forecast_record.py

Takes the keys of `fedcc simulate` (`fedcc simulate --help` lists them). Nothing is trained, charged
or written. Bytes are computed and hold to the byte for a run without void attempts; seconds and
memory are estimates; accuracy is that of earlier runs or unknown, never guessed.
exit codes: 0 it would run, else the code that the run would end with: 2 settings, 3 data,
4 budget of a ledger, 5 policy of a site, 6 a broken ledger.
"""
WIDTH = 28


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "plan",
        help="show what a run would cost and who would refuse it, before anything is spent",
        description="Show noise, the three epsilons, bytes, an estimate of seconds and what each "
        "site's ledger has left, before anything is spent.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for fedcc simulate")
    parser.add_argument("--config-dir", type=Path, metavar="DIR", help="your own options")
    parser.add_argument("--rows", action="store_true", help="open the data and count the gates")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="earlier runs (default runs)"
    )
    parser.add_argument("--json", action="store_true", help="print the forecast as JSON")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.set_defaults(run_command=run_plan)


def run_plan(args: argparse.Namespace) -> int:
    """Print the forecast; the exit code is that of the run."""
    from fedcc.federation.forecast_record import forecast_record

    if len(config.sweep_points(args.overrides)) > 1:
        raise ConfigError("a list of values such as seed=1,2: fedcc plan looks at one run a call.")
    found = fedcc.plan(
        args.overrides, config_dir=args.config_dir, runs=args.runs, open_rows=args.rows
    )
    record = forecast_record(found)
    if args.json:
        print(json.dumps(record, indent=2))
    else:
        print("\n".join(_lines(record, found)))
    if found.error is not None:
        if args.debug:
            raise found.error
        print(f"fedcc: {found.error}", file=sys.stderr)
    return found.exit_code


def _lines(record: dict[str, Any], found: "Forecast") -> list[str]:
    """Return the forecast as lines of text."""
    pairs = [
        ("would run", "yes" if record["would_run"] else f"no, exit code {record['exit_code']}"),
        *_privacy(record),
        *_noise(record),
        *_bytes(record),
        *_expectations(record),
    ]
    if record["unsafe"]:
        pairs.append(("UNSAFE", ", ".join(record["unsafe"])))
    if record["seeded"]:
        pairs.append(("seeded", "the noise is repeatable: such a model is not for release"))
    lines = [f"{label:{WIDTH}s}{text}" for label, text in pairs]
    lines += ["", *_sites(record), ""]
    lines += ([] if found.rows is None else map_lines(found.rows)) + _gates(record)
    lines += [f"note: {text}" for text in record["notes"]]
    return lines + [f"WARNING: {text}" for text in record["warnings"]]


def _privacy(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the target and the three epsilons."""
    target, privacy = record["target"], record["privacy"]
    if privacy["epsilon"] is None:
        return [("epsilon", "none: no noise, no guarantee")]
    coalition = f"claim: up to {privacy['tolerated_collusion']} colluding site(s)"
    if "outsiders_only" in record["unsafe"]:
        coalition = "claim: the aggregator, which reads single updates"
    lines = [
        (
            "target",
            f"epsilon {target['epsilon']:g}, delta {target['delta']:g}, per {unit_words(privacy)}",
        ),
        ("epsilon", f"{'outsider':>10s}{'claim':>10s}{'all others':>12s}   ({coalition})"),
    ]
    whens = (
        ("after_rounds", f"{record['rounds']} rounds"),
        ("after_retries", f"and {record['reserved_retries']} retries"),
    )
    n_min, sites = privacy["min_sites"], record["data"]["sites"]
    survivors = [("all_sites", f"all {sites} sites" + (" (n_min)" if n_min == sites else ""))]
    if n_min < sites:
        survivors.insert(0, ("n_min_survivors", f"{n_min} survivors (n_min)"))
    for when, label in whens:
        for key, who in survivors:
            three = record["epsilons"][when][key]
            numbers = (
                f"{three['outsider']:10.4f}{three['claim']:10.4f}{three['everyone_else']:12.4f}"
            )
            lines.append((f"  {label}", f"{numbers}   {who}"))
    return lines


def _noise(record: dict[str, Any]) -> list[tuple[str, str]]:
    noise, privacy = record["noise"], record["privacy"]
    lines = [("clip", f"{privacy['max_grad_norm']:g} per {privacy['unit']} (L2)")]
    if privacy["noise"] == "none":
        return lines
    attempts = record["rounds"] + record["reserved_retries"]
    lines += [
        (
            "noise",
            f"{privacy['noise']}, multiplier {noise['multiplier']:.4f}; one site's part has "
            f"variance {noise['share_variance']:.4f} (sd {noise['share_sd']:.4f}) per coordinate"
            + _kept(noise),
        ),
        (
            "steps",
            f"full batch; {attempts} attempts fit the target at this noise: "
            f"{record['rounds']} rounds and {record['reserved_retries']} retries",
        ),
    ]
    for row in record["noise_by_rounds"]:
        mark = "  (this plan)" if row["rounds"] == record["rounds"] else ""
        text = f"multiplier {row['noise_multiplier']:8.4f}, sd of one part {row['share_sd']:8.4f}"
        lines.append((f"  {row['rounds']} rounds", f"{text}{mark}"))
    return lines


def _kept(noise: dict[str, Any]) -> str:
    if noise["kept_variance"] == noise["share_variance"]:
        return ""
    return f", of which {noise['kept_variance']:.4f} stays when no site drops out"


def _bytes(record: dict[str, Any]) -> list[tuple[str, str]]:
    crypto, traffic = record["crypto"], record["traffic"]
    counted = sum(site["bytes"] is not None for site in record["sites"])
    scheme = crypto["scheme"] + (
        f", {crypto['profile']}, {crypto['lanes']} parameters a slot" if crypto["profile"] else ""
    )
    sizes = {key: size(value) for key, value in traffic.items() if isinstance(value, int)}
    return [
        ("encryption", f"{scheme}; {crypto['model_parameters']} parameters"),
        ("bytes a round", f"up {sizes['round_up']}, down {sizes['round_down']}, {counted} sites"),
        (
            "bytes of the run",
            f"up {sizes['run_up']}, down {sizes['run_down']}, {counted} sites, set-up included",
        ),
    ]


def _expectations(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Return seconds, memory and accuracy."""
    seconds, memory, accuracy = record["seconds"], record["memory"], record["accuracy"]
    told = f"({seconds['basis']})"
    if seconds["per_round"] is not None:
        told = f"{seconds['per_round']:.3f} a round, {seconds['rounds']:.1f} in all {told}"
    value = f"unknown: no completed run of this plan in {accuracy['searched']}"
    if accuracy["mean"] is not None:
        spread = f"{accuracy['least']:.4f} to {accuracy['most']:.4f}"
        several = f"mean of {accuracy['runs']} earlier runs of this plan, {spread}"
        told_by = several if accuracy["runs"] > 1 else "one earlier run of this plan"
        value = f"{accuracy['mean']:.4f} ({told_by}; simulator, in {accuracy['searched']})"
    at_least = f"at least {size(memory['at_least_bytes'])} (libraries, features, one round)"
    return [
        ("seconds", told),
        ("memory", at_least),
        (f"test {metric_label(accuracy['metric'])}", value),
    ]


def _sites(record: dict[str, Any]) -> list[str]:
    """Return what each site's ledger says and what it sends; sites in a row that agree share one
    line."""
    lines = [
        f"{'site':20s}{'spent':>9s}{'after':>9s}{'budget':>9s}{'attempts':>10s}{'retries':>9s}"
        f"{'up':>11s}{'down':>11s}  takes part"
    ]
    for text, group in groupby(record["sites"], key=_site):
        names = [site["name"] for site in group]
        name = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        lines.append(f"{name:20s}{text}")
    refusals = [(site["name"], site["refusal"]) for site in record["sites"] if site["refusal"]]
    return lines + [f"{name} refuses: {refusal['reason']}" for name, refusal in refusals]


def _site(site: dict[str, Any]) -> str:
    numbers = [site[key] for key in ("epsilon_spent", "epsilon_after_rounds", "budget")]
    cells = "".join(f"{'none' if n is None else format(n, '.4f'):>9s}" for n in numbers)
    left = "no limit" if site["attempts_left"] is None else str(site["attempts_left"])
    loads = site["bytes"]
    up, down = ("", "") if loads is None else (size(loads["run_up"]), size(loads["run_down"]))
    refusal = site["refusal"]
    part = "yes" if refusal is None else f"NO, {refusal['kind']}"
    return f"{cells}{left:>10s}{site['retries_affordable']:>9d}{up:>11s}{down:>11s}  {part}"


def _gates(record: dict[str, Any]) -> list[str]:
    basis = record["data"]["consent_basis"]
    return [f"consent basis: {basis}"] if basis is not None else []
