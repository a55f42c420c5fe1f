"""Neurons in any units: every formulation has the optimum of the network in ordinary ones.

Weights behind a neuron undo its unit, so the ONNX file computes the same function; a
solver that sees the neuron in a unit of 1e-9 or 1e9 ends at false optima.
"""

import functools
import itertools
import pickle

import numpy as np
import onnx
import onnxruntime
import pyomo.environ as pyo
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.bounds import crown_bounds
from pyomo_relu.bounds.neuron_units import neuron_factors, rescaled_bounds, tiny_unit
from pyomo_relu.errors import TransformationError
from pyomo_relu.network import Network
from pyomo_relu.network.rescale import clip_network, rescale_network
from tests.networks import chain
from tests.random_networks import networks
from tests.thinned import thinned
from tests.transform.battery import BY_NAME, FORMULATIONS, snapshot

SIZES = 2, 4, 3, 1
BIGM = pyo.TransformationFactory("relu.bigm")

#: Powers of two of the seven neurons' units.
UNITS = (
    (-30, -30, -30, -30, 0, 0, 0),
    (0, 0, 0, 0, -40, -40, -40),
    (30, 30, 30, 30, 0, 0, 0),
    (-40, 40, 0, 20.3, 13, -35.7, -8),
    (40, 40, 40, 40, -40, -40, -40),
)


def layers(seed, exponents):
    """Weights, biases and units of the layers, neurons in units of ``2**exponents``."""
    rng = np.random.default_rng(seed)
    units = [np.ones(2), *np.split(np.exp2(exponents), [SIZES[1]]), np.ones(1)]
    for k, (n, m) in enumerate(itertools.pairwise(SIZES)):
        w, b = rng.normal(size=(m, n)), 0.5 * rng.normal(size=m)
        yield units[k + 1][:, None] * w / units[k], units[k + 1] * b, units[k + 1]


def onnx_bytes(seed, exponents, clipped=False):
    """A double-precision ONNX file of it; neurons have ceilings of 0.7 units."""
    nodes, constants, tensor = [], [], "x"

    def add(operator, array, name):
        nonlocal tensor
        constants.append(numpy_helper.from_array(array, f"c{name}"))
        nodes.append(helper.make_node(operator, [tensor, f"c{name}"], [name]))
        tensor = name

    for k, (w, b, units) in enumerate(layers(seed, exponents)):
        last = k == len(SIZES) - 2
        add("MatMul", w.T.copy(), f"p{k}")
        add("Add", b, "y" if last else f"v{k}")
        if not last:
            nodes.append(helper.make_node("Relu", [tensor], [f"r{k}"]))
            tensor = f"r{k}"
            if clipped:
                add("Min", 0.7 * units, f"m{k}")
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.DOUBLE, [1, size])]
        for name, size in (("x", 2), ("y", 1))
    ]
    graph = helper.make_graph(nodes, "units", *ends, constants)
    opset = [helper.make_opsetid("", 17)]
    made = helper.make_model(graph, opset_imports=opset, ir_version=8)
    return made.SerializeToString()


def read(seed, exponents, clipped):
    """The network of the file; ceilings as they are, whatever their size."""
    if not clipped:
        return onnx.load_from_string(onnx_bytes(seed, exponents))
    weights, biases, units = zip(*layers(seed, exponents), strict=True)
    network = Network.sequential(weights, biases)
    return clip_network(network, [0.7 * unit for unit in units[:-1]])


def model(network, sense=pyo.maximize):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-1, 1))
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x)
    m.objective = pyo.Objective(expr=m.nn.outputs[0], sense=sense)
    return m


def optimum(m, solver="appsi_highs"):
    pyo.assert_optimal_termination(pyo.SolverFactory(solver).solve(m))
    return pyo.value(m.objective)


@functools.cache
def truth(seed, clipped, sense):
    """The optimum with all neurons in ordinary units, which has no copies."""
    m = model(read(seed, np.zeros(7), clipped), sense)
    BIGM.apply_to(m)
    assert m.nn.record.encoding.neurons is None
    return optimum(m)


def check(formulation, seed, exponents, clipped, sense=pyo.maximize):
    m = model(read(seed, exponents, clipped), sense)
    formulation.apply(m)
    solver = formulation.solvers[0]
    if formulation.name == "relu.complementarity":
        solver = "gurobi_direct"
    found = optimum(m, solver)
    near = max(1e-4, 2 * formulation.tolerance)
    assert found == pytest.approx(truth(seed, clipped, sense), rel=near, abs=near)
    file = onnx_bytes(seed, exponents, clipped)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    point = np.array([[m.x[j].value for j in range(2)]])
    (y,) = session.run(None, {"x": point})
    assert float(y[0, 0]) == pytest.approx(found, rel=near, abs=near)


@pytest.mark.parametrize("exponents", UNITS, ids=range(len(UNITS)))
@pytest.mark.parametrize("formulation", thinned(FORMULATIONS, 12), ids=str)
def test_units_that_made_false_optima(formulation, exponents):
    seed = 11 + len(str(formulation)) % 5
    check(formulation, seed, exponents, clipped=seed % 2 == 0)


_EXPONENTS = st.one_of(
    st.just(0), st.integers(-40, 40), st.floats(-40, 40, allow_nan=False)
)


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(FORMULATIONS),
    st.integers(0, 2**16),
    st.lists(_EXPONENTS, min_size=7, max_size=7),
    st.booleans(),
    st.sampled_from([pyo.minimize, pyo.maximize]),
)
@example(FORMULATIONS[0], 2412, [-21, 0, 0, 0, 0, 0, 0], False, pyo.maximize)
def test_the_optimum_does_not_depend_on_units_of_neurons(
    formulation, seed, exponents, clipped, sense
):
    check(formulation, seed, exponents, clipped, sense)
