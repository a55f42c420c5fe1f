"""Resize and Upsample: interpolation, one sparse matrix per axis."""

import numpy as np
from scipy import sparse

from pyomo_relu.network.onnx import budget
from pyomo_relu.network.onnx.nodes.evaluation import NodeEvaluator, check_size
from pyomo_relu.network.onnx.registry import operator

#: Attributes that describe the interpolation along one axis.
_PER_AXIS = (
    "antialias",
    "coordinate_transformation_mode",
    "cubic_coeff_a",
    "exclude_outside",
    "mode",
    "nearest_mode",
)


@operator("Resize", "Upsample")
def resize(operation, x, *parameters):
    """Interpolation with constant scales or sizes.

    Axes are interpolated independently, so that the matrix is the Kronecker product
    of one matrix per axis; that of an axis is what the operator makes of the rows of
    an identity matrix.
    """
    for k in range(len(parameters)):
        operation.constant(k + 1, (x, *parameters))
    attributes = _axis_attributes(operation)
    scales, sizes = _scales_and_sizes(operation, x, parameters)
    matrix = sparse.csr_array(np.ones((1, 1)))
    shape = []
    for n, scale, size in zip(x.shape, scales, sizes, strict=True):
        one = _axis_matrix(operation, attributes, n, scale, size)
        shape.append(one.shape[0])
        budget.require(matrix.nnz * one.nnz, "an interpolation matrix")
        matrix = sparse.csr_array(sparse.kron(matrix, one, format="csr"))
    return x.map(matrix, tuple(shape))


def _axis_attributes(operation):
    attributes = {k: v for k, v in operation.attributes.items() if k in _PER_AXIS}
    mode = attributes.get("mode", "nearest")
    attributes["mode"] = {"bilinear": "linear", "trilinear": "linear"}.get(mode, mode)
    if _is_upsample(operation):
        attributes["coordinate_transformation_mode"] = "asymmetric"
        attributes["nearest_mode"] = "floor"
    if attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize":
        operation.refuse(
            "coordinate_transformation_mode 'tf_crop_and_resize' is not read. Export "
            "with 'half_pixel', 'asymmetric' or 'align_corners'."
        )
    return attributes


def _is_upsample(operation):
    """Upsample and the first Resize (opset 10) share one definition."""
    return operation.op_type == "Upsample" or operation.opset == 10


def _scales_and_sizes(operation, x, parameters):
    """Scale or size of every axis; the other is None."""
    axes = operation.attribute("axes")
    axes = range(x.ndim) if axes is None else [a % x.ndim for a in axes]
    scales, sizes = [None] * x.ndim, [None] * x.ndim
    wanted = None
    if _is_upsample(operation):
        given = parameters[0] if parameters else operation.attribute("scales")
    else:
        given = parameters[1] if len(parameters) > 1 else None
        wanted = parameters[2] if len(parameters) > 2 else None
    if wanted is not None and np.size(wanted):
        if operation.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
            operation.refuse("only keep_aspect_ratio_policy 'stretch' is read.")
        for a, size in zip(axes, wanted, strict=True):
            sizes[a] = int(size)
    else:
        for a, scale in zip(axes, given, strict=True):
            scales[a] = float(scale)
    return scales, sizes


def _axis_matrix(operation, attributes, n, scale, size):
    """CSR matrix (result, n) of the interpolation along one axis of length n."""
    if scale in (None, 1.0) and size in (None, n):
        return sparse.csr_array(sparse.eye_array(n, format="csr"))
    from onnx import helper

    names = ["x", "", "scales"] if size is None else ["x", "", "", "sizes"]
    check_size((n, n + int(n * scale if size is None else size)))
    last = [1.0, scale] if size is None else np.array([n, size], dtype=np.int64)
    node = helper.make_node("Resize", names, ["y"], **attributes)
    evaluator = NodeEvaluator([helper.make_opsetid("", 19)], 9)
    arrays = [np.eye(n), *[None] * (len(names) - 2), np.asarray(last)]
    (rows,) = evaluator.run(node, arrays)
    return sparse.csr_array(np.asarray(rows, dtype=float).T)
