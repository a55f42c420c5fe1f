"""Running an ONNX file as it was given, by onnxruntime.

What is run are the bytes of the file, with the external data in its folder.  The reader
has rewritten nothing in them.  Changed is only what the caller asked for: inner tensors
that are compared are outputs too, and shapes of inputs given by ``input_shapes`` take
the place of the file's.  And functions whose names would make onnxruntime end the whole
process (see ``_names_that_abort``) get other names, and outputs that are left out get one
where it would do the same (see ``_ALL_OUTPUTS``).

Where onnxruntime cannot run this (it lacks a type, an operator or the opset, or something
is wrong with parts that the outputs do not depend on), it runs the part of the graph that
matters, otherwise as given, with a lower IR version and without node names.  Where it
cannot run this either, onnx's reference evaluator does.
"""

import math

import numpy as np

from pyomo_relu.errors import NetworkError
from pyomo_relu.network.onnx import budget
from pyomo_relu.network.onnx.graph.functions import function_key, model_nodes
from pyomo_relu.network.onnx.nodes.constants import check_numerical
from pyomo_relu.network.onnx.nodes.evaluation import least_inputs, static_shape

#: onnxruntime refuses newer file versions; operators do not depend on them.
_IR_VERSIONS = (4, 10)

#: What onnxruntime says about an opset or operator that it does not have (yet).
_NOT_AVAILABLE = (
    "NOT_IMPLEMENTED",
    "guarantees support",
    "under development",
    "not a registered",
)

#: Pairs of calls of functions that onnxruntime handles per second when it inlines them;
#: it takes 13 s for 2^16 calls, and cannot be interrupted.
_INLINED = 2.5e8

#: If nodes, nested or not, of which onnxruntime makes a session per second: 8,192 take
#: it 4.9 s, and cannot be interrupted.
_BRANCHES = 2e3

#: onnxruntime 1.32 aborts the process if an output of these has no name.
_ALL_OUTPUTS = frozenset({"BatchNormalization", "Split"})


def runner(file, reader, names, feeds):
    """A function from feeds to the values of the named tensors.

    Parameters
    ----------
    file : OnnxFile
    reader : GraphReader
        After its walk.
    names : list of str
        Tensors of the outermost graph.
    feeds : dict of str to numpy.ndarray
        Any input, with which a first run is tried.

    Raises
    ------
    NetworkError
        If neither onnxruntime nor onnx can run the model.
    """
    what = f"{reader.name}: the comparison with onnxruntime"
    budget.check_time(len(reader.inner_scopes) ** 2, _INLINED, what)
    branches = sum(node.op_type == "If" for node in model_nodes(reader.model))
    budget.check_time(branches, _BRANCHES, what)
    if not all(_rest_is_small(reader, scope) for scope in reader.inner_scopes):
        raise NetworkError(
            f"{reader.name}: a function or branch holds nodes that no output depends on "
            "and whose tensors are of unknown or huge size, so that onnxruntime is not "
            "asked to run the model. Export the network without them, or pass "
            "check=False to load_onnx and compare yourself."
        )
    # else onnxruntime computes the constants of branches that are never taken
    without = ["ConstantFolding"] if reader.branched else []
    reasons = []
    for data in (_as_given, _needed_part):
        content = data(file, reader, names)
        for optimised in (True, False) if content is not None else ():
            budget.check_time(what=what)
            try:
                run = _session_runner(content, optimised, without, names)
                run(feeds)
            except Exception as error:  # noqa: BLE001  (told below, by the first one)
                reasons.append(" ".join(str(error).split()))
            else:
                return run
    if any(text in reason for reason in reasons[-1:] for text in _NOT_AVAILABLE):
        return _reference_runner(file, reader, names)
    raise NetworkError(
        f"{reader.name}: onnxruntime refuses the model: {reasons[0]} Export the "
        "network again."
    )


def _session_runner(data, optimised, without, names):
    import onnxruntime

    content, folder = data
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # else it rounds data to integers where weights are stored as integers
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    if folder is not None:
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(folder)
        )
    if not optimised:  # some of its graph rewritings fail on legal models
        options.graph_optimization_level = (
            onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        )
    session = onnxruntime.InferenceSession(
        content,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=without,
        enable_fallback=0,  # it would print to stdout
    )
    inputs = session.get_inputs()

    def run(feeds):
        unread = {v.name: _filler(v) for v in inputs if v.name not in feeds}
        # of an output that is an input itself, versions before 1.21 return its memory
        return [
            value.copy() if hasattr(value, "copy") else value
            for value in session.run(names, {**feeds, **unread})
        ]

    return run


def _filler(value):
    """Something to feed to an input that the outputs do not depend on."""
    from onnx import TensorProto, helper

    kind = value.type.removeprefix("tensor(").removesuffix(")")
    if kind == "string":
        dtype = object
    else:
        kind = {"float": "FLOAT", "double": "DOUBLE"}.get(kind, kind.upper())
        dtype = helper.tensor_dtype_to_np_dtype(TensorProto.DataType.Value(kind))
    shape = [n if isinstance(n, int) and n > 0 else 1 for n in value.shape]
    return np.full(shape, "", object) if dtype is object else np.zeros(shape, dtype)


# -- what is run -------------------------------------------------------------------


