"""Pooling windows of any size, stride and padding, rounded up or not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.network.onnx.graphs import build, check_agreement, node
from tests.versions import COUNTS_PADDING_ALONE, DROPS_WINDOWS_IN_PADDING


@st.composite
def pools(draw):
    """A pooling node and the shape of its input, with one or two spatial axes."""
    axes = draw(st.integers(1, 2))
    kernel = [draw(st.integers(1, 3)) for _ in range(axes)]
    grid = [draw(st.integers(k, 6)) for k in kernel]
    pads = [draw(st.integers(0, k - 1)) for k in kernel * 2]
    options = {
        "kernel_shape": kernel,
        "strides": [draw(st.integers(1, 3)) for _ in range(axes)],
        "pads": pads,
        "ceil_mode": draw(st.integers(0, 1)),
    }
    name = draw(st.sampled_from(["MaxPool", "AveragePool"]))
    if name == "AveragePool" and (COUNTS_PADDING_ALONE or not options["ceil_mode"]):
        options["count_include_pad"] = draw(st.integers(0, 1))
    return node(name, ["x"], ["t"], **options), [1, 1, *grid]


dropped = pytest.mark.skipif(
    not DROPS_WINDOWS_IN_PADDING, reason="this onnxruntime computes other windows"
)


@dropped
@settings(max_examples=40, deadline=None)
@given(pools(), st.sampled_from([10, 11, 18, 19, 22]))
def test_windows_are_those_of_onnxruntime_at_every_opset(pool, opset):
    """A window that would start in the end padding is none, as in PyTorch."""
    made, shape = pool
    nodes = [made, node("Relu", ["t"], ["y"])]
    check_agreement(build(nodes, {"x": shape}, ["y"], opset=opset, ir=10), points=3)


@dropped
def test_layers_behind_a_window_in_the_end_padding_have_its_shape():
    """Before opset 22 onnx expects a third window, which nobody computes."""
    pool = node(
        "MaxPool", ["x"], ["t"], kernel_shape=[2], strides=[2], pads=[1, 1], ceil_mode=1
    )
    nodes = [pool, node("Flatten", ["t"], ["f"]), node("Relu", ["f"], ["y"])]
    network = check_agreement(build(nodes, {"x": [1, 1, 3]}, ["y"], opset=18))
    np.testing.assert_array_equal(network.forward([1.0, -2.0, 3.0]), [1, 3])
