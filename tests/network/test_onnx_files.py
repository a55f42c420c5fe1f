"""Files that are missing, damaged or hostile: clear errors, nothing executed."""

import os
import random

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pyomo_relu.errors import NetworkError, NetworkFileError, ReLUError
from pyomo_relu.network import load_onnx
from tests.network.graphs import build, check_agreement, node, save, single

RNG = np.random.default_rng(8)


def small():
    """Gemm, Relu, Gemm with weights as raw data."""
    return build(
        [
            node("Gemm", ["x", "W", "b"], ["h"]),
            node("Relu", ["h"], ["r"]),
            node("MatMul", ["r", "V"], ["y"]),
        ],
        {"x": ["N", 2]},
        ["y"],
        {
            "W": RNG.standard_normal((2, 3)),
            "b": RNG.standard_normal(3),
            "V": RNG.standard_normal((3, 1)),
        },
    )


def refusal(source, text, error=NetworkError, **options):
    with pytest.raises(error, match=text) as caught:
        load_onnx(source, **options)
    return str(caught.value)


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
    steps = [*model.graph.node][::-1]
    del model.graph.node[:]
    model.graph.node.extend(steps)
    refusal(model, "not valid ONNX")


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
        ({"x": (1, 5)}, "fit"),
    ],
)
def test_input_shapes_that_cannot_be(shapes, text):
    refusal(small(), text, input_shapes=shapes)


# -- external data ----------------------------------------------------------------------


def external(folder, location="weights.bin", *, write=True, **extra):
    """The small model in ``folder`` with W in a file at ``location``; its path."""
    model = small()
    tensor = model.graph.initializer[0]
    data = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **extra}.items():
        tensor.external_data.add(key=key, value=str(value))
    if write:
        target = folder / location
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path, data


def test_external_data_in_the_folder_and_below(tmp_path):
    for location in ("weights.bin", "sub/weights.bin", "./weights.bin"):
        path, _ = external(tmp_path, location)
        assert load_onnx(path).n_neurons == 3


def test_external_data_with_offset_and_length(tmp_path):
    path, data = external(tmp_path, offset=16, length=24)
    (tmp_path / "weights.bin").write_bytes(b"\xff" * 16 + data + b"\xff" * 8)
    reference, _ = external(tmp_path / "other" / "..", "w2")
    assert load_onnx(path).n_inputs == load_onnx(reference).n_inputs == 2


@pytest.mark.parametrize("location", ["../weights.bin", "sub/../../weights.bin", ""])
def test_external_data_outside_the_folder(tmp_path, location):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "weights.bin").write_bytes(b"\0" * 24)
    path, _ = external(folder, location, write=False)
    text = refusal(path, "outside the model's folder", NetworkFileError)
    assert "'W'" in text and "net.onnx" in text


def test_external_data_by_absolute_path(tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"\0" * 24)
    folder = tmp_path / "model"
    folder.mkdir()
    path, _ = external(folder, str(secret), write=False)
    refusal(path, "outside the model's folder", NetworkFileError)
    inside, _ = external(folder, str(folder / "net.onnx"), write=False)
    refusal(inside, "outside the model's folder", NetworkFileError)


def test_external_data_through_a_symbolic_link(tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"\0" * 24)
    folder = tmp_path / "model"
    folder.mkdir()
    os.symlink(secret, folder / "link.bin")
    path, _ = external(folder, "link.bin", write=False)
    refusal(path, "outside the model's folder", NetworkFileError)


@pytest.mark.parametrize(
    "extra",
    [
        {"offset": 8, "length": 24},
        {"length": 10**12},
        {"offset": -4},
        {"offset": "many"},
        {"length": 8},
    ],
)
def test_external_data_of_the_wrong_size(tmp_path, extra):
    path, _ = external(tmp_path, **extra)
    refusal(path, "W")


def test_external_data_in_a_folder_of_that_name(tmp_path):
    (tmp_path / "weights.bin").mkdir()
    path, _ = external(tmp_path, write=False)
    refusal(path, "cannot be read", NetworkFileError)


def test_external_data_without_a_path(tmp_path):
    path, _ = external(tmp_path)
    refusal(path.read_bytes(), "Pass the path", NetworkFileError)


def test_external_data_of_a_constant_node(tmp_path):
    array = RNG.standard_normal((2, 2)).astype(np.float32)
    tensor = numpy_helper.from_array(array, "inner")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../inner.bin")
    model = build(
        [node("Constant", [], ["w"], value=tensor), node("MatMul", ["x", "w"], ["y"])],
        {"x": ["N", 2]},
        ["y"],
    )
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    refusal(path, "outside the model's folder", NetworkFileError)
    model.graph.node[0].attribute[0].t.external_data[0].value = "inner.bin"
    path.write_bytes(model.SerializeToString())
    (tmp_path / "inner.bin").write_bytes(array.tobytes())
    weights = load_onnx(path).layers[0].weights[0]
    assert np.array_equal(weights, array.T.astype(float))


# -- local functions ----------------------------------------------------------------------


def test_local_functions_are_read():
    function = helper.make_function(
        "local",
        "Twice",
        ["a"],
        ["b"],
        [helper.make_node("Add", ["a", "a"], ["s"]), node("Relu", ["s"], ["b"])],
        [helper.make_opsetid("", 17)],
    )
    model = build(
        [helper.make_node("Twice", ["x"], ["y"], domain="local")], {"x": [1, 3]}, ["y"]
    )
    model.opset_import.append(helper.make_opsetid("local", 1))
    model.functions.append(function)
    assert check_agreement(model).n_neurons == 3


# -- fuzzing ----------------------------------------------------------------------------


def fuzz_cases():
    """Truncations and byte flips of small valid files."""
    conv = single("Conv", [1, 1, 4, 4], {"k": RNG.standard_normal((1, 1, 2, 2))})
    pool = single("MaxPool", [1, 1, 4, 4], kernel_shape=[2, 2], strides=[2, 2])
    shape = single("Reshape", ["N", 4], {"s": np.array([0, 2, 2])})
    rng = random.Random(5)
    for model in (small(), conv, pool, shape):
        data = model.SerializeToString()
        for cut in range(1, len(data), max(1, len(data) // 25)):
            yield data[:cut]
        for _ in range(250):
            broken = bytearray(data)
            for _ in range(rng.choice([1, 1, 2, 8])):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            yield bytes(broken)


def test_damaged_files_raise_our_errors_or_load_a_verified_network():
    loaded = refused = 0
    for data in fuzz_cases():
        try:
            network = load_onnx(data)
        except ReLUError:
            refused += 1
            continue
        loaded += 1
        assert np.all(np.isfinite(network.forward(np.zeros(network.n_inputs))))
    assert refused > 300 and loaded > 20