def _as_given(file, reader, names):
    """The file's bytes; None if parts that nobody has looked at could be huge."""
    from onnx import ModelProto

    if not _rest_is_small(reader, reader.scope):
        return None
    content = file.serialized()
    replaced = [t.name for t in reader.inputs if _is_replaced(reader, t.name)]
    renamed = _names_that_abort(file.model, reader.functions)
    unnamed = any(True for _ in _outputs_that_abort(file.model))
    if replaced or renamed or unnamed:
        model = ModelProto.FromString(content)
        for value in model.graph.input:
            if value.name in replaced:
                value.type.CopyFrom(reader.input_types[value.name])
        _rename(model, renamed)
        _name_outputs(model)
        content = model.SerializeToString()
    declared = {v.name for v in reader.graph.output}
    addition = ModelProto()  # protobuf messages one behind the other are merged
    for name in names:
        if name not in declared:
            addition.graph.output.add(name=name)
    return content + addition.SerializeToString(), file.folder


def _rest_is_small(reader, scope):
    """Whether the nodes of a scope that the walk left out make no huge tensors."""
    if len(scope.done) == len(scope.nodes):
        return True
    order, _ = scope.needed(scope.every_name())
    total = 0
    for node in (scope.nodes[k] for k in order if k not in scope.done):
        schema = reader.evaluator.schema(node)
        if schema is None or any(a.HasField("g") or a.graphs for a in node.attribute):
            return False
        try:
            check_numerical(node)
            shapes = reader.infer(scope.localized(node), schema)
            total += sum(map(math.prod, shapes.values()))
            budget.require(total)
        except Exception:  # noqa: BLE001  (whoever runs it would refuse it)
            return False
        if len(shapes) < sum(map(bool, node.output)):
            return False
    return True


def _is_replaced(reader, name):
    """Whether ``input_shapes`` contradicts the shape in the file."""
    declared = next(v.type for v in reader.graph.input if v.name == name)
    shape = static_shape(declared)
    return shape not in (None, static_shape(reader.input_types[name]))


def _names_that_abort(model, functions):
    """Keys of the functions that onnxruntime must not see under their names.

    By the name alone, whatever the domain, it takes a node for a standard operator when
    it derives shapes, and aborts the process if there are fewer inputs than that has:
    1.32 for Add, Div, Gather, Mul and Sub, 1.23 also for others, such as LeakyRelu.
    """
    keys = {
        function_key(node)
        for node in model_nodes(model)
        if len(node.input) < least_inputs(node.op_type)
    }
    return keys & set(functions)


def _rename(model, keys):
    """Give functions a name that no operator has."""
    for item in (*model_nodes(model), *model.functions):
        if function_key(item) in keys:
            field = "op_type" if hasattr(item, "op_type") else "name"
            setattr(item, field, f"function {getattr(item, field)}")


def _outputs_that_abort(model):
    """Pairs (node, position) of the outputs that onnxruntime must see named."""
    for node in model_nodes(model):
        if node.op_type in _ALL_OUTPUTS:
            for k, name in enumerate(node.output):
                if not name:
                    yield node, k


def _name_outputs(model):
    """Name the outputs that are left out where that makes onnxruntime abort."""
    for count, (node, k) in enumerate(_outputs_that_abort(model)):
        node.output[k] = f"output {count} that nobody reads"


def _needed_part(file, reader, names):
    """The nodes, constants and inputs that the outputs depend on."""
    return _needed_model(file, reader, names).SerializeToString(), None


def _needed_model(file, reader, names):
    from onnx import ModelProto

    model, graph = ModelProto(), file.model.graph
    low, high = _IR_VERSIONS
    model.ir_version = min(max(file.model.ir_version, low), high)
    model.opset_import.extend(reader.evaluator.opset_import)
    model.functions.extend(file.model.functions)
    part = model.graph
    part.name = "network"
    part.node.extend(reader.needed_nodes)
    _rename(model, _names_that_abort(model, reader.functions))
    _name_outputs(model)
    for node in part.node:
        node.name = ""  # onnxruntime refuses names that occur twice
    part.initializer.extend(
        t for t in graph.initializer if t.name in reader.needed_names
    )
    part.sparse_initializer.extend(
        t for t in graph.sparse_initializer if t.values.name in reader.needed_names
    )
    for tensor in reader.inputs:
        part.input.add(name=tensor.name, type=reader.input_types[tensor.name])
    for name in names:
        part.output.add(name=name, type=reader.types[name])
    return model


# -- onnx's own evaluator ----------------------------------------------------------


def _reference_runner(file, reader, names):
    from onnx.reference import ReferenceEvaluator

    def fail(error):
        raise NetworkError(
            f"{reader.name}: neither onnxruntime nor onnx can run the model "
            f"({' '.join(str(error).split())}), so that the network cannot be "
            "compared with it. Pass check=False to load_onnx and compare yourself."
        ) from error

    try:
        evaluator = ReferenceEvaluator(_needed_model(file, reader, names))
    except Exception as error:  # noqa: BLE001
        fail(error)

    def run(feeds):
        try:
            with np.errstate(all="ignore"):
                return evaluator.run(names, feeds)
        except Exception as error:  # noqa: BLE001
            fail(error)

    return run
