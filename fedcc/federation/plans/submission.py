"""Making a signed plan from settings and a roster: what `fedcc run submit` does.

The plan is made by the code that makes it for a simulation. Sites, their number and organisations
come from the roster alone. A plan that any production site would refuse out of hand is not signed.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fedcc.crypto.consortium import Roster, roster_of_anybody
from fedcc.deployment.own_data import LOCAL_KEYS
from fedcc.errors import ConfigError
from fedcc.federation import planning
from fedcc.federation.features import build_recipe
from fedcc.federation.plans.signed_plan import SignedPlan, Submission, make_signed, with_sites
from fedcc.federation.progress import silent
from fedcc.federation.settings import SimulationSettings, simulation_settings
from fedcc.federation.simulated_data import task_of

# Groups of `simulate.yaml` that a plan fixes; what is left is each machine's own.
PUBLIC_GROUPS = ("task", "data", "model", "encoder", "training", "privacy", "crypto", "rounds")
PUBLIC_FEDERATION = ("timeout_seconds", "join_timeout_seconds", "reply_seconds")


def public_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of composed settings that is the same at all sites; no path is in it."""
    kept = {key: values[key] for key in PUBLIC_GROUPS}
    data = {key: value for key, value in values["data"].items() if key not in LOCAL_KEYS}
    kept["data"] = {**data, "source": {**data["source"], "path": None}}
    kept["federation"] = {key: values["federation"][key] for key in PUBLIC_FEDERATION}
    return kept


def for_roster(values: Mapping[str, Any], roster: Roster) -> dict[str, Any]:
    """Return composed settings in which the roster's sites are played by as many.

    Raises:
        ConfigError: if the settings name sites or organisations themselves.
    """
    federation = dict(values["federation"])
    if federation.get("organisations") is not None or federation.get("roster") is not None:
        raise ConfigError("federation.organisations and federation.roster come from the roster.")
    names = [f"site-{number}" for number in range(1, len(roster.sites) + 1)]
    organisations = dict(zip(names, (one.organisation for one in roster.sites), strict=True))
    federation["organisations"] = organisations
    return {**values, "sites": len(names), "federation": federation}


def submit(
    values: Mapping[str, Any], roster_file: bytes, wanted: Submission, now: datetime
) -> tuple[SignedPlan, tuple[str, ...]]:
    """Return the plan to sign, and what its owner should know.

    Args:
        values: composed settings of `simulate.yaml`.
        roster_file: of the consortium, whose admin the caller has checked.
        wanted: what the admin says of it.
        now: when.

    Raises:
        ConfigError: if the settings cannot be run, or no production site would admit them.
        EnvelopeError: if the roster's file was altered.
    """
    roster = roster_of_anybody(roster_file, "the roster")
    settings = simulation_settings(for_roster(values, roster))
    _check_production(settings)
    task = task_of(settings)
    task.check(settings.data)
    warnings = planning.warnings(settings, repeated_rows=0)
    plan = planning.make_plan(
        settings,
        build_recipe(settings, silent),
        task.n_outputs(settings.data),
        run=secrets.token_hex(8),
        public_seed=secrets.randbelow(2**62),
    )
    if unsafe := planning.unsafe(plan):
        raise ConfigError(
            f"no site admits this plan ({', '.join(unsafe)}). Such protections can be switched off "
            "in simulations only."
        )
    plan = with_sites(plan, roster)
    return make_signed(plan, public_settings(values), roster_file, wanted, now), warnings


def _check_production(settings: SimulationSettings) -> None:
    if settings.seed is not None:
        raise ConfigError("seed: a seeded run has no secret noise; leave it out.")
    if settings.federation.drop:
        raise ConfigError("federation.drop: dropouts are played in simulations only.")
    data = settings.data
    if data.consent is None:
        raise ConfigError(f"data {data.name}: no site trains on data without a consent block.")
    if data.consent.basis != "public_dataset" and data.out_of_bounds == "error":
        raise ConfigError(
            f"data {data.name}: no site admits out_of_bounds: error, since a refusal would leak; "
            "say clamp or drop."
        )
