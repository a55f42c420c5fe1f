"""How large a model is once its functions are inlined, known before they are."""

from pyomo_relu.errors import NetworkError
from pyomo_relu.network.onnx import budget
from pyomo_relu.network.onnx.graph.functions import (
    MAX_DEPTH,
    function_key,
    function_table,
)
from pyomo_relu.network.onnx.nodes.evaluation import NodeEvaluator

#: Counts beyond this are not told apart.
_ENDLESS = 10**18


def check_claims(model):
    """Raise if the model's inlined graph is larger or deeper than can be read.

    Parameters
    ----------
    model : onnx.ModelProto

    Raises
    ------
    BudgetExceededError
        By its nodes, or by the data that calls of functions repeat.
    NetworkError
        If functions call themselves, or calls and branches nest too deeply.
    """
    functions = function_table(model, NodeEvaluator.of_model(model))
    for function in model.functions:
        for _ in _all_nodes(function.node):
            pass  # also in those that nobody calls, nothing may be too deep
    sizes = {}
    for key in functions:
        if key not in sizes:
            _measure_function(key, functions, sizes)
    nodes, repeated, _ = _measure(model.graph.node, functions, sizes)
    budget.check_nodes(nodes)
    budget.require(repeated // 8, "data that its functions repeat: a total")


def _measure_function(start, functions, sizes):
    """Enter (nodes, bytes, depth) of a function, and of those it calls."""
    path = {}  # functions being measured, each called by the one before it

    def enter(key):
        nodes = _all_nodes(functions[key].node)
        path[key] = iter([function_key(node) for node, _ in nodes])
        _check_depth(len(path))

    enter(start)
    while path:
        key, calls = next(reversed(path.items()))
        called = next((k for k in calls if k in functions and k not in sizes), None)
        if called in path:
            raise NetworkError(
                f"its function '{called[1]}' calls itself. The file is damaged; "
                "export the network again."
            )
        if called is not None:
            enter(called)
            continue
        body = functions[key].node
        nodes, data, depth = _measure(body, functions, sizes)
        data += sum(node.ByteSize() for node in body)
        sizes[key] = nodes, min(data, _ENDLESS), depth
        del path[key]


def _measure(nodes, functions, sizes):
    """Nodes, bytes within functions, and depth of a list of nodes once inlined."""
    count, data, deepest = 0, 0, 0
    for node, depth in _all_nodes(nodes):
        more, repeated, inner = 1, 0, 0
        if functions and function_key(node) in functions:
            more, repeated, inner = sizes[function_key(node)]
        count = min(count + more, _ENDLESS)
        data = min(data + repeated, _ENDLESS)
        deepest = max(deepest, depth + inner)
    _check_depth(deepest)
    return count, data, deepest


def _all_nodes(nodes):
    """Pairs (node, depth) of nodes and of the nodes in their inner graphs."""
    waiting = [(nodes, 1)]
    while waiting:
        some, depth = waiting.pop()
        _check_depth(depth)
        for node in some:
            yield node, depth
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    waiting.append((attribute.g.node, depth + 1))
                waiting.extend((g.node, depth + 1) for g in attribute.graphs)


def _check_depth(depth):
    if depth > MAX_DEPTH:
        raise NetworkError(
            f"functions or branches are nested more than {MAX_DEPTH} deep. The "
            "file is damaged, or export the network without them."
        )
