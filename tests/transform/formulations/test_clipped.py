"""relu.clipped: given ceilings, changed functions and how far they move."""

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyomo.common.log import LoggingIntercept

from pyomo_relu import Network
from pyomo_relu.bounds import interval_bounds
from pyomo_relu.bounds.clipping import (
    clipped_bounds,
    difference_network,
    output_movement,
)
from pyomo_relu.errors import TransformationError
from pyomo_relu.network import clip_network
from tests.networks import chain, residual, two_two_one
from tests.random_networks import boxes, networks, sample
from tests.transform.battery import box_model, lp_bound, samples, snapshot, violations
from tests.truth import solve


def clipped():
    return pyo.TransformationFactory("relu.clipped")


def apply(m, ceiling, **kwds):
    with LoggingIntercept(None, "pyomo.relu") as log:
        clipped().apply_to(m, ceiling=ceiling, **kwds)
    return log.getvalue()


CEILINGS = [0.4, [0.4, 0.7], [None, np.linspace(0.1, 2, 6)], {1: 0.2, (0, 3): 0.1}]


@pytest.mark.parametrize("ceiling", CEILINGS, ids=str)
def test_a_ceiling_below_the_bound_is_refused_unless_allowed(ceiling):
    m = box_model(chain([2, 6, 6, 1]))
    before = snapshot(m)
    with pytest.raises(TransformationError, match="allow_function_change=True"):
        apply(m, ceiling)
    assert snapshot(m) == before


@pytest.mark.parametrize("ceiling", CEILINGS, ids=str)
def test_a_changed_function_is_told_everywhere_and_solved_right(ceiling):
    network = chain([2, 6, 6, 1])
    m = box_model(network)
    log = apply(m, ceiling, allow_function_change=True)
    changed = m.nn.encoded_network
    assert changed != network and m.nn.network == network
    assert "change the function of 'nn'" in log.replace("\n", " ")
    assert "CHANGE THE FUNCTION" in m.nn.summary()
    low, high = clipped().get_output_movement(m.nn)
    points = samples(network)
    moved = changed.forward(points) - network.forward(points)
    assert np.all(low <= moved) and np.all(moved <= high)
    assert np.max(np.abs(moved)) > 0
    for x in points[:5]:
        m.nn.initialize(x)
        assert violations(m) == []
        assert m.nn.outputs[0].value == changed.forward(x)[0]
        assert m.nn.forward_error() == abs(changed.forward(x) - network.forward(x))[0]
    pyo.SolverFactory("appsi_highs").solve(m)
    x = [v.value for v in m.nn.input_vars()]
    assert m.nn.outputs[0].value == pytest.approx(changed.forward(x)[0], abs=1e-6)
    assert pyo.value(m.objective) <= changed.forward(points).min() + 1e-6
    assert m.nn.forward_error() <= max(-low[0], high[0]) + 1e-6


def test_movement_of_a_2_2_1_network_is_exact():
    m = box_model(two_two_one())
    apply(m, 1.5, allow_function_change=True)
    low, high = clipped().get_output_movement(m.nn)
    assert low == pytest.approx([-1.0]) and high == pytest.approx([0.5])


def test_reversing_gives_the_function_back():
    m = box_model(chain([2, 6, 6, 1]))
    before = snapshot(m)
    token = clipped().apply_to(m, ceiling=0.3, allow_function_change=True)
    clipped().apply_to(m, reverse=token)
    assert snapshot(m) == before
    assert m.nn.encoded_network is m.nn.network


def test_ceilings_out_of_reach_need_no_permission():
    network = chain([2, 6, 6, 1], ceilings=[0.5, None])
    m = box_model(network)
    tops = [m.nn.neuron_bounds().post_bounds(k)[1] for k in (0, 1)]
    apply(m, [t + 1e-9 for t in tops])
    assert m.nn.encoded_network is m.nn.network
    assert clipped().get_output_movement(m.nn)[0] == [0.0]
    assert "CHANGE" not in m.nn.summary()
    solve(m)


