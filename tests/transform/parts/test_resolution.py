"""What solvers cannot resolve of an encoding: warned of, left out, or refused."""

import logging
import operator
from fractions import Fraction

import numpy as np
import pyomo.environ as pyo
import pytest

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.bounds import crown_bounds, interval_bounds
from pyomo_relu.bounds.resolution import largest_leak
from pyomo_relu.errors import ReLUError, TransformationError
from pyomo_relu.network import Network
from tests.networks import chain
from tests.random_networks import random_network
from tests.transform.battery import box_model, snapshot
from tests.truth import solve

#: Formulations with big-M rows, and options that keep them quick.
BIG_M = {
    "relu.bigm": {},
    "relu.clipped": {},
    "relu.scaled": {},
    "relu.partition": {},
    "relu.cuts": {"max_rounds": 1},
    "relu.cells": {"max_cells": 8, "drop_neurons": False},
    "relu.reduce": {},
}


def decoder(seed=0):
    """Few inputs, more outputs, ordinary weights: 3-8-16-6."""
    rng = np.random.default_rng(seed)
    sizes = [(8, 3), (16, 8), (6, 16)]
    weights = [rng.normal(size=s) / np.sqrt(s[1]) for s in sizes]
    return Network.sequential(weights, [rng.normal(size=s[0]) * 0.3 for s in sizes])


def nearest_point(seed, half_width):
    """The network's output nearest to a given point, inputs in a wide box."""
    network, rng = decoder(seed), np.random.default_rng(seed)
    target = network.forward(0.5 * rng.normal(size=3)) + 0.1 * rng.normal(size=6)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(3), bounds=(-half_width, half_width))
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x)
    m.d = pyo.Var(range(6), bounds=(0, None))
    m.rows = pyo.Constraint(
        range(6),
        [1, -1],
        rule=lambda m, i, s: m.d[i] >= s * (m.nn.outputs[i] - float(target[i])),
    )
    m.objective = pyo.Objective(expr=sum(m.d.values()))
    return m


def warnings(caplog):
    return [r.message for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize("seed", range(4))
def test_a_false_optimum_was_announced(seed, caplog):
    """At +-1e6 HiGHS' optimum is false by far more than 1e-4; in a unit box it is not."""
    m = nearest_point(seed, 1e6)
    with caplog.at_level(logging.WARNING, "pyomo.relu"):
        pyo.TransformationFactory("relu.bigm").apply_to(m)
    (message,) = warnings(caplog)
    pyo.SolverFactory("appsi_highs").solve(m)
    error = m.nn.forward_error()
    leak = m.nn.record.encoding.leak
    assert error > 1e-4 and leak in message and leak in m.nn.summary()

    caplog.clear()
    m = nearest_point(seed, 1.0)
    with caplog.at_level(logging.WARNING, "pyomo.relu"):
        pyo.TransformationFactory("relu.bigm").apply_to(m)
    pyo.SolverFactory("appsi_highs").solve(m)
    assert not warnings(caplog) and "off by" not in m.nn.summary()
    assert m.nn.forward_error() < 1e-6


@pytest.mark.parametrize("name", BIG_M)
def test_every_formulation_with_big_m_rows_warns_once(name, caplog):
    for half_width, expected in ((1.0, 0), (1e6, 1)):
        m = nearest_point(0, half_width)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "pyomo.relu"):
            pyo.TransformationFactory(name).apply_to(m, **BIG_M[name])
        found = [w for w in warnings(caplog) if "integrality" in w]
        assert len(found) == expected
        for message in found:
            for part in ("neuron", "of layer", "M =", "relu.obbt", "relu.branch", "nn"):
                assert part in message


def test_the_neuron_named_is_the_one_that_leaks():
    weights = [[[1.0, 0.0], [0.0, 1.0], [1e-3, 0.0]], [[1.0, 1.0, 1.0]]]
    network = Network.sequential(weights, [[0.3, 0.1, 0.1], [0.0]])
    bounds = interval_bounds(network, [-10.0, -1e7], [10.0, 1e7])
    leak = largest_leak(bounds, [np.ones(3, dtype=bool)], 1e-4)
    assert (leak.layer, leak.neuron, leak.output) == (0, 1, 0)
    assert leak.big_m == pytest.approx(1e7, rel=1e-3)
    assert leak.move == pytest.approx(10.0, rel=1e-3) and leak.count == 1
    without = np.array([True, False, True])
    assert largest_leak(bounds, [without], 1e-4).neuron == 0
    assert largest_leak(bounds, [np.zeros(3, dtype=bool)], 1e-4) is None


