"""The ziggurat against the normal distribution: tables by closed form, draws by chi-square.

Expected numbers come from scipy's normal distribution (an independent code) and from the constants
that Marsaglia and Tsang print for 256 layers.
"""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2, kstest, norm

from fedcc.privacy import gaussian
from fedcc.privacy.gaussian import CHUNK, TAIL_START, layer_area, layer_edges, standard_gaussian
from fedcc.rng import ByteSource, byte_source

DRAWS = 2_000_000
# Every eighth edge of a layer, both signs: what goes wrong within layers shows between them.
EDGES = np.sort(np.concatenate([-layer_edges()[1::8], layer_edges()[1:-1:8]]))


@pytest.fixture(scope="module")
def drawn() -> NDArray[np.float64]:
    return standard_gaussian(DRAWS, byte_source(20, "gaussian"))


def misfit(values: NDArray[np.float64], edges: NDArray[np.float64]) -> float:
    """P-value of Pearson's test of values against the standard normal, cells between edges."""
    cells = [-np.inf, *edges, np.inf]
    expected = np.diff(norm.cdf(cells)) * values.size
    # Beyond 6 the difference of two numbers near 1 would lose digits.
    upper = np.asarray(cells[:-1]) > 0
    expected[upper] = -np.diff(norm.sf(cells))[upper] * values.size
    assert expected.min() >= 10  # Pearson's test needs cells that are not empty
    counts = np.diff([0, *np.searchsorted(np.sort(values), edges), values.size])
    return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), edges.size))


def test_every_layer_has_the_same_area_and_together_they_cover_the_density() -> None:
    edges = layer_edges()
    heights = np.exp(-(edges**2) / 2)

    areas = edges[1:-1] * np.diff(heights[1:])

    # v = 0.00492867323399 for r = 3.6541528853610088 (Marsaglia and Tsang, 2000, section 2).
    assert layer_area() == pytest.approx(0.00492867323399, rel=1e-11)
    np.testing.assert_allclose(areas, layer_area(), rtol=1e-11)
    assert edges[0] * heights[1] == pytest.approx(layer_area(), rel=1e-13)
    # All layers cover the half density and the corners that the wedge test cuts off.
    corners = areas - [
        math.sqrt(2 * math.pi) * (norm.cdf(right) - norm.cdf(left)) - (right - left) * high
        for left, right, high in zip(edges[2:], edges[1:-1], heights[1:-1], strict=True)
    ]
    inner = np.sum(areas - corners + (edges[1:-1] - edges[2:]) * heights[1:-1])
    tail = math.sqrt(2 * math.pi) * norm.sf(TAIL_START)
    assert inner + tail == pytest.approx(math.sqrt(math.pi / 2), rel=1e-12)


def test_draws_follow_the_normal_distribution_in_ten_thousand_cells(
    drawn: NDArray[np.float64],
) -> None:
    assert misfit(drawn, norm.ppf(np.arange(1, 10_000) / 10_000)) > 1e-4


def test_draws_follow_it_from_edge_to_edge_of_the_layers(drawn: NDArray[np.float64]) -> None:
    assert misfit(drawn, EDGES) > 1e-4


def test_without_the_wedge_test_the_same_comparison_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gaussian, "_HEIGHT", np.zeros(gaussian.LAYERS + 1))  # all are kept

    wrong = standard_gaussian(DRAWS, byte_source(20, "gaussian"))

    assert misfit(wrong, EDGES) < 1e-8


def beyond(source: ByteSource) -> ByteSource:
    """Give first words that all fall into the tail's part of the lowest layer, both signs."""
    calls = []

    def read(count: int) -> bytes:
        if calls:
            return source(count)
        calls.append(count)
        point = np.uint64((2**52 - 1) << 12)
        return (point | (np.arange(count // 8, dtype="<u8") % 2) * np.uint64(256)).tobytes()

    return read


def test_the_tail_has_the_law_of_a_normal_variable_beyond_its_start() -> None:
    tail = standard_gaussian(CHUNK, beyond(byte_source(21, "tail")))

    sizes = np.abs(tail)
    assert sizes.min() >= TAIL_START
    assert np.array_equal(np.sign(tail), np.tile([1, -1], CHUNK // 2))
    # Under the normal law sf(x) / sf(start) is uniform beyond the start.
    assert kstest(norm.sf(sizes) / norm.sf(TAIL_START), "uniform").pvalue > 1e-4
    # The twin: an exponential tail, that is without the rejection, is told apart.
    bare = TAIL_START - np.log(np.random.default_rng(3).random(CHUNK)) / TAIL_START
    assert kstest(norm.sf(bare) / norm.sf(TAIL_START), "uniform").pvalue < 1e-12


def test_the_tail_begins_as_often_as_it_should(drawn: NDArray[np.float64]) -> None:
    expected = 2 * norm.sf(TAIL_START) * DRAWS

    # Five standard deviations of a Poisson count of about 516.
    assert abs((np.abs(drawn) > TAIL_START).sum() - expected) < 5 * math.sqrt(expected)


def test_neighbouring_values_stay_far_below_a_grid_step_where_inversion_leaves_gaps() -> None:
    # A share of 100,000 grid steps (epsilon 1, 20 sites, 2048 steps per C), at 7 deviations.
    share_sd, far = 100_000, 7.0

    inversion = 2.0**-52 / norm.pdf(far) * share_sd
    # The tail is START - log(u) / START at a 52-bit u: its neighbours differ by 2^-52 / u / START.
    ours = 2.0**-52 / math.exp(-TAIL_START * (far - TAIL_START)) / TAIL_START * share_sd

    assert inversion > 1
    assert ours < 1e-5
    assert layer_edges()[0] * 2.0**-52 * share_sd < 1e-9


def test_draws_of_one_call_are_independent_of_each_other(drawn: NDArray[np.float64]) -> None:
    for lag in (1, 2, CHUNK):
        one, other = drawn[: 500_000 - lag], drawn[lag:500_000]
        for left, right in ((one, other), (one**2 - 1, other**2 - 1)):
            size = math.sqrt(float((left * left).mean() * (right * right).mean()))
            assert abs(float((left * right).mean())) < 5 * size / math.sqrt(one.size)


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1])
def test_any_number_of_draws_is_filled_and_repeats_for_the_same_bytes(size: int) -> None:
    first = standard_gaussian(size, byte_source(4, "size"))

    assert first.shape == (size,)
    assert np.isfinite(first).all()
    assert np.unique(first).size == size
    assert np.array_equal(first, standard_gaussian(size, byte_source(4, "size")))


@pytest.mark.parametrize("size", [1, 100])
def test_a_source_that_is_stuck_is_refused_instead_of_read_for_ever(size: int) -> None:
    with pytest.raises(RuntimeError, match="not random"):
        standard_gaussian(size, lambda count: b"\xff" * count)
