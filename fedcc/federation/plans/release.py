"""The release of a model: nothing counts as released before the quorum of the plan has signed.

Each site signs a verdict on one model of one plan. Whoever counts needs no secret: the signatures
are checked against the roster's identities, so aggregator, sites and auditors come to the same
result. A site that signs twice in different ways counts as against. A verdict that was formed on a
site's own rows tells one bit about them, which nothing here notes or charges: a site that tests the
model on rows has to charge its ledger for that first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from fedcc.crypto.key_file import Identity
from fedcc.crypto.keys import verify_signature
from fedcc.crypto.statements import VERSION, Fields, canonical, parse, signed_bytes, when
from fedcc.errors import EnvelopeError, FedccError, TooFewSites
from fedcc.federation.plans.signed_plan import SignedPlan

KIND = "release-verdict"
Verdict = Literal["release", "reject"]
_SIGNED = frozenset("run plan_sha256 model_sha256 site verdict signed_at".split())


@dataclass(frozen=True, kw_only=True)
class Release:
    """A model that its quorum released."""

    run: str
    model_sha256: str
    sites: tuple[str, ...]  # that signed for it
    against: tuple[str, ...]


def verdict_file(
    signed: SignedPlan, model_sha256: str, verdict: Verdict, identity: Identity, now: datetime
) -> bytes:
    """Return a site's signed verdict on a model."""
    body: dict[str, object] = {
        "run": signed.plan.run,
        "plan_sha256": signed.sha256,
        "model_sha256": model_sha256,
        "site": identity.name,
        "verdict": verdict,
        "signed_at": when(now),
    }
    signature = identity.sign(KIND, body).hex()
    return canonical({**body, "kind": KIND, "version": VERSION, "signature": signature})


def check_release(
    signed: SignedPlan,
    model_sha256: str,
    verdicts: Iterable[bytes],
    identities: Mapping[str, bytes],
) -> Release:
    """Count the verdicts on a model.

    A verdict that is broken, of a stranger, or on another model or plan does not count; it cannot
    keep the others from counting.

    Args:
        signed: the plan of the run.
        model_sha256: of the model file, in hexadecimal.
        verdicts: contents of verdict files, in any order.
        identities: of the sites, from the roster that the plan names.

    Raises:
        TooFewSites: if the quorum is not reached; the model must not be used or handed on.
    """
    found: dict[str, set[str]] = {}
    for content in verdicts:
        try:
            site, verdict = _read(content, signed, model_sha256, identities)
        except FedccError:
            continue
        found.setdefault(site, set()).add(verdict)
    in_favour = tuple(sorted(site for site, given in found.items() if given == {"release"}))
    against = tuple(sorted(set(found) - set(in_favour)))
    if len(in_favour) < signed.release_quorum:
        raise TooFewSites(
            f"the model of the run {signed.plan.run} is not released: {len(in_favour)} of "
            f"{signed.release_quorum} sites have signed for it, {len(against)} against it."
        )
    return Release(run=signed.plan.run, model_sha256=model_sha256, sites=in_favour, against=against)


def _read(
    content: bytes, signed: SignedPlan, model_sha256: str, identities: Mapping[str, bytes]
) -> tuple[str, str]:
    keys = _SIGNED | {"signature"}
    values = parse(content, KIND, keys, "a verdict")
    fields = Fields(values, keys | {"kind", "version"}, "a verdict")
    site = fields.name("site")
    wanted = (signed.plan.run, signed.sha256, model_sha256)
    if tuple(values[key] for key in ("run", "plan_sha256", "model_sha256")) != wanted:
        raise EnvelopeError("a verdict on another model.")
    if site not in identities or site not in signed.plan.sites:
        raise EnvelopeError("a verdict of a stranger.")
    body = {key: values[key] for key in _SIGNED}
    message = signed_bytes(KIND, body)
    verify_signature(identities[site], fields.binary("signature", 64), message)
    fields.time("signed_at")
    return site, fields.one_of("verdict", ("release", "reject"))
