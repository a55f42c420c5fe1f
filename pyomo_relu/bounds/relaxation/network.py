"""Networks' relaxations and MILPs as linear models.

An unstable ReLU neuron with ``L <= v <= U`` is split as ``v = x - s`` with ``x, s >= 0``
(Grimstad and Andersson 2019, arXiv 1907.03140).  Its convex hull, the triangle
``x >= 0, x >= v, x <= U (v - L) / (U - L)``, is then the single row
``x / U + s / (-L) <= 1``: two columns and two rows per neuron.

Every row is valid in exact arithmetic: coefficients are the network's own numbers, and
where a quotient must be rounded it is rounded so that the row only gets weaker.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from pyomo_relu.bounds.relaxation.bigm_rows import add_big_m
from pyomo_relu.errors import BoundsError
from pyomo_relu.linear.model import ModelBuilder
from pyomo_relu.linear.rounding import down, inward, up, wide_enough
from pyomo_relu.network.layer import INPUT


@dataclass
class NetworkColumns:
    """Where a network's tensors are among a model's columns; -1 means constant zero.

    ``pre[k]`` is None where no layer reads the pre-activation of layer k.  Indicators
    ``z[k]`` and ``q[k]`` (see ``bigm_rows``) are those of layers modelled by big-M.
    """

    inputs: np.ndarray
    pre: dict = field(default_factory=dict)
    post: dict = field(default_factory=dict)
    z: dict = field(default_factory=dict)
    q: dict = field(default_factory=dict)

    def of(self, source):
        """Columns of what a layer reads."""
        return source.of(self.inputs, self.pre, self.post)

    def shifted(self, first, shift):
        """The same with columns from ``first`` on moved by ``shift``."""

        def moved(at):
            return at if at is None else np.where(at >= first, at + shift, at)

        each = (self.pre, self.post, self.z, self.q)
        tensors = ({k: moved(at) for k, at in part.items()} for part in each)
        return NetworkColumns(moved(self.inputs), *tensors)


def ancestors(network, layer):
    """Layers that layer ``layer`` depends on, in graph order, without itself."""
    needed, stack = set(), [layer]
    while stack:
        for source, _ in network.layers[stack.pop()].sources:
            if source != INPUT and source not in needed:
                needed.add(source)
                stack.append(source)
    return sorted(needed)


def add_network(builder, network, bounds, input_columns, layers, window=None):
    """Add the relaxation of ``layers`` (graph order) to the builder.

    Parameters
    ----------
    bounds : NeuronBounds
        Must be finite on the layers added.
    input_columns : numpy.ndarray of int, shape (n_inputs,)
    layers : sequence of int
        Activation layers, closed under ancestors unless ``window`` is given.
    window : (set of int, set of int), optional
        Layers modelled exactly with binaries, and layers of which only the box of the
        values is kept (their defining rows are left out).

    Returns
    -------
    NetworkColumns
    """
    exact, boxed = window if window is not None else (set(), set())
    read_pre = {
        s.layer for layer in network.layers for s in layer.sources if not s.post
    }
    columns = NetworkColumns(np.asarray(input_columns))
    for k in layers:
        lower, upper = bounds.lower[k], bounds.upper[k]
        if not (np.all(np.isfinite(lower)) and np.all(np.isfinite(upper))):
            raise BoundsError(
                f"{network.name}: layer {k} ('{network.layers[k].name}') has infinite "
                "bounds; give every input finite bounds first."
            )
        part = _LayerPart(builder, network, bounds, columns, k, k not in boxed)
        part.add(k in read_pre, k in exact)
    return columns


class _LayerPart:
    """Adds one layer's columns and rows."""

    def __init__(self, builder, network, bounds, columns, k, defined):
        self.builder, self.network, self.columns = builder, network, columns
        self.k, self.defined, self.layer = k, defined, network.layers[k]
        self.lower, self.upper = bounds.lower[k], bounds.upper[k]
        self.bounds = bounds
        self.ceiling = self.layer.ceilings

    def add(self, with_pre, exact):
        bounds, k, size = self.bounds, self.k, self.layer.size
        active = np.flatnonzero(bounds.active(k))
        unstable = bounds.unstable(k)
        clipped = unstable & (self.upper > self.ceiling)
        plain = np.flatnonzero(unstable & ~clipped)
        clipped = np.flatnonzero(clipped)
        fixed = np.flatnonzero(bounds.at_ceiling(k))
        post = self.columns.post[k] = np.full(size, -1)
        if exact:
            self.columns.z[k], self.columns.q[k] = np.full((2, size), -1)
        # A fixed column instead of a constant on the right: no sum to be rounded.
        post[fixed] = self.builder.add_columns(self.ceiling[fixed], self.ceiling[fixed])
        if with_pre:
            pre = self.builder.add_columns(*self._ends(slice(None), exact))
            self.columns.pre[k] = pre
            self._define(np.arange(size), [(pre, 1.0)])
            post[active] = self._box(active, exact)
            self.builder.add_rows(
                [(post[active], 1.0), (pre[active], -1.0)],
                np.zeros(active.size),
                np.zeros(active.size),
            )
            self._triangle_on_pre(plain, pre[plain], exact)
            self._clipped(clipped, pre[clipped], exact)
            return
        self.columns.pre[k] = None
        post[active] = self._box(active, exact)
        self._define(active, [(post[active], 1.0)])
        if not self.defined:
            free = np.flatnonzero(unstable)
            lo, hi = bounds.post_bounds(k)
            post[free] = self.builder.add_columns(lo[free], hi[free])
            return
        self._split(plain, exact)
        pre = self.builder.add_columns(*self._ends(clipped, exact))
        self._define(clipped, [(pre, 1.0)])
        self._clipped(clipped, pre, exact)

    def _ends(self, neurons, exact):
        """Bounds of pre-activations; in MILPs of columns that solvers do not fix."""
        ends = self.lower[neurons], self.upper[neurons]
        return wide_enough(*ends) if exact else ends

    def _box(self, neurons, exact):
        return self.builder.add_columns(*self._ends(neurons, exact))

    def _define(self, neurons, left):
        if self.defined and neurons.size:
            blocks = [(c, -m) for c, m in affine(self.layer, self.columns, neurons)]
            bias = self.layer.bias[neurons]
            self.builder.add_rows(left + blocks, bias, bias)

    def _split(self, i, exact):
        """v = x - s with x / U + s / (-L) <= 1, or x <= U z, s <= -L (1 - z)."""
        lo, hi, b = self.lower[i], self.upper[i], self.builder
        zero = np.zeros(i.size)
        ends = self._ends(i, exact)
        x, s = b.add_columns(zero, ends[1]), b.add_columns(zero, -ends[0])
        self.columns.post[self.k][i] = x
        self._define(i, [(x, 1.0), (s, -1.0)])
        none = np.full(i.size, -np.inf)
        if exact:
            z = b.add_columns(zero, zero + 1.0, integer=True)
            self.columns.z[self.k][i] = z
            b.add_rows([(x, 1.0), (z, -hi)], none, zero)
            b.add_rows([(s, 1.0), (z, -lo)], none, -lo)
            return
        # Times the larger of U and -L: one coefficient is a quotient (rounded down,
        # its column is nonnegative), the other is 1 and the right-hand side exact.
        larger = np.maximum(hi, -lo)
        quotient = inward(np.minimum(hi, -lo) / larger)
        wide = hi >= -lo
        b.add_rows(
            [(x, np.where(wide, quotient, 1.0)), (s, np.where(wide, 1.0, quotient))],
            none,
            np.where(wide, -lo, hi),
        )

    def _big_m(self, i, v, x):
        ends = self.lower[i], self.upper[i], self.ceiling[i]
        z, q = add_big_m(self.builder, [(v, 1.0)], x, *ends, integer=True)
        self.columns.z[self.k][i], self.columns.q[self.k][i] = z, q

    def _triangle_on_pre(self, i, v, exact):
        lo, hi, b = self.lower[i], self.upper[i], self.builder
        zero, none = np.zeros(i.size), np.full(i.size, -np.inf)
        x = b.add_columns(zero, self._ends(i, exact)[1])
        self.columns.post[self.k][i] = x
        if exact:
            self._big_m(i, v, x)
            return
        b.add_rows([(v, 1.0), (x, -1.0)], none, zero)
        # (U - L) x <= U (v - L): the coefficient of x >= 0 is rounded down.
        width = inward(hi - lo)
        b.add_rows([(x, width), (v, -hi)], none, up(-hi * lo))

    def _clipped(self, i, v, exact):
        """min(max(0, v), c) with U > c: the hull's two rows, or the exact rows."""
        lo, hi, c, b = self.lower[i], self.upper[i], self.ceiling[i], self.builder
        x = b.add_columns(np.maximum(lo, 0.0), c)
        self.columns.post[self.k][i] = x
        if exact:
            self._big_m(i, v, x)
            return
        none, crosses = np.full(i.size, -np.inf), lo < 0
        # Above: (c - L) x <= c (v - L) if L < 0, else x <= v.
        left = np.where(crosses, inward(c - lo), 1.0)
        right = np.where(crosses, -c, -1.0)
        above = np.where(crosses, up(-c * lo), 0.0)
        b.add_rows([(x, left), (v, right)], none, above)
        # Below: U x >= c v if L < 0, else (U - L) x >= (c - L) v + L (U - c).
        left = np.where(crosses, -hi, -up(hi - lo))
        right = np.where(crosses, c, inward(c - lo))
        offset = down(lo * inward(hi - c))
        b.add_rows([(x, left), (v, right)], none, np.where(crosses, 0.0, -offset))


