"""`fedcc data`: draft a data YAML from a file, look at a data set, generate a synthetic one."""

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fedcc import config
from fedcc.cli import data_generate
from fedcc.errors import ConfigError

if TYPE_CHECKING:
    from fedcc.data.inspection import DataMap

DRAFT_EXAMPLES = """\
examples:
  fedcc data draft calls.csv --task intent                      print a first YAML
  fedcc data draft customers.csv --task churn --out mine/data/customers.yaml
  fedcc simulate --config-dir mine data=customers data.path=customers.csv

The draft is read off private data. Before real use, agree on bounds, values and public_rows in
public and fill in the consent block: without it nothing trains. Every key is explained in
configs/data/_reference.yaml (`fedcc data draft --reference` prints it).
"""
INSPECT_EXAMPLES = """\
examples:
  fedcc data inspect                                            the default data set, 5 sites
  fedcc data inspect data=telco data.path=FILE.csv sites=10
  fedcc data inspect data=telco data.path=FILE.csv data.partition=dirichlet data.alpha=0.1
  fedcc data inspect --config-dir mine data=calls data.path=calls.csv --json

Takes the keys of `fedcc simulate` and trains nothing. The map holds counts of private rows: it is
for the owner of the data, not for sending.
"""
_SHOWN_CLASSES = 4


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its parts to the parser."""
    parser = commands.add_parser("data", help="describe, look at or generate a data set")
    parts = parser.add_subparsers(metavar="PART", required=True)
    draft = parts.add_parser(
        "draft",
        help="write a first data YAML for a file",
        description="Guess roles, bounds and values of a file's columns and write a commented YAML "
        "to edit.",
        epilog=DRAFT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    draft.add_argument("file", type=Path, nargs="?", metavar="FILE", help="CSV, JSON or JSON lines")
    draft.add_argument("--task", choices=("intent", "churn"), help="what the model shall predict")
    draft.add_argument("--out", type=Path, metavar="YAML", help="default: standard output")
    draft.add_argument("--reference", action="store_true", help="print every key, explained")
    draft.add_argument("--debug", action="store_true", help="show tracebacks")
    draft.set_defaults(run_command=run_draft)
    data_generate.add_parser(parts)
    inspect = parts.add_parser(
        "inspect",
        help="show what a run would read, leave out and deal to which site",
        description="Read a data set, pass it through all gates, split and deal it; train nothing.",
        epilog=INSPECT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inspect.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for fedcc simulate")
    inspect.add_argument("--config-dir", type=Path, metavar="DIR", help="your own options")
    inspect.add_argument("--json", action="store_true", help="print the map as JSON")
    inspect.add_argument("--debug", action="store_true", help="show tracebacks")
    inspect.set_defaults(run_command=run_inspect)


def run_draft(args: argparse.Namespace) -> int:
    """Write the draft, and say on stderr what has to be decided before it may be used."""
    from fedcc.data.drafting import draft_yaml

    if args.reference:
        path = config.config_root() / "data" / "_reference.yaml"
        print(path.read_text(encoding="utf-8"), end="")
        return 0
    if args.file is None or args.task is None:
        raise ConfigError("give a file and --task intent or --task churn.")
    draft = draft_yaml(args.file, args.task)
    if args.out is None:
        print(draft.text, end="")
    else:
        _write_new(args.out, draft.text)
    for warning in draft.warnings:
        print(f"fedcc: {warning}", file=sys.stderr)
    return 0


def _write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet: a YAML that somebody edited is never overwritten."""
    if os.path.lexists(path):
        raise ConfigError(f"--out {path} is there already; name another file.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such path can exist"
        raise ConfigError(f"--out {path} cannot be written: {reason}.") from None


def run_inspect(args: argparse.Namespace) -> int:
    """Compose the settings of a simulation, map its data and print the map."""
    from fedcc.data.inspection import inspect_data
    from fedcc.federation.protected_unit import protected_unit, public_units
    from fedcc.federation.settings import simulation_settings
    from fedcc.privacy.calibration import check_delta
    from fedcc.rng import generator

    values = config.compose("simulate", args.overrides, args.config_dir)
    settings = simulation_settings(values)
    unit = protected_unit(settings.privacy, settings.data)
    found = inspect_data(
        settings.data,
        settings.partition,
        settings.sites,
        rng=generator(settings.seed, "partition"),
        now=datetime.now(UTC),
        whole_customers=unit.is_customer,
    )
    try:
        about_delta = check_delta(settings.privacy.delta, *public_units(unit, settings.data))
    except ConfigError as error:
        about_delta = str(error)
    warnings = [*found.warnings, *filter(None, [about_delta])]
    if args.json:
        print(json.dumps({**found.as_dict(), "warnings": warnings}, indent=2))
    else:
        print("\n".join([*map_lines(found), *(f"WARNING: {text}" for text in warnings)]))
    return 0


def map_lines(found: "DataMap") -> list[str]:
    """Return the map as lines of text."""
    gates = found.gates
    width = max(len(column.name) for column in found.columns)
    lines = [f"{found.name}: {found.source}", "", "columns"]
    for column in found.columns:
        missing = f", {column.missing} empty" if column.missing else ""
        roles = ", ".join(column.roles)
        lines.append(f"  {column.name:{width}s}  {roles:16s}  {column.domain}{missing}")
    refused = [f"  {reason:24s}{count}" for reason, count in sorted(gates.refused.items())]
    unreadable = ", ".join(f"{name}: {n}" for name, n in sorted(gates.unreadable.items()))
    redacted = ", ".join(f"{kind}: {count}" for kind, count in sorted(gates.redacted.items()))
    lines += [
        "",
        "rows",
        f"  read                    {gates.rows_read}",
        f"  not kept (keep_rows)    {gates.not_kept}",
        *refused,
        f"  clamped values          {gates.clamped}",
        f"  unreadable numbers      {unreadable or 'none'}",
        f"  first of several labels {gates.first_label_taken}",
        f"  training                {found.train_rows} (public_rows {found.public_rows})",
        f"  test                    {found.test_rows}",
        f"  held, out of scope      {found.held_rows}",
        f"  redactions              {redacted or 'none'}",
        "",
        "sites",
    ]
    for site in found.sites:
        largest = sorted(site.rows_per_class.items(), key=lambda item: -item[1])
        shares = [f"{name} {count / site.rows:.0%}" for name, count in largest if count]
        more = f", {len(shares) - _SHOWN_CLASSES} more" if len(shares) > _SHOWN_CLASSES else ""
        lines.append(f"  {site.name:8s}{site.rows:8d}  {', '.join(shares[:_SHOWN_CLASSES])}{more}")
    return [*lines, ""]
