"""Which modules may be clipped example by example, and which draws may be summed; others refused.

Clipping bounds what an example adds to the sum only if its gradient depends on that example alone.
Opacus' own validator knows the layers of torch that break this, but looks only at layers with
trainable parameters and at exact types: a batch norm without weights, or a subclass, would pass. So
every submodule is looked at here, and rows are run alone and together: a module whose scores of a
row change with the other rows, or from call to call, is refused whatever it is made of.
"""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.validators import ModuleValidator
from torch import nn

from fedcc.errors import ConfigError

ROWS = 4  # tried together and alone
RELATIVE = 1e-9  # of float64 scores, whose last bits depend on how many rows are multiplied at once
BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
MIXES = (
    "mixes the examples of a batch: one example moves the gradients of all others, so that "
    "clipping each of them bounds nothing and epsilon would be false. Use a layer that works on "
    "one example, such as LayerNorm or GroupNorm, or none"
)


def check_module(module: nn.Module, n_features: int) -> None:
    """Refuse a module whose per-example gradients cannot be clipped one by one.

    Args:
        module: from rows of shape `(n, n_features)` to logits; it is not changed.
        n_features: width of a row.

    Raises:
        ConfigError: names the layer, the reason and the remedy.
    """
    for name, layer in module.named_modules():
        where = f"model: layer '{name or 'itself'}' ({type(layer).__name__})"
        if isinstance(layer, BATCH_NORM):
            raise ConfigError(f"{where} {MIXES}.")
        if type(layer) in ModuleValidator.VALIDATORS:
            for error in ModuleValidator.VALIDATORS[type(layer)](layer):
                raise ConfigError(f"{where} is refused by Opacus: {' '.join(str(error).split())}")
    for name, _ in module.named_buffers():
        raise ConfigError(
            f"model: the buffer '{name}' would carry what it saw from batch to batch, outside the "
            "clipped sum. Leave it out, or make it a parameter."
        )
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            raise ConfigError(
                f"model: the parameter '{name}' is frozen, and every parameter of a plan has its "
                "place in the sum. Put a frozen layer into the encoder."
            )
    if not module.training:
        raise ConfigError("model: the module is in evaluation mode; call its train() first.")
    _check_rows_apart(module, n_features)


def _check_rows_apart(module: nn.Module, n_features: int) -> None:
    """Refuse a module whose scores of a row depend on other rows, or on chance.

    A copy with random weights is asked in float64, on random rows; the generators of the caller
    stay as they are.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        tried = copy.deepcopy(module).double()
        for parameter in tried.parameters():
            parameter.normal_()
        rows = torch.randn(ROWS, n_features, dtype=torch.float64)
        together, again = tried(rows), tried(rows)
        alone = torch.cat([tried(row[None]) for row in rows])
    largest = RELATIVE * float(together.abs().max())
    if float((together - again).abs().max()) > largest:
        raise ConfigError(
            "model: scores of the same rows differ from call to call, as with dropout, so sites "
            "could not repeat a plan. Leave the random layer out."
        )
    if float((together - alone).abs().max()) > largest:
        raise ConfigError(f"model: the module {MIXES}.")


def check_draw(drawn: NDArray[np.bool_], n_units: int) -> None:
    """Refuse a draw that is not one yes or no for every unit.

    Raises:
        ValueError: for weights, repetitions or a selection by place, with the reason.
    """
    if drawn.dtype != np.bool_ or drawn.shape != (n_units,):
        raise ValueError(
            f"a draw holds one yes or no for each of {n_units} units, got {drawn.dtype} of shape "
            f"{drawn.shape}. Weighted or repeated draws are refused: a unit would take part more "
            "often than by the sample_rate that epsilon is computed from"
        )
