"""Inputs and outputs of a graph: types, shapes, what is done about the batch axis."""

import numpy as np

from pyomo_relu.errors import NetworkError
from pyomo_relu.network.layer import INPUT, Source, Tensor
from pyomo_relu.network.onnx.nodes.evaluation import check_size, static_shape
from pyomo_relu.network.onnx.nodes.messages import some
from pyomo_relu.network.onnx.tensors.tensors import AffineTensor

#: Types of tensors that hold reals (TensorProto.FLOAT, FLOAT16, DOUBLE, BFLOAT16).
FLOATS = frozenset({1, 10, 11, 16})

#: Types of inputs that hold numbers of another kind: 8 to 64 bits, signed or not, BOOL.
_INTEGERS = frozenset({2, 3, 4, 5, 6, 7, 9, 12, 13})

#: Operators that hand on integers as they are, or turn them into floats.
KEEPS_NUMBERS = frozenset(
    {
        *("Cast", "CastLike", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"),
        *("Concat", "Split", "Slice", "Gather", "Expand", "Transpose"),
        *("ArrayFeatureExtractor", "FeatureVectorizer", "Scaler"),
    }
)


def input_tensors(values, input_shapes, name, needed):
    """The network's inputs from the graph's inputs.

    Parameters
    ----------
    values : list of onnx.ValueInfoProto
        Graph inputs that are not initializers.
    input_shapes : dict of str to sequence of int
        Shapes that replace those of the file; a leading axis longer than 1 is then
        taken as part of the sample, not as a batch.
    name : str
        File, for messages.
    needed : set of str
        Names that nodes read; an input that nobody reads and that cannot be an input
        of a network is left out.

    Returns
    -------
    tensors : list of Tensor
        Names and shapes without the batch axis.
    types : dict of str to onnx.TypeProto
        Types with static shapes, the batch axis (1) included.
    fixed_batch : (str, tuple) or None
        Name and shape of the first input with a fixed batch of several samples.
    """
    from onnx import helper

    if not values:
        raise NetworkError(
            f"{name}: the graph has no inputs. Export the network with its input left "
            "open."
        )
    unknown = set(input_shapes) - {v.name for v in values}
    if unknown:
        raise NetworkError(
            f"{name}: input_shapes names {sorted(unknown)}, but the inputs are "
            f"{[v.name for v in values]}."
        )
    tensors, types, fixed_batch = [], {}, None
    for value in values:
        try:
            kind = _number_type(value, name)
            shape = _shape(value, input_shapes, name)
        except NetworkError:
            if value.name in needed or len(values) == 1:
                raise
            continue
        fixed = value.name not in input_shapes and len(shape) >= 2 and shape[0] > 1
        if fixed:
            fixed_batch = fixed_batch or (value.name, shape)
        types[value.name] = helper.make_tensor_type_proto(kind, shape)
        tensors.append(Tensor(value.name, without_batch(shape)))
    return tensors, types, fixed_batch


def affine_inputs(tensors, types):
    """Each input as an affine tensor, by name; arguments as from ``input_tensors``."""
    whole = AffineTensor.of_source(Source(INPUT), (sum(t.size for t in tensors),))
    parts, start = {}, 0
    for tensor in tensors:
        part = whole.select(np.arange(start, start + tensor.size))
        parts[tensor.name] = part.reshape(static_shape(types[tensor.name]))
        start += tensor.size
    return parts


def output_names(graph, output, name):
    """Names of the tensors to take as outputs; ``output`` is as in ``load_onnx``."""
    if output is None:
        return [v.name for v in graph.output]
    names = [output] if isinstance(output, str) else list(output)
    known = {v.name for v in graph.input}
    known.update(n for node in graph.node for n in node.output if n)
    known.update(t.name for t in graph.initializer)
    known.update(t.values.name for t in graph.sparse_initializer)
    for wanted in names:
        if wanted not in known:
            raise NetworkError(
                f"{name}: there is no tensor '{wanted}' to take as output. Tensors of "
                f"the graph: {some(sorted(known), wanted)}."
            )
    if not names or len(set(names)) != len(names):
        raise NetworkError(
            f"{name}: output={output!r} must name at least one tensor, and each tensor "
            "once."
        )
    return names


def integers_refused(name, input_types):
    """Why a tensor that is computed from integer inputs may not be used so."""
    kinds = {n: t.tensor_type.elem_type for n, t in input_types.items()}
    inputs = ", ".join(f"'{n}'" for n, kind in kinds.items() if kind not in FLOATS)
    return (
        f"the tensor '{name}' holds integers or truth values that depend on the "
        f"inputs {inputs}; these may be moved and cast to a float type, nothing else. "
        "Inputs must be float32, float64 or float16, or be cast to one of these at "
        "once; export the network so."
    )


def without_batch(shape):
    """Drop a leading axis of length 1, unless it is the only axis."""
    return shape[1:] if len(shape) >= 2 and shape[0] == 1 else shape


def _shape(value, input_shapes, name):
    if value.name in input_shapes:
        shape = _given_shape(value, input_shapes[value.name], name)
    else:
        shape = _file_shape(value, name)
    try:
        check_size(shape)
    except NetworkError as error:
        raise type(error)(f"{name}: input '{value.name}': {error}") from None
    return shape


def _number_type(value, name):
    from onnx import TensorProto

    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise NetworkError(
            f"{name}: input '{value.name}' is not a tensor but a {kind}. Export the "
            "network with tensor inputs."
        )
    elem_type = value.type.tensor_type.elem_type
    if elem_type not in FLOATS | _INTEGERS or elem_type == TensorProto.BFLOAT16:
        try:
            label = TensorProto.DataType.Name(elem_type).lower()
        except ValueError:
            label = f"type number {elem_type}"
        raise NetworkError(
            f"{name}: input '{value.name}' has type {label}; inputs must be float32, "
            "float64 or float16, or integers that are cast to one of these at once. "
            "Export the network in one of these types."
        )
    return elem_type


def _given_shape(value, shape, name):
    try:
        shape = tuple(int(n) for n in shape)
    except (TypeError, ValueError):
        shape = (0,)
    if any(n < 1 for n in shape):
        raise NetworkError(
            f"{name}: input_shapes['{value.name}'] must be a sequence of positive "
            "integers."
        )
    return shape


def _file_shape(value, name):
    what = f"{name}: input '{value.name}'"
    remedy = f"Pass input_shapes={{'{value.name}': (1, ...)}} to load_onnx"
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        raise NetworkError(
            f"{what} has no shape. {remedy}, or export the network with shapes."
        )
    # some exporters write -1 for an open axis, and onnxruntime takes it so
    dims = [
        (
            d.dim_value
            if d.HasField("dim_value") and d.dim_value != -1
            else (d.dim_param or "?")
        )
        for d in tensor.shape.dim
    ]
    shape = [
        1 if k == 0 and len(dims) >= 2 and isinstance(n, (str, bytes)) else n
        for k, n in enumerate(dims)
    ]
    label = "[" + ", ".join(str(n) for n in dims) + "]"
    open_axes = [n for n in shape if isinstance(n, (str, bytes))]
    if open_axes:
        raise NetworkError(
            f"{what} has shape {label}; only the first of several axes (the batch) "
            f"may be left open. {remedy} with the numbers, or export the network with "
            "fixed axes."
        )
    if any(n < 1 for n in shape):
        raise NetworkError(
            f"{what} has shape {label}, which holds no entries. {remedy}."
        )
    return tuple(shape)
