"""Comparing a network that was read with what the ONNX file computes.

The judge is onnxruntime; where its CPU provider lacks an operator or type, onnx's
reference evaluator.  A comparison is never skipped silently.
"""

import numpy as np
from scipy import sparse

from pyomo_relu.errors import NetworkError, NetworkMismatchError
from pyomo_relu.network import budget
from pyomo_relu.network.layer import INPUT
from pyomo_relu.network.onnx_evaluate import static_shape
from pyomo_relu.network.onnx_points import probing_points

#: Per type: how many times the observed rounding error of the network evaluated in
#: that type is allowed, and the allowed error relative to the largest entry.
_ALLOWED = {"float16": (20.0, 1e-2), "float32": (50.0, 1e-5), "float64": (100.0, 1e-11)}

#: onnxruntime refuses newer file versions; operators do not depend on them.
_IR_VERSIONS = (4, 10)

#: What onnxruntime says about an opset or operator that it does not have (yet).
_NOT_AVAILABLE = (
    "NOT_IMPLEMENTED",
    "guarantees support",
    "under development",
    "not a registered",
)


def verify(reader, network):
    """Raise unless the network reproduces the file.

    Compared are the outputs and those pre-activations that are tensors of the graph,
    at the points of :func:`~pyomo_relu.network.onnx_points.probing_points`.

    Tolerance for a tensor v at a point: ``c (rho S + E) + e max|v|`` with c, e per
    type.  S = max_i (|W| |t| + |b|)_i is the magnitude of the tensor's last affine
    step, rho the largest error relative to S that evaluation in the file's precision
    is seen to make, and E the rounding errors eps S of all layers before, grown by the
    row norms of the weights.

    Parameters
    ----------
    reader : GraphReader
        After its walk.
    network : Network

    Raises
    ------
    NetworkMismatchError
        With the tensor, the point and both values.
    NetworkError
        If neither onnxruntime nor onnx can run the model.
    """
    watched = _watched(reader)
    run = _runner(reader, [name for name, *_ in watched])
    precision = _precision(reader)
    points = _representable(reader, network, probing_points(network))
    comparison = _Comparison(network, points, precision, reader.name)
    comparison.require_range()
    for p in comparison.usable:
        budget.check_time(what=f"{reader.name}: the comparison with onnxruntime")
        values = run(_feeds(reader, points[p]))
        for (name, layer, part), value in zip(watched, values):
            comparison.require(name, layer, part, p, np.ravel(value))


def _watched(reader):
    """Tensors to compare: (name, layer, slice of the layer's entries)."""
    watched, start = [], 0
    last = len(reader.layers.layers) - 1
    for name, size in zip(reader.output_names, reader.output_sizes):
        watched.append((name, last, slice(start, start + size)))
        start += size
    computed = {n for node in reader.walked for n in node.output if n}
    names = {id(t): n for n, t in reader.tensors.items() if n in computed}
    seen = set(reader.output_names)
    for layer, tensor in reader.layers.activated():
        name = names.get(id(tensor))
        if name is not None and name not in seen:
            seen.add(name)
            watched.append((name, layer, slice(0, tensor.size)))
    return watched


def _precision(reader):
    """The coarsest floating type among the graph's tensors."""
    from onnx import TensorProto

    kinds = {t.tensor_type.elem_type for t in reader.types.values()}
    if kinds & {TensorProto.FLOAT16, TensorProto.BFLOAT16}:
        return "float16"
    return "float32" if TensorProto.FLOAT in kinds else "float64"


def _input_dtype(reader, name):
    from onnx import helper

    return helper.tensor_dtype_to_np_dtype(
        reader.input_types[name].tensor_type.elem_type
    )


def _representable(reader, network, points):
    """Points rounded to the types of the inputs, within their range."""
    parts, start = [], 0
    for tensor in network.inputs:
        dtype = _input_dtype(reader, tensor.name)
        part = points[:, start : start + tensor.size]
        top = 0.5 * float(np.finfo(dtype).max)
        parts.append(np.clip(part, -top, top).astype(dtype).astype(float))
        start += tensor.size
    return np.hstack(parts)


