"""What is not piecewise linear is refused, and the hook for further operators."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from pyomo_relu.errors import (
    NetworkError,
    NetworkMismatchError,
    UnsupportedOperatorError,
)
from pyomo_relu.network import load_onnx, register_operator
from tests.network.onnx.graphs import build, node, single

RNG = np.random.default_rng(3)


def normal(*shape):
    return RNG.standard_normal(shape)


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
    "threshold": (
        "ThresholdedRelu",
        ["x"],
        {"alpha": 0.5},
        "jumps at its threshold alpha = 0.5",
    ),
    "hard_shrink": ("Shrink", ["x"], {}, "jumps unless.*by 0.5 at x = 0.5"),
    "slope": ("PRelu", ["c", "x"], {}, "depends on the network's inputs"),
    "float_to_int": ("Cast", ["x"], {"to": TensorProto.INT64}, "rounds"),
    "bfloat16": ("Cast", ["x"], {"to": TensorProto.BFLOAT16}, "rounding"),
    "selu": ("Selu", ["x"], {"gamma": 0.5}, "not piecewise linear in"),
    "lp_pool": ("LpPool", ["w"], {"kernel_shape": [2]}, "takes powers and roots"),
    "global_lp_pool": ("GlobalLpPool", ["w"], {"p": 3}, "takes powers and roots"),
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
    }
    inputs_ = {"x": [1, 3]}
    if case == "matrix_product":
        nodes.insert(0, node("Transpose", ["x"], ["t"]))
    if "lp_pool" in case:
        nodes.insert(0, node("Unsqueeze", ["x", "axis"], ["w"]))
        constants["axis"] = np.array([0])
    if case == "data_indices":
        nodes.insert(0, node("Cast", ["x"], ["mask0"], to=TensorProto.FLOAT))
        nodes[1] = helper.make_node("Gather", ["c", "mask0"], ["y"], name="bad")
        text = "inputs do not fit"
    model = build(nodes, inputs_, ["y"], constants, opset=18)
    with pytest.raises(NetworkError, match=text) as error:
        load_onnx(model)
    assert "'bad'" in str(error.value)
    assert op_type in str(error.value) or case == "data_indices"


def test_an_output_without_entries():
    """Parts without entries are read, as onnxruntime does; but not as outputs."""
    cut = node("Slice", ["x", "three", "three", "one"], ["y"])
    constants = {"three": np.array([3]), "one": np.array([1])}
    with pytest.raises(NetworkError, match="'y' is empty"):
        load_onnx(build([cut], {"x": [1, 3]}, ["y"], constants, opset=18))


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


def branch(operator, name):
    value = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    return helper.make_graph([node(operator, ["x"], [name])], name, [], [value])


def test_branches_on_data_are_refused():
    model = build(
        [
            node("ReduceMax", ["x"], ["m"], keepdims=0),
            node("Cast", ["m"], ["c"], to=TensorProto.BOOL),
            node(
                "If",
                ["c"],
                ["y"],
                then_branch=branch("Relu", "a"),
                else_branch=branch("Neg", "b"),
            ),
        ],
        {"x": [1, 3]},
        ["y"],
    )
    with pytest.raises(UnsupportedOperatorError, match="Cast.*rounds"):
        load_onnx(model)


def test_loops_are_refused():
    kinds = {"i": TensorProto.INT64, "c": TensorProto.BOOL, "v": TensorProto.FLOAT}
    kinds.update(c1=TensorProto.BOOL, v1=TensorProto.FLOAT)
    values = {
        name: helper.make_tensor_value_info(name, kind, None if kind == 1 else [])
        for name, kind in kinds.items()
    }
    body = helper.make_graph(
        [node("Identity", ["c"], ["c1"]), node("Relu", ["v"], ["v1"])],
        "body",
        [values[n] for n in ("i", "c", "v")],
        [values[n] for n in ("c1", "v1")],
    )
    model = build(
        [node("Loop", ["n", "", "x"], ["y"], body=body)],
        {"x": [1, 3]},
        ["y"],
        {"n": np.array(2)},
    )
    with pytest.raises(UnsupportedOperatorError, match="Loop.*loops, and branches on"):
        load_onnx(model)


def test_operators_of_an_optimised_model_tell_where_they_come_from():
    model = build([node("Relu", ["x"], ["y"])], {"x": ["N", 3]}, ["y"])
    model.graph.node[0].op_type = "QuickGelu"
    model.graph.node[0].domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(
        UnsupportedOperatorError, match=r"com\.microsoft\.QuickGelu.*optimised model"
    ):
        load_onnx(model)


@pytest.mark.parametrize(
    "op_type, inputs", [("Mul", "xx"), ("Div", "cx"), ("Pow", "xc")]
)
def test_products_and_powers_say_what_to_use_instead(op_type, inputs):
    model = build(
        [node(op_type, list(inputs), ["y"])],
        {"x": ["N", 3]},
        ["y"],
        {"c": np.array(2.0)} if "c" in inputs else {},
    )
    with pytest.raises(UnsupportedOperatorError, match="Use max, Relu.*pass output="):
        load_onnx(model)


def test_imputing_a_number_jumps():
    model = build([node("Relu", ["x"], ["y"])], {"x": ["N", 2]}, ["y"])
    imputer = helper.make_node(
        "Imputer", ["x"], ["t"], domain="ai.onnx.ml", imputed_value_floats=[1.0, 2.0]
    )
    model.graph.node.insert(0, imputer)
    model.graph.node[1].input[0] = "t"
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    with pytest.raises(UnsupportedOperatorError, match="Imputer.*replaces the value 0"):
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


@pytest.mark.parametrize("function", [lambda o, x: None, lambda o, x: 3.0])
def test_a_registered_operator_that_returns_no_tensor_is_named(registered, function):
    registered("Softsign", function)
    with pytest.raises(NetworkError, match="Softsign.*returned .* which is no tensor"):
        load_onnx(single("Softsign", ["N", 3]))


def test_what_a_registered_operator_may_do_is_said(registered):
    registered("Softsign", lambda operation, x: np.maximum(x, 0))
    with pytest.raises(
        NetworkError, match=r"register_operator failed.*operation\.relu"
    ):
        load_onnx(single("Softsign", ["N", 3]))


def test_taking_back_an_operator_brings_back_the_readers_own():
    model = single("Relu", ["N", 3])
    register_operator("Relu", lambda operation, x: x)
    with pytest.raises(NetworkMismatchError):
        load_onnx(model)
    register_operator("Relu", None)
    assert load_onnx(model).n_neurons == 3


@pytest.mark.parametrize("arguments", [("", len), (3, len), ("Tooth", 3)])
def test_registering_nonsense_is_refused(arguments):
    with pytest.raises(NetworkError, match="register_operator"):
        register_operator(*arguments)
