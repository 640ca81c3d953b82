"""Which plan a run at this site has, and whether it may go on: asked before every round."""

from datetime import datetime

from fedcc.crypto.key_file import Identity
from fedcc.deployment.site_file import SiteHome
from fedcc.errors import PolicyViolation
from fedcc.federation.plans.decisions import last_of
from fedcc.federation.plans.desk import Desk
from fedcc.federation.plans.review import check_addressed
from fedcc.federation.plans.signed_plan import SignedPlan


def approved_plan(home: SiteHome, run: str, identity: Identity, now: datetime) -> SignedPlan:
    """Return the plan of a run under its approval; a standing approval may give it now.

    Everything is read afresh, so a withdrawal counts from the next question on.

    Args:
        home: the site's own file.
        run: that somebody asks this site to take part in.
        identity: of this site, which signs what a standing approval decides.
        now: when.

    Raises:
        PolicyViolation: if no such plan lies here, it is not approved, or not any more.
        FedccError: if the plan, the roster or the record of decisions cannot be trusted.
    """
    desk = Desk(home)
    signed = desk.plan_of(run)
    if signed is None:
        raise PolicyViolation(
            f"no plan of the run {run} came in here. Take it over: fedcc site plans --take FILE."
        )
    if last_of(desk.view.decisions, run) is None:
        desk.decide_by_rule(signed, identity, now)
    desk.check_approved(signed)
    return signed


def check_begins(home: SiteHome, signed: SignedPlan, now: datetime) -> None:
    """Refuse to begin a run that is not addressed to this site, or whose plan holds no longer.

    Raises:
        FedccError: says why.
    """
    check_addressed(Desk(home).view, signed, now)
