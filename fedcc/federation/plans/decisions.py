"""What a site decided on plans: approvals, vetoes, withdrawals, ends; signed, and append-only.

Every line is signed with the site's identity over its number and the hash of the line before, so no
line can be invented, dropped inside or moved by anybody without the key; a head file beside it, as
the ledger has, notices that lines were cut off the end (which would undo a withdrawal). Whoever
changes both files alike while holding the key is not noticed. A run follows the last line about it,
read afresh before each round.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, get_args

from fedcc.crypto.key_file import Identity
from fedcc.crypto.keys import verify_signature
from fedcc.crypto.statements import signed_bytes, when
from fedcc.errors import EnvelopeError, PolicyViolation, ProtocolError
from fedcc.federation.plans.signed_plan import SignedPlan
from fedcc.hash_chain import GENESIS, HashChain, read_chain
from fedcc.privacy.ledger_head import LedgerHead, Mark, head_path, newest, read_marks

KIND = "decision"
OPERATOR = "operator"  # who decides if it is neither a rule nor the site itself
Action = Literal["approve", "veto", "withdraw", "end"]
BEFORE: dict[Action, tuple[Action | None, ...]] = {
    "approve": (None,),
    "veto": (None,),
    "withdraw": ("approve",),
    "end": ("approve",),
}
WORDS: dict[Action | None, str] = {
    None: "waits for a decision",
    "approve": "approved",
    "veto": "vetoed",
    "withdraw": "withdrawn",
    "end": "ended",
}


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One line."""

    action: Action
    run: str
    plan_sha256: str  # of the signed plan
    task: str
    by: str  # `operator`, `rule NAME` or `site`
    reason: str
    time: str


class Decisions:
    """The open record of one site; holds a lock."""

    def __init__(
        self, path: Path, site: str, identity: Identity, trusted: Collection[bytes]
    ) -> None:
        """Open or create the record and check every line of it.

        Args:
            path: of the file.
            site: whose record it is.
            identity: that signs new lines.
            trusted: public keys that the site has or had.

        Raises:
            ProtocolError: if the record is broken, cut off, signed by others or in use.
        """
        self._site, self._identity = site, identity
        self._chain = HashChain(path, sync=True)
        try:
            self._lines = _checked(path, site, self._chain.entries, {*trusted, identity.public})
            self._head = LedgerHead(head_path(path))
        except BaseException:
            self._chain.close()
            raise

    @property
    def all(self) -> Sequence[Decision]:
        """Every decision, oldest first."""
        return tuple(self._lines)

    def decide(
        self, action: Action, signed: SignedPlan, *, by: str, reason: str, now: datetime
    ) -> Decision:
        """Sign and append one decision, on disk before this returns.

        Raises:
            ProtocolError: if the plan is not in a state that admits it.
        """
        last = last_of(self._lines, signed.plan.run)
        check_next(last, action, signed)
        decision = Decision(
            action=action,
            run=signed.plan.run,
            plan_sha256=signed.sha256,
            task=signed.plan.task,
            by=by,
            reason=reason,
            time=when(now),
        )
        body = _body(self._site, decision, len(self._chain.entries) + 1, self._chain.head)
        signer = self._identity.public.hex()
        signature = self._identity.sign(KIND, {**body, "identity": signer}).hex()
        self._chain.append({**body, "identity": signer, "signature": signature})
        self._head.advance(Mark(len(self._chain.entries), self._chain.head))
        self._lines.append(decision)
        return decision

    def close(self) -> None:
        """Release the files."""
        self._head.close()
        self._chain.close()

    def __enter__(self) -> "Decisions":
        """Return the record itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the files."""
        self.close()


def _body(site: str, decision: Decision, number: int, previous: str) -> dict[str, object]:
    return {
        "number": number,
        "previous": previous,
        "site": site,
        "action": decision.action,
        "run": decision.run,
        "plan_sha256": decision.plan_sha256,
        "task": decision.task,
        "by": decision.by,
        "reason": decision.reason,
        "time": decision.time,
    }


def check_next(last: Decision | None, action: Action, signed: SignedPlan) -> None:
    """Refuse a decision that does not follow on the last one about a run.

    Raises:
        ProtocolError: names the state, or says that this is another plan of the same run.
    """
    if last is not None and last.plan_sha256 != signed.sha256:
        raise ProtocolError(
            f"another plan of the run {signed.plan.run} was {WORDS[last.action]} on {last.time}. "
            "A run has one plan: have it submitted anew."
        )
    if (None if last is None else last.action) not in BEFORE[action]:
        state = WORDS[None] if last is None else f"was {WORDS[last.action]} on {last.time}"
        raise ProtocolError(
            f"the plan of the run {signed.plan.run} {state}; it cannot be {WORDS[action]} now. A "
            "plan is decided on once: have it submitted anew."
        )


