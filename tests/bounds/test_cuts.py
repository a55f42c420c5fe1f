"""Cuts: valid for every point, the most violated subset, a bound that only improves."""

import itertools

import numpy as np
import pytest
from scipy import sparse

from pyomo_relu.bounds import crown_bounds
from pyomo_relu.bounds.relaxation.cuts import CutRounds, NeuronCuts
from pyomo_relu.bounds.relaxation.network import NetworkColumns
from pyomo_relu.linear.model import LinearModel
from tests.networks import chain, residual
from tests.random_networks import random_network


def rounds_for(network, half_width=1.0):
    n, m = network.n_inputs, network.n_outputs
    lower = np.concatenate([np.full(n, -half_width), np.full(m, -np.inf)])
    linear = LinearModel(sparse.csr_array((0, n + m)), [], [], lower, -lower)
    costs = np.concatenate([np.zeros(n), np.ones(m)])
    bounds = crown_bounds(network, -half_width, half_width)
    return CutRounds(linear, costs, [(bounds, np.arange(n), n + np.arange(m))])


NETWORKS = [
    chain([5, 12, 10, 2], seed=1),
    residual(4),
    random_network(
        3, 3, (6, 5, 4), residual=True, pre=True, clipped=True, sparse_weights=True
    ),
]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
def test_cuts_hold_at_every_point(network):
    rounds = rounds_for(network)
    rounds.run(max_rounds=6, tolerance=0.0)
    X = np.random.default_rng(0).uniform(-1, 1, (3000, network.n_inputs))
    pre, post = network.propagate(X)
    assert rounds.cuts[0]
    for cut in rounds.cuts[0]:
        sources = network.layers[cut.layer].sources
        t = [X if s.layer < 0 else (post if s.post else pre)[s.layer] for s in sources]
        t = np.hstack(t)[:, cut.terms]
        z = (pre[cut.layer][:, cut.neuron] > 0).astype(float)
        left = post[cut.layer][:, cut.neuron] - t @ cut.weights - cut.on * z
        assert left.max() <= cut.constant + 1e-9


def test_separation_finds_the_most_violated_subset():
    """Against all subsets of four inputs, at random points."""
    network = chain([4, 1, 1], seed=2)
    bounds = crown_bounds(network, -1.0, 1.0)
    separator = NeuronCuts(bounds)
    w, b = network.layers[0].weights[0][0], network.layers[0].bias[0]
    low, high = -np.abs(w), np.abs(w)
    v, x, z = ({0: np.array([j])} for j in (4, 5, 6))
    columns = NetworkColumns(np.arange(4), v, x, z)
    rng = np.random.default_rng(5)
    for _ in range(50):
        t, z = rng.uniform(-1, 1, 4), rng.uniform()
        x = rng.uniform(0, bounds.upper[0][0])
        point = np.concatenate([t, [w @ t + b, x, z]])
        least = np.inf
        for chosen in itertools.product([False, True], repeat=4):
            chosen = np.array(chosen)
            inside = (w * t - low * (1 - z))[chosen].sum()
            least = min(least, inside + (b + high[~chosen].sum()) * z)
        found = separator.separate(point, columns, 0.0)
        violation = (x - least) / bounds.upper[0][0]
        assert bool(found) == (violation > 1e-9)
        if found:
            assert found[0][1] == pytest.approx(violation, abs=1e-9)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
def test_bound_improves_and_stays_below_the_minimum(network):
    rounds = rounds_for(network)
    reason = rounds.run(max_rounds=30, tolerance=0.0)
    assert reason in ("no violated row", "bound")
    assert np.all(np.diff(rounds.values) >= -1e-7)
    assert rounds.values[-1] > rounds.values[0] + 1e-3
    X = np.random.default_rng(0).uniform(-1, 1, (5000, network.n_inputs))
    assert rounds.values[-1] <= network.forward(X).sum(axis=1).min() + 1e-7


def test_limits_end_the_rounds():
    assert rounds_for(NETWORKS[0]).run(max_rounds=1, tolerance=0.0) == "rounds"
    assert rounds_for(NETWORKS[0]).run(time_limit=0.0) == "time"
    rounds = rounds_for(NETWORKS[0])
    assert rounds.run(max_rounds=50, tolerance=0.5) == "bound"
    rounds = rounds_for(NETWORKS[0])
    assert rounds.run(max_rounds=0) == "rounds"
    assert rounds.cuts == [[]]


def test_model_without_optimum_adds_nothing():
    rounds = rounds_for(NETWORKS[0])
    rounds.model = rounds.model.replace(
        lower=np.where(np.arange(rounds.model.n_columns) == 0, 0.9, rounds.model.lower)
    ).with_row([0], [1.0], -np.inf, 0.5)
    assert rounds.run() == "no optimum"
    assert rounds.cuts == [[]]
