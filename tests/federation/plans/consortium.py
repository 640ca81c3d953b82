"""Three installed sites and a submitted plan on the small generated churn set."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from deployment.installation import NOW, UNLOCKER, Installation

from fedcc import config
from fedcc.crypto.key_file import Identity, read_key
from fedcc.crypto.statements import read_public
from fedcc.federation.plans.desk import Desk
from fedcc.federation.plans.signed_plan import SignedPlan, Submission, plan_file
from fedcc.federation.plans.submission import submit

SITE = "lisbon"
REASON = "retention offers in spring"
# The caps of the reference policy are for half a year; one run of epsilon 1 fits.
OVERRIDES = ("data=calls", "rounds=3")


def settings(calls: Path, *overrides: str) -> dict[str, Any]:
    return config.compose("simulate", [*OVERRIDES, *overrides], calls)


def signed_plan(
    made: Installation, calls: Path, *overrides: str, now: datetime = NOW, **said: Any
) -> SignedPlan:
    wanted: Mapping[str, Any] = {
        "owner": "north-telco",
        "reason": REASON,
        "valid_days": 14.0,
        "release_quorum": None,
        **said,
    }
    roster_file = read_public(made.hub.roster)
    return submit(settings(calls, *overrides), roster_file, Submission(**wanted), now)[0]


def equip(made: Installation, calls: Path, site: str = SITE, **changes: str) -> None:
    """Let a site's file name the data; `changes` maps a line's begin to the line."""
    file = made.home(site).file
    source = f"[{{name: calls, path: /nowhere.csv, config_dir: {calls}}}]"
    lines = {
        "data:": f"data: {source}",
        "allow_public_dataset:": "allow_public_dataset: true",
        **{f"{key}:": text for key, text in changes.items()},
    }
    kept = []
    for line in file.read_text().splitlines():
        begin = next((key for key in lines if line.startswith(key)), None)
        kept.append(lines[begin] if begin is not None else line)
    file.write_text("\n".join(kept) + "\n")


def desk_of(made: Installation, site: str = SITE) -> Desk:
    return Desk(made.home(site))


def send(made: Installation, signed: SignedPlan, site: str = SITE) -> SignedPlan:
    """Put a plan on a site's desk, signed by the admin."""
    return desk_of(made, site).take_content(plan_file(signed, made.admin), "plan")


def identity(made: Installation, site: str = SITE) -> Identity:
    return read_key(made.home(site).identity).unlock(UNLOCKER)


def approve(made: Installation, signed: SignedPlan, site: str = SITE, by: str = "operator") -> None:
    desk_of(made, site).decide("approve", signed, identity(made, site), by=by, reason="", now=NOW)
