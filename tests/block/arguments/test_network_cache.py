"""Blocks made from the same path: the network as its files are when the block is made."""

import os

import numpy as np
import onnx
import pyomo.environ as pyo
import pytest
from onnx import TensorProto, helper, numpy_helper

from pyomo_relu import ReLUNetworkBlock
from pyomo_relu.errors import NetworkFileError
from pyomo_relu.network import register_operator


def model(weight=2.0, operator="Relu"):
    """y = operator(weight x)."""
    value = helper.make_tensor_value_info
    domain = "" if operator == "Relu" else "my.operators"
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "W"], ["z"]),
            helper.make_node(operator, ["z"], ["y"], domain=domain),
        ],
        "g",
        [value("x", TensorProto.FLOAT, [1, 1])],
        [value("y", TensorProto.FLOAT, [1, 1])],
        [numpy_helper.from_array(np.full((1, 1), weight, np.float32), "W")],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("my.operators", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def value_at_one(path):
    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock(network=path)
    m.nn.initialize([1.0])
    return m.nn.outputs[0].value


def as_it_was(path, change):
    """Change a file and let it have its old times again."""
    before = os.stat(path)
    change()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("external", [False, True])
def test_weights_replaced_without_a_trace(tmp_path, external):
    path, data = tmp_path / "n.onnx", tmp_path / "n.data"

    def write(weight):
        onnx.save_model(
            model(weight),
            path,
            save_as_external_data=external,
            location="n.data",
            size_threshold=0,
        )

    write(2.0)
    assert value_at_one(path) == pytest.approx(2.0)
    changed = data if external else path
    for weight in (6.0, 2.0, 3.0):
        data.unlink(missing_ok=True)
        if external:
            data.write_bytes(np.float32(weight).tobytes())
        as_it_was(changed, lambda weight=weight: write(weight))
        assert value_at_one(path) == pytest.approx(weight)


def test_external_data_that_went_away(tmp_path):
    path = tmp_path / "n.onnx"
    onnx.save_model(
        model(), path, save_as_external_data=True, location="n.data", size_threshold=0
    )
    assert value_at_one(path) == pytest.approx(2.0)
    (tmp_path / "n.data").unlink()
    with pytest.raises(NetworkFileError, match="n.data"):
        value_at_one(path)


@pytest.mark.parametrize("kind", ["path", "bytes"])
def test_operator_replaced_after_a_first_load(tmp_path, kind):
    source = model().SerializeToString()
    if kind == "path":
        (tmp_path / "n.onnx").write_bytes(source)
        source = tmp_path / "n.onnx"
    assert value_at_one(source) == pytest.approx(2.0)
    known = register_operator("Relu", lambda operation, z: operation.refuse("replaced"))
    try:
        with pytest.raises(Exception, match="replaced"):
            value_at_one(source)
    finally:
        register_operator("Relu", known)
    assert value_at_one(source) == pytest.approx(2.0)


def test_relative_paths_belong_to_their_folder(tmp_path, monkeypatch):
    for folder, weight in (("a", 2.0), ("b", 5.0)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "n.onnx").write_bytes(model(weight).SerializeToString())
        monkeypatch.chdir(tmp_path / folder)
        assert value_at_one("n.onnx") == pytest.approx(weight)


def test_members_of_an_indexed_block_share_the_network(tmp_path):
    path = tmp_path / "n.onnx"
    path.write_bytes(model().SerializeToString())
    m = pyo.ConcreteModel()
    m.nn = ReLUNetworkBlock(range(3), network=path)
    assert m.nn[0].network.layers[0] is m.nn[2].network.layers[0]
