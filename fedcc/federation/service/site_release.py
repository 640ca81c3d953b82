"""A site's part in the release of a model: it keeps the candidate, tests it, signs, and counts.

The verdict is formed once and kept, so that it says one bit about the held-out rows however often
it is asked for. Where there is a test, the ledger is charged before a row is scored.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedcc.crypto.key_file import Identity
from fedcc.crypto.statements import read_public
from fedcc.deployment.site_file import SiteHome
from fedcc.errors import ProtocolError
from fedcc.federation.messages import Parcel
from fedcc.federation.plans.release import Verdict, check_release, verdict_file
from fedcc.federation.plans.released import CANDIDATE, MODEL, release_model
from fedcc.federation.plans.signed_plan import SignedPlan
from fedcc.federation.service.site_model import model_bytes, write_model
from fedcc.federation.service.site_rows import SiteRows
from fedcc.federation.site_round import Site
from fedcc.models.heads import build_module
from fedcc.privacy.ledger import Charge
from fedcc.privacy.policy import load_policy
from fedcc.privacy.release_test import passes, release_event
from fedcc.rng import byte_source
from fedcc.training.checkpoints import write_whole
from fedcc.training.evaluate import logits, probabilities

VERDICT = "verdict.json"


@dataclass
class RunAtSite:
    """The run that is open at a site."""

    signed: SignedPlan
    site: Site
    rows: SiteRows
    folder: Path

    @property
    def is_complete(self) -> bool:
        """Whether the model is that of the last round, or no attempt is left for another one."""
        state, plan = self.site.state, self.signed.plan
        if state is None:
            return False
        is_spent = self.site.last_entry >= plan.max_attempts
        return state.rounds_applied == plan.rounds or is_spent or (self.folder / CANDIDATE).exists()


def keep_candidate(run: RunAtSite) -> None:
    """Keep the complete model where nothing uses it yet; nothing changes once it is released.

    Raises:
        OSError: if it cannot be written.
    """
    if run.site.state is None or (run.folder / CANDIDATE).exists():
        return
    plan = run.signed.plan
    used = len(run.site.ledger.used(plan.run))
    write_model(run.folder, plan, run.rows, run.site.state, used)


def give_verdict(run: RunAtSite, home: SiteHome, identity: Identity, now: datetime) -> Parcel:
    """Return this site's signed verdict on its candidate.

    Raises:
        ProtocolError: if there is no complete model, or the test was charged before and its answer
            was lost: it is never asked twice.
        BudgetExceeded: if the ledger does not admit the test.
    """
    path = run.folder / VERDICT
    if not run.is_complete or not (run.folder / CANDIDATE).exists():
        raise ProtocolError("this site does not hold the complete model")
    if not path.exists():
        digest = hashlib.sha256((run.folder / CANDIDATE).read_bytes()).hexdigest()
        verdict: Verdict = "release" if _tested(run, home, now) else "reject"
        write_whole(path, verdict_file(run.signed, digest, verdict, identity, now))
    # Public: one bit, noised and charged where it depends on rows.
    return Parcel({"verdict": path.read_bytes()})


def _tested(run: RunAtSite, home: SiteHome, now: datetime) -> bool:
    """Return whether the model passes this site's test; true where it asks for none."""
    test, plan = home.values.release, run.signed.plan
    rows, state = run.rows.held, run.site.state
    if test.minimum_accuracy is None or test.epsilon is None or state is None:
        return True
    if rows is None:
        raise ProtocolError("release.minimum_accuracy needs held-out rows, and there are none")
    event = release_event(
        minimum=test.minimum_accuracy,
        epsilon=test.epsilon,
        delta=load_policy(home.policy).delta,
        rows_per_unit=plan.max_interactions,
        sites_per_unit=plan.max_sites_per_customer,
        unit=plan.unit,
    )
    charge = Charge(
        event=event,
        run=f"{plan.run}-release",
        round_number=1,
        attempt=1,
        purpose=plan.purpose,
        planned_sites=len(plan.sites),
        session=plan.sha256,
    )
    run.site.ledger.reserve(charge, now=now)
    scores = logits(build_module(plan.shape), state.released(), rows.features)
    hits = int((probabilities(scores).argmax(axis=1) == rows.labels).sum())
    answer = passes(hits, len(rows), test.minimum_accuracy, event, byte_source(None))
    run.site.ledger.settle(charge, now=now)
    return answer


def take_release(run: RunAtSite, home: SiteHome, request: Parcel) -> Parcel:
    """Count the verdicts of the sites, and make the model usable if they are enough.

    A site that got the model from others cannot know that it is the last; the verdicts say so.

    Raises:
        TooFewSites: if they are not.
        FedccError: if the plan cannot be trusted.
    """
    if not (run.folder / MODEL).exists():
        verdicts = request.parts("verdicts")
        if not (run.folder / CANDIDATE).exists() and run.site.state is not None:
            digest = hashlib.sha256(model_bytes(run.signed.plan, run.site.state)).hexdigest()
            check_release(run.signed, digest, verdicts, run.signed.roster.identities())
            keep_candidate(run)
        plan = read_public(home.plans / f"{run.signed.plan.run}.plan.json")
        admin = home.values.aggregator.admin_fingerprint
        release_model(run.folder, plan, admin, verdicts)
    # Public: whether this site counted enough signatures, which the aggregator can count too.
    return Parcel({"released": 1})
