"""The operator's desk at a site: plans that came in, what was decided, and deciding.

Plans lie in the site's state folder as they came, one file a run, and are never overwritten. All
that a decision depends on is read afresh each time, so an edited policy counts at once. A plan
brings the roster it was made for; with a person's approval the site takes a newer one over.
"""

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from fedcc.crypto.consortium import Roster, read_roster
from fedcc.crypto.key_file import Identity, read_key
from fedcc.crypto.private_files import create_new
from fedcc.crypto.statements import check_name, read_public
from fedcc.deployment.files import locked, replace_file
from fedcc.deployment.own_data import own_data
from fedcc.deployment.site_file import SiteHome
from fedcc.errors import ConfigError, FedccError, ProtocolError
from fedcc.federation.plans.decisions import (
    WORDS,
    Action,
    Decision,
    Decisions,
    check_approved,
    last_approved,
    last_of,
    read_decisions,
)
from fedcc.federation.plans.differences import differences, roster_changes
from fedcc.federation.plans.network_load import network_load
from fedcc.federation.plans.review import (
    SiteView,
    approving_rule,
    check_plan,
    trusted_identities,
)
from fedcc.federation.plans.signed_plan import SignedPlan, parse_plan, read_plan
from fedcc.federation.service.settings import service_settings
from fedcc.privacy.policy import load_policy

LEAST_DIGITS = 8  # of a plan's hash, to name it by


@dataclass(frozen=True, kw_only=True)
class PlanOnDesk:
    """A plan that came in, and how things stand with it."""

    signed: SignedPlan
    last: Decision | None
    refusal: FedccError | None  # why it could not be approved now; None if it could, or is decided
    rule: str | None  # the standing approval that would approve it
    # From the last approved plan of its task; None if there is none.
    changes: tuple[str, ...] | None
    roster_changes: tuple[str, ...]  # from the roster that is held, if this approval replaces it
    network: tuple[str, ...]  # what it asks of a limited network

    @property
    def state(self) -> str:
        """How things stand, in a word or two."""
        return WORDS[None if self.last is None else self.last.action]


