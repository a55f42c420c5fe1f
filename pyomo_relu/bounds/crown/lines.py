"""One layer over boxes: intervals through its affine map, lines of its activation."""

from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import sparse

from pyomo_relu.common.matrices import dense, slices
from pyomo_relu.linear.rounding import TINY, UNIT, slack
from pyomo_relu.network.layer import INPUT

#: Sparse weights with at most this many entries are handled as dense ones.
_DENSE_ENTRIES = 1 << 16

#: Entries of a temporary array in the correction of paired sources.
_CHUNK = 1 << 21

#: A few roundings up or down, of a line's slope or constant.
_UP = 1.0 + 16 * UNIT
_DOWN = 1.0 - 16 * UNIT


class AffineMap:
    """One layer's ``v = sum_s W_s t_s + b``, with what interval arithmetic needs.

    Parameters
    ----------
    network : Network
    k : int
        Position of the layer.
    error : numpy.ndarray, shape (size,), optional
        How far v may be from the affine map, rounding apart (``folding``).

    Attributes
    ----------
    weights : list of numpy.ndarray or scipy.sparse.csr_array
        As the layer's, small sparse matrices made dense.
    terms : int
        A bound on the number of terms that a row sums: products, sources and bias.
    """

    def __init__(self, network, k, error=None):
        layer = network.layers[k]
        self.error = np.zeros(layer.size) if error is None else error
        self.layer = layer
        self.sources = layer.sources
        self.bias = layer.bias
        self.size = layer.size
        self.weights = [_maybe_dense(w) for w in layer.weights]
        terms = [_row_terms(w) for w in self.weights]
        self.pairs = self._find_pairs(network)
        # Splitting a pair sums up to three times its scale (a v+, b v-, overlap).
        in_pairs = sum(terms[i] + terms[j] + 16 for i, j in self.pairs)
        self.terms = 1 + len(terms) + sum(terms) + in_pairs

    def _find_pairs(self, network):
        """Positions (pre, post) of sources that are one plain ReLU layer's both."""
        at = {source: i for i, source in enumerate(self.sources)}
        return [
            (at[layer, False], i)
            for (layer, post), i in at.items()
            if post and (layer, False) in at and network.layers[layer].ceiling is None
        ]

    def on(self, boxes):
        """The map on some of the boxes of a batch."""
        return self

    @cached_property
    def abs_weights(self):
        """|W_s| of each source."""
        return [abs(w) for w in self.weights]

    def _of_one_sign(self, tensors, sign, rows):
        """Rows whose terms all are at least zero (sign 1) or at most zero (-1), (B, rows).

        So are then the sums, in exact and in float64 arithmetic (``linear.rounding``).
        """
        against = np.zeros((tensors.batch, rows.size))
        paired = {i for pair in self.pairs for i in pair}
        for i, source in enumerate(self.sources):
            if i in paired:
                continue
            lo, hi = tensors[source]
            w = sign * self.weights[i][..., rows, :]
            against += times((lo < 0).astype(float), (w > 0).astype(float))
            against += times((hi > 0).astype(float), (w < 0).astype(float))
        for (i, _), pair in zip(self.pairs, self.pair_terms, strict=True):
            lo, hi = tensors[self.sources[i]]
            above, below = pair.against(sign, rows, slack(self.terms))
            against += times((hi > 0).astype(float), above)
            against += times((lo < 0).astype(float), below)
        return (against == 0) & (sign * self.bias[..., rows] >= 0)

    def _keep_signs(self, tensors, lower, upper, error):
        """Take back what rounding outward by ``error`` moved across a sum's sign.

        A needless 1e-14 below zero would be a binary, and coefficients of that size.
        """
        # A sum of one sign is moved by its own rounding and the error, no further.
        for sign, ends in ((1.0, lower), (-1.0, upper)):
            moved = (sign * ends < 0) & (sign * ends >= -3.0 * error)
            rows = np.flatnonzero(moved.any(axis=0))
            if rows.size:
                kept = self._of_one_sign(tensors, sign, rows) & moved[:, rows]
                ends[:, rows] = np.where(kept, 0.0, ends[:, rows])

    @cached_property
    def pair_terms(self):
        """Per pair: coefficients of max(0, v), of max(0, -v), and their overlap."""
        return [_PairedWeights(self.weights[i], self.weights[j]) for i, j in self.pairs]

    def interval(self, tensors):
        """Interval arithmetic through this map, rounded outward.

        A source range is split as ``v = max(0, v) - max(0, -v)`` where the layer reads
        both v and max(0, v); leaky ReLUs and absolute values lose nothing.

        Parameters
        ----------
        tensors : TensorRanges
            Ranges of everything earlier.

        Returns
        -------
        lower, upper, scale : numpy.ndarray, shapes (B, size)
            ``scale`` bounds ``sum_s |W_s| |t_s| + |b|`` up to rounding.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            shape = tensors.batch, self.size
            mid = np.array(np.broadcast_to(self.bias, shape))
            scale = np.abs(mid)
            radius = np.zeros_like(mid)
            paired = {i for pair in self.pairs for i in pair}
            for i, source in enumerate(self.sources):
                lo, hi = tensors[source]
                size = np.maximum(np.abs(lo), np.abs(hi))
                if i in paired:
                    scale += times(size, self.abs_weights[i])
                    continue
                c, r = _centre_radius(lo, hi)
                mid += times(c, self.weights[i])
                both = times(np.concatenate([r, size]), self.abs_weights[i])
                radius += both[: tensors.batch]
                scale += both[tensors.batch :]
            cut_lo = cut_hi = 0.0
            for (i, _), pair in zip(self.pairs, self.pair_terms, strict=True):
                lo, hi = tensors[self.sources[i]]
                c, r, less_lo, less_hi = pair.centre_radius(lo, hi)
                mid, radius = mid + c, radius + r
                cut_lo, cut_hi = cut_lo + less_lo, cut_hi + less_hi
            error = slack(self.terms) * scale + TINY
            radius += error
            lower = mid - radius + cut_lo
            upper = mid + radius - cut_hi
            self._keep_signs(tensors, lower, upper, error)
            lower -= self.error
            upper += self.error
        # Overflow proves nothing.
        lower[~np.isfinite(lower)] = -np.inf
        upper[~np.isfinite(upper)] = np.inf
        return lower, upper, scale


class _PairedWeights:
    """``W_pre v + W_post max(0, v)`` as ``a v+ + b v-``, v+ and v- nonnegative.

    Only one of v+ = max(0, v) and v- = max(0, -v) is positive.  Where a and b have one
    sign, the sum of both terms' extremes is too wide by the lesser of the two.
    """

    def __init__(self, w_pre, w_post):
        a, b = w_pre + w_post, -w_pre
        if sparse.issparse(a) != sparse.issparse(b):
            a, b = dense(a), dense(b)
        self.a, self.b = a, b
        self.abs_a, self.abs_b = abs(a), abs(b)
        self.size = abs(w_pre) + abs(w_post)
        rows, self.columns, self.a_entries, self.b_entries = _same_sign(a, b)
        entries = np.arange(rows.size)
        positive = self.a_entries > 0
        shape = (a.shape[0], rows.size)
        self.sum_upper, self.sum_lower = (
            sparse.csr_array((sign.astype(float), (rows, entries)), shape=shape)
            for sign in (positive, ~positive)
        )

    def against(self, sign, rows, least):
        """Where the terms of v+ and of v- may not be of a sign, as 0 and 1, (rows, q).

        Of one sign counts ``a v+`` only if ``|a|`` is more than twice ``least`` of what
        it is the sum of: evaluation sums its two products apart.
        """
        a, b, size = sign * self.a[rows], sign * self.b[rows], self.size[rows]
        above = (2.0 * least * size - a) > 0
        return above.astype(float), (b < 0).astype(float)

    def centre_radius(self, lo, hi):
        """Centre, radius and what lower and upper may be moved inward by."""
        c, r = _centre_radius(np.maximum(0.0, lo), np.maximum(0.0, hi))
        mid, radius = times(c, self.a), times(r, self.abs_a)
        c, r = _centre_radius(np.maximum(0.0, -hi), np.maximum(0.0, -lo))
        mid, radius = mid + times(c, self.b), radius + times(r, self.abs_b)
        cut_lo, cut_hi = np.zeros_like(mid), np.zeros_like(mid)
        if self.columns.size:
            for part in slices(len(lo), _CHUNK // self.columns.size):
                both = np.minimum(
                    np.abs(self.a_entries) * np.maximum(0.0, hi[part])[:, self.columns],
                    np.abs(self.b_entries)
                    * np.maximum(0.0, -lo[part])[:, self.columns],
                )
                cut_lo[part] = times(both, self.sum_lower)
                cut_hi[part] = times(both, self.sum_upper)
        return mid, radius, cut_lo, cut_hi


class TensorRanges:
    """Ranges of the inputs and of the layers bounded so far, by ``Source``."""

    def __init__(self, network, lower, upper):
        self.network = network
        self.batch = len(lower)
        self.box = lower, upper
        self.lowers, self.uppers = [], []

    def append(self, lower, upper):
        """Add the pre-activation bounds of the next layer, shapes (B, size)."""
        self.lowers.append(lower)
        self.uppers.append(upper)

    def __getitem__(self, source):
        layer, post = source
        if layer == INPUT:
            return self.box
        lower, upper = self.lowers[layer], self.uppers[layer]
        if not post:
            return lower, upper
        activate = self.network.layers[layer].activate
        return activate(lower), activate(upper)


def _same_sign(a, b):
    """Rows, columns and both values of the entries where a and b have one sign."""
    if not sparse.issparse(a):
        rows, columns = np.nonzero(np.sign(a) * np.sign(b) > 0)
        return rows, columns, a[rows, columns], b[rows, columns]
    same = sparse.csr_array(a.sign().multiply(b.sign()))
    same.data = np.maximum(same.data, 0.0)
    same.eliminate_zeros()
    picked = [sparse.csr_array(same.multiply(m)) for m in (a, b)]
    for m in picked:
        m.sort_indices()
    where = picked[0].tocoo()
    return where.row, where.col, picked[0].data, picked[1].data


def affine_maps(network, errors=None):
    """The affine maps of all layers, in graph order."""
    errors = [None] * len(network.layers) if errors is None else errors
    return [AffineMap(network, k, error) for k, error in enumerate(errors)]


def times(rows, matrix):
    """``rows @ matrix.T`` for dense rows and a dense or sparse matrix.

    Where each box has a matrix of its own, shape (B, m, q), rows of all boxes follow each
    other, perhaps several times: shape (g B, q) to (g B, m).
    """
    if sparse.issparse(matrix):
        return (matrix @ rows.T).T
    if matrix.ndim == 3:
        of_boxes = rows.reshape(-1, len(matrix), rows.shape[1]).transpose(1, 2, 0)
        found = np.matmul(matrix, of_boxes)
        return found.transpose(2, 0, 1).reshape(len(rows), -1)
    return rows @ matrix.T


def _centre_radius(lo, hi):
    centre = 0.5 * lo + 0.5 * hi
    return centre, np.maximum(hi - centre, centre - lo)


def _maybe_dense(w):
    if sparse.issparse(w) and w.shape[0] * w.shape[1] <= _DENSE_ENTRIES:
        return w.toarray()
    return w


def _row_terms(w):
    if sparse.issparse(w):
        return int(np.diff(w.indptr).max(initial=0))
    return w.shape[1]


class ActivationLines(NamedTuple):
    """``low_slope v + low_const <= x <= high_slope v + high_const`` on [L, U].

    Arrays of shape (B, size); slopes lie in [0, 1].  ``x = max(0, v)``, cut at the
    ceiling where there is one.  The lines hold as float numbers: constants are rounded
    outward.  Where ``free_slope > 0`` any lower slope in [0, free_slope] through the
    origin is sound.
    """

    low_slope: np.ndarray
    low_const: np.ndarray
    high_slope: np.ndarray
    high_const: np.ndarray
    free_slope: np.ndarray


def activation_lines(layer, lower, upper):
    """Adaptive lines of a layer's activation on pre-activation bounds.

    An unstable ReLU lies below the chord ``U (v - L) / (U - L)`` and above ``a v`` for
    any a in [0, 1]; a = 1 if U > -L and 0 otherwise leaves the smaller area (Zhang et
    al., "Efficient neural network robustness certification with general activation
    functions", 2018, CROWN-Ada; Singh et al., "An abstract domain for certifying neural
    networks", 2019).  A ceiling c that may be reached adds, derived likewise: above,
    the line from (L, 0) to (c, c) or the constant c, whichever leaves the smaller area
    (for L >= 0 the line x = v or the constant); below, the line from (0, 0) to (U, c)
    or 0 (for L >= 0 the chord from (L, L) to (U, c)).

    Parameters
    ----------
    layer : Layer
        An activation layer.
    lower, upper : numpy.ndarray, shape (B, size)
        Proven pre-activation bounds.

    Returns
    -------
    ActivationLines
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        low_slope = (upper > -lower).astype(float)
        unstable = (lower < 0) & (upper > 0)
        chord = upper / (upper - lower)
        high_slope = np.where(unstable, chord, low_slope)
        at_ends = np.maximum(-chord * lower, (1.0 - chord) * upper)
        high_const = np.where(unstable, at_ends * _UP + TINY, 0.0)
        lines = ActivationLines(
            low_slope,
            np.zeros_like(high_const),
            high_slope,
            high_const,
            unstable.astype(float),
        )
        if layer.ceiling is None or not (upper > layer.ceiling).any():
            return lines
        return _with_ceiling(lines, layer.ceiling, lower, upper)


def _with_ceiling(lines, ceiling, lower, upper):
    """Replace the lines of neurons that may exceed their ceiling."""
    low_slope, low_const, high_slope, high_const, free_slope = lines
    ceiling = np.broadcast_to(ceiling, lower.shape)
    over = upper > ceiling
    fixed = lower >= ceiling
    concave = over & ~fixed & (lower >= 0)
    bent = over & (lower < 0)
    # Through the origin and (U, c), sound for any smaller slope too.
    steepest = ceiling / upper * _DOWN
    free_slope = np.where(bent, steepest, free_slope)
    origin = np.where(upper > -lower, steepest, 0.0)
    # From (L, L) to (U, c); the constant is lowered to stay below both ends.
    chord = np.clip((ceiling - lower) / (upper - lower), 0.0, 1.0)
    at_ends = np.minimum((1.0 - chord) * lower, ceiling - chord * upper)
    chord_const = at_ends - 8 * UNIT * (ceiling + chord * upper) - TINY
    low_slope = np.select([fixed, concave, bent], [0.0, chord, origin], low_slope)
    low_const = np.select([fixed, concave], [ceiling, chord_const], low_const)
    # From (L, 0) to (c, c), or the constant c.
    rise = ceiling / (ceiling - lower)
    rise_const = np.maximum(-rise * lower, (1.0 - rise) * ceiling) * _UP + TINY
    flat = fixed | (over & (upper - ceiling >= ceiling - lower))
    high_slope = np.select([flat, concave, bent], [0.0, 1.0, rise], high_slope)
    high_const = np.select(
        [flat, concave, bent], [ceiling, 0.0, rise_const], high_const
    )
    return ActivationLines(low_slope, low_const, high_slope, high_const, free_slope)
