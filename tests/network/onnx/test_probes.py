"""Ways to write a small network in ONNX that loaders have been seen to get wrong.

Each is read right (compared with onnxruntime over random points) or refused with a
message that says what to do.  The numbers are those of our survey of other loaders.
"""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pyomo_relu.errors import (
    NetworkMismatchError,
)
from pyomo_relu.network import load_onnx
from tests.network.onnx.graphs import build, check_agreement, node

RNG = np.random.default_rng(17)
W1, B1 = RNG.standard_normal((3, 4)), RNG.standard_normal(4)
W2, B2 = RNG.standard_normal((4, 2)), RNG.standard_normal(2)
WEIGHTS = {"W1": W1, "b1": B1, "W2": W2, "b2": B2}
GEMM = {"alpha": 1.0, "beta": 1.0, "transB": 0}


def chain(*, first=None, last=None, shape=("N", 3), weights=None, **options):
    """Gemm, Relu, Gemm; ``first`` and ``last`` replace parts of it."""
    first = first or [node("Gemm", ["x", "W1", "b1"], ["h"])]
    last = last or [node("Gemm", ["r", "W2", "b2"], ["y"])]
    nodes = [*first, node("Relu", ["h"], ["r"]), *last]
    constants = {**WEIGHTS, **(weights or {})}
    used = {n for step in nodes for n in step.input}
    constants = {n: a for n, a in constants.items() if n in used}
    return build(nodes, {"x": list(shape)}, ["y"], constants, **options)


def before(*steps, then="t", weights=None, **options):
    """``steps`` from x to ``then`` before the chain."""
    first = [*steps, node("Gemm", [then, "W1", "b1"], ["h"])]
    return chain(first=first, weights=weights, **options)


def image(steps, inputs, weights, shape=("N", 1, 4, 4), **options):
    """``steps`` from x to ``f``, flattened into a Gemm of ``inputs`` entries."""
    nodes = [
        *steps,
        node("Flatten", ["f"], ["flat"]),
        node("Gemm", ["flat", "V", "b2"], ["y"]),
    ]
    v = np.random.default_rng(5).standard_normal((inputs, 2))
    constants = {"V": v, "b2": B2, **weights}
    return build(nodes, {"x": list(shape)}, ["y"], constants, **options)


def named_control():
    return build(
        [
            helper.make_node("Gemm", ["x", "W1", "b1"], ["h"], name="g1", **GEMM),
            helper.make_node("Relu", ["h"], ["r"], name="r1"),
            helper.make_node("Gemm", ["r", "W2", "b2"], ["y"], name="g2", **GEMM),
        ],
        {"x": ["N", 3]},
        ["y"],
        WEIGHTS,
    )


def duplicate_names():
    model = named_control()
    for step in model.graph.node:
        step.name = "same"
    return model


def initializers_as_inputs():
    model = named_control()
    model.ir_version = 3
    for tensor in model.graph.initializer:
        value = helper.make_tensor_value_info(tensor.name, 1, list(tensor.dims))
        model.graph.input.append(value)
    return model


def constant_nodes():
    weights = [
        node("Constant", [], [n], value=numpy_helper.from_array(a.astype("f4")))
        for n, a in WEIGHTS.items()
    ]
    model = chain()
    model.graph.node.extend(weights)
    steps = [*model.graph.node[3:], *model.graph.node[:3]]
    del model.graph.node[:]
    del model.graph.initializer[:]
    model.graph.node.extend(steps)
    return model


def with_outputs(*names, nodes=()):
    model = chain()
    model.graph.node.extend(nodes)
    del model.graph.output[:]
    for name in names:
        model.graph.output.append(helper.make_tensor_value_info(name, 1, None))
    return model


def two_inputs():
    return build(
        [
            node("Concat", ["x", "z"], ["t"], axis=1),
            node("Gemm", ["t", "W1", "b1"], ["h"]),
            node("Relu", ["h"], ["r"]),
            node("Gemm", ["r", "W2", "b2"], ["y"]),
        ],
        {"x": ["N", 2], "z": ["N", 1]},
        ["y"],
        WEIGHTS,
    )


def i64(*numbers):
    return np.array(numbers, dtype=np.int64)


def matmul_add(**weights):
    return chain(
        first=[node("MatMul", ["x", "W1"], ["m"]), node("Add", ["m", "b1"], ["h"])],
        weights=weights,
    )


def dead_node():
    model = chain()
    model.graph.node.append(node("Relu", ["x"], ["unused"]))
    model.graph.node.append(node("Softmax", ["unused"], ["unused2"]))
    return model


