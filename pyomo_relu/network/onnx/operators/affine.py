"""Operators that are affine in their data: arithmetic, products, reductions."""

import numpy as np
from scipy import sparse

from pyomo_relu.network.onnx import budget
from pyomo_relu.network.onnx.nodes.evaluation import check_size, is_float
from pyomo_relu.network.onnx.registry import operator
from pyomo_relu.network.onnx.tensors.tensors import (
    INSTEAD,
    PRODUCT,
    AffineTensor,
    compact,
    repeated,
)


@operator("Identity")
def identity(operation, x):
    """The tensor itself."""
    return x


@operator("Dropout")
def dropout(operation, x, ratio=None, training_mode=None):
    """The tensor itself: dropout acts in training only."""
    training = operation.constant(2, (x, ratio, training_mode), False)
    if np.any(training):
        operation.refuse("it is in training mode. Export in inference mode (eval).")
    return x


@operator("Cast", "CastLike")
def cast(operation, x, like=None):
    """A change of type that keeps the number, the identity in exact arithmetic.

    Integers and truth values that become floats or wider integers are read as the
    reals that agree with them.
    """
    target = operation.output_dtype()
    if not isinstance(x, AffineTensor):
        return x if is_float(x.dtype) and is_float(target) else x.astype(target)
    if not is_float(target):
        if np.can_cast(operation.input_dtype(0), target):
            return x
        operation.refuse(
            f"it casts a tensor that depends on the inputs to {target}, which rounds. "
            "Remove the cast and export the network again."
        )
    if target not in (np.float16, np.float32, np.float64):
        operation.refuse(
            f"it casts to {target}, whose rounding cannot be neglected. Export the "
            "network without quantisation."
        )
    return x


@operator("Neg")
def negative(operation, x):
    """The negative."""
    return -x


@operator("Add")
def add(operation, a, b):
    """The sum of two tensors."""
    return a + b


@operator("Sub")
def subtract(operation, a, b):
    """The difference of two tensors."""
    return a - b


@operator("Mul")
def multiply(operation, a, b):
    """A constant times a tensor."""
    return a * b


@operator("Div")
def divide(operation, a, b):
    """A tensor divided by a constant."""
    if not isinstance(b, AffineTensor) and np.any(b == 0):
        operation.refuse(f"its divisor '{operation.input_name(1)}' has zeros.")
    return a / b


@operator("Pow")
def power(operation, x, exponent):
    """The tensor itself for exponent 1; other powers bend."""
    exponent = operation.constant(1, (x, exponent))
    if not np.all(exponent == 1):
        operation.refuse(f"powers other than 1 are not piecewise linear. {INSTEAD}")
    shape = np.broadcast_shapes(x.shape, exponent.shape)
    return x.broadcast_to(shape)


@operator("Sum")
def variadic_sum(operation, *tensors):
    """The sum of any number of tensors."""
    result = tensors[0]
    for t in tensors[1:]:
        result = result + t
    return result


@operator("Mean")
def variadic_mean(operation, *tensors):
    """The mean of any number of tensors."""
    return variadic_sum(operation, *tensors) / float(len(tensors))


@operator("Gemm")
def gemm(operation, a, b, c=None):
    """alpha A B + beta C, with A and B transposed on demand."""
    a = swap_axes(a) if operation.attribute("transA", 0) else a
    b = swap_axes(b) if operation.attribute("transB", 0) else b
    y = matrix_product(operation, a, b) * operation.attribute("alpha", 1.0)
    if c is not None:
        shape = y.shape
        y = y + c * operation.attribute("beta", 1.0)
        if y.shape != shape:
            operation.refuse(
                f"its bias '{operation.input_name(2)}' of shape {tuple(c.shape)} does "
                f"not fit the product's shape {shape}. Export the network again."
            )
    return y


@operator("MatMul")
def matmul(operation, a, b):
    """The matrix product, one factor constant, as numpy.matmul."""
    return matrix_product(operation, a, b)


