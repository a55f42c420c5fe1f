"""Verdicts against dense grids and published ones; witnesses against onnxruntime."""

import itertools

import numpy as np
import onnxruntime
import pyomo.environ as pyo
import pytest
from onnx import TensorProto, helper, numpy_helper

from pyomo_relu import ReLUNetworkBlock, load_onnx, read_vnnlib, verify
from pyomo_relu.bounds.crown.backward import BoxState
from pyomo_relu.bounds.crown.crown import crown_bounds
from pyomo_relu.bounds.crown.forward import ForwardLines, ForwardPass
from pyomo_relu.common.deadline import ENDLESS
from pyomo_relu.errors import ModelError, NetworkFileError, PropertyError
from pyomo_relu.properties import parse_vnnlib
from pyomo_relu.properties.attack import attack
from pyomo_relu.properties.bounding import RowBounder
from pyomo_relu.properties.handover import by_tree
from pyomo_relu.properties.rows import row_network
from tests.paths import ROOT, SHARED_MODELS, needs_shared_models
from tests.random_networks import random_network

HEAD = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)"
HEAD += "(declare-const Y_1 Real)(assert (and (<= -1 X_0 1) (<= -1 X_1 1)))"


def exported(seed, widths=(8, 6), n_inputs=2, n_outputs=2):
    """A random float32 network as ONNX bytes."""
    rng = np.random.default_rng(seed)
    nodes, parts, at = [], [], "x"
    for k, (a, b) in enumerate(itertools.pairwise([n_inputs, *widths, n_outputs])):
        w = (rng.normal(size=(b, a)) / np.sqrt(a) * 1.5).astype(np.float32)
        c = (0.3 * rng.normal(size=b)).astype(np.float32)
        parts += [
            numpy_helper.from_array(w, f"w{k}"),
            numpy_helper.from_array(c, f"b{k}"),
        ]
        nodes.append(
            helper.make_node("Gemm", [at, f"w{k}", f"b{k}"], [f"v{k}"], transB=1)
        )
        at = f"v{k}"
        if k < len(widths):
            nodes.append(helper.make_node("Relu", [at], [f"h{k}"]))
            at = f"h{k}"
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, n])
        for name, n in (("x", n_inputs), (at, n_outputs))
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], parts)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return model.SerializeToString()


def run_onnx(data, x):
    """What onnxruntime computes, shape (n_outputs,)."""
    session = onnxruntime.InferenceSession(data)
    return np.ravel(session.run(None, {"x": x[None].astype(np.float32)})[0])


def grid_margin(network, prop, n=201):
    axis = np.linspace(-1, 1, n)
    X = np.array(list(itertools.product(axis, axis)))
    return prop.margin(X, network.forward(X)).min()


@pytest.mark.parametrize("seed", range(6))
def test_verdicts_on_both_sides_of_the_least_margin(seed):
    data = exported(seed)
    network = load_onnx(data)
    text = (
        HEAD
        + """(assert (or (and (<= Y_0 (+ Y_1 {0})) (<= Y_1 (+ 0.5 {0})))
                                 (>= Y_0 (- (+ (* 0.5 X_0) 3) {0}))))"""
    )
    least = grid_margin(network, parse_vnnlib(text.format(0)))
    for shift, verdict in ((least - 0.05, "unsat"), (least + 0.002, "sat")):
        shift = f"{shift:.9f}" if shift >= 0 else f"(- {-shift:.9f})"
        prop = parse_vnnlib(text.format(shift))
        result = verify(data, prop)
        assert result.verdict == verdict
        if verdict == "sat":
            x = result.witness
            assert np.array_equal(x, x.astype(np.float32))
            y = run_onnx(data, x)
            assert np.array_equal(y.ravel(), result.outputs)
            assert prop.margin(x[None], y.reshape(1, -1))[0] <= 0
        else:
            assert result.witness is None and 0 <= result.bound <= 0.05 + 1e-8


@pytest.mark.parametrize("seed", range(4))
def test_lines_are_below_the_rows_and_the_ascent_only_raises_them(seed):
    network = random_network(
        seed, 3, (7, 6, 5), 3, residual=True, clipped=True, pre=True
    )
    rng = np.random.default_rng(seed)
    centre, half = rng.normal(size=(9, 3)), rng.uniform(0.01, 1, (9, 3))
    lower, upper = centre - half, centre + half
    every = lambda part, least: np.ones(len(least), dtype=bool)
    plain, better = (
        RowBounder(network, steps).lines(lower, upper, every) for steps in (0, 4)
    )
    assert (better.least >= plain.least).all()
    for b in range(9):
        X = rng.uniform(lower[b], upper[b], (300, 3))
        Y = network.forward(X)
        for lines in (plain, better):
            assert (X @ lines.A[b].T + lines.c[b] <= Y).all()
            assert (lines.least[b] <= Y).all()


