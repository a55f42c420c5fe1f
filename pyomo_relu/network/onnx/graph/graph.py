"""Walking an ONNX graph: constants are folded, activations become layers.

What an operator does to an affine tensor is in ``operators/``; here are the walk and the
assembly.
"""

import numpy as np

from pyomo_relu.errors import (
    NetworkError,
    NetworkMismatchError,
    UnsupportedOperatorError,
)
from pyomo_relu.network.network import Network
from pyomo_relu.network.onnx import budget
from pyomo_relu.network.onnx.graph.branches import branch_taken
from pyomo_relu.network.onnx.graph.failures import check_registered, not_evaluated
from pyomo_relu.network.onnx.graph.functions import (
    body,
    check_depth,
    function_key,
    function_table,
)
from pyomo_relu.network.onnx.graph.inputs import (
    FLOATS,
    KEEPS_NUMBERS,
    affine_inputs,
    input_tensors,
    integers_refused,
    output_names,
    without_batch,
)
from pyomo_relu.network.onnx.graph.scope import Scope, run_through
from pyomo_relu.network.onnx.nodes.constants import (
    check_deterministic,
    check_evaluation,
    check_numerical,
    folded,
)
from pyomo_relu.network.onnx.nodes.evaluation import (
    NodeEvaluator,
    array_type,
    check_size,
    is_float,
    sparse_tensor_array,
    static_shape,
    tensor_array,
    type_dtype,
    with_shape,
)
from pyomo_relu.network.onnx.nodes.messages import node_label, unknown
from pyomo_relu.network.onnx.operation import Operation
from pyomo_relu.network.onnx.operators.masks import MaskAlgebra
from pyomo_relu.network.onnx.registry import lookup
from pyomo_relu.network.onnx.tensors.layer_builder import LayerBuilder
from pyomo_relu.network.onnx.tensors.piecewise_tensors import PiecewiseTensor
from pyomo_relu.network.onnx.tensors.tensors import AffineTensor, count_new, stack

#: What depends on the network's inputs.
_DATA = (AffineTensor, PiecewiseTensor)


