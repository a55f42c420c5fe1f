"""Linear regions as rows, the walk across them, and completion."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyomo_relu.errors import ModelError
from pyomo_relu.linear.embedded import FEASIBILITY
from pyomo_relu.model.surrounding import read_surrounding
from pyomo_relu.network.pieces import region_rows
from pyomo_relu.search.completion import polish
from pyomo_relu.search.methods.ascent import box_model
from pyomo_relu.search.regions.walk import solve_region, walk
from tests.networks import chain
from tests.random_networks import networks
from tests.search.models import level_set, two_networks


@settings(max_examples=40, deadline=None)
@given(networks(scales=[0.1, 1.0]), st.integers(0, 1000))
def test_rows_hold_exactly_on_the_region(network, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=network.n_inputs)
    rows, lower, upper, C, d = region_rows(network, x)
    assert np.allclose(C @ x + d, network.forward(x), atol=1e-9)
    near = x + rng.normal(size=(200, x.size)) * 10.0 ** rng.uniform(-3, 0, (200, 1))
    own = [s[0] for s in network.activation_pattern(x)]
    for point in near:
        activity = rows @ point
        margin = np.minimum(activity - lower, upper - activity).min(initial=np.inf)
        same = all(
            np.array_equal(a, b[0])
            for a, b in zip(own, network.activation_pattern(point), strict=True)
        )
        if margin > 1e-9:
            assert same
        if margin < -1e-9:
            assert not same


@pytest.mark.parametrize("seed", range(4))
def test_walk_ends_no_worse_than_every_region_on_a_grid_around(seed):
    network = chain([2, 10, 10, 1], seed=seed)
    problem = box_model(network, [1.0], np.zeros(2), -np.ones(2), np.ones(2))
    start = problem.complete(np.array([0.4, -0.1, 0.0]))
    end = walk(problem, start, rng=0)
    assert problem.violation(end) <= FEASIBILITY
    assert (
        problem.objective(end)
        <= problem.objective(solve_region(problem, start)) + 1e-12
    )
    near = end[:2] + 1e-4 * np.random.default_rng(1).normal(size=(500, 2))
    near = np.clip(near, -1, 1)
    assert network.forward(near).min() >= problem.objective(end) - 2e-5


def test_polish_completes_integers_and_links():
    m = two_networks()
    surrounding = read_surrounding(m, [m.first, m.second])
    objective, columns = polish(surrounding, [[0.1, 0.2]] * 2)
    for var, value in zip(surrounding.variables, columns, strict=True):
        var.set_value(value, skip_validation=True)
    assert m.first.forward_error() <= 1e-9 and m.second.forward_error() <= 1e-9
    assert abs(m.on_outputs.body() - m.on_outputs.upper) <= FEASIBILITY
    assert m.level.body() >= m.level.lower - FEASIBILITY
    assert m.k.value == round(m.k.value)
    assert objective == pytest.approx(m.cost())


def test_polish_returns_none_where_the_regions_hold_no_point():
    m = level_set(1e3)
    assert polish(read_surrounding(m, [m.nn]), [[0.1, 0.2, 0.3]]) is None


def test_polish_refuses_wrong_points():
    m = two_networks()
    surrounding = read_surrounding(m, [m.first, m.second])
    with pytest.raises(ModelError, match="got 1 point for 2 networks"):
        polish(surrounding, [[0.1, 0.2]])
    with pytest.raises(ModelError, match="has 1 entry, the network 2 inputs"):
        polish(surrounding, [[0.1], [0.1, 0.2]])
