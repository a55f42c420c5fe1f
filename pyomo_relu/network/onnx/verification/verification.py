"""Comparing a network that was read with what the ONNX file computes.

The judge is onnxruntime, which runs the file (``onnx.runner``).  A comparison is never
skipped silently.
"""

import numpy as np
from scipy import sparse

from pyomo_relu.errors import NetworkMismatchError
from pyomo_relu.network.layer import INPUT
from pyomo_relu.network.onnx import budget
from pyomo_relu.network.onnx.nodes.evaluation import is_float, static_shape
from pyomo_relu.network.onnx.verification.points import probing_points
from pyomo_relu.network.onnx.verification.runner import runner

#: Per type: how many times the observed rounding error of the network evaluated in
#: that type is allowed, and the allowed error relative to the largest entry.
_ALLOWED = {"float16": (20.0, 1e-2), "float32": (50.0, 1e-5), "float64": (100.0, 1e-11)}


def verify(file, reader, network):
    """Raise unless the network reproduces the file.

    Compared are the outputs and those pre-activations that are tensors of the graph,
    at the points of :func:`~pyomo_relu.network.onnx.verification.points.probing_points`.

    Tolerance for a tensor v at a point: ``c (rho S + E) + e max|v|`` with c, e per
    type.  S = max_i (|W| |t| + |b|)_i is the magnitude of the tensor's last affine
    step, rho the largest error relative to S that evaluation in the file's precision
    is seen to make, and E the rounding errors eps S of all layers before, grown by the
    row norms of the weights.

    Parameters
    ----------
    file : OnnxFile
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
    precision = _precision(reader)
    points = representable(reader, network, probing_points(network))
    comparison = _Comparison(network, points, precision, reader.name)
    comparison.require_range()
    some = feeds(reader, points[comparison.usable[0]])
    run = runner(file, reader, [name for name, *_ in watched], some)
    for p in comparison.usable:
        budget.check_time(what=f"{reader.name}: the comparison with onnxruntime")
        values = run(feeds(reader, points[p]))
        for (name, layer, part), value in zip(watched, values, strict=True):
            comparison.require(name, layer, part, p, np.ravel(value))


def _watched(reader):
    """Tensors to compare: (name, layer, slice of the layer's entries)."""
    watched, start = [], 0
    last = len(reader.layers.layers) - 1
    for name, size in zip(reader.output_names, reader.output_sizes, strict=True):
        watched.append((name, last, slice(start, start + size)))
        start += size
    computed = reader.scope.computed()  # inside functions and branches is no output
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


def representable(reader, network, points):
    """Points rounded to the types of the inputs, within their range."""
    parts, start = [], 0
    for tensor in network.inputs:
        dtype = np.dtype(_input_dtype(reader, tensor.name))
        part = points[:, start : start + tensor.size]
        if is_float(dtype):
            top = 0.5 * float(np.finfo(dtype).max)
            part = np.clip(part, -top, top)
        else:
            low, high = (0, 1) if np.dtype(dtype) == np.bool_ else _integer_range(dtype)
            part = np.clip(np.rint(part), low, high)
        parts.append(part.astype(dtype).astype(float))
        start += tensor.size
    return np.hstack(parts)


def _integer_range(dtype):
    """Least and largest integer to try: those of the type that float32 knows exactly."""
    info, exact = np.iinfo(dtype), 2**24
    return max(info.min, -exact), min(info.max, exact)


def feeds(reader, point):
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
        for v, r, s, e in zip(self.values, rounded, magnitudes, inherited, strict=True):
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
    return [layer.magnitude(points, pre, post).max(axis=1) for layer in network.layers]


def _inherited(network, own):
    """Errors that grow through the layers by each weight matrix's largest row norm."""
    result = []
    for layer, error in zip(network.layers, own, strict=True):
        for (source, _), w in layer.terms:
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
            for source, w in layer.terms:
                t = source.of(points, pre, post)
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
