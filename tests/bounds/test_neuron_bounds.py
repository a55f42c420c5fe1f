import copy
import pickle

import numpy as np
import pytest

from pyomo_relu.bounds import NeuronBounds
from pyomo_relu.errors import BoundsError
from pyomo_relu.network import Network
from tests.random_networks import random_network


@pytest.fixture
def network():
    weights = [np.ones((4, 1)), np.ones((1, 4))]
    return Network.sequential(weights, [np.zeros(4), np.zeros(1)], name="four")


def bounds(network, lower, upper, source="given", box=(-1.0, 1.0)):
    return NeuronBounds(
        network, [lower, [-9.0]], [upper, [9.0]], source, [box[0]], [box[1]]
    )


def test_states_of_relu_neurons(network):
    b = bounds(network, [-2.0, 0.0, -2.0, 1.0], [0.0, 3.0, 2.0, 2.0])
    assert b.inactive(0).tolist() == [True, False, False, False]
    assert b.active(0).tolist() == [False, True, False, True]
    assert b.unstable(0).tolist() == [False, False, True, False]
    assert not b.at_ceiling(0).any()
    assert (b.n_stable, b.n_unstable) == (3, 1)
    assert b.mean_width(0) == pytest.approx((2 + 3 + 4 + 1) / 4)
    lower, upper = b.post_bounds(0)
    assert lower.tolist() == [0.0, 0.0, 0.0, 1.0]
    assert upper.tolist() == [0.0, 3.0, 2.0, 2.0]


def test_states_of_clipped_neurons():
    network = Network.sequential(
        [np.ones((4, 1)), np.ones((1, 4))], [np.zeros(4), np.zeros(1)], [1.0]
    )
    b = bounds(network, [-2.0, 0.0, 1.0, 0.5], [0.0, 1.0, 3.0, 1.5])
    assert b.inactive(0).tolist() == [True, False, False, False]
    assert b.active(0).tolist() == [False, True, False, False]
    assert b.at_ceiling(0).tolist() == [False, False, True, False]
    assert b.unstable(0).tolist() == [False, False, False, True]
    assert b.post_bounds(0)[1].tolist() == [0.0, 1.0, 1.0, 1.0]


def test_intersection_takes_the_tighter_side_and_says_whose(network):
    a = bounds(network, [-2.0, -2.0, -2.0, -2.0], [2.0] * 4, "interval", (-2.0, 1.0))
    b = bounds(network, [-3.0, -1.0, -2.0, -3.0], [3.0, 3.0, 1.0, 2.0], "crown")
    both = a.intersect(b)
    assert both.lower[0].tolist() == [-2.0, -1.0, -2.0, -2.0]
    assert both.upper[0].tolist() == [2.0, 2.0, 1.0, 2.0]
    assert both.source[0].tolist() == ["interval", "crown", "crown", "interval"]
    assert (both.input_lower, both.input_upper) == ([-1.0], [1.0])


def test_boxes_that_bounds_hold_on(network):
    b = bounds(network, [-2.0] * 4, [2.0] * 4)
    assert b.covers([-1.0], [1.0])
    assert b.covers([0.0], [0.5])
    assert not b.covers([-1.0], [1.1])


def test_reversed_or_nan_bounds_name_the_neuron(network):
    with pytest.raises(BoundsError, match="neuron 2 of layer 0.*'layer 0'"):
        bounds(network, [0.0, 0.0, 1.0, 0.0], [0.5] * 4)
    with pytest.raises(BoundsError, match="neuron 1 of layer 0"):
        bounds(network, [0.0, np.nan, 0.0, 0.0], [0.5] * 4)


def test_wrong_shapes_are_refused(network):
    with pytest.raises(BoundsError, match="do not fit layers of shapes"):
        bounds(network, [0.0] * 3, [1.0] * 3)


def test_bounds_of_another_network_are_refused(network):
    a = bounds(network, [-2.0] * 4, [2.0] * 4)
    other = random_network(0, 1, (4,))
    with pytest.raises(BoundsError, match="different networks"):
        a.intersect(bounds(other, [-2.0] * 4, [2.0] * 4))


def test_read_only_and_copied_from_the_caller(network):
    lower = np.full(4, -2.0)
    b = bounds(network, lower, [2.0] * 4)
    lower[0] = 7.0
    assert b.lower[0][0] == -2.0
    with pytest.raises(ValueError, match="read-only"):
        b.lower[0][0] = 1.0
    assert copy.deepcopy(b) is b


def test_pickles(network):
    b = bounds(network, [-2.0] * 4, [2.0] * 4, "lp")
    again = pickle.loads(pickle.dumps(b))
    assert again.network == network
    for a, c in zip(again.lower + again.upper, b.lower + b.upper, strict=True):
        assert np.array_equal(a, c)
    assert again.source[0].tolist() == ["lp"] * 4


def test_names_of_sources_are_kept_whole(network):
    a = bounds(network, [-2.0] * 4, [2.0] * 4, "lp")
    b = bounds(network, [-1.0, -3.0, -3.0, -3.0], [3.0] * 4, "alpha-beta-crown")
    both = a.intersect(b)
    assert both.source[0].tolist() == ["alpha-beta-crown", "lp", "lp", "lp"]
