"""Counts of linear regions: against sampling, exact arithmetic, and each other."""

import itertools
import json
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyomo_relu.analysis import count_regions
from pyomo_relu.bounds.crown.interval import interval_bounds
from pyomo_relu.errors import BoundsError, NetworkError
from pyomo_relu.network import Network, load_onnx
from tests.analysis.networks import (
    branched,
    chain,
    patterns,
    patterns_at,
    rescaled,
)
from tests.paths import SHARED_MODELS, needs_shared_models
from tests.thinned import examples, thinned

PLANAR = [
    pytest.param(chain([2, 4, 3, 1], 1), id="chain"),
    pytest.param(chain([2, 5, 5, 2], 2, [0.8, None]), id="clipped"),
    pytest.param(chain([2, 6, 6, 6, 1], 3), id="deep"),
    pytest.param(branched(2, 4), id="branched"),
    pytest.param(branched(2, 5), id="branched-5"),
]


def grid(lower, upper, n):
    axes = [np.linspace(a, b, n + 2)[1:-1] for a, b in zip(lower, upper, strict=True)]
    return np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, len(axes))


def area(polygon):
    x, y = polygon.T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


# -- against brute force ---------------------------------------------------------------


@pytest.mark.parametrize("seed", thinned(range(6), 2))
def test_tiny_networks_agree_with_a_dense_grid(seed):
    network = chain([2, 3, 2, 1], seed)
    result = count_regions(network, -1.5, 1.5)
    seen = patterns_at(network, grid([-1.5] * 2, [1.5] * 2, 900))
    assert result.exact
    assert seen == patterns(result.regions)
    assert result.lower_bound == result.upper_bound == len(seen)


@pytest.mark.parametrize("network", PLANAR)
def test_polygons_tile_the_box_and_carry_the_network(network):
    lower, upper = np.array([-1.0, -2.0]), np.array([2.0, 1.0])
    result = count_regions(network, lower, upper)
    assert sum(area(r.vertices) for r in result.regions) == pytest.approx(9, rel=1e-12)
    points = np.array([r.point for r in result.regions])
    outputs = network.forward(points)
    states = np.concatenate(network.activation_pattern(points), axis=1)
    for region, y, state in zip(result.regions, outputs, states, strict=True):
        assert region.weights @ region.point + region.offset == pytest.approx(y)
        assert np.array_equal(np.concatenate(region.pattern), state)
        corners = network.forward(region.vertices)
        affine = region.vertices @ region.weights.T + region.offset
        assert affine == pytest.approx(corners, abs=1e-9)
    assert patterns_at(network, grid(lower, upper, 300)) <= patterns(result.regions)


def lines_in_open_box(network, half):
    """Number of cells of a 2-2-1 network by exact line geometry, independently."""
    w = [[Fraction(float(v)) for v in row] for row in network.layers[0].weights[0]]
    b = [Fraction(float(v)) for v in network.layers[0].bias]
    corners = list(itertools.product((-half, half), repeat=2))
    cutting = []
    for (p, q), r in zip(w, b, strict=True):
        values = [p * x + q * y + r for x, y in corners]
        if min(values) < 0 < max(values):
            cutting.append((p, q, r))
    if len(cutting) < 2:
        return 1 + len(cutting)
    (p, q, r), (s, t, u) = cutting
    det = p * t - q * s
    if det == 0:
        return 2 if p * u == r * s and q * u == r * t else 3
    x, y = (q * u - r * t) / det, (r * s - p * u) / det
    return 4 if abs(x) < half and abs(y) < half else 3


small = st.integers(-3, 3)


@settings(max_examples=examples(60, 150), deadline=None, derandomize=True)
@given(st.lists(small, min_size=9, max_size=9))
def test_two_two_one_agrees_with_exact_rational_geometry(numbers):
    w1, b1 = np.array(numbers[:4]).reshape(2, 2), np.array(numbers[4:6])
    network = Network.sequential(
        [w1, np.array([numbers[6:8]])], [b1, np.array([numbers[8]])]
    )
    expected = lines_in_open_box(network, 2)
    assert count_regions(network, -2, 2).lower_bound == expected
    assert count_regions(network, -2, 2, rational=True).lower_bound == expected
    walked = count_regions(network, -2, 2, method="lp")
    assert walked.exact and walked.lower_bound == expected


@pytest.mark.parametrize("network", PLANAR)
def test_rational_arithmetic_gives_the_same_regions(network):
    exact = count_regions(network, -1, 1, rational=True)
    rounded = count_regions(network, -1, 1)
    assert patterns(exact.regions) == patterns(rounded.regions)
    assert exact.n_functions == rounded.n_functions


