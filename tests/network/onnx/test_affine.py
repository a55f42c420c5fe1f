"""Affine operators: read without neurons, compared with onnxruntime."""

import numpy as np
import pytest
from onnx import TensorProto

from tests.network.onnx.graphs import build, check_agreement, node, single
from tests.versions import run_by_onnxruntime

RNG = np.random.default_rng(3)


def normal(*shape):
    return RNG.standard_normal(shape)


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
    "split_into_more_than_there_are": build(
        [
            node("Split", ["x"], ["a", "b", "c", "d"], axis=1, num_outputs=4),
            node("Concat", ["d", "c", "b", "a"], ["y"], axis=1),
        ],
        {"x": [1, 3]},
        ["y"],
        opset=18,
    ),
    "split_size_zero": build(
        [
            node("Split", ["x", "s"], ["a", "b", "c"], axis=1),
            node("Concat", ["b", "c"], ["y"], axis=1),
        ],
        {"x": [1, 3]},
        ["y"],
        {"s": np.array([2, 0, 1])},
        opset=13,
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


@pytest.mark.parametrize("model", run_by_onnxruntime(AFFINE))
def test_affine_operator(model):
    network = check_agreement(model)
    assert network.n_neurons == 0


@pytest.mark.parametrize("model", run_by_onnxruntime(MOVES))
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
