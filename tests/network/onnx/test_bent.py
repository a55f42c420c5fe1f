"""Operators that bend: compared with onnxruntime, counted in neurons."""

import numpy as np
import pytest
from onnx import TensorProto

from pyomo_relu.network import INPUT, Source, load_onnx
from tests.network.onnx.graphs import build, check_agreement, node, single

RNG = np.random.default_rng(3)


def normal(*shape):
    return RNG.standard_normal(shape)


BENT = {
    "relu": (single("Relu", ["N", 5]), 5),
    "leaky_relu": (single("LeakyRelu", ["N", 5], alpha=0.2), 5),
    "leaky_relu_default": (single("LeakyRelu", ["N", 5]), 5),
    "leaky_relu_steep": (single("LeakyRelu", ["N", 5], alpha=1.5), 5),
    "leaky_relu_negative": (single("LeakyRelu", ["N", 5], alpha=-0.5), 5),
    "prelu": (single("PRelu", [1, 2, 3], {"s": normal(2, 1)}), 6),
    "abs": (single("Abs", ["N", 5]), 5),
    "thresholded_at_zero": (single("ThresholdedRelu", ["N", 5], alpha=0.0), 5),
    "soft_shrink": (single("Shrink", ["N", 5], lambd=0.7, bias=0.7), 10),
    "elu_straight": (single("Elu", ["N", 5], alpha=0.0), 5),
    "selu_straight": (single("Selu", ["N", 5], alpha=0.0, gamma=2.0), 5),
    "selu_zero": (single("Selu", ["N", 5], gamma=0.0), 5),
    "lp_pool": (single("LpPool", [1, 2, 7], kernel_shape=[3], strides=[2], p=1), 14),
    "lp_pool_padded": (
        single("LpPool", [1, 1, 5, 5], kernel_shape=[3, 3], pads=[1] * 4, p=1),
        25,
    ),
    "lp_pool_same": (
        single("LpPool", [1, 1, 4, 5], kernel_shape=[2, 3], auto_pad="SAME_UPPER", p=1),
        20,
    ),
    "lp_pool_ceil": (
        single(
            "LpPool",
            [1, 1, 6],
            kernel_shape=[3],
            strides=[2],
            ceil_mode=1,
            p=1,
            opset=18,
        ),
        6,
    ),
    "global_lp_pool": (single("GlobalLpPool", [1, 2, 3, 3], p=1), 18),
    "hard_sigmoid": (single("HardSigmoid", ["N", 5]), 5),
    "hard_sigmoid_attributes": (
        single("HardSigmoid", ["N", 5], alpha=0.5, beta=0.1),
        5,
    ),
    "hard_sigmoid_falling": (single("HardSigmoid", ["N", 5], alpha=-0.5, beta=0.1), 5),
    "clip_attributes": (single("Clip", ["N", 5], opset=9, min=-1.0, max=0.5), 5),
    "clip_attribute_min": (single("Clip", ["N", 5], opset=9, min=0.25), 5),
    "clip_attribute_max": (single("Clip", ["N", 5], opset=9, max=-0.25), 5),
    "clip_no_attributes": (single("Clip", ["N", 5], opset=9), 0),
    "clip": (single("Clip", ["N", 5], {"a": np.array(-1.0), "b": np.array(2.0)}), 5),
    "relu6": (single("Clip", ["N", 5], {"a": np.array(0.0), "b": np.array(6.0)}), 5),
    "clip_min": (single("Clip", ["N", 5], {"a": np.array(0.5)}), 5),
    "clip_max": (single("Clip", ["N", 5], {"": None, "b": np.array(0.5)}), 5),
    "clip_infinite": (
        single("Clip", ["N", 5], {"a": np.array(-np.inf), "b": np.array(np.inf)}),
        0,
    ),
    "clip_point": (
        single("Clip", ["N", 5], {"a": np.array(1.0), "b": np.array(1.0)}),
        0,
    ),
    "clip_reversed": (
        single("Clip", ["N", 5], {"a": np.array(2.0), "b": np.array(-1.0)}),
        0,
    ),
    "max_constant": (single("Max", ["N", 5], {"c": normal(5)}), 5),
    "max_constants": (single("Max", ["N", 5], {"c": normal(5), "d": normal(1, 1)}), 5),
    "min_broadcast": (single("Min", [1, 3, 1], {"c": normal(1, 4)}), 12),
    "max_alone": (single("Max", ["N", 5]), 0),
    "max_twice_the_same": (
        build([node("Max", ["x", "x"], ["y"])], {"x": ["N", 5]}, ["y"]),
        5,
    ),
    "reduce_max": (single("ReduceMax", [1, 3, 4], opset=13, axes=[2], keepdims=0), 9),
    "reduce_max_input": (
        single("ReduceMax", [1, 7], {"a": np.array([1])}, opset=18),
        6,
    ),
    "reduce_min_all": (single("ReduceMin", [1, 3, 4], opset=13), 11),
    "reduce_l1": (single("ReduceL1", [1, 3, 4], opset=13, axes=[1]), 12),
    "global_max_pool": (single("GlobalMaxPool", [1, 2, 3, 3]), 16),
    "max_pool": (
        single("MaxPool", [1, 2, 4, 4], kernel_shape=[2, 2], strides=[2, 2]),
        24,
    ),
    "max_pool_1d": (single("MaxPool", [1, 2, 7], kernel_shape=[3], strides=[2]), 12),
    "max_pool_3d": (single("MaxPool", [1, 1, 3, 3, 2], kernel_shape=[2, 2, 2]), None),
    "max_pool_padded": (
        single(
            "MaxPool", [1, 1, 5, 5], kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2]
        ),
        None,
    ),
    "max_pool_dilated": (
        single("MaxPool", [1, 1, 6, 6], kernel_shape=[2, 2], dilations=[2, 3]),
        None,
    ),
    "max_pool_ceil": (
        single(
            "MaxPool", [1, 1, 6, 7], kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1
        ),
        None,
    ),
    "max_pool_same_lower": (
        single("MaxPool", [1, 1, 5, 4], kernel_shape=[2, 3], auto_pad="SAME_LOWER"),
        None,
    ),
}


