"""Damaging ONNX models at random: their bytes, and their structure."""

import numpy as np
import onnx
import onnx.defs
from onnx import AttributeProto, TensorProto, helper, numpy_helper

_HUGE = [2**16, 2**24, 2**31 - 1, 2**31, 2**40, 2**62, -(2**31), -1, 0, 1, 2, 3, 7]
_ODD = [0.0, -0.0, 1e-45, 1e30, -1e30, 3.4e38, np.inf, -np.inf, np.nan, 0.5, -1.0]
_KINDS = [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17, 21, 99]
_NAMES = sorted({s.name for s in onnx.defs.get_all_schemas()})
_FREQUENT = """
    Relu Abs Neg Clip LeakyRelu Identity Add Sub Mul Div Max Min MatMul Gemm Conv MaxPool
    AveragePool Flatten Reshape Transpose Concat Split Slice Gather Pad Expand Tile
    ReduceSum ReduceMax ReduceMean Cast Shape Where Greater Sign Softmax Sqrt Range
    ConstantOfShape OneHot Resize TopK CumSum Einsum ScatterND Squeeze Unsqueeze
"""
_COMMON = _FREQUENT.split()


def mutant(seeds, seed, number):
    """Mutant ``number`` of a run: its bytes, a function of the arguments alone."""
    rng = np.random.default_rng([seed, number])
    data = seeds[rng.integers(len(seeds))]
    if rng.random() < 0.3:
        return _damage(rng, data)
    model = onnx.ModelProto.FromString(data)
    for _ in range(rng.integers(1, 4)):
        change = _CHANGES[rng.integers(len(_CHANGES))]
        try:
            change(rng, model)
        except (IndexError, TypeError, ValueError, onnx.defs.SchemaError):
            continue  # it does not apply to this model
    data = model.SerializeToString()
    return _damage(rng, data) if rng.random() < 0.05 else data


