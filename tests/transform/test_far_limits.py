"""Limits and slopes of any size: networks equal onnxruntime, encodings the network."""

import numpy as np
import pyomo.environ as pyo
import pytest
from onnx import TensorProto

from pyomo_relu import ReLUNetworkBlock, load_onnx
from pyomo_relu.errors import NetworkError, ReLUError
from tests.network.onnx.graphs import build, node, run, single

LARGEST = float(np.finfo(np.float32).max)
SIZES = [1e3, 1e5, 3e6, 1e9, 1e12, 1e16, 1e20, 1e30, 3e38, LARGEST]


def after_max(low, high):
    nodes = [node("Max", ["x", "a"], ["h"]), node("Min", ["h", "b"], ["y"])]
    constants = {"a": np.full(2, low), "b": np.full(2, high)}
    return build(nodes, {"x": ["N", 2]}, ["y"], constants)


def beside_constants(low):
    nodes = [
        node("Concat", ["x", "a"], ["h"], axis=1),
        node("ReduceMax", ["h"], ["y"], axes=[1]),
    ]
    return build(nodes, {"x": [1, 2]}, ["y"], {"a": np.array([[low, low / 2]])})


def clip(low, high):
    name = "" if low is None else "a"
    constants = {name: low} if high is None else {name: low, "b": high}
    return single("Clip", ["N", 2], constants)


def number(x):
    return None if x is None else np.array(x)


#: Models that bend at a limit t, or with a slope of t where x is negative.
LIMITS = {
    "clip": lambda t: clip(number(-t), number(t)),
    "clip low": lambda t: clip(number(-t), None),
    "clip high": lambda t: clip(None, number(t)),
    "clip far below": lambda t: clip(number(-t), number(0.5)),
    "clip far above": lambda t: clip(number(-0.5), number(t)),
    "clip attributes": lambda t: single("Clip", ["N", 2], opset=9, min=-t, max=t),
    "max": lambda t: single("Max", ["N", 2], {"c": np.array([-t, 0.25])}),
    "min": lambda t: single("Min", ["N", 2], {"c": np.array([t, 0.25])}),
    "max then min": lambda t: after_max(-t, t),
    "soft shrink": lambda t: single("Shrink", ["N", 2], lambd=t, bias=t),
    "reduce max": lambda t: beside_constants(-t),
}
SLOPES = {
    "leaky": lambda t: single("LeakyRelu", ["N", 2], alpha=t),
    "leaky falling": lambda t: single("LeakyRelu", ["N", 2], alpha=-t),
    "prelu": lambda t: single("PRelu", ["N", 2], {"s": np.array([t, 0.5])}),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", [*LIMITS, *SLOPES])
def test_forward_equals_onnxruntime(name, size):
    """At points of order 1, 100 and the limit's own, on both sides of it."""
    model = (LIMITS | SLOPES)[name](size)
    network = load_onnx(model)
    rng = np.random.default_rng(0)
    for reach in (1.0, 100.0, size, 3.0 * size):
        for x in rng.uniform(-reach, reach, (6, 2)):
            if np.any(np.abs(x) > LARGEST):
                continue
            point = x.astype(np.float32)
            theirs = run(model, point[None])
            if not np.all(np.isfinite(theirs)):
                continue  # a slope takes it out of float32
            ours = network.forward(point.astype(float))
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def optimum(network, box, sense, how):
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1], bounds=box)
    m.nn = ReLUNetworkBlock(network=network, inputs=m.x)
    m.objective = pyo.Objective(expr=m.nn.output_vars()[0], sense=sense)
    if how == "relu.branch":
        pyo.SolverFactory(how).solve(m)
    else:
        pyo.TransformationFactory(how).apply_to(m)
        pyo.assert_optimal_termination(pyo.SolverFactory("appsi_highs").solve(m))
    return pyo.value(m.objective)


def true_optimum(network, box, kinks, sense):
    """All extremes of separable piecewise linear functions lie at ends or kinks."""
    side = np.clip([*box, *kinks, 0.0, 0.25, 0.5, -0.5], *box)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    return sense * float((sense * network.forward(grid)[:, 0]).min())


