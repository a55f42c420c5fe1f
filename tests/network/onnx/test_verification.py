"""The comparison at load: what it catches, what it tolerates, where it looks."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from pyomo_relu.errors import NetworkError, NetworkMismatchError
from pyomo_relu.network import Layer, Network, load_onnx, register_operator
from pyomo_relu.network.onnx.verification.points import probing_points
from tests.network.onnx.graphs import build, check_agreement, node, single
from tests.random_networks import random_network

RNG = np.random.default_rng(12)


@pytest.fixture
def softsign_read_as():
    """Reads Softsign (which onnxruntime knows) by a given function for one test."""
    before = []

    def register(function):
        before.append(register_operator("Softsign", function))

    yield register
    for function in before:
        register_operator("Softsign", function)


def softsign_after(first=(), weights=None):
    nodes = [*first, node("Softsign", [first[-1].output[0] if first else "x"], ["y"])]
    return build(nodes, {"x": ["N", 3]}, ["y"], weights or {})


def test_a_mismatch_names_tensor_point_and_both_values(softsign_read_as):
    softsign_read_as(lambda operation, x: x)
    with pytest.raises(NetworkMismatchError) as error:
        load_onnx(softsign_after())
    text = str(error.value)
    for part in ("tensor 'y'", "network read gives", "onnxruntime", "at the input ["):
        assert part in text


def test_without_check_a_wrong_network_passes(softsign_read_as):
    softsign_read_as(lambda operation, x: x)
    assert load_onnx(softsign_after(), check=False).n_outputs == 3


def test_a_mistake_beyond_a_far_kink_is_found():
    """A slope that is wrong only beyond 1e5, where no random point goes."""

    def wrong(operation, x, lower, upper):
        return x - 0.5 * operation.relu(x - float(upper))

    model = single("Clip", ["N", 3], {"": None, "b": np.array(1e5)})
    assert load_onnx(model).n_neurons == 3
    before = register_operator("Clip", wrong)
    try:
        with pytest.raises(NetworkMismatchError):
            load_onnx(model)
    finally:
        register_operator("Clip", before)


def test_a_hidden_mistake_behind_a_dead_output_is_found(softsign_read_as):
    """The output is zero wherever one looks, the pre-activation is still compared."""
    softsign_read_as(lambda operation, x: operation.clip(x, -1.0, 1.0))
    model = build(
        [
            node("Softsign", ["x"], ["s"]),
            node("Sub", ["s", "c"], ["h"]),
            node("Relu", ["h"], ["y"]),
        ],
        {"x": ["N", 3]},
        ["y"],
        {"c": np.array(5.0)},
    )
    with pytest.raises(NetworkMismatchError, match="tensor 'h'"):
        load_onnx(model)


def test_inputs_in_raw_units():
    """Pressures around 1e5 +- 10 and temperatures around 300 +- 1, standardised."""
    mean, deviation = np.array([[101325.0, 300.0]]), np.array([[10.0, 1.0]])
    model = build(
        [
            node("Sub", ["x", "mean"], ["c"]),
            node("Div", ["c", "sd"], ["s"]),
            node("Gemm", ["s", "W", "b"], ["h"]),
            node("Relu", ["h"], ["r"]),
            node("MatMul", ["r", "V"], ["y"]),
        ],
        {"x": ["N", 2]},
        ["y"],
        {
            "mean": mean,
            "sd": deviation,
            "W": RNG.standard_normal((2, 6)),
            "b": RNG.standard_normal(6),
            "V": RNG.standard_normal((6, 1)),
        },
    )
    network = load_onnx(model)
    pattern = network.activation_pattern(probing_points(network))[0]
    assert np.all(pattern.min(axis=0) == 0) and np.all(pattern.max(axis=0) == 1)


@pytest.mark.parametrize("seed", range(6))
def test_points_reach_both_sides_of_most_neurons(seed):
    network = random_network(seed, 5, (12, 12, 12), clipped=seed % 2 == 1)
    points = probing_points(network)
    patterns = network.activation_pattern(points)
    both = [np.any(p > 0, axis=0) & np.any(p == 0, axis=0) for p in patterns]
    # some neurons are stable whatever one feeds, those of clipped layers above all
    assert np.mean(np.concatenate(both)) > 0.75
    assert np.array_equal(points, probing_points(network))


def test_steps_cross_kinks_that_random_points_miss():
    """A second-layer neuron that is active only for inputs beyond 5000."""
    layers = [
        Layer([(-1, True)], [np.eye(1)], [0.0], name="first"),
        Layer([(0, True)], [np.eye(1)], [-5000.0], "clipped", [3.0], name="second"),
        Layer([(1, True)], [np.eye(1)], [0.0], "identity", name="out"),
    ]
    network = Network(layers, [("x", (1,))], [("y", (1,))])
    states = np.concatenate(network.activation_pattern(probing_points(network))[1])
    assert set(states.tolist()) == {0, 2}


def test_networks_that_never_read_the_inputs_alone():
    network = random_network(1, 4, (6, 6), residual=True, sparse_weights=True)
    assert np.all(np.isfinite(probing_points(network)))


def test_float64_is_compared_tightly(softsign_read_as):
    """A relative error of 1e-7 passes in float32 and is found in float64."""
    slip = 1.0 + 1e-7

    def almost(operation, x):
        return operation.clip(x, -2.0, 2.0) * slip

    before = register_operator("Clip", almost)
    try:
        limits = {"a": np.array(-2.0), "b": np.array(2.0)}
        register_operator("Clip", lambda operation, x, a, b: almost(operation, x))
        load_onnx(single("Clip", ["N", 3], limits))
        with pytest.raises(NetworkMismatchError):
            load_onnx(single("Clip", ["N", 3], limits, kind=TensorProto.DOUBLE))
    finally:
        register_operator("Clip", before)


def test_types_that_onnxruntime_lacks_are_compared_with_onnx():
    """Conv in float64: the CPU provider has no kernel, the reference evaluator has."""
    weights = {"k": RNG.standard_normal((2, 1, 2, 2))}
    model = single("Conv", [1, 1, 4, 4], weights, kind=TensorProto.DOUBLE)
    network = load_onnx(model)
    assert network.n_outputs == 18


def test_the_reference_evaluator_finds_mistakes_too():
    def halved(operation, x, w):
        return operation.relu(x.select(np.zeros((1, 2, 3, 3), dtype=int)))

    before = register_operator("Conv", halved)
    try:
        weights = {"k": RNG.standard_normal((2, 1, 2, 2))}
        with pytest.raises(NetworkMismatchError):
            load_onnx(single("Conv", [1, 1, 4, 4], weights, kind=TensorProto.DOUBLE))
    finally:
        register_operator("Conv", before)


def test_an_opset_that_onnxruntime_does_not_know_yet():
    import onnx

    model = single("Relu", ["N", 3], opset=onnx.defs.onnx_opset_version())
    model.ir_version = onnx.IR_VERSION
    assert load_onnx(model).n_neurons == 3


def test_overflowing_weights_are_a_mismatch():
    weights = {"w": np.full((3, 3), 3e38), "v": np.full((3, 1), 3e38)}
    model = build(
        [node("MatMul", ["x", "w"], ["h"]), node("MatMul", ["h", "v"], ["y"])],
        {"x": ["N", 3]},
        ["y"],
        weights,
    )
    with pytest.raises(NetworkMismatchError, match="exceed the range of float32"):
        load_onnx(model)


def test_cancellation_in_float32_is_told():
    """x + 1e9 - 1e9 is x, but not in float32."""
    model = build(
        [node("Add", ["x", "c"], ["a"]), node("Sub", ["a", "c"], ["y"])],
        {"x": ["N", 3]},
        ["y"],
        {"c": np.array(1e9)},
    )
    with pytest.raises(NetworkMismatchError, match="cancels"):
        load_onnx(model)


def test_types_that_do_not_fit_are_refused_by_onnxruntime():
    model = single("Add", ["N", 3], {"c": np.ones(3)})
    model.graph.initializer[0].data_type = TensorProto.DOUBLE
    model.graph.initializer[0].raw_data = np.ones(3).tobytes()
    with pytest.raises(NetworkError, match="inconsistent type|refuses the model"):
        load_onnx(model)


def test_unused_parts_of_the_graph_do_not_disturb_the_comparison():
    model = build(
        [
            node("Relu", ["x"], ["r"]),
            helper.make_node("Strange", ["r"], ["y"], domain="nobody.knows"),
        ],
        {"x": ["N", 3]},
        ["y"],
    )
    model.opset_import.append(helper.make_opsetid("nobody.knows", 1))
    assert load_onnx(model, output="r").n_neurons == 3


def test_deep_networks_pass():
    """Fifteen layers of He-scaled weights: rounding grows, the network is right."""
    nodes, weights, x = [], {}, "x"
    for k in range(15):
        weights[f"w{k}"] = RNG.standard_normal((40, 40)) * np.sqrt(2 / 40)
        weights[f"b{k}"] = RNG.standard_normal(40)
        nodes.append(node("Gemm", [x, f"w{k}", f"b{k}"], [f"h{k}"]))
        nodes.append(node("Relu", [f"h{k}"], [f"r{k}"]))
        x = f"r{k}"
    weights["v"] = RNG.standard_normal((40, 1))
    nodes.append(node("MatMul", [x, "v"], ["y"]))
    check_agreement(build(nodes, {"x": ["N", 40]}, ["y"], weights), tolerance=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_no_false_alarm_over_seeds(seed):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-3, 3, 2)
    weights = {
        "W": scale[0] * rng.standard_normal((6, 30)),
        "b": scale[0] * rng.standard_normal(30),
        "V": scale[1] * rng.standard_normal((30, 1)),
    }
    model = build(
        [
            node("Gemm", ["x", "W", "b"], ["h"]),
            node("Relu", ["h"], ["r"]),
            node("MatMul", ["r", "V"], ["y"]),
        ],
        {"x": ["N", 6]},
        ["y"],
        weights,
    )
    assert load_onnx(model).n_neurons == 30