KERNEL = {"k": RNG.standard_normal((2, 1, 3, 3)), "kb": RNG.standard_normal(2)}
CONV = {"kernel_shape": [3, 3], "strides": [1, 1]}


def conv(inputs=("x", "k", "kb"), size=8, shape=("N", 1, 4, 4), **attributes):
    steps = [node("Conv", inputs, ["c"], **attributes), node("Relu", ["c"], ["f"])]
    weights = {n: KERNEL[n] for n in inputs if n in KERNEL}
    return image(steps, size, weights, shape)


RIGHT = {
    "00 control": named_control(),
    "01 static batch 1": chain(shape=[1, 3]),
    "05 Gemm attributes left out": chain(),
    "06 Gemm without bias": chain(first=[node("Gemm", ["x", "W1"], ["h"])]),
    "08 alpha and beta": chain(
        first=[node("Gemm", ["x", "W1", "b1"], ["h"], alpha=0.5, beta=2.0)]
    ),
    "09 Gemm bias of one entry": chain(weights={"b1": np.array([0.3])}),
    "10 Gemm bias (1, n)": chain(weights={"b1": B1[None]}),
    "11 MatMul, Add, bias right": matmul_add(),
    "12 MatMul, Add, bias left": chain(
        first=[node("MatMul", ["x", "W1"], ["m"]), node("Add", ["b1", "m"], ["h"])]
    ),
    "13 MatMul, Add, bias (1, n)": matmul_add(b1=B1[None]),
    "13b bias (1, 1), one output": chain(
        last=[node("MatMul", ["r", "w"], ["m"]), node("Add", ["m", "c"], ["y"])],
        weights={"w": W2[:, :1], "c": np.array([[0.7]])},
    ),
    "14 MatMul without Add": chain(first=[node("MatMul", ["x", "W1"], ["h"])]),
    "15 weight on the left": build(
        [
            node("Transpose", ["x"], ["xt"], perm=[1, 0]),
            node("MatMul", ["Wt", "xt"], ["ht"]),
            node("Relu", ["ht"], ["rt"]),
            node("Transpose", ["rt"], ["y"], perm=[1, 0]),
        ],
        {"x": ["N", 3]},
        ["y"],
        {"Wt": W1.T},
    ),
    "16 weights in Constant nodes": constant_nodes(),
    "17 nodes without names": chain(),
    "17b a single node": build([node("Relu", ["x"], ["y"])], {"x": ["N", 3]}, ["y"]),
    "18 initializers in graph.input": initializers_as_inputs(),
    "19 LeakyRelu": before(node("LeakyRelu", ["x"], ["t"], alpha=0.2)),
    "19b Clip": before(
        node("Clip", ["x", "lo", "hi"], ["t"]),
        weights={"lo": np.array(-0.5), "hi": np.array(1.5)},
    ),
    "19c Cast": before(node("Cast", ["x"], ["t"], to=TensorProto.FLOAT)),
    "19d Sub, Div": before(
        node("Sub", ["x", "mu"], ["s"]),
        node("Div", ["s", "sd"], ["t"]),
        weights={"mu": np.array([[1.0, 2.0, 3.0]]), "sd": np.array([2.0, 0.5, 4.0])},
    ),
    "19e Transpose": before(
        node("Transpose", ["x"], ["s"], perm=[0, 2, 1]),
        node("Flatten", ["s"], ["t"]),
        shape=["N", 3, 1],
    ),
    "19f Squeeze": before(
        node("Squeeze", ["x", "a"], ["t"]), weights={"a": i64(2)}, shape=["N", 3, 1]
    ),
    "19g AveragePool": image(
        [node("AveragePool", ["x"], ["f"], kernel_shape=[2, 2])], 9, {}
    ),
    "19h Split and Concat": before(
        node("Split", ["x", "s"], ["p", "q"], axis=1),
        node("Concat", ["q", "p"], ["t"], axis=1),
        weights={"s": i64(1, 2)},
    ),
    "23 Identity": before(node("Identity", ["x"], ["t"])),
    "23b bias through Identity": chain(
        first=[
            node("Identity", ["b1"], ["b1_copy"]),
            node("Gemm", ["x", "W1", "b1_copy"], ["h"]),
        ]
    ),
    "24 Dropout": before(node("Dropout", ["x"], ["t"])),
    "25 Flatten": before(node("Flatten", ["x"], ["t"]), shape=["N", 1, 3]),
    "26 Reshape, shape an initializer": before(
        node("Reshape", ["x", "s"], ["t"]), weights={"s": i64(-1, 3)}, shape=["N", 1, 3]
    ),
    "27 Reshape by Constant, Gemm": before(
        node("Constant", [], ["s"], value=numpy_helper.from_array(i64(-1, 3))),
        node("Reshape", ["x", "s"], ["t"]),
        shape=["N", 1, 3],
    ),
    "28 Reshape, MatMul, Add": chain(
        first=[
            node("Reshape", ["x", "s"], ["t"]),
            node("MatMul", ["t", "W1"], ["m"]),
            node("Add", ["m", "b1"], ["h"]),
        ],
        weights={"s": i64(0, -1)},
        shape=["N", 3, 1],
    ),
    "30 BatchNormalization": chain(
        first=[
            node("Gemm", ["x", "W1", "b1"], ["g"]),
            node("BatchNormalization", ["g", "sc", "b1", "mu", "va"], ["h"]),
        ],
        weights={"sc": B1 + 2, "mu": B1 * 0.3, "va": np.abs(B1) + 0.2},
    ),
    "31 residual Add": chain(
        last=[
            node("Gemm", ["r", "Q", "b1"], ["q"]),
            node("Add", ["q", "r"], ["s"]),
            node("Gemm", ["s", "W2", "b2"], ["y"]),
        ],
        weights={"Q": RNG.standard_normal((4, 4))},
    ),
    "31b Concat of the input": chain(
        last=[
            node("Concat", ["r", "x"], ["s"], axis=1),
            node("MatMul", ["s", "Q"], ["y"]),
        ],
        weights={"Q": RNG.standard_normal((7, 2))},
    ),
    "32 two heads": with_outputs("y", "z", nodes=[node("Neg", ["r"], ["z"])]),
    "32b output is a hidden tensor": with_outputs("r"),
    "32c output is a pre-activation": with_outputs("h"),
    "33 two inputs": two_inputs(),
    "37 float64": chain(kind=TensorProto.DOUBLE),
    "43 Conv with bias": conv(**CONV),
    "43b Conv without bias": conv(("x", "k"), **CONV),
    "44 Conv with pads": conv(size=32, pads=[1, 1, 1, 1], **CONV),
    "44b auto_pad SAME_UPPER": conv(size=32, auto_pad="SAME_UPPER", **CONV),
    "44c auto_pad NOTSET": conv(auto_pad="NOTSET", **CONV),
    "45 Conv default attributes": conv(),
    "45b Conv, static batch 1": conv(shape=(1, 1, 4, 4)),
    "46 MaxPool 2x2": image(
        [node("MaxPool", ["x"], ["f"], kernel_shape=[2, 2], strides=[2, 2])], 4, {}
    ),
    "48 Relu first": before(node("Relu", ["x"], ["t"])),
    "49 two Relus": before(node("Relu", ["x"], ["s"]), node("Relu", ["s"], ["t"])),
    "51 Gemm, then Add of a constant": chain(
        first=[
            node("Gemm", ["x", "W1", "b1"], ["g"]),
            node("Add", ["g", "c"], ["h"]),
        ],
        weights={"c": np.array([0.1, -0.2, 0.3, -0.4])},
    ),
    "52 dead nodes": dead_node(),
}


