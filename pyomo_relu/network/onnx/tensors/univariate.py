"""Neurons that are functions of one scalar, replaced by their laws along it.

``sign(x) relu(|x| - 1)`` is continuous only because relu(|x| - 1) is a function of x;
here such neurons are recognised, and tensors are rewritten without them.
"""

import numpy as np
from scipy import sparse

from pyomo_relu.network.layer import INPUT
from pyomo_relu.network.onnx import budget
from pyomo_relu.network.onnx.tensors.multiples import (
    entrywise_abs,
    has_coefficients,
    multiple,
)
from pyomo_relu.network.onnx.tensors.piecewise_tensors import (
    MAX_BREAKS,
    PiecewiseTensor,
    affine,
    cells_of,
    union,
)
from pyomo_relu.network.onnx.tensors.tensors import AffineTensor, compact

#: Neurons of one layer in one entry, and layers one on top of the other.
_MOST_NEURONS, _MOST_LAYERS = 4, 6

#: Tensors that may be looked at to rewrite one; one of more entries counts as several.
_EFFORT, _ENTRIES = 500, 20_000


class Curve:
    """For each of n scalars v a continuous piecewise linear function of it.

    Parameters
    ----------
    breaks : numpy.ndarray, shape (K, n)
        Ascending; ``inf`` where a function has fewer.
    slope, level : numpy.ndarray, shape (K + 1, n)
        The function is ``slope v + level`` between two breaks.
    """

    def __init__(self, breaks, slope, level):
        self.breaks, self.slope, self.level = breaks, slope, level

    @classmethod
    def line(cls, slope, level):
        """The functions ``slope v + level``."""
        return cls(np.zeros((0, len(slope))), slope[None], level[None])

    def on(self, breaks):
        """Slopes and levels between further breaks, which hold all of its own."""
        index = np.array(list(cells_of(self.breaks, breaks))[::2]) // 2
        columns = np.arange(index.shape[1])
        return self.slope[index, columns], self.level[index, columns]

    def __add__(self, other):
        breaks = union(self.breaks, other.breaks)
        mine, theirs = self.on(breaks), other.on(breaks)
        return Curve(breaks, mine[0] + theirs[0], mine[1] + theirs[1])

    def scale(self, factor):
        """Each function times its own factor."""
        return Curve(self.breaks, factor * self.slope, factor * self.level)

    def crossings(self, value):
        """Points strictly inside a piece where a function equals ``value``, else inf.

        Returns
        -------
        numpy.ndarray, shape (K + 1, n)
        """
        with np.errstate(all="ignore"):
            roots = (value - self.level) / self.slope
        edge = np.full((1, self.breaks.shape[1]), np.inf)
        low, high = np.vstack([-edge, self.breaks]), np.vstack([self.breaks, edge])
        inside = (self.slope != 0) & (low < roots) & (roots < high)
        return np.where(inside, roots, np.inf)

    def activated(self, ceiling):
        """min(max(0, f), ceiling) of each function f."""
        roots = [self.crossings(0.0)]
        limited = ceiling is not None
        if limited:
            roots.append(self.crossings(ceiling))
        breaks = union(self.breaks, *roots)
        slope, level = self.on(breaks)
        inner = midpoints(breaks)
        value = slope * inner + level
        on = (value > 0) & ((value < ceiling) if limited else True)
        top = np.where(value > 0, ceiling, 0.0) if limited else 0.0
        return Curve(breaks, np.where(on, slope, 0.0), np.where(on, level, top))

    def at(self, v):
        """Values at the points ``v``, shape (m, n)."""
        index = np.array([np.sum(self.breaks <= row, axis=0) for row in v])
        columns = np.arange(index.shape[1])
        return self.slope[index, columns] * v + self.level[index, columns]


def midpoints(breaks):
    """A point inside each of the K + 1 intervals (the break itself for empty ones)."""
    k, n = breaks.shape
    if k == 0:
        return np.zeros((1, n))
    known = np.where(np.isinf(breaks), 0.0, breaks)
    low = np.vstack([known[:1] - 1.0 - np.abs(known[:1]), known])
    last = known + 1.0 + np.abs(known)
    high = np.vstack([known[:1], np.where(np.isinf(breaks[1:]), last[:-1], known[1:])])
    high = np.vstack([high, last[-1:]])
    return 0.5 * (low + high)