def test_outputs_that_the_model_restricts_have_that_scale(caplog):
    m = nearest_point(0, 20.0)
    with caplog.at_level(logging.WARNING, "pyomo.relu"):
        pyo.TransformationFactory("relu.bigm").apply_to(m)
    assert not warnings(caplog)
    m = nearest_point(0, 20.0)
    for y in m.nn.output_vars():
        y.setlb(0.0)
        y.setub(1e-2)
    with caplog.at_level(logging.WARNING, "pyomo.relu"):
        pyo.TransformationFactory("relu.bigm").apply_to(m)
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize("seed", range(10))
def test_slopes_are_the_networks_own(seed):
    """The leak of one neuron equals what moving that neuron does to the output."""
    network = random_network(
        seed, 2, (5, 4, 3), residual=True, pre=True, clipped=True, sparse_weights=True
    )
    bounds = crown_bounds(network, -1, 1)
    masks = [bounds.unstable(k) for k in range(3)]
    if not any(mask.any() for mask in masks):
        return
    leak = largest_leak(bounds, masks, np.inf)
    if leak is None:
        return
    slope = leak.move / (1e-6 * leak.big_m)
    rng = np.random.default_rng(0)
    found = []
    for x in np.clip(rng.normal(size=(400, 2)) * rng.uniform(0, 2, (400, 1)), -1, 1):
        pre, post = network.propagate(x[None])
        moved = [np.array(p) for p in post]
        moved[leak.layer][0, leak.neuron] += 1e-7
        later_pre = list(pre)
        for k in range(leak.layer + 1, len(network.layers)):
            later_pre[k] = network.layers[k].affine(x[None], later_pre, moved)
            if k < len(moved):
                moved[k] = network.layers[k].activate(later_pre[k])
        change = later_pre[-1] - pre[-1]
        found.append(abs(change[0, leak.output]) / 1e-7)
    assert slope <= max(found) * (1 + 1e-5) + 1e-9
    assert leak.share > 0


# -- numbers beyond solvers --------------------------------------------------------


@pytest.mark.parametrize(
    "network, half_width, message",
    [
        (chain([2, 4, 1]), 1e17, "lies in"),
        (Network.sequential([[[1e16, 1.0]], [[1.0]]], [[0.0], [0.0]]), 1.0, "layer 0"),
        (
            Network.sequential([[[1.0, 1.0]], [[1.0]]], [[2e15], [-2e15]]),
            1.0,
            "neuron of layer 0 0",
        ),
    ],
    ids=["box", "weight", "bias"],
)
@pytest.mark.parametrize(
    "name", ["relu.bigm", "relu.reduce", "relu.scaled", "relu.gdp"]
)
def test_numbers_beyond_solvers_are_refused(network, half_width, message, name):
    m = box_model(network, half_width=half_width)
    before = snapshot(m)
    with pytest.raises(ReLUError, match=message):
        pyo.TransformationFactory(name).apply_to(m)
    assert snapshot(m) == before


def test_a_huge_unit_of_the_output_is_none_of_these():
    network = Network.sequential([[[1.0, 1.0]], [[1e16]]], [[0.0], [0.0]])
    m = box_model(network, pyo.maximize)
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    pyo.SolverFactory("appsi_highs").solve(m)
    assert pyo.value(m.objective) == pytest.approx(2e16, rel=1e-6)


def dead(bias):
    """A neuron that a huge bias keeps inactive, beside ordinary ones."""
    network = chain([2, 5, 4, 1], seed=2)
    first = network.layers[0]
    b = np.array(first.bias)
    b[1] = -bias
    weights = [layer.weights[0] for layer in network.layers]
    return Network.sequential(weights, [b, *(x.bias for x in network.layers[1:])])


@pytest.mark.parametrize("bias", [1e15, 1e20, 1e38])
@pytest.mark.parametrize("name", [*BIG_M, "relu.gdp"])
def test_constant_neurons_with_huge_numbers_are_left_out(name, bias):
    network = dead(bias)
    plain = box_model(dead(50.0), pyo.maximize)
    pyo.TransformationFactory("relu.bigm").apply_to(plain)
    m = box_model(network, pyo.maximize)
    transformation = pyo.TransformationFactory(name)
    token = transformation.apply_to(m, **BIG_M.get(name, {}))
    assert not m.nn.affine[0, 1].active
    if name != "relu.gdp":
        assert solve(m) == pytest.approx(solve(plain), abs=1e-6)
        transformation.apply_to(m, reverse=token)
        assert m.nn.affine[0, 1].active