class Desk:
    """What a site's operator sees and signs."""

    def __init__(self, home: SiteHome) -> None:
        """Read what the site goes by.

        Raises:
            FedccError: if roster, policy, data YAMLs or decisions cannot be read or trusted.
        """
        self.home = home
        self.mark = home.values.aggregator.admin_fingerprint
        self.roster: Roster = read_roster(home.roster, self.mark)
        site, own = home.values.site, read_key(home.identity).public
        self.trusted = trusted_identities(site, own, self.roster)
        self.view = SiteView(
            values=home.values,
            identity=own,
            roster=self.roster,
            policy=load_policy(home.policy),
            ledger=home.ledger,
            data=own_data(home.values, home.file.parent),
            decisions=tuple(read_decisions(home.decisions, site, self.trusted)),
        )

    def take(self, path: Path) -> SignedPlan:
        """Put a plan on the desk; it is not judged yet, only its signature is checked.

        Raises:
            RecordError, EnvelopeError, ProtocolError: see `read_plan`.
            ProtocolError: if another plan of its run lies there.
        """
        return self.take_content(read_public(path), str(path))

    def take_content(self, content: bytes, source: str) -> SignedPlan:
        """Put a plan on the desk that came over the network; see `take`."""
        signed = parse_plan(content, source, self.mark)
        place = self.home.plans / f"{signed.plan.run}.plan.json"
        if not place.exists():
            create_new(place, content, mode=0o644)
        elif read_public(place) != content:
            raise ProtocolError(
                f"{source}: another plan of the run {signed.plan.run} lies in {place}. A run has "
                "one plan: have it submitted anew."
            )
        return signed

    def plans(self) -> list[SignedPlan]:
        """Return all plans that came in and can be read, oldest first; see `unreadable`."""
        found = [one for one in self._files().values() if isinstance(one, SignedPlan)]
        return sorted(found, key=lambda one: (one.submitted_at, one.plan.run))

    def plan_of(self, run: str) -> SignedPlan | None:
        """Return the plan of a run, whoever names it; `None` if none came in that can be read.

        One file is read, however many plans there are: it is asked for before every round.
        """
        with suppress(FedccError):
            signed = read_plan(self.home.plans / f"{check_name(run, 'run')}.plan.json", self.mark)
            return signed if signed.plan.run == run else None
        return None

    def unreadable(self) -> dict[Path, FedccError]:
        """Return what else lies there, and why: altered, or written for another version.

        Nothing in such a file counts, and it keeps no other plan from being decided on.
        """
        found = self._files().items()
        return {path: one for path, one in found if not isinstance(one, SignedPlan)}

    def _files(self) -> dict[Path, SignedPlan | FedccError]:
        found: dict[Path, SignedPlan | FedccError] = {}
        for path in sorted(self.home.plans.glob("*.plan.json")):
            try:
                found[path] = read_plan(path, self.mark)
            except FedccError as error:
                found[path] = error
        return found

    def look(self, signed: SignedPlan, now: datetime) -> PlanOnDesk:
        """Return how things stand with a plan."""
        last = last_of(self.view.decisions, signed.plan.run)
        before = self.before(signed)
        refusal: FedccError | None = None
        rule = None
        if last is None:
            try:
                check_plan(self.view, signed, now)
                rule = self.rule_for(signed, now)[0]
            except FedccError as error:
                refusal = error
        return PlanOnDesk(
            signed=signed,
            last=last,
            refusal=refusal,
            rule=rule,
            changes=None if before is None else tuple(differences(before, signed)),
            roster_changes=()
            if last is not None or refusal is not None
            else tuple(roster_changes(self.roster, signed.roster)),
            network=() if last is not None or refusal is not None else self._network(signed),
        )

    def _network(self, signed: SignedPlan) -> tuple[str, ...]:
        values, patience = self.home.values, service_settings().timeout_seconds
        rate = values.network.max_kilobytes_per_second
        return tuple(network_load(signed.plan, values.site, rate, patience))

    def before(self, signed: SignedPlan) -> SignedPlan | None:
        """Return the last other plan of the task that was approved, if its file is still there."""
        others = [one for one in self.view.decisions if one.run != signed.plan.run]
        last = last_approved(others, signed.plan.task)
        return None if last is None else self._decided().get(last.plan_sha256)

    def _decided(self) -> dict[str, SignedPlan]:
        hashes = {one.plan_sha256 for one in self.view.decisions}
        return {one.sha256: one for one in self.plans() if one.sha256 in hashes}

    def rule_for(self, signed: SignedPlan, now: datetime) -> tuple[str | None, tuple[str, ...]]:
        """Return the standing approval that approves a plan, and why others do not.

        None does where a plan brings a newer roster: who takes part is for a person to see.
        """
        if signed.roster.sha256 != self.roster.sha256:
            return None, ("the plan brings another roster",)
        rules = self.home.values.standing_approvals
        return approving_rule(rules, signed, self.view.decisions, self._decided(), now)

    def find(self, digits: str) -> SignedPlan:
        """Return the plan whose hash begins with some digits, as `fedcc site plans` prints it.

        Raises:
            ConfigError: if there is none, or they are too few.
        """
        plans = [one for one in self.plans() if one.sha256.startswith(digits.lower())]
        if len(digits) < LEAST_DIGITS or len(plans) != 1:
            raise ConfigError(
                f"name one plan by the first {LEAST_DIGITS} or more digits of its sha256; "
                "`fedcc site plans` prints it."
            )
        return plans[0]

    def decide(
        self,
        action: Action,
        signed: SignedPlan,
        identity: Identity,
        *,
        by: str,
        reason: str,
        now: datetime,
    ) -> Decision:
        """Sign a decision; an approval only of a plan that passes every check.

        The newer roster of an approved plan takes the place of the one that was held.

        Raises:
            FedccError: why it cannot be approved, see `check_plan`.
            ProtocolError: if the plan was decided on otherwise.
            ConfigError: if the roster cannot be written; then nothing is decided.
        """
        takes = action == "approve" and signed.roster.sha256 != self.roster.sha256
        with (
            Decisions(self.home.decisions, self.home.values.site, identity, self.trusted) as record,
            locked(self.home.roster) if takes else nullcontext(),
        ):
            if action == "approve":
                # Who decides may have looked some time ago.
                held = read_roster(self.home.roster, self.mark)
                view = replace(self.view, roster=held, decisions=record.all)
                check_plan(view, signed, now)
                if takes:
                    replace_file(self.home.roster, signed.roster_file)
            return record.decide(action, signed, by=by, reason=reason, now=now)

    def decide_by_rule(
        self, signed: SignedPlan, identity: Identity, now: datetime
    ) -> Decision | None:
        """Approve a plan that a standing approval admits; `None` if it waits for a person.

        Raises:
            FedccError: if the plan does not pass the checks.
        """
        check_plan(self.view, signed, now)
        rule = self.rule_for(signed, now)[0]
        if rule is None:
            return None
        why = "standing approval"
        return self.decide("approve", signed, identity, by=f"rule {rule}", reason=why, now=now)

    def check_approved(self, signed: SignedPlan) -> Decision:
        """Return the approval under which a run goes on; see `decisions.check_approved`."""
        return check_approved(self.home.decisions, self.home.values.site, self.trusted, signed)


def on_desk(desk: Desk, now: datetime) -> Sequence[PlanOnDesk]:
    """Return all plans with how things stand with them, oldest first."""
    return [desk.look(signed, now) for signed in desk.plans()]