# -- the two methods -------------------------------------------------------------------


@pytest.mark.parametrize("network", thinned(PLANAR, 5))
def test_walk_and_subdivision_agree(network):
    cut = count_regions(network, -1.5, 1.5, method="geometry")
    walked = count_regions(network, -1.5, 1.5, method="lp")
    assert walked.exact
    assert patterns(walked.regions) == patterns(cut.regions)
    assert (walked.n_functions, walked.n_pieces) == (cut.n_functions, cut.n_pieces)


@pytest.mark.parametrize("seed", thinned(range(40), 16))
def test_small_integer_weights_with_all_their_coincidences(seed):
    # Equal and opposite hyperplanes, lines through corners, dead and constant neurons.
    rng = np.random.default_rng(seed)
    sizes = [rng.integers(1, 3), *rng.integers(1, 6, size=rng.integers(1, 4)), 1]
    network = Network.sequential(
        [rng.integers(-2, 3, size=(b, a)) for a, b in itertools.pairwise(sizes)],
        [rng.integers(-2, 3, size=b) for b in sizes[1:]],
        [rng.choice([None, 1.0, 3.0]) for _ in sizes[1:-1]],
    )
    exact = count_regions(network, -2, 2, rational=True)
    sampled = count_regions(network, -2, 2, method="sampling", n_samples=500)
    assert sampled.lower_bound <= exact.lower_bound <= sampled.upper_bound
    for method in ("geometry", "lp"):
        result = count_regions(network, -2, 2, method=method)
        assert result.exact and result.lower_bound == exact.lower_bound
        assert result.n_functions == exact.n_functions
        assert result.n_pieces == exact.n_pieces


def test_walk_finds_all_patterns_in_three_dimensions():
    network = chain([3, 4, 4, 1], 7)
    result = count_regions(network, -1, 1)
    assert result.method == "lp" and result.exact
    X = np.random.default_rng(0).uniform(-1, 1, (300_000, 3))
    assert patterns_at(network, X) <= patterns(result.regions)
    for region in result.regions:
        state = network.activation_pattern(region.point[None])
        assert np.array_equal(
            np.concatenate(state, axis=1)[0], np.concatenate(region.pattern)
        )


def test_walk_on_a_branched_network_in_three_dimensions():
    network = branched(3, 8)
    result = count_regions(network, -0.2, 0.2)
    assert result.exact and len(result.regions) > 20
    X = np.random.default_rng(0).uniform(-0.2, 0.2, (100_000, 3))
    assert patterns_at(network, X) <= patterns(result.regions)


@pytest.mark.parametrize("n_inputs", [2, 3, 4])
def test_generic_hyperplanes_reach_the_theoretical_bound(n_inputs):
    rng = np.random.default_rng(n_inputs)
    w = rng.normal(size=(6, n_inputs))
    network = Network.sequential([w, np.ones((1, 6))], [rng.normal(size=6), [0.0]])
    result = count_regions(network, -1e3, 1e3, method="lp")
    assert result.exact
    assert result.lower_bound == sum(comb(6, j) for j in range(n_inputs + 1))
    limited = count_regions(network, -1e3, 1e3, method="lp", max_regions=3)
    assert limited.upper_bound == result.lower_bound


def test_three_collinear_neurons_flip_together():
    w = np.array([[1.0, 1.0], [2.0, 2.0], [-3.0, -3.0]])
    network = Network.sequential(
        [w, np.eye(3), [[1.0, 2.0, 4.0]]], [[0.1, 0.2, -0.3], [-0.1] * 3, [0.0]]
    )
    cut = count_regions(network, -1, 1)
    walked = count_regions(network, -1, 1, method="lp")
    assert walked.exact and patterns(walked.regions) == patterns(cut.regions)


# -- invariances -----------------------------------------------------------------------


@pytest.mark.parametrize("method", ["geometry", "lp"])
@pytest.mark.parametrize("ceilings", [None, [0.6, 1.5]])
def test_positive_rescaling_of_neurons_changes_nothing(method, ceilings):
    network = chain([2, 5, 4, 1], 11, ceilings)
    other = rescaled(network, 12)
    X = np.random.default_rng(1).uniform(-1, 1, (50, 2))
    assert other.forward(X) == pytest.approx(network.forward(X))
    first = count_regions(network, -1, 1, method=method)
    second = count_regions(other, -1, 1, method=method)
    assert patterns(first.regions) == patterns(second.regions)
    assert (first.n_functions, first.n_pieces) == (second.n_functions, second.n_pieces)


