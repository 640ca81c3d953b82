"""A forecast as plain values: what `fedcc plan --json` prints, keys always there and in this order.

`schema_version, fedcc_version, simulation, would_run, exit_code, refusal, task, data {name, sites,
public_rows, consent_basis, map (null unless the rows were opened: as `fedcc data inspect --json`)},
engine, rounds, reserved_retries, target {epsilon, delta, unit},
privacy (the block of `summary.json` after all rounds, void attempts apart),
epsilons {after_rounds, after_retries} each {attempts, n_min_survivors {outsider, claim,
everyone_else}, all_sites {…}}, noise {multiplier, share_variance, share_sd, sensitivity,
grid_steps_per_unit, box}, noise_by_rounds [{rounds, noise_multiplier, share_sd}],
crypto (the block of `summary.json` without what only a run can tell),
traffic {flower_framing, round_up, first_round_down, round_down, rounds_up, rounds_down, run_up,
run_down: bytes of all sites together}, sites [{name, ledger, budget, epsilon_spent,
epsilon_after_rounds, epsilon_after_rounds_if_all_others_collude, attempts_left,
retries_affordable, takes_part, refusal {kind, exit_code, reason}, bytes {round_up, round_down,
run_up, run_down}}],
seconds {per_round, rounds, basis, parts}, memory {at_least_bytes, process_bytes, features_bytes,
uploads_bytes}, accuracy {metric, mean, least, most, runs, folders, searched, other_plans,
unreadable}, unsafe, seeded, warnings, notes`.

An epsilon is null where there is no noise, `budget` and `attempts_left` where there is no limit,
`bytes` for a site that the run would go on without, `mean` where no earlier run is known.
"""

import math
import statistics
from typing import Any

import numpy as np

from fedcc.errors import FedccError
from fedcc.federation import planning, summary
from fedcc.federation.forecast import EpsilonForecast, Forecast, SiteOutlook
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.simulated_data import task_of
from fedcc.federation.traffic import Traffic
from fedcc.privacy.accounting import ThreeEpsilons
from fedcc.version import __version__

SCHEMA_VERSION = 1


def forecast_record(found: Forecast) -> dict[str, Any]:
    """Return the whole record; see the module's docstring for its keys."""
    settings, plan = found.settings, found.plan
    return {
        "schema_version": SCHEMA_VERSION,
        "fedcc_version": __version__,
        "simulation": True,
        "would_run": found.error is None,
        "exit_code": found.exit_code,
        "refusal": None if found.error is None else str(found.error),
        "task": plan.task,
        "data": _data(found),
        "engine": settings.engine.name,
        "rounds": plan.rounds,
        "reserved_retries": plan.max_attempts - plan.rounds,
        "target": {
            "epsilon": settings.privacy.epsilon,
            "delta": plan.delta,
            "unit": plan.unit,
        },
        "privacy": summary.privacy_block(plan, plan.rounds),
        "epsilons": {
            "after_rounds": _epsilons(found.epsilons[0]),
            "after_retries": _epsilons(found.epsilons[1]),
        },
        "noise": _noise(plan),
        "noise_by_rounds": [vars(row) for row in found.noise_by_rounds],
        "crypto": _crypto(found),
        "traffic": _traffic(found.traffic, found.cohort),
        "sites": [_site(found, site) for site in found.sites],
        "seconds": _seconds(found),
        "memory": {
            "at_least_bytes": found.cost.memory_bytes,
            "process_bytes": found.cost.process_bytes,
            "features_bytes": found.cost.features_bytes,
            "uploads_bytes": found.cost.uploads_bytes,
        },
        "accuracy": _accuracy(found),
        "unsafe": planning.unsafe(plan),
        "seeded": settings.seed is not None,
        "warnings": list(found.warnings),
        "notes": _notes(found),
    }


def _data(found: Forecast) -> dict[str, Any]:
    spec = found.settings.data
    return {
        "name": spec.name,
        "sites": found.settings.sites,
        "public_rows": spec.public_rows,
        "consent_basis": spec.consent.basis if spec.consent is not None else None,
        "map": None if found.rows is None else found.rows.as_dict(),
    }


def _noise(plan: RunPlan) -> dict[str, float]:
    return {
        "multiplier": plan.noise_multiplier,
        "share_variance": plan.own_variance,
        "share_sd": math.sqrt(plan.own_variance),
        "kept_variance": plan.noise_components.kept(0),  # when no site drops out
        "sensitivity": plan.sensitivity,
        "grid_steps_per_unit": plan.steps_per_unit,
        "box": plan.box,
    }


def _three(values: ThreeEpsilons) -> dict[str, float | None]:
    return {
        "outsider": summary.finite(values.outsider),
        "claim": summary.finite(values.claim),
        "everyone_else": summary.finite(values.everyone_else),
    }


def _epsilons(values: EpsilonForecast) -> dict[str, Any]:
    return {
        "attempts": values.attempts,
        "guaranteed": _three(values.guaranteed),
        "n_min_survivors": _three(values.n_min_survivors),
        "all_sites": _three(values.all_sites),
    }