@pytest.mark.parametrize(
    "ceiling, message",
    [
        (0.0, "positive"),
        (-1, "positive"),
        (float("nan"), "positive"),
        ("high", "neither a number"),
        ([1.0], "2 activation layers"),
        ([1.0, [1.0, 2.0]], "6 numbers"),
        ({5: 1.0}, "no neuron 5"),
        ({(0, 6): 1.0}, r"no neuron \(0, 6\)"),
        ({"pre": 1.0}, "no neuron 'pre'"),
        ([1.0, "x"], "expected a number"),
    ],
    ids=str,
)
def test_wrong_ceilings(ceiling, message):
    m = box_model(chain([2, 6, 6, 1]))
    before = snapshot(m)
    with pytest.raises(TransformationError, match=message):
        clipped().apply_to(m, ceiling=ceiling, allow_function_change=True)
    assert snapshot(m) == before


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_movement_and_bounds_are_sound_for_every_shape(data):
    network = data.draw(networks())
    lower, upper = data.draw(boxes(network.n_inputs))
    bounds = interval_bounds(network, lower, upper)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    ceilings = []
    for k, layer in enumerate(network.activation_layers):
        top = np.maximum(bounds.post_bounds(k)[1], 1e-9)
        c = top * rng.uniform(0.05, 1.5, layer.size)
        c[rng.random(layer.size) < 0.4] = np.inf
        ceilings.append(c)
    result = clipped_bounds(bounds, ceilings)
    low, high = output_movement(bounds, result)
    points = sample(0, lower, upper, 300)
    full = clip_network(network, ceilings)
    pre, _ = full.propagate(points)
    lean_pre, _ = result.network.propagate(points)
    for k in range(len(pre)):
        assert np.array_equal(pre[k], lean_pre[k])
        assert np.all(result.lower[k] <= pre[k]) and np.all(pre[k] <= result.upper[k])
    moved = full.forward(points) - network.forward(points)
    assert np.all(low <= moved) and np.all(moved <= high)
    difference = difference_network(network, full).forward(points)
    size = np.max(np.abs(bounds.lower[-1])) + np.max(np.abs(bounds.upper[-1])) + 1
    scale = sum(float(abs(w).sum()) for w in network.layers[-1].weights) + 1
    assert np.allclose(difference, moved, atol=1e-12 * size * scale)


def test_neurons_that_no_ceiling_reaches_keep_their_bounds():
    network = residual(0)
    bounds = interval_bounds(network, [-1, -1], [1, 1])
    ceilings = [np.full(4, np.inf), np.full(4, 0.1)]
    result = clipped_bounds(bounds, ceilings)
    for k in (0, 1):
        assert np.array_equal(result.lower[k], bounds.lower[k])
        assert np.array_equal(result.upper[k], bounds.upper[k])
    assert result.upper[2] - result.lower[2] < bounds.upper[2] - bounds.lower[2]


@pytest.mark.parametrize("lower", [-1.0, 0.2])
@pytest.mark.parametrize("name", ["relu.clipped", "relu.gdp", "relu.sos1"])
def test_the_relaxation_is_the_hull_of_the_graph(name, lower):
    """One neuron, v in [lower, 2], ceiling 0.8: extremes of x at fixed v."""
    network = Network.sequential([[[1.0]], [[1.0]]], [[0.0], [0.0]], [[0.8]])
    for v in np.linspace(lower, 2.0, 7):
        ends = []
        for sense in (pyo.minimize, pyo.maximize):
            m = box_model(network, sense)
            m.nn.inputs[0].setlb(lower)
            m.nn.inputs[0].setub(2.0)
            pyo.TransformationFactory(name).apply_to(m)
            m.nn.inputs[0].fix(float(v))
            ends.append(lp_bound(m))
        corners = np.array([lower, 0.8]), np.clip([lower, 0.8], 0, 0.8)
        above = np.interp(v, [lower, 0.8, 2.0], [*corners[1], 0.8])
        below = np.interp(
            v, [lower, max(lower, 0.0), 2.0], [*[max(lower, 0.0)] * 2, 0.8]
        )
        assert ends == pytest.approx([below, above], abs=1e-6)
