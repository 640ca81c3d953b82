"""What makes a model at a site usable: the record of its release, beside it and checked each time.

Until its quorum has signed, a model lies in a private file that nothing here reads as a model. The
record holds the signed plan, with its roster, and the verdicts, so whoever is handed the folder can
count them again. It says nothing against somebody who copies the private file by hand.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from fedcc.crypto.statements import fingerprint
from fedcc.errors import EnvelopeError, RecordError, TooFewSites
from fedcc.federation.plans.release import Release, check_release
from fedcc.federation.plans.signed_plan import parse_plan
from fedcc.training.checkpoints import write_json, write_whole

CANDIDATE = "candidate.safetensors"
MODEL = "model.safetensors"
RECORD = "release.json"


def release_model(folder: Path, plan: bytes, admin: str, verdicts: Sequence[bytes]) -> Release:
    """Make the model of a run usable, if enough sites have signed for it.

    Args:
        folder: of the run at this site, with its candidate.
        plan: file of the signed plan, whose own roster says who may sign.
        admin: fingerprint of the admin whom this site trusts.
        verdicts: of the sites, as they came.

    Raises:
        TooFewSites: if the quorum is not reached; nothing changes then.
        FedccError: if the plan cannot be trusted, or there is no candidate.
    """
    if not (folder / CANDIDATE).is_file():
        raise RecordError(f"{folder}: this site does not hold the complete model.")
    content = (folder / CANDIDATE).read_bytes()
    release = _counted(content, plan, admin, verdicts)
    texts = [one.decode("utf-8", "replace") for one in verdicts]
    record = {"plan": plan.decode(), "verdicts": texts}
    write_json(folder / RECORD, record)
    write_whole(folder / MODEL, content)
    return release


def check_usable(folder: Path) -> None:
    """Refuse the model of a site's run that was not released; simulated runs need no release.

    Raises:
        TooFewSites: if it was not.
        EnvelopeError: if the model or its record was altered.
        RecordError: if the folder holds no finished run.
    """
    if (folder / CANDIDATE).exists() and not (folder / MODEL).exists():
        raise TooFewSites(
            f"{folder}: the model is not released: fewer sites have signed for it than the plan "
            "asks for. It becomes usable by itself once they have."
        )
    if not (folder / MODEL).is_file():
        raise RecordError(f"{folder / MODEL}: no such file. Is this a finished run?")
    if _is_simulated(folder):
        return
    try:
        record = json.loads((folder / RECORD).read_text())
        plan = record["plan"].encode()
        verdicts = [str(one).encode() for one in record["verdicts"]]
        admin = fingerprint(bytes.fromhex(json.loads(plan)["admin"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise EnvelopeError(
            f"{folder / RECORD} does not tell that the model was released. Copy the whole folder "
            "of the run from the site again."
        ) from None
    _counted((folder / MODEL).read_bytes(), plan, admin, verdicts)


def _is_simulated(folder: Path) -> bool:
    try:
        card = json.loads((folder / "model.json").read_text())
        return card.get("simulation") is not False  # earlier simulations say nothing
    except (OSError, ValueError, AttributeError):
        raise RecordError(f"{folder}: no model.json. Is this a finished run?") from None


def _counted(content: bytes, plan: bytes, admin: str, verdicts: Sequence[bytes]) -> Release:
    signed = parse_plan(plan, "the signed plan", admin)
    digest = hashlib.sha256(content).hexdigest()
    return check_release(signed, digest, verdicts, signed.roster.identities())