def _crypto(found: Forecast) -> dict[str, Any]:
    """Return the bytes as `summary.json` will hold them, by the same sums and means."""
    traffic, cohort = found.traffic, found.cohort
    down = [
        (sum(load.down for load in loads.values()) + verify.down) / len(cohort)
        for loads, verify in zip(traffic.rounds, traffic.verify, strict=True)
    ]
    return summary.bytes_block(
        found.plan,
        up_total=traffic.all_rounds.up,
        up_per_round=float(found.traffic.upload_bytes),
        down_per_round=float(np.mean(down)),
    )


def _traffic(traffic: Traffic, cohort: tuple[str, ...]) -> dict[str, Any]:
    first, last = traffic.rounds[0], traffic.rounds[-1]
    return {
        "flower_framing": "not counted",
        "round_up": sum(last[site].up for site in cohort) + traffic.verify[-1].up,
        "first_round_down": sum(first[site].down for site in cohort) + traffic.verify[0].down,
        "round_down": sum(last[site].down for site in cohort) + traffic.verify[-1].down,
        "rounds_up": traffic.all_rounds.up,
        "rounds_down": traffic.all_rounds.down,
        "run_up": sum(traffic.whole(site).up for site in cohort),
        "run_down": sum(traffic.whole(site).down for site in cohort),
    }


def _site(found: Forecast, site: SiteOutlook) -> dict[str, Any]:
    left, plan, loads = site.attempts_left, found.plan, None
    retries = plan.max_attempts - plan.rounds
    if site.name in found.cohort:
        last, whole = found.traffic.rounds[-1][site.name], found.traffic.whole(site.name)
        loads = {
            "round_up": last.up,
            "round_down": last.down,
            "run_up": whole.up,
            "run_down": whole.down,
        }
    return {
        "name": site.name,
        "ledger": None if site.ledger is None else str(site.ledger),
        "budget": site.budget,
        "epsilon_spent": summary.finite(site.spent.claim),
        "epsilon_after_rounds": summary.finite(site.after_rounds.claim),
        "epsilon_after_rounds_if_all_others_collude": summary.finite(
            site.after_rounds.everyone_else
        ),
        "attempts_left": left,
        "retries_affordable": (
            retries if left is None else max(0, min(retries, left - plan.rounds))
        ),
        "takes_part": site.refusal is None,
        "refusal": None if site.refusal is None else _refusal(site.refusal),
        "bytes": loads,
    }


def _refusal(error: FedccError) -> dict[str, Any]:
    return {"kind": error.outcome, "exit_code": error.exit_code, "reason": str(error)}


def _seconds(found: Forecast) -> dict[str, Any]:
    """Return seconds a round: those of earlier runs of this plan, else what was measured now."""
    earlier, cost = found.earlier, found.cost
    per_round: float | None = cost.seconds
    basis = (
        "an estimate from below, measured now on made-up rows in memory, without disk, signatures "
        "and messages"
    )
    if earlier.seconds_per_round:
        per_round = statistics.median(earlier.seconds_per_round)
        count = len(earlier.seconds_per_round)
        basis = f"an estimate: median of {count} earlier run(s) in {earlier.folder}"
    elif found.settings.engine.name != "inprocess":
        per_round = None
        basis = f"unknown: engine={found.settings.engine.name} has no earlier run of this plan"
    return {
        "per_round": per_round,
        "rounds": None if per_round is None else per_round * found.plan.rounds,
        "basis": basis,
        "parts": {
            "step": cost.step_seconds,
            "encrypt": cost.encrypt_seconds,
            "aggregate": cost.aggregate_seconds,
            "decrypt": cost.decrypt_seconds,
        },
    }


def _accuracy(found: Forecast) -> dict[str, Any]:
    earlier = found.earlier
    return {
        "metric": task_of(found.settings).metric,
        "mean": earlier.mean,
        "least": min(earlier.values, default=None),
        "most": max(earlier.values, default=None),
        "runs": len(earlier.runs),
        "folders": [str(path) for path in earlier.runs],
        "searched": str(earlier.folder),
        "other_plans": earlier.others,
        "unreadable": earlier.unreadable,
    }


def _notes(found: Forecast) -> list[str]:
    """Return what these numbers leave out."""
    settings, plan = found.settings, found.plan
    notes = ["attempts that turn out void are charged and add their bytes; none is counted here"]
    if settings.federation.drop:
        notes.append(
            f"federation.drop plays {len(settings.federation.drop)} dropout(s), which void attempts"
        )
    if settings.ledger.dir is None:
        notes.append("ledger.dir is not set: every run begins a ledger of its own, spent 0")
    if found.rows is None:
        notes.append("no row was opened: --rows counts what the gates leave out, and the labels")
    if plan.task == "intent":
        notes.append("seconds and memory of the encoder are not counted")
    refusing = [site.name for site in found.sites if site.refusal is not None]
    if refusing and found.error is None:
        notes.append(
            f"the run goes on without {', '.join(refusing)}: {len(found.cohort)} sites are enough"
        )
    return notes