@pytest.mark.covering(4)
@pytest.mark.parametrize(
    "how", ["relu.bigm", "relu.scaled", "relu.clipped", "relu.cells", "relu.branch"]
)
@pytest.mark.parametrize("size", [3e6, 1e12, 1e20, LARGEST])
@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_out_of_reach_is_no_kink(name, size, how):
    network = load_onnx(LIMITS[name](size))
    box = (-1.0, 0.7)
    for sense in (pyo.minimize, pyo.maximize):
        truth = true_optimum(network, box, [], sense)
        assert optimum(network, box, sense, how) == pytest.approx(truth, abs=1e-6)
    if name in ("clip", "clip low", "clip high", "max then min"):
        m = pyo.ConcreteModel()
        m.x = pyo.Var([0, 1], bounds=box)
        m.nn = ReLUNetworkBlock(network=network, inputs=m.x)
        assert m.nn.neuron_bounds().n_unstable == 0


@pytest.mark.covering(3)
@pytest.mark.parametrize("size", [1e3, 1e5, 3e6, 1e9, 1e12, 1e16, 1e19])
@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_that_is_reached_is_right_or_refused(name, size):
    network = load_onnx(LIMITS[name](size))
    box = (-3.0 * size, 2.0 * size)
    for sense in (pyo.minimize, pyo.maximize):
        truth = true_optimum(network, box, [-size, size, -size / 2], sense)
        try:
            found = optimum(network, box, sense, "relu.bigm")
        except ReLUError as error:
            assert size > 1e14 and ("neuron" in str(error) or "output" in str(error))
            continue
        # what the solver knows is relative to the box
        assert found == pytest.approx(truth, rel=1e-5, abs=2e-6 * size)


@pytest.mark.parametrize("size", [1e5, 3e6, 1e9, 1e16, 1e20])
@pytest.mark.parametrize("name", SLOPES)
def test_a_steep_side_out_of_reach_changes_nothing(name, size):
    network = load_onnx(SLOPES[name](size))
    for sense in (pyo.minimize, pyo.maximize):
        truth = true_optimum(network, (0.1, 0.7), [], sense)
        found = optimum(network, (0.1, 0.7), sense, "relu.bigm")
        assert found == pytest.approx(truth, abs=1e-6)


@pytest.mark.parametrize("name", SLOPES)
def test_a_steep_side_beyond_solvers_is_refused(name):
    network = load_onnx(SLOPES[name](1e20))
    with pytest.raises(ReLUError, match=r"output 0 \('y'\)"):
        optimum(network, (-1.0, 0.7), pyo.maximize, "relu.bigm")


def test_exporters_no_limit_in_each_type():
    for kind, largest in (
        (TensorProto.FLOAT16, 65504.0),
        (TensorProto.FLOAT, LARGEST),
        (TensorProto.DOUBLE, LARGEST),
        (TensorProto.DOUBLE, float(np.finfo(np.float64).max)),
    ):
        limits = {"a": np.array(-largest), "b": np.array(largest)}
        assert load_onnx(single("Clip", ["N", 3], limits, kind=kind)).n_neurons == 0


def test_no_limit_as_infinite_constant():
    model = single("Max", ["N", 2], {"c": np.array([-np.inf, 0.5])})
    assert load_onnx(model).n_neurons == 1


def test_near_limits_cost_one_neuron_each():
    for t in (1.0, 6.0, 1e5):
        assert load_onnx(LIMITS["clip"](t)).n_neurons == 2


def test_a_limit_that_is_no_number():
    model = single("Max", ["N", 2], {"c": np.array([np.nan, 0.5])})
    with pytest.raises(NetworkError, match="NaN"):
        load_onnx(model)


def test_maximum_of_tensors_far_apart():
    """Neither side's offset may swamp the other."""
    nodes = [node("Add", ["x", "a"], ["h"]), node("Max", ["h", "x"], ["y"])]
    for far in (-1e9, -1e16):
        constants = {"a": np.array([far, 0.5])}
        model = build(nodes, {"x": ["N", 2]}, ["y"], constants)
        network = load_onnx(model)
        for x in np.float32([[0.3, -0.2], [-0.7, 0.1]]):
            np.testing.assert_allclose(
                network.forward(x.astype(float)), run(model, x[None]), rtol=1e-6
            )
