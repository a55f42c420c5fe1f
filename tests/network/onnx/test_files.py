"""Files that are missing, damaged or hostile: clear errors, nothing executed."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pyomo_relu.errors import NetworkFileError
from pyomo_relu.network import load_onnx
from tests.network.onnx.graphs import build, node, refusal, save, single, small_network

RNG = np.random.default_rng(8)


def small():
    """Gemm, Relu, MatMul with weights as raw data, other ones at each call."""
    return small_network(RNG)


# -- sources ------------------------------------------------------------------------


def test_path_string_bytes_and_model_give_the_same_network(tmp_path):
    model = small()
    path = save(model, tmp_path / "net.onnx")
    networks = [load_onnx(s) for s in (path, str(path), path.read_bytes(), model)]
    assert len(set(networks)) == 1
    assert networks[0].name == str(path)
    assert networks[2].name == networks[3].name == "g"


def test_a_model_in_memory_is_not_changed():
    model = small()
    model.graph.output[0].type.tensor_type.ClearField("shape")
    before = model.SerializeToString(deterministic=True)
    load_onnx(model, output="h")
    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("source", [None, 3, ["net.onnx"], object()])
def test_sources_of_another_kind(source):
    refusal(source, "a path, bytes or an onnx.ModelProto, not a")


def test_missing_file(tmp_path):
    text = refusal(tmp_path / "no.onnx", "no such file", NetworkFileError)
    assert "no.onnx" in text and "Check the path" in text
    assert issubclass(NetworkFileError, OSError)


def test_folder_instead_of_file(tmp_path):
    refusal(tmp_path, "cannot be read", NetworkFileError)


def test_a_name_that_no_file_can_have():
    refusal("net\0.onnx", "cannot be read", NetworkFileError)


@pytest.mark.parametrize("data", [b"", b"\x00", b"garbage" * 50, b"\x08\x08"])
def test_bytes_that_are_no_model(data):
    refusal(data, "empty|not an ONNX file", NetworkFileError)


def test_a_two_gigabyte_claim_in_a_small_file():
    claim = b"\x3a\xff\xff\xff\xff\x07" + b"\x00" * 20  # graph of 2^31 - 1 bytes
    refusal(claim, "truncated", NetworkFileError)


def test_a_file_of_two_gigabytes_is_not_read(tmp_path):
    path = tmp_path / "huge.onnx"
    with open(path, "wb") as file:
        file.truncate(2**31)
    refusal(path, "more than an ONNX file may have", NetworkFileError)


def test_a_tensor_that_claims_more_than_it_holds():
    model = small()
    model.graph.initializer[0].dims[:] = [50000, 50000]
    refusal(model, "W", check=False)


def test_negative_dimensions():
    model = small()
    model.graph.initializer[0].dims[:] = [-2, -3]
    refusal(model, "W", check=False)


@pytest.mark.parametrize(
    "steps,constants",
    [
        (
            [node("ConstantOfShape", ["s"], ["c"]), node("Add", ["x", "c"], ["y"])],
            {"s": np.array([100000, 100000])},
        ),
        ([node("Expand", ["x", "s"], ["y"])], {"s": np.array([1000000, 2])}),
        ([node("Tile", ["x", "s"], ["y"])], {"s": np.array([1, 10**9])}),
        ([node("Pad", ["x", "s"], ["y"])], {"s": np.array([0, 0, 0, 2**40])}),
        (
            [node("MatMul", ["a", "b"], ["c"]), node("Add", ["x", "c"], ["y"])],
            {"a": np.ones((40000, 1)), "b": np.ones((1, 40000))},
        ),
    ],
)
def test_small_files_that_ask_for_huge_tensors(steps, constants):
    model = build(steps, {"x": [1, 64]}, ["y"], constants)
    refusal(model, "entries|fit", check=False)


def test_huge_inputs():
    model = build([node("Relu", ["x"], ["y"])], {"x": [1, 2**33]}, ["y"])
    assert "'x'" in refusal(model, "entries")


# -- headers ------------------------------------------------------------------------


def test_opset_too_new():
    model = small()
    model.opset_import[0].version = onnx.defs.onnx_opset_version() + 1
    text = refusal(model, "knows up to")
    assert "Upgrade onnx" in text and "opset_version=" in text


def test_opset_too_old():
    refusal(
        build([node("Relu", ["x"], ["y"])], {"x": [1, 2]}, ["y"], opset=6), "oldest"
    )


@pytest.mark.parametrize("opset", range(7, onnx.defs.onnx_opset_version() + 1))
def test_every_opset(opset):
    model = small()
    model.opset_import[0].version = opset
    model.ir_version = 4 if opset < 15 else onnx.IR_VERSION
    network = load_onnx(model)
    reference = load_onnx(small().SerializeToString(), check=False)
    assert network.n_neurons == reference.n_neurons == 3


def test_no_opset_import():
    model = small()
    del model.opset_import[:]
    refusal(model, "not valid ONNX|not known")


def test_unknown_operator():
    refusal(
        build([node("Frobnicate", ["x"], ["y"])], {"x": [1, 2]}, ["y"]), "Frobnicate"
    )


def test_no_outputs_no_inputs():
    model = small()
    del model.graph.output[:]
    refusal(model, "no outputs")
    constant = build([node("Relu", ["c"], ["y"])], {}, ["y"], {"c": np.ones((1, 2))})
    refusal(constant, "no inputs")


def test_graph_that_is_not_sorted():
    model = small()
    sorted_network = load_onnx(model)
    steps = [*model.graph.node][::-1]
    del model.graph.node[:]
    model.graph.node.extend(steps)
    assert load_onnx(model) == sorted_network


def test_a_tensor_computed_twice():
    nodes = [node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["y"])]
    refusal(build(nodes, {"x": [1, 2]}, ["y"]), "not valid ONNX")


def test_a_tensor_that_nobody_computes():
    refusal(build([node("Relu", ["z"], ["y"])], {"x": [1, 2]}, ["y"]), "not valid ONNX")
    refusal(
        build([node("Relu", ["x"], ["z"])], {"x": [1, 2]}, ["y"]), "never computed|not"
    )


@pytest.mark.parametrize(
    "kind", [TensorProto.INT64, TensorProto.BOOL, TensorProto.STRING]
)
def test_inputs_that_are_not_floats(kind):
    model = build([node("Identity", ["x"], ["y"])], {"x": [1, 2]}, ["y"], kind=kind)
    assert "'x'" in refusal(model, "must be float32, float64 or float16")


def test_sequence_inputs():
    model = build(
        [node("SequenceAt", ["x", "k"], ["y"])], {}, ["y"], {"k": np.array(0)}
    )
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, [1, 2]))
    model.graph.input.append(helper.make_value_info("x", kind))
    refusal(model, "not a tensor but a sequence_type")


def test_empty_inputs():
    refusal(
        build([node("Relu", ["x"], ["y"])], {"x": [1, 0]}, ["y"]), "holds no entries"
    )


def test_scalar_and_vector_inputs():
    scalar = load_onnx(build([node("Relu", ["x"], ["y"])], {"x": []}, ["y"]))
    assert scalar.inputs[0].shape == () and scalar.n_inputs == 1
    vector = load_onnx(build([node("Relu", ["x"], ["y"])], {"x": [3]}, ["y"]))
    assert vector.inputs[0].shape == (3,)


# -- keywords -------------------------------------------------------------------------


def test_outputs_by_name():
    model = small()
    assert load_onnx(model, output="h").n_outputs == 3
    both = load_onnx(model, output=["y", "h"])
    assert [t.name for t in both.outputs] == ["y", "h"]
    assert load_onnx(model, output="x").n_outputs == 2
    assert load_onnx(model, output="b").forward(np.zeros(2)).shape == (3,)


@pytest.mark.parametrize(
    "output,text",
    [
        ("hh", "no tensor 'hh' to take as output. Tensors of the graph: .*'h'"),
        ([], "at least one tensor"),
        (["h", "h"], "each tensor once"),
    ],
)
def test_outputs_that_cannot_be_taken(output, text):
    refusal(small(), text, output=output)


def test_a_constant_integer_output():
    model = single("Shape", [1, 2])
    refusal(model, "constant of type int64")


@pytest.mark.parametrize(
    "shapes,text",
    [
        ({"z": (1, 2)}, "names \\['z'\\], but the inputs are \\['x'\\]"),
        ({"x": (1, -2)}, "positive integers"),
        ({"x": "ab"}, "positive integers"),
        ({"x": 4}, "positive integers"),
        ({"x": (1, 5)}, "fit|inner dimensions"),
    ],
)
def test_input_shapes_that_cannot_be(shapes, text):
    refusal(small(), text, input_shapes=shapes)
