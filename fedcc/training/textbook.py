"""Textbook federated DP-SGD, for comparison: Opacus trains at each site, FedAvg averages models.

Each site keeps its own noise, so its guarantee needs nobody's help; a simulator's tool, never part
of the protocol. Opacus' own engine, sampler, ghost clipping and noise are used as they come.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from opacus import PrivacyEngine
from opacus.accountants import create_accountant
from opacus.accountants.utils import get_noise_multiplier
from opacus.data_loader import DPDataLoader
from torch.utils.data import TensorDataset

from fedcc.models.heads import build_module, load_flat
from fedcc.models.shapes import HeadShape
from fedcc.rng import ByteSource
from fedcc.training.dp_sgd import HasExamples

Vector = NDArray[np.float64]
ACCOUNTANT = "prv"  # the tightest that Opacus has, and its default


def textbook_noise(epsilon: float, delta: float, *, batches: int, rounds: int) -> float:
    """Return the noise multiplier that Opacus finds for `batches * rounds` Poisson batches.

    Args:
        epsilon: of the whole training at one site.
        delta: of it.
        batches: an example joins each batch with chance 1 / batches.
        rounds: local epochs of so many batches.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(
            get_noise_multiplier(
                target_epsilon=epsilon,
                target_delta=delta,
                sample_rate=1 / batches,
                steps=batches * rounds,
                accountant=ACCOUNTANT,
            )
        )


def textbook_epsilon(noise_multiplier: float, delta: float, *, batches: int, rounds: int) -> float:
    """Return what Opacus' accountant says of a whole training at one site."""
    accountant = create_accountant(mechanism=ACCOUNTANT)
    accountant.history = [(noise_multiplier, 1 / batches, batches * rounds)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(accountant.get_epsilon(delta=delta))


def train_textbook(
    sites: Sequence[HasExamples],
    shape: HeadShape,
    *,
    initial: Vector,
    noise_multiplier: float,
    max_grad_norm: float,
    learning_rate: float,
    batches: int,
    rounds: int,
    source: ByteSource,
) -> Vector:
    """Train by FedAvg with Opacus at each site; return the parameters, shape `(n_params,)`.

    Args:
        sites: rows of each site.
        shape: of the head.
        initial: where the first round begins, shape `(n_params,)`.
        noise_multiplier: noise standard deviation / `max_grad_norm` at each site.
        max_grad_norm: L2 bound on each example's gradient.
        learning_rate: of plain SGD.
        batches: of a local epoch.
        rounds: of one local epoch each.
        source: gives the seeds of batches and noise.

    Source: McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized
    Data", 2017, Algorithm 1, with Abadi et al., 2016, Algorithm 1 at each client.
    """
    weights = np.array([len(site.labels) for site in sites], dtype=np.float64)
    places = [
        _LocalEpoch(site, shape, noise_multiplier, max_grad_norm, learning_rate, batches, source)
        for site in sites
    ]
    parameters = initial
    for _ in range(rounds):
        models = [place.run(parameters) for place in places]
        parameters = np.average(np.array(models), axis=0, weights=weights)
    return parameters


class _LocalEpoch:
    """One site's model, optimiser and loader, all wrapped by Opacus."""

    def __init__(
        self,
        examples: HasExamples,
        shape: HeadShape,
        noise_multiplier: float,
        max_grad_norm: float,
        learning_rate: float,
        batches: int,
        source: ByteSource,
    ) -> None:
        if len(examples.labels) < batches:
            raise ValueError(f"a site of {len(examples.labels)} rows has no {batches} batches")
        rows = TensorDataset(torch.from_numpy(examples.features), torch.from_numpy(examples.labels))
        draws, noise = (
            torch.Generator().manual_seed(int.from_bytes(source(8), "little") >> 1)
            for _ in range(2)
        )
        self._module = build_module(shape)
        binary = shape.n_outputs == 1
        criterion = torch.nn.BCEWithLogitsLoss() if binary else torch.nn.CrossEntropyLoss()
        self._binary = binary
        with warnings.catch_warnings():
            # Opacus says that a simulation's generator is not secure, which is known here.
            warnings.simplefilter("ignore")
            wrapped = PrivacyEngine().make_private(
                module=self._module,
                optimizer=torch.optim.SGD(self._module.parameters(), lr=learning_rate),
                criterion=criterion,
                data_loader=DPDataLoader(rows, sample_rate=1 / batches, generator=draws),
                noise_multiplier=noise_multiplier,
                max_grad_norm=max_grad_norm,
                noise_generator=noise,
                poisson_sampling=True,
                grad_sample_mode="ghost",
            )
        self._private, self._optimizer, self._loss, self._loader = wrapped

    def run(self, parameters: Vector) -> Vector:
        """Train one epoch from a global model and return the local one."""
        load_flat(self._module, parameters)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for features, labels in self._loader:
                self._optimizer.zero_grad()
                if len(labels):
                    scores = self._private(features)
                    if self._binary:
                        scores, labels = scores.squeeze(-1), labels.to(scores.dtype)
                    self._loss(scores, labels).backward()
                else:  # an empty batch is a step, too: its noise alone
                    for parameter in self._module.parameters():
                        parameter.grad = torch.zeros_like(parameter)
                self._optimizer.step()
        with torch.no_grad():
            flat = [parameter.reshape(-1).numpy() for parameter in self._module.parameters()]
        return np.concatenate(flat).astype(np.float64)
