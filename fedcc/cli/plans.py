"""`fedcc site plans|approve|veto|withdraw`: what a site is asked to train, and its answer."""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fedcc.cli.parts import add_part, print_result
from fedcc.cli.unlocking import add_unlock_options, unlocked

if TYPE_CHECKING:
    from fedcc.federation.plans.decisions import Action
    from fedcc.federation.plans.desk import PlanOnDesk


def add_parts(parts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the parts to the parser of `fedcc site`."""
    plans = add_part(parts, "plans", "show what plans ask for and what changed", run_plans)
    plans.add_argument(
        "--take", type=Path, metavar="FILE", help="first put this signed plan on the desk"
    )
    for name, words in (
        ("approve", "approve a plan that passes every check"),
        ("veto", "refuse a plan for good"),
        ("withdraw", "take an approval back, before the next round"),
    ):
        part = add_part(parts, name, words, run_decide)
        part.add_argument("sha256", metavar="SHA256", help="8 or more first digits, from `plans`")
        part.add_argument("--reason", required=name != "approve", metavar="TEXT", help="recorded")
        part.set_defaults(action=name)
        add_unlock_options(part)


def run_plans(args: argparse.Namespace) -> int:
    """Show every plan on the desk; the exit code is 0 whatever they ask for."""
    from fedcc.deployment.site_file import SiteHome
    from fedcc.federation.plans.desk import Desk, on_desk

    desk = Desk(SiteHome.open(args.folder))
    if args.take is not None:
        desk.take(args.take)
    found = on_desk(desk, datetime.now(UTC))
    if args.json:
        print(json.dumps([_record(one) for one in found], indent=2))
        return 0
    print("\n\n".join("\n".join(_lines(one)) for one in found) or "no plan has come in yet")
    for error in desk.unreadable().values():
        print(f"NOT READ: {error}")
    return 0


def _record(one: "PlanOnDesk") -> dict[str, object]:
    return {
        "run": one.signed.plan.run,
        "sha256": one.signed.sha256,
        "task": one.signed.plan.task,
        "owner": one.signed.owner,
        "state": one.state,
        "refusal": None if one.refusal is None else str(one.refusal),
        "refusal_exit_code": None if one.refusal is None else one.refusal.exit_code,
        "standing_approval": one.rule,
        "changes": None if one.changes is None else list(one.changes),
        "roster_changes": list(one.roster_changes),
        "network": list(one.network),
    }


def _lines(one: "PlanOnDesk") -> list[str]:
    from fedcc.federation.plans.differences import summary

    lines = [*summary(one.signed), f"state       {one.state}"]
    if one.last is not None:
        lines.append(f"            by {one.last.by} on {one.last.time}: {one.last.reason}")
    if one.refusal is not None:
        lines.append(f"CANNOT be approved: {one.refusal}")
    if one.rule is not None:
        lines.append(f"the standing approval {one.rule} admits it")
    lines += one.network
    if one.roster_changes:
        lines.append(f"brings roster {one.signed.roster_serial}, which an approval takes over:")
        lines += [f"  - {text}" for text in one.roster_changes]
    if one.changes is None:
        lines.append("no plan of this task was approved here before")
    else:
        lines.append("changes since the last approved plan of this task:")
        lines += [f"  - {text}" for text in one.changes]
    return lines


def run_decide(args: argparse.Namespace) -> int:
    """Sign and record a decision."""
    from fedcc.deployment.site_file import SiteHome
    from fedcc.federation.plans.desk import Desk
    from fedcc.federation.plans.review import check_plan

    home, now = SiteHome.open(args.folder), datetime.now(UTC)
    desk = Desk(home)
    signed = desk.find(args.sha256)
    if args.action == "approve":
        check_plan(desk.view, signed, now)  # before a passphrase is asked for
    action: Action = args.action
    done = desk.decide(
        action,
        signed,
        unlocked(home.identity, args),
        by="operator",
        reason=args.reason or "",
        now=now,
    )
    values = {"run": done.run, "sha256": done.plan_sha256, "action": done.action, "time": done.time}
    return print_result(values, f"run {done.run}: {args.action}, {done.time}", as_json=args.json)
