r"""CROWN's backward pass over a batch of boxes.

For a target ``y = C t + d`` the pass keeps lower bounds ``y >= sum_s A_s t_s + c`` and
walks the graph from the target to the inputs.  At an activation layer with lines
``sl v + tl <= x <= su v + tu`` positive coefficients take the lower line, negative ones
the upper:

    A x >= (A sl + N (su - sl)) v + A tl + N (tu - tl),    N = min(A, 0),

then ``v = W t + b`` is put in for v.  Upper bounds are lower bounds of -y: all rows are
stacked as [C; -C].  Coefficients are arrays (B, R, n), of leading length 1 while they do
not depend on the box, or, for a single box and sparse weights, sparse (R, n).
"""

import numpy as np
from scipy import sparse

from pyomo_relu.bounds.crown.coefficients import (
    add,
    dot,
    entries,
    full,
    product,
    relax,
    relax_rows,
    relax_sparse,
    signed_rows,
    total,
    weighted_sum,
)
from pyomo_relu.bounds.crown.lines import (
    TensorRanges,
    activation_lines,
    affine_maps,
)
from pyomo_relu.linear.rounding import TINY, UNDERFLOW, slack
from pyomo_relu.network.layer import INPUT, Source

#: Entries of the largest temporary array; about the second-level cache for many boxes.
_CACHED = 1 << 16
_LARGEST = 1 << 22

#: Fewest neurons passed backwards together.
_ROWS = 32

#: Up to this many columns, products avoid temporaries of the coefficients' size.
_FEW = 12

#: Neurons are chosen box by box where that are fewer than this share of all chosen ones.
_EACH = 0.7


class BoxState:
    """What is known on a batch of boxes: ranges, and lines of each bounded layer.

    Parameters
    ----------
    kernel : BackwardPass
    lower, upper : numpy.ndarray, shape (B, n_inputs)

    Attributes
    ----------
    ranges : TensorRanges
    lines : list of ActivationLines
    slack : list of numpy.ndarray, shapes (B, size)
        Per layer, what a coefficient of 1 may lose by rounding.
    magnitude : numpy.ndarray, shape (B,)
        Sum of the magnitudes of everything so far.
    influence : numpy.ndarray, shape (B, n_inputs)
        Weighted sum of the inputs' coefficients; see ``BackwardPass.bounds``.
    beaten_at : numpy.ndarray of int, shape (B,)
        First layer whose backward pass was beaten by interval arithmetic or known
        bounds; the number of layers where none was, or nobody asked.
    plain : list of (lower, upper)
        What backward passes alone give, right up to the layer where they were beaten.
    """

    def __init__(self, kernel, lower, upper):
        self.kernel = kernel
        self.ranges = TensorRanges(kernel.network, lower, upper)
        self.lines = []
        self.slack = []
        self.magnitude = np.maximum(np.abs(lower), np.abs(upper)).sum(axis=1)
        self.influence = np.zeros_like(lower)
        self.beaten_at = np.full(len(lower), len(kernel.maps))
        self.plain = []

    def __len__(self):
        return self.ranges.batch

    def interval(self):
        """Interval arithmetic of the next layer: lower, upper and error scale."""
        return self.kernel.maps[len(self.lines)].interval(self.ranges)

    def append(self, lower, upper, scale):
        """Settle the next layer's bounds; see ``AffineMap.interval`` for ``scale``."""
        k = len(self.lines)
        layer = self.kernel.network.layers[k]
        self.ranges.append(lower, upper)
        error = self.kernel.maps[k].error
        self.slack.append(self.kernel.factors[k] * scale + (TINY + error))
        self.magnitude = self.magnitude + scale.sum(axis=1)
        last = layer.activation == "identity"
        self.lines.append(None if last else activation_lines(layer, lower, upper))