def add_big_m_network(builder, bounds, inputs, outputs, from_below=None):
    """Add a whole network's big-M relaxation, with columns of pre-activations.

    Parameters
    ----------
    bounds : NeuronBounds
        Finite.
    inputs, outputs : numpy.ndarray of int
        Columns of the builder.
    from_below : dict of int to numpy.ndarray of bool, optional
        By layer, unstable neurons without a ceiling in reach of which only ``x >= v``
        and ``x >= 0`` are written; see ``convex_neurons``.

    Returns
    -------
    NetworkColumns
        Indicators are continuous columns.
    """
    columns = NetworkColumns(np.asarray(inputs))
    for k, layer in enumerate(bounds.network.layers):
        lower, upper = bounds.lower[k], bounds.upper[k]
        last = layer.activation == "identity"
        v = outputs if last else builder.add_columns(*wide_enough(lower, upper))
        blocks = [(c, -w) for c, w in affine(layer, columns, slice(None))]
        builder.add_rows([(v, 1.0), *blocks], layer.bias, layer.bias)
        if last:
            return columns
        least, most = bounds.post_bounds(k)
        x = builder.add_columns(least, wide_enough(least, most)[1])
        columns.pre[k], columns.post[k] = v, x
        i = np.flatnonzero(bounds.active(k))
        builder.add_rows([(x[i], 1.0), (v[i], -1.0)], *np.zeros((2, i.size)))
        unstable = bounds.unstable(k)
        if from_below is not None:
            i, unstable = np.flatnonzero(from_below[k]), unstable & ~from_below[k]
            none = np.full(i.size, -np.inf)
            builder.add_rows([(v[i], 1.0), (x[i], -1.0)], none, np.zeros(i.size))
        i = np.flatnonzero(unstable)
        columns.z[k], columns.q[k] = np.full((2, layer.size), -1)
        columns.z[k][i], columns.q[k][i] = add_big_m(
            builder, [(v[i], 1.0)], x[i], lower[i], upper[i], layer.ceilings[i]
        )


