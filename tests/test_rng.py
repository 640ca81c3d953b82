"""Random bytes: seeded streams repeat, the system's do not, no global generator is touched."""

import random

import numpy as np
import torch

from fedcc.rng import byte_source, generator, uniform


def test_a_seeded_stream_depends_on_seed_and_path_alone() -> None:
    first = byte_source(1, "noise", "site-1", 3)(64)

    assert byte_source(1, "noise", "site-1", 3)(64) == first
    assert byte_source(2, "noise", "site-1", 3)(64) != first
    assert byte_source(1, "noise", "site-1", 4)(64) != first


def test_without_a_seed_bytes_never_repeat() -> None:
    assert byte_source(None, "noise")(32) != byte_source(None, "noise")(32)


def test_uniform_values_lie_strictly_inside_the_unit_interval_even_for_extreme_bytes() -> None:
    low = uniform(4, lambda n: bytes(n))
    high = uniform(4, lambda n: b"\xff" * n)

    assert low.min() > 0
    assert high.max() < 1


def test_uniform_values_have_mean_and_variance_of_the_uniform_distribution() -> None:
    values = uniform(200_000, byte_source(5, "u"))

    # Mean 1/2 and variance 1/12, within 5 standard errors of 200,000 draws.
    assert abs(values.mean() - 0.5) < 5 * (1 / 12 / 200_000) ** 0.5
    assert abs(values.var() - 1 / 12) < 5 * (1 / 180 / 200_000) ** 0.5


def test_no_global_generator_is_read_or_written() -> None:
    def states() -> list[bytes]:
        numpy_state = np.random.get_state()[1]  # noqa: NPY002
        return [np.asarray(numpy_state).tobytes(), torch.get_rng_state().numpy().tobytes()]

    before, python_before = states(), random.getstate()

    byte_source(1, "a")(10), generator(1, "b").random(), generator(None).random()

    assert states() == before
    assert random.getstate() == python_before
