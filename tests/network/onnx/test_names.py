"""Names in branches and of constants, as onnxruntime understands them."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from pyomo_relu.errors import NetworkMismatchError
from pyomo_relu.network import load_onnx
from tests.network.onnx.graphs import build, check_agreement, node, refusal

POINT = np.array([1.0, -2.0, 0.5])


def branch_of(op_type, inputs, constants=None, extra=(), sparse=None):
    graph = helper.make_graph(
        [*extra, node(op_type, inputs, ["r"])],
        "branch",
        [],
        [onnx.ValueInfoProto(name="r")],
        [
            numpy_helper.from_array(np.float32(a), n)
            for n, a in (constants or {}).items()
        ],
    )
    if sparse:
        name, array = sparse
        indices = np.flatnonzero(array)
        graph.sparse_initializer.append(
            helper.make_sparse_tensor(
                numpy_helper.from_array(np.float32(array)[indices], name),
                numpy_helper.from_array(indices, ""),
                [len(array)],
            )
        )
    return graph


def choice(then, otherwise, output, condition="yes"):
    return node("If", [condition], [output], then_branch=then, else_branch=otherwise)


def test_siblings_with_the_same_names_inside_and_names_of_their_own():
    """Each branch has a k and a w of its own; the w outside is another."""
    first = branch_of("Mul", ["k", "w"], {"w": [2, 3, 4]}, [node("Neg", "x", "k")])
    second = branch_of("Add", ["k", "w"], {"w": [-1, 1, 1]}, [node("Abs", "x", "k")])
    other = branch_of("Neg", ["x"])
    model = build(
        [
            node("Relu", ["x"], ["h"]),
            choice(first, other, "u"),
            choice(second, other, "v"),
            node("Sum", ["u", "v", "h", "w"], ["y"]),
        ],
        {"x": ["N", 3]},
        ["y"],
        {"w": np.array([100.0, 200.0, 300.0]), "yes": np.array(True)},
    )
    w, r = np.array([100.0, 200.0, 300.0]), np.maximum(0, POINT)
    expected = -POINT * [2, 3, 4] + np.abs(POINT) + [-1, 1, 1] + r + w
    np.testing.assert_allclose(check_agreement(model).forward(POINT), expected)


def test_where_onnxruntime_confuses_names_nothing_is_read():
    """One branch defines w, the other reads the w outside: both get that, in 1.32."""
    own = branch_of("Add", ["x", "w"], {"w": [-1, 1, 1]})
    model = build(
        [choice(own, branch_of("Sub", ["x", "w"]), "y")],
        {"x": ["N", 3]},
        ["y"],
        {"w": np.array([100.0, 200.0, 300.0]), "yes": np.array(True)},
    )
    try:
        network = check_agreement(model)
    except NetworkMismatchError:
        return
    np.testing.assert_allclose(network.forward(POINT), POINT + [-1, 1, 1])


def test_sparse_initializers_of_branches():
    then = branch_of("Add", ["x", "s"], sparse=("s", np.array([0.0, 5.0, 0.0])))
    model = build(
        [choice(then, branch_of("Neg", ["x"]), "y")],
        {"x": ["N", 3]},
        ["y"],
        {"yes": np.array(True)},
    )
    np.testing.assert_array_equal(
        check_agreement(model).forward(POINT), POINT + [0, 5, 0]
    )


def test_what_only_the_other_branch_reads_may_be_anything():
    model = build(
        [
            node("Sigmoid", ["x"], ["smooth"]),
            choice(branch_of("Relu", ["x"]), branch_of("Neg", ["smooth"]), "y"),
        ],
        {"x": ["N", 3]},
        ["y"],
        {"yes": np.array(True)},
    )
    assert check_agreement(model).n_neurons == 3


def test_huge_tensors_of_the_other_branch_are_never_made():
    """onnxruntime would compute the 160 GB while it optimises the graph."""
    size = node("ConstantOfShape", ["s"], ["big"])
    other = branch_of("ReduceMax", ["big"], extra=[size])
    other.initializer.append(numpy_helper.from_array(np.array([200000, 200000]), "s"))
    model = build(
        [choice(branch_of("Relu", ["x"]), other, "y")],
        {"x": ["N", 3]},
        ["y"],
        {"yes": np.array(True)},
    )
    assert load_onnx(model).n_neurons == 3


@pytest.mark.parametrize("also", ["initializer", "Constant"])
def test_of_several_constants_the_last_counts(also):
    nodes, constants = [node("Add", ["x", "w"], ["y"])], {"w": np.array([1.0])}
    if also == "Constant":
        value = numpy_helper.from_array(np.float32([100.0]))
        nodes.append(node("Constant", [], ["w"], value=value))
    model = build(nodes, {"x": ["N", 3]}, ["y"], constants)
    if also == "initializer":
        model.graph.initializer.append(
            numpy_helper.from_array(np.float32([100.0]), "w")
        )
    np.testing.assert_array_equal(check_agreement(model).forward(POINT), POINT + 100)


def test_nodes_that_wait_for_one_another():
    nodes = [node("Add", ["x", "b"], ["a"]), node("Neg", ["a"], ["b"])]
    refusal(build(nodes, {"x": ["N", 3]}, ["b"]), "tensor 'a' read .* in a circle")