def read_decisions(path: Path, site: str, trusted: Collection[bytes]) -> list[Decision]:
    """Read the record, which another process may have open; nothing is locked or changed.

    Raises:
        ProtocolError: names the first line that is wrong or missing.
        OSError: if it cannot be read.
    """
    # The head goes first: whatever is appended meanwhile, the record holds at least that line.
    mark = newest(read_marks(head_path(path)))
    return _checked(path, site, read_chain(path)[0] if path.exists() else [], trusted, mark)


def _checked(
    path: Path,
    site: str,
    entries: Sequence[dict[str, object]],
    trusted: Collection[bytes],
    mark: Mark | None = None,
) -> list[Decision]:
    mark = mark or newest(read_marks(head_path(path)))
    # A crash right after the very first line leaves a head that exists and is still empty.
    head = head_path(path)
    begun = len(entries) == 1 and head.exists() and head.stat().st_size == 0
    if mark is None and entries and not begun:
        raise ProtocolError(f"{head_path(path)} is missing or cannot be read. {_REMEDY}")
    if mark is not None:
        hashes = [str(entry["hash"]) for entry in entries]
        if mark.line > len(hashes) or hashes[mark.line - 1] != mark.line_hash:
            raise ProtocolError(f"{path}: lines were cut off or replaced. {_REMEDY}")
    previous, found = GENESIS, []
    for number, entry in enumerate(entries, start=1):
        where = f"{path}, line {number}"
        decision = _decision(entry, where)
        body = _body(site, decision, number, previous)
        _verify(entry, body, trusted, where)
        previous = str(entry["hash"])
        found.append(decision)
    return found


_REMEDY = (
    "Restore the record and its head from the same backup; until then nothing counts as approved."
)


def _decision(entry: dict[str, object], where: str) -> Decision:
    action = next((one for one in get_args(Action) if one == entry.get("action")), None)
    names = ("run", "plan_sha256", "task", "by", "reason", "time")
    if action is None or not all(isinstance(entry.get(name), str) for name in names):
        raise ProtocolError(f"{where}: not a decision.")
    return Decision(action=action, **{name: str(entry[name]) for name in names})


def _verify(
    entry: dict[str, object], body: dict[str, object], trusted: Collection[bytes], where: str
) -> None:
    try:
        identity = bytes.fromhex(str(entry.get("identity")))
        signature = bytes.fromhex(str(entry.get("signature")))
    except ValueError:
        raise ProtocolError(f"{where}: not signed.") from None
    frame = {"identity", "signature", "previous_hash", "hash"}
    if identity not in trusted or {k: v for k, v in entry.items() if k not in frame} != body:
        raise ProtocolError(f"{where}: not signed by this site. {_REMEDY}")
    try:
        signed = signed_bytes(KIND, {**body, "identity": identity.hex()})
        verify_signature(identity, signature, signed)
    except EnvelopeError:
        raise ProtocolError(f"{where}: not signed by this site. {_REMEDY}") from None


def last_of(lines: Sequence[Decision], run: str) -> Decision | None:
    """Return the last decision on a run."""
    return next((one for one in reversed(lines) if one.run == run), None)


def last_approved(lines: Sequence[Decision], task: str) -> Decision | None:
    """Return the last approval of a plan of a task, whoever gave it."""
    of_task = (one for one in reversed(lines) if one.task == task)
    return next((one for one in of_task if one.action == "approve"), None)


def last_by_person(lines: Sequence[Decision], task: str) -> Decision | None:
    """Return the last word of a person on the plans of a task."""
    of_task = (one for one in reversed(lines) if one.task == task)
    return next((one for one in of_task if one.by == OPERATOR), None)


def check_approved(
    path: Path, site: str, trusted: Collection[bytes], signed: SignedPlan
) -> Decision:
    """Return the approval under which a run may go on; to be asked before every round.

    Raises:
        PolicyViolation: if the plan is not approved, or not any more.
        ProtocolError: if the record is broken.
        OSError: if it cannot be read.
    """
    last = last_of(read_decisions(path, site, trusted), signed.plan.run)
    if last is None or last.action != "approve" or last.plan_sha256 != signed.sha256:
        state = WORDS[None] if last is None else f"was {WORDS[last.action]} on {last.time}"
        if last is not None and last.plan_sha256 != signed.sha256:
            state = "is not the one of that run that was decided on"
        raise PolicyViolation(
            f"the plan of the run {signed.plan.run} {state}: this site does not take part. "
            f"`fedcc site plans` shows it."
        )
    return last
