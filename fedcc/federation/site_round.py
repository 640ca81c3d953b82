"""One site: its keys, its ledger, its rows, and what it answers in each exchange.

The site decides. It checks the plan before it takes part, charges its ledger before it computes,
checks every aggregate against the survivors' signatures before it decrypts, signs one transcript
per attempt and opens its self mask only when all survivors signed the same. Refusals are typed
here and are one code on the wire. Nothing in this module knows Flower.
"""

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcc.crypto import contexts
from fedcc.crypto.envelopes import seal_upload
from fedcc.crypto.keys import Advert, SiteKeys, roster_hash, verify_roster, verify_signature
from fedcc.crypto.masks import (
    SEED_BYTES,
    MaskEntry,
    commitments_match,
    hash_chunks,
    seed_commitment,
    transcript_hash,
)
from fedcc.errors import EnvelopeError, FedccError, PolicyViolation, ProtocolError
from fedcc.federation.closed_round import ClosedRound, closed_rounds
from fedcc.federation.messages import (
    Exchange,
    Parcel,
    advert_to_json,
    bytes_map,
    hex_list,
    hex_map,
    names,
    roster_from_json,
)
from fedcc.federation.settings import RunPlan
from fedcc.federation.site_policy import SitePolicy
from fedcc.federation.update_cipher import UpdateCipher, expected_upload
from fedcc.governance.audit_log import AuditLog
from fedcc.models.tabular import ModelSettings, build_module, initial_parameters, parameter_count
from fedcc.models.update import ModelState, apply_gradient_sum
from fedcc.privacy.ledger import Ledger
from fedcc.privacy.noise_shares import clamp_to_box, dithered_round, gaussian_share
from fedcc.rng import byte_source
from fedcc.tasks.churn import Examples
from fedcc.training.checkpoints import load_state, save_state, write_whole
from fedcc.training.dp_sgd import ClippedGradients


@dataclass(frozen=True)
class SiteFiles:
    """Where a site keeps what is its own."""

    ledger: Path
    audit: Path
    checkpoint: Path
    keys: Path
    epoch_key: Path


@dataclass
class SiteSeconds:
    """Time spent in cryptography, for the simulation's report."""

    encrypt: float = 0.0
    decrypt: float = 0.0


@dataclass(frozen=True)
class UploadNote:
    """What a simulation may look at when a site uploads; never part of a message."""

    site: str
    round_number: int
    attempt: int
    share: NDArray[np.float64]
    noised: NDArray[np.float64]  # clamped sum plus share, before rounding
    update: NDArray[np.int64]


@dataclass
class _OpenAttempt:
    entry: MaskEntry
    seed: bytes
    commitment: bytes
    transcript: bytes | None = None  # set once signed
    opened: bool = False


@dataclass
class Watch:
    """Hooks of a simulation, outside the protocol."""

    on_upload: Callable[[UploadNote], None] | None = None
    on_applied: Callable[[str, ClosedRound, NDArray[np.float64], ModelState], None] | None = None
    refusals: list[FedccError] = field(default_factory=list)