@pytest.mark.parametrize("name", RIGHT)
def test_probe_is_read_right(name):
    tolerance = 1e-12 if "float64" in name else 2e-5
    check_agreement(RIGHT[name], points=24, tolerance=tolerance)


def test_17c_duplicate_names():
    check_agreement(named_control(), network=load_onnx(duplicate_names()))


def test_07_transposed_input():
    model = chain(
        first=[node("Gemm", ["x", "W1", "b1"], ["h"], transA=1)], shape=[3, 1]
    )
    network = check_agreement(model, input_shapes={"x": [3, 1]})
    assert network.n_outputs == 2


def test_36_float16():
    model = chain(kind=TensorProto.FLOAT16)
    check_agreement(model, tolerance=1e-2)


def test_36b_float16_overflow_is_a_mismatch():
    model = chain(kind=TensorProto.FLOAT16, weights={"W1": 6e4 * np.ones((3, 4))})
    with pytest.raises(NetworkMismatchError, match="float16"):
        load_onnx(model)


def test_38_external_data(tmp_path):
    path = tmp_path / "net.onnx"
    model = chain()
    onnx.save(
        model,
        str(path),
        save_as_external_data=True,
        location="net.data",
        size_threshold=0,
    )
    assert (tmp_path / "net.data").stat().st_size > 0
    check_agreement(chain(), network=load_onnx(path))
