"""Convolution and pooling: sparse matrices straight from the windows."""

import numpy as np
from scipy import sparse

from pyomo_relu.network.onnx import budget
from pyomo_relu.network.onnx.nodes.evaluation import check_size
from pyomo_relu.network.onnx.operators.affine import global_average_pool
from pyomo_relu.network.onnx.operators.piecewise import absolute
from pyomo_relu.network.onnx.registry import operator
from pyomo_relu.network.onnx.tensors.tensors import repeated


class Windows:
    """Which entries of a spatial grid each window of an operator sees.

    Parameters
    ----------
    operation : Operation
        Its attributes strides, dilations, pads, auto_pad and ceil_mode are read.
    grid : tuple of int
        Spatial shape of the input.
    kernel : tuple of int

    Attributes
    ----------
    out : tuple of int
        Spatial shape of the result.
    index : numpy.ndarray of int, shape (positions, kernel entries)
        Flat position in the grid, or -1 in the padding.
    padded : numpy.ndarray of bool, same shape
        Whether the place lies in the grid or its declared padding (a window rounded
        up by ceil_mode reaches beyond).
    """

    def __init__(self, operation, grid, kernel):
        axes = len(grid)
        strides = operation.attribute("strides") or [1] * axes
        dilations = operation.attribute("dilations") or [1] * axes
        ceil_mode = bool(operation.attribute("ceil_mode", 0))
        _check_lengths(operation, axes, kernel, strides, dilations)
        begin, end = _padding(operation, grid, kernel, strides, dilations)
        self.out, places = [], []
        for n, k, s, d, b, e in zip(
            grid, kernel, strides, dilations, begin, end, strict=True
        ):
            count = _window_count(n + b + e, (k - 1) * d + 1, s, ceil_mode, n + b)
            if count < 1:
                operation.refuse(
                    f"its window of {tuple(kernel)} is larger than the padded input "
                    f"{tuple(grid)}."
                )
            self.out.append(count)
            places.append(np.arange(count)[:, None] * s + np.arange(k) * d - b)
        self.out = tuple(self.out)
        check_size((*self.out, *kernel))
        self.index = _flat_places(places, grid)
        limits = [(-b, n + e) for n, b, e in zip(grid, begin, end, strict=True)]
        self.padded = _all_axes(
            [
                (p >= low) & (p < high)
                for p, (low, high) in zip(places, limits, strict=True)
            ]
        )


def _check_lengths(operation, axes, kernel, strides, dilations):
    lengths = {len(kernel), len(strides), len(dilations), axes}
    if len(lengths) != 1 or min(*kernel, *strides, *dilations, 1) < 1:
        operation.refuse(
            f"kernel {tuple(kernel)}, strides {tuple(strides)} and dilations "
            f"{tuple(dilations)} do not fit an input with {axes} spatial axes."
        )


def _padding(operation, grid, kernel, strides, dilations):
    """Padding before and after each axis, from pads or auto_pad."""
    axes = len(grid)
    mode = operation.attribute("auto_pad", "NOTSET")
    if mode == "NOTSET":
        pads = operation.attribute("pads") or [0] * (2 * axes)
        if len(pads) != 2 * axes:
            operation.refuse(f"its pads {pads} do not fit {axes} spatial axes.")
        return pads[:axes], pads[axes:]
    if mode == "VALID":
        return [0] * axes, [0] * axes
    begin, end = [], []
    for n, k, s, d in zip(grid, kernel, strides, dilations, strict=True):
        whole = max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
        small, large = whole // 2, whole - whole // 2
        begin.append(small if mode == "SAME_UPPER" else large)
        end.append(large if mode == "SAME_UPPER" else small)
    return begin, end


def _window_count(padded, extent, stride, ceil_mode, reach):
    """Number of windows; one that would start in the end padding is dropped."""
    room = padded - extent
    if room < 0:
        return 0
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    if ceil_mode and (count - 1) * stride >= reach:
        count -= 1
    return count


def _all_axes(flags):
    """Combine per-axis flags (out_a, k_a) to (positions, kernel entries) by 'and'."""
    axes = len(flags)
    result = np.ones((1,) * (2 * axes), dtype=bool)
    for a, flag in enumerate(flags):
        result = result & _spread(flag, a, axes)
    outs = int(np.prod([f.shape[0] for f in flags]))
    return result.reshape(outs, -1)


def _flat_places(places, grid):
    """Flat positions from per-axis places; -1 outside the grid."""
    axes = len(grid)
    index = np.zeros((1,) * (2 * axes), dtype=np.int64)
    for a, (place, n) in enumerate(zip(places, grid, strict=True)):
        index = index * n + _spread(place, a, axes)
    inside = _all_axes([(p >= 0) & (p < n) for p, n in zip(places, grid, strict=True)])
    return np.where(inside, index.reshape(inside.shape), -1)


