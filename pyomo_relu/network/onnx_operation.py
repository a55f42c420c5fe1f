"""What an operator function receives: the node, and the means to add neurons."""

import numpy as np

from pyomo_relu.errors import NetworkError, UnsupportedOperatorError
from pyomo_relu.network import budget
from pyomo_relu.network.layer import Layer, Source
from pyomo_relu.network.onnx_constants import check_evaluation
from pyomo_relu.network.onnx_tensors import AffineTensor, compact, entries, stack

#: Pairs per second that numpy sorts and compares.
_SORTED = 1e6


class LayerBuilder:
    """Collects the layers of a network in graph order; equal ones are shared."""

    def __init__(self):
        self.layers = []
        self._known = {}

    def add(self, tensor, activation, ceiling, name):
        """Append a layer with pre-activation ``tensor``; return its position."""
        sources = sorted(tensor.terms)
        weights = [compact(tensor.terms[s]) for s in sources]
        for w in weights:
            budget.spend(entries(w), f"weights of layer '{name}', a matrix")
        self.layers.append(
            Layer(sources, weights, tensor.offset, activation, ceiling, name)
        )
        return len(self.layers) - 1

    def activate(self, tensor, ceiling, name):
        """Position of the layer that activates ``tensor``, added if it is new."""
        key = (id(tensor), None if ceiling is None else ceiling.tobytes())
        if key not in self._known:
            kind = "relu" if ceiling is None else "clipped"
            # the tensor is kept so that its id stays taken
            self._known[key] = (self.add(tensor, kind, ceiling, name), tensor)
        return self._known[key][0]

    def activated(self):
        """Pairs (position of a layer, tensor that it activates)."""
        return list(self._known.values())


