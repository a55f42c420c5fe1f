"""One ONNX node at a time: its attributes, output shapes and values on arrays.

Uses onnx's own schemas, shape inference and reference operators, so that what an
operator means is never written down a second time.  Knows nothing of networks.
"""

import math

import numpy as np

from pyomo_relu.common.wording import counted
from pyomo_relu.errors import NetworkError, UnsupportedOperatorError
from pyomo_relu.network.onnx import budget

#: Constants up to this size take part in shape inference (shapes, axes, pads ...).
_SHAPE_DATA = 4096

#: Position of the weights of operators whose windows have the weights' size.
_WEIGHTS = {
    "Conv": 1,
    "ConvInteger": 1,
    "ConvTranspose": 1,
    "DeformConv": 1,
    "QLinearConv": 3,
}


class NodeEvaluator:
    """Attributes, shapes and values of single nodes for one set of opsets.

    Parameters
    ----------
    opset_import : iterable of onnx.OperatorSetIdProto
        As for onnxruntime, the last of several for one domain counts, and
        "ai.onnx.ml" may be left out.
    ir_version : int
    """

    def __init__(self, opset_import, ir_version):
        from onnx import helper

        self.ir_version = max(ir_version, 3)  # older versions have no opsets
        self._versions = {"ai.onnx.ml": helper.VERSION_TABLE[-1][3]}
        for entry in opset_import:
            domain = "" if entry.domain == "ai.onnx" else entry.domain
            self._versions[domain] = entry.version
        self.opset_import = [
            helper.make_opsetid(domain, version)
            for domain, version in self._versions.items()
        ]
        self._schemas = {}

    @classmethod
    def of_model(cls, model):
        """For the opsets of a model, which are in force in its functions too."""
        inner = [o for f in model.functions for o in f.opset_import]
        return cls([*inner, *model.opset_import], model.ir_version)

    def version(self, domain):
        """Opset version in force for ``domain``, or None."""
        return self._versions.get("" if domain == "ai.onnx" else domain)

    def schema(self, node):
        """The operator's onnx schema, or None if onnx does not know it."""
        return self.operator(node.op_type, node.domain)

    def operator(self, op_type, domain):
        """The schema of an operator by name, or None if onnx does not know it."""
        import onnx.defs

        domain = "" if domain == "ai.onnx" else domain
        key = domain, op_type
        if key not in self._schemas:
            try:
                schema = onnx.defs.get_schema(op_type, self.version(domain), domain)
            except (onnx.defs.SchemaError, TypeError):
                schema = None
            self._schemas[key] = schema
        return self._schemas[key]

    def attributes(self, node, schema):
        """Attribute values by name, with the schema's defaults filled in."""
        values = {}
        if schema is not None:
            for name, attribute in schema.attributes.items():
                if attribute.default_value.name:
                    values[name] = _attribute_value(attribute.default_value)
        for attribute in node.attribute:
            values[attribute.name] = _attribute_value(attribute)
        return values

    def infer(self, node, schema, types, constants):
        """Types of the node's outputs from the static types of its inputs.

        Parameters
        ----------
        types : dict of str to onnx.TypeProto
        constants : dict of str to numpy.ndarray
            Known values among the inputs.

        Returns
        -------
        dict of str to onnx.TypeProto

        Raises
        ------
        NetworkError
            If the inputs' shapes or types do not fit the operator.
        """
        from onnx import TensorProto, checker, helper, numpy_helper, shape_inference

        _check_left_out(node, schema)
        _check_weights(node, types)
        known = {
            name: numpy_helper.from_array(np.asarray(array), name)
            for name, array in constants.items()
            if array.size <= _SHAPE_DATA and array.dtype != object
        }
        try:
            types = shape_inference.infer_node_outputs(
                schema,
                node,
                {n: types[n] for n in node.input if n},
                known,
                opset_imports=self.opset_import,
                ir_version=self.ir_version,
            )
        except (
            shape_inference.InferenceError,
            checker.ValidationError,
            RuntimeError,
            ValueError,
        ) as error:
            text = " ".join(str(error).split())
            raise NetworkError(
                f"the shapes or types of its inputs do not fit together ({text})."
            ) from error
        for formal, name in zip(schema.outputs, node.output, strict=False):
            if name and name not in types and formal.types == {"tensor(bool)"}:
                # onnx 1.17 derives none for GreaterOrEqual and LessOrEqual
                types[name] = helper.make_tensor_type_proto(TensorProto.BOOL, None)
        if _rounds_windows_up(node) and node.input[0] not in constants:
            types[node.output[0]].tensor_type.ClearField("shape")
        return types

    def run(self, node, arrays):
        """Outputs of the node on arrays, by onnx's reference operator.

        onnxruntime steps in where onnx has none for the opset or for the shapes
        (DequantizeLinear before opset 19, OneHot with a depth of shape (1,),
        GatherElements along a negative axis).

        Parameters
        ----------
        arrays : sequence of (numpy.ndarray | None)
            One per input; None where an optional input is left out.

        Returns
        -------
        list of numpy.ndarray
        """
        import onnx
        from onnx.reference import ReferenceEvaluator

        budget.check_time()
        empty = onnx.TypeProto()
        feeds = {
            n: a
            for n, a in zip(node.input, arrays, strict=False)
            if n and a is not None
        }
        graph = onnx.helper.make_graph(
            [node],
            "node",
            [onnx.helper.make_value_info(name, empty) for name in feeds],
            [onnx.helper.make_value_info(n, empty) for n in node.output if n],
        )
        model = onnx.helper.make_model(
            graph, opset_imports=self.opset_import, ir_version=self.ir_version
        )
        try:
            with np.errstate(all="ignore"):
                values = ReferenceEvaluator(model).run(None, feeds)
        except (
            NotImplementedError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            values = _run_by_runtime(model, feeds)
            if values is None:
                raise UnsupportedOperatorError(
                    f"onnx cannot evaluate it ({' '.join(str(error).split())}). Export "
                    "the network with another opset_version, or without this operator."
                ) from error
        values = iter(values)
        return [np.asarray(next(values)) if n else None for n in node.output]


def _run_by_runtime(model, feeds):
    """Values of a model of one node by onnxruntime; None if it cannot either."""
    import onnxruntime
    from onnx import helper

    typed = type(model)()
    typed.CopyFrom(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        for value in typed.graph.input:
            array = feeds[value.name]
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            value.type.CopyFrom(helper.make_tensor_type_proto(kind, array.shape))
        typed.ir_version = min(typed.ir_version, 10)
        session = onnxruntime.InferenceSession(
            typed.SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # it would print to stdout
        )
        return session.run(None, feeds)
    except Exception:  # noqa: BLE001  (a second opinion; the first error is reported)
        return None


def _check_left_out(node, schema):
    """Raise if an input is left out that is not optional: onnxruntime may crash."""
    if all(node.input):
        return
    for k, name in enumerate(node.input):
        formal = schema.inputs[min(k, len(schema.inputs) - 1)]
        if not name and formal.option != type(formal.option).Optional:
            raise NetworkError(
                f"its input {k} ('{formal.name}') is left out, which is not optional. "
                "Export the network again."
            )


def _check_weights(node, types):
    """Raise if weights have another number of axes: onnx 1.17 ends the process."""
    position = _WEIGHTS.get(node.op_type, math.inf)
    if node.domain not in ("", "ai.onnx") or len(node.input) <= position:
        return
    names = node.input[0], node.input[position]
    kinds = [types[n].tensor_type for n in names]
    if not all(kind.HasField("shape") for kind in kinds):
        return
    given, needed = (len(kind.shape.dim) for kind in reversed(kinds))
    if given != needed:
        raise NetworkError(
            f"its weights '{names[1]}' with {counted(given, 'dimension')} do not fit "
            f"its input '{names[0]}' with {counted(needed, 'dimension')}. "
            "Export the network again."
        )


def _rounds_windows_up(node):
    """Whether the output's shape is that of onnxruntime rather than of the schema.

    Before opset 22 onnx counts windows that start in the end padding, which
    onnxruntime, as PyTorch, leaves out at every opset.
    """
    pools = node.domain in ("", "ai.onnx") and node.op_type.endswith("Pool")
    return pools and any(a.name == "ceil_mode" and a.i for a in node.attribute)


def type_dtype(elem_type):
    """The numpy dtype of an ``onnx.TensorProto`` type.

    Raises
    ------
    UnsupportedOperatorError
        For types of few bits (bfloat16 and smaller), if this onnx has none for them.
    """
    from onnx import TensorProto, helper

    dtype = helper.tensor_dtype_to_np_dtype(elem_type)
    if dtype == np.float32 and elem_type != TensorProto.FLOAT:  # onnx before 1.19
        kind = TensorProto.DataType.Name(elem_type).lower()
        raise UnsupportedOperatorError(
            f"a tensor is of type {kind}, whose rounding cannot be neglected. Export "
            "the network in float32 or float64."
        )
    return dtype


def least_inputs(op_type):
    """The inputs that the standard operator of this name needs; 0 if there is none."""
    import onnx

    known = onnx.defs.has(op_type)
    return onnx.defs.get_schema(op_type).min_input if known else 0


def is_float(dtype):
    """Whether ``dtype`` is a floating type, those of ml_dtypes included."""
    return np.issubdtype(dtype, np.floating) or "float" in np.dtype(dtype).name


def static_shape(type_proto):
    """Shape of a tensor type as a tuple, or None if any part of it is unknown."""
    tensor = type_proto.tensor_type
    if not tensor.HasField("shape"):
        return None
    dims = tensor.shape.dim
    if not all(d.HasField("dim_value") for d in dims):
        return None
    return tuple(d.dim_value for d in dims)


def array_type(array):
    """The onnx.TypeProto of an array."""
    from onnx import helper

    array = np.asarray(array)
    return helper.make_tensor_type_proto(
        helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
    )


def tensor_array(tensor):
    """Value of a TensorProto; NetworkError if its data do not fill its shape."""
    from onnx import numpy_helper

    claimed = 1
    for n in tensor.dims:
        claimed *= n
    try:
        if claimed < 0 or any(n < 0 for n in tensor.dims):
            raise ValueError(f"negative dimension in {list(tensor.dims)}")
        return numpy_helper.to_array(tensor)
    except Exception as error:
        raise NetworkError(
            f"the data of tensor '{tensor.name}' do not fill its shape "
            f"{list(tensor.dims)} ({error}). The file is damaged; export it again."
        ) from error


def sparse_tensor_array(tensor):
    """Dense value of a SparseTensorProto (linear or coordinate indices)."""
    shape = tuple(tensor.dims)
    check_size(shape)
    values, indices = tensor_array(tensor.values), tensor_array(tensor.indices)
    dense = np.zeros(shape, dtype=values.dtype)
    try:
        if indices.ndim == 2:
            dense[tuple(indices.T)] = values
        else:
            dense.reshape(-1)[indices] = values
    except (IndexError, ValueError) as error:
        raise NetworkError(
            f"sparse tensor '{tensor.values.name}' does not fit its shape "
            f"{list(shape)} ({error}). The file is damaged; export it again."
        ) from error
    return dense


def check_size(shape):
    """Raise BudgetExceededError for a tensor beyond what loading may still create."""
    entries = math.prod(int(n) for n in shape)
    budget.require(entries, f"a tensor of shape {tuple(shape)},")


def _attribute_value(attribute):
    from onnx import helper

    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], bytes):
        return [v.decode(errors="replace") for v in value]
    return list(value) if isinstance(value, tuple) else value


def with_shape(type_proto, shape):
    """The tensor type of the same entries with another static shape."""
    from onnx import helper

    kind = type_proto.tensor_type.elem_type
    return helper.make_tensor_type_proto(kind, shape)