@pytest.mark.parametrize("model,neurons", [*BENT.values()], ids=[*BENT])
def test_bent_operator(model, neurons):
    network = check_agreement(model, points=24)
    if neurons is not None:
        assert network.n_neurons == neurons


def test_max_and_min_of_several_data_tensors():
    model = build(
        [
            node("Split", ["x"], ["a", "b", "c"], axis=1),
            node("Max", ["a", "b", "c", "k"], ["u"]),
            node("Min", ["a", "b", "c"], ["v"]),
            node("Concat", ["u", "v"], ["y"], axis=1),
        ],
        {"x": [1, 6]},
        ["y"],
        {"k": np.array([0.5, -0.5])},
        opset=13,
    )
    assert check_agreement(model, points=30).n_neurons == 6 + 4


def test_clip_between_data_tensors():
    model = build(
        [
            node("Split", ["x"], ["a", "lo"], axis=0),
            node("Reshape", ["lo", "empty"], ["low"]),
            node("Clip", ["a", "low", "high"], ["y"]),
        ],
        {"x": [2]},
        ["y"],
        {"high": np.array(1.0), "empty": np.array([], dtype=np.int64)},
        opset=13,
    )
    check_agreement(model, points=24)


def test_overlapping_windows_share_their_comparisons():
    model = single("MaxPool", [1, 1, 9], kernel_shape=[2])
    assert load_onnx(model).n_neurons == 8
    wide = load_onnx(single("MaxPool", [1, 1, 9], kernel_shape=[4]))
    assert wide.n_neurons < 6 * 3
    check_agreement(single("MaxPool", [1, 1, 9], kernel_shape=[4]), points=30)


def test_ceiling_of_a_clipped_layer():
    model = single("Clip", ["N", 3], {"a": np.array(-1.0), "b": np.array(2.0)})
    layer = load_onnx(model).layers[0]
    assert layer.activation == "clipped"
    assert np.array_equal(layer.ceiling, [3.0, 3.0, 3.0])
    assert np.array_equal(layer.bias, [1.0, 1.0, 1.0])


def test_leaky_relu_reads_its_pre_activation():
    network = load_onnx(single("LeakyRelu", ["N", 3], alpha=0.1))
    assert set(network.output_layer.sources) == {Source(0), Source(0, post=False)}


def test_a_tensor_activated_twice_is_one_layer():
    model = build(
        [
            node("Relu", ["x"], ["a"]),
            node("Relu", ["x"], ["b"]),
            node("Abs", ["x"], ["c"]),
            node("Sum", ["a", "b", "c"], ["y"]),
        ],
        {"x": ["N", 3]},
        ["y"],
    )
    network = check_agreement(model)
    assert len(network.activation_layers) == 1


def test_layers_are_named_after_the_tensor_they_activate():
    model = build(
        [node("MatMul", ["x", "w"], ["hidden"]), node("Relu", ["hidden"], ["y"])],
        {"x": ["N", 3]},
        ["y"],
        {"w": normal(3, 2)},
    )
    network = load_onnx(model)
    assert [layer.name for layer in network.layers] == ["hidden", "y"]


def test_dense_weights_stay_dense_and_sparse_ones_sparse():
    dense = load_onnx(single("Gemm", ["N", 20], {"w": normal(20, 10)}))
    assert isinstance(dense.layers[0].weights[0], np.ndarray)
    conv = load_onnx(single("Conv", [1, 1, 12, 12], {"w": normal(2, 1, 3, 3)}))
    assert conv.layers[0].weights[0].format == "csr"
    assert conv.layers[0].weights[0].nnz == 2 * 100 * 9


def test_float64_weights_are_kept_to_the_last_bit():
    w = normal(4, 3)
    network = load_onnx(single("MatMul", ["N", 4], {"w": w}, kind=TensorProto.DOUBLE))
    assert np.array_equal(network.layers[0].weights[0], w.T)


def test_inputs_are_the_first_source():
    network = load_onnx(single("Relu", ["N", 3]))
    assert network.layers[0].sources == (Source(INPUT),)
