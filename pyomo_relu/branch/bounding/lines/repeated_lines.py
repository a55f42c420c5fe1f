"""Lines of combinations of many networks' outputs, from each network's own lines.

A combination is a sum over networks that share no neuron, so CROWN's line of it is the
sum of their lines: each of its terms takes a member's lower or upper line by the sign of
its coefficient.  Members of one repeated network are further boxes of it, so that they
are bounded in batches, whatever their number.
"""

import numpy as np
from scipy import sparse

from pyomo_relu.branch.bounding.lines.lines import CHUNK, FunctionLines, LineBounder
from pyomo_relu.common.matrices import slices
from pyomo_relu.linear.rounding import TINY, slack

#: Most entries of the arrays with a line of each member on each box.
_ENTRIES = 1 << 22

#: Entries of a layer's array for a chunk of members: about a second-level cache.
_CACHED = 1 << 16


class RepeatedLineBounder:
    """Lines of a RepeatedNetworks over batches of boxes; as ``LineBounder``.

    Parameters
    ----------
    network : RepeatedNetworks
    """

    def __init__(self, network):
        self.network = network
        self._parts = [
            _Repeated(one, network.n_outputs, network.n_inputs)
            for one in network.repetitions
        ]

    def lines(self, lower, upper):
        """FunctionLines over the boxes, without ``hidden``.

        Parameters
        ----------
        lower, upper : numpy.ndarray, shape (B, n_inputs)
            Finite.
        """
        B, m, n = len(lower), self.network.n_outputs, self.network.n_inputs
        lines = FunctionLines(
            np.zeros((B, m, n)),
            np.zeros((B, m)),
            np.zeros((B, m, n)),
            np.zeros((B, m)),
            np.zeros(B, dtype=int),
            np.zeros((B, 2 * m, n)),
            ((), ()),
        )
        # what of the repetitions' sums and of adding them up may be lost
        size = np.zeros((B, m))
        terms = 2 * len(self._parts)
        for part in self._parts:
            terms += part.terms
            for some in slices(B, part.step):
                part.add(lines, size, some, lower[some], upper[some])
        error = slack(terms) * size + TINY
        lines.low_const -= error
        lines.high_const += error
        return lines


class _Repeated:
    """The share of one repetition."""

    def __init__(self, one, n_outputs, n_inputs):
        self.one = one
        self.shape = n_outputs, n_inputs
        d, r = one.network.n_inputs, one.network.n_outputs
        widest = max(m.size for m in one.network.layers)
        chunk = max(CHUNK, _CACHED // (widest * max(1, d)))
        self._bounder = LineBounder(one.network, chunk=chunk)
        matrix = one.matrix
        self._positive, self._negative = matrix.maximum(0), matrix.minimum(0)
        self._spread = [self._spreading(m) for m in (self._positive, self._negative)]
        self._magnitude = abs(matrix)
        #: a bound on the terms of a row's sum, the inputs' products among them
        self.terms = int(np.diff(matrix.indptr).max(initial=0)) * (d + 1)
        self.step = _ENTRIES // (one.n_members * (r * (3 * d + 2) + 2 * widest))

    def _spreading(self, matrix):
        """(outputs x inputs, members x r x d): coefficients with their inputs' places."""
        d, r = self.one.network.n_inputs, self.one.network.n_outputs
        m, n = self.shape
        coo = matrix.tocoo()
        columns = self.one.columns[coo.col // r]
        at, i = np.nonzero(columns >= 0)
        rows = coo.row[at] * n + columns[at, i]
        entries = coo.data[at], (rows, coo.col[at] * d + i)
        return sparse.csr_array(entries, shape=(m * n, self.one.n_members * r * d))

    def add(self, lines, size, some, lower, upper):
        """Add the members' lines on the boxes, and the magnitudes that were summed."""
        one, B = self.one, len(lower)
        boxes = [
            one.inputs(end, constant).reshape(-1, one.network.n_inputs)
            for end, constant in zip((lower, upper), one.ends, strict=True)
        ]
        found = self._bounder.lines(*boxes)
        reach = np.maximum(np.abs(boxes[0]), np.abs(boxes[1]))[:, None, :]
        below, above = found.low_const, found.high_const
        magnitude = np.maximum(
            np.abs(below) + (np.abs(found.low) * reach).sum(axis=2),
            np.abs(above) + (np.abs(found.high) * reach).sum(axis=2),
        )
        # a constant's share of a line is least or greatest at one of its ends
        fixed = np.tile(one.columns < 0, (B, 1))[:, None, :]
        if fixed.any():
            ends = [np.where(fixed, end[:, None, :], 0.0) for end in boxes]
            below = below + np.minimum(*(found.low * end for end in ends)).sum(axis=2)
            above = above + np.maximum(*(found.high * end for end in ends)).sum(axis=2)
        low, high = found.low.reshape(B, -1), found.high.reshape(B, -1)
        below, above = below.reshape(B, -1), above.reshape(B, -1)
        shape = (B, *self.shape)
        plus, minus = self._spread
        lines.low[some] += _times(plus, low, minus, high).reshape(shape)
        lines.high[some] += _times(plus, high, minus, low).reshape(shape)
        plus, minus = self._positive, self._negative
        lines.low_const[some] += _times(plus, below, minus, above)
        lines.high_const[some] += _times(plus, above, minus, below)
        size[some] += (self._magnitude @ magnitude.reshape(B, -1).T).T
        lines.unstable[some] += found.unstable.reshape(B, -1).sum(axis=1)
        r, m = one.network.n_outputs, self.shape[0]
        low, high = (
            found.errors[:, rows].reshape(B, -1) for rows in (slice(r), slice(r, None))
        )
        plus, minus = self._spread
        lines.errors[some, :m] += _times(plus, low, -minus, high).reshape(shape)
        lines.errors[some, m:] += _times(plus, high, -minus, low).reshape(shape)


def _times(first, a, second, b):
    """``first @ a + second @ b`` per box, where a and b are of shape (B, columns)."""
    total = (first @ a.T).T
    return total + (second @ b.T).T if second.nnz else total
