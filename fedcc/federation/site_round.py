"""One site: its ledger, its rows, its copy of the model, and what it answers in each exchange.

The site decides. It checks the plan before it takes part, charges its ledger before it computes,
checks every aggregate against the survivors' signatures before it decrypts, signs one survivor set
per attempt and opens its seeds only when enough survivors signed the same. Refusals are typed here
and are one code on the wire. Nothing in this module knows Flower.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from fedcc.crypto.entries import SELF, commitment
from fedcc.crypto.envelopes import seal_upload
from fedcc.crypto.keys import SiteKeys
from fedcc.errors import BudgetExceeded, EnvelopeError, FedccError, PolicyViolation, ProtocolError
from fedcc.federation import opening
from fedcc.federation.closed_round import ClosedRound, closed_rounds
from fedcc.federation.closing import check_closed
from fedcc.federation.epoch_record import EpochRecord, planned_epoch
from fedcc.federation.local_training import private_sum, starting_point
from fedcc.federation.local_update import noised_update
from fedcc.federation.membership import Membership
from fedcc.federation.messages import Exchange, Parcel, advert_to_json, roster_from_json
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.site_attempt import AttemptPart, OpenAttempt, asked_entry
from fedcc.federation.site_epoch import SiteEpochs
from fedcc.federation.site_parts import AppliedNote, SiteFiles, SiteSeconds, Watch
from fedcc.federation.site_policy import SitePolicy
from fedcc.federation.update_cipher import UpdateCipher, expected_upload
from fedcc.federation.vouching import MAX_PARAMETER, CatchingUp
from fedcc.governance.audit_log import AuditLog
from fedcc.models.update import ModelState, apply_sum
from fedcc.privacy.ledger import Charge, Ledger
from fedcc.rng import byte_source
from fedcc.tasks.task import Examples, FeatureRecipe
from fedcc.training.checkpoints import load_state, save_state
from fedcc.training.dp_sgd import PrivateSum


@dataclass(frozen=True)
class _Running:
    """What a site holds once it has accepted a plan."""

    plan: RunPlan
    sums: PrivateSum


class Site:
    """A site between its first and its last message of a run."""

    def __init__(
        self,
        name: str,
        files: SiteFiles,
        examples: Examples,
        recipe: FeatureRecipe,
        policy: SitePolicy,
        *,
        keys: SiteKeys,
        now: Callable[[], datetime],
        seed: int | None,
        watch: Watch,
    ) -> None:
        """Open the site's ledger and audit log.

        Args:
            name: of this site.
            files: its own files; an existing checkpoint and epoch key are taken up again.
            examples: its admitted training rows.
            recipe: the public recipe of their features.
            policy: what it admits.
            keys: its private keys.
            now: the clock, with a time zone.
            seed: `None` for the operating system's randomness; a number in repeatable simulations.
            watch: hooks of a simulation.
        """
        self.name = name
        self.seconds = SiteSeconds()
        self.watch = watch
        if not np.isfinite(examples.features).all():
            raise ValueError("features must be finite")
        self._files, self._policy = files, policy
        self._examples, self._recipe = examples, recipe
        self._now, self._seed = now, seed
        self.ledger = Ledger.open(
            files.ledger, caps=policy.privacy.caps, delta=policy.privacy.delta, now=now()
        )
        try:
            self._audit = AuditLog(files.audit, name)
        except BaseException:
            self.ledger.close()
            raise
        self._keys = keys
        self._members = Membership(name, keys, files.binding, policy.trusted)
        self.epochs = SiteEpochs(name, keys, files.epochs)
        self.state = load_state(files.checkpoint) if files.checkpoint.exists() else None
        self.last_entry = 0  # of the round that was applied last, as long as this process lives
        self._running: _Running | None = None
        self._attempt: OpenAttempt | None = None
        self._cipher: tuple[int, UpdateCipher] | None = None  # of one epoch
        self._catching_up = CatchingUp(self._members)

    def close(self) -> None:
        """Release the ledger and the audit log."""
        self.ledger.close()
        self._audit.close()

    def answer(self, exchange: Exchange, request: Parcel) -> Parcel:
        """Answer one message.

        Raises:
            FedccError: typed for the site's own log; the caller sends one code.
        """
        answers = {
            "join": self._join,
            "advertise": self._advertise,
            "share": self._share,
            "deal": self._deal,
            "begin": self._begin,
            "upload": self._upload,
            "sign": lambda request: self._part(request).sign(request),
            "verify": lambda request: self._part(request).verify(request),
            "unmask": lambda request: self._part(request).unmask(request),
            "recover": lambda request: self._part(request).recover(request),
            "finish": self._finish,
            "behind": self._behind,
            "vouch": self._vouch,
            "restore": self._restore,
        }
        if exchange not in answers:
            raise ProtocolError("models are released by installations only")
        return answers[exchange](request)

    def refuse(self, exchange: Exchange, error: FedccError) -> None:
        """Note a refusal in the site's own log."""
        self.watch.refusals.append(error)
        self._note("refuse", f"{exchange}: {type(error).__name__}: {error}")

    def note_overrun(self, exchange: Exchange, periods: int) -> None:
        """Note in the site's own log that an answer missed its place in the reply schedule."""
        self._note("overrun", f"{exchange}: {periods} reply period(s) late")

    def _note(self, action: str, subject: str) -> None:
        self._audit.note(action, subject, now=self._now())

    # Setting up: once per epoch, the first time also the plan.

    def _join(self, request: Parcel) -> Parcel:
        advert = self._members.keys.advert(self.name, request.text("run"))
        # Public: identity, how many rounds this site has applied, where it can take part.
        return Parcel(
            {
                "advert": advert_to_json(advert),
                "rounds_applied": self._applied,
                "epoch": self.epochs.number,
            }
        )

    @property
    def _applied(self) -> int:
        return self.state.rounds_applied if self.state is not None else 0

    def _advertise(self, request: Parcel) -> Parcel:
        """Check the plan, apply what was closed, and make the secrets of a new epoch."""
        plan = self._accept(request, trains=True)
        for closed in closed_rounds(request):
            self._apply(closed)
        self._void_open_attempt()
        epoch = planned_epoch(
            plan,
            self._members.session,
            number=request.number("epoch"),
            first_entry=request.number("first_entry"),
            rounds_left=plan.rounds - self._applied,
        )
        advert = self.epochs.advertise(
            epoch, lambda number: byte_source(self._seed, "excess", self.name, number)
        )
        return Parcel({"advert": advert, "rounds_applied": self._applied})

    def _accept(self, request: Parcel, *, trains: bool) -> RunPlan:
        """Check a plan against policy, ledger and rows; prepare to train, the first time."""
        plan = RunPlan.from_json(request.text("plan"))
        self._policy.check(plan)
        if trains:
            attempts_left = max(plan.max_attempts - len(self.ledger.used(plan.run)), 0)
            self.ledger.check(
                plan.event,
                min(plan.rounds - self._applied, attempts_left),
                purpose=plan.purpose,
                now=self._now(),
            )
        self._members.take_session(roster_from_json(request.text("roster")), plan)
        if self._running is not None:
            return plan
        if plan.features_sha256 != self._recipe.fingerprint:
            raise PolicyViolation("the plan's features are not those of this site's recipe.")
        initial = starting_point(plan, self._recipe)
        if initial.size != plan.n_parameters or plan.n_features != self._recipe.n_features:
            raise PolicyViolation("the plan's n_parameters does not fit this site's features.")
        if self.state is None:
            self.state = ModelState.initial(initial)
        self._running = _Running(plan, private_sum(plan, self._examples))
        self._note("accept", f"plan {plan.sha256} of run {plan.run}")
        return plan

    def _share(self, request: Parcel) -> Parcel:
        running, _ = self._run()
        adverts = request.text("adverts")
        identities = self._members.identities
        return Parcel({}, {"shares": self.epochs.share(adverts, identities, running.plan)})

    def _deal(self, request: Parcel) -> Parcel:
        running, _ = self._run()
        parcel = self.epochs.deal(running.plan)
        self._note("deal", f"epoch key {parcel.text('key_id')}")
        return parcel

    def _begin(self, request: Parcel) -> Parcel:
        """Take the HE key and the other sites' shares."""
        running, _ = self._run()
        self.epochs.begin(request, running.plan)
        named = request.text("key_id")
        for site in self.epochs.lacking():
            self._note("lacking", f"the shares of {site}: its masks are harder to recover")
        self._note("epoch", f"{self.epochs.number} with key {named}")
        return Parcel({"key_id": named})

    def _run(self) -> tuple[_Running, ModelState]:
        if self._running is None or self.state is None:
            raise ProtocolError("the run has not begun at this site")
        return self._running, self.state

    # One round: upload, sign, verify, unmask, and recover where a survivor vanished.

    def _upload(self, request: Parcel) -> Parcel:
        """Apply what was closed, charge the ledger, compute, protect and seal one update."""
        for closed in closed_rounds(request):
            self._apply(closed)
        running, state = self._run()
        plan, record = running.plan, self.epochs.record
        if record is None:
            raise ProtocolError("this site has no part in the epoch")
        entry = asked_entry(request, plan, record, self.name, state.rounds_applied)
        charge = Charge(
            event=plan.event,
            run=plan.run,
            round_number=entry.round_number,
            attempt=entry.attempt,
            purpose=plan.purpose,
            planned_sites=len(plan.sites),
            session=self._members.session.hex(),
        )
        self._void_open_attempt()
        if len(self.ledger.used(plan.run)) >= plan.max_attempts:
            raise BudgetExceeded("every attempt that the plan's noise was calibrated for is used.")
        self.ledger.reserve(charge, now=self._now())
        # The entry is gone from here on: whatever fails, its pads are never used again.
        secrets = self.epochs.take(entry.number)
        note = noised_update(
            plan, running.sums, state, entry, secrets, site=self.name, seed=self._seed
        )
        if self.watch.on_upload is not None:
            self.watch.on_upload(note)
        started = time.perf_counter()
        masks = opening.upload_masks(plan, record, entry, self.name, secrets)
        update = note.update
        del note  # the other vectors of the model's size
        chunks = self._cipher_of(record).protect(update, masks)
        self.seconds.encrypt += time.perf_counter() - started
        committed = commitment(record.epoch, entry.number, self.name, SELF, secrets.self_seed)
        # Charged on disk before anything leaves.
        self.ledger.settle(charge, now=self._now())
        envelope = seal_upload(
            self._keys,
            expected_upload(plan, self.name, entry, record.key_id),
            chunks,
            seed_commitment=committed if plan.masked else bytes(32),
            rounds_applied=state.rounds_applied,
        )
        header_hash = hashlib.sha256(envelope.header).digest()
        self._attempt = OpenAttempt(entry, charge, secrets, header_hash)
        self._note("upload", f"round {entry.round_number}, attempt {entry.attempt}")
        fields = {"header": envelope.header, "signature": envelope.signature}
        return Parcel(fields, {"update": envelope.chunks})

    def _cipher_of(self, record: EpochRecord) -> UpdateCipher:
        """Return the cipher of an epoch's key; the last one is kept."""
        running, _ = self._run()
        if self._cipher is None or self._cipher[0] != record.epoch.number:
            self._cipher = (record.epoch.number, UpdateCipher(running.plan, record.key or None))
        return self._cipher[1]

    def _void_open_attempt(self) -> None:
        """Note an attempt that was never opened; it stays charged."""
        if self._attempt is not None and not self._attempt.opened:
            self.ledger.abort(self._attempt.charge, now=self._now())
        self._attempt = None

    def _part(self, request: Parcel) -> AttemptPart:
        """Return this site's answers within the open attempt that a request names."""
        running, _ = self._run()
        place = (request.number("round"), request.number("attempt"))
        attempt, record, held = self._attempt, self.epochs.record, self.epochs.held
        if attempt is None or (attempt.entry.round_number, attempt.entry.attempt) != place:
            raise ProtocolError("no such attempt is open")
        if record is None or held is None or record.binding != attempt.entry.session:
            raise ProtocolError("the epoch of this attempt has ended")
        return AttemptPart(
            self.name,
            running.plan,
            record,
            held,
            self._keys,
            self._members.identities,
            attempt,
        )

    def _apply(self, closed: ClosedRound) -> None:
        """Check a closed round completely, then decrypt and take the step.

        A site that missed the round checks and applies it like the others.
        """
        running, state = self._run()
        if closed.round_number <= state.rounds_applied:
            return
        plan = running.plan
        if closed.round_number != state.rounds_applied + 1 or closed.round_number > plan.rounds:
            raise ProtocolError("a closed round is out of order")
        record = self.epochs.record_of(closed.epoch, self._members.identities)
        entry = check_closed(closed, record, plan, self._members.identities, site=self.name)
        started = time.perf_counter()
        masks = opening.remaining_masks(closed, record, plan, entry)
        gradient_sum = self._cipher_of(record).reveal(closed.aggregate, masks)
        excess = opening.opened_noise(closed, plan, entry)
        if excess is not None:
            gradient_sum -= excess
        self.seconds.decrypt += time.perf_counter() - started
        # Public bounds on a public sum. Whatever an aggregator adds to it, no parameter can grow
        # until a gradient overflows, so no later failure can depend on somebody's row.
        if not np.abs(gradient_sum).max() <= plan.sum_bound:
            raise EnvelopeError("an aggregate was refused")
        state = apply_sum(state, gradient_sum, plan.rule)
        if not np.abs(state.parameters).max() <= MAX_PARAMETER:
            raise EnvelopeError("an aggregate was refused")
        self.state, self.last_entry = state, closed.entry
        save_state(self._files.checkpoint, self.state)
        self.epochs.forget_before(closed.epoch)
        if self.watch.on_applied is not None:
            taken_off = np.zeros(plan.n_parameters) if excess is None else excess
            self.watch.on_applied(
                AppliedNote(self.name, closed, gradient_sum, taken_off, self.state)
            )

    def _finish(self, request: Parcel) -> Parcel:
        """Apply the last closed rounds; this copy of the model is complete."""
        for closed in closed_rounds(request):
            self._apply(closed)
        _, state = self._run()
        self._note("finish", f"model after round {state.rounds_applied}")
        return Parcel({"rounds_applied": state.rounds_applied})

    # Catching up: after rounds whose keys this site does not hold.

    def _behind(self, request: Parcel) -> Parcel:
        """Ask the others for the model; nothing is charged for that."""
        self._accept(request, trains=False)
        # Public: a key made for this request, signed.
        return Parcel({"request": self._catching_up.ask()})

    def _vouch(self, request: Parcel) -> Parcel:
        """Vouch for this site's copy of the model, or give it, to a site that is behind."""
        self._accept(request, trains=False)
        _, state = self._run()
        self._note("vouch", f"model after round {state.rounds_applied} for {request.text('site')}")
        return self._catching_up.vouch(request, state)

    def _restore(self, request: Parcel) -> Parcel:
        """Take over the model that others vouch for."""
        running, state = self._run()
        restored = self._catching_up.open(request, running.plan, state.rounds_applied)
        self._void_open_attempt()
        self.state = restored.state
        save_state(self._files.checkpoint, self.state)
        who = ", ".join(restored.vouchers)
        self._note("restore", f"model after round {self._applied}, vouched for by {who}")
        return Parcel({"rounds_applied": self._applied})