def affine(layer, columns, neurons):
    """Blocks (columns, matrix) of ``W x`` of a layer's ``neurons``, without the bias."""
    blocks = []
    for source, w in layer.terms:
        at = columns.of(source)
        present = np.flatnonzero(at >= 0)
        w = w[neurons]
        w = w[:, present] if present.size < at.size else w
        blocks.append((at[present], w))
    return blocks


def affine_costs(layer, columns, neurons, n_columns):
    """``W x`` of a layer's ``neurons`` as rows over all columns, csr (neurons, n)."""
    row, col, data = [], [], []
    for at, w in affine(layer, columns, neurons):
        coo = sparse.coo_array(w)
        row.append(coo.row)
        col.append(at[coo.col])
        data.append(coo.data)
    if not row:
        return sparse.csr_array((len(neurons), n_columns))
    row, col, data = (np.concatenate(a) for a in (row, col, data))
    return sparse.csr_array((data, (row, col)), shape=(len(neurons), n_columns))


def relax_layer(network, bounds, layer):
    """The relaxation of everything that layer ``layer`` depends on.

    Returns
    -------
    model : LinearModel
    columns : NetworkColumns
    """
    builder = ModelBuilder()
    inputs = builder.add_columns(bounds.input_lower, bounds.input_upper)
    columns = add_network(builder, network, bounds, inputs, ancestors(network, layer))
    return builder.build(), columns


def relax_window(network, bounds, layer, window):
    """The MILP of the last ``window`` layers before layer ``layer``.

    Layers within ``window`` steps (longest path) are exact, with a binary per unstable
    neuron; of the layers that those read, only the box of values is kept (rolling
    window, Zhao et al. 2024, arXiv 2401.05280).  A window of the network's depth gives
    the exact range.

    Returns
    -------
    model : LinearModel
    columns : NetworkColumns
    """
    before = ancestors(network, layer)
    distance = {layer: 0}
    for k in [layer, *reversed(before)]:
        for source, _ in network.layers[k].sources:
            if source != INPUT:
                distance[source] = max(distance.get(source, 0), distance[k] + 1)
    exact = {k for k in before if distance[k] <= window}
    read = {
        source
        for k in exact | {layer}
        for source, _ in network.layers[k].sources
        if source != INPUT
    }
    boxed = read - exact
    builder = ModelBuilder()
    inputs = builder.add_columns(bounds.input_lower, bounds.input_upper)
    columns = add_network(
        builder, network, bounds, inputs, sorted(exact | boxed), (exact, boxed)
    )
    return builder.build(), columns
