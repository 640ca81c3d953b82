"""Modules that cannot be clipped one by one, and draws that are no coins, are refused by name."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from opacus.validators import ModuleValidator
from torch import nn

from fedcc.errors import ConfigError
from fedcc.models.heads import build_module, parameter_count
from fedcc.models.shapes import HeadShape
from fedcc.training.admission import check_draw, check_module
from fedcc.training.customer_sums import CustomerGradients
from fedcc.training.dp_sgd import ClippedGradients

WIDTH = 6
SHAPES = [
    HeadShape(n_features=WIDTH, hidden=0, n_outputs=1),
    HeadShape(n_features=WIDTH, hidden=4, n_outputs=5),
    HeadShape(n_features=WIDTH, hidden=4, n_outputs=5, embedding=True),
]


@dataclass(frozen=True)
class Rows:
    features: np.ndarray
    labels: np.ndarray


def rows(count: int = 8) -> Rows:
    rng = np.random.default_rng(2)
    return Rows(rng.normal(size=(count, WIDTH)).astype(np.float32), rng.integers(0, 3, count))


class Renamed(nn.BatchNorm1d):
    """A subclass, which a look at exact types does not know."""


class MinusMean(nn.Module):
    """Subtracts the mean of the batch; it has neither parameters nor a telling name."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(dim=0, keepdim=True)


class OverTheBatch(nn.Module):
    """Attention over the rows of a batch instead of the parts of one row."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x @ x.T, dim=1) @ x


def head(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), *layers, nn.Linear(WIDTH, 3))


MIXING = {
    "batch norm": nn.BatchNorm1d(WIDTH),
    "batch norm without weights": nn.BatchNorm1d(WIDTH, affine=False),
    "batch norm without weights or memory": nn.BatchNorm1d(
        WIDTH, affine=False, track_running_stats=False
    ),
    "a subclass": Renamed(WIDTH),
    "synchronised": nn.SyncBatchNorm(WIDTH),
    "of our own making": MinusMean(),
    "attention over the batch": OverTheBatch(),
}


@pytest.mark.parametrize("name", MIXING)
def test_a_layer_that_mixes_examples_is_refused_with_reason_and_remedy(name: str) -> None:
    with pytest.raises(ConfigError, match="mixes the examples of a batch.*Use a layer") as caught:
        check_module(head(MIXING[name]), WIDTH)

    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["batch norm without weights or memory", "of our own making"])
def test_what_is_refused_here_would_pass_opacus_validator(name: str) -> None:
    assert ModuleValidator.is_valid(head(MIXING[name]))


def test_a_mixing_layer_really_moves_the_gradient_of_an_other_example() -> None:
    torch.manual_seed(3)
    module, batch = head(MinusMean()), torch.from_numpy(rows().features)
    gradients = []
    for others in (batch[1:], 3 * batch[1:]):
        module.zero_grad()
        module(torch.cat([batch[:1], others]))[0].sum().backward()
        gradients.append(module[0].weight.grad.clone())

    assert not torch.allclose(gradients[0], gradients[1])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_models_that_ship_are_admitted(shape: HeadShape) -> None:
    check_module(build_module(shape), WIDTH)


@pytest.mark.parametrize("layer", [nn.LayerNorm(WIDTH), nn.GroupNorm(2, WIDTH)], ids=str)
def test_a_norm_of_single_examples_is_admitted(layer: nn.Module) -> None:
    check_module(head(layer), WIDTH)


def test_dropout_is_refused_because_no_site_could_repeat_it() -> None:
    with pytest.raises(ConfigError, match="from call to call.*Leave the random layer out"):
        check_module(head(nn.Dropout(0.5)), WIDTH)


def test_a_layer_that_opacus_would_replace_is_refused_in_its_words() -> None:
    with pytest.raises(ConfigError, match="GRU.* refused by Opacus: .*drop-in replacement"):
        check_module(nn.Sequential(nn.GRU(WIDTH, 3)), WIDTH)


def test_a_buffer_is_refused() -> None:
    module = head()
    module.register_buffer("seen", torch.zeros(1))

    with pytest.raises(ConfigError, match="buffer 'seen'"):
        check_module(module, WIDTH)


def test_a_frozen_parameter_is_refused() -> None:
    module = head()
    next(module.parameters()).requires_grad_(False)

    with pytest.raises(ConfigError, match="'0.weight' is frozen"):
        check_module(module, WIDTH)


def test_evaluation_mode_is_refused() -> None:
    with pytest.raises(ConfigError, match="evaluation mode"):
        check_module(head().eval(), WIDTH)


def test_looking_at_a_module_changes_neither_it_nor_the_global_generator() -> None:
    module = head()
    before, state = [p.clone() for p in module.parameters()], torch.get_rng_state()

    check_module(module, WIDTH)

    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    assert torch.equal(state, torch.get_rng_state())


def test_no_clipped_sum_is_made_for_a_module_that_mixes_examples() -> None:
    with pytest.raises(ConfigError, match="mixes the examples"):
        ClippedGradients(head(MinusMean()), rows(), 0.3)
    with pytest.raises(ConfigError, match="mixes the examples"):
        CustomerGradients(head(MinusMean()), rows(), np.arange(8), 0.3)


WRONG_DRAWS = {
    "weights": np.full(8, 0.5),
    "repeated places": np.array([1, 1, 1, 2]),
    "counts": np.array([2, 0, 0, 1, 0, 0, 0, 0]),
    "too few": np.ones(7, dtype=np.bool_),
}


@pytest.mark.parametrize("name", WRONG_DRAWS)
def test_a_weighted_or_repeated_draw_is_refused_with_the_reason(name: str) -> None:
    shape = HeadShape(n_features=WIDTH, hidden=4, n_outputs=3)
    module = build_module(shape)
    flat = np.zeros(parameter_count(module))
    both = [
        ClippedGradients(module, rows(), 0.3),
        CustomerGradients(build_module(shape), rows(), np.arange(8), 0.3),
    ]

    for gradients in both:
        with pytest.raises(ValueError, match="more often than by the sample_rate"):
            gradients.sum_at(flat, WRONG_DRAWS[name])


def test_a_yes_or_no_for_every_unit_is_a_draw() -> None:
    check_draw(np.array([True, False]), 2)