def matrix_product(operation, a, b):
    """``a @ b`` as numpy.matmul; at most one of the two depends on the inputs."""
    if isinstance(a, AffineTensor) and isinstance(b, AffineTensor):
        operation.refuse(PRODUCT)
    if not isinstance(a, AffineTensor) and not isinstance(b, AffineTensor):
        return a @ b
    if a.ndim == 1 or b.ndim == 1:
        return _vector_product(operation, a, b)
    if a.shape[-1] != b.shape[-2]:
        operation.refuse(
            f"the inner dimensions of {tuple(a.shape)} and {tuple(b.shape)} differ. "
            "Export the network again."
        )
    if isinstance(a, AffineTensor):
        return _times_constant(a, b)
    return swap_axes(_times_constant(swap_axes(b), swap_axes(a)))


def swap_axes(t):
    """Exchange the last two axes of an array or affine tensor."""
    if isinstance(t, AffineTensor):
        return t.select(np.swapaxes(t.index(), -1, -2))
    return np.swapaxes(t, -1, -2)


def _vector_product(operation, a, b):
    """The product with one-dimensional factors, which lose their axis again."""
    wide_a = a.reshape((1, a.size)) if a.ndim == 1 else a
    wide_b = b.reshape((b.size, 1)) if b.ndim == 1 else b
    y = matrix_product(operation, wide_a, wide_b)
    shape = list(y.shape)
    if b.ndim == 1:
        del shape[-1]
    if a.ndim == 1:
        del shape[-2 if b.ndim > 1 else -1]
    return y.reshape(tuple(shape))


def _times_constant(x, w):
    """``x @ w`` for an affine x of shape (..., m, k) and an array (..., k, n)."""
    rows = int(np.prod(x.shape[:-1]))
    if w.ndim == 2:
        shape = x.shape[:-1] + w.shape[1:]
        if rows == 1:
            return x.map(compact(w.T), shape)
        if np.count_nonzero(w) == w.size:
            return _dense_rows(x, w, rows, shape)
        return x.map(repeated(rows, w.T), shape)
    batch = np.broadcast_shapes(x.shape[:-2], w.shape[:-2])
    m, k, n = x.shape[-2], x.shape[-1], w.shape[-1]
    full = batch + (m, n, k)
    check_size(full)
    index = np.broadcast_to(x.index()[..., :, None, :], full)
    values = np.broadcast_to(np.swapaxes(w, -1, -2)[..., None, :, :], full)
    return x.map(_rows_of(index, values, k, x.size), batch + (m, n))


def _dense_rows(x, w, rows, shape):
    k, n = w.shape
    check_size((rows, n, k))
    index = np.broadcast_to(np.arange(x.size).reshape(rows, 1, k), (rows, n, k))
    values = np.broadcast_to(w.T, (rows, n, k))
    return x.map(_rows_of(index, values, k, x.size), shape)


def _rows_of(index, values, per_row, width):
    """CSR matrix whose every row has ``per_row`` entries."""
    count = index.size // per_row
    return sparse.csr_array(
        (
            np.ascontiguousarray(values, dtype=float).reshape(-1),
            index.reshape(-1).astype(np.int32),
            np.arange(0, index.size + 1, per_row, dtype=np.int64),
        ),
        shape=(count, width),
    )


@operator("BatchNormalization")
def batch_normalization(operation, x, scale, bias, mean, variance):
    """scale (x - mean) / sqrt(variance + epsilon) + bias, per channel."""
    if operation.attribute("training_mode", 0) or not operation.attribute("spatial", 1):
        operation.refuse(
            "only its inference form with one scale per channel is affine. Export in "
            "inference mode (eval)."
        )
    arguments = (x, scale, bias, mean, variance)
    scale, bias, mean, variance = (
        operation.constant(k, arguments) for k in range(1, 5)
    )
    factor = scale / np.sqrt(variance + operation.attribute("epsilon", 1e-5))
    channel = (-1,) + (1,) * max(0, x.ndim - 2)
    return x * factor.reshape(channel) + (bias - factor * mean).reshape(channel)