def _feeds(reader, point):
    feeds, start = {}, 0
    for tensor in reader.inputs:
        shape = static_shape(reader.input_types[tensor.name])
        part = point[start : start + tensor.size].reshape(shape)
        feeds[tensor.name] = part.astype(_input_dtype(reader, tensor.name))
        start += tensor.size
    return feeds


class _Comparison:
    """Our values, their magnitudes and the rounding error to be expected."""

    def __init__(self, network, points, precision, name):
        self.name, self.points, self.precision = name, points, precision
        self.values = network.propagate(points)[0]
        magnitudes = _magnitudes(network, points)
        low = np.float16 if precision == "float16" else np.float32
        rounded = _rounded_values(network, points, low)
        ratio = float(np.finfo(precision).eps / np.finfo(low).eps)
        floor = float(np.finfo(precision).eps)
        inherited = _inherited(network, [floor * s for s in magnitudes])
        self.errors = []
        for v, r, s, e in zip(self.values, rounded, magnitudes, inherited):
            error = np.max(np.abs(v - r), axis=1)
            rates = error[s > 0] / s[s > 0]
            rate = float(np.max(rates[np.isfinite(rates)], initial=0.0))
            self.errors.append(rate * ratio * s + e)
        self.largest = np.max(magnitudes, axis=0)
        top = float(np.finfo(precision).max)
        self.usable = np.flatnonzero(self.largest < 0.25 * top)

    def require_range(self):
        """Raise if most points overflow the file's floating type."""
        if 4 * len(self.usable) < len(self.points):
            raise NetworkMismatchError(
                f"{self.name}: values exceed the range of {self.precision} at "
                f"{len(self.points) - len(self.usable)} of {len(self.points)} points, "
                "so that the network cannot be compared with onnxruntime. Its weights "
                "are damaged, or it must be exported in a wider type (float32)."
            )

    def require(self, name, layer, part, p, theirs):
        """Raise if tensor ``name`` differs from ours at point ``p``."""
        ours = self.values[layer][p, part]
        factor, relative = _ALLOWED[self.precision]
        tolerance = factor * self.errors[layer][p]
        tolerance += relative * np.max(np.abs(ours))
        theirs = theirs.astype(float)
        if theirs.shape != ours.shape:
            raise NetworkMismatchError(
                f"{self.name}: tensor '{name}' has {ours.size} entries here but "
                f"{theirs.size} in onnxruntime. Please report this with the file."
            )
        wrong = ~(np.abs(theirs - ours) <= tolerance)
        if not np.any(wrong):
            return
        i = int(np.argmax(wrong))
        raise NetworkMismatchError(
            f"{self.name}: tensor '{name}', entry {i}: the network read gives "
            f"{ours[i]:.9g}, onnxruntime {theirs[i]:.9g} (tolerance {tolerance:.2g}) at "
            f"the input {_short(self.points[p])}. Either the file's {self.precision} "
            "arithmetic overflows or cancels, then rescale the network or export it "
            "in float64; or an operator is read wrongly, then report it with the file."
        )


def _short(point, most=8):
    numbers = ", ".join(f"{x:.9g}" for x in point[:most])
    return f"[{numbers}{', ...' if len(point) > most else ''}]"


def _magnitudes(network, points):
    """max_i (|W| |t| + |b|)_i, one array over the points per layer."""
    pre, post = network.propagate(points)
    magnitudes = []
    for layer in network.layers:
        s = np.abs(layer.bias)[:, None]
        for (source, is_post), w in zip(layer.sources, layer.weights):
            t = points if source == INPUT else (post if is_post else pre)[source]
            s = s + abs(w) @ np.abs(t.T)
        s = np.broadcast_to(s, (layer.size, len(points)))
        magnitudes.append(np.max(s, axis=0))
    return magnitudes


