"""Random bytes: seeded streams repeat, the system's do not, no global generator is touched."""

import random

import numpy as np
import pytest
import torch

from fedcc.rng import bernoulli, byte_source, generator, uniform


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


def test_draws_come_out_true_as_often_as_their_chance_and_independently() -> None:
    drawn = bernoulli(400_000, 0.3, byte_source(2, "sample"))

    # Five standard errors: sqrt(.3 * .7 / 400,000) = 7.2e-4; of pairs sqrt(.09 * .91 / n) = 4.5e-4.
    assert abs(drawn.mean() - 0.3) < 5 * 7.2e-4
    assert abs((drawn[1:] & drawn[:-1]).mean() - 0.09) < 5 * 4.5e-4


def test_a_draw_is_never_likelier_than_its_chance() -> None:
    # All words up to the border, one by one: k < chance * 2^52 for the top 52 bits k.
    chance = 3.5 * 2.0**-52
    words = [k << 12 | 0xFFF for k in range(6)]

    drawn = bernoulli(6, chance, lambda n: np.array(words, dtype="<u8").tobytes())

    assert drawn.tolist() == [True, True, True, False, False, False]


def test_chances_of_zero_and_one_are_certain_and_others_outside_are_refused() -> None:
    assert not bernoulli(100, 0.0, byte_source(1)).any()
    assert bernoulli(100, 1.0, byte_source(1)).all()
    with pytest.raises(ValueError, match="chance"):
        bernoulli(1, 1.1, byte_source(1))
