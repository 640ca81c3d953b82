"""What the sentences behind an upload give away: to a server without encryption, and to this one.

One round of a finished run is played twice on a few real sentences a site: once with everything
switched off, as plain federated learning has it, and once with the run's own noise, masks and
encryption. The same attack names the sentences of each site from what reached the aggregator, among
all training sentences of the run.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from fedcc.attacks import views
from fedcc.attacks.inversion import guess_records
from fedcc.attacks.settings import InversionSettings
from fedcc.attacks.views import Matrix, Scene
from fedcc.errors import ConfigError
from fedcc.federation import planning
from fedcc.federation.local_training import starting_point
from fedcc.federation.overhearing import Overheard
from fedcc.federation.progress import Progress, ProgressCallback, silent
from fedcc.federation.replay import FinishedRun, replay
from fedcc.federation.run_plan import RunPlan
from fedcc.federation.site_parts import Watch
from fedcc.rng import generator
from fedcc.tasks.task import Examples


@dataclass(frozen=True)
class Recovery:
    """How many sentences the attack named from one kind of upload, over all sites."""

    right: int
    named: int
    chance: float  # at most, that blind guesses name as many

    @property
    def share(self) -> float:
        """The share of the sites' sentences that were named."""
        return self.right / self.named


@dataclass(frozen=True)
class Leakage:
    """The attack on the uploads of every site."""

    candidates: int
    sentences: int  # of each site, at most
    blind_share: float  # largest that naming blindly finds at a site on average
    plain: Recovery  # from uploads of plain federated learning
    seen: Recovery  # from what the run's aggregator saw


def invert_uploads(
    run: FinishedRun,
    settings: InversionSettings,
    *,
    seed: int | None,
    progress: ProgressCallback = silent,
) -> Leakage:
    """Name sentences from plain uploads, and from those that the run's aggregator saw.

    Args:
        run: of texts, with a linear head and gradient steps.
        settings: sentences a site.
        seed: `None` for the operating system's randomness.
        progress: called before the replays.

    Raises:
        ConfigError: if the attack is not made for the run.
        FedccError: if a replay ends early.
    """
    check_invertible(run.plan)
    progress(Progress(kind="note", text="two replays of one round, to name sentences behind it"))
    every = np.unique(np.concatenate([site.features for site in run.data.sites]), axis=0)
    sites = [_few(rows, settings.sentences, seed, name) for name, rows in _named(run)]
    # The attacker's candidates are all sentences of the run; the truth is those of one site.
    place = {row.tobytes(): number for number, row in enumerate(every)}
    said_at = {
        name: frozenset(place[row.tobytes()] for row in rows.features)
        for (name, _), rows in zip(_named(run), sites, strict=True)
    }
    found = []
    for plan, read in (
        (_unprotected(run), views.plain_update),
        (dataclasses.replace(run.plan, rounds=1), _read_as_seen),
    ):
        heard: list[Overheard] = []
        replay(run, sites, plan=plan, seed=seed, eyes=Watch(), listener=heard.append)
        weights = starting_point(plan, run.data.recipe).reshape(plan.n_outputs, plan.n_features)
        scene = Scene(plan, weights, (), every.astype(np.float64), said_at)
        updates = {name: read(scene, c) for name, c in views.uploads(heard, 1).items()}
        found.append(_recovery(scene, updates))
    most = max(map(len, said_at.values()))
    return Leakage(len(every), most, most / len(every), *found)


def check_invertible(plan: RunPlan) -> None:
    """Refuse runs that the attack is not made for.

    Raises:
        ConfigError: names what it is made for.
    """
    if plan.task != "intent" or plan.hidden or plan.step != "gradient" or plan.n_outputs < 2:
        raise ConfigError(
            "inversion: the attack names sentences behind gradients of a linear head; this run has "
            f"task={plan.task}, model={plan.model}, step={plan.step}. Leave it out with --only."
        )


def _named(run: FinishedRun) -> list[tuple[str, Examples]]:
    return list(zip(run.plan.sites, run.data.sites, strict=True))


def _few(site: Examples, wanted: int, seed: int | None, name: str) -> Examples:
    """Return some rows of a site with different features."""
    _, first = np.unique(site.features, axis=0, return_index=True)
    chosen = generator(seed, "inversion", name).permutation(first)[:wanted]
    customers: NDArray[np.int64] | None = site.customers
    return Examples(
        site.features[chosen],
        site.labels[chosen],
        None if customers is None else customers[chosen],
    )


def _unprotected(run: FinishedRun) -> RunPlan:
    """Return the plan of plain federated learning: one round, no noise, no encryption."""
    settings = run.settings
    bare = dataclasses.replace(
        settings,
        rounds=1,
        privacy=dataclasses.replace(
            settings.privacy, epsilon=None, noise="none", min_sites=None, sample_rate=None
        ),
        crypto=dataclasses.replace(settings.crypto, scheme="none"),
    )
    outputs = run.data.task.n_outputs(settings.data)
    seed = run.plan.public_seed
    return planning.make_plan(bare, run.data.recipe, outputs, run="plain", public_seed=seed)


def _read_as_seen(scene: Scene, chunks: Sequence[bytes]) -> Matrix:
    """Return what an aggregator makes of an upload of the run's own plan."""
    if scene.plan.scheme == "none":
        return views.plain_update(scene, chunks)
    return views.read_as_numbers(scene, chunks)


def _recovery(scene: Scene, updates: Mapping[str, Matrix]) -> Recovery:
    right = named = most = 0
    for site, update in updates.items():
        truth = scene.said_at[site]
        guesses = guess_records(update, scene.weights, scene.features, count=len(truth))
        right += len({guess.candidate for guess in guesses} & truth)
        named += len(truth)
        most = max(most, len(truth))
    # Naming without repetition is less spread than a binomial, whose tail is therefore no smaller.
    blind = binom(named, most / len(scene.features))
    return Recovery(right, named, float(blind.sf(right - 1)))
