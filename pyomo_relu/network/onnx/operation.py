"""What an operator function receives: the node, and the means to add neurons."""

import numpy as np
from scipy import sparse

from pyomo_relu.common.powers import power_of_two
from pyomo_relu.errors import NetworkError, UnsupportedOperatorError
from pyomo_relu.network.layer import Source
from pyomo_relu.network.onnx import budget
from pyomo_relu.network.onnx.nodes.constants import check_evaluation
from pyomo_relu.network.onnx.nodes.messages import node_label, not_piecewise_linear
from pyomo_relu.network.onnx.tensors.piecewise_tensors import Origin
from pyomo_relu.network.onnx.tensors.tensors import (
    AffineTensor,
    stack,
)

#: Pairs per second that numpy sorts and compares.
_SORTED = 1e6

#: How many times a value what is added to it and taken off again may be: kinks of the
#: network up to FAR, where it has none up to NEAR (rounding moves the value by 1e-13).
NEAR, FAR = 2.0**10, 2.0**20

#: Exporters write the largest finite number of a type for "no limit" (here bfloat16's,
#: the least of those of eight exponent bits).
_NO_LIMIT = 3.38e38


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
        return self._reader.dtype(self.node.output[0])

    def input_dtype(self, position):
        """The numpy dtype of the tensor at an input position."""
        return self._reader.dtype(self.node.input[position])

    def input_name(self, position):
        """Name of the tensor at an input position."""
        return self.node.input[position]

    def size(self, tensor):
        """About how large each entry of an affine tensor is, shape (size,)."""
        return tensor.magnitude(self._reader.layers.size)

    def is_affine(self, name):
        """Whether the tensor depends on the network's inputs."""
        return self._reader.is_affine(name)

    def origin(self, tensor):
        """This node as the origin of a mask that compares ``tensor``."""
        return Origin(node_label(self.node), tensor)

    def float_dtype(self):
        """The coarsest floating type among the node's inputs and outputs."""
        names = (*self.node.input, *self.node.output)
        kinds = (self._reader.dtype(n) for n in names if n in self._reader.types)
        floats = [k for k in kinds if k in (np.float16, np.float32, np.float64)]
        return max(floats, key=lambda k: np.finfo(k).eps, default=np.float32)

    # -- activations ---------------------------------------------------------------

    def relu(self, tensor, name=None):
        """max(0, t) as a new ReLU layer."""
        if not isinstance(tensor, AffineTensor):
            return np.maximum(tensor, 0.0)
        k = self._reader.layers.activate(tensor, None, name or self.label())
        return AffineTensor.of_source(Source(k), tensor.shape)

    def relu_and_pre(self, tensor, name=None):
        """The pair (max(0, t), t) with t read from the layer's pre-activation."""
        post = self.relu(tensor, name)
        k = self._reader.layers.activate(tensor, None, "")
        return post, AffineTensor.of_source(Source(k, post=False), tensor.shape)

    def clip(self, tensor, lower=None, upper=None):
        """min(max(t, lower), upper); None or infinite means no limit.

        As in ONNX the upper limit wins where the limits are reversed.

        Parameters
        ----------
        tensor : AffineTensor or numpy.ndarray
        lower, upper : number or numpy.ndarray, optional
            One for all entries, or arrays that broadcast with the tensor.

        Notes
        -----
        With a shift s within the limits, one or two clipped neurons per entry::

            s + min(max(0, t - s), upper - s) - min(max(0, s - t), s - lower)

        ``t - s`` must not swamp t in floating point, nor give rows that a solver cannot
        resolve: s is a limit if one of them is near, else a number that t hardly passes
        (two neurons, usually stable).  A far limit is then a mere ceiling, which no row
        mentions unless it is reached.
        """
        lower = np.asarray(-np.inf if lower is None else lower, dtype=float)
        upper = np.asarray(np.inf if upper is None else upper, dtype=float)
        if np.any(np.isnan(lower)) or np.any(np.isnan(upper)):
            self.refuse("a limit is NaN. Export the network again.")
        if not isinstance(tensor, AffineTensor):
            return np.minimum(np.maximum(tensor, lower), upper)
        shape = np.broadcast_shapes(tensor.shape, lower.shape, upper.shape)
        tensor = tensor.broadcast_to(shape)
        lower, upper = (np.broadcast_to(a, shape).ravel() for a in (lower, upper))
        most = self._largest_number()
        lower = np.where(lower <= -most, -np.inf, np.minimum(lower, upper))
        upper = np.where(upper >= most, np.inf, upper)
        limited = ~(np.isneginf(lower) & np.isposinf(upper))
        if not limited.any():
            return tensor
        shift = np.where(limited, _shift(self.size(tensor), lower, upper), 0.0)
        moved = tensor - shift.reshape(shape) if shift.any() else tensor
        above = self._clipped(moved, limited & (shift < upper), upper - shift)
        below = self._clipped(-moved, limited & (shift > lower), shift - lower)
        result = AffineTensor.constant(shift.reshape(shape)) + above - below
        return result if limited.all() else result + tensor.scale(~limited)

    def _clipped(self, tensor, entries, ceiling):
        """min(max(0, t), ceiling) at the entries of a mask, 0 elsewhere."""
        at = np.flatnonzero(entries)
        if at.size == 0:
            return 0.0
        everywhere = at.size == tensor.size
        picked = tensor if everywhere else tensor.select(at)
        ceiling = None if np.all(np.isinf(ceiling[at])) else ceiling[at]
        k = self._reader.layers.activate(picked, ceiling, self.label())
        part = AffineTensor.of_source(Source(k), picked.shape)
        if everywhere:
            return part
        ones, shape = np.ones(at.size), (tensor.size, at.size)
        scatter = sparse.csr_array((ones, (at, np.arange(at.size))), shape=shape)
        return part.map(scatter, tensor.shape)

    def _largest_number(self):
        """The largest finite number of the output's type; exporters' "no limit"."""
        if self.node.output[0] not in self._reader.types:
            return _NO_LIMIT
        dtype = self.output_dtype()
        return 65504.0 if dtype == np.float16 else _NO_LIMIT

    def maximum(self, a, b):
        """max(a, b), broadcasting: b + max(0, a - b), or a clip if one is constant."""
        a, b = _constant_or_affine(a), _constant_or_affine(b)
        if not isinstance(b, AffineTensor):
            return self.clip(a, lower=b)
        if not isinstance(a, AffineTensor):
            return self.clip(b, lower=a)
        shape = np.broadcast_shapes(a.shape, b.shape)
        a, b = a.broadcast_to(shape), b.broadcast_to(shape)
        # the one that swamps the other must not be what the difference is added to
        far = np.abs(b.offset) > FAR * self.size(a)
        if far.any():
            both, at = stack([a, b]), np.arange(a.size)
            a, b = (
                both.select(np.where(far == first, at, at + a.size)).reshape(shape)
                for first in (False, True)
            )
        return b + self.relu(a - b)

    def minimum(self, a, b):
        """min(a, b), broadcasting."""
        return -self.maximum(_negative(a), _negative(b))

    def in_order(self, a, b):
        """The pair (min(a, b), max(a, b)) for one neuron max(0, a - b)."""
        above = self.relu(a - b)
        return a - above, b + above

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
        overlapping pooling windows) is compared once.  Constants of a group are a lower
        limit of what the others give.
        """
        groups = _packed(groups)
        if groups.size == 0 or np.any(groups[:, 0] < 0):
            raise NetworkError(
                "one of its windows holds nothing but padding, so that its maximum "
                "is minus infinity. Correct pads and strides."
            )
        groups, limits = _without_constants(tensor, groups)
        pool = tensor.reshape((tensor.size,))
        while groups.shape[1] > 1:
            pool, groups = self._halve(pool, groups)
        return self.clip(pool.select(groups[:, 0]), lower=limits)

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

    def label(self):
        """Name for the layers that this node adds."""
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

    def refuse_unread(self):
        """Refuse the node for want of a piecewise linear reading."""
        data = next(n for n in self.node.input if n and self.is_affine(n))
        self.refuse(not_piecewise_linear(self.node, data))

    def refuse(self, reason):
        """Raise UnsupportedOperatorError; the reader adds file, node and tensor."""
        raise UnsupportedOperatorError(reason)


def _shift(size, lower, upper):
    """A number per entry within its limits, small beside what the entry may be."""
    near = power_of_two(size, up=True)
    kink = FAR * near
    elsewhere = np.where(upper <= kink, upper, -NEAR * near)
    return np.where(lower >= -kink, lower, elsewhere)


def _constant_or_affine(value):
    """A tensor without terms as the array that it is."""
    if isinstance(value, AffineTensor):
        return value if value.terms else value.offset.reshape(value.shape)
    return np.asarray(value, dtype=float)


def _negative(value):
    return -value if isinstance(value, AffineTensor) else np.negative(value)


def _without_constants(tensor, groups):
    """Groups without their constant entries, and the largest of these per group.

    A group of nothing but constants keeps its largest one.
    """
    limits = np.full(len(groups), -np.inf)
    constant = tensor.is_constant()
    if groups.shape[1] == 1 or not constant.any():
        return groups, limits
    here = (groups >= 0) & constant[groups]
    values = np.where(here, tensor.offset[groups], -np.inf)
    alone = np.all(here | (groups < 0), axis=1)
    limits[~alone] = values[~alone].max(axis=1)
    first = np.where(alone, groups[np.arange(len(groups)), values.argmax(axis=1)], -1)
    rest = np.where(here | alone[:, None], -1, groups)
    return _packed(np.column_stack([first, rest])), limits


def _packed(groups):
    """Move the -1 of each row to its end and drop columns of nothing else."""
    order = np.argsort(groups < 0, axis=1, kind="stable")
    groups = np.take_along_axis(groups, order, axis=1)
    return groups[:, : max(1, int(np.max(np.sum(groups >= 0, axis=1), initial=0)))]