@operator("CumSum", "Einsum", "Col2Im")
def linear_by_evaluation(operation, *tensors):
    """Any operator that is linear in one input: its columns are read off.

    Column j of the matrix is the operator's value at the unit vector e_j.
    """
    data = [k for k, t in enumerate(tensors) if isinstance(t, AffineTensor)]
    if len(data) != 1 or (operation.op_type != "Einsum" and data != [0]):
        operation.refuse(
            "it is linear in one tensor only, but several of its inputs depend on the "
            "network's inputs."
        )
    at = data[0]
    x = tensors[at]
    arrays = list(tensors)
    columns, made = [], 0
    for j in range(x.size):
        unit = np.zeros(x.size)
        unit[j] = 1.0
        arrays[at] = unit.reshape(x.shape)
        value = np.asarray(operation.evaluate(*arrays)[0], dtype=float)
        columns.append(sparse.csr_array(value.reshape(1, -1)))
        made += columns[-1].nnz
        budget.require(made, "its matrix")
    matrix = sparse.csr_array(sparse.vstack(columns).T)
    return x.map(matrix, value.shape)


@operator("Scaler", domain="ai.onnx.ml")
def scaler(operation, x):
    """scikit-learn's scaling (x - offset) scale, per feature."""
    offset = np.asarray(operation.attribute("offset"), dtype=float)
    return (x - offset) * np.asarray(operation.attribute("scale"), dtype=float)


@operator("LinearRegressor", domain="ai.onnx.ml")
def linear_regressor(operation, x):
    """scikit-learn's linear model, one row of coefficients per target."""
    if operation.attribute("post_transform", "NONE") != "NONE":
        operation.refuse("its post_transform is not piecewise linear.")
    targets = operation.attribute("targets", 1)
    w = np.reshape(operation.attribute("coefficients"), (targets, -1)).astype(float)
    y = matrix_product(operation, x, w.T)
    intercepts = operation.attribute("intercepts")
    return y if not intercepts else y + np.asarray(intercepts, dtype=float)


# -- reductions --------------------------------------------------------------------


def reduction_groups(operation, x, axes=None):
    """Positions that a Reduce operator joins, and the shape of its result.

    Returns
    -------
    groups : numpy.ndarray of int, shape (m, K)
        Row i lists the entries of ``x`` that output entry i combines.
    shape : tuple
    """
    axes = operation.constant(1, (x, axes), operation.attribute("axes"))
    if axes is None or np.size(axes) == 0:
        if operation.attribute("noop_with_empty_axes", 0):
            return x.index().reshape(-1, 1), x.shape
        axes = range(x.ndim)
    axes = sorted({int(a) % x.ndim for a in np.ravel(list(axes))})
    kept = [a for a in range(x.ndim) if a not in axes]
    index = np.transpose(x.index(), kept + axes)
    groups = index.reshape(int(np.prod([x.shape[a] for a in kept])), -1)
    if operation.attribute("keepdims", 1):
        shape = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    else:
        shape = tuple(x.shape[a] for a in kept)
    return groups, shape


@operator("ReduceSum", "ReduceMean")
def reduce_sum(operation, x, axes=None):
    """Sums or means over axes."""
    groups, shape = reduction_groups(operation, x, axes)
    n = groups.shape[1]
    weight = 1.0 / n if operation.op_type == "ReduceMean" else 1.0
    matrix = _rows_of(groups, np.full(groups.shape, weight), n, x.size)
    return x.map(matrix, shape)


@operator("GlobalAveragePool")
def global_average_pool(operation, x):
    """The mean over all spatial axes."""
    groups = x.index().reshape(x.shape[0] * x.shape[1], -1)
    n = groups.shape[1]
    matrix = _rows_of(groups, np.full(groups.shape, 1.0 / n), n, x.size)
    return x.map(matrix, x.shape[:2] + (1,) * (x.ndim - 2))
