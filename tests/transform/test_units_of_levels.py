"""Clip, Min, Max and pooling in any unit: the optimum is that of ordinary units.

Everything before the operator and its levels are times a power of two, weights behind it
undo that; the unit may come from weights, from the inputs, or from layers before.
"""

import functools

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from pyomo_relu import ReLUNetworkBlock, load_onnx
from tests.network.onnx.graphs import build, node, session
from tests.thinned import DENSE, examples
from tests.transform.battery import FORMULATIONS

N = 4
SOLVERS = "appsi_highs", "gurobi_direct"


class Nodes:
    """Nodes of a graph in a row, and its constants."""

    def __init__(self, unit):
        self.unit, self.nodes, self.constants = unit, [], {}

    def level(self, value):
        return self.constant(np.asarray(value) * self.unit)

    def constant(self, value):
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def add(self, operator, inputs, **attributes):
        name = f"t{len(self.nodes)}"
        self.nodes.append(node(operator, inputs, [name], **attributes))
        return name

    def affine(self, tensor, w, b):
        moved = self.add("MatMul", [tensor, self.constant(w.T.copy())])
        return self.add("Add", [moved, self.constant(b)])

    def clip(self, tensor, low=None, high=None):
        limits = ["" if a is None else self.level(a) for a in (low, high)]
        return self.add("Clip", [tensor, *limits])


def hard_sigmoid(g, t):
    """max(0, min(1, a x + b)) as exporters write it for doubles."""
    slope = g.add("Mul", [t, g.constant(np.array(0.4) / g.unit)])
    shifted = g.add("Add", [slope, g.constant(np.array(0.5))])
    clipped = g.add("Clip", [shifted, g.constant(0.0), g.constant(1.0)])
    return g.add("Mul", [clipped, g.level(1.0)])


def pooled(g, t):
    image = g.add("Reshape", [t, g.constant(np.array([1, 1, N]))])
    attributes = {"kernel_shape": [2], "strides": [1], "pads": [0, 1]}
    return g.add(
        "Reshape",
        [
            g.add("MaxPool", [image], **attributes),
            g.constant(np.array([1, N])),
        ],
    )


def larger(g, t):
    turned = 0.8 * np.eye(N)[::-1]
    return g.add("Max", [t, g.add("MatMul", [t, g.constant(turned)])])


LEVELS = np.linspace(-0.5, 0.7, N)
KINDS = {
    "relu": lambda g, t: g.add("Relu", [t]),
    "clip": lambda g, t: g.clip(t, -0.5, 0.7),
    "clip below": lambda g, t: g.clip(t, -0.7),
    "clip above": lambda g, t: g.clip(t, None, 0.7),
    "clip beyond reach": lambda g, t: g.clip(t, -3e6, 0.7),
    "relu6": lambda g, t: g.clip(t, 0.0, 0.6),
    "hard tanh": lambda g, t: g.clip(t, -1.0, 1.0),
    "hard sigmoid": hard_sigmoid,
    "min": lambda g, t: g.add("Min", [t, g.level(LEVELS)]),
    "max": lambda g, t: g.add("Max", [t, g.level(LEVELS)]),
    "min after relu": lambda g, t: g.add("Min", [g.add("Relu", [t]), g.level(0.7)]),
    "max after min": lambda g, t: g.add(
        "Max", [g.add("Min", [t, g.level(0.7)]), g.level(0.1)]
    ),
    "max of tensors": larger,
    "pooling": pooled,
    "absolute": lambda g, t: g.add("Abs", [t]),
}


def file_and_box(kind, place, exponent, seed):
    """The ONNX file, and half the width of its input box."""
    unit, rng = 2.0**exponent, np.random.default_rng(seed)
    g, box = Nodes(unit), 1.0
    w, b = rng.normal(size=(N, 2)), 0.5 * rng.normal(size=N)
    if place == "weights":
        t = g.affine("x", unit * w, unit * b)
    elif place == "layers before":
        t = g.add("Relu", [g.affine("x", unit * w, unit * b)])
        t = g.add("MatMul", [t, g.constant(rng.normal(size=(N, N)))])
    else:
        box = unit
        t = g.affine("x", w, unit * b * (place == "inputs"))
    t = KINDS[kind](g, t)
    inner = g.affine(t, rng.normal(size=(3, N)) / unit, 0.3 * rng.normal(size=3))
    y = g.affine(g.add("Relu", [inner]), rng.normal(size=(1, 3)), np.zeros(1))
    g.nodes.append(node("Identity", [y], ["y"]))
    double = TensorProto.DOUBLE
    model = build(g.nodes, {"x": [1, 2]}, ["y"], g.constants, kind=double)
    return model, box


