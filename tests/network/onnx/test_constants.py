"""Constants in every form that exporters write, and how exactly they are folded."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from pyomo_relu.network import load_onnx
from tests.network.onnx.graphs import build, check_agreement, node, single

RNG = np.random.default_rng(3)


def normal(*shape):
    return RNG.standard_normal(shape)


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