class Rewriting:
    """Rewrites piecewise tensors along the scalars that their neurons depend on.

    Parameters
    ----------
    builder : LayerBuilder
    tolerance : float
        Relative rounding error that coefficients may have.

    Notes
    -----
    The effort is limited (neurons may depend on a scalar in as many ways as a network
    has paths); what is not recognised within it counts as not depending on one scalar.
    """

    def __init__(self, builder, tolerance):
        self.builder, self.tolerance = builder, tolerance
        self._effort = _EFFORT

    def rewritten(self, tensor):
        """A piecewise tensor without neurons that are functions of its own scalars.

        The kinks of such neurons become thresholds.  None if there are too many.
        """
        base = expanded(tensor.base, self.builder)
        parts = [self._split(affine(c), base) for c in tensor.cells]
        breaks = union(tensor.breaks, *(curve.breaks for _, curve in parts))
        if len(breaks) > MAX_BREAKS:
            return None
        laws = [rest for rest, _ in parts]
        rests = PiecewiseTensor(base, tensor.breaks, laws, tensor.origins).on(breaks)
        curves = [curve.on(breaks) for _, curve in parts]
        columns = np.arange(tensor.size)
        cells = []
        for number, which in enumerate(cells_of(tensor.breaks, breaks)):
            interval = (number + 1) // 2
            slope = np.array([s[interval] for s, _ in curves])[which, columns]
            level = np.array([c[interval] for _, c in curves])[which, columns]
            law = affine(rests.cells[number])
            cells.append(law + base.scale(slope) + level.reshape(tensor.shape))
        return PiecewiseTensor(base, breaks, cells, tensor.origins)

    def rebased(self, tensor, scalars):
        """The tensor with thresholds on ``scalars``, of which its base is a function.

        None if the base is no such function.
        """
        scalars = expanded(scalars, self.builder)
        curve, known = self._curve(tensor.base, scalars, 0)
        if not np.all(known | ~has_coefficients(tensor.base)):
            return None
        roots = [curve.crossings(t) for t in tensor.breaks]
        breaks = union(curve.breaks, *roots)
        if len(breaks) > MAX_BREAKS:
            return None
        points = np.empty((2 * len(breaks) + 1, tensor.size))
        points[::2] = midpoints(breaks)
        points[1::2] = np.where(np.isinf(breaks), 0.0, breaks)
        values = curve.at(points)
        for t, root in zip(
            tensor.breaks, roots, strict=True
        ):  # a root hits t in spite of rounding
            for number in range(len(breaks)):
                exact = np.any(root == breaks[number], axis=0) & np.isfinite(t)
                values[2 * number + 1][exact] = t[exact]
        cells = []
        for row in values:
            after = np.sum(tensor.breaks <= row, axis=0)
            cells.append(tensor.law(after + np.sum(tensor.breaks < row, axis=0)))
        return PiecewiseTensor(scalars, breaks, cells, tensor.origins)

    def _curve(self, tensor, base, depth):
        """Each entry as a function of the entry of ``base``, and where it is one."""
        self._effort -= 1 + tensor.size // _ENTRIES
        tensor = expanded(tensor, self.builder)
        curve, known = self._line(tensor, base, entrywise_abs(tensor))
        rows = np.flatnonzero(~known)
        if len(rows) == 0 or depth > _MOST_LAYERS or self._effort < 0:
            return curve, known
        some, scalars = tensor.select(rows), base.select(rows)
        rest, bent = self._split(some, scalars, depth)
        line, straight = self._line(rest, scalars, entrywise_abs(some))
        known[rows] = straight
        return curve + _scattered(bent + line, rows, tensor.size), known

    def _line(self, tensor, base, sizes):
        slope, constant, fails, _ = multiple(tensor, base, sizes, self.tolerance)
        slope, constant = np.where(fails, 0.0, slope), np.where(fails, 0.0, constant)
        return Curve.line(slope, constant), ~fails

    def _split(self, tensor, base, depth=0):
        """``tensor = rest + f(base)``: f collects the neurons that depend on base."""
        tensor = expanded(tensor, self.builder)
        base = base.reshape((base.size,))
        terms = dict(tensor.terms)
        curve = Curve.line(np.zeros(tensor.size), np.zeros(tensor.size))
        for source in [s for s in sorted(terms) if s.layer != INPUT]:
            matrix = sparse.csr_array(terms[source], copy=True)
            matrix.eliminate_zeros()
            counts = np.diff(matrix.indptr)
            counts[counts > _MOST_NEURONS] = 0
            for j in range(int(counts.max(initial=0))):
                rows = np.flatnonzero(counts > j)
                places = matrix.indptr[rows] + j
                bent, known = self._neurons(
                    source.layer, matrix.indices[places], base.select(rows), depth
                )
                factor = np.where(known, matrix.data[places], 0.0)
                curve = curve + _scattered(bent.scale(factor), rows, tensor.size)
                matrix.data[places[known]] = 0.0
            matrix.eliminate_zeros()
            terms[source] = compact(matrix)
            if matrix.nnz == 0:
                del terms[source]
        return AffineTensor(tensor.shape, terms, tensor.offset), curve

    def _neurons(self, layer, neurons, base, depth):
        """Neurons of a layer as functions of ``base``, and which of them are."""
        inner, known = self._curve(_pre(self.builder, layer, neurons), base, depth + 1)
        ceiling = self.builder.layers[layer].ceiling
        return inner.activated(None if ceiling is None else ceiling[neurons]), known


