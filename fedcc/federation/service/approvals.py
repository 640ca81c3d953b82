"""Which plans a site's operator approved."""

import hashlib
from pathlib import Path

from fedcc.deployment.site_file import SiteHome
from fedcc.errors import ConfigError, RecordError
from fedcc.federation.run_plan import RunPlan


def approved_plan(home: SiteHome, run: str) -> RunPlan | None:
    """Return the plan of a run that this site's operator approved, or `None`; asked at each join.

    Raises:
        RecordError: if a file of approved plans is damaged.
    """
    for path in sorted((home.state / "approved").glob("*.json")):
        plan = _read(path)
        if plan.run == run:
            return plan
    return None


def _read(path: Path) -> RunPlan:
    try:
        content = path.read_text()
        plan = RunPlan.from_json(content)
    except (OSError, ValueError, ConfigError):
        raise RecordError(f"{path} does not hold a plan. Approve the plan again.") from None
    if (
        path.stem != plan.sha256
        or hashlib.sha256(content.strip().encode()).hexdigest() != path.stem
    ):
        raise RecordError(f"{path} was altered: its name is not its hash. Approve the plan again.")
    return plan
