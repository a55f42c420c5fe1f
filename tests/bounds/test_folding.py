"""Smaller networks on a box: bounds by them hold for the given network, to the last bit."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pyomo_relu.bounds.crown.backward import BackwardPass
from pyomo_relu.bounds.crown.crown import bound_layers, crown_bounds
from pyomo_relu.bounds.crown.folding import fold, work
from pyomo_relu.bounds.crown.interval import interval_bounds
from pyomo_relu.branch.bounding.lines.lines import LineBounder
from pyomo_relu.network import Network
from tests.random_networks import boxes, networks, random_network, sample, twins


def folded(network, lower, upper, bounds=None, errors=None):
    """The smaller network, its kernel, and what it keeps."""
    bounds = bounds or crown_bounds(network, lower, upper)
    maps = BackwardPass(network, errors).maps
    sides = bounds.lower, bounds.upper
    result = fold(maps, network, lower, upper, *sides)
    return BackwardPass(result.network, result.errors), result


def check(network, kernel, kept, X):
    """The rows' bounds at points, where nothing but errors is left, hold the values."""
    values = network.propagate(X)[0]
    (lowers, uppers), _ = bound_layers(kernel, X, X)
    for (k, at), low, high in zip(kept, lowers, uppers, strict=True):
        v = values[k][:, at]
        assert ((low <= v) & (v <= high)).all()
    return values[-1], lowers[-1], uppers[-1]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_bounds_by_the_smaller_network_hold_for_the_given_one(data):
    network = data.draw(networks())
    lower, upper = data.draw(boxes(network.n_inputs))
    kernel, result = folded(network, lower, upper)
    X = sample(0, lower, upper, 200)
    check(network, kernel, result.kept, X)
    (lowers, uppers), _ = bound_layers(kernel, lower[None], upper[None])
    values = network.propagate(X)[0]
    for (k, at), low, high in zip(result.kept, lowers, uppers, strict=True):
        v = values[k][:, at]
        assert ((low <= v) & (v <= high)).all()
    # again on a quarter of the box, from the smaller network
    middle = 0.5 * lower + 0.5 * upper
    part = bound_layers(kernel, lower[None], middle[None])[0]
    again = fold(
        kernel.maps, result.network, lower, middle, *([a[0] for a in s] for s in part)
    )
    inner = BackwardPass(again.network, again.errors)
    origin = [(result.kept[k][0], result.kept[k][1][at]) for k, at in again.kept]
    check(network, inner, origin, sample(1, lower, middle, 100))


def test_twins_become_one_and_their_differences_exact():
    network = twins(3)
    lower, upper = np.full(2, -1.0), np.ones(2)
    kernel, result = folded(
        network, lower, upper, interval_bounds(network, lower, upper)
    )
    assert result.network.n_neurons < network.n_neurons / 3
    assert work(result.network) < work(network) / 9
    X = sample(0, lower, upper, 500)
    y, low, high = check(network, kernel, result.kept, X)
    assert (high - low).max() < 1e-9
    plain, better = (
        crown_bounds(network, lower, upper),
        bound_layers(kernel, lower[None], upper[None])[0],
    )
    width = better[1][-1] - better[0][-1]
    assert (width <= plain.upper[-1] - plain.lower[-1]).all()
    assert (better[0][-1] <= y.min()).all() and (better[1][-1] >= y.max()).all()


def test_wide_networks_on_small_boxes_shrink_to_their_unstable_neurons():
    network = random_network(7, 3, (150, 150, 40), 2)
    lower, upper = np.full(3, 0.2), np.full(3, 0.21)
    kernel, result = folded(network, lower, upper)
    bounds = crown_bounds(network, lower, upper)
    unstable = sum(bounds.unstable(k).sum() for k in range(3))
    assert result.network.n_neurons <= unstable < 40
    check(network, kernel, result.kept, sample(0, lower, upper, 300))


def test_lines_of_the_smaller_network_hold():
    network = twins(5, depth=4, pairs=48)
    bounder = LineBounder(network)
    lower, upper = np.full(2, -1.0), np.ones(2)
    folded_ = bounder.folded(lower, upper)
    assert folded_.network.n_neurons < network.n_neurons / 3
    edges = np.stack(np.meshgrid(*2 * [np.linspace(-1, 0.75, 8)]), axis=-1).reshape(
        -1, 2
    )
    lines = folded_.lines(edges, edges + 0.25)
    rng = np.random.default_rng(0)
    for b, edge in enumerate(edges):
        X = rng.uniform(edge, edge + 0.25, (40, 2))
        y = network.forward(X)
        assert (X @ lines.low[b].T + lines.low_const[b] <= y).all()
        assert (X @ lines.high[b].T + lines.high_const[b] >= y).all()
    # small networks stay as they are
    small = LineBounder(random_network(0))
    assert small.folded(lower, upper) is small


def test_errors_of_the_given_network_are_carried_along():
    """A row that may be off by 0.1 moves what is computed from it."""
    network = Network.sequential(
        [np.eye(2), np.array([[1.0, 1.0], [1.0, -1.0]]), np.array([[1.0, 2.0]])],
        [np.array([3.0, 3.0]), np.zeros(2), np.zeros(1)],
    )
    errors = [np.array([0.1, 0.0]), np.zeros(2), np.zeros(1)]
    lower, upper = np.zeros(2), np.ones(2)
    kernel, result = folded(network, lower, upper, errors=errors)
    # the first layer and the sum are active, the difference is kept
    assert [at.tolist() for _, at in result.kept] == [[1], [0]]
    x = np.array([[1.0, 0.5]])
    (lowers, uppers), _ = bound_layers(kernel, x, x)
    np.testing.assert_allclose(lowers[0] + uppers[0], 2 * 0.5)
    np.testing.assert_allclose(uppers[0] - lowers[0], 0.2)
    # 7.5 + 2 * 0.5, off by 0.1 of the sum and twice 0.1 of the difference
    np.testing.assert_allclose([lowers[1][0, 0], uppers[1][0, 0]], [8.2, 8.8])
