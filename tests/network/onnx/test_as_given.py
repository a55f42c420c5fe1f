"""The file as it was given is what is read, and what onnxruntime is asked to run."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from pyomo_relu.errors import NetworkFileError, NetworkMismatchError
from pyomo_relu.network import load_onnx
from pyomo_relu.network.onnx.file.file import open_model
from pyomo_relu.network.onnx.graph.graph import GraphReader
from pyomo_relu.network.onnx.verification.verification import verify
from tests.network.onnx.graphs import build, check_agreement, node, refusal
from tests.network.onnx.test_functions import (
    call,
    function,
    leaky_with_reference,
    with_functions,
)
from tests.network.onnx.test_names import branch_of, choice

RNG = np.random.default_rng(3)
W = RNG.standard_normal((3, 2))
POINT = np.array([1.0, -2.0, 0.5])


# -- what onnx's checker refuses and onnxruntime runs ---------------------------------------


def dense():
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Relu", ["h"], ["y"])]
    return build(nodes, {"x": ["N", 3]}, ["y"], {"w": W})


def untyped(model):
    model.graph.output[0].ClearField("type")
    model.graph.value_info.add(name="h")


def without_name(model):
    model.graph.ClearField("name")


def old_ir(model):
    model.ir_version = 3


def two_imports(model):
    model.opset_import.insert(0, helper.make_opsetid("ai.onnx", 7))


def unread_without_data(model):
    model.graph.initializer.add(name="unread", data_type=1, dims=[4])


def unread_inputs(model):
    for name, kind in (("s", TensorProto.STRING), ("i", TensorProto.INT64)):
        model.graph.input.append(helper.make_tensor_value_info(name, kind, ["M", 2]))


def unread_input_without_shape(model):
    model.graph.input.append(helper.make_tensor_value_info("u", 1, ["N", "M"]))


def training(model):
    model.training_info.add()
    model.metadata_props.add(key="k", value="v")


@pytest.mark.parametrize(
    "change",
    [
        untyped,
        without_name,
        old_ir,
        two_imports,
        unread_without_data,
        training,
        unread_input_without_shape,
    ],
)
def test_what_does_not_matter(change):
    model, plain = dense(), load_onnx(dense())
    change(model)
    assert load_onnx(model.SerializeToString()) == plain


def test_inputs_that_nobody_reads():
    model = dense()
    unread_inputs(model)
    network = load_onnx(model)
    assert [t.name for t in network.inputs] == ["x", "i"]
    assert not np.any(network.inputs_read()[3:])


def test_the_domain_of_machine_learning_need_not_be_imported():
    scale = helper.make_node(
        "Scaler", ["x"], ["y"], domain="ai.onnx.ml", offset=[1.0], scale=[2.0]
    )
    network = check_agreement(build([scale], {"x": ["N", 3]}, ["y"]))
    np.testing.assert_allclose(network.forward(POINT), 2 * (POINT - 1))


def test_external_data_that_nobody_reads_may_be_missing(tmp_path):
    model = dense()
    tensor = model.graph.initializer.add(name="unread", data_type=1, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="gone.bin")
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    assert load_onnx(path) == load_onnx(dense())
    tensor.external_data[0].value = "../gone.bin"
    path.write_bytes(model.SerializeToString())
    refusal(path, "outside the model's folder", NetworkFileError)


def test_no_ir_version():
    model = dense()
    model.ClearField("ir_version")
    refusal(model, "not valid ONNX: it states no IR version")


# -- the comparison ---------------------------------------------------------------------


def compare(given, read):
    """Compare the network read from one model with another model as it is given."""
    file = open_model(given)
    reader = GraphReader(open_model(read).model, file.name)
    verify(file, reader, reader.network())


def leaky_twice():
    nodes = [call("Act", ["x"], ["y"])]
    return [with_functions(nodes, [leaky_with_reference(d)]) for d in (True, False)]


def branches_twice():
    nodes = [choice(branch_of("Relu", ["x"]), branch_of("Neg", ["x"]), "y")]
    x = {"x": ["N", 3]}
    return [build(nodes, x, ["y"], {"yes": np.array(c)}) for c in (True, False)]


def decoy_twice():
    decoy = function("Relu", [node("Neg", ["a"], ["b"])], domain="")
    own = function("Relu", [node("Neg", ["a"], ["b"])])
    return [
        with_functions([node("Relu", ["x"], ["y"])], [decoy]),
        with_functions([call("Relu", ["x"], ["y"])], [own]),
    ]


@pytest.mark.parametrize("models", [leaky_twice, branches_twice, decoy_twice])
def test_what_is_confused_in_reading_is_found_out(models):
    """A forgotten default, the other branch, a function in place of the operator."""
    for given in models():
        for read in models():
            if read == given:
                compare(given, read)
            else:
                with pytest.raises(NetworkMismatchError, match="onnxruntime"):
                    compare(given, read)


def test_shapes_given_by_the_caller_replace_those_of_the_file():
    model = build([node("Relu", ["x"], ["y"])], {"x": [1, 3]}, ["y"])
    assert load_onnx(model, input_shapes={"x": (1, 5)}).n_inputs == 5
    assert load_onnx(model, input_shapes={"x": (4, 3)}).n_inputs == 12


def huge_and_unread(source):
    return [
        node("ConstantOfShape", ["s"], ["big"]),
        node("ReduceMax", ["big"], ["m"]),
        node("Relu", [source], ["b"]),
    ]


def test_huge_tensors_that_nobody_reads_are_never_made():
    size = {"s": np.array([200000, 200000])}
    model = build(huge_and_unread("x"), {"x": ["N", 3]}, ["b"], size)
    assert load_onnx(model).n_neurons == 3


def test_huge_tensors_that_nobody_reads_in_a_function_are_refused():
    f = function("F", huge_and_unread("a"), ["a", "s"])
    size = {"s": np.array([200000, 200000])}
    model = with_functions([call("F", ["x", "s"], ["y"])], [f], constants=size)
    message = refusal(model, "nodes that no output depends on")
    assert "check=False" in message
    assert load_onnx(model, check=False).n_neurons == 3


def test_nodes_of_one_name_which_onnxruntime_refuses():
    """The graph has one meaning; the comparison leaves the names out."""
    model = dense()
    for n in model.graph.node:
        n.name = "same"
    assert load_onnx(model) == load_onnx(dense())