@pytest.mark.parametrize("seed", range(3))
def test_lines_carried_forwards_hold(seed):
    network = random_network(
        seed, 2, (300, 260, 9), 2, density=0.03, sparse_weights=True
    )
    bounder = RowBounder(network)
    rng = np.random.default_rng(seed)
    lower = rng.uniform(-1, 0, (4, 2))
    upper = lower + [[1e-3], [0.1], [0.5], [2.0]]
    forward = ForwardLines(ForwardPass(bounder.kernel), lower, upper)
    state = BoxState(bounder.kernel, lower, upper)
    X = [rng.uniform(lower[b], upper[b], (200, 2)) for b in range(4)]
    pre = [network.propagate(x)[0] for x in X]
    for k in range(len(network.layers) - 1):
        lo, hi = forward.bounds(k)
        for b in range(4):
            assert (lo[b] <= pre[b][k]).all() and (pre[b][k] <= hi[b]).all()
        scale = state.interval()[2]
        state.append(lo, hi, scale)
        forward.activate(k, state.lines[k])


def test_the_tree_agrees_where_neurons_are_split():
    data = exported(1, widths=(6,), n_inputs=2)
    network = load_onnx(data)
    text = HEAD + "(assert (and (<= Y_0 {0}) (<= Y_1 {0})))"
    least = grid_margin(network, parse_vnnlib(text.format("0.0")))
    for shift, proven in ((least - 0.01, True), (least + 0.01, False)):
        shift = f"{shift:.9f}" if shift >= 0 else f"(- {-shift:.9f})"
        prop = parse_vnnlib(text.format(shift))
        case, rows = prop.cases[0], row_network(network, prop)
        answer = by_tree(rows, case, np.zeros(2), ENDLESS, 0)
        assert (answer.bound > 0) == proven
        if not proven:
            assert (
                prop.margin(answer.point[None], network.forward(answer.point[None]))
                <= 0
            )


def test_many_inputs_go_to_the_tree():
    data = exported(2, widths=(5,), n_inputs=24, n_outputs=1)
    lines = "".join(
        f"(declare-const X_{i} Real)(assert (<= -1 X_{i} 1))" for i in range(24)
    )
    bounds = crown_bounds(load_onnx(data), -1, 1)
    lines += "(declare-const Y_0 Real)(assert (<= Y_0 {}))"
    low = float(bounds.lower[-1][0])
    assert (
        verify(data, parse_vnnlib(lines.format(f"(- {-low + 1:.6f})"))).verdict
        == "unsat"
    )
    result = verify(data, parse_vnnlib(lines.format(100)))
    assert result.verdict == "sat" and result.outputs[0] <= 100


def test_a_witness_that_the_file_does_not_confirm_is_not_reported():
    data = exported(3)
    network = load_onnx(data)
    x = np.array([0.5, -0.25])
    y = network.forward(x[None])[0]
    outputs = run_onnx(data, x).ravel()
    assert y[0] != outputs[0]  # float32 rounds
    # the box is a point, and the threshold lies between both values
    sign = ">=" if y[0] > outputs[0] else "<="
    number = f"{abs(y[0]):.17f}"
    number = number if y[0] >= 0 else f"(- {number})"
    text = HEAD + f"(assert (and (= X_0 0.5) (= X_1 (- 0.25)) ({sign} Y_0 {number})))"
    result = verify(data, parse_vnnlib(text))
    assert result.verdict == "unknown" and result.witness is None
    assert "does not confirm" in result.message or "too small" in result.message


def test_points_are_offered_with_the_rows_values_there():
    network = random_network(5, 2, (6, 5), 2)
    prop = parse_vnnlib(HEAD + "(assert (and (<= Y_0 Y_1) (<= (+ X_0 Y_1) 50)))")
    seen = []

    def offer(X, values):
        seen.append(len(X))
        there = prop.values(X, network.forward(X))
        np.testing.assert_allclose(values, there, rtol=1e-12, atol=1e-12)

    attack(row_network(network, prop), prop, offer, ENDLESS)
    assert sum(seen) > 1000


