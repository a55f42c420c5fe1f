"""If nodes whose condition is known: the branch taken is part of the graph.

Exporters write them where a shape decides, for example whether an axis can be squeezed.
"""

import numpy as np

from pyomo_relu.errors import UnsupportedOperatorError


def names_read(node):
    """All tensors that a node reads, also those that only its inner graphs read."""
    yield from (n for n in node.input if n)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            inner = {t.name for t in graph.initializer}
            inner.update(t.values.name for t in graph.sparse_initializer)
            inner.update(n for inside in graph.node for n in inside.output)
            inner.update(v.name for v in graph.input)
            for inside in graph.node:
                yield from (n for n in names_read(inside) if n not in inner)
            yield from (v.name for v in graph.output if v.name not in inner)


def branch_taken(node, condition):
    """The graph that an If node runs.

    Parameters
    ----------
    node : onnx.NodeProto
    condition : numpy.ndarray or None
        Value of its condition; None if it depends on the network's inputs.

    Raises
    ------
    UnsupportedOperatorError
        For loops, and if the condition depends on the inputs.
    """
    if node.op_type != "If" or node.domain not in ("", "ai.onnx") or condition is None:
        raise UnsupportedOperatorError(
            "loops, and branches on data, are not read. Export the network without "
            "control flow (for example by tracing it)."
        )
    wanted = "then_branch" if np.all(condition) else "else_branch"
    return next(a.g for a in node.attribute if a.name == wanted)
