"""Walking an ONNX graph: constants are folded, activations become layers.

What an operator does to an affine tensor is in the ``onnx_*_operators`` modules; here
is the walk, the operation object that those functions receive, and the assembly.
"""

import numpy as np

from pyomo_relu.errors import (
    BudgetExceededError,
    NetworkError,
    NetworkMismatchError,
    UnsupportedOperatorError,
)
from pyomo_relu.network import budget
from pyomo_relu.network.layer import INPUT, Source
from pyomo_relu.network.network import Network
from pyomo_relu.network.onnx_branches import branch_taken, names_read
from pyomo_relu.network.onnx_constants import check_evaluation, check_numerical
from pyomo_relu.network.onnx_evaluate import (
    NodeEvaluator,
    array_type,
    check_size,
    is_float,
    sparse_tensor_array,
    static_shape,
    tensor_array,
)
from pyomo_relu.network.onnx_inputs import input_tensors, without_batch
from pyomo_relu.network.onnx_operation import LayerBuilder, Operation
from pyomo_relu.network.onnx_registry import lookup
from pyomo_relu.network.onnx_tensors import AffineTensor, all_finite, entries, stack

#: Operators with which masks are made.
_COMPARISONS = {"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"}

#: Operators whose value is not a function of their inputs alone.
_RANDOM = {
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
}


