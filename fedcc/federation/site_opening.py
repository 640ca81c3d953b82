"""Opening the sites of a prepared run; the same in every process that holds one.

A site is built from the run folder alone (settings, plan, keys), so it has the same policy, rows,
keys and seeds wherever it is opened.
"""

from fedcc.federation import planning
from fedcc.federation.prepared import Clock, PreparedRun
from fedcc.federation.protected_unit import protected_unit
from fedcc.federation.settings import data_sha256
from fedcc.federation.site_policy import SitePolicy
from fedcc.federation.site_round import Site, Watch


def open_site(run: PreparedRun, index: int, watch: Watch, clock: Clock) -> Site:
    """Open one site's ledger and audit log.

    Args:
        run: the prepared run.
        index: of the site, from 0; Flower's `partition-id`.
        watch: hooks of the simulation.
        clock: current time with a zone.

    Raises:
        ProtocolError: if its ledger or audit log is broken or in use.
    """
    plan, settings = run.plan, run.settings
    keys = run.site_keys
    unit = protected_unit(settings.privacy, settings.data)
    policy = SitePolicy(
        approved_plans=frozenset({plan.sha256}),
        purpose=settings.task.name,
        data_sha256=data_sha256(settings.data),
        max_epsilon=planning.budget(plan, settings.privacy.epsilon),
        delta=settings.privacy.delta,
        schemes=frozenset({settings.crypto.scheme}),
        noises=frozenset({settings.privacy.noise}),
        units=frozenset({unit.name}),
        max_interactions=unit.max_interactions,
        sites_per_customer=unit.max_sites,
        min_sites=settings.privacy.min_sites or settings.sites,
        min_collusion=settings.privacy.tolerated_collusion,
        trusted={name: keys[name].identity for name in plan.sites},
    )
    name = plan.sites[index]
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