class GraphReader:
    """Turns one checked model into a Network.

    Parameters
    ----------
    model : onnx.ModelProto
        Without external data.
    name : str
        File or graph name, for messages.
    output : None, str or sequence of str
        Tensors to use as outputs instead of the graph's outputs.
    input_shapes : dict of str to sequence of int, optional
        Shapes that replace those of the file.

    Attributes
    ----------
    scope : Scope
        The names of the outermost graph.
    needed_nodes : list of onnx.NodeProto
        Its nodes that the outputs may depend on, in order.
    branched : bool
        Whether an If node was met: part of the file has not been looked at.
    inner_scopes : list of Scope
        The functions and branches walked.
    tensors : dict of str to (numpy.ndarray | AffineTensor)
        What is known of each tensor; floating constants in float64.
    types : dict of str to onnx.TypeProto
    """

    def __init__(self, model, name, output=None, input_shapes=None):
        self.model, self.name = model, name
        self.graph = model.graph
        self.evaluator = NodeEvaluator.of_model(model)
        self.layers = LayerBuilder()
        self.masks = MaskAlgebra(self.layers)
        self.tensors, self.types = {}, {}
        self.branched, self.inner_scopes = False, []
        self._native = {}  # constants in the file's own precision
        self._counted = {}  # matrices that the budget has counted, by id
        self._taken = {}  # unique names of tensors, and the last number added to each
        self.output_names = output_names(self.graph, output, name)
        self.functions = self._guard(lambda: function_table(model, self.evaluator))
        self.scope = self._guard(lambda: Scope.of_graph(self.graph, self._taken))
        order, read = self._guard(lambda: self.scope.needed(self.output_names))
        self.needed_nodes = [self.scope.nodes[k] for k in order]
        self.needed_names = set(read)
        self._read_inputs(input_shapes or {})

    def network(self):
        """Walk the graph and assemble the network."""
        with np.errstate(all="ignore"):
            run_through(self._walk, self.scope, self.output_names)
        outputs = [self._output(n) for n in self.output_names]
        self.output_sizes = [t.size for t in outputs]
        label = ", ".join(self.output_names)
        self.layers.add(stack(outputs), "identity", None, label)
        self.layers.drop_unread()
        tensors = [
            (n, without_batch(t.shape))
            for n, t in zip(self.output_names, outputs, strict=True)
        ]
        return Network(
            self.layers.layers, self.inputs, tensors, self.name, self.fixed_batch
        )

    # -- what is given -------------------------------------------------------------

    def _read_inputs(self, input_shapes):
        values = [
            v for v in self.graph.input if v.name not in self.scope.constants and v.name
        ]
        self.inputs, self.input_types, self.fixed_batch = input_tensors(
            values, input_shapes, self.name, self.needed_names
        )
        self.types.update(self.input_types)
        self.tensors.update(affine_inputs(self.inputs, self.input_types))

    def _guard(self, read):
        try:
            with np.errstate(all="ignore"):
                return read()
        except NetworkError as error:
            raise type(error)(f"{self.name}: {error}") from error

    # -- the walk ------------------------------------------------------------------

    def _walk(self, scope, names):
        """Evaluate what the named tensors of a scope depend on; see ``run_through``."""
        order, read = self._guard(lambda: scope.pending(names))
        self.needed_names.update(self._guard(lambda: [scope.unique(n) for n in read]))
        for name in read & scope.constants.keys():
            self._guard(lambda n=name: self._read_constant(scope, n))
        outside = [n for n in read if not scope.defines(n)]
        if outside:
            yield scope.parent, outside
        for k in order:
            if k not in scope.done:  # a node before it may have asked for it
                scope.done.add(k)
                yield from self._evaluate(scope.nodes[k], scope)

    def _read_constant(self, scope, name):
        unique, tensor = scope.unique(name), scope.constants[name]
        if unique not in self.tensors:
            if hasattr(tensor, "data_type"):  # dense
                self._set_stored(unique, tensor)
            else:
                self._set(unique, sparse_tensor_array(tensor))

    def _evaluate(self, node, scope):
        inner, names = self._within(node, lambda: self._step(node, scope))
        if inner is None:
            return
        yield inner, [name for name, _ in names]
        for name, outer in names:
            self._within(node, lambda n=name, o=outer: self._alias(inner.unique(n), o))

    def _step(self, node, scope):
        """Evaluate a node, unless it stands for an inner scope, which is returned."""
        inner, names = self._inner_scope(node, scope)
        if inner is None:
            self._evaluate_unguarded(scope.localized(node))
        return inner, names

    def _within(self, node, action):
        """The action's result; its errors with the node in front."""
        try:
            return action()
        except NetworkMismatchError:
            raise
        except NetworkError as error:
            raise type(error)(f"{self._where(node)}: {error}") from error
        except Exception as error:  # a malformed node must never show as a KeyError
            reason = not_evaluated(node, error)
            raise NetworkError(f"{self._where(node)}: {reason}") from error

    def _inner_scope(self, node, scope):
        """The scope that a node stands for, and pairs (its name there, its name here).

        For a call of a function its body, for an If node the branch taken; None and no
        pairs for other nodes.
        """
        function = self.functions.get(function_key(node)) if self.functions else None
        branches = any(a.HasField("g") or a.graphs for a in node.attribute)
        if function is None and not branches:
            return None, ()
        check_depth(scope.depth)
        if function is not None:
            inner, values = body(function, node, scope, self._taken), function.output
        else:
            condition = self._native.get(scope.unique(node.input[0]))
            graph = branch_taken(node, condition)
            self.branched = True
            inner = Scope.of_graph(graph, self._taken, scope)
            values = [v.name for v in graph.output]
        self.inner_scopes.append(inner)
        pairs = zip(values, map(scope.unique, node.output), strict=False)
        return inner, [(v, n) for v, n in pairs if n and n in self.needed_names]

    def _alias(self, name, other):
        """Give the tensor ``name`` a second name."""
        for known in (self.tensors, self.types, self._native):
            if name in known:
                known[other] = known[name]

    # -- one node ------------------------------------------------------------------

    def _evaluate_unguarded(self, node):
        schema = self.evaluator.schema(node)
        handler = lookup(node.op_type, node.domain)
        no_opset = not node.domain and self.evaluator.version("") is None
        if (schema is None and handler is None) or no_opset:
            raise UnsupportedOperatorError(unknown(node))
        for n in node.input:
            if n and n not in self.tensors:
                raise NetworkError(f"its input '{n}' is never computed.")
        budget.check_time()
        shapes = self.infer(node, schema)
        arguments = [self.tensors[n] if n else None for n in node.input]
        check_deterministic(node)
        if not any(isinstance(a, _DATA) for a in arguments):
            self._fold(node, schema, shapes)
            return
        for n, value in zip(node.input, arguments, strict=False):
            if self._counts(n, value) and node.op_type not in KEEPS_NUMBERS:
                reason = integers_refused(n, self.input_types)
                raise UnsupportedOperatorError(reason)
        operation = Operation(self, node, schema, shapes)
        if any(isinstance(a, PiecewiseTensor) for a in arguments):
            values = self.masks.apply(operation, handler, arguments)
        elif handler is None:
            operation.refuse_unread()
        else:
            values = handler(operation, *arguments)
            check_registered(node, values)
        values = values if isinstance(values, (tuple, list)) else (values,)
        for n, value in zip(node.output, values, strict=False):
            if n:
                self._store(node, n, value, shapes.get(n))
        for n in node.output[len(values) :]:
            if n and n in self.needed_names:
                raise UnsupportedOperatorError(
                    f"its output '{n}' is used, which is not piecewise linear."
                )

    def infer(self, node, schema):
        """Infer and record output types; return the static shapes by name."""
        if schema is None:
            return {}
        constants = {n: self._native[n] for n in node.input if n in self._native}
        types = self.evaluator.infer(node, schema, self.types, constants)
        self.types.update(types)
        shapes = {n: static_shape(t) for n, t in types.items()}
        for shape in shapes.values():
            check_size(shape or ())
        return {n: s for n, s in shapes.items() if s is not None}

    def _fold(self, node, schema, shapes):
        attributes = self.evaluator.attributes(node, schema)
        if node.op_type == "Constant" and "value" in attributes:
            self._set_stored(node.output[0], attributes["value"])
            return
        if node.op_type == "Identity":
            self._alias(node.input[0], node.output[0])
            return
        native = [self._native.get(n) for n in node.input]
        check_numerical(node)
        check_evaluation(node, shapes, native, attributes)
        exact = [self.tensors.get(n) for n in node.input]
        values = folded(self.evaluator, node, native, exact)
        for n, *value in zip(node.output, *values, strict=False):
            if n:
                self._set(n, *value)

    def _set_stored(self, name, tensor):
        """Enter a constant whose data the file holds."""
        array = tensor_array(tensor)
        budget.grant(array.size)
        self._set(name, array)

    def _set(self, name, native, exact=None):
        budget.spend(native.size, f"tensor '{name}'")
        exact = native if exact is None else exact
        self._native[name] = native
        self.types[name] = array_type(native)
        widened = exact.astype(float, copy=False) if is_float(native.dtype) else native
        self.tensors[name] = widened

    def _store(self, node, name, value, shape):
        if not isinstance(value, _DATA):
            self._store_array(name, np.asarray(value))
            return
        if shape not in (None, value.shape):
            raise NetworkError(
                f"its output should have shape {shape} but has {value.shape}; the "
                "shapes of its inputs do not fit together. Export the network again."
            )
        if value.size == 0:  # depends on nothing: Split may leave parts without entries
            self._store_array(name, np.zeros(value.shape))
            return
        finite = count_new(value.arrays(), self._counted, name)
        if isinstance(value, PiecewiseTensor):
            value.maker = node_label(node)
        elif not finite:
            bad = [n for n in node.input if not self._finite(n)]
            culprit = f" of '{bad[0]}'" if bad else ""
            raise NetworkError(
                f"weights or biases{culprit} are NaN or infinite. Training diverged "
                "or the file is damaged; train or export the network again."
            )
        self.tensors[name] = value
        if shape is None:
            names = (name, *filter(self.is_affine, node.input))
            kind = next(self.types[n] for n in names if n in self.types)
            self.types[name] = with_shape(kind, value.shape)

    def _store_array(self, name, value):
        """A constant found by an operator function, in the type the node declares."""
        native = value
        if name in self.types:
            native = value.astype(self.dtype(name))
        self._set(name, native, value)

    def _finite(self, name):
        value = self.tensors.get(name)
        if not isinstance(value, np.ndarray) or not is_float(value.dtype):
            return True
        return bool(np.all(np.isfinite(value)))

    def is_affine(self, name):
        """Whether the tensor depends on the network's inputs."""
        return isinstance(self.tensors.get(name), _DATA)

    def _counts(self, name, value):
        """Whether a tensor holds integers that are no constants, also under a mask."""
        if isinstance(value, PiecewiseTensor):
            return not value.is_constant and not self._is_float(name)
        return isinstance(value, AffineTensor) and not self._is_float(name)

    def dtype(self, name):
        """The numpy dtype of a tensor."""
        return type_dtype(self.types[name].tensor_type.elem_type)

    def _is_float(self, name):
        return self.types[name].tensor_type.elem_type in FLOATS

    # -- outputs and messages ------------------------------------------------------

    def _output(self, name):
        value = self.tensors.get(name)
        if value is None:
            raise NetworkError(f"{self.name}: the output '{name}' is never computed.")
        if isinstance(value, PiecewiseTensor):
            mask, dtype = value, self.dtype(name)
            value = self._guard(lambda: self.masks.output(mask, dtype, name))
        if isinstance(value, np.ndarray):
            if not is_float(value.dtype):
                raise NetworkError(
                    f"{self.name}: the output '{name}' is a constant of type "
                    f"{value.dtype}. Choose another tensor with output=."
                )
            value = AffineTensor.constant(value)
        elif not self._is_float(name):
            raise NetworkError(
                f"{self.name}: {integers_refused(name, self.input_types)}"
            )
        if value.size == 0 or not value.is_finite():
            raise NetworkError(
                f"{self.name}: the output '{name}' is empty, NaN or infinite. Export "
                "the network again."
            )
        return value

    def _where(self, node):
        return f"{self.name}: {node_label(node)}"
