"""Bugs that an audit must find, planted by wrapping the real functions while a block runs.

The product has no switch for any of them. Each is what a slip in one line would do.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from fedcc.federation import local_update, opening, site_opening, site_round
from fedcc.tasks.task import Examples
from fedcc.training import dp_sgd

LAST_SITE = "site-3"


@contextmanager
def noise_times(factor: float) -> Iterator[None]:
    """Every part of the noise is drawn with the wrong standard deviation."""
    real = local_update.gaussian_share

    def scaled(size: int, variance: float, source: Any) -> Any:
        return factor * real(size, variance, source)

    with (
        patch.object(local_update, "gaussian_share", scaled),
        patch.object(opening, "gaussian_share", scaled),
    ):
        yield


@contextmanager
def no_clip() -> Iterator[None]:
    """The norm of each gradient is taken for zero, so nothing is clipped."""

    def zeros(layer: Any, activations: Any, backprops: torch.Tensor) -> dict[Any, torch.Tensor]:
        return {layer.weight: torch.zeros(len(backprops))}

    with patch.object(dp_sgd, "compute_linear_norm_sample", zeros):
        yield


@contextmanager
def trained_twice() -> Iterator[None]:
    """Every row of a site enters its sum twice."""
    real = site_round.private_sum

    def doubled(plan: Any, rows: Examples) -> Any:
        return real(plan, joined(rows, rows))

    with patch.object(site_round, "private_sum", doubled):
        yield


@contextmanager
def at_two_sites() -> Iterator[None]:
    """The second site also trains on the rows of the first."""
    real = site_opening.open_site

    def opened(run: Any, index: int, *rest: Any) -> Any:
        if index == 1:
            first, second, *others = run.data.sites
            sites = [first, joined(first, second), *others]
            run = dataclasses.replace(run, data=dataclasses.replace(run.data, sites=sites))
        return real(run, index, *rest)

    with patch.object(site_opening, "open_site", opened):
        yield


@contextmanager
def share_missing() -> Iterator[None]:
    """One site uploads its sum without its share of the noise."""
    real = site_round.noised_update

    def bare(*args: Any, site: str, **rest: Any) -> Any:
        if site != LAST_SITE:
            return real(*args, site=site, **rest)
        with patch.object(local_update, "gaussian_share", lambda size, *_: np.zeros(size)):
            return real(*args, site=site, **rest)

    with patch.object(site_round, "noised_update", bare):
        yield


def joined(first: Examples, second: Examples) -> Examples:
    """Return the rows of both; those of records, which name no customers."""
    return Examples(
        np.concatenate([first.features, second.features]),
        np.concatenate([first.labels, second.labels]),
    )


BUGS: Mapping[str, Callable[[], Any]] = {
    "noise x 0.7": lambda: noise_times(0.7),
    "noise off": lambda: noise_times(0.0),
    "missing clip": no_clip,
    "trained twice": trained_twice,
    "at two sites": at_two_sites,
    "one share of three missing": share_missing,
}
