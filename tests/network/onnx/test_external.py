"""External data, local functions, and damaged files: nothing unsafe is done."""

import os
import random

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from pyomo_relu.errors import NetworkFileError, ReLUError
from pyomo_relu.network import load_onnx
from tests.network.onnx.graphs import (
    build,
    check_agreement,
    node,
    refusal,
    single,
    small_network,
)

RNG = np.random.default_rng(8)


def small():
    """Gemm, Relu, MatMul with weights as raw data, other ones at each call."""
    return small_network(RNG)


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
