"""reduce_network: the same function on the box, fewer neurons, the right ones left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyomo_relu import Layer, Network
from pyomo_relu.bounds import interval_bounds
from pyomo_relu.network import INPUT, Source, reduce_network
from tests.networks import chain, residual
from tests.random_networks import random_network


def reduced(network, lower, upper):
    return reduce_network(network, interval_bounds(network, lower, upper))


def check_same(network, reduction, lower, upper, n=400):
    X = np.random.default_rng(0).uniform(lower, upper, (n, network.n_inputs))
    y = network.forward(X)
    size = max(1.0, np.abs(y).max())
    assert np.abs(reduction.network.forward(X) - y).max() <= 1e-12 * size
    pre = network.propagate(X)[0]
    smaller = reduction.network.propagate(X)[0]
    for (k, neurons), v in zip(reduction.kept, smaller, strict=False):
        np.testing.assert_allclose(v, pre[k][:, neurons], rtol=0, atol=1e-12 * size)
    for (k, i), (_, j, factor) in reduction.merged.items():
        np.testing.assert_allclose(pre[k][:, i], factor * pre[k][:, j], atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1.0, 0.2, 0.03]))
def test_function_is_kept_for_any_network(seed, half_width):
    rng = np.random.default_rng(seed)
    network = random_network(
        seed,
        2,
        (6, 5, 4),
        residual=bool(seed % 2),
        pre=bool(seed % 3),
        clipped=bool(seed % 5),
        sparse_weights=bool(seed % 7),
    )
    centre = rng.uniform(-1, 1, 2)
    box = centre - half_width, centre + half_width
    reduction = reduced(network, *box)
    check_same(network, reduction, *box)
    left = reduction.network.n_neurons + sum(reduction.removed.values())
    assert left == network.n_neurons
    assert reduction.network.n_neurons <= network.n_neurons


def test_nothing_to_reduce_leaves_the_network_as_it_is():
    network = chain([3, 6, 6, 2], seed=5)
    reduction = reduced(network, -4.0, 4.0)
    assert interval_bounds(network, -4.0, 4.0).n_stable == 0
    assert reduction.network.n_neurons == 12
    np.testing.assert_array_equal(
        reduction.network.layers[1].weights[0], network.layers[1].weights[0]
    )


def test_fully_stable_network_becomes_one_affine_map():
    network = chain([2, 7, 6, 1], seed=4)
    reduction = reduced(network, 0.299, 0.3)
    assert len(reduction.network.layers) == 1
    check_same(network, reduction, 0.299, 0.3)


def test_stable_layer_is_folded_into_the_next():
    """First layer shifted far into the active side, second layer undecided."""
    rng = np.random.default_rng(3)
    network = Network.sequential(
        [rng.normal(size=(5, 2)), rng.normal(size=(4, 5)), rng.normal(size=(1, 4))],
        [np.full(5, 10.0), np.zeros(4), np.zeros(1)],
    )
    # centre the second layer's pre-activations on zero at the box's middle
    biases = [-network.pre_activations(np.zeros((1, 2)))[1][0]]
    network = Network.sequential(
        [layer.weights[0] for layer in network.layers],
        [network.layers[0].bias, biases[0], np.zeros(1)],
    )
    reduction = reduced(network, -1.0, 1.0)
    assert [k for k, _ in reduction.kept] == [1]
    assert reduction.network.layers[0].sources == (Source(INPUT),)
    assert reduction.removed["folded"] == 5
    check_same(network, reduction, -1.0, 1.0)


def test_proportional_neurons_share_one():
    """Rows 1 and 2 are 2 and -3 times row 0: relu(-3 v) = 3 (relu(v) - v)."""
    row = np.array([1.0, -0.5])
    first = np.stack([row, 2 * row, -3 * row, [0.3, 0.8]])
    network = Network.sequential(
        [first, [[1.0, 1.0, 1.0, -1.0], [0.5, -1.0, 2.0, 1.0]]],
        [[0.1, 0.2, -0.3, 0.0], [0.0, 1.0]],
    )
    reduction = reduced(network, -1.0, 1.0)
    assert reduction.merged == {
        (0, 1): (0, 0, pytest.approx(2.0)),
        (0, 2): (0, 0, pytest.approx(-3.0)),
    }
    assert reduction.removed["merged"] == 2
    assert [at.tolist() for _, at in reduction.kept] == [[0, 3]]
    check_same(network, reduction, -1.0, 1.0)


def test_neurons_with_different_ceilings_are_not_merged():
    row = np.array([1.0, -0.5])
    weights = [np.stack([row, 2 * row, 2 * row]), np.ones((1, 3))]
    biases = [np.zeros(3), np.zeros(1)]
    same = Network.sequential(weights, biases, [[0.3, 0.6, np.inf]])
    reduction = reduced(same, -1.0, 1.0)
    assert reduction.merged == {(0, 1): (0, 0, pytest.approx(2.0))}
    check_same(same, reduction, -1.0, 1.0)


def test_inactive_constant_and_unread_neurons_are_left_out():
    first = Layer(
        [Source(INPUT)],
        [[[1.0], [1.0], [0.0], [1.0], [1.0]]],
        [-5.0, 0.0, 2.0, 0.3, 5.0],
        "clipped",
        [np.inf, np.inf, np.inf, np.inf, 3.0],
    )
    last = Layer([Source(0)], [[[1.0, 1.0, 4.0, 0.0, 2.0]]], [0.5], "identity")
    network = Network([first, last], [("x", (1,))], [("y", (1,))])
    reduction = reduced(network, -1.0, 1.0)
    assert reduction.removed == {
        "inactive": 1,
        "constant": 2,
        "folded": 0,
        "merged": 0,
        "unread": 1,
    }
    assert reduction.kept[0][1].tolist() == [1]
    assert reduction.network.layers[-1].bias == pytest.approx(0.5 + 8.0 + 6.0)
    check_same(network, reduction, -1.0, 1.0)


def test_bounds_go_along():
    network = residual(1)
    bounds = interval_bounds(network, 0.2, 0.4)
    reduction = reduce_network(network, bounds)
    for n, (k, at) in enumerate(reduction.kept):
        np.testing.assert_array_equal(reduction.lower[n], bounds.lower[k][at])
        np.testing.assert_array_equal(reduction.upper[n], bounds.upper[k][at])
    np.testing.assert_array_equal(reduction.lower[-1], bounds.lower[-1])
