"""One site: its ledger, its rows, its copy of the model, and what it answers in each exchange.

The site decides. It checks the plan before it takes part, charges its ledger before it computes,
checks every aggregate against the survivors' signatures before it decrypts, signs one transcript
per attempt and opens its self mask only when all survivors signed the same. Refusals are typed
here and are one code on the wire. Nothing in this module knows Flower.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from fedcc.crypto.envelopes import seal_upload
from fedcc.crypto.keys import SiteKeys
from fedcc.crypto.masks import (
    SEED_BYTES,
    MaskEntry,
    commitments_match,
    hash_chunks,
    seed_commitment,
    transcript_hash,
)
from fedcc.errors import BudgetExceeded, EnvelopeError, FedccError, PolicyViolation, ProtocolError
from fedcc.federation.closed_round import ClosedRound, closed_rounds
from fedcc.federation.local_training import private_sum, starting_point
from fedcc.federation.membership import Membership
from fedcc.federation.messages import (
    Exchange,
    Parcel,
    advert_to_json,
    bytes_map,
    hex_list,
    names,
    roster_from_json,
)
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.site_parts import SiteFiles, SiteSeconds, UploadNote, Watch
from fedcc.federation.site_policy import SitePolicy
from fedcc.federation.update_cipher import UpdateCipher, expected_upload
from fedcc.governance.audit_log import AuditLog
from fedcc.models.update import ModelState, apply_sum
from fedcc.privacy.ledger import Charge, Ledger
from fedcc.privacy.noise_shares import clamp_to_box, dithered_round, gaussian_share
from fedcc.rng import bernoulli, byte_source
from fedcc.tasks.task import Examples, FeatureRecipe
from fedcc.training.checkpoints import load_state, save_state
from fedcc.training.dp_sgd import PrivateSum

MAX_PARAMETER = 1e9  # public; float32 gradients of features of norm 1 stay finite far beyond


@dataclass
class _OpenAttempt:
    entry: MaskEntry
    charge: Charge
    seed: bytes
    commitment: bytes
    transcript: bytes | None = None  # set once signed
    opened: bool = False


@dataclass(frozen=True)
class _Running:
    """What a site holds once it has accepted a plan."""

    plan: RunPlan
    cipher: UpdateCipher
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
        self._members = Membership(name, keys, files.epoch_key, files.binding, policy.trusted)
        self.state = load_state(files.checkpoint) if files.checkpoint.exists() else None
        self._running: _Running | None = None
        self._attempt: _OpenAttempt | None = None

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
            "deal": self._deal,
            "begin": self._begin,
            "upload": self._upload,
            "sign": self._sign,
            "unmask": self._unmask,
            "finish": self._finish,
        }
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

    # Setting up: once per run, and again when a run is resumed.

    def _join(self, request: Parcel) -> Parcel:
        advert = self._members.keys.advert(self.name, request.text("run"))
        applied = self.state.rounds_applied if self.state is not None else 0
        # Public: keys, and how many rounds this site has applied.
        return Parcel({"advert": advert_to_json(advert), "rounds_applied": applied})

    def _deal(self, request: Parcel) -> Parcel:
        plan = RunPlan.from_json(request.text("plan"))
        self._policy.check(plan)
        self._members.take_session(roster_from_json(request.text("roster")), plan)
        parcel = self._members.deal(plan)
        self._note("deal", f"epoch key {self._members.key_name}")
        return parcel

    def _begin(self, request: Parcel) -> Parcel:
        """Check the plan, take the epoch key and prepare to train."""
        plan = RunPlan.from_json(request.text("plan"))
        self._policy.check(plan)
        applied = self.state.rounds_applied if self.state is not None else 0
        attempts_left = max(plan.max_attempts - len(self.ledger.used(plan.run)), 0)
        self.ledger.check(
            plan.event,
            min(plan.rounds - applied, attempts_left),
            purpose=plan.purpose,
            now=self._now(),
        )
        self._members.take_session(roster_from_json(request.text("roster")), plan)
        if plan.scheme != "none":
            self._members.open_epoch_key(request.raw("sealed_key"), request.text("key_id"))
        if plan.features_sha256 != self._recipe.fingerprint:
            raise PolicyViolation("the plan's features are not those of this site's recipe.")
        initial = starting_point(plan, self._recipe)
        if initial.size != plan.n_parameters or plan.n_features != self._recipe.n_features:
            raise PolicyViolation("the plan's n_parameters does not fit this site's features.")
        if self.state is None:
            self.state = ModelState.initial(initial)
        self._running = _Running(
            plan,
            UpdateCipher(plan, self._members.epoch_key),
            private_sum(plan, self._examples),
        )
        self._note("accept", f"plan {plan.sha256} of run {plan.run}")
        return Parcel({"key_id": self._members.key_name})

    def _run(self) -> tuple[_Running, ModelState]:
        if self._running is None or self.state is None:
            raise ProtocolError("the run has not begun at this site")
        return self._running, self.state

    # One round: upload, sign, unmask.

    def _upload(self, request: Parcel) -> Parcel:
        """Apply what was closed, charge the ledger, compute, protect and seal one update."""
        for closed in closed_rounds(request):
            self._apply(closed)
        running, state = self._run()
        plan = running.plan
        round_number, attempt = request.number("round"), request.number("attempt")
        cohort = names(request.text("cohort"))
        self._members.check_cohort(cohort, plan.min_sites)
        if self.name not in cohort or round_number > plan.rounds:
            raise ProtocolError("this site is not of the cohort, or the round is not planned")
        if round_number != state.rounds_applied + 1:
            raise ProtocolError(f"round {round_number} does not follow {state.rounds_applied}")
        entry = MaskEntry(
            plan.run, round_number, attempt, cohort, self._members.session, plan.neighbours
        )
        charge = Charge(
            event=plan.event,
            run=plan.run,
            round_number=round_number,
            attempt=attempt,
            purpose=plan.purpose,
            planned_sites=len(plan.sites),
            session=self._members.session.hex(),
        )
        self._void_open_attempt()
        if len(self.ledger.used(plan.run)) >= plan.max_attempts:
            raise BudgetExceeded("every attempt that the plan's noise was calibrated for is used.")
        self.ledger.reserve(charge, now=self._now())
        update = self._noised_update(running, round_number, attempt, state)
        seed = os.urandom(SEED_BYTES)
        started = time.perf_counter()
        secrets = self._members.mask_secrets(entry.peers(self.name))
        chunks = running.cipher.protect(update, self.name, entry, secrets, seed)
        self.seconds.encrypt += time.perf_counter() - started
        commitment = seed_commitment(seed, self.name, entry) if plan.masked else bytes(32)
        self._attempt = _OpenAttempt(entry, charge, seed, commitment)
        # Charged and burnt on disk before anything leaves.
        self.ledger.settle(charge, now=self._now())
        envelope = seal_upload(
            self._members.keys,
            expected_upload(plan, self.name, entry, self._members.key_name),
            chunks,
            seed_commitment=commitment,
            rounds_applied=state.rounds_applied,
        )
        self._note("upload", f"round {round_number}, attempt {attempt}")
        fields = {"header": envelope.header, "signature": envelope.signature}
        return Parcel(fields, {"update": envelope.chunks})

    def _noised_update(
        self, running: _Running, round_number: int, attempt: int, state: ModelState
    ) -> NDArray[np.int64]:
        """Draw a batch if planned, clip, sum, clamp, add the noise share, round with a dither."""
        plan = running.plan
        place = (self.name, round_number, attempt)
        drawn = None
        if plan.sample_rate < 1:
            source = byte_source(self._seed, "sample", *place)
            drawn = bernoulli(running.sums.n_units, plan.sample_rate, source)
        clamped = clamp_to_box(running.sums.sum_at(state.parameters, drawn), plan.box)
        noise = byte_source(self._seed, "noise", *place)
        share = gaussian_share(clamped.size, plan.own_variance, noise)
        dither = byte_source(self._seed, "dither", *place)
        update = dithered_round(clamped + share, plan.steps_per_unit, dither)
        if self.watch.on_upload is not None:
            self.watch.on_upload(
                UploadNote(self.name, round_number, attempt, share, clamped + share, update)
            )
        return update

    def _void_open_attempt(self) -> None:
        """Note an attempt that was never opened; it stays charged."""
        if self._attempt is not None and not self._attempt.opened:
            self.ledger.abort(self._attempt.charge, now=self._now())
        self._attempt = None

    def _sign(self, request: Parcel) -> Parcel:
        """Sign the transcript of the open attempt, once."""
        attempt = self._open_attempt(request)
        survivors = names(request.text("survivors"))
        commitments = bytes_map(request.text("commitments"))
        chunk_hashes = hex_list(request.text("aggregate_sha256"))
        if attempt.transcript is not None:
            raise ProtocolError("this attempt was signed before")
        if survivors != attempt.entry.cohort or set(commitments) != set(survivors):
            raise ProtocolError("the survivors are not the cohort of this attempt")
        if commitments[self.name] != attempt.commitment:
            raise EnvelopeError("this site's seed commitment was altered")
        attempt.transcript = transcript_hash(attempt.entry, chunk_hashes, commitments)
        return Parcel({"signature": self._members.keys.sign(attempt.transcript)})

    def _unmask(self, request: Parcel) -> Parcel:
        """Open the self mask once every survivor signed the same transcript."""
        running, _ = self._run()
        attempt = self._open_attempt(request)
        if attempt.transcript is None or attempt.opened:
            raise ProtocolError("this attempt is not signed, or was opened before")
        signatures = bytes_map(request.text("signatures"))
        self._members.check_signatures(attempt.entry, attempt.transcript, signatures)
        attempt.opened = True
        return Parcel({"seed": attempt.seed if running.plan.masked else b""})

    def _open_attempt(self, request: Parcel) -> _OpenAttempt:
        place = (request.number("round"), request.number("attempt"))
        attempt = self._attempt
        if attempt is None or (attempt.entry.round_number, attempt.entry.attempt) != place:
            raise ProtocolError("no such attempt is open")
        return attempt

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
        self._members.check_cohort(closed.cohort, plan.min_sites)
        entry = closed.entry(plan.run, self._members.session, plan.neighbours)
        if set(closed.commitments) != set(closed.cohort):
            raise EnvelopeError("a closed round lacks a commitment")
        transcript = transcript_hash(entry, hash_chunks(closed.aggregate), closed.commitments)
        self._members.check_signatures(entry, transcript, closed.signatures)
        if plan.masked and not commitments_match(closed.seeds, closed.commitments, entry):
            raise EnvelopeError("a seed is not the one that was committed to")
        started = time.perf_counter()
        gradient_sum = running.cipher.reveal(closed.aggregate, closed.seeds, entry)
        self.seconds.decrypt += time.perf_counter() - started
        # Public bounds on a public sum. Whatever an aggregator adds to it, no parameter can grow
        # until a gradient overflows, so no later failure can depend on somebody's row.
        if not np.abs(gradient_sum).max() <= plan.sum_bound:
            raise EnvelopeError("an aggregate was refused")
        state = apply_sum(state, gradient_sum, plan.rule)
        if not np.abs(state.parameters).max() <= MAX_PARAMETER:
            raise EnvelopeError("an aggregate was refused")
        self.state = state
        save_state(self._files.checkpoint, self.state)
        if self.watch.on_applied is not None:
            self.watch.on_applied(self.name, closed, gradient_sum, self.state)

    def _finish(self, request: Parcel) -> Parcel:
        """Apply the last closed rounds; this copy of the model is complete."""
        for closed in closed_rounds(request):
            self._apply(closed)
        _, state = self._run()
        self._note("finish", f"model after round {state.rounds_applied}")
        return Parcel({"rounds_applied": state.rounds_applied})