class BackwardPass:
    """CROWN's backward substitution for one network.

    Parameters
    ----------
    network : Network
    errors : list of numpy.ndarray, shapes (layer size,), optional
        How far rows may be off, rounding apart (``folding``).
    """

    def __init__(self, network, errors=None):
        self.network = network
        self.maps = affine_maps(network, errors)
        depth = len(self.maps)
        self.factors = [slack(m.terms + 2 * m.size + 2 * depth) for m in self.maps]
        self.sparse = any(sparse.issparse(w) for m in self.maps for w in m.weights)

    def bounds(self, state, k, scale, rows=None, importance=None):
        """Lower and upper bounds of layer k's pre-activations, shapes (B, rows).

        Parameters
        ----------
        state : BoxState
            With at least the layers before k settled.
        k : int
        scale : numpy.ndarray, shape (B, size)
            Error scale of layer k, from ``AffineMap.interval``.
        rows : numpy.ndarray of int, optional
            Neurons to bound; all by default.
        importance : numpy.ndarray, shape (2, size) or (B, 2, size), optional
            Weights of the lower and upper bounds, with which the magnitudes of the
            inputs' coefficients are added to ``state.influence``.
        """
        rows = np.arange(self.maps[k].size) if rows is None else rows
        low, high = np.empty((2, len(state), rows.size))
        for boxes, some in self._parts(state, k, rows.size):
            A, c = self.lines(state, k, scale, rows[some], boxes)
            if importance is not None:
                each = importance[boxes] if importance.ndim == 3 else importance
                weight = each[..., rows[some]].reshape(*each.shape[:-2], -1)
                state.influence[boxes] += weighted_sum(A, weight)
            value = self.least(state, A, c, boxes)
            # Overflow proves nothing.
            value[~np.isfinite(value)] = -np.inf
            half = value.shape[1] // 2
            low[boxes, some] = value[:, :half]
            high[boxes, some] = -value[:, half:]
        return low, high

    def bounds_where(self, state, k, scale, wanted):
        """As ``bounds``, of other neurons on every box; infinite for all others.

        Parameters
        ----------
        wanted : numpy.ndarray of bool, shape (B, size)
            Neurons to bound on each box; some others may be bounded with them.

        Returns
        -------
        low, high : numpy.ndarray, shapes (B, size)
        """
        low = np.full(wanted.shape, -np.inf)
        high = np.full(wanted.shape, np.inf)
        counts = wanted.sum(axis=1)
        union = np.flatnonzero(wanted.any(axis=0))
        if self.sparse or len(state) == 1 or counts.mean() > _EACH * union.size:
            if union.size:
                low[:, union], high[:, union] = self.bounds(state, k, scale, union)
            return low, high
        widest = max([m.size for m in self.maps[:k]] + [self.network.n_inputs])
        order, at = np.argsort(-counts, kind="stable"), 0
        while at < order.size and counts[order[at]]:
            most = int(counts[order[at]])
            boxes = order[at : at + max(1, _CACHED // (2 * most * widest))]
            at += boxes.size
            rows = np.argsort(~wanted[boxes], axis=1, kind="stable")[:, :most]
            A, c = self.lines(state, k, scale, rows, boxes)
            value = self.least(state, A, c, boxes)
            value[~np.isfinite(value)] = -np.inf
            low[boxes[:, None], rows] = value[:, :most]
            high[boxes[:, None], rows] = -value[:, most:]
        return low, high

    def line_pairs(self, state, k, scale):
        """Lines below and above layer k, errors absorbed in the constants.

        Returns A_low, c_low, A_high, c_high; see ``crown.layer_lines``.
        """
        m = self.maps[k].size
        coefficients = np.empty((len(state), 2 * m, self.network.n_inputs))
        constants = np.empty((len(state), 2 * m))
        for boxes, some in self._parts(state, k, m):
            rows = np.arange(m)[some]
            A, c = self.lines(state, k, scale, rows, boxes)
            A = full(A)
            eps = self.input_slack(*(a[boxes] for a in state.ranges.box))
            both = np.concatenate([rows, rows + m])
            coefficients[boxes, both] = A
            constants[boxes, both] = c - dot(np.abs(A), eps)
        return (
            coefficients[:, :m],
            constants[:, :m],
            -coefficients[:, m:],
            -constants[:, m:],
        )

    def lines(
        self, state, k, scale, rows, boxes, slopes=None, trace=None, below_only=False
    ):
        """Lines below [v; -v] of layer k in the inputs: (B, 2 rows, n) and (B, 2 rows).

        Parameters
        ----------
        rows : numpy.ndarray of int, shape (rows,) or (B, rows)
            Neurons, the same on all boxes or others on each.
        boxes : slice or numpy.ndarray of int
        slopes : dict of int to numpy.ndarray, shapes (B, 2 rows, size), optional
            Lower slopes per target row, for the layers that have them.
        trace : list, optional
            Receives ``(layer, A)`` at each activation layer passed.
        below_only : bool
            Lines below v alone: every 2 above is a 1 then.
        """
        amap, scale = self.maps[k].on(boxes), scale[boxes]
        coefficients = {}
        for source, w in zip(amap.sources, amap.weights, strict=True):
            first = signed_rows(w, rows, self.sparse)
            if len(scale) > 1:  # sparse ones are one box's
                first = full(first)
            if below_only:
                first = (
                    first[: rows.size]
                    if sparse.issparse(first)
                    else first[:, : rows.size]
                )
            # these rows may not read the source at all
            if first.nnz if sparse.issparse(first) else first.any():
                add(coefficients, source, first)
        b, scale = entries(amap.bias, rows), entries(scale, rows)
        error = slack(amap.terms + 2 * k) * scale + (TINY + amap.error[rows])
        error += UNDERFLOW * (1.0 + state.magnitude[boxes, None])
        c = b - error
        if not below_only:
            c = np.concatenate([c, -b - error], axis=1)
        return self.substitute(state, k, coefficients, c, boxes, slopes, trace)

    def substitute(self, state, k, coefficients, c, boxes, slopes=None, trace=None):
        """Lines in the inputs of rows over the tensors before layer k; as ``lines``.

        Parameters
        ----------
        coefficients : dict of Source to coefficients
            Used up.
        c : numpy.ndarray, shape (B, R)
            Constants, lowered by what the coefficients may be off by.
        """
        for j in range(k - 1, -1, -1):
            post = coefficients.pop(Source(j, True), None)
            pre = coefficients.pop(Source(j, False), None)
            if post is None and pre is None:
                continue
            if trace is not None:
                trace.append((j, post, pre))
            slope = None if slopes is None else slopes.get(j)
            c = c + self._through(state, j, post, pre, boxes, coefficients, slope)
        A = coefficients.get(Source(INPUT))
        if A is None:
            A = np.zeros((1, c.shape[1], self.network.n_inputs))
        return A, c

    def _parts(self, state, k, n_rows):
        """Slices of boxes and of rows that keep temporary arrays small."""
        widest = max([m.size for m in self.maps[:k]] + [self.network.n_inputs])
        n_boxes, n_some = 1, n_rows
        if len(state) == 1 or self.sparse:
            n_some = max(_ROWS, _CACHED // widest)
        elif self._one_step(k):
            n_boxes = max(1, 4 * _CACHED // (widest * (_FEW + 1)))
        else:
            n_some = max(_ROWS, _LARGEST // (2 * widest))
            n_boxes = max(1, _CACHED // (2 * min(n_some, n_rows) * widest))
        for i in range(0, len(state), n_boxes):
            for j in range(0, n_rows, n_some):
                yield slice(i, i + n_boxes), slice(j, min(n_rows, j + n_some))

    def _one_step(self, k):
        """True if layer k is one step from the inputs and these are few."""
        return self.network.n_inputs <= _FEW and all(
            s == INPUT or (post and all(t == INPUT for t, _ in self.maps[s].sources))
            for s, post in self.maps[k].sources
        )

    def _through(self, state, j, post, pre, boxes, coefficients, slope):
        """Substitute layer j; adds to ``coefficients``, returns the constants."""
        amap = self.maps[j].on(boxes)
        b = amap.bias
        sl, tl, su, tu = (a[boxes] for a in state.lines[j][:4])
        eps = state.slack[j][boxes]
        weights = amap.weights
        c = 0.0
        if pre is not None:
            c = dot(pre, np.atleast_2d(b)) - dot(abs(pre), eps)
        if post is None:
            through = pre
        else:
            dead = (su == 0) & (tu == 0)
            eps = np.where(dead, 0.0, eps)
            if pre is None and dead.all(axis=0).mean() > 0.1 and slope is None:
                alive = np.flatnonzero(~dead.all(axis=0))
                if not alive.size:
                    return c
                sl, tl, su, tu, eps = (a[:, alive] for a in (sl, tl, su, tu, eps))
                post, b = post[..., alive], b[..., alive]
                weights = [w[:, alive] if w.ndim == 3 else w[alive] for w in weights]
            if slope is not None:
                post = full(post)
                c_post, through = relax_rows(post, slope, tl, su, tu, b, eps)
            elif sparse.issparse(post):
                c_post, through = relax_sparse(post, sl, tl, su, tu, b, eps)
            elif self._skinny(amap, pre, eps):
                return self._through_few(
                    amap, post, weights, (sl, tl, su, tu, b, eps), coefficients
                )
            else:
                c_post, through = relax(post, sl, tl, su, tu, b, eps)
            c = c + c_post
            through = through if pre is None else total(through, pre)
        for source, w in zip(amap.sources, weights, strict=True):
            add(coefficients, source, product(through, w))
        return c

    def _skinny(self, amap, pre, eps):
        return (
            pre is None
            and len(eps) > 1
            and sum(w.shape[-1] for w in amap.weights) <= _FEW
        )

    def _through_few(self, amap, post, weights, parts, coefficients):
        """As ``relax`` and the product with W, by two products with few columns."""
        sl, tl, su, tu, b, eps = parts
        gap = su - sl
        negative = np.minimum(post, 0.0)
        columns = [
            np.moveaxis(w, 2, 0) if w.ndim == 3 else w.T[:, None, :] for w in weights
        ]
        first = [col * sl for col in columns] + [(sl * b + tl - eps)[None]]
        second = [col * gap for col in columns]
        second.append((gap * b + (tu - tl) + 2.0 * eps)[None])
        first, second = np.concatenate(first), np.concatenate(second)
        if len(post) == 1:
            both = np.concatenate([first, second], axis=2)
            stacked = np.concatenate([post[0], negative[0]], axis=1)
            out = (both.reshape(-1, both.shape[2]) @ stacked.T).reshape(
                *both.shape[:2], -1
            )
            out = np.moveaxis(out, 0, 2)
        else:
            out = post @ np.moveaxis(first, 0, 2)
            out += negative @ np.moveaxis(second, 0, 2)
        at = 0
        for source, w in zip(amap.sources, weights, strict=True):
            add(coefficients, source, out[..., at : at + w.shape[-1]])
            at += w.shape[-1]
        return out[..., -1]

    def least(self, state, A, c, boxes):
        """The least value of ``A x + c`` on each box, rounded downward."""
        lower, upper = (a[boxes] for a in state.ranges.box)
        centre = 0.5 * lower + 0.5 * upper
        radius = np.maximum(upper - centre, centre - lower)
        radius = radius + self.input_slack(lower, upper)
        n = A.shape[-1]
        if sparse.issparse(A) or n > _FEW:
            return c + dot(A, centre) - dot(abs(A), radius)
        value = 0.0
        for i in range(n):
            value = value + A[..., i] * centre[:, i, None]
            value -= np.abs(A[..., i]) * radius[:, i, None]
        return c + value

    def input_slack(self, lower, upper):
        """Per input, what a coefficient of 1 may lose by rounding, shape (B, n)."""
        size = np.maximum(np.abs(lower), np.abs(upper))
        return slack(2 * self.network.n_inputs) * size + TINY
