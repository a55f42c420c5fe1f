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
from pyomo_relu.network.rescale import clip_network
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


#: Cells of many neurons take seconds in any units; a ceiling has a unit itself.
QUICK = [
    f for f in FORMULATIONS if f.name != "relu.auto" and "ceiling" not in f.options
]
AUTO = [f for f in FORMULATIONS if f.name == "relu.auto"]
CASES = [*itertools.product(QUICK, UNITS), *itertools.product(AUTO, UNITS[:1])]


@pytest.mark.parametrize("case", thinned(CASES, 27), ids=str)
def test_units_that_made_false_optima(case):
    formulation, exponents = case
    seed = 11 + len(str(formulation)) % 5
    check(formulation, seed, exponents, clipped=seed % 2 == 0)


_EXPONENTS = st.one_of(
    st.just(0), st.integers(-40, 40), st.floats(-40, 40, allow_nan=False)
)


@settings(max_examples=6, deadline=None)
@given(
    st.sampled_from(QUICK),
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


# -- what the modeller does with such networks -------------------------------------------


def far(exponents=UNITS[0], seed=11, **vars_of):
    return model(read(seed, exponents, clipped=False), **vars_of)


def restricted(exponents, seed=11):
    """Rows, bounds and an objective over neurons, in the units of the network."""
    m = far(exponents, seed)
    unit = np.exp2(exponents).tolist()
    post = m.nn.post
    m.limit = pyo.Constraint(
        expr=post[0, 0] / unit[0] + post[0, 1] / unit[1] <= 0.8 + m.x[0]
    )
    m.own = pyo.Constraint(expr=m.nn.pre[1, 1] >= -0.3 * unit[5])
    post[0, 2].setub(0.4 * unit[2])
    m.objective.expr = m.nn.outputs[0] - 0.2 * post[1, 0] / unit[4]
    return m


@pytest.mark.parametrize("name", ["relu.bigm", "relu.partition", "relu.scaled"])
@pytest.mark.parametrize("exponents", UNITS, ids=str)
def test_rows_bounds_and_objectives_that_read_neurons(name, exponents):
    values = []
    for units in (np.zeros(7), exponents):
        m = restricted(units)
        before = snapshot(m)
        transformation = pyo.TransformationFactory(name)
        token = transformation.apply_to(m)
        values.append(optimum(m))
        unit = np.exp2(units)
        # the Vars have the network's units, and its values
        for k, (start, layer) in enumerate([(0, 4), (4, 3)]):
            x = [m.x[j].value for j in range(2)]
            truths = m.nn.network.propagate(np.array([x]))[1][k][0]
            for i in range(layer):
                error = (m.nn.post[k, i].value - truths[i]) / unit[start + i]
                assert abs(error) < 1e-5
        transformation.apply_to(m, reverse=token)
        for var in m.component_data_objects(pyo.Var):
            var.set_value(None)
        assert snapshot(m) == before
    assert values[1] == pytest.approx(values[0], abs=1e-5)


def test_a_bound_of_a_neuron_that_is_widened_makes_the_encoding_outdated():
    m = restricted(UNITS[0])
    BIGM.apply_to(m)
    m.nn.initialize([0.0, 0.0])
    m.nn.post[0, 2].setub(None)
    with pytest.raises(Exception, match="bounds of 'nn.post.0,2.' were widened"):
        m.nn.forward_error()
    m.nn.refresh()
    m.nn.forward_error()


def pickled(m):
    return pickle.loads(pickle.dumps(m))


@pytest.mark.parametrize("copy", [pyo.ConcreteModel.clone, pickled])
@pytest.mark.parametrize("formulation", thinned(QUICK, 6), ids=str)
def test_copies_starts_and_refreshing(formulation, copy):
    m = far(UNITS[3])
    m.token = formulation.apply(m)
    other = copy(m)
    formulation.transformation.apply_to(m, reverse=m.token)
    assert m.nn.record.encoding is None
    pyo.TransformationFactory("relu.warmstart").apply_to(other)
    for row in other.component_data_objects(pyo.Constraint, active=True):
        if not formulation.leaves_out:
            assert row.slack() >= -1e-6, row.name
    other.x[0].setub(0.5)
    pyo.TransformationFactory("relu.refresh").apply_to(other)
    plain = far(np.zeros(7))
    plain.x[0].setub(0.5)
    BIGM.apply_to(plain)
    near = max(1e-4, 2 * formulation.tolerance)
    found = optimum(other, formulation.solvers[0])
    assert found == pytest.approx(optimum(plain), abs=near)
    assert other.nn.forward_error() < np.inf


def test_networks_in_one_call_may_be_taken_off_one_by_one():
    """Rows of the modeller are written over copies of all of them."""
    optima = []
    for units in (np.zeros(7), UNITS[1]):
        m = far(units)
        m.more = ReLUNetworkBlock(network=read(12, units, False), inputs=m.x)
        scale = 2.0 ** -units[6]
        m.link = pyo.Constraint(
            expr=scale * (m.nn.post[1, 2] + m.more.post[1, 2]) <= 0.5
        )
        BIGM.apply_to(m)
        m.x[1].setub(0.75)
        for block in (m.nn, m.more):
            pyo.TransformationFactory("relu.refresh").apply_to(m, targets=block)
        optima.append(optimum(m))
    assert optima[1] == pytest.approx(optima[0], abs=1e-5)


def test_an_input_that_is_a_neuron_of_another_network():
    optima = []
    for units in (np.zeros(7), UNITS[0]):
        m = far(units)
        scaling = ([0, 0], [2.0 ** units[0], 1.0])
        inputs = [m.nn.post[0, 0], m.x[0]]
        m.nn.post[0, 0].setub(5 * 2.0 ** units[0])
        m.next = ReLUNetworkBlock(
            network=chain([2, 3, 1], seed=1), inputs=inputs, input_scaling=scaling
        )
        m.objective.expr = m.next.outputs[0] + m.nn.outputs[0]
        BIGM.apply_to(m)
        optima.append(optimum(m))
    assert optima[1] == pytest.approx(optima[0], abs=1e-5)


# -- which neurons, and which units ------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(networks(), st.integers(0, 2**16), st.integers(-40, 40))
def test_factors_undo_units(network, seed, exponent):
    """Whatever the units, sizes end within a power of two of each other's."""
    rng = np.random.default_rng(seed)
    sizes = [layer.size for layer in network.activation_layers]
    units = [np.exp2(rng.choice([0, exponent], n)) for n in sizes]
    bounds = crown_bounds(
        network, -np.ones(network.n_inputs), np.ones(network.n_inputs)
    )
    there = rescaled_bounds(bounds, units)
    found = neuron_factors(there)
    plain = neuron_factors(bounds) or [np.ones(n) for n in sizes]
    for k, unit in enumerate(units):
        s = np.ones(sizes[k]) if found is None else found[k]
        rest = s * unit / plain[k]
        moved = (s != 1.0) & (plain[k] != 1.0)
        assert np.all(rest[moved] == 1.0)
        assert np.array_equal(np.exp2(np.round(np.log2(s))), s)
    ones = [np.ones(n) for n in sizes]
    assert tiny_unit(there, ones if found is None else found) is None


def test_a_neuron_that_moves_nothing_keeps_its_unit():
    weights = [[[1.0, 1.0], [1e-9, -1e-9], [1e-9, 1e-9]], [[1.0, 1.0, 1e9]]]
    network = Network.sequential(weights, [np.zeros(3), [0.0]])
    (factors,) = neuron_factors(crown_bounds(network, -1, 1))
    assert factors[0] == factors[1] == 1.0 and factors[2] > 2.0**20


@pytest.mark.parametrize("formulation", BY_NAME, ids=str)
def test_ordinary_units_have_no_copies(formulation):
    m = model(chain([2, 6, 6, 1], seed=3))
    formulation.apply(m)
    encoding = m.nn.record.encoding
    assert (encoding.neurons is None) == (formulation.name != "relu.scaled")


@pytest.mark.parametrize("name", ["relu.bigm", "relu.sos1"])
def test_units_that_no_solver_takes_as_a_coefficient(name):
    m = far([-52, 0, 0, 0, 0, 0, 0])
    before = snapshot(m)
    with pytest.raises(TransformationError) as error:
        pyo.TransformationFactory(name).apply_to(m)
    for part in (name, "neuron 0 of layer 0", "e-16", "Multiply", "relu.branch"):
        assert part in str(error.value)
    assert snapshot(m) == before


def test_given_factors_that_leave_a_neuron_in_a_tiny_unit():
    m = far(UNITS[0])
    before = snapshot(m)
    scaled = pyo.TransformationFactory("relu.scaled")
    with pytest.raises(TransformationError) as error:
        scaled.apply_to(m, factors=2.0)
    for part in ("neuron 0 of layer 0", "Leave the factors out", "one of about"):
        assert part in str(error.value)
    assert snapshot(m) == before
    scaled.apply_to(m, factors=[2.0**30, None])
    assert optimum(m) == pytest.approx(truth(11, False, pyo.maximize), abs=1e-5)
    scaled = pyo.TransformationFactory("relu.scaled")
    again = far(UNITS[0])
    scaled.apply_to(again)
    assert min(scaled.get_factors(again.nn)[0]) > 2.0**20


def test_factors_of_merged_neurons_are_the_networks():
    """The second neuron is twice the first in the network, whatever their copies are."""
    weights = [[[1e-9, 2e-9], [2e-9, 4e-9], [1.0, -1.0]], [[1e9, 1e9, 1.0]]]
    m = model(Network.sequential(weights, [[1e-9, 2e-9, 0.0], [0.0]]))
    reduce = pyo.TransformationFactory("relu.reduce")
    reduce.apply_to(m)
    found = {i: reduce.get_representative(m.nn.activation[0, i]) for i in range(2)}
    factors = sorted(factor for _, factor in found.values())
    assert factors in ([1.0, 2.0], [0.5, 1.0])
    assert optimum(m) == pytest.approx(3 * (1 + 2 + 1), abs=1e-4)
