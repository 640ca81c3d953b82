"""Opening the sites of a prepared run; the same in every process that holds one.

A site is built from the run folder alone (settings, plan, keys), so it has the same policy, rows,
keys and seeds wherever it is opened.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from fedcc.federation import planning
from fedcc.federation.prepared import Clock, PreparedRun
from fedcc.federation.protected_unit import protected_unit
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.settings import SimulationSettings, data_sha256
from fedcc.federation.site_parts import Watch
from fedcc.federation.site_policy import SitePolicy
from fedcc.federation.site_round import Site
from fedcc.privacy.caps import lifetime_cap
from fedcc.privacy.policy import PrivacyPolicy, load_policy


def open_site(run: PreparedRun, index: int, watch: Watch, clock: Clock) -> Site:
    """Open one site's ledger and audit log.

    Args:
        run: the prepared run.
        index: of the site, from 0; Flower's `partition-id`.
        watch: hooks of the simulation.
        clock: current time with a zone.

    Raises:
        ProtocolError: if its ledger or audit log is broken or in use.
        ConfigError: if the run folder lacks its copy of the policy file.
    """
    plan, settings = run.plan, run.settings
    keys = run.site_keys
    name = plan.sites[index]
    policy = site_policy(
        plan,
        settings,
        {site: keys[site].identity for site in plan.sites},
        site=name,
        policy_file=run.folder.policy if settings.site.policy is not None else None,
    )
    return Site(
        name,
        run.folder.site_files(name),
        run.data.sites[index],
        run.data.recipe,
        policy,
        keys=keys[name],
        now=clock,
        seed=settings.seed,
        watch=watch,
    )


def site_policy(
    plan: RunPlan,
    settings: SimulationSettings,
    trusted: Mapping[str, bytes],
    *,
    site: str,
    policy_file: Path | None,
) -> SitePolicy:
    """Return what a simulated site admits.

    Args:
        plan: the plan that its operator approved.
        settings: of the run.
        trusted: identity key of each site.
        site: its name.
        policy_file: what the settings' `site.policy` names, or the run folder's copy of it.

    Raises:
        ConfigError: if there is no policy in the file, or no file.
    """
    privacy = _as_settled(plan, settings) if policy_file is None else load_policy(policy_file)
    own = (settings.site.max_epsilon or {}).get(site)
    if own is not None:
        privacy = dataclasses.replace(privacy, caps=(*privacy.caps, lifetime_cap(own)))
    return SitePolicy(
        privacy=privacy,
        approved_plans=frozenset({plan.sha256}),
        data_sha256=data_sha256(settings.data),
        trusted=trusted,
    )


def _as_settled(plan: RunPlan, settings: SimulationSettings) -> PrivacyPolicy:
    """Return the policy of sites that admit what the settings ask for and nothing weaker."""
    budget = planning.budget(plan, settings.privacy.epsilon)
    unit = protected_unit(settings.privacy, settings.data)
    return PrivacyPolicy(
        version=1,
        purposes=(settings.task.name,),
        caps=() if budget is None else (lifetime_cap(budget),),
        delta=settings.privacy.delta,
        units=(unit.name,),
        max_interactions=unit.max_interactions,
        sites_per_customer=unit.max_sites,
        noise_modes=(settings.privacy.noise,),
        schemes=(settings.crypto.scheme,),
        min_sites=settings.privacy.min_sites or plan.min_sites,
        min_collusion=settings.privacy.tolerated_collusion,
        max_rounds=settings.rounds,
        max_attempts=settings.rounds + settings.privacy.reserved_retries,
        metrics=(),
    )


def open_sites(run: PreparedRun, watch: Watch, clock: Clock, sites: list[Site]) -> None:
    """Append every site of the run to `sites`; whatever fails, the opened ones are in it.

    Raises:
        ProtocolError: see `open_site`.
    """
    for index in range(len(run.plan.sites)):
        sites.append(open_site(run, index, watch, clock))


def close_sites(sites: list[Site]) -> None:
    """Release the ledgers and audit logs."""
    for site in sites:
        site.close()
