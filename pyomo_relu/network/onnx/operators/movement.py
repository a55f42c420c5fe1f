"""Operators that only move entries: read off by moving an index tensor instead."""

import numpy as np

from pyomo_relu.network.onnx.registry import operator
from pyomo_relu.network.onnx.tensors.tensors import AffineTensor, stack


@operator("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def change_shape(operation, x, *parameters):
    """The same entries in another shape."""
    for k in range(len(parameters)):
        operation.constant(k + 1, (x, *parameters))
    shape = operation.shape
    if shape is None:
        arrays = [x.index(), *parameters]
        shape = operation.evaluate(*arrays)[0].shape
    if int(np.prod(shape)) != x.size:
        operation.refuse(
            f"it reshapes {x.size} entries to {tuple(shape)}. If the graph contains a "
            "fixed batch size, export it with batch size 1."
        )
    return x.reshape(shape)


@operator("Shape", "Size")
def shape_of(operation, x, *parameters):
    """The shape, which is known."""
    return tuple(operation.evaluate(np.zeros(x.shape)))


@operator(
    "CenterCropPad",
    "Compress",
    "DepthToSpace",
    "Expand",
    "Gather",
    "GatherElements",
    "GatherND",
    "ReverseSequence",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Tile",
    "Transpose",
    "Trilu",
)
def move_one(operation, x, *parameters):
    """Entries of the first input, in an order that the other inputs fix."""
    return _move(operation, (x, *parameters), (0,))


@operator("Concat")
def concatenate(operation, *tensors):
    """All inputs one after the other along an axis."""
    return _move(operation, tensors, range(len(tensors)))


@operator("ArrayFeatureExtractor", domain="ai.onnx.ml")
def extract_features(operation, x, positions):
    """scikit-learn's choice of columns."""
    return _move(operation, (x, positions), (0,))


@operator("FeatureVectorizer", domain="ai.onnx.ml")
def join_features(operation, *tensors):
    """Columns of several inputs side by side."""
    return _move(operation, tensors, range(len(tensors)))


@operator("Imputer", domain="ai.onnx.ml")
def impute(operation, x):
    """The tensor itself where only missing values (NaN) are replaced."""
    replaced = operation.attribute("replaced_value_float", 0.0)
    if not np.isnan(replaced):
        operation.refuse(
            f"it replaces the value {replaced}, at which it jumps. Only missing values "
            "(NaN) may be replaced; fill in others before training."
        )
    return x


@operator("Where")
def where(operation, condition, a, b):
    """Entries of two tensors, chosen by a constant condition."""
    condition = operation.constant(0, (condition, a, b))
    for chosen, taken in ((a, np.all(condition)), (b, not np.any(condition))):
        if taken:
            shape = np.broadcast_shapes(condition.shape, a.shape, b.shape)
            if isinstance(chosen, AffineTensor):
                return chosen.broadcast_to(shape)
            return np.broadcast_to(chosen, shape)
    return _move(operation, (condition, a, b), (1, 2))


@operator("ScatterElements", "ScatterND")
def scatter(operation, data, indices, updates):
    """A tensor with some entries replaced by those of another."""
    if operation.attribute("reduction", "none") not in ("none", None):
        operation.refuse("only reduction 'none' moves entries without combining them.")
    return _move(operation, (data, indices, updates), (0, 2))


@operator("Pad")
def pad(operation, x, *parameters):
    """The tensor with a margin: a constant, or its own entries mirrored or repeated.

    Negative pads cut entries off, before the others add some.
    """
    arguments = (x, *parameters)
    pads = operation.constant(1, arguments, operation.attribute("pads"))
    axes = operation.constant(3, arguments)
    axes = range(x.ndim) if axes is None else [int(a) % x.ndim for a in axes]
    fill = parameters[1] if len(parameters) > 1 else None
    if fill is None:
        fill = np.asarray(operation.attribute("value", 0.0))
    widths = [[0, 0] for _ in range(x.ndim)]
    for a, before, after in zip(axes, *np.reshape(pads, (2, -1)).tolist(), strict=True):
        widths[a] = [before, after]
    cut = tuple(
        slice(max(0, -before), n - max(0, -after))
        for n, (before, after) in zip(x.shape, widths, strict=True)
    )
    mode = operation.attribute("mode", "constant")
    margins = np.maximum(widths, 0)
    extra = {"constant_values": 0} if mode == "constant" else {}
    moved = np.pad(x.index()[cut] + 1, margins, mode=mode, **extra)
    if not isinstance(fill, AffineTensor):
        fill = AffineTensor.constant(np.reshape(fill, -1)[:1])
    return stack([fill, x]).select(moved)


def _move(operation, arguments, data):
    """Evaluate the node on positions instead of values.

    The data inputs are numbered through from 1; 0 stands for a zero that the operator
    itself fills in.
    """
    arguments = list(arguments)
    tensors, arrays, start = [], [], 1
    for k, argument in enumerate(arguments):
        if k not in data or argument is None:
            arrays.append(operation.constant(k, arguments))
            continue
        if not isinstance(argument, AffineTensor):
            argument = AffineTensor.constant(argument)
        tensors.append(argument)
        arrays.append(argument.index() + start)
        start += argument.size
    moved = operation.evaluate(*arrays)
    if len(tensors) == 1 and all(m is None or np.all(m > 0) for m in moved):
        pool, shift = tensors[0], 1
    else:
        pool, shift = stack([AffineTensor.constant([0.0]), *tensors]), 0
    flat = pool.reshape((pool.size,))
    return tuple(None if m is None else flat.select(m - shift) for m in moved)
