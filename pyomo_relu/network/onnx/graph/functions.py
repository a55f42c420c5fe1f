"""Local functions of an ONNX model: which nodes call one, and with which attributes."""

from pyomo_relu.errors import NetworkError
from pyomo_relu.network.onnx.graph.scope import Scope

#: So deep may functions and branches be nested.
MAX_DEPTH = 60


def function_key(item):
    """(domain, name, overload) of a NodeProto or FunctionProto."""
    name = item.op_type if hasattr(item, "op_type") else item.name
    domain = "" if item.domain == "ai.onnx" else item.domain
    return domain, name, item.overload


def check_depth(depth):
    """Raise NetworkError at the greatest depth of functions and branches."""
    if depth >= MAX_DEPTH:
        raise NetworkError(
            f"functions and branches are nested more than {MAX_DEPTH} deep. Export the "
            "network without them, or raise "
            "pyomo_relu.network.onnx.graph.functions.MAX_DEPTH."
        )


def model_nodes(model):
    """All nodes of a model, of its functions and of the graphs within nodes."""
    for owner in (model.graph, *model.functions):
        yield from _nodes(owner)


def _nodes(owner):
    for node in owner.node:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _nodes(graph)


def function_table(model, evaluator):
    """The model's functions by key, for ``function_key`` of a node.

    As for onnxruntime, a function that bears the name of a known operator is not used.

    Raises
    ------
    NetworkError
        If two functions have the same key.
    """
    table = {}
    for function in model.functions:
        if evaluator.operator(function.name, function.domain) is not None:
            continue
        if table.setdefault(function_key(function), function) is not function:
            raise NetworkError(
                f"the model has two functions '{function.name}' of one domain and "
                "overload. Export the network again."
            )
    return table


def body(function, node, scope, taken):
    """The scope of a function's body as called by ``node``, a node of ``scope``."""
    attributes = {a.name: a for a in function.attribute_proto}
    attributes.update((a.name, a) for a in scope.bound(node.attribute))
    arguments = [scope.unique(n) for n in node.input]
    arguments += [""] * (len(function.input) - len(arguments))
    inputs = dict(zip(function.input, arguments, strict=False))
    depth = scope.depth + 1
    return Scope(function.node, {}, inputs, taken, attributes=attributes, depth=depth)
