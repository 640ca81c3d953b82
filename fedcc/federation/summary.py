"""`summary.json` and `model.json`: the machine contract of a run."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

import fedcc.federation.planning as planning
from fedcc.crypto.parameters import PROFILE, SECURITY_BITS
from fedcc.data.gates import GateCounts
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.settings import BASELINES, SimulationSettings
from fedcc.privacy.accounting import cross_check_epsilon, three_epsilons
from fedcc.tasks.task import FeatureRecipe
from fedcc.version import __version__

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a run knows about itself at its end; `None` where it did not get that far."""

    outcome: str
    rounds: int
    attempts: int
    rows_per_site: list[int]
    gates: GateCounts
    key_id: str | None
    upload_bytes: int
    upload_bytes_per_round: float | None
    download_bytes_per_round: float | None
    seconds_encrypt: float
    seconds_aggregate: float
    seconds_decrypt: float
    max_abs_error: float | None
    metric: str
    utility: float | None
    baselines: dict[str, float | None] | None
    total_seconds: float
    startup_seconds: float
    seconds_per_round: float | None


def finite(value: float | None) -> float | None:
    """Return `None` for what JSON cannot hold."""
    return value if value is not None and math.isfinite(value) else None


def epsilons(plan: RunPlan, attempts: int) -> dict[str, float | None]:
    """Return the three epsilons after so many charged attempts; `None` means no guarantee."""
    three = three_epsilons([plan.event] * attempts, delta=plan.delta)
    return {
        "epsilon": finite(three.claim),
        "epsilon_outsider": finite(three.outsider),
        "epsilon_if_all_others_collude": finite(three.everyone_else),
    }


def unit_terms(plan: RunPlan, attempts: int) -> dict[str, Any]:
    """Return what the epsilons are about, and the claim for a unit that one site alone knows."""
    customer = plan.unit == "customer"
    alone = three_epsilons([plan.event_at_one_site] * attempts, delta=plan.delta)
    return {
        "unit": plan.unit,
        "max_interactions": plan.max_interactions if customer else None,
        "max_sites_per_customer": plan.max_sites_per_customer if customer else None,
        "epsilon_at_one_site": finite(alone.claim),
    }


def privacy_block(plan: RunPlan, attempts: int) -> dict[str, Any]:
    """Return what so many charged attempts of a plan mean for privacy."""
    return {
        "noise": plan.noise,
        **unit_terms(plan, attempts),
        **epsilons(plan, attempts),
        "delta": plan.delta,
        "tolerated_collusion": plan.tolerated_collusion,
        "min_sites": plan.min_sites,
        "noise_multiplier": plan.noise_multiplier if plan.noise != "none" else None,
        "max_grad_norm": plan.max_grad_norm,
        "sample_rate": plan.sample_rate,
        "steps": attempts,
        "accountant": _accountant(plan),
        "cross_check_epsilon": cross_check_epsilon([plan.event] * attempts, delta=plan.delta),
    }


def bytes_block(
    plan: RunPlan, *, up_total: int, up_per_round: float | None, down_per_round: float | None
) -> dict[str, Any]:
    """Return encryption and bytes.

    Args:
        plan: of the run.
        up_total: bytes that all sites send in all rounds.
        up_per_round: ciphertext bytes that one site sends in a round.
        down_per_round: bytes that one site receives in a round, on the mean.
    """
    parameters = plan.n_parameters
    return {
        "scheme": plan.scheme,
        "profile": PROFILE if plan.masked else None,
        "security_bits": None if plan.scheme == "none" else SECURITY_BITS,
        "threshold": plan.threshold if plan.recovers else None,
        "lanes": plan.lanes if plan.masked else None,
        "model_parameters": parameters,
        "upload_bytes_total": up_total,
        "upload_bytes_per_parameter": None if up_per_round is None else up_per_round / parameters,
        "download_bytes_per_parameter": (
            None if down_per_round is None else down_per_round / parameters
        ),
    }


def _accountant(plan: RunPlan) -> str | None:
    """Return which accounting the epsilons come from."""
    if plan.noise == "none":
        return None
    return "rdp" if plan.event.sampled else "gaussian_exact"


def build_summary(settings: SimulationSettings, plan: RunPlan, facts: Facts) -> dict[str, Any]:
    """Return the whole contract; every key is always there."""
    consent = settings.data.consent
    error = facts.max_abs_error
    return {
        "schema_version": SCHEMA_VERSION,
        "fedcc_version": __version__,
        "simulation": True,
        "evaluation": "simulator",
        "seeded": settings.seed is not None,
        "outcome": facts.outcome,
        "task": settings.task.name,
        "data": {
            "name": settings.data.name,
            "sites": settings.sites,
            "rows": int(np.sum(facts.rows_per_site)),
            "rows_per_site": facts.rows_per_site,
            "gates": facts.gates.as_dict(),
            "consent_basis": consent.basis if consent is not None else None,
        },
        "seed": settings.seed,
        "rounds": facts.rounds,
        "engine": settings.engine.name,
        "privacy": privacy_block(plan, facts.attempts),
        "crypto": {
            **bytes_block(
                plan,
                up_total=facts.upload_bytes,
                up_per_round=facts.upload_bytes_per_round,
                down_per_round=facts.download_bytes_per_round,
            ),
            "key_id": facts.key_id,
            "seconds": {
                "encrypt": facts.seconds_encrypt,
                "aggregate": facts.seconds_aggregate,
                "decrypt": facts.seconds_decrypt,
            },
            "max_abs_error_over_clip": None if error is None else error / plan.max_grad_norm,
        },
        "utility": {
            "metric": facts.metric,
            "federated": facts.utility,
            **(facts.baselines or dict.fromkeys(BASELINES)),
        },
        "timing": {
            "total_seconds": facts.total_seconds,
            "startup_seconds": facts.startup_seconds,
            "seconds_per_round": facts.seconds_per_round,
        },
        "unsafe": planning.unsafe(plan),
    }


def build_model_card(
    settings: SimulationSettings,
    plan: RunPlan,
    facts: Facts,
    recipe: FeatureRecipe,
    deferral: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return `model.json`: what is needed to use the model, and on what terms."""
    return {
        "task": plan.task,
        "labels": list(settings.data.class_names),
        "features": list(recipe.feature_names),
        "encoder": settings.encoder.name if plan.task == "intent" else None,
        "features_sha256": recipe.fingerprint,
        "model": {
            "name": plan.model,
            "hinges": settings.model.hinges,
            "hidden": plan.hidden,
            "fourier": dataclasses.asdict(settings.model.fourier)
            if settings.model.fourier
            else None,
            "n_features": plan.n_features,
            "n_outputs": plan.n_outputs,
        },
        "deferral": deferral,
        "purpose": plan.purpose,
        "privacy": {
            **epsilons(plan, facts.attempts),
            **unit_terms(plan, facts.attempts),
            "delta": plan.delta,
        },
        "simulation": True,
        "seeded": settings.seed is not None,
        "not_for_release": settings.seed is not None or bool(planning.unsafe(plan)),
        "unsafe": planning.unsafe(plan),
        "data_sha256": plan.data_sha256,
        "fedcc_version": __version__,
    }
