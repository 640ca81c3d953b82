"""`fedcc run submit`: the admin signs a plan, which each site then decides on."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from fedcc import config
from fedcc.cli.parts import add_command, add_part, print_result
from fedcc.cli.unlocking import add_unlock_options, unlocked

EXAMPLES = """\
examples:
  fedcc run submit hub --owner north-telco --reason "retention offers, spring" \\
      data=calls rounds=40 privacy=balanced --config-dir mine
                                        writes hub/plans/RUN.plan.json, which sites may approve

Takes the keys of `fedcc simulate`; sites and organisations come from the consortium's roster.
Nothing is trained or sent by this command. Exit codes: 0 ok, 2 usage or a plan that no site admits,
6 a file was altered or signed by somebody else.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its parts to the parser."""
    parts = add_command(commands, "run", "submit a run for the sites' approval", EXAMPLES)
    submit = add_part(
        parts, "submit", "make a signed plan", run_submit, folder="the aggregator's folder"
    )
    submit.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for fedcc simulate")
    submit.add_argument("--config-dir", type=Path, metavar="DIR", help="your own options")
    submit.add_argument("--owner", required=True, metavar="NAME", help="who wants the model")
    submit.add_argument("--reason", required=True, metavar="TEXT", help="what for, in one line")
    submit.add_argument("--quorum", type=int, metavar="N", help="sites that must sign the release")
    submit.add_argument("--valid-days", type=float, metavar="N", help="see configs/submission.yaml")
    add_unlock_options(submit)


def run_submit(args: argparse.Namespace) -> int:
    """Make, sign and write a plan."""
    from fedcc.crypto.consortium import trusted_roster
    from fedcc.crypto.private_files import create_new
    from fedcc.crypto.statements import read_public
    from fedcc.deployment.aggregator_file import AggregatorHome
    from fedcc.federation.plans.differences import summary
    from fedcc.federation.plans.signed_plan import Submission, plan_file
    from fedcc.federation.plans.submission import submit

    home = AggregatorHome.open(args.folder)
    roster_file = read_public(home.roster)
    trusted_roster(roster_file, str(home.roster), home.values.admin.fingerprint)
    said = config.read_yaml(config.config_root() / "submission.yaml")
    said |= {"owner": args.owner, "reason": args.reason}
    given = {"release_quorum": args.quorum, "valid_days": args.valid_days}
    said |= {key: value for key, value in given.items() if value is not None}
    wanted = config.build(Submission, said, "submission")
    values = config.compose("simulate", args.overrides, args.config_dir)
    signed, warnings = submit(values, roster_file, wanted, datetime.now(UTC))
    path = home.plans / f"{signed.plan.run}.plan.json"
    create_new(path, plan_file(signed, unlocked(home.admin_key, args)), mode=0o644)
    record = {
        "run": signed.plan.run,
        "sha256": signed.sha256,
        "plan": str(path),
        "warnings": list(warnings),
    }
    lines = [*summary(signed), f"plan        {path}"]
    lines += [f"WARNING: {text}" for text in warnings]
    return print_result(record, "\n".join(lines), as_json=args.json)