@pytest.mark.parametrize("network", PLANAR)
def test_a_larger_box_holds_at_least_the_same_regions(network):
    previous = set()
    for half in (0.3, 0.6, 1.2, 2.4):
        now = patterns(count_regions(network, -half, half).regions)
        assert previous <= now
        previous = now


def test_proven_bounds_save_work_and_change_no_count():
    network = chain([2, 8, 8, 1], 5)
    lower, upper = np.full(2, -0.4), np.full(2, 0.4)
    bounds = interval_bounds(network, lower, upper)
    assert 0 < bounds.n_unstable < network.n_neurons
    for method in ("geometry", "lp"):
        plain = count_regions(network, lower, upper, method=method)
        helped = count_regions(network, lower, upper, bounds, method=method)
        assert patterns(plain.regions) == patterns(helped.regions)
        assert helped.n_unstable == bounds.n_unstable < plain.n_unstable
    free = count_regions(network, lower, upper, method="sampling")
    limited = count_regions(network, lower, upper, bounds, method="sampling")
    assert plain.lower_bound <= limited.upper_bound < free.upper_bound


# -- activation regions, affine functions, pieces --------------------------------------


def one_input(rows, outputs):
    w = np.array([[a] for a, _ in rows], dtype=float)
    return Network.sequential([w, [outputs]], [[b for _, b in rows], [0.0]])


def test_one_input_gives_intervals_between_breakpoints():
    hat = one_input([(1, 1), (1, 0), (1, -1)], [1.0, -2.0, 1.0])
    result = count_regions(hat, -3, 2)
    ends = sorted(
        {round(float(v), 12) for r in result.regions for v in r.vertices[:, 0]}
    )
    assert ends == [-3, -1, 0, 1, 2]
    # 0, x + 1, 1 - x, 0: the first and the last carry the same function, apart.
    assert (result.lower_bound, result.n_functions, result.n_pieces) == (4, 3, 4)
    walked = count_regions(hat, -3, 2, method="lp")
    assert (walked.lower_bound, walked.n_functions, walked.n_pieces) == (4, 3, 4)


@pytest.mark.parametrize("method", ["geometry", "lp"])
def test_a_kink_that_cancels_is_a_region_but_no_piece(method):
    network = one_input([(1, 0), (2, 0)], [-2.0, 1.0])
    result = count_regions(network, -1, 1, method=method)
    assert (result.lower_bound, result.n_functions, result.n_pieces) == (2, 1, 1)


def test_fixed_inputs_are_no_dimensions():
    network = chain([3, 5, 4, 1], 3)
    lower, upper = np.array([-1, 0.3, -1]), np.array([1, 0.3, 1])
    result = count_regions(network, lower, upper)
    assert result.method == "geometry" and result.exact
    points = np.array([r.point for r in result.regions])
    assert np.all(points[:, 1] == 0.3)
    affine = [r.weights @ r.point + r.offset for r in result.regions]
    assert np.array(affine) == pytest.approx(network.forward(points))
    walked = count_regions(network, lower, upper, method="lp")
    assert patterns(walked.regions) == patterns(result.regions)
    assert count_regions(network, 0.3, 0.3).lower_bound == 1


def test_a_network_without_neurons_has_one_region():
    affine = Network.sequential([np.ones((1, 3))], [[0.0]])
    for method in ("lp", "sampling"):
        assert count_regions(affine, -1, 1, method=method).lower_bound == 1


# -- bounds on the count ---------------------------------------------------------------


def serra(n_inputs, sizes):
    """Theorem 1 of Serra et al. by enumeration of all (j_1, ..., j_L)."""
    total = 0
    for js in itertools.product(*(range(n + 1) for n in sizes)):
        d, product = n_inputs, 1
        for n, j in zip(sizes, js, strict=True):
            product = product * comb(n, j) if j <= d else 0
            d = min(d, n - j)
        total += product
    return total


@pytest.mark.parametrize("sizes", [(4,), (3, 3), (2, 5, 3), (4, 1, 4)])
def test_upper_bound_is_the_published_formula(sizes):
    network = chain([2, *sizes, 1])
    result = count_regions(network, -1, 1, method="sampling", n_samples=10)
    assert result.upper_bound == serra(2, sizes)