def _spread(array, axis, axes):
    """Put (out, k) of one axis where it belongs among (outs ..., ks ...)."""
    shape = [1] * (2 * axes)
    shape[axis], shape[axes + axis] = array.shape
    return array.reshape(shape)


# -- convolution -------------------------------------------------------------------


@operator("Conv")
def convolution(operation, x, w, b=None):
    """The convolution with constant weights, any number of axes, groups, dilation."""
    w = operation.constant(1, (x, w))
    groups = operation.attribute("group", 1)
    per_group = w.shape[1]
    if x.ndim != w.ndim or x.ndim < 3:
        operation.refuse(
            f"its weights of shape {w.shape} do not fit an input of shape {x.shape}."
        )
    kernel = tuple(operation.attribute("kernel_shape") or w.shape[2:])
    fits = (
        kernel == w.shape[2:]
        and groups >= 1
        and x.shape[1] == groups * per_group
        and w.shape[0] % groups == 0
    )
    if not fits:
        operation.refuse(
            f"its weights of shape {w.shape}, kernel {kernel} and {groups} group(s) "
            f"do not fit an input of shape {x.shape}. Export the network again."
        )
    grid = x.shape[2:]
    windows = Windows(operation, grid, kernel)
    check_size((x.shape[0], *windows.out, w.size))
    rows = []
    filters = w.reshape(w.shape[0], per_group, -1)
    members = w.shape[0] // groups
    for g in range(groups):
        budget.check_time()
        part = filters[g * members : (g + 1) * members]
        rows.append(_group_rows(part, windows.index, int(np.prod(grid)), g, x.shape))
    matrix = sparse.csr_array(sparse.vstack(rows)) if len(rows) > 1 else rows[0]
    return _with_bias(operation, _each_sample(x, matrix, (w.shape[0], *windows.out)), b)


def _group_rows(filters, index, cells, group, shape):
    """CSR rows of one group: a row per (filter, position)."""
    members, per_group, _ = filters.shape
    positions = len(index)
    inside = index >= 0
    counts = inside.sum(axis=1)
    first = group * per_group * cells
    channel = first + cells * np.arange(per_group)
    columns = (index[:, None, :] + channel[None, :, None])[
        np.broadcast_to(inside[:, None, :], (positions, per_group, index.shape[1]))
    ].astype(np.int32)
    pick = np.broadcast_to(inside[:, None, :], (positions, *filters.shape[1:]))
    data = [np.broadcast_to(f, pick.shape)[pick] for f in filters]
    pointers = np.concatenate([[0], np.cumsum(np.tile(counts * per_group, members))])
    matrix = sparse.csr_array(
        (np.concatenate(data), np.tile(columns, members), pointers),
        shape=(members * positions, int(np.prod(shape[1:]))),
    )
    matrix.eliminate_zeros()
    return matrix


def _each_sample(x, matrix, shape):
    """Apply a matrix to each sample of the first axis (a batch of 1, as a rule)."""
    return x.map(repeated(x.shape[0], matrix), (x.shape[0], *shape))


def _with_bias(operation, y, b):
    if b is None:
        return y
    b = operation.constant(2, (None, None, b))
    if b.shape != (y.shape[1],):
        operation.refuse(
            f"its bias has shape {b.shape}, but there are {y.shape[1]} channels. "
            "Export the network again."
        )
    return y + b.reshape((-1,) + (1,) * (y.ndim - 2))