def arguments_of(tensor, builder):
    """Scalars that an affine tensor may be a function of, the nearest first.

    The pre-activations of each entry's last neuron, then those of that one's, ...
    """
    for _ in range(_MOST_LAYERS):
        tensor = expanded(tensor, builder)
        sources = [s for s in sorted(tensor.terms) if s.layer != INPUT]
        inner = None
        for source in sources:  # later layers replace earlier ones
            matrix = sparse.csr_array(tensor.terms[source], copy=True)
            matrix.eliminate_zeros()
            rows = np.flatnonzero(np.diff(matrix.indptr) == 1)
            if len(rows) == 0:
                continue
            neurons = matrix.indices[matrix.indptr[rows]]
            part = _placed(_pre(builder, source.layer, neurons), rows, tensor.size)
            keep = np.ones(tensor.size)
            keep[rows] = 0.0
            inner = part if inner is None else inner.scale(keep) + part
        if inner is None:
            return
        tensor = inner.reshape(tensor.shape)
        yield tensor


def expanded(tensor, builder):
    """The tensor without pre-activations among its sources."""
    while True:
        inner = [s for s in tensor.terms if not s.post]
        if not inner:
            return tensor
        last = max(inner)
        terms = {s: m for s, m in tensor.terms.items() if s != last}
        rest = AffineTensor(tensor.shape, terms, tensor.offset)
        layer = builder.layers[last.layer]
        pre = AffineTensor(
            layer.bias.shape,
            dict(layer.terms),
            layer.bias,
        )
        tensor = rest + pre.map(tensor.terms[last], tensor.shape)


def _pre(builder, layer, neurons):
    layer = builder.layers[layer]
    terms = {s: w[neurons] for s, w in layer.terms}
    return AffineTensor((len(neurons),), terms, layer.bias[neurons])


def _placed(tensor, rows, size):
    """A flat tensor of ``size`` entries that holds ``tensor`` at ``rows``, else 0."""
    place = sparse.csr_array(
        (np.ones(len(rows)), (rows, np.arange(len(rows)))), shape=(size, len(rows))
    )
    return tensor.map(place, (size,))


def _scattered(curve, rows, size):
    budget.require(3 * len(curve.slope) * size, "the laws between thresholds, a total")
    breaks = np.full((len(curve.breaks), size), np.inf)
    slope, level = np.zeros((2, len(curve.slope), size))
    breaks[:, rows], slope[:, rows], level[:, rows] = (
        curve.breaks,
        curve.slope,
        curve.level,
    )
    return Curve(breaks, slope, level)