@pytest.mark.parametrize("network", PLANAR)
def test_exact_count_lies_between_samples_and_theory(network):
    exact = count_regions(network, -2, 2)
    sampled = count_regions(network, -2, 2, method="sampling", n_samples=20_000)
    assert sampled.lower_bound <= exact.lower_bound <= sampled.upper_bound
    assert sampled.lower_bound > exact.lower_bound / 2
    assert sampled.n_functions is None and not sampled.exact


@pytest.mark.parametrize("method", ["geometry", "lp"])
def test_a_stopped_count_is_a_lower_bound(method):
    network = chain([2, 6, 6, 1], 3)
    exact = count_regions(network, -1, 1).lower_bound
    for cap in (1, 5, 20):
        part = count_regions(network, -1, 1, method=method, max_regions=cap)
        assert not part.exact
        assert cap <= part.lower_bound <= exact <= part.upper_bound
    alone = count_regions(network, -1, 1, method="sampling").lower_bound
    assert part.lower_bound >= alone
    late = count_regions(network, -1, 1, method=method, time_limit=1e-9)
    assert not late.exact and 1 <= late.lower_bound <= exact


def test_record_prints_and_serialises():
    result = count_regions(chain([2, 3, 1]), -1, 1)
    figures = json.loads(json.dumps(result.to_dict()))
    assert figures["lower_bound"] == result.lower_bound and "regions" not in figures
    assert "lower bound" in str(result) and str(result.lower_bound) in str(result)


def test_neurons_that_are_constant_do_not_blind_the_samples():
    network = chain([2, 6, 1], 3)
    w, b = network.layers[0].weights[0], network.layers[0].bias
    w, b = np.vstack([w, np.zeros(2)]), np.append(b, 0.0)
    dead = Network.sequential([w, np.ones((1, 7))], [b, [0.0]])
    plain = count_regions(network, -1, 1, method="sampling")
    assert plain.lower_bound > 5
    result = count_regions(dead, -1, 1, method="sampling")
    assert result.lower_bound == plain.lower_bound


def test_time_limit_holds_where_one_region_takes_long(clock):
    network = chain([300, 400, 400, 1], 1)
    clock.step = 0.2
    result = count_regions(network, -1, 1, time_limit=1, n_samples=200)
    assert not result.exact and result.lower_bound > 100
    assert result.seconds < 1 + 5 * clock.step


@needs_shared_models
def test_a_real_network_by_both_methods():
    network = load_onnx(SHARED_MODELS / "small" / "reluMIP_peaks_3x10.onnx")
    cut = count_regions(network, -1, 1, method="geometry")
    walked = count_regions(network, -1, 1, method="lp")
    assert cut.exact and walked.exact
    assert patterns(cut.regions) == patterns(walked.regions)
    bounds = interval_bounds(network, -np.ones(2), np.ones(2))
    assert count_regions(network, -1, 1, bounds).lower_bound == cut.lower_bound


# -- errors ----------------------------------------------------------------------------


def test_errors_say_what_is_wrong():
    network = chain([3, 4, 1])
    with pytest.raises(NetworkError, match="unknown method 'guess'"):
        count_regions(network, -1, 1, method="guess")
    with pytest.raises(NetworkError, match="at most two inputs.*here are 3.*'lp'"):
        count_regions(network, -1, 1, method="geometry")
    with pytest.raises(NetworkError, match="rational arithmetic is only"):
        count_regions(network, -1, 1, rational=True)
    with pytest.raises(NetworkError, match="input that is not fixed"):
        count_regions(network, 0, 0, method="lp")
    with pytest.raises(BoundsError, match=r"input 1 has the bounds \[0.0, inf\]"):
        count_regions(network, 0, [1, np.inf, 1])
    with pytest.raises(BoundsError, match="input 0 has the bounds"):
        count_regions(network, 1, 0)
    with pytest.raises(BoundsError, match="two sequences of 3 numbers"):
        count_regions(network, [0, 0], 1)
    with pytest.raises(NetworkError, match="must be positive, got 0"):
        count_regions(network, -1, 1, max_regions=0)
    with pytest.raises(NetworkError, match="must be positive"):
        count_regions(network, -1, 1, time_limit=0)


def test_bounds_of_another_network_or_box_are_refused():
    network = chain([2, 4, 1])
    bounds = interval_bounds(network, np.full(2, -0.5), np.full(2, 0.5))
    with pytest.raises(BoundsError, match="smaller input box"):
        count_regions(network, -1, 1, bounds)
    with pytest.raises(BoundsError, match="belong to"):
        count_regions(chain([2, 4, 1], 9), -0.5, 0.5, bounds)