class GraphReader:
    """Turns one checked model into a Network.

    Parameters
    ----------
    model : onnx.ModelProto
        Checked, without local functions and external data.
    name : str
        File or graph name, for messages.
    output : None, str or sequence of str
        Tensors to use as outputs instead of the graph's outputs.
    input_shapes : dict of str to sequence of int, optional
        Shapes that replace those of the file.

    Attributes
    ----------
    nodes : list of onnx.NodeProto
        The nodes that the outputs depend on, in graph order.
    walked : list of onnx.NodeProto
        The same after the walk, with the branch taken in place of an If node.
    inner_constants : list of onnx.TensorProto
        Initializers of the branches taken.
    tensors : dict of str to (numpy.ndarray | AffineTensor)
        What is known of each tensor; floating constants in float64.
    types : dict of str to onnx.TypeProto
    """

    def __init__(self, model, name, output=None, input_shapes=None):
        self.model, self.name = model, name
        self.graph = model.graph
        self.evaluator = NodeEvaluator(model.opset_import, model.ir_version)
        self.layers = LayerBuilder()
        self.tensors, self.types = {}, {}
        self.walked, self.inner_constants = [], []
        self._native = {}  # constants in the file's own precision
        self._counted = {}  # matrices that the budget has counted, by id
        self.output_names = self._output_names(output)
        self.nodes = self._ancestors()
        self._read_initializers()
        self._read_inputs(input_shapes or {})

    def network(self):
        """Walk the graph and assemble the network."""
        for node in self.nodes:
            self._evaluate(node)
        outputs = [self._output(n) for n in self.output_names]
        self.output_sizes = [t.size for t in outputs]
        joint = stack(outputs)
        label = ", ".join(self.output_names)
        self.layers.add(joint, "identity", None, label)
        tensors = [
            (n, without_batch(t.shape)) for n, t in zip(self.output_names, outputs)
        ]
        return Network(
            self.layers.layers, self.inputs, tensors, self.name, self.fixed_batch
        )

    # -- what is asked for ---------------------------------------------------------

    def _output_names(self, output):
        if output is None:
            return [v.name for v in self.graph.output]
        names = [output] if isinstance(output, str) else list(output)
        known = {v.name for v in self.graph.input}
        known.update(n for node in self.graph.node for n in node.output if n)
        known.update(t.name for t in self.graph.initializer)
        for name in names:
            if name not in known:
                raise NetworkError(
                    f"{self.name}: there is no tensor '{name}' to take as output. "
                    f"Tensors of the graph: {_some(sorted(known), name)}."
                )
        if not names or len(set(names)) != len(names):
            raise NetworkError(
                f"{self.name}: output={output!r} must name at least one tensor, and "
                "each tensor once."
            )
        return names

    def _ancestors(self):
        """The nodes that the outputs depend on; all others are ignored."""
        nodes = list(self.graph.node)
        producer = {n: k for k, node in enumerate(nodes) for n in node.output if n}
        needed, open_names = set(), list(self.output_names)
        seen = set(open_names)
        while open_names:
            k = producer.get(open_names.pop())
            if k is None or k in needed:
                continue
            needed.add(k)
            fresh = [n for n in names_read(nodes[k]) if n not in seen]
            seen.update(fresh)
            open_names.extend(fresh)
        self.needed_names = seen
        return [nodes[k] for k in sorted(needed)]

    def _read_initializers(self):
        for tensor in self.graph.initializer:
            if tensor.name in self.needed_names:
                self._guard(lambda t=tensor: self._set_stored(t.name, t))
        for tensor in self.graph.sparse_initializer:
            name = tensor.values.name
            if name in self.needed_names:
                self._guard(
                    lambda t=tensor, n=name: self._set(n, sparse_tensor_array(t))
                )

    def _read_inputs(self, input_shapes):
        constants = {t.name for t in self.graph.initializer}
        constants.update(t.values.name for t in self.graph.sparse_initializer)
        values = [v for v in self.graph.input if v.name not in constants]
        self.inputs, self.input_types, self.fixed_batch = input_tensors(
            values, input_shapes, self.name
        )
        self.types.update(self.input_types)
        whole = AffineTensor.of_source(
            Source(INPUT), (sum(t.size for t in self.inputs),)
        )
        start = 0
        for tensor in self.inputs:
            part = whole.select(np.arange(start, start + tensor.size))
            shape = static_shape(self.types[tensor.name])
            self.tensors[tensor.name] = part.reshape(shape)
            start += tensor.size

    def _guard(self, read):
        try:
            read()
        except NetworkError as error:
            raise type(error)(f"{self.name}: {error}") from error

    # -- one node ------------------------------------------------------------------

    def _evaluate(self, node):
        try:
            with np.errstate(all="ignore"):
                self._evaluate_unguarded(node)
        except NetworkMismatchError:
            raise
        except NetworkError as error:
            raise type(error)(f"{self._where(node)}: {error}") from error
        except Exception as error:  # a malformed node must never show as a KeyError
            raise NetworkError(
                f"{self._where(node)}: it cannot be evaluated "
                f"({type(error).__name__}: {error}). The model is malformed or uses "
                "the operator in an unusual way; simplify the graph or export again."
            ) from error

    def _evaluate_unguarded(self, node):
        schema = self.evaluator.schema(node)
        handler = lookup(node.op_type, node.domain)
        if schema is None and handler is None:
            raise UnsupportedOperatorError(_unknown(node))
        if any(a.HasField("g") or a.graphs for a in node.attribute):
            self._follow(node, branch_taken(node, self._native.get(node.input[0])))
            return
        self.walked.append(node)
        budget.check_time()
        shapes = self._infer(node, schema)
        arguments = [self.tensors[n] if n else None for n in node.input]
        if node.op_type in _RANDOM:
            raise UnsupportedOperatorError(
                "it draws random numbers. Export the network in inference mode."
            )
        if not any(isinstance(a, AffineTensor) for a in arguments):
            self._fold(node, schema, shapes)
            return
        if handler is None:
            raise UnsupportedOperatorError(self._not_piecewise_linear(node))
        operation = Operation(self, node, schema, shapes)
        values = handler(operation, *arguments)
        values = values if isinstance(values, (tuple, list)) else (values,)
        for n, value in zip(node.output, values):
            if n:
                self._store(node, n, value, shapes.get(n))
        for n in node.output[len(values) :]:
            if n in self.needed_names:
                raise UnsupportedOperatorError(
                    f"its output '{n}' is used, which is not piecewise linear."
                )

    def _follow(self, node, graph):
        """Walk an inner graph as if its nodes stood in place of ``node``."""
        from onnx import helper

        for tensor in graph.initializer:
            self._set_stored(tensor.name, tensor)
            self.inner_constants.append(tensor)
        for inside in graph.node:
            self._evaluate(inside)
        for n, value in zip(node.output, graph.output):
            self._evaluate(helper.make_node("Identity", [value.name], [n]))

    def _infer(self, node, schema):
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
            for known in (self._native, self.tensors, self.types):
                known[node.output[0]] = known[node.input[0]]
            return
        check_numerical(node)
        arguments = [self._native.get(n) for n in node.input]
        check_evaluation(node, shapes, arguments, attributes)
        values = self.evaluator.run(node, arguments)
        exact = self._fold_exactly(node, arguments, values)
        for n, value, precise in zip(node.output, values, exact):
            if n:
                self._set(n, value, precise)

    def _fold_exactly(self, node, native, values):
        """The same values from float64 inputs, where the node computes in floats."""
        if not any(a is not None and is_float(a.dtype) for a in native):
            return values
        if not any(v is not None and is_float(v.dtype) for v in values):
            return values
        if node.op_type in ("Cast", "CastLike"):
            return [self.tensors[node.input[0]]]
        try:
            exact = self.evaluator.run(node, [self.tensors.get(n) for n in node.input])
        except BudgetExceededError:
            raise
        except Exception:  # noqa: BLE001  (some operators insist on their own type)
            return values
        same = all(e.shape == v.shape for e, v in zip(exact, values) if v is not None)
        return exact if same else values

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
        if not isinstance(value, AffineTensor):
            self._store_array(name, np.asarray(value))
            return
        if shape is not None and shape != value.shape:
            raise NetworkError(
                f"its output should have shape {shape} but has {value.shape}; the "
                "shapes of its inputs do not fit together. Export the network again."
            )
        if value.size == 0:
            raise NetworkError(f"its output '{name}' has no entries.")
        if not self._new_part_is_finite(name, value):
            bad = [n for n in node.input if not self._finite(n)]
            culprit = f" of '{bad[0]}'" if bad else ""
            raise NetworkError(
                f"weights or biases{culprit} are NaN or infinite. Training diverged "
                "or the file is damaged; train or export the network again."
            )
        self.tensors[name] = value
        if name not in self.types:
            from onnx import helper

            data = next(t for t in node.input if t and self.is_affine(t))
            kind = self.types[data].tensor_type.elem_type
            self.types[name] = helper.make_tensor_type_proto(kind, value.shape)

    def _store_array(self, name, value):
        """A constant found by an operator function, in the type the node declares."""
        native = value
        if name in self.types:
            from onnx import helper

            kind = self.types[name].tensor_type.elem_type
            native = value.astype(helper.tensor_dtype_to_np_dtype(kind))
        self._set(name, native, value)

    def _new_part_is_finite(self, name, value):
        """Spend what of an affine tensor is new; whether it holds finite numbers."""
        fresh = {}
        for part in (value.offset, *value.terms.values()):
            if id(part) not in self._counted:
                fresh[id(part)] = part  # kept so that its id stays taken
                budget.spend(entries(part), f"tensor '{name}', a matrix")
        self._counted.update(fresh)
        return all(all_finite(part) for part in fresh.values())

    def _finite(self, name):
        value = self.tensors.get(name)
        if not isinstance(value, np.ndarray) or not is_float(value.dtype):
            return True
        return bool(np.all(np.isfinite(value)))

    def is_affine(self, name):
        """Whether the tensor depends on the network's inputs."""
        return isinstance(self.tensors.get(name), AffineTensor)

    # -- outputs and messages ------------------------------------------------------

    def _output(self, name):
        value = self.tensors.get(name)
        if value is None:
            raise NetworkError(f"{self.name}: the output '{name}' is never computed.")
        if isinstance(value, np.ndarray):
            if not is_float(value.dtype):
                raise NetworkError(
                    f"{self.name}: the output '{name}' is a constant of type "
                    f"{value.dtype}. Choose another tensor with output=."
                )
            value = AffineTensor.constant(value)
        if value.size == 0 or not value.is_finite():
            raise NetworkError(
                f"{self.name}: the output '{name}' is empty, NaN or infinite. Export "
                "the network again."
            )
        return value

    def _where(self, node):
        out = next((n for n in node.output if n), "")
        node_name = f"node '{node.name}'" if node.name else "an unnamed node"
        domain = f"{node.domain}." if node.domain not in ("", "ai.onnx") else ""
        return (
            f"{self.name}: {node_name} (operator {domain}{node.op_type}, "
            f"output tensor '{out}')"
        )

    def _not_piecewise_linear(self, node):
        data = [n for n in node.input if n and self.is_affine(n)]
        mask = ""
        if node.op_type in _COMPARISONS:
            mask = (
                " Write activations made with a mask, such as where(x > 0, x, 0), as "
                "Relu, LeakyRelu, Clip, Max or Min."
            )
        return (
            f"it is not piecewise linear in '{data[0]}', which depends on the "
            "network's inputs, or has no piecewise linear reading here. If the part "
            f"up to there is what you need, pass output='{data[0]}' to load_onnx; "
            "otherwise train with ReLU activations, or teach the operator with "
            f"pyomo_relu.network.register_operator.{mask}"
        )


def _unknown(node):
    origin = ""
    if node.domain.startswith("com.microsoft"):
        origin = (
            " onnxruntime writes it when it saves an optimised model: use the file "
            "from before the optimisation."
        )
    return (
        f"this operator is not known.{origin} Replace it by standard ONNX operators, or "
        "teach it with pyomo_relu.network.register_operator."
    )


def _some(names, wanted, most=8):
    import difflib

    close = difflib.get_close_matches(wanted, names, n=most, cutoff=0.3)
    return ", ".join(f"'{n}'" for n in (close or names[:most]))
