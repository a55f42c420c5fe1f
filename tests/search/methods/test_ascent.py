"""Gradients, descent over a box and what it reaches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyomo_relu import Network
from pyomo_relu.search import minimise_over_box
from pyomo_relu.search.methods.ascent import value_and_gradient
from tests.networks import chain, residual, two_two_one
from tests.random_networks import networks
from tests.truth import optimise


@settings(max_examples=40, deadline=None)
@given(networks(scales=[0.1, 1.0]), st.integers(0, 1000))
def test_gradient_is_the_slope_of_the_linear_piece(network, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(5, network.n_inputs))
    costs = rng.normal(size=(5, network.n_outputs))
    values, gradient = value_and_gradient(network, X, costs)
    for x, c, value, slope in zip(X, costs, values, gradient, strict=True):
        C, _ = network.linear_piece([s[0] for s in network.activation_pattern(x)])[-1]
        assert value == pytest.approx(c @ network.forward(x), abs=1e-9)
        assert np.allclose(slope, c @ C, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_reaches_the_optimum_that_a_milp_proves(seed):
    import pyomo.environ as pyo

    network = chain([2, 12, 12, 1], seed=seed)
    x, value = minimise_over_box(network, [1.0], -np.ones(2), np.ones(2))
    proven, _ = optimise(network, (-1, 1), pyo.minimize, solver="appsi_highs")
    assert value == pytest.approx(network.forward(x)[0], abs=1e-12)
    assert np.all(np.abs(x) <= 1)
    assert proven - 1e-6 <= value <= proven + 1e-4 * max(1, abs(proven))


def test_input_costs_count():
    # y = 2 relu(x0 + x1) - relu(x0 - x1): with -5 x0 the corner (1, -1) is best
    x, value = minimise_over_box(
        two_two_one(), [1.0], -np.ones(2), np.ones(2), input_costs=[-5.0, 0.0]
    )
    assert np.allclose(x, [1, -1], atol=1e-6)
    assert value == pytest.approx(-7.0)


def test_start_is_never_made_worse_and_seeds_repeat():
    network, lower, upper = residual(1), -np.ones(2), np.ones(2)
    start = np.array([0.3, -0.2])
    kwds = {"n_starts": 1, "steps": 0, "walks": 0, "seed": 3}
    _, value = minimise_over_box(network, [1.0], lower, upper, start=start, **kwds)
    assert value <= network.forward(start)[0]
    again = [
        minimise_over_box(network, [1.0], lower, upper, seed=3)[0] for _ in range(2)
    ]
    assert np.array_equal(*again)


def test_flat_box_and_network_without_hidden_layers():
    affine = Network.sequential([[[1.0, -2.0]]], [[0.5]])
    x, value = minimise_over_box(affine, [1.0], [-1, -1], [1, 1])
    assert value == pytest.approx(-2.5)
    x, value = minimise_over_box(affine, [1.0], [0.25, 1], [0.25, 1])
    assert x.tolist() == [0.25, 1]
