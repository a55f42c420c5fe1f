"""Writes a chain of dense layers as an ONNX file; knows nothing of training.

Built with ``onnx.helper`` node by node (Gemm, Relu, Clip), so no torch exporter is
needed and equal weights give equal bytes.
"""

import os
import tempfile
from pathlib import Path

import numpy as np

OPSET = 17
IR_VERSION = 8


def onnx_model(weights, biases, ceilings=None, name="network"):
    """ONNX model of ``x -> W_K(...max(0, W_1 x + b_1)...) + b_K``, float32.

    Parameters
    ----------
    weights : sequence of array_like, shapes (size, previous size)
    biases : sequence of array_like, shapes (size,)
    ceilings : sequence of (None | float), optional
        One per hidden layer; a number clips that layer's ReLU from above.
    name : str
        Name of the graph.

    Returns
    -------
    onnx.ModelProto
        Input "x" (batch, n_inputs), output "y" (batch, n_outputs), symbolic batch.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    n = len(weights)
    ceilings = [None] * (n - 1) if ceilings is None else list(ceilings)
    if len(biases) != n or len(ceilings) != n - 1:
        raise ValueError(
            f"{name}: {n} weight matrices need {n} biases and {n - 1} ceilings, got "
            f"{len(biases)} and {len(ceilings)}."
        )
    nodes, constants = [], []

    def constant(label, value):
        array = np.asarray(value, dtype=np.float32)
        constants.append(numpy_helper.from_array(array, label))
        return label

    previous = "x"
    for k, (w, b) in enumerate(zip(weights, biases, strict=True)):
        pre = "y" if k == n - 1 else f"pre{k}"
        arguments = [previous, constant(f"W{k}", w), constant(f"b{k}", b)]
        nodes.append(
            helper.make_node("Gemm", arguments, [pre], name=f"gemm{k}", transB=1)
        )
        if k == n - 1:
            break
        previous = f"post{k}"
        if ceilings[k] is None:
            node = helper.make_node("Relu", [pre], [previous], name=f"relu{k}")
        else:
            ends = [constant(f"zero{k}", 0.0), constant(f"ceiling{k}", ceilings[k])]
            node = helper.make_node("Clip", [pre, *ends], [previous], name=f"clip{k}")
        nodes.append(node)
    sizes = np.shape(weights[0])[1], np.shape(weights[-1])[0]
    x, y = (
        helper.make_tensor_value_info(label, TensorProto.FLOAT, ["batch", size])
        for label, size in zip("xy", sizes, strict=True)
    )
    model = helper.make_model(
        helper.make_graph(nodes, name, [x], [y], constants),
        producer_name="pyomo_relu study",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    checker.check_model(model, full_check=True)
    return model


def write_atomically(path, data):
    """Write ``data`` (bytes) to ``path`` so that no reader ever sees half a file."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_onnx(path, weights, biases, ceilings=None, name="network"):
    """Write the chain as an ONNX file, atomically; see ``onnx_model``."""
    model = onnx_model(weights, biases, ceilings, name)
    write_atomically(path, model.SerializeToString(deterministic=True))