def _damage(rng, data):
    """Flip, insert, delete, repeat or overwrite some bytes, or cut the end off."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        # names, shapes and attributes stand near the beginning, or after the weights
        at = int(rng.integers(len(data)) if len(data) else 0)
        at = at if rng.random() < 0.5 else min(at, int(rng.integers(1, 400)))
        length = int(rng.integers(1, 9))
        kind = rng.integers(6)
        if kind == 0 and data:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[at:at] = rng.bytes(length)
        elif kind == 2:
            del data[at : at + length]
        elif kind == 3:
            data[at : at + length] = rng.bytes(length)
        elif kind == 4:
            data[at:at] = data[at : at + length]
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)


# -- structure ---------------------------------------------------------------------


def _pick(rng, items):
    return items[int(rng.integers(len(items)))]


def _tensor_names(model):
    graph = model.graph
    names = [n for node in graph.node for n in (*node.input, *node.output)]
    names += [v.name for v in graph.input] + [t.name for t in graph.initializer]
    return [*names, "", "absent"]


def _change_input(rng, model):
    node = _pick(rng, model.graph.node)
    node.input[int(rng.integers(len(node.input)))] = _pick(rng, _tensor_names(model))


def _swap_inputs(rng, model):
    node = _pick(rng, model.graph.node)
    a, b = rng.integers(len(node.input), size=2)
    node.input[a], node.input[b] = node.input[b], node.input[a]


def _number_of_inputs(rng, model):
    node = _pick(rng, model.graph.node)
    if rng.random() < 0.5:
        node.input.append(_pick(rng, _tensor_names(model)))
    else:
        node.input.pop()


def _change_output(rng, model):
    node = _pick(rng, model.graph.node)
    node.output[0] = _pick(rng, _tensor_names(model))


def _cycle(rng, model):
    nodes = model.graph.node
    early, late = sorted(rng.integers(len(nodes), size=2))
    nodes[early].input[0] = nodes[late].output[0]


def _drop_node(rng, model):
    model.graph.node.pop(int(rng.integers(len(model.graph.node))))


def _repeat_node(rng, model):
    model.graph.node.add().CopyFrom(_pick(rng, model.graph.node))


def _order(rng, model):
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes[k] for k in rng.permutation(len(nodes)))


def _change_operator(rng, model):
    names = _COMMON if rng.random() < 0.7 else _NAMES
    _pick(rng, model.graph.node).op_type = _pick(rng, names)


def _insert_operator(rng, model):
    """A new node between a tensor and one that reads it."""
    reader = _pick(rng, model.graph.node)
    at = int(rng.integers(len(reader.input)))
    node = helper.make_node(_pick(rng, _COMMON), [reader.input[at]], ["fresh"])
    others = list(model.graph.node)
    place = others.index(reader)
    reader.input[at] = "fresh"
    model.graph.node.insert(place, node)


def _name_node(rng, model):
    _pick(rng, model.graph.node).name = _pick(rng, model.graph.node).name


def _domain(rng, model):
    domains = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft", "my"]
    _pick(rng, model.graph.node).domain = _pick(rng, domains)


def _attribute(rng, model):
    having = [n for n in model.graph.node if n.attribute]
    attribute = _pick(rng, _pick(rng, having).attribute)
    if attribute.type == AttributeProto.INT:
        attribute.i = int(_pick(rng, _HUGE))
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = float(_pick(rng, _ODD))
    elif attribute.type == AttributeProto.INTS:
        values = list(attribute.ints)
        values[int(rng.integers(len(values)))] = int(_pick(rng, _HUGE))
        values += values[: int(rng.integers(2))]
        attribute.ints[:] = values[int(rng.integers(2)) :]
    elif attribute.type == AttributeProto.STRING:
        attribute.s = rng.bytes(3)
    elif attribute.type == AttributeProto.TENSOR:
        _alter_tensor(rng, attribute.t)


def _attribute_type(rng, model):
    having = [n for n in model.graph.node if n.attribute]
    _pick(rng, _pick(rng, having).attribute).type = int(rng.integers(1, 15))


def _drop_attribute(rng, model):
    having = [n for n in model.graph.node if n.attribute]
    attributes = _pick(rng, having).attribute
    attributes.pop(int(rng.integers(len(attributes))))


def _foreign_attribute(rng, model):
    having = [n for n in model.graph.node if n.attribute]
    attribute = _pick(rng, _pick(rng, having).attribute)
    _pick(rng, model.graph.node).attribute.add().CopyFrom(attribute)


def _known_attribute(rng, model):
    """An attribute that the operator has, with a small or odd value."""
    node = _pick(rng, model.graph.node)
    schema = onnx.defs.get_schema(node.op_type)
    known = _pick(rng, sorted(schema.attributes.items()))[1]
    kind = int(known.type.value if hasattr(known.type, "value") else known.type)
    if kind == AttributeProto.INT:
        value = int(rng.integers(-2, 4))
    elif kind == AttributeProto.FLOAT:
        value = float(_pick(rng, _ODD))
    elif kind == AttributeProto.INTS:
        value = [int(n) for n in rng.integers(0, 3, rng.integers(1, 5))]
    else:
        return
    kept = [a for a in node.attribute if a.name != known.name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(known.name, value)])


def _initializer(rng, model):
    _alter_tensor(rng, _pick(rng, model.graph.initializer))


def _alter_tensor(rng, tensor):
    kind = rng.integers(4)
    if kind == 0:
        tensor.dims[int(rng.integers(len(tensor.dims)))] = int(_pick(rng, _HUGE))
    elif kind == 1:
        tensor.data_type = int(_pick(rng, _KINDS))
    else:
        array = np.array(numpy_helper.to_array(tensor))
        flat = array.reshape(-1)
        value = _pick(rng, _ODD if array.dtype.kind == "f" else _HUGE)
        with np.errstate(all="ignore"):
            flat[int(rng.integers(flat.size))] = np.array(value).astype(array.dtype)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _transposed(rng, model):
    tensor = _pick(rng, model.graph.initializer)
    array = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(array.T.copy(), tensor.name))


def _drop_initializer(rng, model):
    tensors = model.graph.initializer
    tensors.pop(int(rng.integers(len(tensors))))


def _rename_initializer(rng, model):
    _pick(rng, model.graph.initializer).name = _pick(rng, _tensor_names(model))


def _initializer_as_node(rng, model):
    tensors = model.graph.initializer
    tensor = tensors.pop(int(rng.integers(len(tensors))))
    node = helper.make_node("Constant", [], [tensor.name], value=tensor)
    model.graph.node.insert(0, node)


def _initializer_as_input(rng, model):
    tensor = _pick(rng, model.graph.initializer)
    model.graph.input.append(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
    )


def _sparse_initializer(rng, model):
    at = int(rng.integers(len(model.graph.initializer)))
    tensor = model.graph.initializer[at]
    array = numpy_helper.to_array(tensor)
    places = np.flatnonzero(array)
    values = numpy_helper.from_array(array.reshape(-1)[places], tensor.name)
    indices = numpy_helper.from_array(places.astype(np.int64), f"{tensor.name}_at")
    entry = helper.make_sparse_tensor(values, indices, list(tensor.dims))
    model.graph.initializer.pop(at)
    model.graph.sparse_initializer.append(entry)


def _input_shape(rng, model):
    value = _pick(rng, [*model.graph.input, *model.graph.output])
    dims = value.type.tensor_type.shape.dim
    kind = rng.integers(5)
    if kind == 0:
        value.type.tensor_type.ClearField("shape")
    elif kind == 1:
        dims.add().dim_value = int(_pick(rng, _HUGE))
    elif kind == 2:
        dims.pop()
    elif kind == 3:
        _pick(rng, dims).dim_value = int(_pick(rng, _HUGE))
    else:
        _pick(rng, dims).dim_param = "n"


def _input_type(rng, model):
    value = _pick(rng, [*model.graph.input, *model.graph.output])
    value.type.tensor_type.elem_type = int(_pick(rng, _KINDS))


def _input_name(rng, model):
    value = _pick(rng, [*model.graph.input, *model.graph.output])
    value.name = _pick(rng, _tensor_names(model))


def _outputs(rng, model):
    if rng.random() < 0.3:
        model.graph.output.pop()
        return
    name = _pick(rng, _tensor_names(model))
    model.graph.output.append(helper.make_tensor_value_info(name, 1, None))


def _value_info(rng, model):
    """A claim about an inner tensor that may be false."""
    name = _pick(rng, _tensor_names(model))
    shape = [int(_pick(rng, _HUGE)) for _ in range(rng.integers(4))]
    value = helper.make_tensor_value_info(name, int(_pick(rng, _KINDS)), shape)
    model.graph.value_info.append(value)


def _versions(rng, model):
    if rng.random() < 0.5:
        model.ir_version = int(rng.integers(1, 14))
    else:
        _pick(rng, model.opset_import).version = int(rng.integers(5, 30))


def _branch(rng, model):
    """Put a node into the branch of an If."""
    node = _pick(rng, model.graph.node)
    place = list(model.graph.node).index(node)
    outputs = [helper.make_tensor_value_info(f"in_{n}", 1, None) for n in node.output]
    inside = onnx.NodeProto()
    inside.CopyFrom(node)
    inside.output[:] = [v.name for v in outputs]
    graph = helper.make_graph([inside], "branch", [], outputs)
    other = graph
    if rng.random() < 0.3:
        same = helper.make_node("Identity", [node.input[0]], [outputs[0].name])
        other = helper.make_graph([same], "other", [], outputs[:1])
    choice = helper.make_node(
        "If", ["choice"], list(node.output), then_branch=graph, else_branch=other
    )
    model.graph.node[place].CopyFrom(choice)
    value = np.array(bool(rng.random() < 0.7))
    model.graph.initializer.append(numpy_helper.from_array(value, "choice"))


def _function(rng, model):
    """Put a node into a local function, perhaps one that bears an operator's name."""
    node = _pick(rng, model.graph.node)
    name = node.op_type if rng.random() < 0.3 else "Local"
    domain = "" if rng.random() < 0.2 else "local"
    function = helper.make_function(
        domain,
        name,
        [f"a{k}" for k in range(len(node.input))],
        [f"b{k}" for k in range(len(node.output))],
        [],
        list(model.opset_import),
    )
    inside = function.node.add()
    inside.CopyFrom(node)
    inside.input[:] = function.input
    inside.output[:] = function.output
    model.functions.append(function)
    if not any(entry.domain == domain for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid(domain, 1))
    node.op_type, node.domain = name, domain
    if rng.random() < 0.8:
        del node.attribute[:]


def _half(rng, model):
    """The whole network in another floating type."""
    kind = _pick(rng, [TensorProto.FLOAT16, TensorProto.DOUBLE])
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            array = numpy_helper.to_array(tensor).astype(dtype)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = kind


_CHANGES = [
    _change_input,
    _swap_inputs,
    _number_of_inputs,
    _change_output,
    _cycle,
    _drop_node,
    _repeat_node,
    _order,
    _change_operator,
    _change_operator,
    _insert_operator,
    _insert_operator,
    _name_node,
    _domain,
    _attribute,
    _attribute,
    _attribute_type,
    _drop_attribute,
    _foreign_attribute,
    _known_attribute,
    _known_attribute,
    _initializer,
    _initializer,
    _transposed,
    _drop_initializer,
    _rename_initializer,
    _initializer_as_node,
    _initializer_as_input,
    _sparse_initializer,
    _input_shape,
    _input_type,
    _input_name,
    _outputs,
    _value_info,
    _versions,
    _branch,
    _function,
    _half,
]