class Operation:
    """One node of the graph in the hands of its operator function.

    Attributes
    ----------
    node : onnx.NodeProto
    op_type, name : str
    opset : int or None
        Version of the node's operator set.
    attributes : dict
        Attribute values with ONNX defaults filled in; strings decoded.
    shapes : dict of str to tuple
        Inferred static shapes of the node's outputs, by tensor name.
    """

    def __init__(self, reader, node, schema, shapes):
        self._reader = reader
        self.node = node
        self.op_type, self.name = node.op_type, node.name
        self.opset = reader.evaluator.version(node.domain)
        self.attributes = reader.evaluator.attributes(node, schema)
        self.shapes = shapes

    def attribute(self, name, default=None):
        """Value of an attribute, its ONNX default, or else ``default``."""
        return self.attributes.get(name, default)

    @property
    def shape(self):
        """Inferred shape of the first output, or None."""
        return self.shapes.get(self.node.output[0])

    def output_dtype(self):
        """The numpy dtype of the first output."""
        return self._dtype(self.node.output[0])

    def input_dtype(self, position):
        """The numpy dtype of the tensor at an input position."""
        return self._dtype(self.node.input[position])

    def _dtype(self, name):
        from onnx import helper

        kind = self._reader.types[name].tensor_type.elem_type
        return helper.tensor_dtype_to_np_dtype(kind)

    def input_name(self, position):
        """Name of the tensor at an input position."""
        return self.node.input[position]

    # -- activations ---------------------------------------------------------------

    def relu(self, tensor, name=None):
        """max(0, t) as a new ReLU layer."""
        if not isinstance(tensor, AffineTensor):
            return np.maximum(tensor, 0.0)
        k = self._reader.layers.activate(tensor, None, name or self._label())
        return AffineTensor.of_source(Source(k), tensor.shape)

    def relu_and_pre(self, tensor, name=None):
        """The pair (max(0, t), t) with t read from the layer's pre-activation."""
        post = self.relu(tensor, name)
        k = self._reader.layers.activate(tensor, None, "")
        return post, AffineTensor.of_source(Source(k, post=False), tensor.shape)

    def clip(self, tensor, lower=None, upper=None):
        """min(max(t, lower), upper) for numbers; None or infinite means no limit.

        With both limits one clipped layer: lower + min(max(0, t - lower), upper -
        lower).  As in ONNX the upper limit wins where the limits are reversed.
        """
        lower = None if lower is None or lower == -np.inf else float(lower)
        upper = None if upper is None or upper == np.inf else float(upper)
        if lower is None and upper is None:
            return tensor
        if upper is None:
            return lower + self.relu(_shifted(tensor, lower))
        if lower is None:
            return upper - self.relu(upper - tensor)
        if lower >= upper:
            return AffineTensor.constant(np.full(tensor.shape, upper))
        shifted = _shifted(tensor, lower)
        ceiling = np.full(tensor.size, upper - lower)
        k = self._reader.layers.activate(shifted, ceiling, self._label())
        return lower + AffineTensor.of_source(Source(k), tensor.shape)

    def maximum(self, a, b):
        """max(a, b) = b + max(0, a - b), broadcasting."""
        return b + self.relu(a - b)

    def minimum(self, a, b):
        """min(a, b) = b - max(0, b - a), broadcasting."""
        return b - self.relu(b - a)

    def largest(self, tensor, groups):
        """The largest entry of each group, by a tree of pairwise maxima.

        Parameters
        ----------
        tensor : AffineTensor
        groups : numpy.ndarray of int, shape (m, K)
            Flat positions of each group's entries; -1 where a group has fewer.

        Returns
        -------
        AffineTensor, shape (m,)

        Notes
        -----
        Each round halves the groups; a pair that occurs in several groups (as in
        overlapping pooling windows) is compared once.
        """
        groups = _packed(groups)
        if groups.size == 0 or np.any(groups[:, 0] < 0):
            raise NetworkError(
                "one of its windows holds nothing but padding, so that its maximum "
                "is minus infinity. Correct pads and strides."
            )
        pool = tensor.reshape((tensor.size,))
        while groups.shape[1] > 1:
            pool, groups = self._halve(pool, groups)
        return pool.select(groups[:, 0])

    def _halve(self, pool, groups):
        budget.check_time(groups.size, _SORTED)
        if groups.shape[1] % 2:
            groups = np.column_stack([groups, np.full(len(groups), -1)])
        pairs = np.sort(groups.reshape(len(groups), -1, 2), axis=2)
        first, second = pairs[..., 0], pairs[..., 1]
        both = (first >= 0) & (first != second)
        unique, which = np.unique(pairs[both], axis=0, return_inverse=True)
        result = np.where(second >= 0, second + len(unique), -1)
        if len(unique) == 0:
            return pool, np.where(second >= 0, second, -1)
        result[both] = which.reshape(-1)
        a, b = pool.select(unique[:, 0]), pool.select(unique[:, 1])
        return stack([self.maximum(a, b), pool]), _packed(result)

    def _label(self):
        data = (n for n in self.node.input if n and self._reader.is_affine(n))
        return next(data, self.node.output[0])

    # -- evaluation ----------------------------------------------------------------

    def evaluate(self, *arrays):
        """Outputs of this very node on arrays, by onnx's reference operator."""
        check_evaluation(self.node, self.shapes, arrays, self.attributes)
        return self._reader.evaluator.run(self.node, arrays)

    def constant(self, position, arguments, default=None):
        """The constant at an input position, or ``default`` if it is left out."""
        if position >= len(arguments) or arguments[position] is None:
            return default
        value = arguments[position]
        if isinstance(value, AffineTensor):
            self.refuse(
                f"its input '{self.input_name(position)}' depends on the network's "
                "inputs, where only a constant keeps the network piecewise linear."
            )
        return value

    def refuse(self, reason):
        """Raise UnsupportedOperatorError; the reader adds file, node and tensor."""
        raise UnsupportedOperatorError(reason)


def _shifted(tensor, lower):
    return tensor if lower == 0 else tensor - lower


def _packed(groups):
    """Move the -1 of each row to its end and drop columns of nothing else."""
    order = np.argsort(groups < 0, axis=1, kind="stable")
    groups = np.take_along_axis(groups, order, axis=1)
    return groups[:, : max(1, int(np.max(np.sum(groups >= 0, axis=1), initial=0)))]
