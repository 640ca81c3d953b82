"""A model for a site that missed rounds: asked for with a fresh key, sealed by one site, vouched
for by several.

The site that is behind shows a channel key that it made for this request alone. One site that is
up to date seals its copy of the model to it, and each of several signs request, round and the
model's hash, sealed alike: the aggregator passes everything on and learns nothing of it, not even a
hash to try guesses on. The model counts only if more sites vouch for it than the plan lets collude;
whatever was vouched for another request, round or run does not.
"""

import hashlib
import json
from dataclasses import dataclass

import numpy as np

from fedcc.crypto.keys import ChannelKey, verify_signature
from fedcc.errors import EnvelopeError, ProtocolError, RecordError
from fedcc.federation.membership import Membership
from fedcc.federation.messages import Parcel, bytes_map, names
from fedcc.federation.run_plan import RunPlan
from fedcc.models.update import ModelState
from fedcc.training.checkpoints import state_bytes, state_of

KEY, SIGNATURE = 32, 64  # bytes
MAX_PARAMETER = 1e9  # public; float32 gradients of features of norm 1 stay finite far beyond


@dataclass(frozen=True)
class Restored:
    """A model that was handed over, and who vouched for it."""

    state: ModelState
    vouchers: tuple[str, ...]


class CatchingUp:
    """One site's requests, and its answers to those of others."""

    def __init__(self, members: Membership) -> None:
        """Ask for nothing yet.

        Args:
            members: the site's place in the run; sites must have taken its session before they
                ask or answer.
        """
        self._members = members
        self._channel: ChannelKey | None = None

    def ask(self) -> bytes:
        """Return a signed request with a fresh key; the one before counts no longer."""
        members, self._channel = self._members, ChannelKey.create()
        public = self._channel.public
        return public + members.keys.sign(_request(members.session, members.site, public))

    def vouch(self, request: Parcel, state: ModelState) -> Parcel:
        """Sign this site's copy of the model for one that is behind, and seal it if asked to.

        Args:
            request: what the aggregator passed on.
            state: this site's copy.

        Raises:
            ProtocolError: if the request is of a stranger or of itself, or for another round than
                that of its copy.
            EnvelopeError: if the request is not signed by the site that it names.
        """
        members, number = self._members, request.number("round")
        behind, asked = request.text("site"), request.raw("request")
        others = members.identities.keys() - {members.site}
        if behind not in others or len(asked) != KEY + SIGNATURE:
            raise ProtocolError("another site of the roster only can ask for a model")
        if number != state.rounds_applied:
            raise ProtocolError(f"this site holds the model after round {state.rounds_applied}")
        public, session = asked[:KEY], members.session
        message = _request(session, behind, public)
        verify_signature(members.identities[behind], asked[KEY:], message)
        content = state_bytes(state)
        sealed = members.keys.sign(_voucher(session, behind, public, number, content))
        if request.number("gives"):
            sealed += content
        channel = ChannelKey.create()
        label = _label(session, number, members.site, behind)
        # Public: a key made for this answer. Signature and model are sealed to one site.
        parts = [channel.seal(public, sealed, label)]
        return Parcel({"channel": channel.public}, {"sealed_state": parts})

    def open(self, answer: Parcel, plan: RunPlan, rounds_applied: int) -> Restored:
        """Return the model that others vouch for; a request is answered once.

        Args:
            answer: what the aggregator passed on.
            plan: of the run.
            rounds_applied: by this site's own copy.

        Raises:
            ProtocolError: if nothing was asked for, or the model is not ahead of this site's.
            EnvelopeError: if it was altered, too few sites vouch for it, or it is no model.
        """
        if self._channel is None:
            raise ProtocolError("no model was asked for")
        channel, self._channel = self._channel, None
        number, giver = answer.number("round"), answer.text("giver")
        if not rounds_applied < number <= plan.rounds:
            raise ProtocolError(f"a model after round {number} is not ahead of {rounds_applied}")
        parts = self._opened(answer, channel, number)
        if giver not in parts:
            raise EnvelopeError("the model does not open")
        content = parts[giver][SIGNATURE:]
        members = self._members
        vouched = _voucher(members.session, members.site, channel.public, number, content)
        good = [
            site
            for site, part in parts.items()
            if _is_signed(members.identities[site], part[:SIGNATURE], vouched)
        ]
        if giver not in good or len(good) <= plan.tolerated_collusion:
            raise EnvelopeError("too few sites vouch for the model")
        return Restored(_checked(content, plan, number), tuple(good))

    def _opened(self, answer: Parcel, channel: ChannelKey, number: int) -> dict[str, bytes]:
        """Return what each site sealed to this one; what does not open is left out.

        Raises:
            ProtocolError: if there is not one message and one key for each.
        """
        members, found = self._members, {}
        keys, sealed = bytes_map(answer.text("channels")), answer.parts("sealed_state")
        listed = names(answer.text("vouchers"))
        if len(sealed) != len(listed) or set(keys) != set(listed):
            raise ProtocolError("there must be one sealed message of each site that vouches")
        for site, part in zip(listed, sealed, strict=True):
            label = _label(members.session, number, site, members.site)
            if site != members.site and site in members.identities:
                try:
                    found[site] = channel.open(keys[site], part, label)
                except EnvelopeError:
                    continue
        return found


def _is_signed(identity: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether a voucher is for this very model, request, round and run."""
    try:
        verify_signature(identity, signature, message)
    except EnvelopeError:
        return False
    return True


def _request(session: bytes, site: str, public: bytes) -> bytes:
    return json.dumps(["fedcc/behind/v1", session.hex(), site, public.hex()]).encode()


def _voucher(session: bytes, behind: str, public: bytes, number: int, content: bytes) -> bytes:
    digest = hashlib.sha256(content).hexdigest()
    place = [session.hex(), behind, public.hex(), number, digest]
    return json.dumps(["fedcc/voucher/v1", *place]).encode()


def _label(session: bytes, number: int, giver: str, behind: str) -> str:
    return json.dumps(["catch-up", session.hex(), number, giver, behind])


def _checked(content: bytes, plan: RunPlan, number: int) -> ModelState:
    """Return a model of the plan's shape.

    Raises:
        EnvelopeError: if it is none, which several sites have signed all the same.
    """
    try:
        state = state_of(content, "what was handed over")
    except RecordError:
        raise EnvelopeError("what was handed over is no model of this run") from None
    vectors = (state.parameters, state.velocity, state.tail_sum)
    fits = all(vector.shape == (plan.n_parameters,) for vector in vectors)
    if not fits or state.rounds_applied != number or not 0 <= state.tail_count <= number:
        raise EnvelopeError("what was handed over is no model of this run")
    if not all(np.isfinite(vector).all() for vector in vectors):
        raise EnvelopeError("what was handed over is no model of this run")
    if not np.abs(state.parameters).max() <= MAX_PARAMETER:
        raise EnvelopeError("what was handed over is no model of this run")
    return state
