"""Each operator: read, compared with onnxruntime, counted in neurons."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from pyomo_relu.errors import (
    NetworkError,
    NetworkMismatchError,
    UnsupportedOperatorError,
)
from pyomo_relu.network import INPUT, Source, load_onnx, register_operator
from tests.network.graphs import build, check_agreement, node, single

RNG = np.random.default_rng(3)


def normal(*shape):
    return RNG.standard_normal(shape)


# -- affine operators ---------------------------------------------------------------


AFFINE = {
    "gemm_defaults": single("Gemm", ["N", 4], {"w": normal(4, 3), "c": normal(3)}),
    "gemm_all_attributes": single(
        "Gemm",
        ["N", 4],
        {"w": normal(3, 4), "c": normal(1, 3)},
        transB=1,
        alpha=0.5,
        beta=2.0,
    ),
    "gemm_scalar_bias": single("Gemm", ["N", 4], {"w": normal(4, 3), "c": normal(1)}),
    "gemm_without_bias": single("Gemm", ["N", 4], {"w": normal(4, 3)}),
    "matmul": single("MatMul", ["N", 4], {"w": normal(4, 3)}),
    "matmul_rows": single("MatMul", [1, 3, 4], {"w": normal(4, 2)}),
    "matmul_sparse_rows": single("MatMul", [1, 3, 4], {"w": np.eye(4)[:, :3]}),
    "matmul_batched": single("MatMul", [1, 2, 3, 4], {"w": normal(2, 4, 5)}),
    "matmul_vector": single("MatMul", [1, 3, 4], {"w": normal(4)}),
    "matmul_of_vector": single("MatMul", [4], {"w": normal(4, 3)}),
    "add_broadcast": single("Add", [1, 3, 1], {"c": normal(3, 4)}),
    "sub": single("Sub", ["N", 4], {"c": normal(4)}),
    "mul": single("Mul", ["N", 4], {"c": normal(1)}),
    "div": single("Div", ["N", 4], {"c": np.array([2.0, -4.0, 0.5, 8.0])}),
    "pow_one": single("Pow", ["N", 4], {"c": np.array(1.0)}),
    "neg": single("Neg", ["N", 4]),
    "sum": single("Sum", ["N", 4], {"a": normal(4), "b": normal(1, 4)}),
    "mean": single("Mean", ["N", 4], {"a": normal(4), "b": normal(1, 4)}),
    "identity": single("Identity", ["N", 4]),
    "dropout": single("Dropout", ["N", 4], {"r": np.array(0.3)}),
    "dropout_old": single("Dropout", ["N", 4], opset=9, ratio=0.4),
    "cast": single("Cast", ["N", 4], to=TensorProto.FLOAT),
    "batch_norm": single(
        "BatchNormalization",
        [1, 3, 2, 2],
        {"s": normal(3), "b": normal(3), "m": normal(3), "v": np.abs(normal(3)) + 0.1},
        epsilon=1e-3,
    ),
    "batch_norm_2d": single(
        "BatchNormalization",
        ["N", 3],
        {"s": normal(3), "b": normal(3), "m": normal(3), "v": np.abs(normal(3)) + 0.1},
    ),
    "reduce_sum": single("ReduceSum", [1, 3, 4], {"a": np.array([-1])}, opset=13),
    "reduce_sum_all": single("ReduceSum", [1, 3, 4], keepdims=0),
    "reduce_sum_nothing": single("ReduceSum", [1, 3], noop_with_empty_axes=1),
    "reduce_mean_attribute": single("ReduceMean", [1, 3, 4], opset=11, axes=[1]),
    "reduce_mean_input": single(
        "ReduceMean", [1, 3, 4], {"a": np.array([1])}, opset=18
    ),
    "cumsum": single("CumSum", ["N", 4], {"a": np.array(1)}, reverse=1, exclusive=1),
    "einsum": single("Einsum", [1, 3, 4], {"w": normal(4, 2)}, equation="bij,jk->bik"),
    "global_average_pool": single("GlobalAveragePool", [1, 2, 3, 4]),
}

MOVES = {
    "reshape": single("Reshape", ["N", 6], {"s": np.array([0, -1, 2])}),
    "flatten": single("Flatten", ["N", 2, 3], axis=1),
    "flatten_negative": single("Flatten", [1, 2, 3], axis=-1, opset=13),
    "squeeze_old": single("Squeeze", [1, 3, 1], opset=11, axes=[2]),
    "squeeze": single("Squeeze", [1, 3, 1], {"a": np.array([2])}),
    "unsqueeze": single("Unsqueeze", ["N", 3], {"a": np.array([1])}),
    "unsqueeze_old": single("Unsqueeze", ["N", 3], opset=9, axes=[0]),
    "transpose": single("Transpose", [1, 2, 3, 4], perm=[0, 3, 1, 2]),
    "transpose_default": single("Transpose", [1, 2, 3]),
    "slice": single(
        "Slice",
        [1, 6],
        {
            "b": np.array([-1]),
            "e": np.array([0]),
            "a": np.array([1]),
            "s": np.array([-2]),
        },
    ),
    "slice_old": single("Slice", [1, 6], opset=9, starts=[1], ends=[5], axes=[1]),
    "gather": single("Gather", [1, 4], {"i": np.array([[3, -1], [0, 0]])}, axis=1),
    "gather_elements": single(
        "GatherElements", [1, 4], {"i": np.array([[2, 2, 0]])}, axis=1
    ),
    "gather_nd": single("GatherND", [1, 4], {"i": np.array([[0, 3], [0, 1]])}),
    "concat_constant": single("Concat", [1, 3], {"c": normal(1, 2)}, axis=1),
    "concat_itself": build(
        [node("Concat", ["x", "x"], ["y"], axis=-1)], {"x": [1, 3]}, ["y"]
    ),
    "split": build(
        [node("Split", ["x"], ["a", "b"], axis=1), node("Sub", ["a", "b"], ["y"])],
        {"x": [1, 6]},
        ["y"],
        opset=13,
    ),
    "split_sizes": build(
        [node("Split", ["x", "s"], ["a", "y"], axis=1)],
        {"x": [1, 6]},
        ["y"],
        {"s": np.array([2, 4])},
        opset=13,
    ),
    "split_old": build(
        [node("Split", ["x"], ["a", "y"], axis=1, split=[1, 5])],
        {"x": [1, 6]},
        ["y"],
        opset=11,
    ),
    "expand": single("Expand", [1, 3, 1], {"s": np.array([1, 3, 4])}),
    "tile": single("Tile", [1, 3], {"r": np.array([1, 2])}),
    "pad_constant": single(
        "Pad",
        [1, 3],
        {"p": np.array([0, 1, 0, 2]), "v": np.array(7.0)},
        mode="constant",
    ),
    "pad_zero": single("Pad", [1, 3], {"p": np.array([0, 1, 0, 2])}),
    "pad_reflect": single("Pad", [1, 4], {"p": np.array([0, 2, 0, 1])}, mode="reflect"),
    "pad_edge": single("Pad", [1, 4], {"p": np.array([0, 2, 0, 1])}, mode="edge"),
    "pad_wrap": single(
        "Pad", [1, 4], {"p": np.array([0, 2, 0, 1])}, mode="wrap", opset=19
    ),
    "pad_negative": single("Pad", [1, 4], {"p": np.array([0, -1, 0, 1])}),
    "pad_old": single("Pad", [1, 3], opset=9, pads=[0, 1, 0, 2], value=-3.0),
    "pad_old_reflect": single(
        "Pad", [1, 3], opset=9, pads=[0, 1, 0, 1], mode="reflect"
    ),
    "depth_to_space": single("DepthToSpace", [1, 4, 2, 3], blocksize=2, mode="CRD"),
    "space_to_depth": single("SpaceToDepth", [1, 1, 4, 6], blocksize=2),
    "trilu": single("Trilu", [1, 3, 3], upper=0),
    "where": single("Where", [1, 3], {}),  # replaced below
    "scatter_nd": single(
        "ScatterND", [1, 4], {"i": np.array([[0, 2]]), "u": np.array([5.0])}
    ),
    "resize_nearest": single(
        "Resize",
        [1, 2, 3, 3],
        {"": None, "s": np.array([1, 1, 2, 2], dtype=np.float32)},
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    ),
    "resize_linear": single(
        "Resize",
        [1, 1, 3, 4],
        {"": None, "s": np.array([1, 1, 2, 1.5], dtype=np.float32)},
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    ),
    "upsample": single(
        "Upsample",
        [1, 1, 2, 3],
        {"s": np.array([1, 1, 2, 3], dtype=np.float32)},
        opset=9,
        mode="nearest",
    ),
}
MOVES["where"] = build(
    [node("Where", ["m", "x", "c"], ["y"])],
    {"x": [1, 3]},
    ["y"],
    {"m": np.array([True, False, True]), "c": normal(3)},
)
MOVES["resize_sizes"] = build(
    [node("Resize", ["x", "", "", "s"], ["y"], mode="cubic")],
    {"x": [1, 1, 4, 4]},
    ["y"],
    {"s": np.array([1, 1, 7, 5])},
    opset=19,
)

WINDOWS = {
    "conv_1d": single("Conv", [1, 2, 9], {"w": normal(3, 2, 3), "b": normal(3)}),
    "conv_2d": single(
        "Conv",
        [1, 2, 6, 5],
        {"w": normal(4, 1, 3, 2), "b": normal(4)},
        group=2,
        pads=[1, 0, 2, 1],
        strides=[2, 1],
        dilations=[1, 2],
    ),
    "conv_depthwise": single("Conv", [1, 3, 5, 5], {"w": normal(6, 1, 3, 3)}, group=3),
    "conv_3d": single("Conv", [1, 1, 4, 3, 3], {"w": normal(2, 1, 2, 2, 2)}),
    "conv_same_upper": single(
        "Conv",
        [1, 1, 5, 6],
        {"w": normal(1, 1, 2, 3)},
        auto_pad="SAME_UPPER",
        strides=[2, 2],
    ),
    "conv_same_lower": single(
        "Conv", [1, 1, 5, 6], {"w": normal(1, 1, 2, 4)}, auto_pad="SAME_LOWER"
    ),
    "conv_valid": single(
        "Conv", [1, 1, 5, 6], {"w": normal(1, 1, 2, 3)}, auto_pad="VALID"
    ),
    "conv_transpose": single(
        "ConvTranspose",
        [1, 2, 4, 3],
        {"w": normal(2, 3, 3, 2), "b": normal(3)},
        strides=[2, 3],
        pads=[1, 0, 0, 1],
        output_padding=[1, 1],
    ),
    "conv_transpose_group": single(
        "ConvTranspose", [1, 4, 5], {"w": normal(4, 2, 3)}, group=2, dilations=[2]
    ),
    "conv_transpose_same": single(
        "ConvTranspose",
        [1, 1, 4],
        {"w": normal(1, 1, 4)},
        auto_pad="SAME_UPPER",
        strides=[2],
    ),
    "conv_transpose_output_shape": single(
        "ConvTranspose",
        [1, 1, 4],
        {"w": normal(1, 1, 4)},
        output_shape=[9],
        strides=[2],
    ),
    "average_pool": single(
        "AveragePool",
        [1, 2, 5, 5],
        kernel_shape=[3, 2],
        pads=[1, 0, 1, 1],
        strides=[2, 2],
    ),
    "average_pool_padding_counted": single(
        "AveragePool",
        [1, 1, 5, 5],
        kernel_shape=[3, 3],
        pads=[1, 1, 1, 1],
        strides=[2, 2],
        count_include_pad=1,
    ),
    "average_pool_ceil": single(
        "AveragePool",
        [1, 1, 6, 6],
        kernel_shape=[3, 3],
        strides=[2, 2],
        ceil_mode=1,
        opset=19,
    ),
    "average_pool_dilated": single(
        "AveragePool", [1, 1, 6, 6], kernel_shape=[2, 2], dilations=[2, 2], opset=19
    ),
    "average_pool_1d": single(
        "AveragePool", [1, 2, 7], kernel_shape=[3], auto_pad="SAME_UPPER", strides=[2]
    ),
}


@pytest.mark.parametrize("model", [*AFFINE.values()], ids=[*AFFINE])
def test_affine_operator(model):
    network = check_agreement(model)
    assert network.n_neurons == 0


@pytest.mark.parametrize("model", [*MOVES.values()], ids=[*MOVES])
def test_moving_operator(model):
    assert check_agreement(model).n_neurons == 0


@pytest.mark.parametrize("model", [*WINDOWS.values()], ids=[*WINDOWS])
def test_window_operator(model):
    assert check_agreement(model).n_neurons == 0


def test_weights_on_the_left():
    model = build(
        [node("MatMul", ["w", "x"], ["y"])], {"x": [3, 1]}, ["y"], {"w": normal(2, 3)}
    )
    network = check_agreement(model, input_shapes={"x": (3, 1)})
    assert network.outputs[0].shape == (2, 1)


def test_transposed_input_of_gemm():
    model = single("Gemm", [3, 1], {"w": normal(3, 2)}, transA=1)
    assert check_agreement(model, input_shapes={"x": (3, 1)}).n_outputs == 2


def test_the_bias_of_gemm_may_be_the_data():
    model = build(
        [node("Gemm", ["a", "b", "x"], ["y"], beta=-2.0)],
        {"x": [1, 3]},
        ["y"],
        {"a": normal(1, 2), "b": normal(2, 3)},
    )
    check_agreement(model)


# -- operators that bend -------------------------------------------------------------


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


# -- constants ------------------------------------------------------------------------


def test_constants_in_every_form():
    """Weights from Constant nodes, Identity, Cast, Transpose, arithmetic, half types."""
    w, b = normal(3, 4), normal(3)
    model = build(
        [
            node("Constant", [], ["w0"], value=numpy_helper.from_array(w.astype("f2"))),
            node("Cast", ["w0"], ["w1"], to=TensorProto.FLOAT),
            node("Transpose", ["w1"], ["w2"], perm=[1, 0]),
            node("Identity", ["w2"], ["w3"]),
            node("Identity", ["b"], ["b1"]),
            node("Mul", ["b1", "two"], ["b2"]),
            node("Constant", [], ["three"], value_float=3.0),
            node("MatMul", ["x", "w3"], ["h"]),
            node("Add", ["b2", "h"], ["h2"]),
            node("Mul", ["h2", "three"], ["y"]),
        ],
        {"x": ["N", 4]},
        ["y"],
        {"b": b, "two": np.array(2.0)},
    )
    network = check_agreement(model)
    expected = 6.0 * b.astype(np.float32).astype(float)
    assert np.allclose(network.forward(np.zeros(4)), expected, rtol=1e-15)


def test_shape_arithmetic_on_constants():
    """What exporters write for view(x.size(0), -1): Shape, Gather, Concat, Reshape."""
    model = build(
        [
            node("Shape", ["x"], ["s"]),
            node("Gather", ["s", "zero"], ["n"], axis=0),
            node("Unsqueeze", ["n", "axes"], ["n1"]),
            node("Concat", ["n1", "minus"], ["shape"], axis=0),
            node("Reshape", ["x", "shape"], ["f"]),
            node("ConstantOfShape", ["n1"], ["z"]),
            node("Add", ["f", "z"], ["y"]),
        ],
        {"x": ["N", 2, 3]},
        ["y"],
        {"zero": np.array(0), "axes": np.array([0]), "minus": np.array([-1])},
    )
    assert check_agreement(model).outputs[0].shape == (6,)


def test_relu_of_constants_needs_no_neuron():
    model = build(
        [node("Relu", ["c"], ["d"]), node("Add", ["x", "d"], ["y"])],
        {"x": ["N", 3]},
        ["y"],
        {"c": normal(3)},
    )
    assert check_agreement(model).n_neurons == 0


def test_constants_fold_in_double_precision():
    """a / b of float32 constants is divided in float64, not rounded to float32."""
    a, b = np.float32(1.0), np.float32(3.0)
    model = build(
        [node("Div", ["a", "b"], ["c"]), node("Mul", ["x", "c"], ["y"])],
        {"x": ["N", 1]},
        ["y"],
        {"a": np.array([a]), "b": np.array([b])},
    )
    assert load_onnx(model).layers[0].weights[0].item() == 1.0 / 3.0


def test_sparse_initializers():
    dense = np.zeros((4, 3), dtype=np.float32)
    dense[1, 2], dense[3, 0] = 2.5, -1.5
    model = single("MatMul", ["N", 4], {"w": dense})
    del model.graph.initializer[:]
    values = numpy_helper.from_array(np.array([2.5, -1.5], dtype=np.float32), "w")
    indices = numpy_helper.from_array(np.array([5, 9], dtype=np.int64), "w_indices")
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, indices, [4, 3])
    )
    network = check_agreement(model)
    assert np.array_equal(np.asarray(network.layers[0].weights[0].toarray()), dense.T)


# -- what is refused --------------------------------------------------------------------


SMOOTH = [
    "Sigmoid",
    "Tanh",
    "Softmax",
    "LogSoftmax",
    "Softplus",
    "Elu",
    "Selu",
    "Celu",
    "Exp",
    "Log",
    "Sqrt",
    "Reciprocal",
    "Sign",
    "Floor",
    "Ceil",
    "Round",
    "Erf",
    "Sin",
    "HardSwish",
    "Mish",
    "ArgMax",
    "Hardmax",
    "ReduceL2",
    "ReduceProd",
    "Softsign",
]


@pytest.mark.parametrize("op_type", SMOOTH)
def test_operators_that_are_not_piecewise_linear_are_refused(op_type):
    model = build(
        [
            node("MatMul", ["x", "w"], ["logits"]),
            helper.make_node(op_type, ["logits"], ["y"], name="last"),
        ],
        {"x": ["N", 3]},
        ["y"],
        {"w": normal(3, 2)},
        opset=18,
    )
    with pytest.raises(UnsupportedOperatorError) as error:
        load_onnx(model)
    text = str(error.value)
    for part in (op_type, "'last'", "'y'", "output='logits'"):
        assert part in text
    assert load_onnx(model, output="logits").n_outputs == 2


REFUSED = {
    "product": ("Mul", ["x", "x"], {}, "multiplies two tensors"),
    "matrix_product": ("MatMul", ["x", "t"], {}, "multiplies two tensors"),
    "gemm_product": ("Gemm", ["x", "x"], {"transB": 1}, "multiplies two tensors"),
    "divisor": ("Div", ["c", "x"], {}, "divides by a tensor"),
    "zero_divisor": ("Div", ["x", "zeros"], {}, "zeros"),
    "square": ("Pow", ["x", "two"], {}, "powers other than 1"),
    "threshold": ("ThresholdedRelu", ["x"], {"alpha": 0.5}, "jumps at its threshold"),
    "hard_shrink": ("Shrink", ["x"], {}, "jumps unless"),
    "slope": ("PRelu", ["c", "x"], {}, "depends on the network's inputs"),
    "float_to_int": ("Cast", ["x"], {"to": TensorProto.INT64}, "rounds"),
    "bfloat16": ("Cast", ["x"], {"to": TensorProto.BFLOAT16}, "rounding"),
    "two_data_einsum": (
        "Einsum",
        ["x", "x"],
        {"equation": "ij,ij->i"},
        "linear in one tensor",
    ),
    "scatter_add": (
        "ScatterND",
        ["x", "index", "update"],
        {"reduction": "add"},
        "reduction",
    ),
    "noise": ("RandomNormalLike", ["x"], {}, "random"),
    "data_indices": ("Compress", ["x", "mask"], {"axis": 1}, "depends on the network"),
    "everything_cut": ("Slice", ["x", "three", "three"], {}, "no entries"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    op_type, inputs, attributes, text = REFUSED[case]
    nodes = [helper.make_node(op_type, inputs, ["y"], name="bad", **attributes)]
    constants = {
        "c": np.ones((1, 3)),
        "zeros": np.array([1.0, 0.0, 1.0]),
        "two": np.array(2.0),
        "index": np.array([[0, 1]]),
        "update": np.array([1.0]),
        "three": np.array([3]),
    }
    inputs_ = {"x": [1, 3]}
    if case == "matrix_product":
        nodes.insert(0, node("Transpose", ["x"], ["t"]))
    if case == "everything_cut":
        nodes[0].input.append("one")
        constants["one"] = np.array([1])
    if case == "data_indices":
        nodes.insert(0, node("Cast", ["x"], ["mask0"], to=TensorProto.FLOAT))
        nodes[1] = helper.make_node("Gather", ["c", "mask0"], ["y"], name="bad")
        text = "inputs do not fit"
    model = build(nodes, inputs_, ["y"], constants, opset=18)
    with pytest.raises(NetworkError, match=text) as error:
        load_onnx(model)
    assert "'bad'" in str(error.value)
    assert op_type in str(error.value) or case == "data_indices"


def test_batch_normalization_in_training_mode_is_refused():
    constants = {n: np.ones(3) for n in "sbmv"}
    model = single("BatchNormalization", [1, 3], constants, training_mode=1)
    model.graph.node[0].output.extend(["mean", "variance"])
    with pytest.raises(UnsupportedOperatorError, match="inference"):
        load_onnx(model)


def test_dropout_in_training_mode_is_refused():
    constants = {"r": np.array(0.5), "t": np.array(True)}
    with pytest.raises(UnsupportedOperatorError, match="training mode"):
        load_onnx(single("Dropout", [1, 3], constants))


def test_an_output_that_cannot_be_read_is_refused_only_if_used():
    nodes = [node("MaxPool", ["x"], ["y", "where"], kernel_shape=[2])]
    assert load_onnx(build(nodes, {"x": [1, 1, 4]}, ["y"])).n_outputs == 3
    nodes.append(node("Cast", ["where"], ["z"], to=TensorProto.FLOAT))
    with pytest.raises(UnsupportedOperatorError, match="'where' is used"):
        load_onnx(build(nodes, {"x": [1, 1, 4]}, ["z"]))


def test_window_in_padding_only_is_refused():
    model = single("MaxPool", [1, 1, 3], kernel_shape=[1], pads=[2, 0])
    with pytest.raises(NetworkError):
        load_onnx(model)


def test_loops_and_branches_are_refused():
    branch = helper.make_graph(
        [node("Relu", ["x"], ["z"])],
        "b",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
    )
    model = build(
        [node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)],
        {"x": [1, 3]},
        ["y"],
        {"c": np.array(True)},
    )
    with pytest.raises(UnsupportedOperatorError, match="loops and branches"):
        load_onnx(model)


# -- the public hook ---------------------------------------------------------------------


@pytest.fixture
def registered():
    """Registers operators for one test and withdraws them afterwards."""
    before = []

    def register(op_type, function, domain=""):
        before.append((op_type, register_operator(op_type, function, domain), domain))

    yield register
    for op_type, function, domain in reversed(before):
        register_operator(op_type, function, domain)


def tooth_model():
    model = build(
        [helper.make_node("Tooth", ["x"], ["y"], domain="my.operators", height=2.0)],
        {"x": ["N", 3]},
        ["y"],
    )
    model.opset_import.append(helper.make_opsetid("my.operators", 1))
    return model


def test_an_unknown_domain_is_refused_by_name():
    with pytest.raises(UnsupportedOperatorError) as error:
        load_onnx(tooth_model())
    assert "my.operators.Tooth" in str(error.value)
    assert "register_operator" in str(error.value)


def test_a_registered_operator_is_read(registered):
    def tooth(operation, x):
        height = operation.attribute("height", 1.0)
        return height * operation.relu(1 - operation.maximum(x, -x))

    registered("Tooth", tooth, "my.operators")
    network = load_onnx(tooth_model(), check=False)
    x = np.linspace(-2, 2, 21).reshape(7, 3)
    assert np.allclose(network.forward(x), 2 * np.maximum(0, 1 - np.abs(x)))
    with pytest.raises(NetworkError, match="check=False"):
        load_onnx(tooth_model())


def test_a_wrongly_registered_operator_is_found_out(registered):
    registered("Softsign", lambda operation, x: operation.clip(x, -1, 1))
    with pytest.raises(NetworkMismatchError, match="onnxruntime"):
        load_onnx(single("Softsign", ["N", 3]))


def test_a_registered_operator_with_wrong_shape_is_found_out(registered):
    registered("Softsign", lambda operation, x: x.reshape((x.size,)))
    with pytest.raises(NetworkError, match="should have shape"):
        load_onnx(single("Softsign", ["N", 3]))


def test_an_error_inside_a_registered_operator_names_the_node(registered):
    def broken(operation, x):
        return {}["missing"]

    registered("Softsign", broken)
    with pytest.raises(NetworkError, match="Softsign.*KeyError") as error:
        load_onnx(single("Softsign", ["N", 3]))
    assert isinstance(error.value.__cause__, KeyError)


@pytest.mark.parametrize("arguments", [("", len), (3, len), ("Tooth", 3)])
def test_registering_nonsense_is_refused(arguments):
    with pytest.raises(NetworkError, match="register_operator"):
        register_operator(*arguments)


def test_inputs_are_the_first_source():
    network = load_onnx(single("Relu", ["N", 3]))
    assert network.layers[0].sources == (Source(INPUT),)
