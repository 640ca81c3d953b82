"""The model that a site holds at the end of a run, as the candidate for a release.

The aggregator never has the model: each site writes its own copy, all of them equal to the bit.
`fedcc predict` reads the folder once the model was released.
"""

from pathlib import Path

from omegaconf import OmegaConf

from fedcc.federation import planning
from fedcc.federation.plans.released import CANDIDATE
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.service.site_rows import SiteRows
from fedcc.federation.summary import epsilons, unit_terms
from fedcc.models.heads import build_module, named_tensors
from fedcc.models.update import ModelState
from fedcc.training.checkpoints import tensor_bytes, write_json, write_whole
from fedcc.version import __version__


def write_model(
    folder: Path, plan: RunPlan, rows: SiteRows, state: ModelState, attempts: int
) -> None:
    """Write config, plan, model card and, last, the candidate.

    Args:
        folder: of the run at this site.
        plan: what was carried out.
        rows: what the features were built from.
        state: after the last round.
        attempts: of this run that the site's ledger was charged for.

    Raises:
        OSError: if the folder cannot be written.
    """
    text = OmegaConf.to_yaml(OmegaConf.create(rows.config_values))
    write_whole(folder / "config.yaml", text.encode())
    write_whole(folder / "plan.json", plan.to_json().encode() + b"\n")
    write_json(folder / "model.json", _card(plan, rows, attempts))
    write_whole(folder / CANDIDATE, model_bytes(plan, state), mode=0o600)


def model_bytes(plan: RunPlan, state: ModelState) -> bytes:
    """Return the content of a model's file, the same at every site that holds the same state."""
    return tensor_bytes(named_tensors(build_module(plan.shape), state.released()))


def _card(plan: RunPlan, rows: SiteRows, attempts: int) -> dict[str, object]:
    public = rows.spec.consent is not None and rows.spec.consent.basis == "public_dataset"
    unsafe = [*planning.unsafe(plan), *(["public_dataset"] if public else [])]
    return {
        "task": plan.task,
        "labels": list(rows.spec.class_names),
        "features": list(rows.recipe.feature_names),
        "features_sha256": rows.recipe.fingerprint,
        "model": {
            "name": plan.model,
            "hidden": plan.hidden,
            "n_features": plan.n_features,
            "n_outputs": plan.n_outputs,
        },
        "purpose": plan.purpose,
        "privacy": {
            **epsilons(plan, attempts),
            **unit_terms(plan, attempts),
            "delta": plan.delta,
        },
        "simulation": False,
        "not_for_release": bool(unsafe),
        "unsafe": unsafe,
        "plan_sha256": plan.sha256,
        "data_sha256": plan.data_sha256,
        "fedcc_version": __version__,
    }