PLACES = "weights", "layers before", "inputs", "inputs, no biases"


def solved(file, box, formulation, solver, sense):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-box, box))
    m.nn = ReLUNetworkBlock(network=load_onnx(file), inputs=m.x)
    m.objective = pyo.Objective(expr=m.nn.outputs[0], sense=sense)
    formulation.apply(m)
    pyo.assert_optimal_termination(pyo.SolverFactory(solver).solve(m))
    return m


@functools.cache
def truth(kind, place, seed, sense):
    """The optimum in ordinary units."""
    file, box = file_and_box(kind, place, 0, seed)
    m = solved(file, box, FORMULATIONS[0], "appsi_highs", sense)
    return pyo.value(m.objective)


#: Products of numbers below 1e-6 say little in any unit; a given ceiling has one itself;
#: cells of a whole model take seconds.
QUICK = [
    f
    for f in FORMULATIONS
    if f.name not in ("relu.auto", "relu.complementarity")
    and not {"ceiling", "scope"} & set(f.options)
]


def check(kind, place, exponent, seed, formulation, solver, sense):
    file, box = file_and_box(kind, place, exponent, seed)
    if solver not in formulation.solvers:
        solver = formulation.solvers[0]
    m = solved(file, box, formulation, solver, sense)
    near, found = max(1e-4, 2 * formulation.tolerance), pyo.value(m.objective)
    expected = truth(kind, place, seed, sense)
    assert found == pytest.approx(expected, rel=near, abs=near)
    point = np.array([[m.x[j].value for j in range(2)]])
    ((y,),) = session(file).run(None, {"x": point})
    assert float(y[0]) == pytest.approx(found, rel=near, abs=near)


@settings(
    max_examples=examples(8, 300),
    derandomize=not DENSE,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    # a level beyond reach is a big M of 3e6, which is announced as too large for solvers
    st.sampled_from([kind for kind in KINDS if kind != "clip beyond reach"]),
    st.sampled_from(PLACES),
    st.integers(-40, 40),
    st.integers(0, 2**16),
    st.sampled_from(QUICK),
    st.sampled_from(SOLVERS),
    st.sampled_from([pyo.minimize, pyo.maximize]),
)
@example("hard tanh", "weights", 40, 11, QUICK[0], SOLVERS[1], pyo.maximize)
@example("relu", "inputs, no biases", 30, 21, QUICK[0], SOLVERS[0], pyo.maximize)
@example("relu", "inputs", 40, 10, QUICK[0], SOLVERS[1], pyo.maximize)
@example("min after relu", "weights", -40, 13, QUICK[0], SOLVERS[1], pyo.maximize)
@example("max after min", "layers before", 30, 10, QUICK[0], SOLVERS[0], pyo.maximize)
def test_the_optimum_does_not_depend_on_the_unit(
    kind, place, exponent, seed, formulation, solver, sense
):
    check(kind, place, exponent, seed, formulation, solver, sense)


@pytest.mark.parametrize("exponent", [-40, 0, 40])
@pytest.mark.parametrize("place", ["weights", "layers before"])
@pytest.mark.parametrize("kind", KINDS)
def test_reading_does_not_depend_on_the_unit(kind, place, exponent):
    """Layers, ceilings and weights are the same times the unit, to the last bit."""
    here, there = (load_onnx(file_and_box(kind, place, e, 5)[0]) for e in (0, exponent))
    point = np.random.default_rng(1).uniform(-1.0, 1.0, (20, 2))
    np.testing.assert_array_equal(here.forward(point), there.forward(point))
    for one, other in zip(here.layers, there.layers, strict=True):
        finite = np.isfinite(one.ceilings)
        ratio = other.ceilings[finite] / one.ceilings[finite]
        assert np.all(np.isin(ratio, [1.0, 2.0**exponent]))
