"""Small ONNX graphs for the reader's tests, and their evaluation by onnxruntime."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from pyomo_relu.errors import NetworkError
from pyomo_relu.network import load_onnx

FLOAT = TensorProto.FLOAT


def build(nodes, inputs, outputs, constants=None, *, opset=17, ir=8, kind=FLOAT):
    """A model from nodes, ``{name: shape}`` of inputs, output names and constants.

    Constants given as float64 arrays are stored in the type of the inputs.
    """
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    initializers = []
    for name, array in (constants or {}).items():
        array = np.asarray(array)
        if array.dtype == np.float64:
            array = array.astype(dtype)
        initializers.append(numpy_helper.from_array(array, name))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, kind, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, kind, None) for n in outputs],
        initializers,
    )
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir)


def node(op_type, inputs, outputs, **attributes):
    """A node without a name, as ONNX allows."""
    return helper.make_node(op_type, list(inputs), list(outputs), **attributes)


def single(op_type, shape, constants=None, *, opset=17, kind=FLOAT, **attributes):
    """A model of one node: input ``x``, then the constants in order, output ``y``."""
    constants = constants or {}
    inputs = ["x", *(name for name in constants if name != "x")]
    return build(
        [node(op_type, inputs, ["y"], **attributes)],
        {"x": shape},
        ["y"],
        {n: a for n, a in constants.items() if a is not None},
        opset=opset,
        kind=kind,
    )


def session(model):
    """A quiet single-threaded onnxruntime session of a model, bytes or a path."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    data = model if isinstance(model, (bytes, str)) else model.SerializeToString()
    return onnxruntime.InferenceSession(
        data, options, providers=["CPUExecutionProvider"]
    )


def run(model, *arrays):
    """Flat float64 outputs of onnxruntime, concatenated."""
    runner = session(model)
    feeds = {i.name: a for i, a in zip(runner.get_inputs(), arrays, strict=True)}
    return np.concatenate([np.ravel(y).astype(float) for y in runner.run(None, feeds)])


def batched(network, runner, x):
    """The arrays to feed for the flat point ``x``, in the runner's types and shapes."""
    arrays, start = [], 0
    for value in runner.get_inputs():
        tensor = next(t for t in network.inputs if t.name == value.name)
        shape = [n if isinstance(n, int) else 1 for n in value.shape]
        dtype = np.float64 if "double" in value.type else np.float32
        dtype = np.float16 if "float16" in value.type else dtype
        start = sum(t.size for t in network.inputs[: network.inputs.index(tensor)])
        part = x[start : start + tensor.size]
        arrays.append(part.reshape(shape or tensor.shape).astype(dtype))
    return arrays


def check_agreement(
    model, *, points=12, tolerance=2e-5, seed=0, network=None, **options
):
    """Load ``model`` and compare it with onnxruntime at random points; the network."""
    if network is None:
        network = load_onnx(model, **options)
    runner = session(model)
    rng = np.random.default_rng(seed)
    for k in range(points):
        x = rng.standard_normal(network.n_inputs) * (0.3, 1.0, 4.0)[k % 3]
        arrays = batched(network, runner, x)
        exact = np.concatenate([np.ravel(a).astype(float) for a in arrays])
        feeds = {i.name: a for i, a in zip(runner.get_inputs(), arrays, strict=True)}
        theirs = np.concatenate([np.ravel(y) for y in runner.run(None, feeds)])
        ours = network.forward(exact)
        scale = 1.0 + np.max(np.abs(theirs))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale)
    return network


def save(model, path):
    """Write the model and return the path."""
    onnx.save(model, str(path))
    return path


def small_network(rng):
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
            "W": rng.standard_normal((2, 3)),
            "b": rng.standard_normal(3),
            "V": rng.standard_normal((3, 1)),
        },
    )


def refusal(source, text, error=NetworkError, **options):
    """The message with which the reader refuses a source."""
    with pytest.raises(error, match=text) as caught:
        load_onnx(source, **options)
    return str(caught.value)
