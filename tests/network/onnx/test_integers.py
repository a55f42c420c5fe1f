"""Inputs that are integers: cast, moved, beside masks, or refused."""

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from pyomo_relu.errors import NetworkMismatchError
from pyomo_relu.network import load_onnx, register_operator
from tests.network.onnx.graphs import build, node, refusal

RNG = np.random.default_rng(3)
W = RNG.standard_normal((3, 2))


INTEGERS = [
    TensorProto.INT64,
    TensorProto.INT32,
    TensorProto.INT8,
    TensorProto.UINT8,
    TensorProto.BOOL,
]


def counted(kind, *before, to=TensorProto.FLOAT):
    nodes = [
        *before,
        node("Cast", [before[-1].output[0] if before else "x"], ["f"], to=to),
        node("MatMul", ["f", "w"], ["h"]),
        node("Relu", ["h"], ["y"]),
    ]
    model = build(nodes, {"x": ["N", 3]}, ["y"], {"w": W})
    model.graph.input[0].type.tensor_type.elem_type = kind
    return model


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_cast_at_once_are_numbers(kind):
    network = load_onnx(counted(kind))
    x = np.array([1, 0, 1])
    np.testing.assert_allclose(network.forward(x), np.maximum(0, x @ W), rtol=1e-6)
    # on the reals between them too
    y = np.maximum(0, 0.5 * x @ W)
    np.testing.assert_allclose(network.forward(0.5 * x), y, rtol=1e-6)


def test_integers_may_be_moved_and_widened_before():
    model = counted(
        TensorProto.INT8,
        node("Cast", ["x"], ["wide"], to=TensorProto.INT32),
        node("Concat", ["wide", "wide"], ["twice"], axis=1),
        node("Gather", ["twice", "pick"], ["picked"], axis=1),
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array([2, 3, 1]), "pick"))
    x = np.array([5, -3, 2])
    expected = np.maximum(0, x[[2, 0, 1]] @ W)
    np.testing.assert_allclose(load_onnx(model).forward(x), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "step, text",
    [
        (node("Add", ["x", "x"], ["s"]), "Inputs must be float32"),
        (node("Relu", ["x"], ["s"]), "Inputs must be float32"),
        (node("Cast", ["x"], ["s"], to=TensorProto.INT8), "which rounds"),
        (node("Cast", ["x"], ["s"], to=TensorProto.BOOL), "which rounds"),
    ],
)
def test_arithmetic_on_integers_is_refused(step, text):
    message = refusal(counted(TensorProto.INT64, step), text)
    assert "'x'" in message or "int8" in message or "bool" in message


def beside_a_mask(*steps):
    """Integers x and the mask x > 0 as integers, side by side in c."""
    model = build(
        [
            node("Cast", ["x"], ["reals"], to=TensorProto.FLOAT),
            node("Greater", ["reals", "zero"], ["mask"]),
            node("Cast", ["mask"], ["ones"], to=TensorProto.INT64),
            node("Concat", ["x", "ones"], ["c"], axis=1),
            *steps,
            node("Relu", ["f"], ["y"]),
        ],
        {"x": ["N", 3]},
        ["y"],
        {"zero": 0.0, "two": np.array([2]), "pick": np.array([2, 0])},
    )
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    return model


@pytest.mark.parametrize("kind", ["Add", "Div", "Mul"])
def test_arithmetic_on_integers_beside_a_mask_is_refused(kind):
    """Integer division rounds; the mask must not hide that these are no reals."""
    steps = node(kind, ["c", "two"], ["d"]), node("Cast", ["d"], ["f"], to=1)
    refusal(beside_a_mask(*steps), "the tensor 'c' holds integers or truth values")


def test_integers_beside_a_mask_that_is_dropped():
    steps = node("Gather", ["c", "pick"], ["d"], axis=1), node("Cast", "d", "f", to=1)
    network = load_onnx(beside_a_mask(*steps))
    np.testing.assert_array_equal(network.forward([1, -2, 3]), [3, 1])


def test_the_comparison_is_made_at_integers():
    """A reading that is wrong at integers is found out, one between them cannot be."""
    before = register_operator("Cast", lambda operation, x: operation.relu(x))
    try:
        with pytest.raises(NetworkMismatchError):
            load_onnx(counted(TensorProto.INT64))
    finally:
        register_operator("Cast", before)
