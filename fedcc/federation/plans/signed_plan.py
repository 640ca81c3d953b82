"""A plan under the admin's signature: the whole public side of one run, before any site trains.

It brings the roster it was made for, so it cannot be carried over to other sites and a site needs
no other file to follow who was admitted, revoked or took a new key; and it names the time until
which it holds. Whoever reads one checks the admin's signature, but may never conclude from it that
the plan is sound: that is for each site's own policy (`review`).
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fedcc.crypto.consortium import Roster, only_admin, roster_of_anybody, trusted_roster
from fedcc.crypto.key_file import Identity
from fedcc.crypto.statements import (
    VERSION,
    canonical,
    check_name,
    read_of_admin,
    read_public,
    signed_bytes,
    when,
)
from fedcc.errors import ConfigError, EnvelopeError
from fedcc.federation.run_plan import RunPlan
from fedcc.version import __version__

KIND = "signed-plan"
_SIGNED = frozenset(
    "consortium admin roster plan settings fedcc owner reason release_quorum submitted_at "
    "valid_until".split()
)
MAX_REASON = 500  # characters


@dataclass(frozen=True, kw_only=True)
class SignedPlan:
    """A plan with everything that the admin signed beside it."""

    consortium: str
    admin: bytes
    roster: Roster
    roster_file: bytes  # the same under the admin's own signature, as sites keep it
    plan: RunPlan
    settings: Mapping[str, Any]  # public settings of the run, as `simulate.yaml` has them
    fedcc: str  # version that the plan was made with
    owner: str  # who wants the model
    reason: str  # what for, in words
    release_quorum: int  # sites whose signature the release needs
    submitted_at: str
    valid_until: str

    @property
    def body(self) -> dict[str, object]:
        """What is signed, as plain values."""
        return {
            "consortium": self.consortium,
            "admin": self.admin.hex(),
            "roster": self.roster_file.decode("ascii"),
            "plan": json.loads(self.plan.to_json()),
            "settings": dict(self.settings),
            "fedcc": self.fedcc,
            "owner": self.owner,
            "reason": self.reason,
            "release_quorum": self.release_quorum,
            "submitted_at": self.submitted_at,
            "valid_until": self.valid_until,
        }

    @property
    def roster_serial(self) -> int:
        """Serial of the roster that the plan brings."""
        return self.roster.serial

    @property
    def sha256(self) -> str:
        """Hash of what is signed, in hexadecimal: what people and records name the plan by."""
        return hashlib.sha256(signed_bytes(KIND, self.body)).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What the admin says of a plan beside its settings; defaults: `configs/submission.yaml`."""

    owner: str
    reason: str
    valid_days: float
    release_quorum: int | None

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.valid_days <= 366:
            raise ValueError(f"valid_days must be > 0 and at most 366, got {self.valid_days:g}")
        if not self.reason.strip() or len(self.reason) > MAX_REASON:
            raise ValueError(f"reason must say what the model is for, in 1 to {MAX_REASON} letters")
        if not self.reason.isprintable():
            raise ValueError("reason must be one line of printable text")


def make_signed(
    plan: RunPlan,
    settings: Mapping[str, Any],
    roster_file: bytes,
    wanted: Submission,
    now: datetime,
) -> SignedPlan:
    """Return a plan as the admin is about to sign it.

    Raises:
        ConfigError: if the owner is no name, the quorum means nothing, or the plan is not for the
            roster's sites.
        EnvelopeError: if the roster's file was altered.
    """
    roster = roster_of_anybody(roster_file, "the roster")
    if set(plan.sites) != set(roster.identities()):
        raise ConfigError("the plan is not for the sites of the roster.")
    quorum = plan.min_sites if wanted.release_quorum is None else wanted.release_quorum
    if not 1 <= quorum <= len(plan.sites):
        raise ConfigError(f"release_quorum must be from 1 to {len(plan.sites)}, got {quorum}.")
    return SignedPlan(
        consortium=roster.consortium,
        admin=roster.admin,
        roster=roster,
        roster_file=roster_file,
        plan=plan,
        settings=settings,
        fedcc=__version__,
        owner=check_name(wanted.owner, "--owner"),
        reason=wanted.reason,
        release_quorum=quorum,
        submitted_at=when(now),
        valid_until=when(now + timedelta(days=wanted.valid_days)),
    )


def plan_file(signed: SignedPlan, admin: Identity) -> bytes:
    """Return the content of a signed plan's file.

    Raises:
        ConfigError: if this is the key of a site.
    """
    signature = only_admin(admin).sign(KIND, signed.body).hex()
    return canonical({**signed.body, "kind": KIND, "version": VERSION, "signature": signature})


def read_plan(path: Path, admin_fingerprint: str) -> SignedPlan:
    """Read a signed plan and check that the trusted admin signed it; see `parse_plan`."""
    return parse_plan(read_public(path), str(path), admin_fingerprint)


def parse_plan(content: bytes, source: str, admin_fingerprint: str) -> SignedPlan:
    """Check the content of a signed plan's file.

    Raises:
        RecordError: if it is no signed plan.
        EnvelopeError: if it, or the roster in it, was altered, is unsigned, or does not hold what
            it must.
        ProtocolError: if somebody else than the trusted admin signed it.
        ConfigError: if the fingerprint is none.
    """
    values, fields, admin = read_of_admin(
        content, KIND, _SIGNED, source, admin_fingerprint=admin_fingerprint
    )
    texts = {key: values[key] for key in ("fedcc", "reason")}
    if not all(isinstance(text, str) and text.isprintable() for text in texts.values()):
        raise EnvelopeError(f"{source}: fedcc and reason must be texts of one line.")
    if not isinstance(values["settings"], dict):
        raise EnvelopeError(f"{source}, settings: not an object.")
    roster_file = values["roster"]
    if not isinstance(roster_file, str) or not roster_file.isascii():
        raise EnvelopeError(f"{source}, roster: not the text of a roster.")
    signed = SignedPlan(
        consortium=fields.name("consortium"),
        admin=admin,
        roster=trusted_roster(roster_file.encode("ascii"), f"{source}, roster", admin_fingerprint),
        roster_file=roster_file.encode("ascii"),
        plan=_plan(values["plan"], source),
        settings=values["settings"],
        owner=fields.name("owner"),
        release_quorum=fields.count("release_quorum", 1),
        submitted_at=fields.time("submitted_at"),
        valid_until=fields.time("valid_until"),
        **texts,
    )
    body = {key: values[key] for key in _SIGNED}
    # Compared as bytes: Python takes 0 and 0.0 for equal, and one plan has one hash.
    if signed_bytes(KIND, signed.body) != signed_bytes(KIND, body):
        raise EnvelopeError(f"{source}, plan: another spelling of its numbers than fedcc's.")
    return signed


def _plan(value: object, source: str) -> RunPlan:
    """Return the run's plan, whose name is safe to name a file by."""
    try:
        plan = RunPlan.from_json(json.dumps(value))
        check_name(plan.run, "run")
    except ConfigError as error:
        raise EnvelopeError(f"{source}, plan: {error}") from None
    return plan


def with_sites(plan: RunPlan, roster: Roster) -> RunPlan:
    """Return a plan for the sites of a roster, in its order."""
    return dataclasses.replace(plan, sites=tuple(one.site for one in roster.sites))
