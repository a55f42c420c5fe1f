"""Names in ONNX graphs: which node computes a tensor, and in which order nodes follow.

An inner graph sees the names of the graphs around it and may define them anew; a
function sees nothing but its arguments.  As for onnxruntime, nodes may stand in any
order, and of several constants with one name the last counts.
"""

import heapq

from pyomo_relu.errors import NetworkError
from pyomo_relu.network.onnx.graph.branches import names_read


class Scope:
    """The names of one graph or function body.

    Every tensor that a scope defines gets a name that is unique in the whole walk:
    its own where that is free, so that tensors of the outermost graph keep theirs.

    Parameters
    ----------
    nodes : iterable of onnx.NodeProto
    constants : dict of str to (onnx.TensorProto | onnx.SparseTensorProto)
        Initializers by name.
    inputs : dict of str to str
        Unique names of what is handed in; "" for an argument left out.
    taken : dict of str to int
        Unique names so far, and the last number added to each; shared by all scopes of
        a walk.
    parent : Scope, optional
        The graph around this one.
    attributes : dict of str to onnx.AttributeProto, optional
        What ``ref_attr_name`` refers to inside a function.
    depth : int
        In how many functions and branches it stands.

    Attributes
    ----------
    done : set of int
        Positions of the nodes that were handed out for evaluation.
    """

    def __init__(
        self, nodes, constants, inputs, taken, parent=None, attributes=None, depth=0
    ):
        self.nodes, self.constants = list(nodes), dict(constants)
        self.parent, self.attributes, self.depth = parent, attributes, depth
        self.done, self._taken, self._producer = set(), taken, {}
        for k, node in enumerate(self.nodes):
            for name in node.output:
                if name:
                    self._define(name, k, inputs)
        self._unique = dict(inputs)
        for name in (*self.constants, *self._producer):
            self._unique[name] = self._free(name)

    @classmethod
    def of_graph(cls, graph, taken, parent=None):
        """The scope of a graph; its inputs (of the outermost graph) keep their names."""
        constants = {t.name: t for t in graph.initializer}
        constants.update((t.values.name, t) for t in graph.sparse_initializer)
        inputs = {v.name: v.name for v in graph.input if v.name not in constants}
        taken.update(dict.fromkeys(inputs, 1))
        attributes = None if parent is None else parent.attributes
        depth = 0 if parent is None else parent.depth + 1
        return cls(graph.node, constants, inputs, taken, parent, attributes, depth)

    def _define(self, name, k, inputs):
        constant = _is_constant(self.nodes[k])
        known = self._producer.get(name)
        twice = known is not None and not (constant and _is_constant(self.nodes[known]))
        if name in inputs or twice or (name in self.constants and not constant):
            raise NetworkError(
                f"the model is not valid ONNX: tensor '{name}' is computed twice. "
                "Export the network again."
            )
        self.constants.pop(name, None)
        self._producer[name] = k

    def _free(self, name):
        unique, k = name, self._taken.get(name, 1)
        while unique in self._taken:
            k += 1
            unique = f"{name}.{k}"
        self._taken[name] = k  # from where to look on, else many scopes are slow
        self._taken.setdefault(unique, 1)
        return unique

    # -- names ---------------------------------------------------------------------

    def unique(self, name):
        """The unique name of what ``name`` means here; "" for what is left out."""
        scope = self
        while scope is not None:
            if name in scope._unique:
                return scope._unique[name]
            scope = scope.parent
        if not name:
            return ""
        raise NetworkError(
            f"the model is not valid ONNX: nothing computes the tensor '{name}', which "
            "is read. Export the network again."
        )

    def defines(self, name):
        """Whether the name is this scope's own and not one of the graphs around it."""
        return name in self._unique

    def every_name(self):
        """Names of all tensors that the nodes compute."""
        return list(self._producer)

    def computed(self):
        """Names of the tensors computed by nodes handed out so far."""
        return {n for k in self.done for n in self.nodes[k].output if n}

    def localized(self, node):
        """The node with unique names and with the function's attribute values."""
        refers = any(a.ref_attr_name for a in node.attribute)
        if self.parent is None and self.attributes is None:
            if refers:
                raise NetworkError(
                    "it refers to an attribute of a function but stands in none. "
                    "Export the network again."
                )
            if node.domain != "ai.onnx":
                return node
        result = type(node)()
        result.CopyFrom(node)
        if result.domain == "ai.onnx":  # the same domain for onnxruntime, not for onnx
            result.domain = ""
        result.input[:] = [self.unique(n) for n in node.input]
        result.output[:] = [n and self.unique(n) for n in node.output]
        if refers:
            del result.attribute[:]
            result.attribute.extend(self.bound(node.attribute))
        return result

    def bound(self, attributes):
        """Attributes with references replaced by values; those without one left out."""
        for attribute in attributes:
            if not attribute.ref_attr_name:
                yield attribute
                continue
            value = (self.attributes or {}).get(attribute.ref_attr_name)
            if value is not None:
                named = type(value)()
                named.CopyFrom(value)
                named.name = attribute.name
                yield named

    # -- order ---------------------------------------------------------------------

    def pending(self, names):
        """What is still to be evaluated for the named tensors.

        What only the inner graphs of a node read is left for later: it is not needed
        before it is known which of them is run.

        Returns
        -------
        order : list of int
            Positions of nodes in the file's order, as far as each follows what it
            reads.
        read : set of str
            All names that these nodes read, and ``names``.
        """
        return self._order(names, _inputs, self.done)

    def needed(self, names):
        """The same as ``pending`` from the start, with all that inner graphs read."""
        return self._order(names, names_read, ())

    def _order(self, names, reads, done):
        chosen, seen, open_names = {}, set(names), list(names)
        while open_names:
            k = self._producer.get(open_names.pop())
            if k is None or k in chosen or k in done:
                continue
            chosen[k] = read = list(reads(self.nodes[k]))
            fresh = [n for n in read if n not in seen]
            seen.update(fresh)
            open_names.extend(fresh)
        return self._sorted(chosen), seen

    def _sorted(self, chosen):
        """Positions in the order of evaluation, from what each node reads."""
        waiting, readers = {}, {k: [] for k in chosen}
        for k, read in chosen.items():
            before = {self._producer.get(n) for n in read} & chosen.keys()
            waiting[k] = len(before)
            for j in before:
                readers[j].append(k)
        ready = [k for k, n in waiting.items() if n == 0]
        heapq.heapify(ready)
        order = []
        while ready:
            k = heapq.heappop(ready)
            order.append(k)
            for j in readers[k]:
                waiting[j] -= 1
                if waiting[j] == 0:
                    heapq.heappush(ready, j)
        if len(order) < len(chosen):
            stuck = self.nodes[min(set(chosen).difference(order))]
            raise NetworkError(
                "the model is not valid ONNX: the nodes around tensor "
                f"'{next(filter(None, stuck.output), '')}' read one another's outputs "
                "in a circle. Export the network again."
            )
        return order


def run_through(walk, *start):
    """Run the generator ``walk(*start)``, and first all walks whose arguments it yields.

    On a stack of their own: a branch may read what a long row of other branches gave,
    each of which is walked only when it is known to be read.
    """
    walks = [walk(*start)]
    while walks:
        further = next(walks[-1], None)
        if further is None:
            walks.pop()
        else:
            walks.append(walk(*further))


def _inputs(node):
    return [n for n in node.input if n]


def _is_constant(node):
    return node.op_type == "Constant" and node.domain in ("", "ai.onnx")