@operator("ConvTranspose")
def transposed_convolution(operation, x, w, b=None):
    """The transposed convolution: entry i adds w[k] at place i * stride + k."""
    w = operation.constant(1, (x, w))
    groups = operation.attribute("group", 1)
    grid, kernel = x.shape[2:], w.shape[2:]
    if x.ndim != w.ndim or x.shape[1] != w.shape[0] or w.shape[0] % groups:
        operation.refuse(
            f"its weights of shape {w.shape} and {groups} group(s) do not fit an "
            f"input of shape {x.shape}. Export the network again."
        )
    out, places = _transposed_places(operation, grid, kernel)
    check_size((*grid, w.size))
    target = _flat_places(places, out)
    source = np.broadcast_to(np.arange(len(target))[:, None], target.shape)
    inside = target >= 0
    cells, out_cells = int(np.prod(grid)), int(np.prod(out))
    members, channels = w.shape[0] // groups, w.shape[1]
    filters = w.reshape(w.shape[0], channels, -1)
    rows, columns, data = [], [], []
    for c in range(w.shape[0]):
        budget.check_time()
        for m in range(channels):
            row = (c // members * channels + m) * out_cells
            rows.append(target[inside] + row)
            columns.append(source[inside] + c * cells)
            data.append(np.broadcast_to(filters[c, m], target.shape)[inside])
    entries = (np.concatenate(data), (np.concatenate(rows), np.concatenate(columns)))
    height = groups * channels
    matrix = sparse.coo_array(
        entries, shape=(height * out_cells, w.shape[0] * cells)
    ).tocsr()
    return _with_bias(
        operation, _each_sample(x, sparse.csr_array(matrix), (height, *out)), b
    )


def _transposed_places(operation, grid, kernel):
    """Output shape, and per axis the place that (input i, kernel k) adds to."""
    axes = len(grid)
    strides = operation.attribute("strides") or [1] * axes
    dilations = operation.attribute("dilations") or [1] * axes
    extra = operation.attribute("output_padding") or [0] * axes
    _check_lengths(operation, axes, kernel, strides, dilations)
    full = [
        (n - 1) * s + (k - 1) * d + 1 + e
        for n, k, s, d, e in zip(grid, kernel, strides, dilations, extra, strict=True)
    ]
    mode = operation.attribute("auto_pad", "NOTSET")
    wanted = operation.attribute("output_shape")
    if wanted is None and mode.startswith("SAME"):
        wanted = [n * s for n, s in zip(grid, strides, strict=True)]
    if wanted is None:
        pads = operation.attribute("pads") or [0] * (2 * axes)
        begin = [0] * axes if mode == "VALID" else pads[:axes]
        end = [0] * axes if mode == "VALID" else pads[axes:]
        out = tuple(f - b - e for f, b, e in zip(full, begin, end, strict=True))
    else:
        out = tuple(wanted)[-axes:]
        whole = [max(0, f - o) for f, o in zip(full, out, strict=True)]
        upper = mode == "SAME_UPPER"
        begin = [t // 2 if upper else t - t // 2 for t in whole]
    places = [
        np.arange(n)[:, None] * s + np.arange(k) * d - b
        for n, k, s, d, b in zip(grid, kernel, strides, dilations, begin, strict=True)
    ]
    return out, places


# -- pooling -----------------------------------------------------------------------


@operator("AveragePool")
def average_pool(operation, x):
    """The mean over windows, with or without their padding."""
    windows = Windows(operation, x.shape[2:], operation.attribute("kernel_shape"))
    inside = windows.index >= 0
    counted = windows.padded if operation.attribute("count_include_pad", 0) else inside
    counts = counted.sum(axis=1)
    if np.any(counts == 0):
        operation.refuse("one of its windows holds nothing but padding.")
    weights = np.broadcast_to((1.0 / counts)[:, None], inside.shape)[inside]
    matrix = _over_channels(x, weights, windows.index, inside)
    return x.map(matrix, (*x.shape[:2], *windows.out))


@operator("MaxPool")
def max_pool(operation, x):
    """The largest entry of each window; padding never wins."""
    windows = Windows(operation, x.shape[2:], operation.attribute("kernel_shape"))
    cells = int(np.prod(x.shape[2:]))
    first = cells * np.arange(x.shape[0] * x.shape[1])
    check_size((len(first), *windows.index.shape))
    groups = np.where(windows.index >= 0, windows.index + first[:, None, None], -1)
    y = operation.largest(x, groups.reshape(-1, groups.shape[2]))
    return y.reshape((*x.shape[:2], *windows.out))


@operator("LpPool")
def lp_pool(operation, x):
    """The sum of |x| over windows, for p = 1."""
    _require_absolute(operation)
    windows = Windows(operation, x.shape[2:], operation.attribute("kernel_shape"))
    inside = windows.index >= 0
    matrix = _over_channels(x, np.ones(int(inside.sum())), windows.index, inside)
    return absolute(operation, x).map(matrix, (*x.shape[:2], *windows.out))


@operator("GlobalLpPool")
def global_lp_pool(operation, x):
    """The sum of |x| over all spatial axes, for p = 1."""
    _require_absolute(operation)
    return global_average_pool(operation, absolute(operation, x)) * float(
        np.prod(x.shape[2:])
    )


def _require_absolute(operation):
    p = operation.attribute("p", 2)
    if p != 1:
        operation.refuse(
            f"with p = {p} it takes powers and roots, which are not piecewise linear. "
            "Use p = 1, AveragePool or MaxPool."
        )


def _over_channels(x, weights, index, inside):
    """The matrix that combines each window's entries, for each sample and channel."""
    pointers = np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
    cells = int(np.prod(x.shape[2:]))
    one = sparse.csr_array(
        (weights, index[inside], pointers), shape=(len(inside), cells)
    )
    return repeated(x.shape[0] * x.shape[1], one)