def test_a_huge_pre_activation_that_is_read_is_refused():
    m = box_model(dead(1e16))
    m.row = pyo.Constraint(expr=m.nn.pre[0, 1] <= 0)
    with pytest.raises(TransformationError, match="is read"):
        pyo.TransformationFactory("relu.bigm").apply_to(m)


@pytest.mark.parametrize("slope", [-2e13, 1e14, 1e15])
def test_a_slope_that_drowns_the_other_side_is_refused(slope):
    """max(0, v) - slope max(0, -v) over [-1, 0.7]: 0.7 beside 1e13 is no digit."""
    root = float(np.sqrt(abs(slope)))
    network = Network.sequential(
        [[[1.0], [-root]], [[1.0, -np.sign(slope) * root]]], [[0.0, 0.0], [0.0]]
    )
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0], bounds=(-1.0, 0.7))
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x)
    with pytest.raises(ReLUError, match="output 0"):
        pyo.TransformationFactory("relu.bigm").apply_to(m)


def about_constants(constant, size, seed=1):
    """Neurons of a given size about a constant, which weights and biases behind undo.

    Returns
    -------
    (Network, Network)
        The second one has them folded into the layer behind, exactly.
    """
    rng = np.random.default_rng(seed)
    w, b = size * rng.normal(size=(3, 2)), constant + size * rng.normal(size=3)
    behind = rng.normal(size=(3, 3)) / size
    shift = 2.0 * rng.normal(size=3) - behind @ np.full(3, constant)
    last = rng.normal(size=(1, 3))
    exact = [[Fraction(float(a)) for a in row] for row in behind]

    def through(column):
        given = [Fraction(float(a)) for a in column]
        return [sum(map(operator.mul, row, given)) for row in exact]

    folded = np.array([[float(a) for a in through(column)] for column in w.T]).T
    bias = [
        float(a + Fraction(float(c))) for a, c in zip(through(b), shift, strict=True)
    ]
    return (
        Network.sequential([w, behind, last], [b, shift, [0.0]]),
        Network.sequential([folded, last], [bias, [0.0]]),
    )


@pytest.mark.parametrize("name", ["relu.bigm", "relu.scaled", "relu.reduce"])
@pytest.mark.parametrize(
    ("constant", "size"), [(1e2, 1e-2), (1e8, 1.0), (1.0, 1e-7), (1e5, 1e-6)]
)
def test_neurons_about_a_large_constant_are_right_or_announced(
    name, constant, size, caplog
):
    network, folded = about_constants(constant, size)
    m, plain = (box_model(n, pyo.maximize) for n in (network, folded))
    pyo.TransformationFactory("relu.bigm").apply_to(plain)
    with caplog.at_level(logging.WARNING, "pyomo.relu"):
        pyo.TransformationFactory(name).apply_to(m)
    assert m.nn.record.encoding.bounds.n_unstable > 0
    found = warnings(caplog)
    resolved = constant < 1e3 and size > 1e-5
    assert len(found) == (not resolved and name != "relu.reduce")
    for message in found:
        for part in ("neuron", "of layer 0", f"{constant:.2g}", "relu.branch", "nn"):
            assert part in message
        assert m.nn.record.encoding.leak in m.nn.summary()
    if not found:
        assert solve(m, tolerance=1e-4) == pytest.approx(solve(plain), abs=1e-4)


@pytest.mark.parametrize("kind", ["clip", "relu"])
@pytest.mark.parametrize("exponent", [-27, -30])
@pytest.mark.parametrize("seed", range(2))
def test_tiny_inputs_behind_active_neurons_are_right_where_those_are_folded(
    kind, exponent, seed
):
    """Weights of 1 do not undo the inputs' unit, but those of the folded layer do."""
    rng, unit = np.random.default_rng(seed), 2.0**exponent
    w, behind, last = (rng.normal(size=s) for s in [(4, 2), (3, 4), (1, 3)])
    bias = 0.3 * rng.normal(size=3)
    ceilings = [np.full(4, 2.0) if kind == "clip" else None, None]
    shift = bias - (behind / unit) @ np.ones(4)
    network = Network.sequential(
        [w, behind / unit, last], [np.ones(4), shift, [0.0]], ceilings
    )
    folded = Network.sequential([behind @ w, last], [bias, [0.0]])
    m, plain = box_model(network, pyo.maximize, unit), box_model(folded, pyo.maximize)
    pyo.TransformationFactory("relu.reduce").apply_to(m)
    pyo.TransformationFactory("relu.bigm").apply_to(plain)
    pyo.SolverFactory("appsi_highs").solve(m)
    assert pyo.value(m.objective) == pytest.approx(solve(plain), abs=1e-4)