def test_no_time_and_no_inputs():
    data = exported(0)
    text = HEAD + "(assert (<= Y_0 -100000))".replace("-100000", "(- 100000)")
    assert verify(data, parse_vnnlib(text), time_limit=0).message.startswith("the time")
    empty = parse_vnnlib(HEAD + "(assert (<= X_0 -2))")
    assert verify(data, empty).verdict == "unsat"
    anywhere = verify(data, parse_vnnlib(HEAD))
    assert anywhere.verdict == "sat"


def test_wrong_files(tmp_path):
    text = HEAD + "(declare-const Y_2 Real)(assert (<= Y_0 1))"
    with pytest.raises(PropertyError, match="declares 3 outputs, but the network .* 2"):
        verify(exported(0), parse_vnnlib(text))
    broken = tmp_path / "a.onnx.gz"
    broken.write_bytes(b"no gzip")
    with pytest.raises(NetworkFileError, match="cannot be unpacked"):
        verify(broken, parse_vnnlib(HEAD))


def test_the_pyomo_model_has_the_property_where_a_point_is_feasible():
    network = load_onnx(exported(4))
    text = (
        HEAD
        + """(assert (or (and (<= X_0 (- 0.5)) (<= Y_0 Y_1))
                                 (and (>= X_1 0.25) (>= Y_0 Y_1))))"""
    )
    m = pyo.ConcreteModel()
    m.net = ReLUNetworkBlock(network=network)
    prop = read_vnnlib(m, m.net, parse_vnnlib(text))
    assert [v.bounds for v in m.net.inputs.values()] == [(-1, 1), (-1, 1)]
    m.o = pyo.Objective(expr=m.net.inputs[0] - m.net.outputs[0])
    pyo.TransformationFactory("relu.bigm").apply_to(m)
    pyo.TransformationFactory("gdp.hull").apply_to(m)
    pyo.SolverFactory("appsi_highs").solve(m)
    x = np.array([[pyo.value(v) for v in m.net.inputs.values()]])
    assert prop.margin(np.clip(x, -1, 1), network.forward(x))[0] <= 1e-5
    axis = np.linspace(-1, 1, 201)
    X = np.array(list(itertools.product(axis, axis)))
    Y = network.forward(X)
    inside = prop.margin(X, Y) <= 0
    assert pyo.value(m.o) <= (X[:, 0] - Y[:, 0])[inside].min() + 1e-6
    with pytest.raises(ModelError, match="has a component 'property_case' already"):
        read_vnnlib(m, m.net, prop)
    with pytest.raises(ModelError, match="holds no network"):
        read_vnnlib(m, m, prop)
    other = pyo.ConcreteModel()
    other.net = ReLUNetworkBlock(network=network)
    other.property_cases = pyo.Var()
    with pytest.raises(ModelError, match="has a component 'property_cases' already"):
        read_vnnlib(other, other.net, prop)
    assert not hasattr(other, "property_case")


SHARED = SHARED_MODELS / "vnnlib" if SHARED_MODELS else None
PUBLISHED = [
    ("cartpole", "cartpole_case_safe_14", "unsat"),
    ("lunarlander", "lunarlander_case_safe_10", "sat"),
    ("dubinsrejoin", "dubinsrejoin_case_unsafe_86", "unsat"),
    ("test_small", "test_small", "unsat"),
    ("ACASXU_run2a_2_8_batch_2000", "prop_3", "unsat"),
    ("ACASXU_run2a_1_8_batch_2000", "prop_4", "sat"),
]


@needs_shared_models
@pytest.mark.parametrize("network, prop, verdict", PUBLISHED)
def test_published_verdicts(network, prop, verdict):
    result = verify(SHARED / f"{network}.onnx", SHARED / f"{prop}.vnnlib")
    assert result.verdict == verdict


ACASXU = ROOT.parent / "shared" / "benchmarks" / "acasxu"


@pytest.mark.skipif(not ACASXU.is_dir(), reason="published instances are not here")
def test_a_witness_where_rows_meet_in_a_tiny_part_of_the_box():
    """Random samples miss it, and so do gradients of the largest row."""
    (network,) = ACASXU.rglob("*1_9*.onnx*")
    (prop,) = ACASXU.rglob("prop_7*")
    assert verify(network, prop).verdict == "sat"
