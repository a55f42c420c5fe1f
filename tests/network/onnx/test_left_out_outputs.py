"""Outputs that have no name because nobody reads them."""

import numpy as np
import pytest

from pyomo_relu.network import load_onnx
from tests.network.onnx.graphs import build, node

SCALE = {"s": np.array([1.0, 2.0]), "v": np.array([1.0, 4.0])}
STATISTICS = ["s", "s", "s", "v"]


@pytest.mark.parametrize("names", [["", "t"], ["t", ""]])
@pytest.mark.parametrize("read", ["t", "x"])
def test_parts_of_a_split(names, read):
    """onnxruntime 1.32 ends the process, unless it is shown a name."""
    split = node("Split", ["x"], names, axis=1, num_outputs=2)
    nodes = [split, node("Relu", [read], ["y"])]
    network = load_onnx(build(nodes, {"x": [1, 4]}, ["y"], opset=18))
    x = np.array([1.0, -2.0, 3.0, -4.0])
    part = {"t": x[2:] if names[0] == "" else x[:2], "x": x}[read]
    np.testing.assert_array_equal(network.forward(x), np.maximum(part, 0.0))


@pytest.mark.parametrize("data", ["c", "x"])
def test_statistics_of_a_normalisation_in_training(data):
    """On constants it is a constant; on data here it is one that no output reads."""
    batch = node(
        "BatchNormalization", [data, *STATISTICS], ["h", "", ""], training_mode=1
    )
    added = node("Add", ["x", "h" if data == "c" else "s"], ["t"])
    nodes = [batch, added, node("Relu", ["t"], ["y"])]
    constants = {**SCALE, "c": np.array([[1.0, -2.0], [3.0, 2.0]])}
    network = load_onnx(build(nodes, {"x": [2, 2]}, ["y"], constants, opset=18))
    x = np.array([0.5, -0.25, 1.0, -3.0])
    h = [0.0, 0.0, 2.0, 4.0] if data == "c" else [1.0, 2.0, 1.0, 2.0]
    np.testing.assert_allclose(network.forward(x), np.maximum(x + h, 0), atol=1e-4)