class Site:
    """A site between its first and its last message of a run."""

    def __init__(
        self,
        name: str,
        files: SiteFiles,
        examples: Examples,
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
            policy: what it admits.
            keys: its private keys.
            now: the clock, with a time zone.
            seed: `None` for the operating system's randomness; a number in repeatable simulations.
            watch: hooks of a simulation.
        """
        self.name = name
        self.seconds = SiteSeconds()
        self.watch = watch
        self._files, self._examples, self._policy = files, examples, policy
        self._keys, self._now, self._seed = keys, now, seed
        self.ledger = Ledger.open(files.ledger, max_epsilon=policy.max_epsilon, delta=policy.delta)
        try:
            self._audit = AuditLog(files.audit, name)
        except BaseException:
            self.ledger.close()
            raise
        self._epoch_key = files.epoch_key.read_bytes() if files.epoch_key.exists() else None
        self._state = load_state(files.checkpoint) if files.checkpoint.exists() else None
        self._plan: RunPlan | None = None
        self._roster: tuple[Advert, ...] = ()
        self._roster_hash = b""
        self._secrets: dict[str, bytes] = {}
        self._cipher: UpdateCipher | None = None
        self._gradients: ClippedGradients | None = None
        self._attempt: _OpenAttempt | None = None

    @property
    def state(self) -> ModelState | None:
        """This site's copy of the model."""
        return self._state

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
        self._audit.note("refuse", f"{exchange}: {type(error).__name__}: {error}", now=self._now())

    # Setting up: once per run, and again when a run is resumed.

    def _join(self, request: Parcel) -> Parcel:
        run = request.text("run")
        advert = self._keys.advert(self.name, run)
        applied = self._state.rounds_applied if self._state is not None else 0
        # Public: keys, and how many rounds this site has applied.
        return Parcel({"advert": advert_to_json(advert), "rounds_applied": applied})

    def _take_roster(self, request: Parcel, run: str) -> None:
        roster = roster_from_json(request.text("roster"))
        verify_roster(roster, self._policy.trusted, run)
        if self.name not in [advert.site for advert in roster]:
            raise ProtocolError("the roster does not name this site")
        self._roster, self._roster_hash = roster, roster_hash(roster, run)

    def _deal(self, request: Parcel) -> Parcel:
        """Make the epoch key and seal it to every site of the roster."""
        plan = RunPlan.from_json(request.text("plan"))
        self._policy.check(plan)
        self._take_roster(request, plan.run)
        if self._epoch_key is None:
            self._keep_epoch_key(contexts.create_epoch_key(plan.scheme))
        key = self._epoch_key or b""
        label = self._seal_label(plan.run)
        sealed = {peer.site: self._keys.seal(peer, key, label + peer.site) for peer in self._roster}
        self._audit.note("deal", f"epoch key {contexts.key_id(key)}", now=self._now())
        return Parcel(
            {
                "parameters": contexts.parameter_bytes(key),
                "key_id": contexts.key_id(key),
                "sealed_keys": hex_map(sealed),
            }
        )

    def _seal_label(self, run: str) -> str:
        return f"epoch-key|{run}|{self._roster_hash.hex()}|"

    def _keep_epoch_key(self, key: bytes) -> None:
        self._epoch_key = key
        write_whole(self._files.epoch_key, key, mode=0o600)

    def _begin(self, request: Parcel) -> Parcel:
        """Check the plan, take the epoch key and prepare to train."""
        plan = RunPlan.from_json(request.text("plan"))
        self._policy.check(plan)
        self._take_roster(request, plan.run)
        used = len(self.ledger.used(plan.run))
        applied = self._state.rounds_applied if self._state is not None else 0
        rounds_left = min(plan.rounds - applied, max(plan.max_attempts - used, 0))
        self.ledger.check(plan.event, rounds_left)
        key_name = "none"
        if plan.scheme != "none":
            if self._epoch_key is None:
                dealer = self._roster[0]
                sealed = request.raw("sealed_key")
                opened = self._keys.open(dealer, sealed, self._seal_label(plan.run) + self.name)
                self._keep_epoch_key(opened)
            key_name = contexts.key_id(self._epoch_key or b"")
            if key_name != request.text("key_id"):
                raise EnvelopeError("the epoch key is not the one that was named")
        settings = ModelSettings(
            name=plan.model,  # type: ignore[arg-type]
            hinges=plan.hinges,
            hidden=plan.hidden,
            learning_rate=plan.learning_rate,
        )
        module = build_module(settings, self._examples.features.shape[1])
        if parameter_count(module) != plan.n_parameters:
            raise PolicyViolation("the plan's n_parameters does not fit this site's features.")
        if self._state is None:
            self._state = ModelState.initial(initial_parameters(module, plan.public_seed))
        self._plan = plan
        self._cipher = UpdateCipher(plan, self._epoch_key)
        self._gradients = ClippedGradients(module, self._examples, plan.max_grad_norm)
        self._secrets = {
            peer.site: self._keys.mask_secret(peer)
            for peer in self._roster
            if peer.site != self.name
        }
        digest = hashlib.sha256(plan.to_json().encode()).hexdigest()
        self._audit.note("accept", f"plan {digest} of run {plan.run}", now=self._now())
        return Parcel({"key_id": key_name})

    # One round: upload, sign, unmask.

    def _upload(self, request: Parcel) -> Parcel:
        """Apply what was closed, charge the ledger, compute, protect and seal one update."""
        plan, state = self._running()
        for closed in closed_rounds(request):
            state = self._apply(closed)
        round_number, attempt = request.number("round"), request.number("attempt")
        cohort = names(request.text("cohort"))
        self._check_cohort(round_number, cohort, state)
        entry = MaskEntry(plan.run, round_number, attempt, cohort, self._roster_hash)
        charge = {
            "run": plan.run,
            "round_number": round_number,
            "attempt": attempt,
            "purpose": plan.purpose,
        }
        self._void_open_attempt()
        self.ledger.reserve(plan.event, now=self._now(), **charge)  # type: ignore[arg-type]
        update = self._noised_update(round_number, attempt, state)
        seed = os.urandom(SEED_BYTES)
        started = time.perf_counter()
        chunks = self._update_cipher().protect(update, self.name, entry, self._secrets, seed)
        self.seconds.encrypt += time.perf_counter() - started
        commitment = seed_commitment(seed, self.name, entry) if plan.masked else bytes(32)
        self._attempt = _OpenAttempt(entry, seed, commitment)
        # Charged and burnt on disk before anything leaves.
        self.ledger.settle(plan.event, now=self._now(), **charge)  # type: ignore[arg-type]
        envelope = seal_upload(
            self._keys,
            expected_upload(plan, self.name, entry, self._key_name()),
            chunks,
            seed_commitment=commitment,
            rounds_applied=state.rounds_applied,
        )
        self._audit.note("upload", f"round {round_number}, attempt {attempt}", now=self._now())
        fields = {"header": envelope.header, "signature": envelope.signature}
        return Parcel(fields, {"update": envelope.chunks})

    def _noised_update(
        self, round_number: int, attempt: int, state: ModelState
    ) -> NDArray[np.int64]:
        """Clip, sum, clamp the noiseless sum, add the noise share, round with a dither."""
        plan, _ = self._running()
        if self._gradients is None:
            raise ProtocolError("the run has not begun at this site")
        place = (self.name, round_number, attempt)
        clamped = clamp_to_box(self._gradients.sum_at(state.parameters), plan.box)
        share = gaussian_share(
            clamped.size, plan.own_variance, byte_source(self._seed, "noise", *place)
        )
        noised = clamped + share
        dither = byte_source(self._seed, "dither", *place)
        update = dithered_round(noised, plan.steps_per_unit, dither)
        if self.watch.on_upload is not None:
            note = UploadNote(self.name, round_number, attempt, share, noised, update)
            self.watch.on_upload(note)
        return update

    def _check_cohort(self, round_number: int, cohort: tuple[str, ...], state: ModelState) -> None:
        plan, _ = self._running()
        known = {advert.site for advert in self._roster}
        if round_number != state.rounds_applied + 1 or round_number > plan.rounds:
            raise ProtocolError(f"round {round_number} does not follow {state.rounds_applied}")
        if self.name not in cohort or not set(cohort) <= known or len(cohort) < plan.min_sites:
            raise ProtocolError("the cohort is unknown, too small or without this site")

    def _void_open_attempt(self) -> None:
        """Note an attempt that was never opened; it stays charged."""
        plan, _ = self._running()
        if self._attempt is None:
            return
        if not self._attempt.opened:
            entry = self._attempt.entry
            self.ledger.abort(
                plan.event,
                run=plan.run,
                round_number=entry.round_number,
                attempt=entry.attempt,
                purpose=plan.purpose,
                now=self._now(),
            )
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
        return Parcel({"signature": self._keys.sign(attempt.transcript)})

    def _unmask(self, request: Parcel) -> Parcel:
        """Open the self mask once every survivor signed the same transcript."""
        plan, _ = self._running()
        attempt = self._open_attempt(request)
        if attempt.transcript is None or attempt.opened:
            raise ProtocolError("this attempt is not signed, or was opened before")
        self._check_signatures(
            attempt.entry, attempt.transcript, bytes_map(request.text("signatures"))
        )
        attempt.opened = True
        return Parcel({"seed": attempt.seed if plan.masked else b""})

    def _open_attempt(self, request: Parcel) -> _OpenAttempt:
        place = (request.number("round"), request.number("attempt"))
        attempt = self._attempt
        if attempt is None or (attempt.entry.round_number, attempt.entry.attempt) != place:
            raise ProtocolError("no such attempt is open")
        return attempt

    def _check_signatures(
        self, entry: MaskEntry, transcript: bytes, signatures: Mapping[str, bytes]
    ) -> None:
        identities = {advert.site: advert.identity for advert in self._roster}
        if set(signatures) != set(entry.cohort):
            raise EnvelopeError("not every survivor signed")
        for site in entry.cohort:
            verify_signature(identities[site], signatures[site], transcript)

    def _apply(self, closed: ClosedRound) -> ModelState:
        """Check a closed round completely, then decrypt and take the step."""
        plan, state = self._running()
        if closed.round_number <= state.rounds_applied:
            return state
        self._check_cohort(closed.round_number, (*closed.cohort, *self._absent(closed)), state)
        if len(closed.cohort) < plan.min_sites:
            raise ProtocolError("too few sites took part in a closed round")
        entry = closed.entry(plan.run, self._roster_hash)
        if set(closed.commitments) != set(closed.cohort):
            raise EnvelopeError("a closed round lacks a commitment")
        transcript = transcript_hash(entry, hash_chunks(closed.aggregate), closed.commitments)
        self._check_signatures(entry, transcript, closed.signatures)
        if plan.masked and not commitments_match(closed.seeds, closed.commitments, entry):
            raise EnvelopeError("a seed is not the one that was committed to")
        started = time.perf_counter()
        gradient_sum = self._update_cipher().reveal(closed.aggregate, closed.seeds, entry)
        self.seconds.decrypt += time.perf_counter() - started
        state = apply_gradient_sum(state, gradient_sum, plan.rule)
        self._state = state
        save_state(self._files.checkpoint, state)
        if self.watch.on_applied is not None:
            self.watch.on_applied(self.name, closed, gradient_sum, state)
        return state

    def _absent(self, closed: ClosedRound) -> tuple[str, ...]:
        """A site that missed a round still checks and applies it."""
        return () if self.name in closed.cohort else (self.name,)

    def _finish(self, request: Parcel) -> Parcel:
        """Apply the last closed rounds; this copy of the model is complete."""
        state = self._state
        for closed in closed_rounds(request):
            state = self._apply(closed)
        applied = state.rounds_applied if state is not None else 0
        self._audit.note("finish", f"model after round {applied}", now=self._now())
        return Parcel({"rounds_applied": applied})

    def _running(self) -> tuple[RunPlan, ModelState]:
        if self._plan is None or self._state is None:
            raise ProtocolError("the run has not begun at this site")
        return self._plan, self._state

    def _update_cipher(self) -> UpdateCipher:
        if self._cipher is None:
            raise ProtocolError("the run has not begun at this site")
        return self._cipher

    def _key_name(self) -> str:
        return contexts.key_id(self._epoch_key) if self._epoch_key is not None else "none"