def _inherited(network, own):
    """Errors that grow through the layers by each weight matrix's largest row norm."""
    result = []
    for layer, error in zip(network.layers, own):
        for (source, _), w in zip(layer.sources, layer.weights):
            if source != INPUT:
                squares = w.multiply(w) if sparse.issparse(w) else w * w
                gain = np.sqrt(np.max(squares.sum(axis=1)))
                error = error + gain * result[source]
        result.append(error)
    return result


def _rounded_values(network, points, dtype):
    """Pre-activations with weights and every layer's values rounded to ``dtype``."""
    with np.errstate(all="ignore"):
        pre, post = [], []
        for layer in network.layers:
            v = _cast(layer.bias, dtype)[:, None]
            for (source, is_post), w in zip(layer.sources, layer.weights):
                t = points if source == INPUT else (post if is_post else pre)[source]
                v = v + _cast(w, dtype) @ _cast(t, dtype).T
            v = np.broadcast_to(v, (layer.size, len(points)))
            pre.append(_cast(v.T, dtype))
            post.append(_cast(layer.activate(pre[-1]), dtype))
        return pre


def _cast(array, dtype):
    """Round to ``dtype``, kept in float32 (products in float16 are slow)."""
    if sparse.issparse(array):
        return sparse.csr_array(
            (_cast(array.data, dtype), array.indices, array.indptr), shape=array.shape
        )
    return np.asarray(array).astype(dtype).astype(np.float32)


# -- running the file --------------------------------------------------------------


def _runner(reader, names):
    """A function from feeds to the values of the named tensors."""
    import onnxruntime

    model = _runtime_model(reader, names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # else it rounds data to integers where weights are stored as integers
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    data = model.SerializeToString()
    providers = ["CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(data, options, providers=providers)
    except Exception:  # noqa: BLE001
        # some of its graph rewritings fail on legal models: once more without them
        options.graph_optimization_level = (
            onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        )
        try:
            session = onnxruntime.InferenceSession(data, options, providers=providers)
        except Exception as error:
            if any(text in str(error) for text in _NOT_AVAILABLE):
                return _reference_runner(reader, model, names)
            raise NetworkError(
                f"{reader.name}: onnxruntime refuses the model: "
                f"{' '.join(str(error).split())} Export the network again."
            ) from error

    def run(feeds):
        try:
            return session.run(names, feeds)
        except Exception as error:
            raise NetworkError(
                f"{reader.name}: onnxruntime cannot evaluate the model: "
                f"{' '.join(str(error).split())} Export the network again."
            ) from error

    return run


def _reference_runner(reader, model, names):
    from onnx.reference import ReferenceEvaluator

    def fail(error):
        raise NetworkError(
            f"{reader.name}: neither onnxruntime nor onnx can run the model "
            f"({' '.join(str(error).split())}), so that the network cannot be "
            "compared with it. Pass check=False to load_onnx and compare yourself."
        ) from error

    try:
        evaluator = ReferenceEvaluator(model)
    except Exception as error:  # noqa: BLE001
        fail(error)

    def run(feeds):
        try:
            with np.errstate(all="ignore"):
                return evaluator.run(names, feeds)
        except Exception as error:  # noqa: BLE001
            fail(error)

    return run


def _runtime_model(reader, names):
    """The part of the model that matters, with fixed shapes and wanted outputs."""
    from onnx import ModelProto

    model = ModelProto()
    low, high = _IR_VERSIONS
    model.ir_version = min(max(reader.model.ir_version, low), high)
    model.opset_import.extend(reader.model.opset_import)
    graph = model.graph
    graph.name = "network"
    graph.node.extend(reader.walked)
    for node in graph.node:
        node.name = ""  # onnxruntime refuses names that occur twice
    graph.initializer.extend(
        t for t in reader.graph.initializer if t.name in reader.needed_names
    )
    graph.initializer.extend(reader.inner_constants)
    graph.sparse_initializer.extend(
        t
        for t in reader.graph.sparse_initializer
        if t.values.name in reader.needed_names
    )
    for tensor in reader.inputs:
        graph.input.add(name=tensor.name, type=reader.input_types[tensor.name])
    for name in names:
        graph.output.add(name=name, type=reader.types[name])
    return model
